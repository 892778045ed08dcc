"""A connection is read once for all that start together, and anew after a while."""

from __future__ import annotations

import asyncio
import json
import time

import pytest

from airflow_provider_venice.exceptions import VeniceConnectionError, VeniceRequestError
from airflow_provider_venice.hooks import connections
from airflow_provider_venice.hooks.connections import async_settings, reading_again
from airflow_provider_venice.transport.settings import Settings


def connect(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_MANY", json.dumps({"conn_type": "venice", "password": key}))


async def test_all_that_start_together_get_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    connect(monkeypatch, "first")
    read = await asyncio.gather(*(async_settings("many") for _ in range(100)))
    assert len({id(settings) for settings in read}) == 1


async def test_one_that_is_cancelled_leaves_the_others_to_read(monkeypatch: pytest.MonkeyPatch) -> None:
    connect(monkeypatch, "first")
    waits = [asyncio.create_task(async_settings("many")) for _ in range(10)]
    await asyncio.sleep(0)
    waits[0].cancel()
    read = await asyncio.gather(*waits, return_exceptions=True)
    assert all(isinstance(one, Settings) for one in read[1:])


async def test_a_new_key_is_found_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    connect(monkeypatch, "first")
    await async_settings("many")
    connect(monkeypatch, "second")
    assert (await async_settings("many")).api_key == "first"
    (known,) = connections._known[asyncio.get_running_loop()].values()
    known.read_at = 0.0
    assert (await async_settings("many")).api_key == "second"


async def test_many_that_find_the_key_refused_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    connect(monkeypatch, "first")
    first = await async_settings("many")
    refused_at = time.monotonic()
    connect(monkeypatch, "second")
    assert await async_settings("many") is first
    read = await asyncio.gather(*(async_settings("many", read_after=refused_at) for _ in range(1000)))
    assert {settings.api_key for settings in read} == {"second"}
    assert len({id(settings) for settings in read}) == 1
    assert await async_settings("many", read_after=refused_at) is read[0]
    assert await async_settings("many") is read[0]


async def test_a_connection_that_cannot_be_read_again_is_worth_another_try(monkeypatch: pytest.MonkeyPatch) -> None:
    connect(monkeypatch, "")
    with pytest.raises(VeniceConnectionError, match="password is empty") as caught, reading_again("many"):
        await async_settings("many")
    assert caught.value.can_heal


async def test_a_wrong_connection_is_not_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    connect(monkeypatch, "")
    with pytest.raises(VeniceRequestError, match="password is empty"):
        await async_settings("many")
    connect(monkeypatch, "corrected")
    assert (await async_settings("many")).api_key == "corrected"


def test_another_loop_reads_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    connect(monkeypatch, "first")
    asyncio.run(async_settings("many"))
    connect(monkeypatch, "second")
    assert asyncio.run(async_settings("many")).api_key == "second"
