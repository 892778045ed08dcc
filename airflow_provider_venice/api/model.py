"""What the API answers, typed: jobs, quotes, metadata and models. All frozen, all plain JSON in an XCom."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from airflow_provider_venice.api.fields import MAPPING, NUMBER, TEXT, TIME, WHOLE, Field, read_fields
from airflow_provider_venice.api.plain import PlainObject, as_json
from airflow_provider_venice.api.request import VideoRequest
from airflow_provider_venice.exceptions import VeniceRequestError

__all__ = ["GeneratedImage", "VideoJob", "VideoMetadata", "VideoModel", "VideoQuote", "VideoRequest"]

JobStatus = Literal["queued", "processing", "completed", "failed"]

#: What the API calls them, in upper case. ``FAILED`` is not documented; ``RUNNING`` was seen in a guide of the vendor.
_STATUSES: dict[str, JobStatus] = {
    "QUEUED": "queued",
    "PROCESSING": "processing",
    "RUNNING": "processing",
    "COMPLETED": "completed",
    "FAILED": "failed",
}


#: What an encrypted private link begins with.
ENCRYPTED = "fernet:"

#: Longest prompt where a model names none, in characters (the vendor's schema).
DEFAULT_PROMPT_LIMIT = 2500


@dataclass(frozen=True)
class VideoMetadata(PlainObject):
    """
    What is known of a clip. A value that the file or the API does not give is ``None``.

    :param duration: seconds.
    :param resolution: width and height in pixels, such as ``"1280x720"``.
    :param fps: frames per second.
    :param format: container, such as ``"mp4"``.
    :param file_size: bytes.
    """

    duration: float | None = None
    resolution: str | None = None
    fps: float | None = None
    format: str | None = None
    file_size: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON."""
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class VideoQuote(PlainObject):
    """
    The price of a clip before it is queued. Fields that Venice does not send are ``None``.

    :param estimated_cost: US dollars.
    :param currency: always ``"USD"``.
    :param balance: US dollars on the account when it was asked, where Venice reported it.
    :param model: the model that was asked for.
    """

    estimated_cost: Decimal
    currency: str = "USD"
    model: str | None = None
    balance: Decimal | None = None
    estimated_duration: float | None = None
    pricing_breakdown: Mapping[str, Any] | None = None
    cost_components: Mapping[str, Any] | None = None
    pricing_model: str | None = None
    minimum_cost: Decimal | None = None
    maximum_cost: Decimal | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON; money as a number of US dollars."""
        values: dict[str, Any] = as_json(dataclasses.asdict(self))
        return values


@dataclass(frozen=True)
class VideoJob(PlainObject):
    """
    A submitted clip. ``model`` and ``queue_id`` identify it; every later call needs both.

    Fields that Venice does not send (``video_id``, ``created_at``, …) are ``None``.

    :param model: the model that makes the clip.
    :param queue_id: the id of the submission.
    :param download_url: private link to the finished clip, a bearer secret; where the submission gave one.
    :param status: ``queued``, ``processing``, ``completed`` or ``failed``.
    :param average_execution_time: milliseconds within which 80 % of such jobs end.
    :param execution_duration: milliseconds the job has been running.
    :param queued_at: epoch seconds at which Venice answered the submission, by the clock here.
    :param completed_at: epoch seconds at which this package first saw it completed.
    :param error: why the job failed.
    :param error_code: the server's code or type of that failure.
    :param metadata: what is known of the clip.
    :param request: what was asked for, media by name or size only.
    :param estimated_cost: the quoted US dollars, where somebody asked.
    :param balance_before: US dollars on the account before the charge, where Venice reported it.
    :param labels: values of the user's own that the request carried; never sent.
    :param requested_model: the model that was asked for, where a fallback model was bought.
    :param refused_models: then, the models that were asked before, each with the reason why it was not bought.
    :param encrypted_url: ``download_url`` as it may be stored; the hook sets it.
    """

    model: str
    queue_id: str
    download_url: str | None = field(default=None, repr=False)
    status: JobStatus = "queued"
    average_execution_time: float | None = None
    execution_duration: float | None = None
    queued_at: float | None = None
    video_id: str | None = None
    created_at: float | None = None
    started_at: float | None = None
    completed_at: float | None = None
    error: str | None = None
    error_code: str | None = None
    metadata: VideoMetadata | None = None
    request: Mapping[str, Any] | None = field(default=None, repr=False)
    estimated_cost: float | None = None
    balance_before: float | None = None
    labels: Mapping[str, Any] | None = field(default=None, repr=False)
    requested_model: str | None = None
    refused_models: Mapping[str, Any] | None = field(default=None, repr=False)
    encrypted_url: str | None = field(default=None, repr=False, compare=False)

    @classmethod
    def of(cls, job: VideoJob | Mapping[str, Any]) -> VideoJob:
        """
        Return ``job`` itself, or the job that a dictionary (an XCom) describes.

        Times may be epoch seconds or ISO 8601 text, as in the manifest; text without an offset is UTC.

        :raises VeniceRequestError: when it does not name a model and a queue id, or when a field is of
            another type than it should be; the message names the field.
        """
        if isinstance(job, VideoJob):
            values: Mapping[str, Any] = {name: getattr(job, name) for name in _JOB_FIELDS}
        elif isinstance(job, Mapping):
            values = job
        else:
            raise VeniceRequestError(
                f"job is {type(job).__name__}; give the job that the queue task returned, "
                "or {'model': …, 'queue_id': …}"
            )
        for name in ("model", "queue_id"):
            if not isinstance(values.get(name), str) or not values[name].strip():
                raise VeniceRequestError(f"the job has no {name}; give the job that the queue task returned")
        read = read_fields(values, _JOB_FIELDS, "the job's ")
        read["status"] = read.get("status") or "queued"
        if isinstance(job, VideoJob) and all(
            value == values[name] and type(value) is type(values[name]) for name, value in read.items()
        ):
            return job
        return cls(**read, encrypted_url=job.encrypted_url if isinstance(job, VideoJob) else None)

    def __str__(self) -> str:
        return f"video job {self.queue_id} ({self.model})"

    def to_dict(self) -> dict[str, Any]:
        """Return what is set, as plain JSON. It has ``download_url`` readable: encrypt that before storing it."""
        values = dataclasses.asdict(self)
        return {name: values[name] for name in _JOB_FIELDS if values[name] is not None}

    def _content(self) -> dict[str, Any]:
        # Invariant: a readable private link is never stored. One that nobody has encrypted is left out.
        values = self.to_dict()
        link = values.pop("download_url", None)
        if not isinstance(link, str):
            return values
        stored = link if link.startswith(ENCRYPTED) else self.encrypted_url
        return values if stored is None else {**values, "download_url": stored}

    @property
    def how_to_collect(self) -> str:
        """What an error says when it leaves a paid clip behind."""
        return (
            "The clip is paid for, and Venice keeps it for a limited time: wait for it with VeniceVideoSensor "
            "and fetch it with VeniceDownloadVideoOperator, "
            f"job={{'model': {self.model!r}, 'queue_id': {self.queue_id!r}}}"
        )

    @property
    def job_id(self) -> str:
        """``queue_id``, under the name that the Python SDK uses."""
        return self.queue_id

    @property
    def video_url(self) -> str | None:
        """``download_url``, under the name that the Python SDK uses."""
        return self.download_url

    @property
    def balance_after(self) -> float | None:
        """US dollars on the account after the charge, ``None`` where the balance or the price is not known."""
        if self.balance_before is None or self.estimated_cost is None:
            return None
        return float(Decimal(str(self.balance_before)) - Decimal(str(self.estimated_cost)))

    @property
    def progress(self) -> float | None:
        """Percent done, 0 to 100, guessed from the server's own times; below 100 until completed."""
        if self.is_completed():
            return 100.0
        if not self.average_execution_time or self.execution_duration is None:
            return None
        return min(99.0, round(100 * self.execution_duration / self.average_execution_time, 1))

    @property
    def remaining(self) -> float | None:
        """Seconds until 80 % of such jobs have ended, 0 when that moment has passed."""
        if self.average_execution_time is None or self.execution_duration is None:
            return None
        return max(0.0, (self.average_execution_time - self.execution_duration) / 1000)

    def is_completed(self) -> bool:
        """Whether the clip is there to download."""
        return self.status == "completed"

    def is_failed(self) -> bool:
        """Whether the job ended without a clip."""
        return self.status == "failed"

    def is_processing(self) -> bool:
        """Whether the job is still queued or running."""
        return self.status in ("queued", "processing")


