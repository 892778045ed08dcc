"""Every endpoint, once: what to send, whether it may be sent again, and how to read the answer."""

from __future__ import annotations

import base64
import binascii
import contextlib
import dataclasses
import json
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Generic, Literal, TypeVar

from airflow_provider_venice.api.billing import UsageEntry, UsagePage, timestamp
from airflow_provider_venice.api.limits import server_time
from airflow_provider_venice.api.model import (
    GeneratedImage,
    JobStatus,
    VideoJob,
    VideoMetadata,
    VideoModel,
    VideoQuote,
    job_status,
)
from airflow_provider_venice.api.responses import Response, raise_for_status
from airflow_provider_venice.api.spending import Period, Spending
from airflow_provider_venice.exceptions import (
    VeniceAPIError,
    VeniceError,
    VeniceRequestError,
    VideoDownloadError,
    VideoGenerationError,
)

T = TypeVar("T")

#: Most bytes of an answer that is read as a whole. The list of models has about 100 kB.
MAX_REPLY_BYTES = 8_000_000
#: The same for generated images: four of them as base64.
MAX_IMAGE_REPLY_BYTES = 128_000_000

#: A run time above this, some 30 years, is no run time.
_MOST_MILLISECONDS = 10**12

#: An amount above this is no amount of US dollars.
_MOST_MONEY = 10**15

#: Answers of ``/video/retrieve`` which say that the job has ended without a video to fetch.
_JOB_ENDED = (400, 404, 410, 422)

#: What a 404 means where nothing was asked for that could be missing.
_WRONG_BASE = "check the connection's Base URL, which ends in /api/v1 for Venice"

#: Seconds after its submission for which a job may be unknown to a part of the vendor's servers.
_LAG = 60.0

#: What ``/video/complete`` and ``/video/retrieve`` answer, with a 400, where they know of no such media.
_UNKNOWN_CODE, _UNKNOWN_WORDS = "REQUEST_ID_NOT_FOUND", "Request ID is invalid"


@dataclass(frozen=True)
class Call(Generic[T]):
    """
    One request, as a value.

    :param method: HTTP method.
    :param path: path below the base URL; or an absolute URL, which is then a secret of its own.
    :param parse: finds the result in an answer; use :meth:`read`.
    :param body: JSON body.
    :param params: query.
    :param headers: further headers.
    :param replayable: whether it may be sent again when its outcome is unknown.
    :param budget: the rate limit that it counts against.
    :param media: whether a success may be a video, which ``parse`` is not given.
    :param max_bytes: most bytes of a body that is read.
    """

    method: str
    path: str = field(repr=False)
    parse: Callable[[Response], T] = field(repr=False)
    body: Mapping[str, Any] | None = field(default=None, repr=False)
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    replayable: bool = True
    budget: Literal["queue", "retrieve"] | None = None
    media: bool = False
    max_bytes: int = MAX_REPLY_BYTES

    @property
    def is_link(self) -> bool:
        """Whether it goes to a private link, which takes no API key and is not to be shown."""
        return "://" in self.path

    def encode(self) -> bytes | None:
        """
        Return the body as it is sent.

        :raises VeniceRequestError: when it holds what JSON cannot say; nothing was sent.
        """
        if self.body is None:
            return None
        try:
            return json.dumps(self.body, allow_nan=False).encode()
        except (RecursionError, TypeError, ValueError) as error:
            raise VeniceRequestError(f"the body of {self} is not JSON: {error}") from None

    def read(self, response: Response) -> T:
        """
        Return the result in an answer.

        :raises VeniceError: always this, whatever the answer holds.
        """
        try:
            return self.parse(response)
        except VeniceError:
            raise
        except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
            raise response.unreadable(f"has an unexpected form ({type(error).__name__})") from None

    def __str__(self) -> str:
        return f"{self.method} {'the private link' if self.is_link else self.path}"


def quote(body: Mapping[str, Any]) -> Call[VideoQuote]:
    """
    Price a clip. Free.

    :param body: what prices it, with its media as URLs or data URLs.
    """

    def parse(response: Response) -> VideoQuote:
        cost = _money(response.json().get("quote"))
        if cost is None:
            raise response.unreadable("has no price in 'quote'")
        return VideoQuote(estimated_cost=cost, model=body["model"], balance=_balance(response))

    return Call("POST", "/video/quote", parse, body=body)


