"""What the servers on loopback share that a test listens with."""

from __future__ import annotations

import socketserver
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self


class Listener:
    """
    A server that runs in the length of a ``with``.

    :param server: the server, bound to a port.
    """

    def __init__(self, server: socketserver.TCPServer) -> None:
        self._listening = server
        self._thread = threading.Thread(target=server.serve_forever, daemon=True)

    @property
    def port(self) -> int:
        """The port that it listens on."""
        port: int = self._listening.server_address[1]
        return port

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.shutdown()
        self._listening.server_close()
        self._thread.join(timeout=5)
