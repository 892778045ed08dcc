"""Private links in what Airflow stores: encrypted with its Fernet key, masked in its logs."""

from __future__ import annotations

import dataclasses
import logging
import urllib.parse
from collections.abc import Mapping
from typing import Any

from airflow_provider_venice.api.model import VideoJob
from airflow_provider_venice.exceptions import VeniceRequestError

log = logging.getLogger(__name__)

_PREFIX = "fernet:"

#: Characters below which a part of an address is none that only its owner knows.
_SHORTEST_SECRET = 12


def seal(job: VideoJob) -> dict[str, Any]:
    """
    Return the job as plain JSON that may be stored: its private link encrypted.

    Without a Fernet key there is nothing to encrypt with. Then the link stays readable, with a
    warning, because a paid clip must not be lost; private models are refused before that.

    :param job: the job.
    """
    stored = job.to_dict()
    if job.download_url is None or job.download_url.startswith(_PREFIX):
        return stored
    if can_seal():
        stored["download_url"] = _PREFIX + _fernet().encrypt(job.download_url.encode()).decode()
    else:
        log.warning("The private link of %s is stored readable: Airflow has no Fernet key to encrypt it with", job)
    return stored


def unseal(job: VideoJob | Mapping[str, Any]) -> VideoJob:
    """
    Return the job that a task stored, with its private link readable, and masked in the logs from here on.

    :param job: a job, or its dictionary.
    :raises VeniceRequestError: when it is no job, or its link was encrypted under another Fernet key.
    """
    opened = VideoJob.of(job)
    link = opened.download_url
    if link is not None and link.startswith(_PREFIX):
        from cryptography.fernet import InvalidToken

        try:
            link = _fernet().decrypt(link[len(_PREFIX) :].encode()).decode()
        except InvalidToken:
            raise VeniceRequestError(
                f"the private link of {opened} was encrypted under another Fernet key; "
                "add that key to [core] fernet_key, after the new one"
            ) from None
        opened = dataclasses.replace(opened, download_url=link)
    mask(opened)
    return opened


def mask(job: VideoJob) -> None:
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


def can_seal() -> bool:
    """Whether Airflow has a Fernet key, without which nothing is encrypted."""
    return bool(_fernet().is_encrypted)


def _fernet() -> Any:
    try:
        from airflow.sdk.crypto import get_fernet
    except ImportError:  # Airflow before 3.2
        from airflow.models.crypto import get_fernet
    return get_fernet()
