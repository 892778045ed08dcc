"""A connection is read once, strictly, and without showing its secrets."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_venice.exceptions import VeniceRequestError
from airflow_provider_venice.transport.settings import DEFAULT_BASE_URL, EXTRA_FIELDS, Settings, decode_extra


@dataclass
class Connection:
    """The fields of an Airflow connection that count."""

    conn_id: str = "venice_default"
    conn_type: str | None = "venice"
    host: str | None = None
    schema: str | None = None
    port: int | None = None
    password: str | None = "s3cr3t"


HOSTS: list[tuple[Connection, str]] = [
    (Connection(), DEFAULT_BASE_URL),
    (Connection(host=" "), DEFAULT_BASE_URL),
    (Connection(host="api.venice.ai"), DEFAULT_BASE_URL),
    (Connection(host="api.venice.ai/"), DEFAULT_BASE_URL),
    (Connection(host="https://api.venice.ai/api/v1/"), DEFAULT_BASE_URL),
    (Connection(host="https://proxy.example/venice"), "https://proxy.example/venice"),
    (Connection(host="127.0.0.1", schema="http", port=8000), "http://127.0.0.1:8000/api/v1"),
    (Connection(host="http://127.0.0.1:9000", port=8000), "http://127.0.0.1:9000/api/v1"),
    (Connection(host="localhost:8000", schema="http"), "http://localhost:8000/api/v1"),
    (Connection(host="http://[::1]", port=8000), "http://[::1]:8000/api/v1"),
]


@pytest.mark.parametrize(("connection", "base_url"), HOSTS)
def test_the_host_becomes_the_base_url(connection: Connection, base_url: str) -> None:
    settings = Settings.of(connection, {})
    assert settings.base_url == base_url
    assert settings.url("/models") == f"{base_url}/models"
    assert settings.url("https://share/x") == "https://share/x"


LINKS: list[tuple[str, str, bool]] = [
    ("https://share.venice.ai/x", DEFAULT_BASE_URL, True),
    ("http://share.venice.ai/x", DEFAULT_BASE_URL, False),
    ("http://169.254.169.254/latest/meta-data", DEFAULT_BASE_URL, False),
    ("http://127.0.0.1:8974/x", DEFAULT_BASE_URL, False),
    ("https://localhost/x", DEFAULT_BASE_URL, False),
    ("http://[::1]/x", DEFAULT_BASE_URL, False),
    ("http://127.0.0.1:8974/x", "http://127.0.0.1:8080/api/v1", True),
    ("http://LOCALHOST:8974/x", "http://127.0.0.1:8080/api/v1", True),
    ("http://10.0.0.1/x", "http://127.0.0.1:8080/api/v1", False),
    ("file:///etc/passwd://", DEFAULT_BASE_URL, False),
    ("https://", DEFAULT_BASE_URL, False),
    ("http://[::s3cr3t", DEFAULT_BASE_URL, False),
]


@pytest.mark.parametrize(("link", "base_url", "valid"), LINKS)
def test_a_link_is_https_or_on_loopback_with_the_api(link: str, base_url: str, valid: bool) -> None:
    settings = Settings("key", base_url)
    if valid:
        assert settings.url(link) == link
        return
    with pytest.raises(VeniceRequestError, match="download_url is no https link, or leads to this machine") as caught:
        settings.url(link)
    assert link not in str(caught.value)


@pytest.mark.parametrize(
    "host",
    [
        "ftp://x",
        "http://",
        "https://x/?a=b",
        "https://x/#a",
        "https://user:s3cr3t@x",
        "https://:s3cr3t@x",
        "https://s3cr3t@x",
        "http://[::1",
        "http://x:y",
        "http://x:99999",
    ],
)
def test_what_is_no_base_url_is_named_and_not_shown(host: str) -> None:
    with pytest.raises(VeniceRequestError) as caught:
        Settings.of(Connection(host=host), {})
    assert list(caught.value.fields) == ["host"]
    assert "venice_default" in str(caught.value)
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize(
    "key", [None, "", "  ", "two s3cr3ts", "schlüssel-s3cr3t", "s3cr3t\nX-Header: y", "s3cr3t\x7f"]
)
def test_what_is_no_key_is_named_and_not_shown(key: str | None) -> None:
    with pytest.raises(VeniceRequestError) as caught:
        Settings.of(Connection(password=key), {})
    assert list(caught.value.fields) == ["password"]
    assert "s3cr3t" not in str(caught.value)


def test_the_key_is_not_shown_and_stands_in_one_header() -> None:
    settings = Settings.of(Connection(password=" s3cr3t\n"), {})
    assert "s3cr3t" not in repr(settings) + str(settings)
    assert settings.headers == {"Authorization": "Bearer s3cr3t"}


EXTRAS: list[tuple[str, Any, Any]] = [
    ("connect_timeout", "2.5", 2.5),
    ("read_timeout", 60, 60.0),
    ("retry_attempts", "3", 3),
    ("retry_attempts", 3.0, 3),
    ("retry_max_wait", 10, 10.0),
    ("queue_limit", "80", 80),
    ("retrieve_limit", 240, 240),
    ("poll_interval", "7", 7.0),
    ("poll_interval", "", None),
    ("poll_interval", None, None),
    ("queue_limit", " ", 40),
    ("admin_conn_id", " venice_admin ", "venice_admin"),
    ("admin_conn_id", "", None),
    ("billing_delay", "60", 60.0),
]

NUMBERS = [name for name in EXTRA_FIELDS if name != "admin_conn_id"]


@pytest.mark.parametrize(("name", "value", "setting"), EXTRAS)
def test_extra_is_typed(name: str, value: Any, setting: Any) -> None:
    found = getattr(Settings.of(Connection(), {name: value}), name)
    assert found == setting
    assert type(found) is type(setting)


@pytest.mark.parametrize("value", [0, -1, "x", "0", "nan", "inf", True, [], {}, "1e999"])
@pytest.mark.parametrize("name", NUMBERS)
def test_a_wrong_extra_is_named(name: str, value: Any) -> None:
    with pytest.raises(VeniceRequestError) as caught:
        Settings.of(Connection(), {name: value})
    assert list(caught.value.fields) == [f"extra.{name}"]


@pytest.mark.parametrize("value", [0, 1.5, True, ["venice_admin"], {"conn_id": "venice_admin"}])
def test_what_is_no_connection_id_is_named(value: Any) -> None:
    with pytest.raises(VeniceRequestError, match="takes the id of a connection, not") as caught:
        Settings.of(Connection(), {"admin_conn_id": value})
    assert list(caught.value.fields) == ["extra.admin_conn_id"]


def test_a_submission_ends_after_the_waits_of_all_its_attempts() -> None:
    settings = Settings("key", retry_attempts=2, retry_max_wait=1, connect_timeout=10, read_timeout=100)
    assert settings.longest_submission == 2 * (2 * 1 + 10 + 100)


def test_all_that_is_wrong_is_named_at_once() -> None:
    extra = {"pol_interval": 5, "retry_attempts": 2.5}
    with pytest.raises(VeniceRequestError, match="known are connect_timeout") as caught:
        Settings.of(Connection(host="ftp://x", password=""), extra)
    assert set(caught.value.fields) == {"host", "password", "extra.pol_interval", "extra.retry_attempts"}


@pytest.mark.parametrize(("text", "extra"), [(None, {}), ("", {}), (" ", {}), ("{}", {}), ('{"a": 1}', {"a": 1})])
def test_extra_is_decoded(text: str | None, extra: dict[str, Any]) -> None:
    assert decode_extra(text) == extra


@pytest.mark.parametrize("text", ["s3cr3t", "[1]", "5", '{"a": "s3cr3t"', "null", "[" * 100_000])
def test_extra_that_is_no_object_is_not_shown(text: str) -> None:
    with pytest.raises(VeniceRequestError, match="extra is not a JSON object") as caught:
        decode_extra(text)
    assert "s3cr3t" not in str(caught.value)


hosts = st.text("htps:/@.[]%#?0123456789abé \x00\n", max_size=20)


@given(hosts, st.none() | hosts, st.none() | st.integers(-5, 99999), st.text("ab é\n", max_size=5))
def test_any_connection_is_settings_or_one_error(host: str, schema: str | None, port: int | None, key: str) -> None:
    connection = Connection(host=host, schema=schema, port=port, password=key)
    try:
        settings = Settings.of(connection, json.loads("{}"))
    except VeniceRequestError:
        return
    assert settings.base_url.startswith(("http://", "https://"))
