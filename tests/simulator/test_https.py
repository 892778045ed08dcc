"""https with a certificate made at start, for clients that insist on it."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest
import requests

from airflow_provider_venice.simulator import VeniceSimulator
from tests.simulator.client import PRIVATE
from tests.simulator.test_control import command_line


def test_a_client_that_trusts_the_certificate_gets_its_clip(tmp_path: Path) -> None:
    with VeniceSimulator(https=True, media="shared", job_seconds=0) as venice:
        trusted = tmp_path / "ca.pem"
        trusted.write_bytes(venice.certificate)
        assert venice.base_url.startswith("https://127.0.0.1:")
        headers = {"Authorization": f"Bearer {venice.api_key}"}
        answer = requests.post(
            f"{venice.base_url}/video/queue", json=PRIVATE, headers=headers, verify=str(trusted), timeout=10
        )
        link = answer.json()["download_url"]
        assert link.startswith("https://")
        clip = requests.get(link, verify=str(trusted), timeout=20).content
        with pytest.raises(requests.exceptions.SSLError):
            requests.get(f"{venice.base_url}/models", timeout=10)
        local = venice.base_url.replace("127.0.0.1", "localhost")
        assert requests.get(f"{local}/models", verify=str(trusted), timeout=10).status_code == 200
    assert clip[4:8] == b"ftyp"
    gc.collect()  # what the server has left open is a warning here, not in a test to come


def test_the_command_line_writes_what_clients_have_to_trust(tmp_path: Path) -> None:
    trusted = tmp_path / "ca.pem"
    with command_line("--ca-file", str(trusted)) as (_, url):
        assert url.startswith("https://")
        assert requests.get(f"{url}/models", verify=str(trusted), timeout=10).status_code == 200


def test_http_has_no_certificate() -> None:
    with pytest.raises(ValueError, match="https=True"):
        VeniceSimulator().certificate  # noqa: B018
