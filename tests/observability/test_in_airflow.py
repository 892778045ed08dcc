"""In a real Airflow: metrics of a worker and a triggerer, spans, OpenLineage's events, mails."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_venice import observability
from airflow_provider_venice.api.fingerprint import fingerprint
from airflow_provider_venice.api.request import VideoRequest
from airflow_provider_venice.simulator import VeniceSimulator
from tests.observability.otlp_server import OtlpServer
from tests.observability.smtp_server import SmtpServer
from tests.observability.statsd_server import StatsdServer
from tests.system.clips import connection_to
from tests.system.stack import AirflowStack

pytestmark = [pytest.mark.slow, pytest.mark.system, pytest.mark.timeout(300)]

EXAMPLE = Path(__file__).parents[2] / "example_dags" / "venice_alerts.py"
REQUEST: dict[str, Any] = {
    "model": "wan-2-7-text-to-video",
    "prompt": "A lighthouse in a storm, waves against the rocks",
    "duration": "5s",
    "aspect_ratio": "16:9",
}
DAG_ID, TASK_ID = "venice_alerts", "generate"


@dataclass
class Observed:
    """A running Airflow, and all that listens to it."""

    stack: AirflowStack
    statsd: StatsdServer
    otlp: OtlpServer
    smtp: SmtpServer
    lineage: Path

    def lineage_of(self, event_type: str) -> dict[str, Any]:
        """Return OpenLineage's event of the task, once it is there."""

        def find() -> Any:
            lines = self.lineage.read_text().splitlines() if self.lineage.exists() else []
            events = [json.loads(line) for line in lines]
            of_task = [one for one in events if one["job"]["name"] == f"{DAG_ID}.{TASK_ID}"]
            return next((one for one in of_task if one["eventType"] == event_type), None)

        event: dict[str, Any] = self.stack.wait_until(find, 60, f"OpenLineage's event {event_type}")
        return event


@pytest.fixture(scope="module")
def observed(stack_simulator: VeniceSimulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observed]:
    folder = tmp_path_factory.mktemp("observed")
    lineage = folder / "lineage.jsonl"
    with StatsdServer() as statsd, OtlpServer() as otlp, SmtpServer() as smtp:
        mail = {"disable_ssl": True, "disable_tls": True, "from_email": "airflow@example.com"}
        connections = {
            "venice_default": connection_to(stack_simulator),
            "smtp_default": json.dumps({"conn_type": "smtp", "host": "127.0.0.1", "port": smtp.port, "extra": mail}),
        }
        env = {
            **statsd.environment,
            **otlp.environment,
            "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(
                {"type": "file", "log_file_path": str(lineage), "append": True}
            ),
            "VENICE_ALERTS_TO": "people@example.com",
            "VENICE_ALERTS_MINUTES": "0.02",
        }
        dags = folder / "dags"
        dags.mkdir()
        shutil.copy(EXAMPLE, dags)
        with AirflowStack(dags, env=env, connections=connections) as stack:
            yield Observed(stack, statsd, otlp, smtp, lineage)


def test_a_clip(observed: Observed, stack_simulator: VeniceSimulator, tmp_path: Path) -> None:
    stack = observed.stack
    run_id = stack.trigger(DAG_ID, conf={"output_dir": str(tmp_path)})
    assert stack.wait(DAG_ID, run_id, timeout=150) == "success", stack.failures(DAG_ID, run_id, 50)
    clip = stack.xcom(DAG_ID, run_id, TASK_ID)

    of_task = {"dag_id": DAG_ID, "task_id": TASK_ID, "model": "wan-2-7-text-to-video"}
    for name in (observability.CLIPS_BOUGHT, observability.SPENT, observability.CLIPS_STORED, observability.STORE_TIME):
        assert observed.statsd.wait_for(name).tags == of_task, name
    # From the triggerer, which has a Stats of its own.
    for name in (observability.POLLS, observability.RENDER_TIME):
        assert observed.statsd.wait_for(name).tags == {"model": "wan-2-7-text-to-video"}, name
    assert observed.statsd.counts()[observability.SPENT] == 350_000

    def ours() -> dict[str, Any]:
        return {span.name: span for span in observed.otlp.spans if span.name.startswith("venice.")}

    stack.wait_until(lambda: len(ours()) == 3, 30, "the spans")
    workers = {span.span_id for span in observed.otlp.spans if span.name == f"worker.{TASK_ID}"}
    assert {span.parent_span_id for span in ours().values()} <= workers
    seconds = {name: (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9 for name, span in ours().items()}
    assert seconds[observability.WAIT_SPAN] > 6 > seconds[observability.SUBMIT_SPAN]

    event = observed.lineage_of("COMPLETE")
    facet = event["run"]["facets"]["venice"]
    (made,) = facet["clips"]
    assert made.pop("requestFingerprint") == fingerprint(VideoRequest(**REQUEST))
    assert made == {
        "status": "stored",
        "model": "wan-2-7-text-to-video",
        "queueId": clip["job"]["queue_id"],
        "estimatedCostUsd": 0.35,
        "path": clip["path"],
        "sha256": hashlib.sha256(Path(clip["path"]).read_bytes()).hexdigest(),
    }
    (output,) = event["outputs"]
    assert (output["namespace"], output["name"]) == ("file", clip["path"])
    assert output["outputFacets"]["outputStatistics"]["size"] == clip["size"]

    late = stack.wait_until(lambda: find_mail(observed, "is late"), 60, "the mail that the run is late")
    assert late["To"] == "people@example.com"
    assert late["Subject"] == f"Venice: {DAG_ID} is late"
    assert run_id in late.get_body(("html",)).get_content()


def test_a_doubt(observed: Observed, stack_simulator: VeniceSimulator, tmp_path: Path) -> None:
    stack, charges = observed.stack, len(stack_simulator.journal.charges)
    conf = {"output_dir": str(tmp_path), "prompt": "[simulate: lost] A lighthouse"}
    run_id = stack.trigger(DAG_ID, conf=conf)
    assert stack.wait(DAG_ID, run_id, timeout=150) == "failed"
    assert len(stack_simulator.journal.charges) == charges + 1

    mail = stack.wait_until(lambda: find_mail(observed, "was this clip paid for"), 30, "the mail about the doubt")
    assert mail["Subject"] == f"Venice: was this clip paid for? {DAG_ID}, {TASK_ID}"
    text = mail.get_body(("html",)).get_content()
    assert "may have been accepted and charged" in text
    assert run_id in text
    assert observed.statsd.wait_for(observability.DOUBTS).tags["dag_id"] == DAG_ID

    (made,) = observed.lineage_of("FAIL")["run"]["facets"]["venice"]["clips"]
    assert (made["status"], made["estimatedCostUsd"]) == ("doubt", 0.35)
    assert "queueId" not in made  # the provider leaves out what is null


def find_mail(observed: Observed, subject: str) -> Any:
    """Return the first mail whose subject has these words."""
    return next((mail for mail in observed.smtp.mails if subject in mail["Subject"]), None)
