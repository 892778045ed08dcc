"""Everything this package raises on purpose, as one tree.

.. code-block:: text

    VeniceError
    ├── VeniceRequestError           the input is wrong; nothing was sent, nothing was spent
    │   ├── VeniceBudgetError        the price is above what the caller allows
    │   ├── VideoTargetUnavailable   no file can be made under this name as things are: a mount, rights, space
    │   └── VideoTargetReserved      another task instance stores, or has stored, its clip under this name
    ├── VeniceConnectionError        no complete answer came back
    ├── VeniceResponseError          an answer came back that does not say what was asked for
    ├── VeniceAPIError               the API answered with an error status
    │   ├── VeniceRateLimitError     429: wait for the reset
    │   ├── VeniceConsentRequired    409: a person has to accept the provider's policy
    │   └── VideoGenerationError     the job has ended at the vendor without a video
    ├── VeniceAmbiguousSubmission    a job may have been accepted and charged; its id is unknown
    ├── VideoTimeoutError            the job was still running when the caller's time was up
    ├── VideoDownloadError           the bytes that came are not a whole video
    └── VideoBatchError              some clips of a list have failed

Every class has ``can_heal``: whether the same call, made later, may succeed. Whatever
cannot heal reaches Airflow as ``AirflowFailException``, so that no retry is spent on it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class VeniceError(Exception):
    """Base of all errors of this package."""

    #: Whether the same call, made later, may succeed.
    can_heal: bool = False

    #: Whether the request may have been carried out, and charged, although it failed.
    may_have_acted: bool = False


class VeniceRequestError(VeniceError, ValueError):
    """
    The input is wrong. Nothing was sent and nothing was spent.

    :param message: what is wrong, and the fix.
    :param fields: problem per request field, for callers that show them one by one.
    :param can_heal: whether the same input may be valid later.
    """

    def __init__(self, message: str, *, fields: Mapping[str, str] | None = None, can_heal: bool = False) -> None:
        super().__init__(message)
        self.fields: dict[str, str] = dict(fields or {})
        self.can_heal = can_heal


class VeniceBudgetError(VeniceRequestError):
    """
    The quoted price is above the caller's limit; nothing was queued.

    :param quote: the quoted price, in US dollars.
    :param max_cost: the limit, in US dollars.
    """

    def __init__(self, message: str, *, quote: Any, max_cost: Any) -> None:
        super().__init__(message)
        self.quote = quote
        self.max_cost = max_cost


class VideoTargetUnavailable(VeniceRequestError):
    """
    No file can be made under the target's name as things are: a mount is missing or read-only, rights, no space.

    Before a payment it is a wrong path; where a clip is paid for already, worth another try.
    """


class VideoTargetReserved(VeniceRequestError):
    """
    Another task instance has reserved the name under which the clip was to be stored; nothing was queued.

    :param owner: who has it, as ``airflow_provider_venice.storage.reservations.Owner``.
    :param can_heal: whether the name may be free when the task is tried again.
    """

    def __init__(self, message: str, *, owner: Any, can_heal: bool) -> None:
        super().__init__(message)
        self.owner = owner
        self.can_heal = can_heal


class VeniceConnectionError(VeniceError, ConnectionError):
    """
    No complete answer came back: refused, reset, timed out, cut short.

    :param sent: whether the request may have reached the server. ``False`` only when the
        connection was never made, so that sending it again cannot do anything twice.
    :param can_heal: whether it may be different later.
    """

    def __init__(self, message: str, *, sent: bool, can_heal: bool = True) -> None:
        super().__init__(message)
        self.sent = sent
        self.can_heal = can_heal
        self.may_have_acted = sent


class VeniceResponseError(VeniceError):
    """
    An answer came back that does not say what was asked for: HTML from a proxy, bad JSON, a missing field.

    :param status_code: the HTTP status of that answer.
    """

    can_heal = True
    may_have_acted = True

    def __init__(self, message: str, *, status_code: int) -> None:
        super().__init__(message)
        self.status_code = status_code


class VeniceAPIError(VeniceError):
    """
    The API answered with an error.

    All fields but the first two are ``None`` or empty where the server did not send them.

    :param message: the server's words, and what to do next.
    :param status_code: HTTP status.
    :param error_type: the server's ``type`` of the error, such as ``provider_content_policy``.
    :param error_code: the server's ``code``, such as ``INSUFFICIENT_BALANCE``.
    :param details: problems per request field, as the server sent them.
    :param suggested_prompt: a prompt that the provider would accept.
    :param recommended_model: the id of a model that may accept the request.
    :param credits_refunded: whether the charge was returned.
    :param retry_after: seconds until the server wants to be asked again.
    :param may_have_acted: whether the request may have been carried out all the same; by default after a
        408 and every 5xx.
    :param is_foreign: whether a proxy or a CDN in front of the API has answered, and not the API.
    """

    def __init__(
        self,
        message: str,
        status_code: int,
        *,
        error_type: str | None = None,
        error_code: str | None = None,
        details: Any = None,
        suggested_prompt: str | None = None,
        recommended_model: str | None = None,
        credits_refunded: bool | None = None,
        retry_after: float | None = None,
        may_have_acted: bool | None = None,
        is_foreign: bool = False,
    ) -> None:
        super().__init__(message)
        self.status_code = status_code
        self.error_type = error_type
        self.error_code = error_code
        self.details = details
        self.suggested_prompt = suggested_prompt
        self.recommended_model = recommended_model
        self.credits_refunded = credits_refunded
        self.retry_after = retry_after
        self.is_foreign = is_foreign
        unknown = status_code == 408 or status_code >= 500
        self.may_have_acted = unknown if may_have_acted is None else may_have_acted

    @property
    def can_heal(self) -> bool:  # type: ignore[override]
        """Time-outs, rate limits and upstream failures pass; everything else stays as it is."""
        return self.status_code in (408, 429) or self.status_code >= 500


class VeniceRateLimitError(VeniceAPIError):
    """The API refused the request for now (429); ``retry_after`` says for how long, in seconds."""


class VeniceConsentRequired(VeniceAPIError):
    """
    The provider's policy has to be accepted by a person first (409, ``needs_consent``). Free.

    :param policy_text: the text to accept.
    :param face_media_roles: which media made the provider ask, such as ``image``.
    :param consent_flow: the key under which ``consents`` are sent, such as ``seedance``.
    """

    def __init__(
        self,
        message: str,
        status_code: int,
        *,
        policy_text: str | None = None,
        face_media_roles: Sequence[str] = (),
        consent_flow: str | None = None,
        **fields: Any,
    ) -> None:
        super().__init__(message, status_code, **fields)
        self.policy_text = policy_text
        self.face_media_roles = tuple(face_media_roles)
        self.consent_flow = consent_flow


class VideoGenerationError(VeniceAPIError):
    """
    The job has ended at the vendor without a video, or its video is gone.

    :param model: the job's model.
    :param queue_id: the job's id.
    """

    can_heal = False

    def __init__(
        self,
        message: str,
        status_code: int,
        *,
        model: str | None = None,
        queue_id: str | None = None,
        **fields: Any,
    ) -> None:
        super().__init__(message, status_code, **fields)
        self.model = model
        self.queue_id = queue_id

    @property
    def costs_nothing(self) -> bool:
        """Whether the charge came back, and the same request may succeed when it is submitted anew."""
        return self.credits_refunded is True and self.error_type != "provider_content_policy"


class VeniceAmbiguousSubmission(VeniceError):
    """
    A job may have been accepted and charged, but its id never arrived.

    Sending the request again might pay twice, so it is done only where the caller asks for it.

    :param model: the model that was asked for.
    :param sent_at: when the request was sent, in epoch seconds.
    """

    def __init__(self, message: str, *, model: str, sent_at: float) -> None:
        super().__init__(message)
        self.model = model
        self.sent_at = sent_at


class VideoTimeoutError(VeniceError, TimeoutError):
    """
    The job was still running when the caller's time was up. It is still running at Venice, and paid.

    :param model: the job's model.
    :param queue_id: the job's id.
    """

    can_heal = True

    def __init__(self, message: str, *, model: str, queue_id: str) -> None:
        super().__init__(message)
        self.model = model
        self.queue_id = queue_id


class VideoDownloadError(VeniceError):
    """
    The bytes that came are not a whole video. Nothing was left under the final name.

    :param can_heal: whether fetching it again may help.
    """

    def __init__(self, message: str, *, can_heal: bool = True) -> None:
        super().__init__(message)
        self.can_heal = can_heal


class VideoBatchError(VeniceError):
    """
    Some clips of a list have failed; the others are stored.

    :param results: what became of each, as plain JSON.
    :param can_heal: whether a later try may bring some of them.
    """

    def __init__(self, message: str, *, results: Sequence[Mapping[str, Any]], can_heal: bool) -> None:
        super().__init__(message)
        self.results = list(results)
        self.can_heal = can_heal
