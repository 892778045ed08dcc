"""Airflows whose UI shows clips: the newest release, and the two before it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.compat.environments import RELEASES, environment
from tests.ui.airflow import AirflowUI, running_ui


@pytest.fixture(scope="session")
def airflow_ui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AirflowUI]:
    """The newest Airflow."""
    with running_ui(tmp_path_factory.mktemp("ui") / "clips") as ui:
        yield ui


@pytest.fixture(params=[release for release in RELEASES if release.minor != "3.0"], ids=lambda release: release.minor)
def older_ui(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AirflowUI]:
    """An Airflow before it, the oldest one below a base path."""
    base_path = "/airflow" if request.param.minor == "3.1" else ""
    folder = tmp_path_factory.mktemp("ui") / "clips"
    with running_ui(folder, environment(request.param), base_path=base_path) as ui:
        yield ui
