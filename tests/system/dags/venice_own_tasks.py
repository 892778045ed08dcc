"""Tasks of a user's own that return what the hook returns, and the tasks that go on with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from airflow.sdk import dag, task

CLIP = {"model": "wan-2-7-text-to-video", "prompt": "a door ajar", "duration": 5}
PRIVATE = {**CLIP, "model": "grok-imagine-text-to-video-private"}


@dag("venice_own_tasks", schedule=None, params={"output_dir": ""})
def own_tasks() -> None:
    @task
    def ask(kind: str) -> Any:
        from airflow_provider_venice.api.request import VideoRequest
        from airflow_provider_venice.hooks.venice import VeniceHook

        hook = VeniceHook()
        answers: dict[str, Callable[[], Any]] = {
            "quote": lambda: hook.quote(CLIP),
            "model": lambda: hook.get_model("wan-2-7-text-to-video"),
            "models": hook.list_models,
            "request": lambda: VideoRequest.of(CLIP),
            "balance": hook.balance,
            "limits": hook.rate_limits,
        }
        return answers[kind]()

    @task
    def queue(request: dict[str, Any]) -> Any:
        from airflow_provider_venice.hooks.venice import VeniceHook

        return VeniceHook().queue(request)

    @task
    def wait(job: Any) -> Any:
        from airflow_provider_venice.hooks.venice import VeniceHook

        return VeniceHook().wait_for_completion(job)

    @task
    def download(job: Any, params: Any = None) -> Any:
        from airflow_provider_venice.hooks.venice import VeniceHook

        return VeniceHook().download(job, f"{params['output_dir']}/{job['queue_id']}.mp4")

    @task
    def describe(stored: Any) -> Any:
        from airflow_provider_venice.api.model import VideoMetadata

        return [VideoMetadata(**clip["metadata"]) for clip in stored]

    @task
    def take(value: Any) -> str:
        # Not a class of this package any more: what was stored is plain.
        assert type(value) in (dict, list), type(value)
        return type(value).__name__

    for kind in ("quote", "model", "models", "request", "balance", "limits"):
        take.override(task_id=f"take_{kind}")(ask.override(task_id=kind)(kind))
    jobs = wait.expand(job=queue.expand(request=[CLIP, PRIVATE]))
    take.override(task_id="take_metadata")(describe(download.expand(job=jobs)))


own_tasks()
