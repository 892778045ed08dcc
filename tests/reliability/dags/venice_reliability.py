"""Clips on every way that this package offers, each of which loses a worker in the tests."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG

from airflow_provider_venice.operators.video import VeniceDownloadVideoOperator, VeniceQueueVideoOperator
from airflow_provider_venice.sensors.video import VeniceVideoSensor
from tests.reliability.holding import HeldGenerateVideo

# On a busy machine Airflow hears late that a try has been deferred, takes the resumed task for lost, and retries it.
RETRIES: dict[str, Any] = {"retries": 4, "retry_delay": timedelta(0)}
DAG_ARGUMENTS: dict[str, Any] = {
    "schedule": None,
    "params": {"model": "", "prompt": "", "aspect_ratio": "16:9", "output_dir": ""},
    "max_active_runs": 64,
    "max_active_tasks": 64,
}
REQUEST: dict[str, Any] = {
    "model": "{{ params.model }}",
    "prompt": "{{ params.prompt }}",
    "aspect_ratio": "{{ params.aspect_ratio }}",
    "duration": 5,
    # Enough for the clips that are submitted again; what a clip has cost counts.
    "max_cost": 100,
}
CLIP: dict[str, Any] = {"output_path": "{{ params.output_dir }}/clip.mp4"}

RESUBMIT: dict[str, Any] = {"on_clear": "resubmit", "overwrite": True}

for dag_id, arguments in {
    "resubmitted": {"deferrable": True, **RESUBMIT, **RETRIES},
    "resubmitted_in_worker": {"deferrable": False, **RESUBMIT, **RETRIES},
    "impatient": {"deferrable": True, "timeout": 25},
}.items():
    with DAG(dag_id, **DAG_ARGUMENTS):
        HeldGenerateVideo(task_id="generate", **REQUEST, **CLIP, delete_media=True, **arguments)

with DAG("fallback", **DAG_ARGUMENTS):
    HeldGenerateVideo(
        task_id="generate",
        **REQUEST,
        **CLIP,
        fallback_models=["wan-2.6-text-to-video"],
        deferrable=True,
        delete_media=True,
        **RETRIES,
    )

# Each with and without a deletion at the vendor.
for suffix, end in {"": {**RETRIES, "delete_media": True}, "_kept": RETRIES}.items():
    for dag_id, deferrable in {"deferred": True, "in_worker": False}.items():
        with DAG(f"{dag_id}{suffix}", **DAG_ARGUMENTS):
            HeldGenerateVideo(task_id="generate", **REQUEST, **CLIP, deferrable=deferrable, **end)

    for dag_id, deferrable in {"steps": True, "steps_in_worker": False}.items():
        with DAG(f"{dag_id}{suffix}", **DAG_ARGUMENTS):
            queue = VeniceQueueVideoOperator(task_id="queue", **REQUEST, **RETRIES)
            wait = VeniceVideoSensor(
                task_id="wait", job=queue.output, deferrable=deferrable, poke_interval=1, timeout=300, **RETRIES
            )
            VeniceDownloadVideoOperator(task_id="download", job=wait.output, **CLIP, **end)

    with DAG(f"mapped{suffix}", **DAG_ARGUMENTS):
        HeldGenerateVideo.partial(
            task_id="generate",
            **{name: value for name, value in REQUEST.items() if name not in ("prompt", "aspect_ratio")},
            output_path="{{ params.output_dir }}/{{ ti.map_index }}.mp4",
            deferrable=True,
            **end,
        ).expand_kwargs(
            [
                # A quote does not carry the prompt: the shape tells that of the second clip from the others.
                {
                    "prompt": f"{{{{ params.prompt }}}} <{index}>",
                    "aspect_ratio": REQUEST["aspect_ratio"] if index == 1 else "16:9",
                }
                for index in range(3)
            ]
        )

    with DAG(f"listed{suffix}", **DAG_ARGUMENTS):
        HeldGenerateVideo(
            task_id="generate",
            request=[{"prompt": f"{{{{ params.prompt }}}} <{index}>"} for index in range(3)],
            **{name: value for name, value in REQUEST.items() if name not in ("prompt", "max_cost")},
            max_cost=100,
            output_path="{{ params.output_dir }}/{index}.mp4",
            **end,
        )

# A doubt is answered by the usage history.
CHECKED: dict[str, Any] = {"venice_conn_id": "venice_checked", "on_ambiguous": "check", **RETRIES}
with DAG("checked", **DAG_ARGUMENTS):
    HeldGenerateVideo(task_id="generate", **REQUEST, **CLIP, **CHECKED)
with DAG("checked_list", **DAG_ARGUMENTS):
    HeldGenerateVideo(
        task_id="generate",
        request=[{"prompt": f"{{{{ params.prompt }}}} <{index}>"} for index in range(3)],
        **{name: value for name, value in REQUEST.items() if name != "prompt"},
        output_path="{{ params.output_dir }}/{index}.mp4",
        **CHECKED,
    )

# What nobody should write: six clips, and one path for all of them.
for dag_id, overwrite in {"one_path": False, "one_path_overwritten": True}.items():
    with DAG(dag_id, **DAG_ARGUMENTS):
        HeldGenerateVideo.partial(
            task_id="generate",
            **{name: value for name, value in REQUEST.items() if name != "prompt"},
            **CLIP,
            overwrite=overwrite,
        ).expand(prompt=[f"{{{{ params.prompt }}}} <{index}>" for index in range(6)])
