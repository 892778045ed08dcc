"""What a task's arguments say of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from airflow_provider_venice.api.budget import Budget
from airflow_provider_venice.api.request import VideoRequest
from airflow_provider_venice.generation.delivery import Delivery
from airflow_provider_venice.hooks.failures import TAKEN_UP


@dataclass(frozen=True)
class RunOptions:
    """
    What to make, within which limits, and what to do with it. One clip is a list of one.

    :param requests: what to make, as it was given.
    :param is_list: whether the task was given a list, and returns one.
    :param read_request: makes a request of one of ``requests``.
    :param budget: what all of them may cost.
    :param venice_conn_id: the connection, for triggers.
    :param validate: whether to check the requests against the models' published constraints.
    :param deferrable: whether to wait in the triggerer.
    :param poll_interval: fewest seconds between two polls of a job.
    :param timeout: seconds that one try waits.
    :param on_clear: what to do after a clear: ``reattach`` or ``resubmit``.
    :param on_ambiguous: what to do in doubt: ``fail``, ``check`` or ``resubmit``.
    :param fallback_models: ids of the models that may follow the one of a request.
    :param wait: whether to wait for the clips.
    :param delivery: where the clips go; ``None`` where the task stores none.
    """

    requests: Sequence[Any]
    is_list: bool
    read_request: Callable[[Any], VideoRequest]
    budget: Budget
    venice_conn_id: str
    validate: bool
    deferrable: bool
    poll_interval: float | None
    timeout: float
    on_clear: Literal["reattach", "resubmit"]
    on_ambiguous: Literal["fail", "check", "resubmit"]
    fallback_models: Sequence[str]
    wait: bool
    delivery: Delivery | None

    @property
    def next_try(self) -> str:
        """What becomes of a clip that is paid for when a try fails, for people."""
        if self.on_clear == "resubmit":
            return "A retry of this task takes it up, and pays nothing; a clear buys another one (on_clear='resubmit')"
        return TAKEN_UP
