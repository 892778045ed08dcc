"""A certificate that is made at start, for clients that insist on https."""

from __future__ import annotations

import ssl

MISSING = "https needs trustme; pip install 'airflow-provider-venice[simulator]'"


class Authority:
    """
    An authority of its own, and a certificate for one host.

    :param host: address that the server listens on; ``localhost`` and the loopback addresses are covered as well.
    :raises ModuleNotFoundError: when trustme is missing.
    """

    def __init__(self, host: str) -> None:
        try:
            import trustme
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(MISSING) from error
        authority = trustme.CA()
        names = dict.fromkeys((host, "localhost", "127.0.0.1", "::1"))
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(*names).configure_cert(self.context)
        #: What a client has to trust, as PEM.
        self.certificate: bytes = authority.cert_pem.bytes()
