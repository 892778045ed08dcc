"""One Airflow for all tests of this folder, in which lost workers are noticed within seconds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.reliability.runs import Venue


@pytest.fixture(scope="package")
def venue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Venue]:
    """The Airflow, the simulator and the folder of the clips."""
    from tests.reliability.runs import open_venue

    with open_venue(tmp_path_factory.mktemp("reliability")) as venue:
        yield venue
