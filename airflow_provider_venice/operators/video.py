"""Operators that price, queue, download and generate video."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from airflow_provider_venice.api.limits import FAILURES
from airflow_provider_venice.api.model import VideoJob
from airflow_provider_venice.api.money import dollars
from airflow_provider_venice.api.polling import seconds
from airflow_provider_venice.exceptions import VeniceRateLimitError
from airflow_provider_venice.generation import arguments
from airflow_provider_venice.generation.delivery import Delivery, DownloadWait
from airflow_provider_venice.generation.download import deliver
from airflow_provider_venice.generation.fallbacks import read_models
from airflow_provider_venice.generation.options import RunOptions
from airflow_provider_venice.links import VeniceClipLink
from airflow_provider_venice.operators.base import VeniceOperator, VideoRequestOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_venice.api.model import VideoQuote
    from airflow_provider_venice.generation.lineage import LineageClip
    from airflow_provider_venice.generation.run import GenerationRun
    from airflow_provider_venice.triggers.rate_limit import Admission

#: States in which a task may be about to submit.
_UNFINISHED = ["scheduled", "queued", "running", "deferred"]


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
        from airflow_provider_venice.generation import pricing
        from airflow_provider_venice.hooks.failures import final_failures

        with final_failures():
            quotes = self._quotes()
            what = f"the batch of {len(quotes)} clips" if self.is_batch else "the clip"
            pricing.check_budget(self.budget, self.hook, quotes, what)
        if not self.is_batch:
            return quotes[0].to_dict()
        total = sum((quote.estimated_cost for quote in quotes), Decimal(0))
        self.log.info("%d clips cost %s in all", len(quotes), dollars(total))
        return {"quotes": [quote.to_dict() for quote in quotes], "total_cost": float(total), "currency": "USD"}

    def _quotes(self) -> list[VideoQuote]:
        """Return the price of each request; of a list, an error names all that are wrong."""
        from airflow_provider_venice.generation import pricing
        from airflow_provider_venice.generation.request_errors import RequestErrors

        problems, requests = RequestErrors(self.requests, is_list=self.is_batch), {}
        for position, given in enumerate(self.requests):
            with problems.about(position):
                requests[position] = self.video_request(given)
        quotes = pricing.price_requests(requests, self.hook, problems, needs_price=True, log=self.log)
        problems.raise_all()
        for position, quote in quotes.items():
            duration = requests[position].duration or "its own length"
            self.log.info("%s, %s: %s", requests[position].model, duration, dollars(quote.estimated_cost))
        return list(quotes.values())


class VideoQueueingOperator(VideoRequestOperator):
    """
    What queues clips, remembers them from one try to the next, and may wait for them in the triggerer.

    Where many such tasks of a DAG are about to submit at once, or Venice has refused a submission for
    its rate limit, a deferrable one waits in the triggerer for the rate limit, before it submits.

    :param validate: whether to check the request against the model's published constraints first.
    :param deferrable: whether to wait in the triggerer, for the rate limit and the clip; else in the worker. If
        ``None``, what ``AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE`` is set to, and ``True`` where it is not set.
    :param poll_interval: fewest seconds between two polls of the job; chosen from the model's run times if ``None``.
    :param timeout: most seconds that one try waits for the clip, and before that for the rate limit.
    :param on_clear: what a task does that a user has cleared: ``reattach`` takes up the clip that was
        bought already, ``resubmit`` buys another. A retry always takes up the clip.
    :param on_ambiguous: what to do where a submission may have been accepted, but its answer was lost:
        ``fail`` until a person has checked, ``check`` and submit again only where the account's usage history shows
        that nothing was charged (see the connection's ``admin_conn_id``), or ``resubmit`` on the next try, and perhaps
        pay twice.
    :param fallback_models: ids of models that may be bought in place of the request's, in this order and under the
        same ``max_cost``, where that one refuses the clip before payment, is gone or offline, or its job has failed and
        was refunded. (templated)
    """

    template_fields: Sequence[str] = (*VideoRequestOperator.template_fields, "fallback_models")
    operator_extra_links = (VeniceClipLink(),)

    #: What makes the run, for subclasses; ``GenerationRun`` by default.
    generation_class: ClassVar[type[GenerationRun] | None] = None

    def __init__(
        self,
        *,
        validate: bool = True,
        deferrable: bool | None = None,
        poll_interval: float | timedelta | None = None,
        timeout: float | timedelta = 3600,
        on_clear: Literal["reattach", "resubmit"] = "reattach",
        on_ambiguous: Literal["fail", "check", "resubmit"] = "fail",
        fallback_models: Sequence[str] | str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        deferrable = arguments.default_deferrable() if deferrable is None else deferrable
        self._generation_run: GenerationRun | None = None
        self.validate = validate
        self.deferrable = deferrable
        self.on_clear = on_clear
        self.on_ambiguous = on_ambiguous
        self.fallback_models = fallback_models
        with arguments.checked(self.task_id):
            self.poll_interval = None if poll_interval is None else seconds("poll_interval", poll_interval)
            self.timeout = seconds("timeout", timeout)
            arguments.check_seconds("poll_interval", self.poll_interval)
            arguments.check_seconds("timeout", self.timeout)
            arguments.check_choice("on_clear", on_clear, ("reattach", "resubmit"))
            arguments.check_choice("on_ambiguous", on_ambiguous, ("fail", "check", "resubmit"))
            arguments.check_flags(validate=validate, deferrable=deferrable)
            arguments.check_models(fallback_models)

    def execute(self, context: Context) -> Any:
        """Make the clips, or take up those that an earlier try has bought."""
        from airflow_provider_venice.hooks.failures import final_failures

        with final_failures():
            return self.generation(context).execute()

    def execute_complete(self, context: Context, event: dict[str, Any], progress: dict[str, Any] | None = None) -> Any:
        """Go on with the clips that the trigger has found finished."""
        from airflow_provider_venice.hooks.failures import final_failures

        with final_failures():
            return self.generation(context).execute(event, progress)

    def execute_submission(
        self, context: Context, event: dict[str, Any], progress: dict[str, Any] | None = None
    ) -> Any:
        """Begin again, now that the rate limit admits the submission."""
        from airflow_provider_venice.hooks.failures import final_failures
        from airflow_provider_venice.triggers.rate_limit import admission

        with final_failures():
            return self.generation(context, admission(event)).execute(progress=progress)

    def execute_download(
        self,
        context: Context,
        event: dict[str, Any],
        progress: dict[str, Any] | None = None,
        completed: dict[str, Any] | None = None,
    ) -> Any:
        """
        Go on with the downloads, now that the rate limit admits one, or the time for the wait is up.

        :param event: of the rate limit's trigger. A failure is met again by the download, which says more.
        :param progress: what the try knew before the wait.
        :param completed: the event that had brought the finished clips.
        """
        return self._continue(context, completed, progress)

    def execute_doubt(
        self,
        context: Context,
        event: dict[str, Any],
        progress: dict[str, Any] | None = None,
        completed: dict[str, Any] | None = None,
    ) -> Any:
        """
        Go on with a submission in doubt, now that the account's usage history shows whether it was charged.

        :param event: of the trigger that has waited for the history.
        :param progress: what the try knew before the wait.
        :param completed: the event that had brought the clips that are finished.
        """
        return self._continue(context, completed, progress)

    def _continue(self, context: Context, completed: dict[str, Any] | None, progress: dict[str, Any] | None) -> Any:
        from airflow_provider_venice.hooks.failures import final_failures

        with final_failures():
            return self.generation(context).execute(completed, progress)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Go on after a wait in the triggerer; where that was lost, the error says what was bought."""
        from airflow_provider_venice.triggers.heartbeat import explain_lost_wait

        with explain_lost_wait(next_method, lambda: self.generation(context).describe_bought()):
            return super().resume_execution(next_method, next_kwargs, context)

    def generation(self, context: Context, admission: Admission | None = None) -> GenerationRun:
        """
        Return the run that this task makes.

        :param context: the task's context.
        :param admission: what the rate limit's trigger has sent, where it has let the task through.
        """
        from airflow_provider_venice.generation.run import GenerationRun

        self._generation_run = (self.generation_class or GenerationRun)(
            self.options,
            self.hook,
            context,
            log=self.log,
            outlets=self.outlets,
            is_one_of_many=lambda: self._is_one_of_many(context),
            admission=admission,
        )
        return self._generation_run

    def lineage_clips(self) -> list[LineageClip]:
        """Return the clips that were bought, or may have been, for OpenLineage."""
        from airflow_provider_venice.generation.lineage import lineage_clips

        return [] if self._generation_run is None else lineage_clips(self._generation_run.clips)

    @property
    def options(self) -> RunOptions:
        """What the arguments say of the run."""
        return RunOptions(
            requests=self.requests,
            is_list=self.is_batch,
            read_request=self.video_request,
            budget=self.budget,
            venice_conn_id=self.venice_conn_id,
            validate=self.validate,
            deferrable=self.deferrable,
            poll_interval=self.poll_interval,
            timeout=self.timeout,
            on_clear=self.on_clear,
            on_ambiguous=self.on_ambiguous,
            fallback_models=read_models(self.fallback_models),
            wait=self.waits,
            delivery=self.delivery,
        )

    @property
    def waits(self) -> bool:
        """Whether the task waits for its clips."""
        return True

    @property
    def delivery(self) -> Delivery | None:
        """What becomes of the finished clips; ``None`` where the task stores none."""
        return None

    def _is_one_of_many(self, context: Context) -> bool:
        """Whether so many tasks of the DAG may be about to submit that their refusals could bring the block."""
        queueing = [
            task.task_id
            for task in context["dag"].tasks
            if issubclass(getattr(task, "operator_class", type(task)), VideoQueueingOperator)
        ]
        count = context["ti"].get_ti_count(dag_id=self.dag_id, task_ids=queueing, states=_UNFINISHED)
        return count > FAILURES


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
        with arguments.checked(self.task_id):
            arguments.check_flags(wait_for_completion=wait_for_completion)

    @property
    def waits(self) -> bool:
        """Whether the task waits for its clip."""
        return self.wait_for_completion


class VeniceDownloadVideoOperator(VeniceOperator):
    """
    Stream a finished clip to a file, which appears under its name only when it is whole.

    Returns ``path``, ``size`` (bytes), ``sha256``, ``metadata`` and ``job``; the record that
    ``manifest`` writes is the extra of the asset event for each asset in ``outlets``. A retry is
    safe: a file that an earlier try has stored is the result.

    :param job: the job that a queue task or a sensor returned. (templated)
    :param output_path: a local path or any ``ObjectStoragePath`` or its URL, such as
        ``s3://aws_default@bucket/clip.mp4``. (templated)
    :param existing: what becomes of a file that is already there: ``fail`` (the default), ``replace``, or ``reuse``
        where its manifest says that it is the clip of this very job: then nothing is downloaded. ``reuse`` implies
        ``manifest``.
    :param overwrite: the older form: ``True`` is ``existing="replace"``, ``False`` is ``existing="fail"``.
    :param delete_media: whether to delete the clip at Venice once the file is stored and checked.
    :param manifest: whether to write a record of the clip, ``<output_path>.json``: what was asked for,
        what it cost, when, which file came of it, and which task did it.
    :param deferrable: whether to leave a longer wait for the rate limit to the triggerer. If ``None``, what
        ``AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE`` is set to, and ``True`` where it is not set.
    :param timeout: most seconds to wait for the rate limit.
    """

    # The job first, so that a path may name it: ``{{ task.job.queue_id }}``.
    template_fields: Sequence[str] = (*VeniceOperator.template_fields, "job", "output_path")
    operator_extra_links = (VeniceClipLink(),)

    def __init__(
        self,
        *,
        job: Any,
        output_path: Any,
        existing: arguments.Existing | None = None,
        overwrite: bool | None = None,
        delete_media: bool = False,
        manifest: bool = False,
        deferrable: bool | None = None,
        timeout: float | timedelta = 3600,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        deferrable = arguments.default_deferrable() if deferrable is None else deferrable
        self._stored: dict[str, Any] | None = None
        self.job = job
        self.output_path = output_path
        self.delete_media = delete_media
        self.deferrable = deferrable
        with arguments.checked(self.task_id):
            self.timeout = seconds("timeout", timeout)
            arguments.check_seconds("timeout", self.timeout)
            arguments.check_job(job, many=False)
            arguments.check_path(output_path)
            self.existing = arguments.chosen_existing(existing, overwrite)
            self.manifest = manifest or self.existing == "reuse"
            arguments.check_flags(delete_media=delete_media, manifest=manifest, deferrable=deferrable)

    def execute(self, context: Context) -> dict[str, Any]:
        """Download, and delete if asked to."""
        return self._deliver(context, None)

    def execute_download(self, context: Context, event: dict[str, Any], wait: list[float]) -> dict[str, Any]:
        """
        Download, now that the rate limit admits it, or the time for the wait is up.

        :param event: of the rate limit's trigger. A failure is met again by the download, which says more.
        :param wait: since when it waits, and until when it may, in epoch seconds.
        """
        return self._deliver(context, wait)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Go on after a wait in the triggerer; where that was lost, the error says what is left."""
        from airflow_provider_venice.triggers.heartbeat import explain_lost_wait

        def describe() -> str:
            return f"{VideoJob.of(self.job)} is paid and not stored. A retry or a clear of this task downloads it"

        with explain_lost_wait(next_method, describe):
            return super().resume_execution(next_method, next_kwargs, context)

    def _deliver(self, context: Context, wait: list[float] | None) -> dict[str, Any]:
        from airflow_provider_venice.generation.deferral import defer_for_download
        from airflow_provider_venice.hooks.failures import final_failures

        delivery = Delivery(self.output_path, self.existing, self.delete_media, self.manifest)
        patience = DownloadWait.of(deferrable=self.deferrable, timeout=self.timeout)

        def wait_for_rate_limit(error: VeniceRateLimitError) -> None:
            now = time.time()
            waited = wait or [now, now + self.timeout]
            # Too many fetches of a private link are not a rate limit: no waiting gets it back.
            if self.deferrable and now < waited[1] and VideoJob.of(self.job).download_url is None:
                self.log.info("%s", error)
                defer_for_download(self.venice_conn_id, waited, error.retry_after, {"wait": waited}, self.log)

        with final_failures():
            self._stored = deliver(
                self.job,
                delivery,
                self.hook,
                context,
                log=self.log,
                outlets=self.outlets,
                patience=patience,
                wait_for_rate_limit=wait_for_rate_limit,
            )
        return self._stored

    def lineage_clips(self) -> list[LineageClip]:
        """Return the clip that was stored, for OpenLineage."""
        from airflow_provider_venice.generation.lineage import LineageClip

        if self._stored is None:
            return []
        job = VideoJob.of(self.job)
        return [LineageClip("stored", job.model, job, cost=job.estimated_cost, file=self._stored)]


class VeniceGenerateVideoOperator(VideoQueueingOperator):
    """
    The whole life of a clip in one task: check, price, queue, wait, download. Or of a list of clips.

    Returns what :class:`VeniceDownloadVideoOperator` returns. The clip is charged when it is queued,
    and remembered: a retry waits for the same one, downloads it, or finds the file that is there.

    With a list of requests it returns a list, in their order. All clips are checked and priced before the
    first is bought, and waited for in one trigger. One that fails does not hide the others: these are
    stored, and then the task fails. A retry or a clear takes up what was bought, by its place in the list.

    The XCom ``venice_results`` has a list of what has become of each clip so far, also of a single one: its
    ``status``, such as ``stored``, ``failed`` or ``doubt``, with the file's description or the ``error``.

    :param request: a ``VideoRequest``, a mapping of its fields, or a list of these. (templated)
    :param output_path: where the clip goes: a local path or any ``ObjectStoragePath`` or its URL, such as
        ``s3://aws_default@bucket/clip.mp4``. For a list of requests a list of as many paths, or one with
        ``{index}`` in it, or ``{index:04}``: the request's place in the list, from 0; without a list
        the map index. It is reserved before anything is bought: no two tasks buy for one path. (templated)
    :param existing: what becomes of a file that is already there: ``fail`` (the default), ``replace``, or ``reuse``
        where its manifest says that it is a clip of this very request: then nothing is bought. ``reuse`` implies
        ``manifest``.
    :param overwrite: the older form: ``True`` is ``existing="replace"``, ``False`` is ``existing="fail"``.
    :param delete_media: whether to delete the clip at Venice once the file is stored and checked.
    :param manifest: whether to write a record of the clip, ``<output_path>.json``: what was asked for,
        what it cost, when, which file came of it, and which task did it.
    :param max_cost: most US dollars to spend, in all. What earlier tries have spent and did not get back counts, and
        so does a submission in doubt. (templated)
    """

    template_fields: Sequence[str] = (*VideoQueueingOperator.template_fields, "output_path")

    def __init__(
        self,
        *,
        output_path: Any,
        existing: arguments.Existing | None = None,
        overwrite: bool | None = None,
        delete_media: bool = False,
        manifest: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.output_path = output_path
        self.delete_media = delete_media
        with arguments.checked(self.task_id):
            arguments.check_path(output_path)
            self.existing = arguments.chosen_existing(existing, overwrite)
            self.manifest = manifest or self.existing == "reuse"
            if self.is_batch and isinstance(self.request, (list, tuple)) and arguments.is_literal(output_path):
                self.delivery.targets(len(self.request), is_list=True, map_index=None)
            arguments.check_flags(delete_media=delete_media, manifest=manifest)

    @property
    def delivery(self) -> Delivery:
        """What becomes of the finished clips."""
        return Delivery(self.output_path, self.existing, self.delete_media, self.manifest)
