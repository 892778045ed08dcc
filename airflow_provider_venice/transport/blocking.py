"""Sends a call with requests."""

from __future__ import annotations

import contextlib
import logging
import math
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, TypeVar

import requests
import requests.adapters
import tenacity
import urllib3
import urllib3.connection
import urllib3.exceptions

from airflow_provider_venice import observability
from airflow_provider_venice.api.calls import Call
from airflow_provider_venice.api.limits import Pace
from airflow_provider_venice.api.responses import Response, ResponseHead
from airflow_provider_venice.exceptions import VeniceError, VeniceRateLimitError
from airflow_provider_venice.transport import errors, policy
from airflow_provider_venice.transport.settings import Settings, ca_bundle, check_link

T = TypeVar("T")

#: Bytes to ask the socket for, at least and at most. TLS gives 16 KiB at once, and room for much more than what comes
#: costs more than the reading; a fast plain connection fills as much as it is given.
_LEAST, _MOST = 1 << 16, 1 << 20

#: The modules of urllib3 that log addresses.
_LOGGERS = ("connection", "connectionpool", "poolmanager", "util.retry")


class StreamedResponse:
    """An answer whose body is still on the wire."""

    def __init__(self, response: requests.Response, call: Call[Any], settings: Settings) -> None:
        self._response = response
        self._call = call
        self._settings = settings
        headers = {name.lower(): value for name, value in response.headers.items()}
        self.head = ResponseHead(response.status_code, headers, time.time(), settings.source(call.path))

    def chunks(self) -> Iterator[bytes]:
        """
        Stream the body, each piece as it comes: when the connection breaks, all that has come was handed out.

        :raises VeniceConnectionError: when it breaks.
        """
        size = _LEAST
        with _map_requests_errors(self._call, self._settings):
            while piece := self._response.raw.read1(size, decode_content=True):
                yield piece
                size = min(max(_LEAST, 2 * len(piece)), _MOST)

    def read(self) -> Response:
        """
        Read the body, unless it is a video.

        :raises VeniceResponseError: when it is longer than any answer of the API.
        """
        if self._call.media and self.head.is_media:
            return Response(self.head, None)
        body = bytearray()
        for chunk in self.chunks():
            body += chunk
            if len(body) > self._call.max_bytes:
                raise Response(self.head, bytes(body)).unreadable(f"is longer than {self._call.max_bytes} bytes")
        return Response(self.head, bytes(body))


class _Session(requests.Session):
    """A session that asks no .netrc where a link leads elsewhere, and knows what was never sent."""

    def __init__(self) -> None:
        super().__init__()
        self.verify = ca_bundle()
        for prefix in ("https://", "http://"):
            self.mount(prefix, _Adapter())

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
        """Give the next address no key at all."""
        prepared_request.headers.pop("Authorization", None)

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Return where a link leads, if it may lead there."""
        target, request = super().get_redirect_target(resp), resp.request
        # The API's own calls, which carry the key, follow no redirect.
        if target is not None and request.url is not None and "Authorization" not in request.headers:
            check_link(urllib.parse.urljoin(request.url, target), request.url, "the redirect of download_url")
        return target


#: What requests refuses to send at all.
_REFUSED_LOCALLY = (
    requests.exceptions.InvalidSchema,
    requests.exceptions.InvalidURL,
    requests.exceptions.MissingSchema,
)

#: What means that there is no connection, also where it was not marked: SOCKS has connections of its own.
_NOT_CONNECTED = (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError)

#: The attribute of an exception that left ``connect``.
_MARK = "venice_before_request"


@contextlib.contextmanager
def _marking() -> Iterator[None]:
    """Mark what goes wrong while a connection is made (name, TCP, a proxy's tunnel, TLS): no request has left."""
    try:
        yield
    except Exception as error:
        setattr(error, _MARK, True)
        raise


class _Connection(urllib3.connection.HTTPConnection):
    def connect(self) -> None:
        with _marking():
            super().connect()


class _TLSConnection(urllib3.connection.HTTPSConnection):
    def connect(self) -> None:
        with _marking():
            super().connect()


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class _TLSPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _TLSConnection


class _Adapter(requests.adapters.HTTPAdapter):
    """An adapter whose connections show whether a failure came before the request."""

    _pools: ClassVar[dict[str, Any]] = {"http": _Pool, "https": _TLSPool}

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, proxy: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **kwargs)
        if not str(proxy).lower().startswith("socks"):
            manager.pool_classes_by_scheme = self._pools
        return manager


