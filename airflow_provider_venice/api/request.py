"""``VideoRequest``: what a caller asks for, in the API's own words."""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_venice.api.plain import PlainObject
from airflow_provider_venice.api.values import (
    as_boolean,
    as_duration,
    as_integer,
    as_labels,
    as_number,
    copied,
    described,
    is_unset,
    native,
    paths_as_text,
    plain,
    refuse_rendered_none,
)
from airflow_provider_venice.exceptions import VeniceRequestError

#: Fields that price a clip, or may. What ``extra_body`` holds may as well. The quote takes no ``bitrate_mode``.
QUOTE_FIELDS = (
    "model",
    "duration",
    "resolution",
    "aspect_ratio",
    "audio",
    "upscale_factor",
    "video_url",
    "reference_video_total_duration",
    "fps",
    "omni_reference_task_type",
)

#: Most entries a list field takes, from the vendor's schema.
LIST_LIMITS = {
    "reference_image_urls": 30,
    "reference_video_urls": 10,
    "reference_audio_urls": 10,
    "reference_document_urls": 1,
    "elements": 4,
    "scene_image_urls": 4,
    "keyframes": 10,
}


@dataclass(frozen=True, kw_only=True)
class VideoRequest(PlainObject):
    """
    The body of ``/video/queue``. A field left at ``None`` is not sent, nor is a blank text or NaN.

    A text that a template renders for a missing value, such as ``"None"``, is refused. A media field
    takes an http(s) URL, a data URL, bytes, or a local or object-storage path.
    See https://docs.venice.ai/api-reference/endpoint/video/queue for what each model accepts.

    :param model: id of the video model.
    :param prompt: what to show; a number is taken as text.
    :param duration: seconds as ``5``, ``"5"`` or ``"5s"``; or ``"auto"``, ``"-1"``, ``"1 gen"``.
    :param aspect_ratio: such as ``"16:9"``.
    :param resolution: such as ``"720p"``.
    :param audio: whether the clip gets a sound track.
    :param negative_prompt: what not to show.
    :param image_url: the first frame, for image-to-video models.
    :param end_image_url: the last frame.
    :param audio_url: background music.
    :param video_url: the clip to change or to upscale.
    :param upscale_factor: 1, 2 or 4, for upscalers.
    :param reference_image_urls: at most 30 images for characters and style.
    :param reference_video_urls: at most 10 clips for motion and style.
    :param reference_audio_urls: at most 10 sounds.
    :param reference_document_urls: one document or web page.
    :param elements: at most 4 mappings of ``frontal_image_url``, ``reference_image_urls``, ``video_url``.
    :param scene_image_urls: at most 4 images.
    :param keyframes: at most 10 mappings of ``image_url`` and ``frame_index``.
    :param bitrate_mode: as the model documents it.
    :param omni_reference_task_type: ``auto``, ``reference``, ``edit`` or ``extend``.
    :param consents: attestations a person has given, for models that ask for them.
    :param seed: random seed, for models that take one.
    :param fps: frames per second, for models that take it.
    :param motion_bucket_id: amount of motion, for models that take it.
    :param guidance_scale: how closely to follow the prompt, for models that take it.
    :param reference_video_total_duration: seconds of all reference videos; prices, is not queued.
    :param extra_body: fields this package does not know yet, sent as they are, with the question for the
        price as well.
    :param labels: values of your own, such as the id of a row, at most 8 KiB as JSON. They are never sent; the job, the
        result, the manifest and the asset event have them. (Not ``metadata``, which is that of the clip.)
    :raises VeniceRequestError: naming every field that is wrong.
    """

    model: str
    prompt: str | None = None
    duration: str | int | None = None
    aspect_ratio: str | None = None
    resolution: str | None = None
    audio: bool | None = None
    negative_prompt: str | None = None
    image_url: Any = None
    end_image_url: Any = None
    audio_url: Any = None
    video_url: Any = None
    upscale_factor: int | None = None
    reference_image_urls: Any = None
    reference_video_urls: Any = None
    reference_audio_urls: Any = None
    reference_document_urls: Any = None
    elements: Any = None
    scene_image_urls: Any = None
    keyframes: Any = None
    bitrate_mode: str | None = None
    omni_reference_task_type: str | None = None
    consents: Mapping[str, Any] | None = None
    seed: int | None = None
    fps: int | None = None
    motion_bucket_id: int | None = None
    guidance_scale: float | None = None
    reference_video_total_duration: float | None = None
    extra_body: Mapping[str, Any] | None = None
    labels: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        problems: dict[str, str] = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            try:
                object.__setattr__(self, field.name, _clean(field.name, value))
            except Exception as error:  # also what an object of somebody else raises when it is read
                problems[field.name] = str(error)
        if not self.model:
            problems.setdefault("model", "is missing; name a video model such as 'wan-2-7-text-to-video'")
        extra = self.extra_body if isinstance(self.extra_body, Mapping) else {}
        for name in set(extra) & (set(REQUEST_FIELDS) - {"labels"}):
            problems.setdefault("extra_body", f"has {name!r}, which is a field of its own; set {name}= instead")
        raise_problems("the video request is not valid", problems)
        self._fill()

    @classmethod
    def of(cls, request: VideoRequest | Mapping[str, Any] | None = None, /, **fields: Any) -> VideoRequest:
        """
        Make a request out of a request, a mapping (a row of a table) and keyword arguments.

        The keyword arguments are what ``request`` leaves open: a value of its own goes first.
        ``image`` stands for ``image_url``. Of ``labels``, both are taken.

        :raises VeniceRequestError: naming every field that is unknown or wrong.
        """
        given: Mapping[str, Any]
        if isinstance(request, VideoRequest):
            given = {name: getattr(request, name) for name in REQUEST_FIELDS}
        elif request is None or isinstance(request, Mapping):
            given = request or {}
        else:
            raise VeniceRequestError(
                f"request is {_kind(request)}; give a VideoRequest or a mapping of its fields{_native(request)}"
            )
        defaults, own = _named(fields), _named(given)
        values = {**defaults, **own}
        if isinstance(defaults.get("labels"), Mapping) and isinstance(own.get("labels"), Mapping):
            values["labels"] = {**defaults["labels"], **own["labels"]}
        if unknown := [name for name in values if name not in REQUEST_FIELDS]:
            raise unknown_fields(unknown)
        values.setdefault("model", "")
        return cls(**values)

    def to_body(self) -> dict[str, Any]:
        """Return the body of ``/video/queue``: only what was set, media as it was given."""
        return self._chosen(set(REQUEST_FIELDS) - _NOT_QUEUED, extra=True)

    def to_quote_body(self) -> dict[str, Any]:
        """
        Return the body of ``/video/quote``: what was set and prices the clip, or may.

        Whatever is queued and might price must be here, or a clip passes ``max_cost`` and is charged more.
        """
        return self._chosen(QUOTE_FIELDS, extra=True)

    def to_mapping(self) -> dict[str, Any]:
        """Return the fields that were set, as a mapping that :meth:`of` reads."""
        return self._chosen(REQUEST_FIELDS)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields that were set, for an XCom: paths as text. Bytes stay bytes, which no XCom takes."""
        values: dict[str, Any] = paths_as_text(self.to_mapping())
        return values

    def describe(self) -> dict[str, Any]:
        """Return what was set as plain JSON for a record: bytes and data URLs by their size only."""
        return {name: described(value, name) for name, value in self.to_mapping().items() if name != "labels"}

    def _chosen(self, names: Collection[str], *, extra: bool = False) -> dict[str, Any]:
        """Return a copy of the fields that are set and named, in the order of the constructor."""
        values = {name: getattr(self, name) for name in REQUEST_FIELDS if name in names}
        chosen: dict[str, Any] = copied({**_set_only(values), **((self.extra_body or {}) if extra else {})})
        return chosen


#: Names of all fields of a request, in the order of the constructor.
REQUEST_FIELDS = tuple(field.name for field in dataclasses.fields(VideoRequest))

#: Fields that are no part of the body of ``/video/queue``.
_NOT_QUEUED = frozenset({"extra_body", "reference_video_total_duration", "labels"})


def set_apart(row: Mapping[Any, Any], label_fields: Collection[str], ignore_fields: Collection[str]) -> dict[Any, Any]:
    """
    Return a row of a table with its columns of the user's own set apart: as ``labels``, or left out.

    :param row: names and values.
    :param label_fields: the columns that become labels.
    :param ignore_fields: the columns that are left out.
    """
    kept = {name: value for name, value in row.items() if name not in label_fields and name not in ignore_fields}
    labels = {name: row[name] for name in label_fields if name in row}
    own = kept.get("labels")
    if not labels or not (is_unset(own) or isinstance(own, Mapping)):
        return kept
    return {**kept, "labels": {**labels, **(own if isinstance(own, Mapping) else {})}}


#: Arguments of the operators that a user may put into a row, and how each clip gets its own.
_TASK_ARGUMENTS = {
    "output_path": "; give the task a list of paths or one with {index}, or map it with expand_kwargs(rows)",
    **dict.fromkeys(
        (
            *("delete_media", "existing", "fallback_models", "manifest", "max_cost", "min_balance", "overwrite"),
            *("timeout", "venice_conn_id"),
        ),
        "; map the task with expand_kwargs(rows)",
    ),
}


def raise_problems(title: str, problems: Mapping[str, str], *, can_heal: bool = False) -> None:
    """
    Raise one :class:`VeniceRequestError` that names every wrong field, if there is one.

    :param title: what is wrong with the whole.
    :param problems: what is wrong with each field.
    :param can_heal: whether the same request may be valid later.
    """
    if problems:
        listing = "; ".join(f"{name} {problem}" for name, problem in problems.items())
        raise VeniceRequestError(f"{title}: {listing}", fields=problems, can_heal=can_heal)


def unknown_fields(names: Collection[Any]) -> VeniceRequestError:
    """
    Return the error for fields that a request does not have, with the nearest that it has.

    :param names: the names.
    """
    listed = ", ".join(f"{name!r}{_hint(name)}" for name in names)
    columns = tuple(name for name in names if isinstance(name, str) and name not in _TASK_ARGUMENTS)
    ways = (
        f". To keep columns of your own with the clip, give the operator label_fields={columns!r}; to leave them out, "
        "ignore_fields. What Venice takes beyond the fields of VideoRequest goes into extra_body"
    )
    return VeniceRequestError(
        f"unknown field{'s' if len(names) > 1 else ''} in the video request: {listed}{ways if columns else ''}",
        fields={str(name): "unknown field" for name in names},
    )


def _kind(request: object) -> str:
    """Return what was given in place of a request."""
    return f"the text {request[:30]!r}" if isinstance(request, str) else type(request).__name__


def _native(request: object) -> str:
    """Return why a text may have been given in place of a request."""
    known = ". A template renders to text unless the DAG has render_template_as_native_obj=True"
    return known if isinstance(request, str) else ""


def _hint(name: Any) -> str:
    """Return what was probably meant by a field that does not exist."""
    if name is None:
        return " (a row of the table has more cells than the table has columns)"
    if name in _TASK_ARGUMENTS:
        return f" (an argument of the task, not of a request{_TASK_ARGUMENTS[name]})"
    known = (*REQUEST_FIELDS, "image")
    spelled = re.sub(r"[\W_]+", "_", str(name).lower()).strip("_")
    near = [spelled] if spelled in known else difflib.get_close_matches(spelled, known, n=1, cutoff=0.75)
    return f" (did you mean {near[0]!r}?)" if near else ""


def _set_only(values: Mapping[str, Any]) -> dict[str, Any]:
    """Drop what is not set."""
    return {name: value for name, value in values.items() if not is_unset(value)}


def _named(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is set, under the API's names."""
    named = _set_only(values)
    if "image" in named:
        image = named.pop("image")
        if named.setdefault("image_url", image) is not image:
            raise VeniceRequestError("image and image_url are the same field; give one of them")
    return named


