"""
What two clients want of the world beside the API.

``veniceai-cli`` asks the fixed host ``api.venice.ai`` whether it is online before it sends a failed request again.
``venice-cli`` fetches private clips from public addresses by https only.
"""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer

import trustme

_NOTHING = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

#: A ``sitecustomize`` that resolves ``localhost`` to a public address, and connects that to loopback.
PUBLIC_LOCALHOST = Path(__file__).parent / "public_localhost"


@contextlib.contextmanager
def vendors_host(folder: Path) -> Iterator[dict[str, str]]:
    """
    Run a proxy behind which ``https://api.venice.ai`` is there, and answers 401 to everything.

    Yields the environment by which Node.js uses it.

    :param folder: where the certificate is stored that a client has to trust.
    """
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("api.venice.ai").configure_cert(context)
    certificate = folder / "vendors_host.pem"
    certificate.write_bytes(authority.cert_pem.bytes())

    class Tunnel(StreamRequestHandler):
        def handle(self) -> None:
            while self.rfile.readline().strip():
                pass
            self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            with context.wrap_socket(self.connection, server_side=True) as secure:
                secure.recv(1 << 16)
                secure.sendall(_NOTHING)

    with ThreadingTCPServer(("127.0.0.1", 0), Tunnel) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield {
                "NODE_USE_ENV_PROXY": "1",
                "HTTPS_PROXY": f"http://127.0.0.1:{server.server_address[1]}",
                "NO_PROXY": "127.0.0.1,localhost",
                "NODE_EXTRA_CA_CERTS": str(certificate),
            }
        finally:
            server.shutdown()
