"""The clips of a task with a list of requests: bought one by one, waited for together, each with an end of its own."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from airflow_provider_venice.api.model import VideoJob
from airflow_provider_venice.api.request import VideoRequest
from airflow_provider_venice.exceptions import (
    VeniceAmbiguousSubmission,
    VeniceAPIError,
    VeniceError,
    VeniceRequestError,
    VideoBatchError,
    VideoGenerationError,
)
from airflow_provider_venice.hooks.failures import final_failures, told_how_to_collect
from airflow_provider_venice.operators.purchase import Purchase
from airflow_provider_venice.triggers.events import RESULTS_KEY, job_outcomes

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_venice.operators.video import VeniceGenerateVideoOperator

#: Refusals that are about the one request; any other would meet the next one as well.
_OF_ONE_REQUEST = (400, 404, 409, 410, 413, 422)

#: After how many purchases the list of them is pushed again.
_SHOWN_EVERY = 10

#: How many failures a message tells of.
_MOST_TOLD = 10

_INDEX = re.compile(r"\{index(?::(0?\d+))?\}")


def output_paths(operator: VeniceGenerateVideoOperator) -> list[Any]:
    """
    Return where each clip goes.

    :raises VeniceRequestError: when there are not as many different paths as clips.
    """
    given, count = operator.output_path, len(operator.requests)
    if not operator.is_batch:
        return [given]
    if isinstance(given, (list, tuple)):
        paths = list(given)
    elif _INDEX.search(str(given)):
        paths = [_indexed(str(given), position) for position in range(count)]
    else:
        raise VeniceRequestError(
            f"output_path is {str(given)!r} for {count} clips; give a list of paths, or put {{index}} into the one",
            fields={"output_path": "one for many"},
        )
    different = len({str(path) for path in paths})
    if len(paths) != count or different != count:
        raise VeniceRequestError(
            f"output_path has {different} different paths for {count} clips; give one for each",
            fields={"output_path": "not one for each"},
        )
    return paths


def _indexed(path: str, position: int) -> str:
    return _INDEX.sub(lambda found: format(position, found[1] or ""), path)


class Batch:
    """
    One run of such a task, from wherever an earlier one has left off.

    :param operator: the task.
    :param context: its context.
    """

    def __init__(self, operator: VeniceGenerateVideoOperator, context: Context) -> None:
        self._operator = operator
        self._context = context
        self._log = operator.log
        self._purchases = [Purchase(operator, context, position) for position in range(len(operator.requests))]
        #: By position: what was bought, what is stored, its record, and why it is not.
        self._jobs: dict[int, VideoJob] = {}
        self._stored: dict[int, dict[str, Any]] = {}
        self._records: dict[int, dict[str, Any]] = {}
        self._errors: dict[int, Exception] = {}

    def run(self, event: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """
        Take up what was bought, buy what is missing, wait, and store what has come.

        :param event: what the trigger told, where it has waited.
        :return: a description of each file, in the order of the requests.
        :raises VideoBatchError: when some did not come, and another try may help.
        :raises AirflowFailException: when no other try would.
        """
        with final_failures():
            self._paths = output_paths(self._operator)
            self._recall(announce=event is None and self._operator.turn is None)
            self._store_finished(event)
            self._buy_missing()
            self._await_rest()
            return self._results()

    def _recall(self, *, announce: bool) -> None:
        for position, purchase in enumerate(self._purchases):
            try:
                job = purchase.recall(announce=announce)
            except VeniceError as error:
                self._errors[position] = error
            else:
                if job is not None:
                    self._jobs[position] = job

    def _store_finished(self, event: Mapping[str, Any] | None) -> None:
        """Store what the trigger found finished, and find again what an earlier try has stored."""
        outcomes = {} if event is None else {job.queue_id: (job, error) for job, error in job_outcomes(event)}
        for position, job in list(self._jobs.items()):
            seen, error = outcomes.get(job.queue_id, (None, None))
            if error is not None:
                self._failed(position, error)
            elif seen is not None or self._purchases[position].memory.delivery(job):
                self._store(position, seen or job)

    def _buy_missing(self) -> None:
        missing = [n for n in range(len(self._purchases)) if n not in self._jobs and n not in self._errors]
        if not missing:
            return
        doubts = [error for error in self._errors.values() if isinstance(error, VeniceAmbiguousSubmission)]
        if doubts:
            self._leave(missing, "another submission is in doubt", doubts[0])
            return
        try:
            requests, costs = self._check(missing)
        except VeniceError as error:
            if not self._jobs:
                raise
            self._leave(missing, str(error), error)
            return
        try:
            for place, position in enumerate(missing):
                if not self._buy(position, requests[position], costs[position]):
                    cause = self._errors[position]
                    self._leave(missing[place + 1 :], f"request[{position}] failed: {cause}", cause)
                    return
                if (place + 1) % _SHOWN_EVERY == 0:
                    self._show()
        finally:
            # Also before a wait for the rate limit.
            self._show()

    def _check(self, positions: list[int]) -> tuple[dict[int, VideoRequest], dict[int, Decimal | None]]:
        """Return the requests and their prices, all of them checked, before the first is bought."""
        requests = {position: self._purchases[position].request for position in positions}
        self._check_targets(positions)
        spent = sum((Decimal(str(job.estimated_cost or 0)) for job in self._jobs.values()), Decimal(0))
        what = f"the batch of {len(self._purchases)} clips"
        prices = self._operator.check_and_price(list(requests.values()), what, spent)
        return requests, dict(zip(positions, prices, strict=True))

    def _buy(self, position: int, request: VideoRequest, cost: Decimal | None) -> bool:
        """Buy one clip; whether the next may be tried."""
        purchase = self._purchases[position]
        try:
            self._jobs[position] = self._operator.buy(purchase, request, cost, self._context)
        except VeniceError as error:
            self._log.error("%s: %s", purchase, error)
            self._errors[position] = error
            if isinstance(error, VeniceAPIError) and error.status_code in _OF_ONE_REQUEST:
                purchase.refused(request, error)
                return True
            return isinstance(error, VeniceRequestError)
        return True

    def _check_targets(self, positions: list[int]) -> None:
        from airflow_provider_venice import storage

        for position in positions:
            storage.check_target(self._paths[position], overwrite=self._operator.overwrite)

    def _leave(self, positions: list[int], reason: str, cause: Exception) -> None:
        for position in positions:
            error = self._errors[position] = VeniceError(f"not submitted, because {reason}")
            error.can_heal = _can_heal(cause)

    def _show(self) -> None:
        if self._jobs:
            self._operator.show([self._jobs[n] for n in sorted(self._jobs)], self._context)

    def _await_rest(self) -> None:
        """Leave those that go on to the triggerer, or wait for them here, one after the other."""
        rest = [n for n in self._jobs if n not in self._stored and n not in self._errors]
        operator, deadline = self._operator, time.time() + self._operator.timeout
        if rest and operator.deferrable:
            operator.defer_until_completed([self._jobs[n] for n in rest])
        for position in rest:
            left = max(0.0, deadline - time.time())
            try:
                seen = operator.hook.wait_for_completion(self._jobs[position], operator.poll_interval, left)
            except VeniceError as error:
                self._failed(position, error)
            else:
                self._store(position, seen)

    def _failed(self, position: int, error: VeniceError) -> None:
        self._log.error("request[%d]: %s", position, error)
        self._errors[position] = error
        if isinstance(error, VideoGenerationError):
            self._operator.remember_failure(self._purchases[position], error, self._context)

    def _store(self, position: int, job: VideoJob) -> None:
        memory = self._purchases[position].memory
        try:
            with told_how_to_collect(job, self._log):
                stored = self._operator.store(job, self._paths[position], memory, self._context)
        except Exception as error:
            # The others are worth as much: go on, and fail in the end.
            self._log.error("request[%d]: %s", position, error)
            self._errors[position] = error
        else:
            self._stored[position], self._records[position] = stored

    def _results(self) -> list[dict[str, Any]]:
        """Return the files, or tell which did not come."""
        count = len(self._purchases)
        if not self._errors:
            self._operator.tell_outlets(self._context, {"videos": [self._records[n] for n in range(count)]})
            return [self._stored[n] for n in range(count)]
        results = [self._result(n) for n in range(count)]
        self._context["ti"].xcom_push(key=RESULTS_KEY, value=results)
        told = [f"request[{n}]: {error}" for n, error in sorted(self._errors.items())]
        more = f"; and {len(told) - _MOST_TOLD} more" if len(told) > _MOST_TOLD else ""
        raise VideoBatchError(
            f"{len(told)} of {count} clips did not come, {len(self._stored)} are stored "
            f"(the XCom {RESULTS_KEY} tells of each). {'; '.join(told[:_MOST_TOLD])}{more}",
            results=results,
            can_heal=any(map(_can_heal, self._errors.values())),
        )

    def _result(self, position: int) -> dict[str, Any]:
        from airflow_provider_venice.hooks.sealing import seal

        if position in self._stored:
            return {"status": "stored", **self._stored[position]}
        job = self._jobs.get(position)
        return {"status": "failed", "error": str(self._errors[position]), "job": None if job is None else seal(job)}


def _can_heal(error: Exception) -> bool:
    refunded = isinstance(error, VideoGenerationError) and error.costs_nothing
    return refunded or not isinstance(error, VeniceError) or error.can_heal
