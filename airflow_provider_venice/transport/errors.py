"""What went wrong with a connection: host, port, cause and fix, in the same words whichever client has sent."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import ssl
import urllib.parse
from collections.abc import Iterator
from typing import Any

from airflow_provider_venice.api.calls import Call
from airflow_provider_venice.exceptions import VeniceConnectionError
from airflow_provider_venice.transport.settings import Settings

#: Where the HTTP clients keep what an error was made of.
_INNER = ("reason", "original_error", "os_error", "certificate_error", "__cause__")

_CLOSED = "the server closed the connection without an answer"
_NOT_HTTP = "the answer is not HTTP"
_RESET = "connection reset by peer"
_CUT = "the answer ended early"
_BAD_NAME = "the host name is not valid"

#: What the errors of urllib3, http.client and aiohttp mean. Their own words have the address.
_MEANINGS = {
    "RemoteDisconnected": _CLOSED,
    "ServerDisconnectedError": _CLOSED,
    "BadStatusLine": _NOT_HTTP,
    "ClientResponseError": _NOT_HTTP,
    "BadHttpMessage": _NOT_HTTP,
    "IncompleteRead": _CUT,
    "ClientPayloadError": _CUT,
    "LocationParseError": _BAD_NAME,
    "LocationValueError": _BAD_NAME,
    "UnicodeError": _BAD_NAME,
    "UnicodeEncodeError": _BAD_NAME,
    "InvalidURL": _BAD_NAME,
    "InvalidUrlClientError": _BAD_NAME,
}

#: What http.client says where a proxy refuses a tunnel, without the proxy's own words.
_TUNNEL = re.compile(r"Tunnel connection failed: [0-9]+")

#: Verification errors of OpenSSL for a certificate that is not yet valid, or has expired: it may be renewed.
_VALIDITY = (9, 10)

#: Verification errors of OpenSSL for which the issuer is not known (X509_V_ERR_*): a self-signed certificate, alone and
#: in a chain, and an issuer that cannot be found, for the last certificate and for the first.
_UNKNOWN_ISSUER = (18, 19, 20, 21)

#: And those for a certificate of another host name, another e-mail address, another IP address.
_WRONG_NAME = (62, 63, 64)


def connection_error(
    call: Call[Any], settings: Settings, error: BaseException, *, sent: bool, proxy: str | None = None
) -> VeniceConnectionError:
    """
    Return the error for a call that got no complete answer.

    A private link is not shown, nor the user and the password of a proxy.

    :param call: what was sent.
    :param settings: those of the connection.
    :param error: the client's error.
    :param sent: whether the request may have reached the server.
    :param proxy: URL of the proxy that was used.
    """
    where = "" if call.is_link else f" {'from' if sent else 'to'} {address(settings.base_url)}"
    through = f" through the proxy {address(proxy)}" if proxy else ""
    cause = cause_text(error)
    if cause == "timed out":
        seconds, name = (
            (settings.read_timeout, "read_timeout") if sent else (settings.connect_timeout, "connect_timeout")
        )
        cause = f"timed out after {seconds:g} s, the {name} of the connection"
    fix = ""
    if not call.is_link:
        fix = _fix(error, settings, sent=sent, replayable=call.replayable, proxied=proxy is not None)
    return VeniceConnectionError(
        f"{call}: {'no complete answer' if sent else 'no connection'}{where}{through} ({cause}){fix}",
        sent=sent,
        can_heal=sent or not _is_untrusted(error),
    )


def address(url: str) -> str:
    """
    Return host and port of a URL.

    :param url: an absolute URL; one that cannot be read is not shown.
    """
    try:
        parts = urllib.parse.urlsplit(url)
        host, port = parts.hostname or "?", parts.port
    except ValueError:
        return "?"
    return f"{f'[{host}]' if ':' in host else host}:{port or (443 if parts.scheme == 'https' else 80)}"


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error of an HTTP client and those that it was made of, outermost first."""
    waiting, seen = [error], set()
    while waiting:
        one = waiting.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        inner = [getattr(one, name, None) for name in _INNER]
        waiting += [cause for cause in (*inner, *one.args) if isinstance(cause, BaseException)]


