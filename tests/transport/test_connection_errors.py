"""An error of the connection names host, port, cause and fix, in the same words from both transports."""

from __future__ import annotations

import contextlib
import gc
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_venice.api import calls
from airflow_provider_venice.api.model import VideoJob
from airflow_provider_venice.exceptions import VeniceConnectionError, VeniceRequestError, VeniceResponseError
from airflow_provider_venice.transport.blocking import BlockingTransport
from airflow_provider_venice.transport.settings import Settings
from tests.transport.bad_servers import certificate, closed_port, html, plain_http, silent, tls
from tests.transport.carriers import Carry, RawServer, answer, failure
from tests.transport.test_settings import Connection

CALL = calls.rate_limits()
START = "GET /api_keys/rate_limits: "

# Python's own ssl leaves a socket open whose handshake has failed.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")


@pytest.fixture(autouse=True)
def _collect() -> Iterator[None]:
    yield
    gc.collect()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)


def told(carry: Carry, base_url: str, address: str, **fields: float) -> str:
    """Return what a call ends with; ``address`` is shown as HOST."""
    error = failure(carry(base_url, **fields), CALL, attempts=1)
    return str(error).removeprefix(START).replace(address, "HOST")


def test_a_closed_port(carry: Carry) -> None:
    host = f"127.0.0.1:{closed_port()}"
    assert told(carry, f"http://{host}/api/v1", host) == "no connection to HOST (connection refused)"


def test_the_default_port_is_named(carry: Carry) -> None:
    with contextlib.closing(socket.socket()) as sock:
        if sock.connect_ex(("127.0.0.1", 443)) == 0:
            pytest.skip("something listens on port 443")
    assert told(carry, "https://127.0.0.1", "-") == "no connection to 127.0.0.1:443 (connection refused)"


def test_a_host_without_a_name(carry: Carry) -> None:
    message = told(carry, "https://venice.invalid/api/v1", "venice.invalid:443")
    assert message.startswith("no connection to HOST (")
    assert "name" in message.partition("(")[2].partition(")")[0]
    assert message.endswith("); check the host in the connection's Base URL, and the name resolution of this machine")


def test_a_host_that_is_no_name_is_an_error_of_the_connection() -> None:
    for host in ("https://api..venice.ai", "https://" + "a" * 64 + ".ai"):
        with pytest.raises(
            VeniceRequestError,
            match="host has no valid port or host name; give a URL such as",
        ):
            Settings.of(Connection(host=host), {})


def test_a_certificate_of_an_unknown_issuer(carry: Carry, tmp_path: Path) -> None:
    with RawServer(answer(200), tls=tls(certificate(tmp_path))) as server:
        url = server.url.replace("http:", "https:")
        assert told(carry, url, url.partition("//")[2]) == (
            "no connection to HOST (self-signed certificate); set REQUESTS_CA_BUNDLE, where the triggerer and the "
            "workers run, to a file with the authority that signed it (see Proxies and "
            "certificates in the documentation)"
        )


@pytest.mark.parametrize(
    ("days", "host", "cause"),
    [
        (-1, "127.0.0.1", "(certificate has expired)"),
        (
            1,
            "127.0.0.2",
            "(IP address mismatch, certificate is not valid for '127.0.0.1'); check the host in the connection's "
            "Base URL",
        ),
    ],
)
def test_a_certificate_that_is_trusted_and_wrong(
    carry: Carry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, days: int, host: str, cause: str
) -> None:
    pem = certificate(tmp_path, days=days, host=host)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(pem))
    with RawServer(answer(200), tls=tls(pem)) as server:
        url = server.url.replace("http:", "https:")
        assert told(carry, url, url.partition("//")[2]).lower() == f"no connection to host {cause}".lower()


def test_a_plain_server_that_is_reached_by_https(carry: Carry) -> None:
    with plain_http() as port:
        message = told(carry, f"https://127.0.0.1:{port}", f"127.0.0.1:{port}")
    assert message.startswith("no connection to HOST (")
    assert message.endswith(
        "); the server does not speak TLS on this port: check the port, or begin the Base URL with http://"
    )


def test_a_tls_server_that_is_reached_by_http(carry: Carry, tmp_path: Path) -> None:
    with RawServer(answer(200), tls=tls(certificate(tmp_path))) as server:
        message = told(carry, server.url, server.url.partition("//")[2])
    assert message.endswith("; does the server speak TLS on this port? Then begin the Base URL with https://")
    assert message.startswith("no complete answer from HOST (")


def test_a_server_that_says_nothing(carry: Carry) -> None:
    with silent() as server:
        host = server.url.partition("//")[2]
        assert told(carry, server.url, host, read_timeout=0.2) == (
            "no complete answer from HOST (timed out after 0.2 s, the read_timeout of the connection)"
        )


