"""A night of mapped clips into an object storage: with the package, and with tasks that poll."""

from __future__ import annotations

import os
import time
from typing import Any

from airflow.sdk import DAG, ObjectStoragePath, task

from airflow_provider_venice.operators.video import VeniceGenerateVideoOperator

URL, KEY = os.environ.get("BENCHMARK_URL", ""), os.environ.get("BENCHMARK_KEY", "")
MODEL: dict[str, Any] = {"model": "wan-2-7-text-to-video", "duration": "5s", "aspect_ratio": "16:9"}
PROMPTS = [f"pier {number}" for number in range(int(os.environ.get("BENCHMARK_CLIPS", "0")))]

#: How many times as fast as Venice the simulator is: the polling tasks keep time with it.
SPEED = float(os.environ.get("BENCHMARK_SPEED", "1"))

#: So many tasks run or are queued. With some 30 more than it has processes, LocalExecutor holds up the scheduler until
#: one ends (Airflow 3.1 to 3.3).
ACTIVE = int(os.environ.get("BENCHMARK_ACTIVE", "16"))

ARGUMENTS: dict[str, Any] = {"schedule": None, "max_active_tasks": ACTIVE}

for dag_id, queue in {"night_ours": {}, "night_one_triggerer": {"queue": "venice"}}.items():
    with DAG(dag_id, default_args=queue, **ARGUMENTS):
        VeniceGenerateVideoOperator.partial(
            task_id="make",
            output_path="{{ dag_run.conf['output_dir'] }}/{{ ti.map_index }}.mp4",
            retries=2,
            **MODEL,
        ).expand(prompt=PROMPTS)


def post(path: str, body: dict[str, Any]) -> Any:
    """Make a request as a user's own task would: wait in the worker for as long as a refusal says."""
    import requests

    while True:
        answer = requests.post(URL + path, json=body, headers={"Authorization": f"Bearer {KEY}"}, timeout=120)
        if answer.status_code != 429:
            answer.raise_for_status()
            return answer
        # Milliseconds; the block names no reset, and lasts for 30 s.
        reset = float(answer.headers.get("x-ratelimit-reset-requests", 0)) / 1000 or time.time() + 30 / SPEED
        time.sleep(max(1.0 / SPEED, reset - time.time()))


with DAG("night_polling", **ARGUMENTS):

    @task
    def make(prompt: str, **context: Any) -> None:
        """Do it all in one worker: submit, poll every five seconds, store."""
        job = post("/video/queue", {**MODEL, "prompt": prompt}).json()
        while True:
            answer = post("/video/retrieve", job)
            if answer.headers["content-type"] == "video/mp4":
                break
            time.sleep(5 / SPEED)
        folder, index = context["dag_run"].conf["output_dir"], context["ti"].map_index
        ObjectStoragePath(f"{folder}/{index}.mp4").write_bytes(answer.content)

    make.expand(prompt=PROMPTS)