class BlockingTransport:
    """
    Carries calls over one HTTP session. Not for use from several threads at once.

    :param settings: where to, with which key, how patiently.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._session = _Session()
        self._paces = {
            "queue": Pace(settings.queue_limit, burst=math.inf),
            "retrieve": Pace(settings.retrieve_limit),
        }

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def send(
        self,
        call: Call[T],
        *,
        attempts: int | None = None,
        max_wait: float | None = None,
        rate_limit_timeout: float | None = None,
    ) -> T:
        """
        Make a call and return its result.

        :param call: the call.
        :param attempts: how often at most; ``None`` for the connection's setting.
        :param max_wait: longest wait for the rate limit, in seconds; ``None`` for the connection's setting.
        :param rate_limit_timeout: seconds in all for which refusals for the rate limit are waited out, whatever
            their number; ``None`` to count them as attempts.
        :raises VeniceRateLimitError: when the rate limit asks for a longer wait; ``retry_after`` says how long.
        :raises VeniceError: when there is no result.
        """

        def attempt() -> T:
            with self.open(call, max_wait=max_wait) as streamed:
                return call.read(streamed.read())

        return self.repeat(call, attempt, attempts=attempts, max_wait=max_wait, rate_limit_timeout=rate_limit_timeout)

    def repeat(
        self,
        call: Call[Any],
        attempt: Callable[[], T],
        *,
        attempts: int | None = None,
        max_wait: float | None = None,
        rate_limit_timeout: float | None = None,
    ) -> T:
        """
        Run ``attempt`` until it succeeds or the retry policy for ``call`` has had enough.

        :raises VeniceError: the last failure.
        """
        options = policy.options(self.settings, call, attempts, max_wait, rate_limit_timeout)
        retrying = tenacity.Retrying(sleep=time.sleep, **options)
        return retrying(attempt)

    @contextlib.contextmanager
    def open(self, call: Call[Any], *, max_wait: float | None = None) -> Iterator[StreamedResponse]:
        """
        Make a call once and hand out its answer; the rest of the body is dropped in the end.

        :param max_wait: longest wait for the rate limit, in seconds.
        :raises VeniceRateLimitError: when what is left of it asks for a longer wait; nothing was sent.
        :raises VeniceConnectionError: when no answer comes.
        """
        body = call.encode()
        pace = self._paces.get(call.budget or "")
        with contextlib.ExitStack() as stack:
            if pace is not None:
                wait = max(0.0, pace.next_at(time.monotonic()) - time.monotonic())
                if max_wait is not None and wait > max_wait:
                    raise VeniceRateLimitError(
                        f"{call}: not sent, as the rate limit is used up for {wait:.0f} s", 429, retry_after=wait
                    )
                time.sleep(wait)
                pace.acquire(time.monotonic())
                stack.callback(pace.release)
            # On a connection that was kept alive, a reset does not show whether the request arrived.
            session = self._session if call.replayable else stack.enter_context(_Session())
            with _map_requests_errors(call, self.settings), _hide_link(call):
                response = stack.enter_context(self._request(session, call, body))
            streamed = StreamedResponse(response, call, self.settings)
            if pace is not None:
                pace.observe(*streamed.head.limits(time.monotonic()), failed=streamed.head.status >= 400)
            observability.responded(call.budget, streamed.head.status)
            yield streamed

    def _request(self, session: requests.Session, call: Call[Any], body: bytes | None) -> requests.Response:

        def authenticate(request: requests.PreparedRequest) -> requests.PreparedRequest:
            # As a callable, so that requests does not put a .netrc entry in its place.
            request.headers.update({} if call.is_link else self.settings.headers)
            return request

        return session.request(
            call.method,
            self.settings.url(call.path),
            params=dict(call.params) or None,
            data=body,
            headers=policy.headers(call),
            auth=authenticate,
            timeout=(self.settings.connect_timeout, self.settings.read_timeout),
            # Only a link to a file may lead elsewhere. The API's own calls carry the key.
            allow_redirects=call.is_link and call.method == "GET",
            stream=True,
        )


@contextlib.contextmanager
def _hide_link(call: Call[Any]) -> Iterator[None]:
    """Keep a private link out of the log: urllib3 writes down where it goes, and warns with the whole address."""
    thread = threading.get_ident()

    def is_of_others(record: logging.LogRecord) -> bool:
        return record.thread != thread

    loggers = [logging.getLogger(f"urllib3.{name}") for name in _LOGGERS] if call.is_link else []
    for logger in loggers:
        logger.addFilter(is_of_others)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(is_of_others)


@contextlib.contextmanager
def _map_requests_errors(call: Call[Any], settings: Settings) -> Iterator[None]:
    """Turn the failures of requests into ours. Their own text may hold a private link."""
    try:
        yield
    except VeniceError:
        raise
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        proxy = _proxy(settings.url(call.path))
        raise errors.connection_error(call, settings, error, sent=not _never_connected(error), proxy=proxy) from None


def _proxy(url: str) -> str | None:
    """Return the proxy of the environment that requests goes through."""
    with contextlib.suppress(ValueError):
        return requests.utils.select_proxy(url, requests.utils.get_environ_proxies(url))
    return None


def _never_connected(error: BaseException) -> bool:
    """
    Whether the failure happened before the first byte of the request was sent.

    A submission that failed so may be sent again: nothing else may be taken for it.
    """
    return isinstance(error, _REFUSED_LOCALLY) or any(
        getattr(cause, _MARK, False) or isinstance(cause, _NOT_CONNECTED) for cause in errors.causes(error)
    )
