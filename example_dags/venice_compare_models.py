"""
### The cheapest of several models

Prices are free to ask for. This asks for every model with every duration that it offers, has a
task choose, and makes one clip: of the combination that costs least. Change `choose` to weigh the
price against what you know of the models.
"""

from __future__ import annotations

import os
from typing import Any

from airflow.sdk import DAG, Param, get_current_context, task

from airflow_provider_venice.hooks.venice import VeniceHook
from airflow_provider_venice.operators.video import VeniceGenerateVideoOperator, VeniceQuoteVideoOperator

with DAG(
    dag_id="venice_compare_models",
    schedule=None,
    doc_md=__doc__,
    tags=["example", "venice"],
    params={
        "prompt": Param("A glass marble rolls down a wooden track", type="string", minLength=1),
        "models": Param(
            ["wan-2-7-text-to-video", "veo3.1-fast-text-to-video", "seedance-2-0-text-to-video-basic"],
            type="array",
            items={"type": "string"},
        ),
        "durations": Param(["4s", "5s", "10s"], type="array", items={"type": "string"}),
        "output_dir": Param(os.environ.get("VENICE_OUTPUT_DIR", "/tmp/venice"), type="string"),
    },
) as dag:
    # [START howto_compare_models]
    @task
    def candidates() -> list[dict[str, str]]:
        """Return every model with every duration that it offers."""
        hook, params = VeniceHook(), get_current_context()["params"]
        return [
            {"model": model.id, "duration": duration, "aspect_ratio": "16:9"}
            for model in map(hook.get_model, params["models"])
            for duration in params["durations"]
            if duration in model.durations
        ]

    @task
    def choose(requests: list[dict[str, str]], answer: dict[str, Any]) -> dict[str, str]:
        """Return the request of the lowest price; the quotes have the order of the requests."""
        costs = [quote["estimated_cost"] for quote in answer["quotes"]]
        return requests[costs.index(min(costs))]

    requests = candidates()
    quote = VeniceQuoteVideoOperator(task_id="quote", request=requests)

    VeniceGenerateVideoOperator(
        task_id="generate",
        request=choose(requests, quote.output),  # type: ignore[arg-type]
        prompt="{{ params.prompt }}",
        max_cost=2.00,
        output_path="{{ params.output_dir }}/{{ run_id }}.mp4",
    )
    # [END howto_compare_models]
