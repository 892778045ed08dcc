"""What a user sees of clips that are waited for: written by a real triggerer, and linked from the task instance."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_venice.simulator import VeniceSimulator
from tests.system.stack import AirflowStack
from tests.system.watched import watch

pytestmark = [pytest.mark.slow, pytest.mark.system]


def test_clips_are_watched_while_they_are_waited_for(
    airflow_stack: AirflowStack, stack_simulator: VeniceSimulator, tmp_path: Path
) -> None:
    watch(airflow_stack, stack_simulator, tmp_path)
