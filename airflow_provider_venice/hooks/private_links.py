"""Private links in what Airflow stores: encrypted with its Fernet key, masked in its logs."""

from __future__ import annotations

import dataclasses
import logging
import urllib.parse
from collections.abc import Mapping
from typing import Any

from airflow_provider_venice.api.model import ENCRYPTED, VideoJob
from airflow_provider_venice.exceptions import VeniceRequestError

log = logging.getLogger(__name__)

#: Characters below which a part of an address is none that only its owner knows.
_SHORTEST_SECRET = 12


def encrypt_link(job: VideoJob) -> dict[str, Any]:
    """
    Return the job as plain JSON that may be stored: its private link encrypted.

    Without a Fernet key there is nothing to encrypt with. Then the link stays readable, with a
    warning, because a paid clip must not be lost; private models are refused before that.

    :param job: the job.
    """
    kept = with_encrypted_link(job)
    stored = kept.to_dict()
    if kept.encrypted_url is not None:
        stored["download_url"] = kept.encrypted_url
    elif kept.download_url is not None and not kept.download_url.startswith(ENCRYPTED):
        log.warning("The private link of %s is stored readable: Airflow has no Fernet key to encrypt it with", job)
    return stored


def with_encrypted_link(job: VideoJob) -> VideoJob:
    """
    Return the job with its private link encrypted beside the readable one, so that an XCom of it has the link.

    :param job: the job. Without a link to encrypt, or a Fernet key, it is returned as it is.
    """
    link = job.download_url
    if link is None or link.startswith(ENCRYPTED) or job.encrypted_url is not None or not can_encrypt():
        return job
    return dataclasses.replace(job, encrypted_url=ENCRYPTED + _fernet().encrypt(link.encode()).decode())


def decrypt_link(job: VideoJob | Mapping[str, Any]) -> VideoJob:
    """
    Return the job that a task stored, with its private link readable, and masked in the logs from here on.

    :param job: a job, or its dictionary.
    :raises VeniceRequestError: when it is no job, or its link was encrypted under another Fernet key.
    """
    opened = VideoJob.of(job)
    link = opened.download_url
    if link is not None and link.startswith(ENCRYPTED):
        from cryptography.fernet import InvalidToken

        encrypted = link
        try:
            link = _fernet().decrypt(link[len(ENCRYPTED) :].encode()).decode()
        except InvalidToken:
            raise VeniceRequestError(
                f"the private link of {opened} was encrypted under another Fernet key; "
                "add that key to [core] fernet_key, after the new one"
            ) from None
        opened = dataclasses.replace(opened, download_url=link, encrypted_url=encrypted)
    mask_link(opened)
    return with_encrypted_link(opened)


def mask_link(job: VideoJob) -> None:
    """Have Airflow hide the job's private link wherever it logs."""
    if job.download_url is not None:
        from airflow.sdk.log import mask_secret

        # Other libraries log an address in parts.
        mask_secret(job.download_url)
        try:
            parts = urllib.parse.urlsplit(job.download_url)
        except ValueError:  # not an address, such as "http://["
            return
        for part in (parts.path, parts.query):
            if len(part) > _SHORTEST_SECRET:
                mask_secret(part)


def can_encrypt() -> bool:
    """Whether Airflow has a Fernet key, without which nothing is encrypted."""
    return bool(_fernet().is_encrypted)


def _fernet() -> Any:
    try:
        from airflow.sdk.crypto import get_fernet
    except ImportError:  # Airflow before 3.2
        from airflow.models.crypto import get_fernet
    return get_fernet()