def _clean(name: str, value: Any) -> Any:
    """Bring one value into the API's form; templates and tables deliver strings."""
    value = native(value)
    if is_unset(value):
        return None
    refuse_rendered_none(value)
    if name == "duration":
        return as_duration(value)
    if name == "audio":
        return as_boolean(value)
    if name in ("upscale_factor", "seed", "fps", "motion_bucket_id"):
        return as_integer(value)
    if name in ("guidance_scale", "reference_video_total_duration"):
        return as_number(value)
    if name in LIST_LIMITS:
        return _listing(name, value)
    if name == "labels":
        return as_labels(value)
    if name in ("consents", "extra_body"):
        if not isinstance(value, Mapping):
            raise TypeError(f"takes a mapping, not {value!r}")
        return plain(value)
    if name.endswith("_url"):
        return value.strip() if isinstance(value, str) else plain(value)
    return _text(name, value)


def _text(name: str, value: Any) -> str:
    if "prompt" in name:
        # With native rendering a prompt of digits arrives as a number.
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if number or isinstance(value, str):
            return str(value) if number else value
    elif isinstance(value, str):
        return value.strip()
    raise TypeError(f"takes a string, not {value!r}")


def _listing(name: str, value: Any) -> list[Any]:
    """One value is a list of one; lists keep their order."""
    single = isinstance(value, (str, bytes, bytearray, memoryview, Mapping)) or not hasattr(value, "__iter__")
    if isinstance(value, (set, frozenset)):
        raise TypeError("takes a list; a set has no order")
    values = [value] if single else list(value)
    if len(values) > LIST_LIMITS[name]:
        raise ValueError(f"takes at most {LIST_LIMITS[name]} entries, not {len(values)}")
    return [_entry(entry) for entry in plain(values)]


def _entry(entry: Any) -> Any:
    """Bring an element or a keyframe into the API's form: what is ``None`` is not set, one URL is a list of one."""
    if not isinstance(entry, dict):
        return entry
    return {
        name: [value] if name.endswith("_urls") and not isinstance(value, list) else value
        for name, value in entry.items()
        if value is not None
    }
