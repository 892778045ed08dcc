"""Both transports behind one face, and a server that answers whatever bytes a test likes."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import socketserver
import ssl
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import pytest

from airflow_provider_venice.api.calls import Call
from airflow_provider_venice.exceptions import VeniceError
from airflow_provider_venice.transport.asynchronous import AsyncTransport
from airflow_provider_venice.transport.blocking import BlockingTransport
from airflow_provider_venice.transport.settings import Settings

API_KEY = "key-s3cr3t"
SECRETS = ("s3cr3t",)

#: Have the kernel wait for what follows; only Linux knows it.
_MSG_MORE: int = getattr(socket, "MSG_MORE", 0)


class Carrier(Protocol):
    """What both transports can do."""

    def send(self, call: Call[Any], *, attempts: int | None = None) -> Any: ...

    def close(self) -> None: ...


class AsyncCarrier:
    """The asynchronous transport, on an event loop of its own."""

    def __init__(self, settings: Settings) -> None:
        async def make() -> AsyncTransport:
            return AsyncTransport(settings)

        self.loop = asyncio.new_event_loop()
        self.transport = self.loop.run_until_complete(make())

    def send(self, call: Call[Any], *, attempts: int | None = None) -> Any:
        return self.loop.run_until_complete(self.transport.send(call, attempts=attempts))

    def close(self) -> None:
        self.loop.run_until_complete(self.transport.close())
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()


CARRIERS: dict[str, Callable[[Settings], Carrier]] = {"blocking": BlockingTransport, "asynchronous": AsyncCarrier}

Carry = Callable[..., Carrier]


def failure(carrier: Carrier, call: Call[Any], *, attempts: int | None = None) -> Any:
    """Return the error that a call ends with; it shows no secret, wherever one looks."""
    with pytest.raises(VeniceError) as caught:
        carrier.send(call, attempts=attempts)
    error = caught.value
    shown = "".join(traceback.format_exception(type(error), error, error.__traceback__)) + repr(vars(error))
    assert not any(secret in shown for secret in SECRETS)
    return error


@dataclass
class Arrival:
    """A request as it came over the wire, and the number of the connection that it came on."""

    connection: int
    head: str
    body: bytes

    @property
    def line(self) -> str:
        return self.head.partition("\r\n")[0]

    def header(self, name: str) -> str | None:
        found = re.search(rf"^{name}: *(.*?)\r?$", self.head, re.IGNORECASE | re.MULTILINE)
        return found[1] if found else None


def answer(status: int, body: bytes | str = b"{}", **headers: str) -> bytes:
    """Return an answer; underscores in a header's name stand for dashes."""
    body = body.encode() if isinstance(body, str) else body
    fields = {"content-type": "application/json", "content-length": str(len(body))}
    fields.update({name.replace("_", "-"): value for name, value in headers.items()})
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status} Told\r\n{lines}\r\n".encode() + body


class RawServer:
    """
    Answers each request with the next of the given bytes, the last of them for ever.

    :param answers: what to send; a callable gets the socket.
    :param keep: whether the connection stays open after an answer.
    :param port: 0 for one that is free.
    :param tls: speak TLS.
    """

    def __init__(
        self,
        *answers: bytes | Callable[[socket.socket], None],
        keep: bool = False,
        port: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.answers = list(answers)
        self.arrivals: list[Arrival] = []
        self.connections = 0
        outer = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                self.request.settimeout(20)
                outer.connections += 1
                with contextlib.suppress(OSError):
                    outer._serve(self.request, outer.connections, keep, tls)

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True
            block_on_close = False

        self._server = Server(("127.0.0.1", port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def __enter__(self) -> RawServer:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def _serve(self, sock: socket.socket, number: int, keep: bool, tls: ssl.SSLContext | None) -> None:
        if tls is not None:
            sock = tls.wrap_socket(sock, server_side=True)
        with sock:
            while True:
                data = b""
                while b"\r\n\r\n" not in data:
                    piece = sock.recv(65536)
                    if not piece:
                        return
                    data += piece
                head, _, body = data.partition(b"\r\n\r\n")
                arrival = Arrival(number, head.decode("latin-1") + "\r\n", b"")
                length = int(arrival.header("content-length") or 0)
                while len(body) < length:
                    body += sock.recv(65536)
                arrival.body = body
                self.arrivals.append(arrival)
                reaction = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                if callable(reaction):
                    reaction(sock)
                elif keep or tls is not None:
                    sock.sendall(reaction)
                else:
                    # In one segment with the end of the connection, so that no client uses it again.
                    sock.sendall(reaction, _MSG_MORE)
                if not keep:
                    # Not closed with unread data: that would be a reset, which may overtake the answer.
                    sock.shutdown(socket.SHUT_WR)
                    return
