"""Sends a call with aiohttp, when the key's rate limit admits it."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import ssl
import time
import urllib.request
from collections.abc import Iterator
from typing import Any, TypeVar

import aiohttp
import tenacity
import yarl

from airflow_provider_venice import observability
from airflow_provider_venice.api.calls import Call
from airflow_provider_venice.api.responses import Response, ResponseHead
from airflow_provider_venice.exceptions import VeniceConnectionError, VeniceError, VeniceRequestError
from airflow_provider_venice.transport import errors, policy
from airflow_provider_venice.transport.limiter import FirstInFirstOut, KeyState, Priority
from airflow_provider_venice.transport.settings import Settings, ca_bundle

T = TypeVar("T")

_CHUNK = 1 << 16

#: What means that there is no connection.
_NOT_CONNECTED = (
    aiohttp.ClientHttpProxyError,
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.InvalidURL,
)


class AsyncTransport:
    """
    Carries calls over one HTTP session of the running event loop.

    :param settings: where to, with which key, how patiently.
    :param key_state: what is known of the key; shared with the other users of it.
    """

    def __init__(self, settings: Settings, key_state: KeyState | None = None) -> None:
        self.settings = settings
        self.key_state = KeyState(settings) if key_state is None else key_state
        # No limit on connections: the budget is the limit, and a slow answer must not hold up others.
        self._session = aiohttp.ClientSession(
            connector=_connector(),
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=settings.connect_timeout, sock_read=settings.read_timeout
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    async def send(self, call: Call[T], *, attempts: int | None = None, priority: Priority | None = None) -> T:
        """
        Make a call and return its result.

        :param call: the call.
        :param attempts: how often at most; ``None`` for the connection's setting.
        :param priority: decides when the call goes where many wait for the rate limit; by default in their order.
        :raises VeniceError: when there is no result.
        """

        async def attempt() -> T:
            return call.read(await self._once(call, priority))

        if attempts == 1:
            # Thousands may wait for the rate limit with this: without the policy, each holds half as many objects.
            return await attempt()
        retrying = tenacity.AsyncRetrying(sleep=asyncio.sleep, **policy.options(self.settings, call, attempts))
        return await retrying(attempt)

    async def _once(self, call: Call[Any], priority: Priority | None) -> Response:
        body = call.encode()
        limiter, clock = self.key_state.limiters.get(call.budget or ""), asyncio.get_running_loop().time
        if limiter is None:
            return await self._exchange(call, body)
        async with limiter.acquire(priority or FirstInFirstOut(clock())):
            response = await self._exchange(call, body)
            limiter.pace.observe(*response.head.limits(clock()), failed=response.head.status >= 400)
        return response

    async def _exchange(self, call: Call[Any], body: bytes | None) -> Response:
        headers = policy.headers(call)
        if not call.is_link:
            headers.update(self.settings.headers)
        with _map_aiohttp_errors(call, self.settings):
            # A connection that was kept alive would leave a reset unexplained: see the blocking transport.
            async with contextlib.AsyncExitStack() as stack:
                session = self._session
                if not call.replayable:
                    once = aiohttp.ClientSession(connector=_connector(), timeout=session.timeout)
                    session = await stack.enter_async_context(once)
                url = yarl.URL(self.settings.url(call.path), encoded=call.is_link)
                response = await stack.enter_async_context(
                    session.request(
                        call.method,
                        url,
                        params=dict(call.params) or None,
                        data=body,
                        headers=headers,
                        proxy=_proxy(url),
                        allow_redirects=call.is_link and call.method == "GET",
                    )
                )
                head = ResponseHead(
                    status=response.status,
                    headers={name.lower(): value for name, value in response.headers.items()},
                    received_at=time.time(),
                    source=self.settings.source(call.path),
                )
                observability.responded(call.budget, head.status)
                if call.media and head.is_media:
                    response.close()
                    return Response(head, None)
                answer = bytearray()
                async for chunk in response.content.iter_chunked(_CHUNK):
                    answer += chunk
                    if len(answer) > call.max_bytes:
                        raise Response(head, bytes(answer)).unreadable(f"is longer than {call.max_bytes} bytes")
                return Response(head, bytes(answer))


def _connector() -> aiohttp.TCPConnector:
    return aiohttp.TCPConnector(limit=0, ssl=read_authorities())


def read_authorities() -> ssl.SSLContext:
    """
    Return what TLS needs; the first call takes some 20 ms.

    :raises VeniceRequestError: when the authorities to trust cannot be read.
    """
    return _tls(ca_bundle())


@functools.lru_cache
def _tls(bundle: str) -> ssl.SSLContext:
    """
    Return what TLS needs.

    :param bundle: file or directory of the authorities to trust.
    :raises VeniceRequestError: when it cannot be read.
    """
    try:
        if os.path.isdir(bundle):
            return ssl.create_default_context(capath=bundle)
        return ssl.create_default_context(cafile=bundle)
    except OSError as error:
        raise VeniceRequestError(
            f"the certificate authorities in {bundle} cannot be read ({error.strerror or error}); it is named by "
            "REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE or SSL_CERT_FILE in the environment of the triggerer"
        ) from None


def _proxy(url: yarl.URL) -> str | None:
    """
    Return the proxy that the environment names.

    Not aiohttp's ``trust_env``: that reads .netrc as well, and does not allow our key beside it.

    :raises VeniceConnectionError: for a proxy that is not one for HTTP.
    """
    if not url.host or urllib.request.proxy_bypass(url.host):
        return None
    proxy = urllib.request.getproxies().get(url.scheme)
    if not proxy or "://" not in proxy:
        return f"http://{proxy}" if proxy else None
    scheme = proxy.partition("://")[0].lower()
    if scheme not in ("http", "https"):
        # aiohttp would speak HTTP to it.
        raise VeniceConnectionError(
            f"the connection was never made: the triggerer knows no {scheme} proxy; set {url.scheme}_proxy to an "
            "http:// one, or no_proxy",
            sent=False,
        )
    return proxy


@contextlib.contextmanager
def _map_aiohttp_errors(call: Call[Any], settings: Settings) -> Iterator[None]:
    """Turn the failures of aiohttp into ours. Their own text may hold a private link."""
    try:
        yield
    except VeniceError:
        raise
    except _NOT_CONNECTED as error:
        # Name, TCP, TLS, a proxy's tunnel: the connector has not handed out the connection, so no request has left.
        raise errors.connection_error(call, settings, error, sent=False, proxy=_used_proxy(call, settings)) from None
    except (aiohttp.ClientError, asyncio.TimeoutError, OSError, ValueError) as error:
        raise errors.connection_error(call, settings, error, sent=True, proxy=_used_proxy(call, settings)) from None


def _used_proxy(call: Call[Any], settings: Settings) -> str | None:
    with contextlib.suppress(VeniceError, ValueError):
        return _proxy(yarl.URL(settings.url(call.path), encoded=call.is_link))
    return None
