"""A mail server on loopback that keeps what it is sent."""

from __future__ import annotations

import email
import email.policy
import socketserver
from email.message import EmailMessage

from tests.observability.loopback import Listener


class _Handler(socketserver.StreamRequestHandler):
    """As much of SMTP as it takes to send a mail."""

    server: _Server

    def handle(self) -> None:
        self._reply("220 ready")
        while line := self.rfile.readline().decode(errors="replace").strip():
            command = line.split()[0].upper()
            if command == "DATA":
                self._reply("354 go on")
                self.server.mails.append(self._read_mail())
                self._reply("250 taken")
            elif command == "QUIT":
                self._reply("221 bye")
                return
            else:
                self._reply("250 ok")

    def _read_mail(self) -> EmailMessage:
        lines = []
        while (line := self.rfile.readline()) not in (b".\r\n", b""):
            lines.append(line)
        mail = email.message_from_bytes(b"".join(lines), policy=email.policy.default)
        assert isinstance(mail, EmailMessage)
        return mail

    def _reply(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    mails: list[EmailMessage]


class SmtpServer(Listener):
    """Receives mails in the length of a ``with``."""

    def __init__(self) -> None:
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.mails = []
        super().__init__(self._server)

    @property
    def mails(self) -> list[EmailMessage]:
        """What has come so far."""
        return list(self._server.mails)
