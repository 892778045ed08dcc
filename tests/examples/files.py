"""What is in the clips that examples make, and a web server for their folder."""

from __future__ import annotations

import functools
import http.server
from pathlib import Path
from typing import Any

import av
from PIL.Image import Image

from tests.observability.loopback import Listener


def frames_of(path: Path, *numbers: int) -> list[Image]:
    """
    Return frames of a clip.

    :param numbers: which, from 0; negative ones count from the end.
    """
    with av.open(path) as container:
        count = container.streams.video[0].frames
        wanted = {number % count for number in numbers}
        found = {place: frame.to_image() for place, frame in enumerate(container.decode(video=0)) if place in wanted}
    return [found[number % count] for number in numbers]


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