def cause_text(error: BaseException) -> str:
    """
    Return what TLS or the operating system said of a failure, such as ``connection refused``.

    The words of an HTTP client are not shown: they have the address, which may be a private link.

    :param error: the client's error.
    """
    found = list(causes(error))
    texts = [text for cause in found if (text := _system_text(cause) or _refusal_text(cause))]
    if texts:
        text = texts[-1].rstrip(".")
        return text if text[:2].isupper() else text[0].lower() + text[1:]
    meanings = [_MEANINGS[name] for cause in found if (name := type(cause).__name__) in _MEANINGS]
    return meanings[-1] if meanings else type(error).__name__


def _refusal_text(error: BaseException) -> str | None:
    """Return why a proxy, or the client itself, has refused to make a connection."""
    if type(error).__name__ == "ClientHttpProxyError":
        return f"tunnel connection failed: {getattr(error, 'status', '?')}"
    # About the environment, such as a SOCKS proxy whose package is missing; an address is not shown.
    text = str(error) if type(error).__name__ == "InvalidSchema" else ""
    return None if "/" in text else text or None


def _system_text(error: BaseException) -> str | None:
    # Up to Python 3.10, that of asyncio is no TimeoutError.
    is_timeout = isinstance(error, (TimeoutError, asyncio.TimeoutError))
    if is_timeout or type(error).__name__ in ("ReadTimeoutError", "ConnectTimeoutError"):
        return "timed out"
    if not isinstance(error, OSError) or type(error).__module__ not in ("builtins", "socket", "ssl"):
        return None
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message or None
    if isinstance(error, ssl.SSLError):
        return (error.reason or "").replace("_", " ").lower() or None
    if isinstance(error, socket.gaierror) or not error.errno:
        text = str(error.strerror or error)
        if tunnel := _TUNNEL.match(text):
            return tunnel[0]
        return None if "://" in text else text or None
    return os.strerror(error.errno)


def _is_untrusted(error: BaseException) -> bool:
    """Whether a certificate was refused for what no later try changes."""
    # aiohttp's own error is one of these as well, and has no code.
    codes = [
        getattr(one, "verify_code", None) for one in causes(error) if isinstance(one, ssl.SSLCertVerificationError)
    ]
    return any(code is not None and code not in _VALIDITY for code in codes)


def _fix(error: BaseException, settings: Settings, *, sent: bool, replayable: bool, proxied: bool) -> str:
    """Return what to do about a failure, where more than its cause is to be said."""
    found = list(causes(error))
    scheme = settings.base_url.partition(":")[0]
    verify = next((code for cause in found if (code := getattr(cause, "verify_code", None))), None)
    if verify in _UNKNOWN_ISSUER:
        return (
            "; set REQUESTS_CA_BUNDLE, where the triggerer and the workers run, to a file with the authority that "
            "signed it (see Proxies and certificates in the documentation)"
        )
    if verify in _WRONG_NAME:
        return "; check the host in the connection's Base URL"
    if verify is not None:
        return ""
    if scheme == "https" and any(isinstance(cause, ssl.SSLError) for cause in found):
        return "; the server does not speak TLS on this port: check the port, or begin the Base URL with http://"
    if proxied:
        return f"; the proxy is that of {scheme}_proxy in the environment"
    if any(isinstance(cause, socket.gaierror) for cause in found) or cause_text(error) == _BAD_NAME:
        return "; check the host in the connection's Base URL, and the name resolution of this machine"
    # Of a submission that may have been charged, nothing else matters.
    if scheme == "http" and sent and replayable and cause_text(error) in (_CLOSED, _NOT_HTTP, _RESET):
        return "; does the server speak TLS on this port? Then begin the Base URL with https://"
    return ""
