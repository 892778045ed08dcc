"""Brings a finished clip into a file, going on or beginning again where the transfer broke."""

from __future__ import annotations

import re
from collections.abc import Iterator

from airflow_provider_venice.api import calls
from airflow_provider_venice.api.model import VideoJob
from airflow_provider_venice.api.responses import ResponseHead
from airflow_provider_venice.exceptions import VideoDownloadError, VideoGenerationError
from airflow_provider_venice.storage import PartialFile
from airflow_provider_venice.transport.blocking import BlockingTransport

_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18}|\*)")


def download(
    transport: BlockingTransport,
    job: VideoJob,
    partial: PartialFile,
    *,
    max_size: int | None = None,
    max_wait: float | None = None,
    rate_limit_timeout: float | None = None,
) -> None:
    """
    Fill ``partial`` with the clip.

    A private link is asked for the rest with Range; inline media has no Range and begins again.

    :param transport: the transport.
    :param job: a finished job.
    :param partial: where the bytes go.
    :param max_size: most bytes to accept.
    :param max_wait: longest single wait for the rate limit, in seconds; ``None`` for no limit but the next one.
    :param rate_limit_timeout: seconds in all for which refusals of inline media are waited out, whatever their
        number; ``None`` to count them as attempts.
    :raises VeniceRateLimitError: when the rate limit asks for a longer wait; ``retry_after`` says how long.
    :raises VideoDownloadError: when what comes is not the announced file, or larger than ``max_size``.
    :raises VeniceError: when it does not come at all.
    """
    whole = calls.download(job)

    def attempt() -> None:
        call = calls.download(job, start=partial.size if whole.is_link else 0)
        with transport.open(call, max_wait=max_wait) as streamed:
            head = streamed.head
            if not head.is_media:
                if head.status == 416 and partial.size:
                    _finish(partial, head)
                    return
                call.read(streamed.read())
            _place(partial, head)
            _check_size(partial.expected_size, max_size)
            for chunk in _guarded(streamed.chunks(), partial, max_size):
                partial.write(chunk)
        if partial.expected_size is not None and partial.size < partial.expected_size:
            raise VideoDownloadError(
                f"the transfer of {job} ended after {partial.size} of {partial.expected_size} bytes"
            )
        try:
            partial.check()
        except VideoDownloadError:
            # All that was announced is here, and it is no video: nothing of it is worth going on from.
            partial.restart()
            raise

    # Too many fetches of a private link are not a rate limit: no waiting gets it back.
    patience = rate_limit_timeout if whole.budget else None
    transport.repeat(whole, attempt, max_wait=max_wait if whole.budget else None, rate_limit_timeout=patience)


def delete_by_retrieve(transport: BlockingTransport, job: VideoJob) -> bool:
    """
    Delete the media of a job with a retrieve, where ``/video/complete`` does not do it.

    It counts against the rate limit of retrieves. Venice deletes the media "once it has been returned": whether an
    answer that is not read to its end counts as returned is not documented, so the whole body is read and dropped.

    :param transport: the transport.
    :param job: an ordinary job whose clip is stored.
    :return: whether Venice has delivered the media, and deletes it; ``False`` where there was nothing to delete.
    :raises VeniceError: when it is not known whether it was deleted.
    """
    # Invariant: the request asks to delete what is finished. What becomes of a clip that is still made is not
    # documented, and an answer without a video is that of a private job, which only its link delivers. A crash right
    # here deletes nothing.
    if job.metadata is None:
        try:
            job = transport.send(calls.retrieve(job))
        except VideoGenerationError:
            return False
        if job.metadata is None:
            return False
    call = calls.retrieve_and_delete(job)

    def attempt() -> bool:
        with transport.open(call) as streamed:
            deleted = call.read(streamed.read())
            if deleted:
                for _ in streamed.chunks():
                    pass
        return deleted

    return transport.repeat(call, attempt)


def _place(partial: PartialFile, head: ResponseHead) -> None:
    """Bring the file to the byte where this answer begins."""
    if head.status == 206:
        found = _CONTENT_RANGE.match(head.headers.get("content-range", ""))
        total = int(found[2]) if found and found[2] != "*" else partial.expected_size
        if found is None or int(found[1]) != partial.size or partial.expected_size not in (None, total):
            partial.restart()
            raise VideoDownloadError("the server answered with a part of another file than was asked for")
        partial.expected_size = total
        return
    partial.restart()
    partial.expected_size = head.content_length


def _finish(partial: PartialFile, head: ResponseHead) -> None:
    """Believe that nothing follows what is here only where that is the whole: the last answer broke at its very end."""
    if head.headers.get("content-range", "").strip() != f"bytes */{partial.size}" and (
        partial.expected_size != partial.size
    ):
        partial.restart()
        raise VideoDownloadError("the server has no such part of the video; it is fetched from the start")


def _guarded(chunks: Iterator[bytes], partial: PartialFile, max_size: int | None) -> Iterator[bytes]:
    for chunk in chunks:
        _check_size(partial.size + len(chunk), max_size)
        yield chunk


def _check_size(size: int | None, max_size: int | None) -> None:
    if size is not None and max_size is not None and size > max_size:
        raise VideoDownloadError(f"the video has {size} bytes or more; {max_size} are allowed", can_heal=False)