def test_an_answer_that_is_cut(carry: Carry) -> None:
    with RawServer(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{") as server:
        host = server.url.partition("//")[2]
        assert told(carry, server.url, host) == "no complete answer from HOST (the answer ended early)"


@pytest.mark.parametrize("status", [403, 407, 502])
def test_a_proxy_that_refuses(carry: Carry, monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    with RawServer(answer(status, "<html>", content_type="text/html")) as proxy:
        monkeypatch.setenv("https_proxy", proxy.url.replace("//", "//user:s3cr3t@"))
        assert told(carry, "https://venice.invalid/api/v1", proxy.url.partition("//")[2]) == (
            f"no connection to venice.invalid:443 through the proxy HOST (tunnel connection failed: {status}); "
            "the proxy is that of https_proxy in the environment"
        )


def test_a_proxy_that_is_not_there(carry: Carry, monkeypatch: pytest.MonkeyPatch) -> None:
    host = f"127.0.0.1:{closed_port()}"
    monkeypatch.setenv("http_proxy", f"http://{host}")
    assert told(carry, "http://venice.invalid/api/v1", host) == (
        "no connection to venice.invalid:80 through the proxy HOST (connection refused); "
        "the proxy is that of http_proxy in the environment"
    )


WRONG = "check the connection's Base URL, which ends in /api/v1 for Venice, and any proxy before it"


@pytest.mark.parametrize(
    ("status", "title", "message"),
    [
        (200, "Welcome", f"the answer of URL (HTTP 200) is not a JSON object: 'Welcome nginx'; {WRONG}"),
        (404, "404 Not Found", f"HTTP 404 from URL, but not from the Venice API: '404 Not Found nginx'; {WRONG}"),
        (
            401,
            "401 Authorization Required",
            "HTTP 401 from URL, but not from the Venice API: '401 Authorization Required nginx'; "
            f"check the API key in the connection's password; {WRONG}",
        ),
        (
            503,
            "503 Service Temporarily Unavailable",
            "HTTP 503 from URL, but not from the Venice API: '503 Service Temporarily Unavailable nginx'; "
            "a server in front of the API answers so, mostly for a short time",
        ),
    ],
)
def test_html_is_not_the_api(carry: Carry, status: int, title: str, message: str) -> None:
    with html(status, title) as server:
        assert told(carry, f"{server.url}/v1", f"{server.url}/v1").replace("HOST", "URL") == message


def test_a_redirect_names_where_it_leads(carry: Carry) -> None:
    response = answer(301, "", location="https://u:s3cr3t@api.venice.ai/x")
    with RawServer(response) as server:
        assert told(carry, server.url, server.url) == (
            f"the answer of HOST (HTTP 301) is a redirect to https://api.venice.ai: ''; {WRONG}"
        )


def test_a_404_of_the_api_on_what_is_always_there_is_a_wrong_base_url(carry: Carry) -> None:
    with RawServer(answer(404, '{"error": "Not found"}')) as server:
        for call in (calls.rate_limits(), calls.list_models(), calls.balance()):
            assert str(failure(carry(server.url), call)).endswith(
                "Not found; check the connection's Base URL, which ends in /api/v1 for Venice"
            )
        assert "Base URL" not in str(failure(carry(server.url), calls.quote({"model": "wan"})))


@pytest.mark.parametrize("status", [200, 301, 400, 401, 403, 404, 409, 410, 413, 422, 429, 500, 503])
def test_nothing_of_what_is_behind_a_private_link_is_shown(carry: Carry, status: int) -> None:
    body = '{"error": {"message": "inner", "code": "inner", "details": ["inner"]}, "consent": {"policy_text": "inner"}}'
    with RawServer(answer(status, body, retry_after="0")) as server:
        job = VideoJob("wan-private", "q-8", download_url=f"{server.url}/v1/share/read/s3cr3t")
        for call in (calls.download(job), calls.delete_media(job)):
            if status in (200, 404, 410) and call.method == "DELETE":
                continue  # deleted, or nothing to delete
            error = failure(carry(server.url), call, attempts=1)
            assert "inner" not in str(error) + repr(vars(error))
            assert f"HTTP {status}" in str(error)


def test_an_error_of_the_link_names_no_host(carry: Carry) -> None:
    job = VideoJob("wan-private", "q-8", download_url=f"http://127.0.0.1:{closed_port()}/v1/share/read/s3cr3t")
    error = failure(carry("http://127.0.0.1:9"), calls.download(job), attempts=1)
    assert isinstance(error, VeniceConnectionError)
    assert str(error) == "GET the private link: no connection (connection refused)"


def test_an_answer_of_the_link_that_is_no_video(carry: Carry) -> None:
    with html(200, "s3cr3t") as server:
        job = VideoJob("wan-private", "q-8", download_url=f"{server.url}/v1/share/read/s3cr3t")
        error = failure(carry(server.url), calls.download(job), attempts=1)
    assert isinstance(error, VeniceResponseError)
    assert str(error) == "the answer of the private link (HTTP 200) is not a video"


@pytest.mark.parametrize("target", ["http://169.254.169.254/latest", "ftp://x/y", "http://10.0.0.1/"])
def test_a_link_does_not_lead_to_what_is_no_https_link(target: str) -> None:
    with RawServer(answer(302, "", location=target)) as server:
        transport = BlockingTransport(Settings("key", server.url, retry_attempts=1))
        job = VideoJob("wan-private", "q-8", download_url=f"{server.url}/v1/share/read/s3cr3t")
        with pytest.raises(VeniceRequestError, match="the redirect of download_url is no https link") as caught:
            transport.send(calls.download(job))
        transport.close()
    assert target not in str(caught.value)
