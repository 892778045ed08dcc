"""What is read of an XCom, which may be anything that a task has written."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_venice.plugin.records import cleaned


def test_a_private_link_is_left_behind() -> None:
    job = {"queue_id": "q", "download_url": "fernet:c2VjcmV0"}
    assert cleaned([{"status": "stored", "job": job, "path": "/a.mp4"}]) == [
        {"status": "stored", "job": {"queue_id": "q"}, "path": "/a.mp4", "request": None, "labels": None}
    ]


@pytest.mark.parametrize("entry", [None, 7, "text", [], {"status": []}, {"job": "q", "request": 1, "labels": [2]}])
def test_an_entry_has_the_types_that_it_should_have(entry: Any) -> None:
    (read,) = cleaned([entry])
    assert read == {"status": "missing", "job": None, "request": None, "labels": None}


@pytest.mark.parametrize("value", ["s3://bucket/xcom.json", 7, None])
def test_what_is_kept_elsewhere_is_passed_over(value: Any) -> None:
    assert cleaned(value) is None