def job_status(value: Any) -> JobStatus | None:
    """Return the status that a text of any case names; ``None`` for one that is not known."""
    return _STATUSES.get(value.strip().upper()) if isinstance(value, str) else None


def _read_status(value: Any) -> JobStatus:
    status = job_status(value)
    if status is None:
        raise ValueError
    return status


def _read_metadata(value: Any) -> VideoMetadata:
    given = value.to_dict() if isinstance(value, VideoMetadata) else value
    return VideoMetadata(**read_fields(MAPPING.read(given), _METADATA_FIELDS, "metadata."))


#: How each field of the metadata is read.
_METADATA_FIELDS = {"duration": NUMBER, "resolution": TEXT, "fps": NUMBER, "format": TEXT, "file_size": WHOLE}

#: How each field of a job is read.
_JOB_FIELDS = {
    "model": TEXT,
    "queue_id": TEXT,
    "download_url": TEXT,
    "status": Field(_read_status, "queued, processing, completed or failed"),
    "average_execution_time": NUMBER,
    "execution_duration": NUMBER,
    "queued_at": TIME,
    "video_id": TEXT,
    "created_at": TIME,
    "started_at": TIME,
    "completed_at": TIME,
    "error": TEXT,
    "error_code": TEXT,
    "metadata": Field(_read_metadata, MAPPING.wanted),
    "request": MAPPING,
    "estimated_cost": NUMBER,
    "balance_before": NUMBER,
    "labels": MAPPING,
    "requested_model": TEXT,
    "refused_models": MAPPING,
}


