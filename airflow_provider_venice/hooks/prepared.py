"""A submission that is ready to be sent: everything that can fail before it has been done."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from airflow_provider_venice import observability
from airflow_provider_venice.api.calls import Call
from airflow_provider_venice.api.media_digests import media_digests
from airflow_provider_venice.api.model import VideoJob
from airflow_provider_venice.exceptions import VeniceError
from airflow_provider_venice.hooks.failures import FinalAmbiguousSubmission

if TYPE_CHECKING:
    from airflow_provider_venice.transport.blocking import BlockingTransport


@dataclass(frozen=True)
class PreparedSubmission:
    """
    One submission; calling it sends it.

    :param transport: sends it.
    :param call: what is sent, its media as they were read.
    :param model: the model that is asked for.
    """

    transport: BlockingTransport
    call: Call[VideoJob]
    model: str

    @cached_property
    def media_digests(self) -> Mapping[str, str]:
        """The digests of the media that are sent, by the names of their fields."""
        return media_digests(self.call.body or {})

    def __call__(self, max_wait: float | None) -> VideoJob:
        """
        Send it, and return the job. It is charged.

        :param max_wait: longest wait for the rate limit, in seconds; ``None`` for the connection's setting.
        :raises VeniceAmbiguousSubmission: when it may have been accepted, but the answer was lost.
        :raises VeniceError: when Venice refused; nothing was bought.
        """
        sent_at = time.time()
        try:
            # Charged when it answers. The caller notes the job before anything else is done that could fail; a
            # crash before that note leaves the caller's intent, and doubt.
            return self.transport.send(self.call, max_wait=max_wait)
        except VeniceError as error:
            if error.may_have_acted:
                raise FinalAmbiguousSubmission(
                    f"the submission to model {self.model!r} of {time.strftime('%F %T', time.gmtime(sent_at))} UTC "
                    f"may have been accepted and charged, but no job id came back ({error}). It is not sent again by "
                    "itself. Look at the usage page of the Venice account for a charge at that time; if there is "
                    "none, run it again",
                    model=self.model,
                    sent_at=sent_at,
                ) from error
            observability.submission_refused(self.model, error)
            raise
