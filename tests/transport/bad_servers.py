"""Servers that no client should find behind its Base URL: real ones, on loopback."""

from __future__ import annotations

import contextlib
import datetime
import functools
import ipaddress
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.transport.carriers import RawServer, answer

_DAY = datetime.timedelta(days=1)

#: Bound to the port that :func:`closed_port` returns, and never listening.
_HELD = socket.socket()


def certificate(folder: Path, *, days: int = 1, host: str = "127.0.0.1") -> Path:
    """
    Write a self-signed certificate and its key into one PEM file.

    :param folder: where.
    :param days: for how many days from now it is valid; below zero for one that has expired.
    :param host: the one name, or IP address, that it is for.
    """
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.timezone.utc)
    subject = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, "venice test")])
    try:
        name: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        name = x509.DNSName(host)
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - 10 * _DAY)
        .not_valid_after(now + days * _DAY)
        .add_extension(x509.SubjectAlternativeName([name]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"certificate-{host}-{days}.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return path


def tls(pem: Path) -> ssl.SSLContext:
    """Return the context of a server with this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


def html(status: int, title: str) -> RawServer:
    """Return a server that answers everything with one page of HTML."""
    page = f"<html><head><title>{title}</title></head><body><center>nginx</center></body></html>"
    return RawServer(answer(status, page, content_type="text/html"))


def silent() -> RawServer:
    """Return a server that takes a request and says nothing."""
    return RawServer(lambda sock: time.sleep(2))


@contextlib.contextmanager
def plain_http() -> Iterator[int]:
    """Give the port of a server that speaks HTTP, and answers what is not HTTP with a 400."""
    import threading

    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    sock, _ = server.accept()
                    with sock, contextlib.suppress(OSError):
                        sock.recv(65536)
                        sock.sendall(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                        sock.shutdown(socket.SHUT_WR)
                        sock.recv(65536)

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]


@functools.cache
def closed_port() -> int:
    """Return a port on which nobody listens, as long as this process runs."""
    _HELD.bind(("127.0.0.1", 0))
    return int(_HELD.getsockname()[1])


@contextlib.contextmanager
def held_port() -> Iterator[int]:
    """Give a port that no other process gets, and on which a server of this one may listen."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]