@dataclass(frozen=True)
class GeneratedImage(PlainObject):
    """
    One generated image. As a dictionary, such as an XCom of it, it has ``media_type`` and ``data_url``.

    :param data: the image's bytes.
    :param media_type: its MIME type, such as ``image/webp``.
    """

    data: bytes = field(repr=False)
    media_type: str

    def to_dict(self) -> dict[str, Any]:
        """Return ``media_type`` and ``data_url``, which every media field of a request takes."""
        encoded = base64.b64encode(self.data).decode("ascii")
        return {"media_type": self.media_type, "data_url": f"data:{self.media_type};base64,{encoded}"}


@dataclass(frozen=True)
class VideoModel(PlainObject):
    """
    A video model and what it accepts; an empty tuple means that the field must not be sent.

    :param id: the model's id.
    :param name: its name for people.
    :param model_type: ``text-to-video``, ``image-to-video`` or ``video``.
    :param durations: the allowed values of ``duration``, such as ``5s``.
    :param aspect_ratios: the allowed values of ``aspect_ratio``, such as ``16:9``.
    :param resolutions: the allowed values of ``resolution``, such as ``720p``.
    :param audio: whether it makes a sound track.
    :param audio_configurable: whether ``audio`` may be set.
    :param prompt_character_limit: longest prompt, in characters.
    :param offline: whether it takes no requests at present.
    :param deprecation: the vendor's notice of the model's end, as sent.
    :param pricing: the vendor's price list for it, as sent.
    """

    id: str
    name: str | None = None
    model_type: str | None = None
    durations: tuple[str, ...] = ()
    aspect_ratios: tuple[str, ...] = ()
    resolutions: tuple[str, ...] = ()
    audio: bool | None = None
    audio_configurable: bool | None = None
    prompt_character_limit: int = DEFAULT_PROMPT_LIMIT
    offline: bool = False
    deprecation: Mapping[str, Any] | None = None
    pricing: Mapping[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON."""
        values: dict[str, Any] = as_json(dataclasses.asdict(self))
        return values

    @classmethod
    def from_payload(cls, payload: Mapping[str, Any]) -> VideoModel:
        """Read one entry of ``/models?type=video``; what is missing is left at its default."""
        if not isinstance(payload["id"], str):
            raise TypeError("a model's id is text")
        spec = payload.get("model_spec") or {}
        limits = spec.get("constraints") or {}
        return cls(
            id=payload["id"],
            name=spec.get("name"),
            model_type=limits.get("model_type"),
            durations=tuple(map(str, limits.get("durations") or ())),
            aspect_ratios=tuple(map(str, limits.get("aspect_ratios") or ())),
            resolutions=tuple(map(str, limits.get("resolutions") or ())),
            audio=limits.get("audio"),
            audio_configurable=limits.get("audio_configurable"),
            prompt_character_limit=int(limits.get("prompt_character_limit") or DEFAULT_PROMPT_LIMIT),
            offline=bool(spec.get("offline")),
            deprecation=spec.get("deprecation"),
            pricing=spec.get("pricing"),
        )

    @property
    def is_upscaler(self) -> bool:
        """Whether the model takes a clip and a factor in place of a prompt, as its id says."""
        return "upscale" in self.id
