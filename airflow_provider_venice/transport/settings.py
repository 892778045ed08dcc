"""What a connection settles: where to send, with which key, how patiently."""

from __future__ import annotations

import difflib
import ipaddress
import json
import os
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Protocol

from airflow_provider_venice.api.request import raise_problems
from airflow_provider_venice.exceptions import VeniceRequestError

#: Environment variables that name the certificate authorities to trust, the first that is set. Those of requests, and
#: that of OpenSSL.
_BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")

#: Venice's public API.
DEFAULT_BASE_URL = "https://api.venice.ai/api/v1"


class ConnectionLike(Protocol):
    """What is read of an Airflow connection."""

    conn_id: str
    conn_type: str | None
    host: str | None
    schema: str | None
    port: int | None
    password: str | None


@dataclass(frozen=True)
class Settings:
    """
    Everything that a transport needs to know.

    The limits are Venice's documented ones per key; the server's own headers overrule them.

    :param api_key: the secret that goes into the ``Authorization`` header.
    :param base_url: URL up to and including ``/api/v1``.
    :param connect_timeout: seconds to wait for a connection.
    :param read_timeout: seconds to wait for the next byte.
    :param retry_attempts: how often a call is made at most.
    :param retry_max_wait: longest wait before a call is made again, in seconds; where the server
        names a longer one, the error is raised instead.
    :param queue_limit: submissions per minute.
    :param retrieve_limit: polls and downloads per minute.
    :param poll_interval: fewest seconds between two polls of a job; ``None`` to go by the run times.
    :param admin_conn_id: the connection whose key is an ADMIN key of the same account; ``None`` where there is none.
    :param billing_delay: seconds after the end of a submission until its charge is in the usage history, at the latest.
    """

    api_key: str = field(repr=False)
    base_url: str = DEFAULT_BASE_URL
    connect_timeout: float = 10.0
    read_timeout: float = 120.0
    retry_attempts: int = 5
    retry_max_wait: float = 90.0
    queue_limit: int = 40
    retrieve_limit: int = 120
    poll_interval: float | None = None
    admin_conn_id: str | None = None
    billing_delay: float = 600.0

    @property
    def longest_submission(self) -> float:
        """
        Seconds after which a submission has ended on our side, at the latest, however often it was refused before.

        Each attempt waits for the pace, for the rate limit, for a connection, and for an answer.
        """
        return self.retry_attempts * (2 * self.retry_max_wait + self.connect_timeout + self.read_timeout)

    @property
    def headers(self) -> dict[str, str]:
        """The header that proves who asks."""
        return {"Authorization": f"Bearer {self.api_key}"}

    def url(self, path: str) -> str:
        """
        Return the address of a call: a path below the base URL, or a private link as it is.

        :raises VeniceRequestError: for a link that :func:`check_link` refuses.
        """
        if "://" not in path:
            return self.base_url + path
        check_link(path, self.base_url)
        return path

    def source(self, path: str) -> str:
        """Return what a message names as the origin of an answer: the base URL; empty for a private link."""
        return "" if "://" in path else self.base_url

    @classmethod
    def of(cls, connection: ConnectionLike, extra: Mapping[str, Any]) -> Settings:
        """
        Read an Airflow connection.

        :param connection: the connection; password is the API key, host the base URL if not the public one.
        :param extra: its extra, decoded.
        :raises VeniceRequestError: naming every field that is missing, unknown or wrong.
        """
        kind = connection.conn_type
        if kind and kind != "venice":
            raise VeniceRequestError(
                f"the connection {connection.conn_id!r} has the type {kind!r}; it has to be 'venice', which Airflow's "
                "form shows as Venice.ai. Correct it, or name another connection in venice_conn_id",
                fields={"conn_type": f"is {kind!r}"},
            )
        problems: dict[str, str] = {}
        api_key = (connection.password or "").strip()
        if not api_key:
            problems["password"] = "is empty; put the Venice API key there (https://venice.ai/settings/api)"
        elif not api_key.isascii() or not api_key.isprintable() or " " in api_key:
            problems["password"] = "has a blank, a line break or another character that no API key has; copy it again"
        base_url = _base_url(connection, problems)
        values: dict[str, Any] = {}
        for name, value in extra.items():
            if name not in EXTRA_FIELDS:
                near = difflib.get_close_matches(str(name), EXTRA_FIELDS, n=1)
                suggested = f"; did you mean {near[0]}?" if near else ""
                problems[f"extra.{name}"] = f"is not known{suggested}; known are {', '.join(EXTRA_FIELDS)}"
            elif value is not None and str(value).strip():
                try:
                    values[name] = _read(value, EXTRA_FIELDS[name])
                except ValueError as error:
                    problems[f"extra.{name}"] = str(error)
        raise_problems(f"the connection {connection.conn_id!r} is not valid", problems)
        return cls(api_key=api_key, base_url=base_url, **values)


