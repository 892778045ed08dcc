"""A client that knows nothing but HTTP, and the requests that most tests send."""

from __future__ import annotations

import time
from typing import Any

import requests

from airflow_provider_venice.simulator import VeniceSimulator

T2V = {"model": "wan-2-7-text-to-video", "prompt": "a boat on the Canal Grande", "duration": "5s"}
PRIVATE = {"model": "grok-imagine-text-to-video-private", "prompt": "a gondola", "duration": "5s"}


class Client:
    """Any Venice client: base URL, key, JSON."""

    def __init__(self, venice: VeniceSimulator) -> None:
        self.venice = venice
        self.session = requests.Session()
        self.session.headers["Authorization"] = f"Bearer {venice.api_key}"

    def post(self, path: str, body: Any, **options: Any) -> requests.Response:
        return self.session.post(f"{self.venice.base_url}/{path}", json=body, timeout=20, **options)

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.session.get(f"{self.venice.base_url}/{path}", timeout=20, **options)

    def queue(self, **fields: Any) -> requests.Response:
        return self.post("video/queue", {**T2V, **fields})

    def job(self, **fields: Any) -> dict[str, Any]:
        """Queue a job, which has to be taken, and return the answer."""
        answer = self.queue(**fields)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def done(self, **fields: Any) -> dict[str, Any]:
        """Queue a job and let it be done."""
        job = self.job(**fields)
        self.venice.finish(job["queue_id"])
        return job

    def retrieve(self, job: dict[str, Any], *, stream: bool = False, **fields: Any) -> requests.Response:
        body = {"model": job["model"], "queue_id": job["queue_id"], **fields}
        return self.post("video/retrieve", body, stream=stream)

    def complete(self, job: dict[str, Any]) -> requests.Response:
        return self.post("video/complete", {"model": job["model"], "queue_id": job["queue_id"]})

    def control(self, method: str, path: str, body: Any = None) -> requests.Response:
        return requests.request(method, f"{self.venice.control_url}/{path}", json=body, timeout=20)


def eventually(condition: Any, seconds: float = 5.0) -> bool:
    """Wait until ``condition()`` holds; say whether it ever did."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True
