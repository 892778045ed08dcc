"""
### A person approves what costs much

Up to `limit` US dollars the clip is made at once. Above it, a person finds the price, the request and
the first frame under *Required Actions* in the UI, and approves or rejects the clip. Nothing is queued,
and nothing spent, until then; with no answer within a day, the clip is not made. Without an `image_url`
the clip is made from the prompt alone.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow import __version__ as airflow_version
from airflow.providers.standard import __version__ as standard_version
from airflow.sdk import DAG, Param
from packaging.version import Version

from airflow_provider_venice.operators.video import VeniceGenerateVideoOperator, VeniceQuoteVideoOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

# Older ones cannot ask people, or cannot end the wait for them. There this file is read, and defines no DAG.
if Version(airflow_version) < Version("3.1") or Version(standard_version) < Version("1.12.2"):
    logging.getLogger(__name__).warning(
        "venice_human_approval is left out: it needs Airflow 3.1 and apache-airflow-providers-standard 1.12.2, "
        "and here are %s and %s",
        airflow_version,
        standard_version,
    )
else:
    from airflow.providers.standard.operators.hitl import ApprovalOperator

    # [START howto_human_approval]
    class ApproveCostOperator(ApprovalOperator):
        """
        Ask a person, but only above a price.

        :param cost: US dollars. (templated)
        :param limit: most US dollars that need no approval. (templated)
        """

        template_fields: Sequence[str] = (*ApprovalOperator.template_fields, "cost", "limit")

        def __init__(self, *, cost: Any, limit: Any, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.cost = cost
            self.limit = limit

        def execute(self, context: Context) -> Any:
            """Return at once, or wait for a person without a worker slot."""
            if float(self.cost) <= float(self.limit):
                self.log.info("$%s is within $%s; nobody is asked", self.cost, self.limit)
                return None
            return super().execute(context)

    # In Markdown. The prompt is shown as it is, between two lines of tildes.
    QUESTION = """\
{% if params.image_url %}![The first frame]({{ params.image_url }}){% endif %}

**${{ ti.xcom_pull(task_ids='quote')['estimated_cost'] }}** for {{ params.duration }} of
{{ ti.xcom_pull(task_ids='quote')['model'] }}

~~~~~~~~
{{ params.prompt | replace('~~~~', '') }}
~~~~~~~~

Saved as `{{ params.output_dir }}/{{ run_id }}.mp4`
"""

    with DAG(
        dag_id="venice_human_approval",
        schedule=None,
        doc_md=__doc__,
        tags=["example", "venice"],
        params={
            "prompt": Param("A whale surfaces beside a small sailing boat", type="string", minLength=1),
            "image_url": Param("", type="string", description="URL of the first frame, or empty"),
            "duration": Param("10s", type="string"),
            "limit": Param(0.5, type="number", minimum=0, description="US dollars that need no approval"),
            "output_dir": Param(os.environ.get("VENICE_OUTPUT_DIR", "/tmp/venice"), type="string"),
        },
    ) as dag:
        request = {
            "model": "wan-2-7-{{ 'image' if params.image_url else 'text' }}-to-video",
            "prompt": "{{ params.prompt }}",
            "duration": "{{ params.duration }}",
            # A clip that begins with an image has its shape. A blank field is not sent.
            "aspect_ratio": "{{ '' if params.image_url else '16:9' }}",
            "image_url": "{{ params.image_url }}",
        }
        price = "{{ ti.xcom_pull(task_ids='quote')['estimated_cost'] }}"

        quote = VeniceQuoteVideoOperator(task_id="quote", request=request)
        approve = ApproveCostOperator(
            task_id="approve",
            cost=price,
            limit="{{ params.limit }}",
            subject=f"May this clip cost ${price}?",
            body=QUESTION,
            # With no answer in time, the answer is no; then the tasks that follow are skipped.
            response_timeout=timedelta(days=1),
            defaults="Reject",
        )
        generate = VeniceGenerateVideoOperator(
            task_id="generate",
            request=request,
            # What was approved, and not a cent more, should the price have risen meanwhile.
            max_cost=price,
            output_path="{{ params.output_dir }}/{{ run_id }}.mp4",
        )
        quote >> approve >> generate
    # [END howto_human_approval]
