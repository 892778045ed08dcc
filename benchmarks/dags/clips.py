"""Clips on every way that is compared."""

from __future__ import annotations

import os
import time
from typing import Any

from airflow.sdk import DAG, task, task_group

from airflow_provider_venice.operators.video import (
    VeniceDownloadVideoOperator,
    VeniceGenerateVideoOperator,
    VeniceQueueVideoOperator,
    VeniceQuoteVideoOperator,
)
from airflow_provider_venice.sensors.video import VeniceVideoSensor

URL, KEY = os.environ.get("BENCHMARK_URL", ""), os.environ.get("BENCHMARK_KEY", "")
OUTPUT = "{{ dag_run.conf['output_dir'] }}/{{ ti.map_index }}.mp4"
MODEL: dict[str, Any] = {"model": "wan-2-7-text-to-video", "duration": 5}

#: How many are submitted at once, and how many are made.
MANY, SOME = 100, 5

ARGUMENTS: dict[str, Any] = {"schedule": None, "max_active_tasks": 16}


def post(path: str, body: dict[str, Any]) -> Any:
    """Make a request as a user's own task would: wait in the worker for as long as a refusal says."""
    import requests

    while True:
        answer = requests.post(URL + path, json=body, headers={"Authorization": f"Bearer {KEY}"}, timeout=120)
        if answer.status_code != 429:
            answer.raise_for_status()
            return answer
        # Milliseconds; the block names no reset, and lasts for 30 s.
        reset = float(answer.headers.get("x-ratelimit-reset-requests", 0)) / 1000 or time.time() + 30
        time.sleep(max(1.0, reset - time.time()))


with DAG("submissions_ours", **ARGUMENTS):
    VeniceQueueVideoOperator.partial(task_id="queue", **MODEL).expand(prompt=[f"pier {n}" for n in range(MANY)])

with DAG("submissions_sleeping", **ARGUMENTS):

    @task
    def queue(prompt: str) -> Any:
        """Submit, and wait in the worker for the rate limit."""
        return post("/video/queue", {**MODEL, "duration": "5s", "prompt": prompt}).json()

    queue.expand(prompt=[f"pier {n}" for n in range(MANY)])

with DAG("workers_chain", **ARGUMENTS):

    @task_group
    def clip(prompt: str) -> None:
        """Make a clip in four tasks."""
        quote = VeniceQuoteVideoOperator(task_id="quote", prompt=prompt, max_cost=1, **MODEL)
        queued = VeniceQueueVideoOperator(task_id="queue", prompt=prompt, **MODEL)
        wait = VeniceVideoSensor(task_id="wait", job=queued.output)
        quote >> queued
        VeniceDownloadVideoOperator(task_id="download", job=wait.output, output_path=OUTPUT)

    clip.expand(prompt=[f"pier {n}" for n in range(SOME)])

with DAG("workers_single", **ARGUMENTS):
    VeniceGenerateVideoOperator.partial(task_id="generate", max_cost=1, output_path=OUTPUT, **MODEL).expand(
        prompt=[f"pier {n}" for n in range(SOME)]
    )

with DAG("workers_list", **ARGUMENTS):
    VeniceGenerateVideoOperator(
        task_id="generate",
        request=[{"prompt": f"pier {n}"} for n in range(SOME)],
        max_cost=5,
        output_path="{{ dag_run.conf['output_dir'] }}/{index}.mp4",
        **MODEL,
    )

with DAG("workers_sleeping", **ARGUMENTS):

    @task
    def generate(prompt: str, **context: Any) -> None:
        """Do it all in one worker: ask, submit, look every five seconds, fetch."""
        request = {**MODEL, "duration": "5s", "prompt": prompt}
        post("/video/quote", {**MODEL, "duration": "5s"})
        job = post("/video/queue", request).json()
        while True:
            answer = post("/video/retrieve", job)
            if answer.headers["content-type"] == "video/mp4":
                break
            time.sleep(5)
        folder = context["dag_run"].conf["output_dir"]
        os.makedirs(folder, exist_ok=True)
        with open(f"{folder}/{context['ti'].map_index}.mp4", "wb") as file:
            file.write(answer.content)

    generate.expand(prompt=[f"pier {n}" for n in range(SOME)])
