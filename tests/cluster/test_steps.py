"""All machines are lost at once, while each of their tasks is at another step: paid once and whole, or in doubt."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_venice.api.mp4 import read_metadata
from airflow_provider_venice.simulator import Fault
from airflow_provider_venice.simulator.jobs import Job
from tests.cluster.__main__ import BUCKET
from tests.cluster.cluster import CONCURRENCY, WORKERS
from tests.cluster.site import HELD, Site, open_site
from tests.reliability import holding
from tests.reliability.runs import DOUBT, MODELS
from tests.reliability.steps import PRICED_MODEL, STEPS, Step
from tests.system.stack import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.system, pytest.mark.cluster, pytest.mark.timeout(900)]

DAG_ID = "cluster_steps"

#: A price is asked for without the prompt: the shape shows whose it is.
PRICED_SHAPE = "21:9"

#: As many as the workers have slots, so that each step is reached. What polls is the triggerer.
ROUNDS = [
    ["pricing", "noting-the-intent", "submitting", "submitted", "noting-the-job", "noted"],
    ["asking-for-the-clip", "downloading", "noting-the-delivery", "before-deleting", "deleted"],
]


@dataclass
class HeldClip:
    """
    One of a run's mapped clips, and the step at which it is held.

    :param place: its map index.
    :param kind: how its model delivers, ``inline`` or ``private``.
    """

    site: Site
    run_id: str
    place: int
    name: str
    kind: str
    holds: Path
    faults: Sequence[Fault] = ()

    @property
    def step(self) -> Step:
        """The step."""
        return STEPS[self.name]

    @property
    def tag(self) -> str:
        """What stands in its prompt only."""
        return f"<{self.run_id}> <{self.place}>"

    @property
    def jobs(self) -> list[Job]:
        """Its jobs at the vendor."""
        return [job for job in self.site.simulator.jobs if self.tag in job.prompt]

    def hold(self) -> dict[str, Any]:
        """Arrange for it to be held, and return what to make."""
        is_priced = self.name == "pricing"
        match = PRICED_SHAPE if is_priced else self.tag
        self.faults = [
            self.site.simulator.fail(match=match, **{**fault, **({"hang": HELD} if "hang" in fault else {})})
            for fault in getattr(self.step, self.kind)
        ]
        if self.step.moment is not None:
            self._asked.touch()
        return {
            "prompt": f"a pier {self.tag}",
            "model": PRICED_MODEL if is_priced else MODELS[self.kind],
            "aspect_ratio": PRICED_SHAPE if is_priced else "16:9",
        }

    @property
    def _asked(self) -> Path:
        return holding.asked(self.holds, self.run_id, str(self.step.moment), self.place)

    def is_held(self) -> bool:
        """Whether it has come to its step."""
        return not self._asked.exists() if self.step.moment is not None else self.faults[-1].times == 0

    def check(self, instance: dict[str, Any]) -> None:
        """Check that it is paid once, and stored once and whole; or what is in doubt, and that this is reported."""
        cluster, key = self.site.cluster, f"{DAG_ID}/{self.run_id}/{self.place}.mp4"
        assert instance["state"] == ("failed" if self.step.is_doubtful else "success"), self._log()
        assert instance["try_number"] == 2
        assert len(self.jobs) == (1 if self.step.is_paid else 0)
        if self.step.is_doubtful:
            assert DOUBT in self._log()
            assert key not in self.site.store.sizes(BUCKET)
            return
        stored = cluster.xcom(DAG_ID, self.run_id, "make", map_index=self.place)
        content = self.site.store.read(BUCKET, key)
        assert hashlib.sha256(content).hexdigest() == stored["sha256"]
        read_metadata(io.BytesIO(content), expected_size=stored["size"])
        assert self.jobs[0].fate == "deleted"

    def _log(self) -> str:
        parts = (f"dag_id={DAG_ID}/", f"run_id={self.run_id}/", f"map_index={self.place}/")
        paths = [path for path in self.site.cluster.log_files() if all(part in path.as_posix() for part in parts)]
        return "\n".join(path.read_text(errors="replace") for path in paths)


@pytest.fixture(scope="module")
def holds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the test says which task is to be held; the only folder that all machines see."""
    return tmp_path_factory.mktemp("holds")


@pytest.fixture(scope="module")
def site(holds: Path) -> Iterator[Site]:
    settings = {
        "AIRFLOW__WORKERS__STATE_STORE_BACKEND": "tests.reliability.holding.SlowStore",
        "PYTHONPATH": str(ROOT),
        holding.FOLDER: str(holds),
    }
    with open_site(settings, ROOT / "tests" / "cluster" / "held_dags") as site:
        site.cluster.wait_for_dag(DAG_ID, timeout=120)
        yield site


@pytest.mark.parametrize("kinds", [("inline", "private"), ("private", "inline")], ids="-".join)
@pytest.mark.parametrize("names", ROUNDS, ids=["until-it-is-bought", "until-it-is-stored"])
def test_all_machines_are_lost_at_once(site: Site, holds: Path, names: list[str], kinds: tuple[str, str]) -> None:
    assert len(names) <= WORKERS * CONCURRENCY
    run_id = f"{names[0]}-{kinds[0]}"
    clips = [
        HeldClip(site, run_id, place, name, "inline" if name == "pricing" else kinds[place % 2], holds)
        for place, name in enumerate(names)
    ]
    site.cluster.trigger(DAG_ID, conf={"clips": [clip.hold() for clip in clips]}, run_id=run_id)
    site.cluster.wait_until(
        lambda: all(clip.is_held() for clip in clips),
        180,
        f"all steps; missing: {[clip.name for clip in clips if not clip.is_held()]}",
    )
    site.lose_workers()
    assert site.cluster.wait(DAG_ID, run_id, 300) == ("failed" if any(c.step.is_doubtful for c in clips) else "success")
    instances = {
        one["map_index"]: one for one in site.cluster.task_instances(DAG_ID, run_id) if one["task_id"] == "make"
    }
    for clip in clips:
        clip.check(instances[clip.place])
    assert site.simulator.journal.unread_deletions == []


def test_no_secret_can_be_read_anywhere(site: Site) -> None:
    """The last one: what all runs above have left."""
    site.check_secrets()
