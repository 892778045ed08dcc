"""
### Mails for what a person has to look at

A mail where it is not known whether a clip was paid for, with what is known and what to do: no retry of
Airflow settles that. And one where a run is not done in time, whatever it waits for (Airflow 3.1 and
later). Both go through the connection `smtp_default`, to `VENICE_ALERTS_TO`.
"""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow import __version__ as airflow_version
from airflow.sdk import DAG, Param
from packaging.version import Version

from airflow_provider_venice.exceptions import VeniceAmbiguousSubmission, VideoBatchError
from airflow_provider_venice.operators.video import VeniceGenerateVideoOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

ALERTS_TO = os.environ.get("VENICE_ALERTS_TO", "airflow@example.com")
IN_TIME = timedelta(minutes=float(os.environ.get("VENICE_ALERTS_MINUTES", "30")))


# [START howto_alerts_doubt]
def find_doubt(error: Any) -> str | None:
    """Return what is in doubt, if anything is: Airflow is given an error that has ours as its cause."""
    while error is not None:
        if isinstance(error, VeniceAmbiguousSubmission):
            return str(error)
        if isinstance(error, VideoBatchError):
            doubts = [result["error"] for result in error.results if result["status"] == "doubt"]
            return "\n".join(doubts) or None
        error = getattr(error, "__cause__", None)
    return None


def mail_doubt(context: Context) -> None:
    """Send a mail, if the task has failed in doubt."""
    from airflow.providers.smtp.notifications.smtp import SmtpNotifier

    doubt = find_doubt(context.get("exception"))
    if doubt is not None:
        mail = SmtpNotifier(
            to=ALERTS_TO,
            subject="Venice: was this clip paid for? {{ ti.dag_id }}, {{ ti.task_id }}",
            html_content="<p>{{ doubt | e }}</p><p>Run {{ run_id | e }}</p>",
        )
        mail({**context, "doubt": doubt})


# [END howto_alerts_doubt]

# [START howto_alerts_deadline]
with_deadline: dict[str, Any] = {}
if Version(airflow_version) >= Version("3.1"):
    from airflow.sdk.definitions.deadline import AsyncCallback, DeadlineAlert, DeadlineReference

    with_deadline["deadline"] = DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=IN_TIME,
        # It runs in the triggerer, which does not read DAG files: give what is installed there.
        callback=AsyncCallback(
            "airflow.providers.smtp.notifications.smtp.SmtpNotifier",
            kwargs={
                "to": ALERTS_TO,
                "subject": "Venice: {{ dag_run.dag_id }} is late",
                "html_content": "<p>{{ dag_run.dag_run_id | e }} is not done. What it has bought is in its XComs.</p>",
            },
        ),
    )
# [END howto_alerts_deadline]

# [START howto_alerts_dag]
with DAG(
    dag_id="venice_alerts",
    schedule=None,
    doc_md=__doc__,
    tags=["example", "venice"],
    default_args={"on_failure_callback": mail_doubt},
    params={
        "prompt": Param("A lighthouse in a storm, waves against the rocks", type="string", minLength=1),
        "output_dir": Param(os.environ.get("VENICE_OUTPUT_DIR", "/tmp/venice"), type="string"),
    },
    **with_deadline,
) as dag:
    VeniceGenerateVideoOperator(
        task_id="generate",
        model="wan-2-7-text-to-video",
        prompt="{{ params.prompt }}",
        duration="5s",
        aspect_ratio="16:9",
        max_cost=1.00,
        output_path="{{ params.output_dir }}/{{ run_id }}.mp4",
    )
# [END howto_alerts_dag]
