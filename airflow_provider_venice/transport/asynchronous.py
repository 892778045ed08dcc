"""Sends a call with aiohttp, through one session and one budget for all triggers of a process."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import os
import ssl
import time
import urllib.request
import weakref
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from typing import Any, TypeVar

import aiohttp
import tenacity
import yarl

from airflow_provider_venice.api.calls import Call
from airflow_provider_venice.api.limits import Pace
from airflow_provider_venice.api.polling import ModelPolls
from airflow_provider_venice.api.replies import Head, Reply
from airflow_provider_venice.exceptions import VeniceConnectionError, VeniceError, VeniceRequestError
from airflow_provider_venice.transport import errors, policy
from airflow_provider_venice.transport.settings import Settings, ca_bundle
from airflow_provider_venice.transport.turns import InOrder, Turns, Waiter

T = TypeVar("T")

_CHUNK = 1 << 16

#: For how many seconds a worker may submit after the triggerer has admitted it: about twice what it takes to start one.
ADMISSION_SECONDS = 10.0

#: How many times faster than evenly polls may go while nothing of the limit is used: clips that were submitted
#: together end together.
BURST = 4.0

#: What means that there is no connection.
_NOT_CONNECTED = (
    aiohttp.ClientHttpProxyError,
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.InvalidURL,
)


#: Seconds for which what was learned of a key is kept when nobody uses it. The rate limits need a minute of it, a job
#: that was submitted by then may still need the run times.
_KEPT = 3600.0


class Account:
    """
    What one event loop has learned of a key: how fast it may ask, and how long the models' jobs take.

    All connections with the same key and base URL share it, whatever else they settle.

    :param settings: those of the connection that uses it first.
    """

    def __init__(self, settings: Settings) -> None:
        self.turns = {
            # Workers submit some time after they were admitted: what was admitted within a minute and that time may
            # reach Venice within a minute.
            "queue": Turns(Pace(settings.queue_limit, window=60.0 + ADMISSION_SECONDS)),
            "retrieve": Turns(Pace(settings.retrieve_limit, burst=BURST)),
        }
        #: How many sessions use it, and when the last one ended, on the loop's clock.
        self.users, self.left_at = 0, 0.0
        #: When the key was refused last, on the monotonic clock: it may have been replaced in the connection.
        self.refused_at = 0.0
        #: By model; all who watch its jobs learn from each other.
        self.models: defaultdict[str, ModelPolls] = defaultdict(ModelPolls)


class AsyncTransport:
    """
    Carries calls over one HTTP session of the running event loop.

    :param settings: where to, with which key, how patiently.
    :param account: what is known of the key.
    """

    def __init__(self, settings: Settings, account: Account | None = None) -> None:
        self.settings = settings
        self.account = Account(settings) if account is None else account
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

    async def send(self, call: Call[T], *, attempts: int | None = None, waiter: Waiter | None = None) -> T:
        """
        Make a call and return its result.

        :param call: the call.
        :param attempts: how often at most; ``None`` for the connection's setting.
        :param waiter: decides when the call goes where many wait for the rate limit; by default in their order.
        :raises VeniceError: when there is no result.
        """

        async def attempt() -> T:
            return call.read(await self._once(call, waiter))

        if attempts == 1:
            # Thousands may wait for a turn with this: without the policy, each holds half as many objects.
            return await attempt()
        retrying = tenacity.AsyncRetrying(sleep=asyncio.sleep, **policy.options(self.settings, call, attempts))
        return await retrying(attempt)

    async def _once(self, call: Call[Any], waiter: Waiter | None) -> Reply:
        body = call.encode()
        turns, clock = self.account.turns.get(call.budget or ""), asyncio.get_running_loop().time
        if turns is None:
            return await self._exchange(call, body)
        async with turns.turn(waiter or InOrder(clock())):
            reply = await self._exchange(call, body)
            turns.pace.observe(*reply.head.limits(clock()), failed=reply.head.status >= 400)
        return reply

    async def _exchange(self, call: Call[Any], body: bytes | None) -> Reply:
        headers = policy.headers(call)
        if not call.is_link:
            headers.update(self.settings.headers)
        with _telling(call, self.settings):
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
                head = Head(
                    status=response.status,
                    headers={name.lower(): value for name, value in response.headers.items()},
                    received_at=time.time(),
                    source=self.settings.source(call.path),
                )
                if call.media and head.is_media:
                    response.close()
                    return Reply(head, None)
                answer = bytearray()
                async for chunk in response.content.iter_chunked(_CHUNK):
                    answer += chunk
                    if len(answer) > call.max_bytes:
                        raise Reply(head, bytes(answer)).unreadable(f"is longer than {call.max_bytes} bytes")
                return Reply(head, bytes(answer))


def _connector() -> aiohttp.TCPConnector:
    return aiohttp.TCPConnector(limit=0, ssl=_tls(ca_bundle()))


@functools.lru_cache
def _tls(bundle: str) -> ssl.SSLContext:
    """
    Return what TLS needs, which takes some 20 ms to read.

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


class _Shared:
    """A transport and how many use it."""

    def __init__(self, transport: AsyncTransport) -> None:
        self.transport = transport
        self.users = 0


#: By running loop and settings: a session belongs to its loop, and is closed when nobody uses it.
_shared: dict[tuple[asyncio.AbstractEventLoop, Settings], _Shared] = {}
#: What was learned outlives the session: whoever comes after a pause must not begin at full speed.
_accounts: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[str, bytes], Account]] = (
    weakref.WeakKeyDictionary()
)


def _account(loop: asyncio.AbstractEventLoop, settings: Settings) -> Account:
    """Return what is known of a key, and forget those that nobody has used for long: keys are replaced."""
    accounts = _accounts.setdefault(loop, {})
    for key, account in list(accounts.items()):
        if account.users == 0 and loop.time() - account.left_at > _KEPT:
            del accounts[key]
    digest = hashlib.sha256(settings.api_key.encode()).digest()
    return accounts.setdefault((settings.base_url, digest), Account(settings))


@contextlib.asynccontextmanager
async def shared_transport(settings: Settings) -> AsyncIterator[AsyncTransport]:
    """
    Hand out the transport that all users of these settings share on this event loop.

    :param settings: those of the connection.
    """
    key = loop, _ = (asyncio.get_running_loop(), settings)
    # No await between looking and making, nor between leaving and evicting.
    entry = _shared.get(key)
    if entry is None:
        account = _account(loop, settings)
        entry = _shared[key] = _Shared(AsyncTransport(settings, account))
        account.users += 1
    entry.users += 1
    try:
        yield entry.transport
    finally:
        entry.users -= 1
        if entry.users == 0:
            _shared.pop(key, None)
            account = entry.transport.account
            account.users, account.left_at = account.users - 1, loop.time()
            await entry.transport.close()


@contextlib.contextmanager
def _telling(call: Call[Any], settings: Settings) -> Iterator[None]:
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
