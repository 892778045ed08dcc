"""The first example, as a newcomer runs it."""

from __future__ import annotations

from pathlib import Path

import requests

from airflow_provider_venice.simulator import VeniceSimulator
from tests.system.clips import make_clip
from tests.system.stack import AirflowStack


def test_text_to_video(airflow_stack: AirflowStack, stack_simulator: VeniceSimulator, tmp_path: Path) -> None:
    make_clip(airflow_stack, stack_simulator, tmp_path)
    for log in (airflow_stack.home / "logs").rglob("*.log"):
        assert stack_simulator.api_key not in log.read_text(), log


def test_the_ui_answers(airflow_stack: AirflowStack) -> None:
    page = requests.get(airflow_stack.ui_url, timeout=10)
    assert page.status_code == 200
    assert "<title>Airflow" in page.text


def test_the_form_of_the_connection_is_there(airflow_stack: AirflowStack) -> None:
    form = airflow_stack.connection_form("venice")
    assert form["standard_fields"]["password"]["title"] == "API key"
    assert "poll_interval" in form["extra_fields"]


def test_the_connections_test_button_proves_the_key(
    airflow_stack: AirflowStack, stack_simulator: VeniceSimulator
) -> None:
    fields = {"connection_id": "probe", "conn_type": "venice", "host": stack_simulator.base_url}
    good = airflow_stack.test_connection({**fields, "password": stack_simulator.api_key})
    assert good["status"] is True
    bad = airflow_stack.test_connection({**fields, "password": "a-wrong-key"})
    assert bad["status"] is False