def ca_bundle() -> str:
    """
    Return the file or the directory of the certificate authorities that workers and triggers trust.

    ``REQUESTS_CA_BUNDLE``, ``CURL_CA_BUNDLE`` or ``SSL_CERT_FILE``; without any, certifi's.
    """
    import certifi

    return next((path for name in _BUNDLES if (path := os.environ.get(name))), None) or certifi.where()


#: The names that a connection's extra may have, with the type of each.
EXTRA_FIELDS = {f.name: str(f.type) for f in fields(Settings) if f.name not in ("api_key", "base_url")}


def check_link(link: str, origin: str, what: str = "download_url") -> None:
    """
    Refuse a private link, or where it leads, that is not https. Only from loopback to loopback may it be http.

    A job, and its link, may come from the configuration of a run: it must not reach what only the worker can.

    :param link: the address to fetch.
    :param origin: the base URL, or the link that has led there. Both are on loopback where a simulator is used.
    :param what: what it is, for the message.
    :raises VeniceRequestError: nothing of the link is shown.
    """
    try:
        parts = urllib.parse.urlsplit(link)
        host, scheme = (parts.hostname or "").lower(), parts.scheme
    except ValueError:
        host, scheme = "", ""
    if _is_loopback(host):
        valid = scheme in ("http", "https") and _is_loopback(urllib.parse.urlsplit(origin).hostname or "")
    else:
        valid = scheme == "https" and bool(host)
    if not valid:
        raise VeniceRequestError(
            f"{what} is no https link, or leads to this machine; pass the job as the queue task returned it",
            fields={"download_url": "is no https link"},
        )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def decode_extra(text: str | None) -> dict[str, Any]:
    """
    Decode a connection's extra.

    :raises VeniceRequestError: when it is not a JSON object. It may hold secrets, so it is not shown.
    """
    try:
        extra = json.loads(text) if text and text.strip() else {}
    except (RecursionError, ValueError):
        extra = None
    if not isinstance(extra, dict):
        raise VeniceRequestError(
            'the connection\'s extra is not a JSON object; give one such as {"read_timeout": 60}, or leave it empty',
            fields={"extra": "not a JSON object"},
        )
    return extra


def _base_url(connection: ConnectionLike, problems: dict[str, str]) -> str:
    host = (connection.host or "").strip()
    if not host:
        return DEFAULT_BASE_URL
    if "://" not in host:
        host = f"{connection.schema or 'https'}://{host}"
    try:
        parts = urllib.parse.urlsplit(host)
        port = parts.port
        (parts.hostname or "").encode("idna")
    except ValueError:
        problems["host"] = (
            f"has no valid port or host name; give a URL such as {DEFAULT_BASE_URL}, or leave it empty for that"
        )
        return host
    place = parts.netloc
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or "@" in place:
        problems["host"] = (
            f"is no base URL: http:// or https://, a host, perhaps a path, and nothing else; leave it empty for "
            f"{DEFAULT_BASE_URL}"
        )
    if port is None and connection.port:
        place = f"{place}:{connection.port}"
    return f"{parts.scheme}://{place}{parts.path.rstrip('/') or '/api/v1'}"


def _read(value: Any, kind: str) -> Any:
    """Return a value of the extra in the type that its setting has."""
    if kind.startswith("str"):
        if not isinstance(value, str):
            raise ValueError(f"takes the id of a connection, not {value!r}")
        return value.strip()
    return _positive(value, whole=kind == "int")


def _positive(value: Any, *, whole: bool) -> float:
    try:
        number = float(value) if not isinstance(value, bool) else -1.0
    except (TypeError, ValueError):
        number = -1.0
    if not 0 < number < float("inf") or (whole and number != int(number)):
        raise ValueError(f"takes a {'whole ' if whole else ''}number above zero, not {value!r}")
    return int(number) if whole else number
