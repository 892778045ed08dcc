"""What queueing clips takes: check, price, take a turn, buy; and waiting for them."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from airflow.providers.common.compat.sdk import AirflowException

from airflow_provider_venice.api import constraints
from airflow_provider_venice.api.limits import FAILURES
from airflow_provider_venice.api.model import VideoJob
from airflow_provider_venice.api.polling import seconds
from airflow_provider_venice.api.request import VideoRequest
from airflow_provider_venice.exceptions import VeniceRateLimitError, VideoGenerationError
from airflow_provider_venice.hooks.failures import final_failures, told_how_to_collect
from airflow_provider_venice.operators.base import VideoRequestOperator
from airflow_provider_venice.operators.purchase import Purchase
from airflow_provider_venice.operators.submission import JOB_KEY

if TYPE_CHECKING:
    from airflow.sdk import Context

#: Longest wait for the rate limit in a worker, in seconds: about what it costs to start another one.
_SHORT_WAIT = 3.0

#: States in which a task may be about to submit.
_UNFINISHED = ["scheduled", "queued", "running", "deferred"]


class VideoQueueingOperator(VideoRequestOperator):
    """
    What queues a clip, remembers it from one try to the next, and may wait for it in the triggerer.

    Where many such tasks of a DAG are about to submit at once, or Venice has refused a submission for
    its rate limit, a deferrable one waits in the triggerer for its turn, before it submits.

    :param validate: whether to check the request against the model's published constraints first.
    :param deferrable: whether to wait in the triggerer, for a turn and for the clip; else in the worker.
    :param poll_interval: fewest seconds between two looks at the job; chosen from the model's run times if ``None``.
    :param timeout: most seconds that one try waits for the clip, and before that for its turn.
    :param on_clear: what a task does that a user has cleared: ``reattach`` takes up the clip that was
        bought already, ``resubmit`` buys another. A retry always takes up the clip.
    :param on_ambiguous: what to do where a submission may have been accepted, but its answer was lost:
        ``fail`` and let a person look, or ``resubmit`` on the next try, and perhaps pay twice.
    """

    def __init__(
        self,
        *,
        validate: bool = True,
        deferrable: bool = True,
        poll_interval: float | timedelta | None = None,
        timeout: float | timedelta = 3600,
        on_clear: Literal["reattach", "resubmit"] = "reattach",
        on_ambiguous: Literal["fail", "resubmit"] = "fail",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.validate = validate
        self.deferrable = deferrable
        self.poll_interval = None if poll_interval is None else seconds("poll_interval", poll_interval)
        self.timeout = seconds("timeout", timeout)
        self.on_clear = on_clear
        self.on_ambiguous = on_ambiguous
        for name, known in (("on_clear", ("reattach", "resubmit")), ("on_ambiguous", ("fail", "resubmit"))):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} is {getattr(self, name)!r}; give one of {', '.join(known)}")
        #: Once it was let through: since when it has waited for its turn, and until when it may, in epoch seconds.
        self.turn: tuple[float, float] | None = None

    def submit(self, context: Context) -> VideoJob:
        """Return the clip that an earlier try has bought, or check, price and queue one."""
        purchase = Purchase(self, context)
        with final_failures():
            job = purchase.recall()
            if job is None:
                request = purchase.request
                self.check_before_payment()
                (cost,) = self.check_and_price([request], "the clip")
                job = self.buy(purchase, request, cost, context)
        with told_how_to_collect(job, self.log):
            self.show([job], context)
        return job

    def show(self, jobs: Sequence[VideoJob], context: Context) -> None:
        """Push what was bought: for people, and for VeniceRecoverVideosOperator when the task is killed."""
        from airflow_provider_venice.hooks.sealing import seal

        sealed = [seal(job) for job in jobs]
        context["ti"].xcom_push(key=JOB_KEY, value=sealed if self.is_batch else sealed[0])

    def check_before_payment(self) -> None:
        """Check what else must be right before a clip is bought."""

    def check_and_price(
        self, requests: Sequence[VideoRequest], what: str, spent: Decimal = Decimal(0)
    ) -> list[Decimal | None]:
        """
        Check requests against their models, and their prices against the budget. Free.

        :param what: what is bought, for messages.
        :param spent: US dollars that were spent already and count as well.
        :return: US dollars each; ``None`` where the budget asks for no price.
        :raises VeniceRequestError: when one is not valid, or all together cost too much.
        """
        if self.validate and requests:
            models = self.hook.list_models()
            for model in {m.id: m for m in (constraints.check_request(one, models) for one in requests)}.values():
                if model.deprecation:
                    self.log.warning("Model %s is going to end: %s", model.id, dict(model.deprecation))
        if not self.budget.needs_price or not requests:
            return [None] * len(requests)
        # Clips that differ in nothing that prices them cost the same.
        priced_by = [json.dumps(request.to_quote_body(), sort_keys=True, default=repr) for request in requests]
        quotes = {
            body: self.hook.quote(request) for body, request in dict(zip(priced_by, requests, strict=True)).items()
        }
        costs: list[Decimal | None] = [quotes[body].estimated_cost for body in priced_by]
        total = sum((quotes[body].estimated_cost for body in priced_by), Decimal(0))
        balance = next(reversed(quotes.values())).balance
        self.check_budget(total, what, balance, spent)
        return costs

    def buy(self, purchase: Purchase, request: VideoRequest, cost: Decimal | None, context: Context) -> VideoJob:
        """
        Submit a clip; where the rate limit asks for a wait, leave that to the triggerer and come back.

        :param purchase: the clip.
        :param request: what it is to show.
        :param cost: US dollars, ``None`` where nobody asked.
        """
        if not self.deferrable:
            return purchase.buy(request, cost, None)
        if self.turn is None and self._is_one_of_many(context):
            self._defer_for_turn(None)
        try:
            return purchase.buy(request, cost, _SHORT_WAIT)
        except VeniceRateLimitError as error:
            self.log.info("%s", error)
            self._defer_for_turn(time.time() + (error.retry_after or 0.0))

    def execute_in_turn(self, context: Context, event: dict[str, Any]) -> Any:
        """Begin again, now that the rate limit admits the submission."""
        from airflow_provider_venice.triggers.rate_limit import admission

        with final_failures():
            self.turn = admission(event)
        return self.execute(context)

    def _is_one_of_many(self, context: Context) -> bool:
        """Whether so many tasks of the DAG may be about to submit that their refusals could bring the block."""
        queueing = [
            task.task_id
            for task in context["dag"].tasks
            if issubclass(getattr(task, "operator_class", type(task)), VideoQueueingOperator)
        ]
        count = context["ti"].get_ti_count(dag_id=self.dag_id, task_ids=queueing, states=_UNFINISHED)
        return count > FAILURES

    def _defer_for_turn(self, refused_until: float | None) -> NoReturn:
        from airflow_provider_venice.triggers.rate_limit import VeniceRateLimitTrigger

        now = time.time()
        since, deadline = self.turn or (now, now + self.timeout)
        self.log.info("Waiting in the triggerer until the rate limit admits the submission; nothing was sent yet")
        self.defer(
            trigger=VeniceRateLimitTrigger(
                venice_conn_id=self.venice_conn_id, since=since, deadline=deadline, refused_until=refused_until
            ),
            method_name="execute_in_turn",
        )

    def wait(self, job: VideoJob, context: Context) -> VideoJob:
        """Return the job completed, or leave it to the triggerer and come back by ``execute_complete``."""
        if not self.deferrable:
            with self._remembering_failure(context):
                return self.hook.wait_for_completion(job, self.poll_interval, self.timeout)
        self.defer_until_completed([job])

    def defer_until_completed(self, jobs: Sequence[VideoJob]) -> NoReturn:
        """Leave jobs to the triggerer, and come back by ``execute_complete`` when all have ended."""
        from airflow_provider_venice.triggers.video import VeniceVideoTrigger

        self.defer(
            trigger=VeniceVideoTrigger(
                jobs=jobs,
                venice_conn_id=self.venice_conn_id,
                poll_interval=self.poll_interval,
                deadline=time.time() + self.timeout,
            ),
            method_name="execute_complete",
        )

    def completed(self, event: Mapping[str, Any], context: Context) -> VideoJob:
        """Return the job that the trigger saw completed."""
        from airflow_provider_venice.triggers.events import completed_jobs

        with final_failures(), self._remembering_failure(context):
            return completed_jobs(event)[0]

    @contextlib.contextmanager
    def _remembering_failure(self, context: Context) -> Iterator[None]:
        try:
            yield
        except VideoGenerationError as error:
            self.remember_failure(Purchase(self, context), error, context)
            if not error.costs_nothing:
                raise
            # Not one of ours, which would be final: here a retry is wanted, and buys another clip.
            raise AirflowException(f"{error}. Nothing was paid for it; a retry submits it anew") from error

    def remember_failure(self, purchase: Purchase, error: VideoGenerationError, context: Context) -> None:
        """Remember a clip that was bought and did not come."""
        purchase.failed(error)