def queue(body: Mapping[str, Any]) -> Call[VideoJob]:
    """
    Submit a clip. Charged when it answers, so it is never sent again on its own.

    :param body: the request's body, with its media as URLs or data URLs.
    """

    def parse(response: Response) -> VideoJob:
        payload = response.json()
        queue_id = payload.get("queue_id")
        if not isinstance(queue_id, str) or not queue_id.strip():
            raise response.unreadable("has no 'queue_id'")
        # The clip is charged, and this id is all that leads to it: whatever else the answer holds, nothing
        # below may raise. What cannot be read is left out.
        model, balance = payload.get("model"), _balance(response)
        return VideoJob(
            model=model if isinstance(model, str) and model.strip() else str(body.get("model")),
            queue_id=queue_id,
            download_url=_link(payload.get("download_url")),
            queued_at=response.head.received_at,
            balance_before=None if balance is None else float(balance),
        )

    return Call("POST", "/video/queue", parse, body=body, replayable=False, budget="queue")


def retrieve(job: VideoJob) -> Call[VideoJob]:
    """Poll a job; a finished one answers with the video itself, which a poll leaves unread."""

    def parse(response: Response) -> VideoJob:
        if response.body is None:
            size = response.head.content_length
            return dataclasses.replace(
                job,
                status="completed",
                completed_at=job.completed_at or response.head.received_at,
                metadata=VideoMetadata(format="mp4", file_size=size),
            )
        _raise_for_job(response, job)
        payload = response.json()
        status = _status(response, job)
        return dataclasses.replace(
            job,
            status=status,
            average_execution_time=_milliseconds(payload.get("average_execution_time")),
            execution_duration=_milliseconds(payload.get("execution_duration")),
            completed_at=(job.completed_at or response.head.received_at) if status == "completed" else None,
        )

    return Call("POST", "/video/retrieve", parse, body=_identity(job), budget="retrieve", media=True)


def download(job: VideoJob, *, start: int = 0) -> Call[None]:
    """
    Fetch the clip, by its private link where it has one. ``parse`` gets what is not a video.

    :param start: bytes that are already here; only a private link can go on from there.
    """

    def parse(response: Response) -> None:
        _raise_for_job(response, job)
        if link is None:
            status = _status(response, job)
            if status == "completed" and job.model.endswith("-private"):
                raise VideoGenerationError(
                    f"{job} is private, and its download_url came only once, in the answer to its submission: "
                    "pass the job as the queue task returned it",
                    response.head.status,
                    model=job.model,
                    queue_id=job.queue_id,
                )
            if status == "completed":
                # Of other ids nobody knows whether they deliver by a link: this may be a server that lags behind.
                raise VideoDownloadError(
                    f"{job} is completed, but /video/retrieve does not deliver its video yet. If its submission gave a "
                    "download_url, the video comes by that link only: pass the job as the queue task returned it"
                )
            raise VideoDownloadError(f"{job} is not finished ({status}); wait for it first")
        raise response.unreadable("is not a video")

    link = job.download_url
    if link is None:
        return Call("POST", "/video/retrieve", parse, body=_identity(job), budget="retrieve", media=True)
    headers = {"Range": f"bytes={start}-"} if start else {}
    return Call("GET", link, parse, headers=headers, media=True)


def delete_media(job: VideoJob) -> Call[bool | None]:
    """
    Delete the clip at Venice; it cancels nothing. A private link is revoked, which does the same.

    The result is ``False`` where Venice knew of nothing to delete, and ``None`` where ``/video/complete`` does not know
    the id: by the vendor's agent skills of October 2026 it knows none that a submission has returned.
    """

    def parse(response: Response) -> bool | None:
        if _says_nothing(response, job):
            raise response.unreadable("is not from the API")
        if response.head.status in (404, 410):
            return False
        if job.download_url is not None:
            raise_for_status(response)
            return True
        try:
            return response.json().get("success") is True
        except VeniceAPIError as error:
            if _is_unknown(error):
                return None
            raise

    if job.download_url is not None:
        return Call("DELETE", job.download_url, parse)
    return Call("POST", "/video/complete", parse, body=_identity(job))


