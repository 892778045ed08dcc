"""Mistakes in the connection."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from tests.mistakes.row import BEFORE, Mistake, Scene
from tests.transport.bad_servers import certificate, closed_port, html, plain_http, silent, tls
from tests.transport.carriers import RawServer, answer

#: One attempt is enough to see the message.
_ONCE = {"retry_attempts": 1}

_QUOTED = "GET /models: "
_WRONG_URL = "check the connection's Base URL, which ends in /api/v1 for Venice"
_WRONG = "check the connection's Base URL, which ends in /api/v1 for Venice, and any proxy before it"


#: What depends on the version of OpenSSL, and on which of two packets comes first.
_SAME = {
    "record layer failure": "wrong version number",
    "the server closed the connection without an answer": "connection reset by peer",
}


def _given(**fields: Any) -> Callable[[Scene], object]:
    """Return what connects with these fields and makes a clip."""

    def attempt(scene: Scene) -> object:
        scene.connect(**fields)
        return scene.generate()

    return attempt


def _changed(change: Callable[[str], str]) -> Callable[[Scene], object]:
    """Return what connects to a changed Base URL and makes a clip."""

    def attempt(scene: Scene) -> object:
        scene.connect(host=change(scene.simulator.base_url), extra=_ONCE)
        return scene.generate()

    return attempt


def _at(scene: Scene, address: str, scheme: str = "http", **extra: Any) -> object:
    scene.shown[address] = "venice.example:8080"
    scene.connect(host=f"{scheme}://{address}/api/v1", extra={**_ONCE, **extra})
    return scene.generate()


def _served(make: Callable[[Scene], Any], scheme: str = "http", **extra: Any) -> Callable[[Scene], object]:
    """Return what makes a clip while a bad server is up."""

    def attempt(scene: Scene) -> object:
        def run() -> None:
            from tests.running import run_task

            scene.shown |= _SAME
            with make(scene) as server:
                address = f"127.0.0.1:{server}" if isinstance(server, int) else server.url.partition("//")[2]
                run_task(_at(scene, address, scheme, **extra))

        return run

    return attempt


def _tls(scene: Scene, *, trust: bool = False, **kind: Any) -> RawServer:
    pem = certificate(scene.folder, **kind)
    if trust:
        scene.monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(pem))
    return RawServer(answer(200), tls=tls(pem))


def _unknown_host(scene: Scene) -> object:
    # What the resolver says of it depends on the machine.
    for words in ("temporary failure in name resolution", "no address associated with hostname"):
        scene.shown[words] = "name or service not known"
    scene.connect(host="https://api.venice.invalid/api/v1", extra=_ONCE)
    return scene.generate()


def _refusing_proxy(scene: Scene) -> contextlib.AbstractContextManager[RawServer]:
    proxy = RawServer(answer(407, "<html>", content_type="text/html"))
    for name in ("no_proxy", "NO_PROXY"):
        scene.monkeypatch.delenv(name, raising=False)
    scene.monkeypatch.setenv("http_proxy", proxy.url)
    scene.monkeypatch.setenv("https_proxy", proxy.url)
    return proxy


def _through_a_proxy(scene: Scene) -> object:
    def run() -> None:
        from tests.running import run_task

        with _refusing_proxy(scene) as proxy:
            scene.shown[proxy.url.partition("//")[2]] = "proxy.example:3128"
            scene.connect(host="https://api.venice.invalid/api/v1", extra=_ONCE)
            run_task(scene.generate())

    return run


def _test_button(scene: Scene) -> object:
    scene.connect(conn_type="http")

    def press() -> None:
        works, message = scene.hook.test_connection()
        assert not works
        raise RuntimeError(message)

    return press


def _refused_key(scene: Scene) -> object:
    scene.connect(password="sk-of-another-vendor")
    return scene.generate()


def _uri(text: str) -> Callable[[Scene], object]:
    def attempt(scene: Scene) -> object:
        scene.monkeypatch.setenv("AIRFLOW_CONN_VENICE_DEFAULT", text)
        return scene.generate()

    return attempt


def _invalid(problem: str) -> str:
    return f"the connection 'venice_default' is not valid: {problem}"


_NO_KEY = "password is empty; put the Venice API key there (https://venice.ai/settings/api)"
_NO_BASE_URL = (
    "host is no base URL: http:// or https://, a host, perhaps a path, and nothing else; leave it empty for "
    "https://api.venice.ai/api/v1"
)
_KNOWN = (
    "known are connect_timeout, read_timeout, retry_attempts, retry_max_wait, queue_limit, retrieve_limit, "
    "poll_interval, admin_conn_id, billing_delay"
)


def _wrong_type(kind: str) -> str:
    return (
        f"the connection 'venice_default' has the type '{kind}'; it has to be 'venice', which Airflow's form shows as "
        "Venice.ai. Correct it, or name another connection in venice_conn_id"
    )


ROWS = (
    Mistake("The connection has no API key", BEFORE, _given(password=""), _invalid(_NO_KEY)),
    Mistake(
        "The API key stands where a URI has its host",
        BEFORE,
        _uri("venice://sk-1234567890"),
        _invalid(_NO_KEY),
    ),
    Mistake(
        "The connection is of the type ``http``",
        BEFORE,
        _given(conn_type="http"),
        _wrong_type("http"),
    ),
    Mistake(
        "The connection is that of another service, such as ``aws``",
        BEFORE,
        _uri("aws://AKIA1234567890:secret-key@"),
        _wrong_type("aws"),
    ),
    Mistake(
        "The *Test* button is pressed for a connection of another type",
        BEFORE,
        _test_button,
        _wrong_type("http"),
        is_retried=True,
    ),
    Mistake(
        "The API key has a line break in it",
        BEFORE,
        _given(password="sk-12345\n67890"),
        _invalid("password has a blank, a line break or another character that no API key has; copy it again"),
    ),
    Mistake(
        "The API key begins with ``Bearer``",
        BEFORE,
        _given(password="Bearer sk-1234567890"),
        _invalid("password has a blank, a line break or another character that no API key has; copy it again"),
    ),
    Mistake(
        "The API key is that of another vendor",
        BEFORE,
        _refused_key,
        "Venice answered HTTP 401: Authentication failed; check the API key in the connection's password. "
        "Nothing was paid for it",
    ),
    Mistake(
        "The extra is not JSON",
        BEFORE,
        _given(extra="read_timeout=60"),
        'the connection\'s extra is not a JSON object; give one such as {"read_timeout": 60}, or leave it empty',
        log=("Failed to deserialize extra property `extra`, returning empty dictionary",),
    ),
    Mistake(
        "A name in the extra is misspelt",
        BEFORE,
        _given(extra={"read_timeot": 60}),
        _invalid(f"extra.read_timeot is not known; did you mean read_timeout?; {_KNOWN}"),
    ),
    Mistake(
        "``admin_conn_id`` is no text",
        BEFORE,
        _given(extra={"admin_conn_id": 5}),
        _invalid("extra.admin_conn_id takes the id of a connection, not 5"),
    ),
    Mistake(
        "A number in the extra has a unit",
        BEFORE,
        _given(extra={"read_timeout": "60s"}),
        _invalid("extra.read_timeout takes a number above zero, not '60s'"),
    ),
    Mistake(
        "The Base URL begins with ``ftp://``",
        BEFORE,
        _given(host="ftp://api.venice.ai"),
        _invalid(_NO_BASE_URL),
    ),
    Mistake(
        "The Base URL has the API key in its query",
        BEFORE,
        _given(host="https://api.venice.ai/api/v1?api_key=sk-1234567890"),
        _invalid(_NO_BASE_URL),
    ),
    Mistake(
        "The Base URL has a dot too many",
        BEFORE,
        _given(host="https://api..venice.ai/api/v1"),
        _invalid(
            "host has no valid port or host name; give a URL such as https://api.venice.ai/api/v1, or leave it empty "
            "for that"
        ),
    ),
    Mistake(
        "The Base URL has another version of the API",
        BEFORE,
        _changed(lambda url: url.replace("/api/v1", "/api/v2")),
        f"Venice answered HTTP 404: Not found: GET /api/v2/models; {_WRONG_URL}",
    ),
    Mistake(
        "The Base URL has a typo in its path",
        BEFORE,
        _changed(lambda url: url.replace("/api/v1", "/api/vl")),
        f"Venice answered HTTP 404: Not found: GET /api/vl/models; {_WRONG_URL}",
    ),
    Mistake(
        "The Base URL is the address of one endpoint",
        BEFORE,
        _changed(lambda url: f"{url}/video/queue/"),
        f"Venice answered HTTP 404: Not found: GET /api/v1/video/queue/models; {_WRONG_URL}",
    ),
    Mistake(
        "Nobody listens at the Base URL",
        BEFORE,
        lambda scene: _at(scene, f"127.0.0.1:{closed_port()}"),
        f"{_QUOTED}no connection to venice.example:8080 (connection refused)",
        is_retried=True,
    ),
    Mistake(
        "The host of the Base URL has no address",
        BEFORE,
        _unknown_host,
        f"{_QUOTED}no connection to api.venice.invalid:443 (name or service not known); check the host in the "
        "connection's Base URL, and the name resolution of this machine",
        is_retried=True,
    ),
    Mistake(
        "The certificate is self-signed",
        BEFORE,
        _served(_tls, "https"),
        f"{_QUOTED}no connection to venice.example:8080 (self-signed certificate); set REQUESTS_CA_BUNDLE, where the "
        "triggerer and the workers run, to a file with the authority that signed it (see Proxies and certificates in "
        "the documentation)",
    ),
    Mistake(
        "The certificate has expired",
        BEFORE,
        _served(lambda scene: _tls(scene, trust=True, days=-1), "https"),
        f"{_QUOTED}no connection to venice.example:8080 (certificate has expired)",
        is_retried=True,
    ),
    Mistake(
        "The certificate is for another host",
        BEFORE,
        _served(lambda scene: _tls(scene, trust=True, host="127.0.0.2"), "https"),
        f"{_QUOTED}no connection to venice.example:8080 (IP address mismatch, certificate is not valid for "
        "'127.0.0.1'); check the host in the connection's Base URL",
    ),
    Mistake(
        "The Base URL begins with ``https://`` and the server does not speak TLS",
        BEFORE,
        _served(lambda scene: plain_http(), "https"),
        f"{_QUOTED}no connection to venice.example:8080 (wrong version number); the server does not speak TLS on this "
        "port: check the port, or begin the Base URL with http://",
        is_retried=True,
    ),
    Mistake(
        "The Base URL begins with ``http://`` and the server takes TLS only",
        BEFORE,
        _served(_tls),
        f"{_QUOTED}no complete answer from venice.example:8080 (connection reset by peer); does the server speak TLS "
        "on this port? Then begin the Base URL with https://",
        is_retried=True,
    ),
    Mistake(
        "A proxy wants a password",
        BEFORE,
        _through_a_proxy,
        f"{_QUOTED}no connection to api.venice.invalid:443 through the proxy proxy.example:3128 (tunnel connection "
        "failed: 407); the proxy is that of https_proxy in the environment",
        is_retried=True,
    ),
    Mistake(
        "The server takes the request and says nothing",
        BEFORE,
        _served(lambda scene: silent(), read_timeout=0.2),
        f"{_QUOTED}no complete answer from venice.example:8080 (timed out after 0.2 s, the read_timeout of the "
        "connection)",
        is_retried=True,
    ),
    Mistake(
        "At the Base URL is the site of somebody else",
        BEFORE,
        _served(lambda scene: html(200, "Welcome")),
        f"the answer of http://venice.example:8080/api/v1 (HTTP 200) is not a JSON object: 'Welcome nginx'; {_WRONG}",
        is_retried=True,
    ),
    Mistake(
        "At the Base URL is a web server that has no such page",
        BEFORE,
        _served(lambda scene: html(404, "404 Not Found")),
        f"HTTP 404 from http://venice.example:8080/api/v1, but not from the Venice API: "
        f"'404 Not Found nginx'; {_WRONG}",
    ),
    Mistake(
        "A gateway before the API is overloaded",
        BEFORE,
        _served(lambda scene: html(503, "503 Service Temporarily Unavailable")),
        "HTTP 503 from http://venice.example:8080/api/v1, but not from the Venice API: '503 Service Temporarily "
        "Unavailable nginx'; a server in front of the API answers so, mostly for a short time",
        is_retried=True,
    ),
    Mistake(
        "The days of a sum of what was spent are in the wrong order",
        BEFORE,
        lambda scene: lambda: scene.hook.spend("2026-06-30", "2026-06-01"),
        "since is 2026-06-30, which is after until=2026-06-01; give the earlier day as since",
        is_retried=True,
    ),
    Mistake(
        "They are more than Venice sums up",
        BEFORE,
        lambda scene: lambda: scene.hook.spend("2026-01-01", "2026-06-30"),
        "since is 2026-01-01: to 2026-06-30 are 181 days, and Venice sums up 90 at most",
        is_retried=True,
    ),
    Mistake(
        "One of them is no day",
        BEFORE,
        lambda scene: lambda: scene.hook.spend("last month"),
        "since is 'last month'; give a date, a datetime, or ISO 8601 text such as '2026-11-28'",
        is_retried=True,
    ),
)
