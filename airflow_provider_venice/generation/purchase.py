"""
Buying the clips of a run that are missing.

In this order, so that what can be refused is refused before anything is paid:

1. ``reuse_existing``: what is there already, of the same request, is not bought where the task reuses it.
2. ``_check``: fields, constraints, media and targets of all requests, then their prices, then the budget.
3. ``_reserve``: the targets of all, or of none.
4. ``_buy``: one clip after the other, each as :mod:`~airflow_provider_venice.generation.submission` does it. Where the
   rate limit asks for a wait, the task is deferred, and begins again at 1 with those that are still missing. Where a
   model refuses a clip, the next one that the task names is priced, compared with the budget and bought.

The first failure that would meet the others as well, or that leaves a doubt, ends it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_provider_venice import observability
from airflow_provider_venice.api.model import VideoJob, VideoQuote
from airflow_provider_venice.api.request import VideoRequest
from airflow_provider_venice.exceptions import (
    VeniceBudgetError,
    VeniceError,
    VeniceRateLimitError,
    VeniceRequestError,
)
from airflow_provider_venice.generation import pricing
from airflow_provider_venice.generation.checks import check_requests
from airflow_provider_venice.generation.clips import Clip, can_heal
from airflow_provider_venice.generation.deferral import defer_for_rate_limit
from airflow_provider_venice.generation.delivery import SHORT_WAIT
from airflow_provider_venice.generation.doubts import require_admin_connection
from airflow_provider_venice.generation.fallbacks import is_of_every_request
from airflow_provider_venice.generation.options import RunOptions
from airflow_provider_venice.generation.progress import Progress
from airflow_provider_venice.generation.reports import MOST_NAMED, Reports
from airflow_provider_venice.generation.request_errors import RequestErrors, first_line, is_of_one_request
from airflow_provider_venice.generation.reuse import reuse_existing
from airflow_provider_venice.generation.submission import NotNoted
from airflow_provider_venice.hooks.task_store import stop_if_replaced

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_venice.hooks.venice import VeniceHook
    from airflow_provider_venice.triggers.rate_limit import Admission

#: After how many purchases the XCom of the jobs is pushed again.
_PUSHED_EVERY = 10


class Purchase:
    """
    Buys the clips of a run that are missing.

    :param clips: all clips of the task.
    :param options: what the task's arguments say.
    :param hook: talks to Venice.
    :param context: the task's context.
    :param reports: shows what was bought.
    :param progress: what the try takes along through a wait for the rate limit.
    :param admission: that of the rate limit's trigger, once it has let the task through.
    :param is_one_of_many: whether so many tasks may be about to submit that the rate limit would refuse some.
    :param log: the task's log.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        options: RunOptions,
        hook: VeniceHook,
        context: Context,
        *,
        reports: Reports,
        progress: Progress,
        admission: Admission | None,
        is_one_of_many: Callable[[], bool],
        log: Any,
    ) -> None:
        self._clips = clips
        self._options = options
        self._hook = hook
        self._context = context
        self._reports = reports
        self._progress = progress
        self._admission = admission
        self._expires_at = None if admission is None else admission.expires_at
        self._is_one_of_many = is_one_of_many
        self._log = log
        #: The prices of what is still to be bought, by position.
        self._quotes: dict[int, VideoQuote] = {}
        #: The models that Venice does not sell at present, as it has said to a clip of this run.
        self._unavailable: dict[str, VeniceError] = {}

    def buy_missing(self) -> None:
        """
        Buy what is missing: nothing before all of it is checked, priced and reserved, then one clip after the other.

        :raises VeniceError: when something is wrong with the requests or their price, and nothing was bought before.
        :raises TaskDeferred: to wait for the rate limit.
        """
        missing = [clip for clip in self._clips if clip.is_missing]
        if not missing:
            return
        if any(clip.is_doubtful for clip in self._clips):
            self.stop(missing)
            return
        try:
            missing = self._check(missing)
            self._reserve(missing)
        except VeniceError as error:
            # What stands in its way may be what another try has stored, which has replaced this one.
            stop_if_replaced(self._context["ti"])
            observability.purchase_refused(error)
            missing = [clip for clip in missing if clip.is_missing]
            if not any(clip.job and not clip.is_reused for clip in self._clips):
                self._reports.show_refusal(missing, error)
                raise
            self._log.error("%s", error)
            self._leave(missing, first_line(error), error)
            return
        # What is about to be bought, and for how much: the purchase may have to wait for the rate limit.
        self._reports.show_results()
        try:
            for number, clip in enumerate(missing, 1):
                assert clip.request is not None
                if not self._buy(clip, clip.request):
                    self.stop(missing[number:])
                    break
                if number % _PUSHED_EVERY == 0:
                    self._reports.push()
        finally:
            # Also before a wait for the rate limit, which keeps the reservations.
            self._reports.push()
        self.release([clip for clip in missing if clip.job is None and not clip.is_doubtful])

    def _check(self, clips: Sequence[Clip]) -> list[Clip]:
        """
        Reuse what is there; check and price all other requests before the first is bought, and return their clips.

        Sets the ``cost`` of each that has one.
        """
        require_admin_connection(self._options, self._hook)
        problems = RequestErrors(self._options.requests, is_list=self._options.is_list)
        reuse_existing(clips, self._hook, self._progress, problems, self._log)
        clips = [clip for clip in clips if clip.is_missing]
        check_requests(clips, self._options, self._hook, problems, self._log)
        places = [clip.position for clip in clips]
        valid = {
            place: clip.request
            for place, clip in zip(places, clips, strict=True)
            if clip.request is not None and not problems.has(place)
        }
        self._quotes = {}
        self._price(valid, problems)
        problems.raise_all(self._check_budget(self._quotes))
        return clips

    def _price(self, requests: Mapping[int, VideoRequest], problems: RequestErrors) -> None:
        """Price requests by their positions; sets the ``cost`` of each clip that has one."""
        needs_price = self._options.budget.needs_price
        quotes = pricing.price_requests(
            requests, self._hook, problems, needs_price=needs_price, log=self._log, fall_back=self._fall_back
        )
        self._quotes = {**{place: known for place, known in self._quotes.items() if place not in requests}, **quotes}
        for position in requests:
            self._clips[position].cost = quotes[position].estimated_cost if position in quotes else None

    def _fall_back(self, position: int, error: VeniceError) -> VideoRequest | None:
        """Return the request for the next model of a clip after a refusal; ``None`` where there is none."""
        clip = self._clips[position]
        if clip.request is None or not clip.wanted.fall_back(clip.request.model, error):
            return None
        if is_of_every_request(error):
            # No other clip of this run is refused by it as well: many refusals bring the block.
            self._unavailable[clip.request.model] = error
        clip.request = clip.wanted.request
        return clip.request

    def _check_budget(self, quotes: Mapping[int, VideoQuote]) -> VeniceBudgetError | None:
        """Return what the budget has against the prices."""
        if not quotes or not self._options.budget.needs_price:
            return None
        prices = {key: quote.estimated_cost for key, quote in quotes.items()}
        highest = max(prices.values())
        charged = (clip.submission.charged(prices.get(clip.position, highest)) for clip in self._clips)
        spent = sum(charged, Decimal(0))
        what = f"the batch of {len(self._clips)} clips" if self._options.is_list else "the clip"
        try:
            pricing.check_budget(self._options.budget, self._hook, list(quotes.values()), what, spent)
        except VeniceBudgetError as error:
            return error
        return None

    def _reserve(self, clips: Sequence[Clip]) -> None:
        """Reserve the targets of all, before the first is bought; on failure, of none."""
        if self._options.delivery is None:
            return
        problems = RequestErrors(self._options.requests, is_list=self._options.is_list)
        try:
            for clip in clips:
                with problems.about(clip.position):
                    assert clip.submission.delivery is not None
                    clip.submission.delivery.reserve(clip.target, clip.owner)
            problems.raise_all()
        except Exception:
            self.release(clips)
            raise

    def release(self, clips: Iterable[Clip]) -> None:
        """Give the targets back of clips that are not bought."""
        for clip in clips:
            if self._options.delivery is not None:
                self._options.delivery.release(clip.target, clip.owner)

    def _buy(self, clip: Clip, request: VideoRequest) -> bool:
        """Buy one clip; whether the next may be tried."""
        known = self._unavailable.get(request.model)
        if known is not None and (following := self._fall_back(clip.position, known)):
            return self._buy_fallback(clip, following)
        try:
            clip.job = self._submit(clip, request)
        except NotNoted as error:
            clip.job, clip.error = error.job, error
            self._log.error("%s: %s", clip.wanted, error)
            return False
        except VeniceError as error:
            if is_of_one_request(error):
                clip.submission.refused(request, error)
            following = self._fall_back(clip.position, error)
            if following is not None:
                return self._buy_fallback(clip, following)
            return self._give_up(clip, error)
        return True

    def _buy_fallback(self, clip: Clip, request: VideoRequest) -> bool:
        """Price a clip for its next model, and buy it where the budget admits that; whether the next may be tried."""
        try:
            # It is one clip of those that are missing: what is wrong with it is raised at once, and fails it alone.
            self._price({clip.position: request}, RequestErrors(self._options.requests, is_list=False))
            missing = {one.position for one in self._clips if one.is_missing}
            budget = self._check_budget({place: quote for place, quote in self._quotes.items() if place in missing})
            if budget is not None:
                raise budget
        except VeniceError as error:
            return self._give_up(clip, error)
        assert clip.request is not None
        return self._buy(clip, clip.request)

    def _give_up(self, clip: Clip, error: VeniceError) -> bool:
        """Note why a clip is not bought; whether the next may be tried."""
        clip.error = error
        self._log.error("%s: %s", clip.wanted, error)
        return is_of_one_request(error) or isinstance(error, VeniceRequestError)

    def _submit(self, clip: Clip, request: VideoRequest) -> VideoJob:
        """Submit a clip; where the rate limit asks for a wait, leave that to the triggerer and come back."""
        if not self._options.deferrable:
            return clip.submission.buy(request, clip.cost, None)
        if self._admission is None and self._is_one_of_many():
            self._wait_for_rate_limit(None)
        self._check_admission()
        try:
            return clip.submission.buy(request, clip.cost, SHORT_WAIT)
        except VeniceRateLimitError as error:
            self._log.info("%s", error)
            self._wait_for_rate_limit(time.time() + (error.retry_after or 0.0))

    def _check_admission(self) -> None:
        """Ask anew where no worker slot was free in time: the slots may have come free for many at once."""
        if self._expires_at is not None and self._admission is not None and time.time() > self._expires_at:
            self._log.info("No worker slot was free in time for the submission: it asks the rate limit anew")
            self._admission = self._admission._replace(missed=self._admission.missed + 1)
            self._wait_for_rate_limit(None)
        # The next ones of a list go by what Venice says is left.
        self._expires_at = None

    def _wait_for_rate_limit(self, refused_until: float | None) -> NoReturn:
        defer_for_rate_limit(self._options, self._admission, refused_until, self._progress, self._log)

    def stop(self, rest: Sequence[Clip]) -> None:
        """Buy no more after a failure that would meet the others, too, or that leaves a doubt."""
        doubtful = [clip for clip in self._clips if clip.is_doubtful]
        if doubtful:
            self._leave(rest, "another submission is in doubt", doubtful[0].error)
            self._report_doubts(doubtful)
        elif rest:
            failed = next(clip for clip in reversed(self._clips) if clip.error is not None)
            self._leave(rest, f"{failed.wanted} failed: {failed.error}", failed.error)

    def _leave(self, clips: Sequence[Clip], reason: str, cause: Exception | None) -> None:
        for clip in clips:
            error = VeniceError(f"not submitted, because {reason}")
            error.can_heal = cause is not None and can_heal(cause)
            clip.error = error
        if clips and self._options.is_list:
            names = ", ".join(clip.wanted.place for clip in clips[:MOST_NAMED])
            more = f" and {len(clips) - MOST_NAMED} more" if len(clips) > MOST_NAMED else ""
            self._log.error("Not submitted: %s%s, because %s", names, more, reason)

    def _report_doubts(self, clips: Sequence[Clip]) -> None:
        """Say what is in doubt, in the log and the XCom, before any wait; then a clear is a person's answer to it."""
        for clip in clips:
            self._log.error("%s: %s", clip.wanted, clip.error)
        self._reports.push_results()
        # Invariant: noted as reported only after it was. A crash right here leaves a doubt that the next try reports.
        for clip in clips:
            clip.submission.report_doubt()