def retrieve_and_delete(job: VideoJob) -> Call[bool]:
    """
    Retrieve the clip once more, and have Venice delete it. Only for a clip that is stored, and never for a poll.

    The result is ``True`` where the answer is the video, and ``False`` where Venice had nothing to deliver.
    """

    def parse(response: Response) -> bool:
        if response.body is None:
            return True
        if _says_nothing(response, job):
            raise response.unreadable("is not from the API")
        if response.head.status in (404, 410):
            return False
        try:
            response.json()
        except VeniceAPIError as error:
            if not _is_unknown(error):
                raise
        return False

    body = {**_identity(job), "delete_media_on_completion": True}
    return Call("POST", "/video/retrieve", parse, body=body, budget="retrieve", media=True)


def list_models(kind: str = "video") -> Call[list[VideoModel]]:
    """
    List the models with their constraints.

    :param kind: ``video``, ``image``, …, as the API's ``type``.
    """

    def parse(response: Response) -> list[VideoModel]:
        entries = response.json(not_found=_WRONG_BASE).get("data")
        if not isinstance(entries, list):
            raise response.unreadable("has no list of models in 'data'")
        models = []
        for entry in entries:
            # One that cannot be read must not hide the others.
            with contextlib.suppress(ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
                models.append(VideoModel.from_payload(entry))
        return models

    return Call("GET", "/models", parse, params={"type": kind})


def rate_limits() -> Call[dict[str, Any]]:
    """Read the key's tier, balances and limits per model: the cheap call that proves a key."""

    def parse(response: Response) -> dict[str, Any]:
        data = response.json(not_found=_WRONG_BASE).get("data")
        if not isinstance(data, dict):
            raise response.unreadable("has no 'data'")
        return data

    return Call("GET", "/api_keys/rate_limits", parse)


def balance() -> Call[dict[str, Any]]:
    """Read the account's balance."""

    def parse(response: Response) -> dict[str, Any]:
        payload = response.json(not_found=_WRONG_BASE)
        if not isinstance(payload.get("balances"), dict):
            raise response.unreadable("has no 'balances'")
        return dict(payload)

    return Call("GET", "/billing/balance", parse)


def usage_analytics(period: Period) -> Call[Spending]:
    """Read what the account has spent, by day, model and key."""

    def parse(response: Response) -> Spending:
        try:
            return Spending.from_payload(response.json(not_found=_WRONG_BASE), period)
        except VeniceAPIError as error:
            if error.status_code in (401, 403):
                error.args = (f"{error}. Venice may want an ADMIN key for this: name a connection that has one",)
            raise

    return Call("GET", "/billing/usage-analytics", parse, params=period.query)


def usage_history(
    since: float | None = None,
    until: float | None = None,
    *,
    currency: str | None = None,
    page_size: int = 1000,
    cursor: str | None = None,
) -> Call[UsagePage]:
    """
    Read one page of the account's usage history, in the order of the entries' times. Needs an ADMIN key.

    :param since: first moment, in epoch seconds.
    :param until: the moment after the last, in epoch seconds.
    :param currency: ``USD``, ``DIEM`` or ``BUNDLED_CREDITS``; ``None`` for all.
    :param page_size: most entries on a page, 10 to 1000.
    :param cursor: that of the page before; it carries the filters, which are not sent again.
    """

    def parse(response: Response) -> UsagePage:
        payload = response.json(not_found=_WRONG_BASE)
        rows, following = payload.get("data"), payload.get("nextCursor")
        if not isinstance(rows, list):
            raise response.unreadable("has no list of entries in 'data'")
        if "nextCursor" not in payload or not (following is None or (isinstance(following, str) and following)):
            # A page that is not known to be the last one is no end of the history.
            raise response.unreadable("has no 'nextCursor'")
        head = response.head
        differ = server_time(head.headers, head.received_at) - head.received_at
        return UsagePage(tuple(UsageEntry.of(row) for row in rows), following, differ)

    params = {"pageSize": str(page_size)}
    params |= {} if since is None else {"startTimestamp": timestamp(since)}
    params |= {} if until is None else {"endTimestamp": timestamp(until)}
    params |= {} if currency is None else {"currency": currency}
    return Call(
        "GET",
        "/billing/usage-history",
        parse,
        params=params if cursor is None else {"cursor": cursor},
        # A page that a proxy has kept from an earlier reading would lack what was charged since.
        headers={"Cache-Control": "no-cache"},
    )


def generate_image(body: Mapping[str, Any]) -> Call[GeneratedImage]:
    """Generate one image. Charged when it answers, so it is never sent again on its own."""

    def parse(response: Response) -> GeneratedImage:
        images = response.json().get("images")
        try:
            data = base64.b64decode(images[0], validate=True)  # type: ignore[index]
        except (TypeError, LookupError, binascii.Error):
            raise response.unreadable("has no image in 'images'") from None
        return GeneratedImage(data=data, media_type=f"image/{body.get('format', 'webp')}")

    return Call("POST", "/image/generate", parse, body=body, replayable=False, max_bytes=MAX_IMAGE_REPLY_BYTES)


def _identity(job: VideoJob) -> dict[str, Any]:
    # Never delete_media_on_completion: the server would delete a video that nobody has stored yet.
    return {"model": job.model, "queue_id": job.queue_id}


def _status(response: Response, job: VideoJob) -> JobStatus:
    """
    Return the status in an answer about a job.

    :raises VideoGenerationError: when it says that the job has failed.
    :raises VeniceResponseError: when there is none, or one that is not known.
    """
    payload = response.json()
    status = job_status(payload.get("status"))
    if status is None:
        raise response.unreadable("has no known 'status'")
    if status == "failed":
        reason = str(payload.get("error") or "without a reason")
        raise VideoGenerationError(
            f"{job} failed: {reason}", response.head.status, model=job.model, queue_id=job.queue_id
        )
    return status


def _says_nothing(response: Response, job: VideoJob) -> bool:
    """
    Whether an answer of 4xx comes from a proxy or a CDN in front of the API, and says nothing about the job.

    A link's 410 is believed by its status: where it leads, no API answers.
    """
    status = response.head.status
    if not 400 <= status < 500 or status in (408, 429) or response.is_api_error:
        return False
    return job.download_url is None or status != 410


def _raise_for_job(response: Response, job: VideoJob) -> None:
    status = response.head.status
    if _says_nothing(response, job):
        raise response.unreadable(f"is not from the API and says nothing about {job}")
    age = None if job.queued_at is None else abs(response.head.received_at - job.queued_at)
    if status not in _JOB_ENDED:
        raise_for_status(response, about=job)
        return
    try:
        raise_for_status(response, VideoGenerationError, about=job, model=job.model, queue_id=job.queue_id)
    except VideoGenerationError as error:
        if age is not None and age < _LAG and (status == 404 or _is_unknown(error)):
            raise response.unreadable(
                f"comes {age:.0f} s after the submission of {job}, which may not be known everywhere yet"
            ) from None
        raise


def _is_unknown(error: VeniceAPIError) -> bool:
    """Whether Venice says that it knows no job of that id."""
    return error.status_code == 400 and (error.error_code == _UNKNOWN_CODE or _UNKNOWN_WORDS in str(error))


def _link(value: Any) -> str | None:
    """Return a private link that can be fetched; ``None`` for what is none."""
    try:
        parts = urllib.parse.urlsplit(value if isinstance(value, str) else "")
        return value if parts.scheme in ("http", "https") and parts.hostname else None
    except ValueError:
        return None


def _balance(response: Response) -> Decimal | None:
    """US dollars on the account before this request."""
    return _money(response.head.headers.get("x-venice-balance-usd"))


def _money(value: Any) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, (int, Decimal, str)):
        return None
    try:
        amount = Decimal(value)
        return amount if amount.is_finite() and 0 <= amount < _MOST_MONEY else None
    except ArithmeticError:
        return None


def _milliseconds(value: Any) -> float | None:
    amount = _money(value)
    return None if amount is None or amount > _MOST_MILLISECONDS else float(amount)
