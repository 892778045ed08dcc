"""What is in the clips that examples make, and a web server for their folder."""

from __future__ import annotations

import functools
import http.server
from pathlib import Path
from typing import Any

import av
from PIL.Image import Image

from tests.observability.loopback import Listener


def frames_of(path: Path) -> list[Image]:
    """Return all frames of a clip."""
    with av.open(path) as container:
        return [frame.to_image() for frame in container.decode(video=0)]


class _Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Print nothing."""


class FolderServer(Listener):
    """
    Serves a folder in the length of a ``with``.

    :param folder: the folder.
    """

    def __init__(self, folder: Path) -> None:
        handler = functools.partial(_Handler, directory=str(folder))
        super().__init__(http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler))

    @property
    def url(self) -> str:
        """Where the folder is found."""
        return f"http://127.0.0.1:{self.port}"
