"""Resolves ``localhost`` to a public address, and connects that address to loopback."""

from __future__ import annotations

import socket
from typing import Any

#: Nothing is sent there: a connection to it goes to loopback.
PUBLIC = "93.184.215.14"

_getaddrinfo, _connect = socket.getaddrinfo, socket.socket.connect


def getaddrinfo(host: Any, *args: Any, **options: Any) -> Any:
    return _getaddrinfo(PUBLIC if host == "localhost" else host, *args, **options)


def connect(self: socket.socket, address: Any) -> None:
    _connect(self, ("127.0.0.1", address[1]) if address[0] == PUBLIC else address)


socket.getaddrinfo = getaddrinfo
setattr(socket.socket, "connect", connect)  # noqa: B010
