"""Serves one large clip on loopback, faster than any client reads it: the kernel sends the file."""

from __future__ import annotations

import os
import struct
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from airflow_provider_venice.simulator import media


def make_clip(path: Path, size: int) -> None:
    """Write a clip of so many bytes: a real one, and a box of zeros that players skip."""
    clip = media.encode(media.ClipSpec(text="", seconds=1, width=320, height=180, fps=24, audio=False), lambda: False)
    with path.open("wb") as file:
        file.write(clip + struct.pack(">I4s", size - len(clip), b"free"))
        file.truncate(size)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    clip: Path

    def do_POST(self) -> None:
        """Answer any request with the clip, as Venice answers a look at a finished job."""
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with self.clip.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            self.send_response(200)
            self.send_header("Content-Type", "video/mp4")
            self.send_header("Content-Length", str(size))
            self.end_headers()
            self.wfile.flush()
            sent = 0
            while sent < size:
                sent += os.sendfile(self.connection.fileno(), file.fileno(), sent, size - sent)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def main(path: Path, size: int) -> None:
    """Serve until killed; print the port."""
    make_clip(path, size)
    _Handler.clip = path
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        print(server.server_port, flush=True)
        server.daemon_threads = True
        server.serve_forever()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
