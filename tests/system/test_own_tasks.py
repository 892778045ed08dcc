"""What the hook returns crosses from one task of a user's own to the next."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_venice.simulator import VeniceSimulator
from tests.system.clips import make_clips_in_own_tasks
from tests.system.stack import AirflowStack

pytestmark = [pytest.mark.slow, pytest.mark.system]


def test_what_the_hook_returns_crosses_xcom(
    airflow_stack: AirflowStack, stack_simulator: VeniceSimulator, tmp_path: Path
) -> None:
    make_clips_in_own_tasks(airflow_stack, stack_simulator, tmp_path)
