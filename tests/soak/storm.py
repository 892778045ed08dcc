"""Starts runs, kills processes, lets the vendor fail, and clears and marks tasks, as a plan says."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import psutil
import requests

from airflow_provider_venice.simulator import Fault
from tests.reliability.runs import MODELS, Run, Venue
from tests.soak.plan import LATE, PLACES, READ_TIMEOUT, Act, fault_of
from tests.system.rest import StackError

#: DAGs of a soak, each once with and once without ``delete_media``, with the clips of a run.
DAGS = {
    f"{name}{suffix}": clips
    for name, clips in {
        "deferred": 1,
        "in_worker": 1,
        "steps": 1,
        "steps_in_worker": 1,
        "mapped": 3,
        "listed": 3,
    }.items()
    for suffix in ("", "_kept")
}

#: Runs that are under way at the same time; a run that is drawn beyond them is left out.
ACTIVE = 14

#: How often Airflow is asked again when it does not answer, a second after the other.
ANSWERS = 30

#: Most seconds for which a component that is killed is gone.
DOWN = 4.0

#: Clears of everything that has failed, after the storm; each may tell one more doubt.
ROUNDS = 12

#: Seconds in which all runs have to end, each time, after the storm.
CALM = 400.0

T = TypeVar("T")


@dataclass(frozen=True)
class Clear:
    """
    What a user has cleared.

    :param at: epoch seconds.
    :param map_index: -1 for all indexes.
    """

    at: float
    run_id: str
    task_id: str
    map_index: int = -1


@dataclass(frozen=True)
class Event:
    """
    What was done, or was in the way.

    :param at: epoch seconds.
    :param kind: one of the plan's, ``too late``, ``no answer``, or ``ended by itself``.
    """

    at: float
    kind: str
    text: str


@dataclass
class Storm:
    """
    What happens to a venue.

    :param runs: by their ids.
    :param clears: what the user has cleared.
    :param events: what was done, and what was in the way.
    :param traps: how many workers are still to be killed while they wait for the answer to a submission.
    """

    venue: Venue
    runs: dict[str, Run] = field(default_factory=dict)
    clears: list[Clear] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    traps: int = 0
    _trapped: set[str] = field(default_factory=set)

    def do(self, act: Act) -> None:
        """Do it; that it comes too late for its victim is part of the storm."""
        acts: dict[str, Callable[[Act], None]] = {
            "start": self._start,
            "kill the worker": self._kill,
            "kill the task": self._kill,
            "kill a submission": self._set_a_trap,
            "kill the triggerer": self._lose,
            "kill the scheduler": self._lose,
            "fault": self._let_fail,
            "fail a job": self._end_a_job,
            "refund a job": self._end_a_job,
            "clear": self._clear,
            "mark failed": self._mark_failed,
            "clear what has failed": self._clear_failed,
        }
        try:
            acts[act.kind](act)
        except (psutil.Error, OSError, StackError, ValueError) as error:
            self._note("too late", f"{act.kind}: {' '.join(str(error).split())[:200]}")

    def keep_up(self) -> None:
        """Restart what has ended by itself, and let private links be fetched as often as it takes."""
        stack = self.venue.stack
        for name, code in stack.ended().items():
            self._note("ended by itself", f"{name} with {code}: {stack.component_log(name, 5)}")
            stack.kill(name)
            stack.restart(name)
        for job in self.venue.simulator.jobs:
            job.fetches = 0
        if self.traps:
            self._spring_traps()

    def calm(self) -> list[str]:
        """Let nothing more go wrong, clear what has failed until it succeeds; return the runs that did not."""
        requests.delete(f"{self.venue.simulator.control_url}/faults", timeout=10).raise_for_status()
        self._wait_for_the_end()
        for _ in range(ROUNDS):
            if not (failed := self._with_state("failed")):
                break
            for run_id in failed:
                with contextlib.suppress(requests.RequestException, StackError):
                    self._clear_run(run_id)
            self._wait_for_the_end()
        return self._with_state("queued", "running", "failed")

    def _wait_for_the_end(self) -> None:
        deadline = time.monotonic() + CALM
        while self._with_state("queued", "running") and time.monotonic() < deadline:
            self.keep_up()
            time.sleep(1)

    def succeeded(self) -> set[str]:
        """Return the ids of the runs that have ended well."""
        return set(self._with_state("success"))

    # Acts

    def _start(self, act: Act) -> None:
        if len(self._with_state("queued", "running")) >= ACTIVE:
            return
        dag_id = list(DAGS)[int(act.draw * len(DAGS))]
        kind = list(MODELS)[int(act.detail * len(MODELS))]
        run_id = f"{dag_id}-{kind}-{len(self.runs):04}"
        self.runs[run_id] = Run(self.venue, dag_id, run_id, kind)
        self._note(act.kind, run_id)
        self.venue.start(dag_id, run_id, kind)

    def _kill(self, act: Act) -> None:
        victim = _choose(self._instances("running"), act.draw)
        if victim is None:
            return
        self._kill_instance(act.kind, victim, is_alone=act.kind == "kill the task")

    def _kill_instance(self, kind: str, victim: dict[str, Any], *, is_alone: bool = False) -> None:
        self._note(kind, _name(victim))
        supervisor, task = self.venue.stack.worker(
            victim["dag_id"], victim["dag_run_id"], victim["task_id"], victim["map_index"]
        )
        if not is_alone:
            supervisor.kill()
        task.kill()

    def _set_a_trap(self, act: Act) -> None:
        """Hold back the answer to a submission that is accepted; its worker is killed meanwhile."""
        place = PLACES[int(act.detail * len(PLACES))]
        self.venue.simulator.fail("queue", hang=LATE, match=place)
        self.traps += 1

    def _spring_traps(self) -> None:
        """Kill the workers that wait for the answer to a submission; no moment in a clip's life is dearer."""
        unanswered = {
            entry.queue_id
            for entry in self.venue.simulator.journal.charges
            if entry.fault == "hang" and entry.status is None and entry.time > time.time() - READ_TIMEOUT
        } - self._trapped
        for job in [job for job in self.venue.simulator.jobs if job.queue_id in unanswered]:
            self._trapped.add(job.queue_id)
            with contextlib.suppress(psutil.Error, OSError, StackError, ValueError):
                for victim in self._instances("running"):
                    is_its = f"<{victim['dag_run_id']}>" in job.prompt and victim["task_id"] != "wait"
                    if is_its and (victim["map_index"] < 0 or job.prompt.endswith(f" <{victim['map_index']}>")):
                        self.traps -= 1
                        self._kill_instance("kill a submission", victim)

    def _lose(self, act: Act) -> None:
        component = act.kind.rpartition(" ")[2]
        self._note(act.kind, f"for {act.detail * DOWN:.1f} s")
        self.venue.stack.kill(component)
        time.sleep(act.detail * DOWN)
        self.venue.stack.restart(component)

    def _let_fail(self, act: Act) -> None:
        fault = fault_of(act)
        self._note(act.kind, str(fault))
        self.venue.simulator.fail(**fault)

    def _end_a_job(self, act: Act) -> None:
        """Let a job fail for good, or be refused and refunded. A chain cannot buy another one for it."""
        running = [job for job in self.venue.simulator.jobs if not job.due and "<steps" not in job.prompt]
        job = _choose(running, act.draw)
        if job is None:
            return
        self._note(act.kind, f"{job.queue_id} {job.prompt}")
        if act.kind == "refund a job":
            fault = Fault("retrieve", policy=True)
        else:
            fault = Fault("retrieve", times=None, status=400, body={"error": "Video generation failed"})
        job.faults.append(fault)

    def _clear(self, act: Act) -> None:
        states = ("success",) if act.detail < 0.25 else ("running", "deferred")
        # A sensor that has succeeded would wait for a clip that is stored, and deleted at the vendor.
        found = [ti for ti in self._instances(*states) if states != ("success",) or ti["task_id"] != "wait"]
        victim = _choose(found, act.draw)
        if victim is None:
            return
        task = (victim["dag_run_id"], victim["task_id"], victim["map_index"])
        self._note(act.kind, f"{_name(victim)}, which is {victim['state']}")
        self.clears.append(Clear(time.time(), *task))
        self.venue.stack.clear(victim["dag_id"], *task)

    def _mark_failed(self, act: Act) -> None:
        victim = _choose(self._instances("running", "deferred"), act.draw)
        if victim is not None:
            self._note(act.kind, f"{_name(victim)}, which is {victim['state']}")
            self.venue.stack.mark_failed(victim["dag_id"], victim["dag_run_id"], victim["task_id"], victim["map_index"])

    def _clear_failed(self, act: Act) -> None:
        run_id = _choose(self._with_state("failed"), act.draw)
        if run_id is not None:
            self._clear_run(run_id)

    def _clear_run(self, run_id: str) -> None:
        """Clear what has not succeeded; also what is to run, where Airflow has ended the run under a clear."""
        dag_id = self.runs[run_id].dag_id
        tasks = [
            (ti["task_id"], ti["map_index"])
            for ti in self.venue.stack.task_instances(dag_id, run_id)
            if ti["state"] != "success"
        ]
        self._note("clear what has failed", f"{run_id} {tasks}")
        self.clears += [Clear(time.time(), run_id, *task) for task in tasks]
        self.venue.stack.clear_tasks(dag_id, run_id, tasks)

    # What there is

    def _with_state(self, *states: str) -> list[str]:
        found = self._listed("dags/~/dagRuns", "dag_runs", states)
        return sorted(run["dag_run_id"] for run in found)

    def _instances(self, *states: str) -> list[dict[str, Any]]:
        return sorted(self._listed("dags/~/dagRuns/~/taskInstances", "task_instances", states), key=_name)

    def _listed(self, path: str, name: str, states: Sequence[str]) -> list[dict[str, Any]]:
        """Ask Airflow, more than once where it cannot answer: what a soak counts must not depend on one answer."""
        for _ in range(ANSWERS):
            try:
                return self.venue.stack.listed(path, name, state=list(states))
            except (OSError, StackError) as error:
                self._note("no answer", " ".join(str(error).split())[:200])
                self.keep_up()
                time.sleep(1)
        return self.venue.stack.listed(path, name, state=list(states))

    def _note(self, kind: str, text: str) -> None:
        self.events.append(Event(time.time(), kind, text))


def _choose(among: list[T], draw: float) -> T | None:
    return among[int(draw * len(among))] if among else None


def _name(instance: dict[str, Any]) -> str:
    place = f"[{instance['map_index']}]" if instance["map_index"] >= 0 else ""
    return f"{instance['dag_run_id']} {instance['task_id']}{place}"
