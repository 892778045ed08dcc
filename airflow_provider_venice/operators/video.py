"""Operators that price, queue, download and generate video."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from airflow_provider_venice.api.model import VideoQuote
from airflow_provider_venice.api.request import VideoRequest
from airflow_provider_venice.exceptions import VideoGenerationError
from airflow_provider_venice.hooks.failures import final_failures, told_how_to_collect
from airflow_provider_venice.operators.base import VideoRequestOperator
from airflow_provider_venice.operators.batch import Batch, output_paths
from airflow_provider_venice.operators.delivery import DeliveringOperator
from airflow_provider_venice.operators.manifest import describe_failure, write_manifest
from airflow_provider_venice.operators.purchase import Purchase
from airflow_provider_venice.operators.queueing import VideoQueueingOperator
from airflow_provider_venice.operators.submission import SubmissionMemory

if TYPE_CHECKING:
    from airflow.sdk import Context


class VeniceQuoteVideoOperator(VideoRequestOperator):
    """
    Price one clip, or a list of them, and fail above a budget. Free; nothing is queued.

    Returns the quote, with ``estimated_cost`` in US dollars. For a list: ``quotes``, in the
    order of the requests, ``total_cost`` and ``currency``; ``max_cost`` then limits the total.

    :param request: a ``VideoRequest``, a mapping of its fields, or a list of these. (templated)
    :param max_cost: most US dollars to spend, in all. (templated)
    """

    def execute(self, context: Context) -> dict[str, Any]:
        """Return the price, or the prices."""
        with final_failures():
            requests = [self.video_request(request) for request in self.requests]
            quotes = [self._quote(request) for request in requests]
            total = sum((quote.estimated_cost for quote in quotes), Decimal(0))
            balance = quotes[-1].balance if quotes else None
            self.check_budget(total, f"the batch of {len(quotes)} clips" if self.is_batch else "the clip", balance)
        if not self.is_batch:
            return quotes[0].to_dict()
        self.log.info("%d clips cost $%s in all", len(quotes), total)
        return {"quotes": [quote.to_dict() for quote in quotes], "total_cost": float(total), "currency": "USD"}

    def _quote(self, request: VideoRequest) -> VideoQuote:
        quote = self.hook.quote(request)
        self.log.info("%s, %s: $%s", request.model, request.duration or "its own length", quote.estimated_cost)
        return quote


class VeniceQueueVideoOperator(VideoQueueingOperator):
    """
    Queue a clip and return the job, for a sensor to wait for and a download task to fetch.

    The clip is charged when it is queued, and remembered: a retry takes up the same one. Where the
    answer to the submission is lost, the task fails for good and says so, unless ``on_ambiguous``
    says otherwise: sending it again might pay twice.

    :param wait_for_completion: whether to wait here for the clip to be finished.
    """

    def __init__(self, *, wait_for_completion: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.wait_for_completion = wait_for_completion

    def execute(self, context: Context) -> dict[str, Any]:
        """Queue, and return the job as a dictionary; its private link, if it has one, encrypted."""
        from airflow_provider_venice.hooks.sealing import seal

        job = self.submit(context)
        if not self.wait_for_completion:
            return seal(job)
        with final_failures(), told_how_to_collect(job, self.log):
            return seal(self.wait(job, context))

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Return the completed job."""
        from airflow_provider_venice.hooks.sealing import seal

        return seal(self.completed(event, context))


class VeniceDownloadVideoOperator(DeliveringOperator):
    """
    Stream a finished clip to a file, which appears under its name only when it is whole.

    Returns ``path``, ``size`` (bytes), ``sha256``, ``metadata`` and ``job``; the record that
    ``manifest`` writes is the extra of the asset event for each asset in ``outlets``. A retry is
    safe: a file that an earlier try has stored is the result.

    The arguments ``output_path``, ``overwrite``, ``delete_media`` and ``manifest`` are those of
    :class:`~airflow_provider_venice.operators.delivery.DeliveringOperator`.

    :param job: the job that a queue task or a sensor returned. (templated)
    """

    template_fields: Sequence[str] = (*DeliveringOperator.template_fields, "job")

    def __init__(self, *, job: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.job = job

    def execute(self, context: Context) -> dict[str, Any]:
        """Download, and delete if asked to."""
        with final_failures():
            return self.deliver(self.job, context)


class VeniceGenerateVideoOperator(VideoQueueingOperator, DeliveringOperator):
    """
    The whole life of a clip in one task: check, price, queue, wait, download. Or of a list of clips.

    Returns what :class:`VeniceDownloadVideoOperator` returns. The clip is charged when it is queued,
    and remembered: a retry waits for the same one, downloads it, or finds the file that is there.

    With a list of requests it returns a list, in their order. All clips are checked and priced before the
    first is bought, and waited for in one trigger. One that fails does not hide the others: these are
    stored, and then the task fails. The XCom ``venice_results`` has what became of each: its ``status``,
    ``stored`` or ``failed``, with the file's description or the ``error``. A retry or a clear takes up
    what was bought, by its place in the list.

    :param request: a ``VideoRequest``, a mapping of its fields, or a list of these. (templated)
    :param output_path: where the clip goes. For a list of requests a list of as many paths, or one with
        ``{index}`` in it, or ``{index:04}``: the request's place in the list, from 0. (templated)
    :param max_cost: most US dollars to spend, in all. (templated)

    The arguments ``overwrite``, ``delete_media`` and ``manifest`` are those of
    :class:`~airflow_provider_venice.operators.delivery.DeliveringOperator`.
    """

    template_fields: Sequence[str] = (*VideoQueueingOperator.template_fields, "output_path")

    def check_before_payment(self) -> None:
        """Refuse an ``output_path`` under which nothing can be stored."""
        from airflow_provider_venice import storage

        storage.check_target(self.output_path, overwrite=self.overwrite)

    def execute(self, context: Context) -> dict[str, Any] | list[dict[str, Any]]:
        """Queue the clip, or take up the one that an earlier try has bought, and wait for it."""
        if self.is_batch:
            return Batch(self, context).run()
        job = self.submit(context)
        with final_failures(), told_how_to_collect(job, self.log):
            # One that was delivered may be deleted at the vendor by now.
            known = SubmissionMemory(context).delivery(job)
            return self.deliver(job if known else self.wait(job, context), context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any] | list[dict[str, Any]]:
        """Download the clip, or the clips, that the trigger found finished."""
        if self.is_batch:
            return Batch(self, context).run(event)
        finished = self.completed(event, context)
        with final_failures(), told_how_to_collect(finished, self.log):
            return self.deliver(finished, context)

    def remember_failure(self, purchase: Purchase, error: VideoGenerationError, context: Context) -> None:
        """Remember a clip that did not come, and write its record where one was asked for."""
        job = purchase.failed(error)
        if job is not None and self.manifest:
            path = output_paths(self)[purchase.position or 0]
            self.log.info("Wrote %s", write_manifest(path, describe_failure(context, job, error)))
