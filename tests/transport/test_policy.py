"""Which failures are tried again, told as one table."""

from __future__ import annotations

import pytest

from airflow_provider_venice.api import calls
from airflow_provider_venice.api.request import VideoRequest
from airflow_provider_venice.exceptions import (
    VeniceAPIError,
    VeniceConnectionError,
    VeniceConsentRequired,
    VeniceRateLimitError,
    VeniceRequestError,
    VeniceResponseError,
    VideoDownloadError,
    VideoGenerationError,
)
from airflow_provider_venice.transport.policy import may_repeat

QUOTE = calls.quote(VideoRequest(model="wan").to_quote_body())
QUEUE = calls.queue({"model": "wan"})

#: What failed, whether a free call is made again, and whether one that costs is.
FAILURES: list[tuple[BaseException, bool, bool]] = [
    (VeniceRateLimitError("", 429, retry_after=1), True, True),
    (VeniceConnectionError("", sent=False), True, True),
    (VeniceConnectionError("", sent=True), True, False),
    (VeniceResponseError("", status_code=200), True, False),
    (VeniceAPIError("", 500), True, False),
    (VeniceAPIError("", 503), True, False),
    (VeniceAPIError("", 400), False, False),
    (VeniceAPIError("", 402), False, False),
    (VeniceConsentRequired("", 409), False, False),
    (VideoGenerationError("", 422), False, False),
    (VideoGenerationError("", 500), False, False),
    (VeniceRequestError(""), False, False),
    (VideoDownloadError(""), True, False),
    (VideoDownloadError("", can_heal=False), False, False),
    (ConnectionError(), False, False),
    (TimeoutError(), False, False),
    (RuntimeError(), False, False),
    (KeyboardInterrupt(), False, False),
]


@pytest.mark.parametrize(("error", "free", "costly"), FAILURES)
def test_what_is_tried_again(error: BaseException, free: bool, costly: bool) -> None:
    assert may_repeat(QUOTE, error) is free
    assert may_repeat(QUEUE, error) is costly
