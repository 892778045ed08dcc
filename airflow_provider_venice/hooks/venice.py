"""``VeniceHook``: an Airflow connection and the Venice API behind it."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import random
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_venice import observability, storage
from airflow_provider_venice.airflow_connections import read_connection
from airflow_provider_venice.api import calls, constraints, media
from airflow_provider_venice.api.media_digests import media_digests
from airflow_provider_venice.api.model import GeneratedImage, VideoJob, VideoModel, VideoQuote
from airflow_provider_venice.api.money import dollars
from airflow_provider_venice.api.polling import Confirmation, PollSchedule, refuses_key
from airflow_provider_venice.api.request import VideoRequest
from airflow_provider_venice.api.spending import Period, Spending, describe_key
from airflow_provider_venice.exceptions import VeniceAmbiguousSubmission, VeniceError, VeniceRequestError
from airflow_provider_venice.hooks import form, private_links
from airflow_provider_venice.hooks.connections import async_transport, reading_again
from airflow_provider_venice.hooks.failures import log_recovery_hint
from airflow_provider_venice.hooks.media_roots import read_media
from airflow_provider_venice.hooks.prepared import PreparedSubmission
from airflow_provider_venice.transport.settings import Settings, decode_extra
from airflow_provider_venice.version_compat import BaseHook, get_hook_lineage_collector

if TYPE_CHECKING:
    from airflow_provider_venice.api.billing import UsageEntry
    from airflow_provider_venice.transport.asynchronous import AsyncTransport
    from airflow_provider_venice.transport.blocking import BlockingTransport

RequestLike = VideoRequest | Mapping[str, Any] | None
JobLike = VideoJob | Mapping[str, Any]

#: Most bytes that ``get_video_data`` holds in memory by default.
MAX_VIDEO_BYTES = 256 * 1024 * 1024

#: Seconds that ``generate`` gives a clip, as the Python SDK does.
DEFAULT_TIMEOUT = 900.0


class VeniceHook(BaseHook):
    """
    Make video with Venice.ai.

    The connection's password is the API key, its host the base URL if not the public one; its
    extra holds time-outs, retries, rate limits and polling (see the connection's documentation).
    A request is a :class:`~airflow_provider_venice.api.request.VideoRequest`, a mapping, or keyword
    arguments; a job is a :class:`~airflow_provider_venice.api.model.VideoJob` or its dictionary.

    :param venice_conn_id: the connection.
    """

    conn_name_attr = "venice_conn_id"
    default_conn_name = "venice_default"
    conn_type = "venice"
    hook_name = "Venice.ai"

    def __init__(self, venice_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.venice_conn_id = venice_conn_id
        self._transport: BlockingTransport | None = None
        self._complete_is_refused = False

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Return the form's own fields (Airflow 3.0 and 3.1; later ones read them from provider info)."""
        return form.form_widgets()

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return what becomes of the form's standard fields (Airflow 3.0 and 3.1)."""
        return {
            "hidden_fields": form.HIDDEN_FIELDS,
            "relabeling": form.RELABELING,
            "placeholders": form.PLACEHOLDERS,
        }

    def get_conn(self) -> BlockingTransport:
        """
        Return what carries calls to Venice, made from the connection at the first use.

        :raises VeniceRequestError: when the connection is not valid.
        """
        if self._transport is None:
            self._transport = self._connect()
        return self._transport

    def _connect(self) -> BlockingTransport:
        from airflow_provider_venice.transport.blocking import BlockingTransport

        connection = read_connection(self.venice_conn_id)
        return BlockingTransport(Settings.of(connection, decode_extra(connection.extra)))

    def _reconnect(self) -> BlockingTransport:
        """
        Read the connection again, as its key may have been replaced.

        :raises VeniceConnectionError: when it cannot be read now; the old one stays.
        """
        with reading_again(self.venice_conn_id):
            renewed = self._connect()
        if self._transport is not None:
            self._transport.close()
        self._transport = renewed
        return renewed

    def test_connection(self) -> tuple[bool, str]:
        """Test the key with the cheapest call there is; report the tier, and what the key may spend."""
        try:
            limits = self.rate_limits()
        except VeniceError as error:
            return False, str(error)
        return describe_key(limits)

    def quote(self, request: RequestLike = None, **fields: Any) -> VideoQuote:
        """
        Return the price of a clip, without queueing it. Free.

        :param request: the clip.
        :param fields: fields of the request that ``request`` leaves open.
        :return: ``estimated_cost`` in US dollars, and the balance where Venice reports it.
        :raises VeniceRequestError: when the request is not valid.
        :raises VeniceAPIError: when Venice gives no price for it.
        """
        body = VideoRequest.of(request, **fields).to_quote_body()
        return self.get_conn().send(calls.quote(media.resolve_media(body, read_media)))

    def check(self, request: RequestLike = None, **fields: Any) -> VideoModel:
        """
        Check a request against what its model accepts, without queueing it. Free.

        :param request: the clip.
        :param fields: fields of the request that ``request`` leaves open.
        :return: the model, with its published constraints.
        :raises VeniceRequestError: one error that names every wrong field and the allowed values.
        """
        return constraints.check_request(VideoRequest.of(request, **fields), self.list_models())

    def queue(self, request: RequestLike = None, **fields: Any) -> VideoJob:
        """
        Submit a clip. It is charged now; the job that comes back is all that leads to it.

        Its price is asked for first, which is free: it is logged, and becomes the job's ``estimated_cost``. If Venice
        gives none, the clip is bought all the same.

        :param request: the clip.
        :param fields: fields of the request that ``request`` leaves open.
        :return: the job; with its private link readable, where it has one.
        :raises VeniceRequestError: when the request, or a file in it, is not valid; nothing was spent.
        :raises VeniceAmbiguousSubmission: when the answer was lost: the job may exist, and be paid. It is an
            ``AirflowFailException`` too, so that no retry of a task sends it again.
        :raises VeniceAPIError: when Venice refused; nothing was spent.
        """
        wanted = VideoRequest.of(request, **fields)
        send = self.prepare(wanted)
        described, cost, sent_at = wanted.describe(), self._price(wanted), time.time()
        try:
            job = dataclasses.replace(send(None), request=described, estimated_cost=cost, labels=wanted.labels)
        except VeniceAmbiguousSubmission as error:
            error.args = (f"{error}. Its price is {'not known' if cost is None else dollars(cost)}",)
            observability.doubt_reported(wanted.model)
            raise
        self.announce(job)
        observability.clip_bought(job.model, job.estimated_cost, sent_at)
        with contextlib.suppress(Exception):
            # Invariant: a paid job is returned, whatever fails here.
            return private_links.with_encrypted_link(job)
        return job

    def _price(self, request: VideoRequest) -> float | None:
        """Return the quoted US dollars; ``None`` where Venice gives no price at once, which stops no submission."""
        body = media.resolve_media(request.to_quote_body(), storage.read_media)
        try:
            return float(self.get_conn().send(calls.quote(body), attempts=1).estimated_cost)
        except VeniceError as error:
            self.log.warning("The price is not known: %s", error)
            return None

    def prepare(self, request: RequestLike = None, **fields: Any) -> PreparedSubmission:
        """
        Do everything that a submission needs but the submission itself, which the result makes when it is called.

        What goes wrong here has sent nothing; what goes wrong there may have. The result takes the
        longest wait for the rate limit in seconds, ``None`` for the connection's setting. After the answer
        it only returns the job: store that first, then call :meth:`announce`.

        :param request: the clip.
        :param fields: fields of the request that ``request`` leaves open.
        :raises VeniceRequestError: when the request, or a file in it, is not valid.
        """
        wanted = VideoRequest.of(request, **fields)
        if wanted.model.endswith("-private") and not private_links.can_encrypt():
            raise VeniceRequestError(
                f"model {wanted.model!r} delivers by a private link, which cannot be stored safely: "
                "Airflow has no Fernet key; set [core] fernet_key"
            )
        call = calls.queue(media.resolve_media(wanted.to_body(), read_media))
        return PreparedSubmission(self.get_conn(), call, wanted.model)

    def media_digests(self, request: RequestLike = None, **fields: Any) -> dict[str, str]:
        """
        Return digests of what the media of a request hold now, by the names of their fields; see :doc:`/storage`.

        Reads the files that the request names, and needs no connection.

        :param request: the clip.
        :param fields: fields of the request that ``request`` leaves open.
        :raises VeniceRequestError: when the request, or a file in it, is not valid.
        """
        return media_digests(media.resolve_media(VideoRequest.of(request, **fields).to_body(), read_media))

    def announce(self, job: VideoJob, name: str = "") -> None:
        """
        Log a job that was queued, and have its private link masked in the logs from here on.

        It raises nothing: a log that fails must not lose a paid job.

        :param job: the job that a submission has returned.
        :param name: which request of a list it is.
        """
        with contextlib.suppress(Exception):
            private_links.mask_link(job)
        with contextlib.suppress(Exception):
            price = "; its price is not known" if job.estimated_cost is None else f" for {dollars(job.estimated_cost)}"
            balance = "" if job.balance_after is None else f", balance {dollars(job.balance_after)}"
            self.log.info("%sQueued %s%s%s", f"{name}: " if name else "", job, price, balance)

    def retrieve(self, job: JobLike) -> VideoJob:
        """
        Return the state of a job, by one poll. Reads no media.

        :param job: the job.
        :return: the job, with ``status`` and the run times that Venice reports, in milliseconds.
        :raises VeniceError: when the poll failed; the job is still running at Venice.
        :raises VideoGenerationError: when it has ended without a video.
        """
        return self.get_conn().send(calls.retrieve(private_links.decrypt_link(job)))

    def poll(self, job: JobLike, rate_limit_timeout: float | None = None) -> VideoJob:
        """
        Poll a job once; an end, or a refused key, is believed only when a second poll says the same.

        :param job: the job.
        :param rate_limit_timeout: most seconds to wait in all while Venice refuses the poll for its rate limit; a
            refusal fails the poll if ``None``.
        :raises VideoGenerationError: when it has ended without a video.
        :raises VeniceError: when the poll failed; the job is still running at Venice.
        """
        call, confirmation = calls.retrieve(private_links.decrypt_link(job)), Confirmation()
        transport = self.get_conn()
        while True:
            observability.polled(VideoJob.of(job).model)
            try:
                return transport.send(call, attempts=1, rate_limit_timeout=rate_limit_timeout)
            except VeniceError as error:
                pause = confirmation.needed(error)
                if pause is None:
                    raise
                self.log.warning("%s; it is polled again in %.0f s", error, pause)
                time.sleep(pause)
                if refuses_key(error):
                    transport = self._reconnect()

    def wait_for_completion(
        self,
        job: JobLike,
        poll_interval: float | None = None,
        max_wait_time: float | None = None,
        callback: Callable[[VideoJob], None] | None = None,
    ) -> VideoJob:
        """
        Block until a job has ended well; failures that pass are waited out, and an end is polled twice.

        :param job: the job.
        :param poll_interval: fewest seconds between two polls; chosen from the model's run times if ``None``.
        :param max_wait_time: most seconds to wait; without end if ``None``.
        :param callback: is given the job after every poll that was answered; what it raises is logged.
        :raises VideoTimeoutError: when the time is up. The job is still running at Venice.
        :raises VideoGenerationError: when the job has ended without a video.
        """
        transport = self.get_conn()
        schedule = PollSchedule(
            private_links.decrypt_link(job),
            deadline=None if max_wait_time is None else time.monotonic() + max_wait_time,
            poll_interval=poll_interval or transport.settings.poll_interval,
            longest_backoff=transport.settings.retry_max_wait,
        )
        refused = False
        while True:
            try:
                if refused:
                    transport, refused = self._reconnect(), False
                observability.polled(schedule.job.model)
                seen = transport.send(calls.retrieve(schedule.job), attempts=1)
            except VeniceError as error:
                pause = schedule.on_error(error, time.monotonic(), random.random())
                refused = refused or refuses_key(error)
                self.log.warning("%s; the next poll is in %.0f s", error, pause)
            else:
                if callback is not None:
                    self._call_back(callback, seen)
                if seen.is_completed():
                    observability.clip_rendered(seen)
                    return seen
                pause = schedule.on_running(seen, time.monotonic(), random.random())
                if line := schedule.progress_message():
                    self.log.info(line)
            time.sleep(pause)

    def _call_back(self, callback: Callable[[VideoJob], None], job: VideoJob) -> None:
        try:
            callback(job)
        except Exception:
            # The clip is paid, and the wait for it continues.
            self.log.warning("The callback of wait_for_completion failed for %s", job, exc_info=True)

    def download(
        self,
        job: JobLike,
        path: Any,
        overwrite: bool = False,
        before_publish: Callable[[storage.StoredVideo], None] | None = None,
        *,
        rate_limit_timeout: float = DEFAULT_TIMEOUT,
    ) -> storage.StoredVideo:
        """
        Stream a finished clip to a file, which appears under its name only when it is whole.

        The download of an ordinary model's clip counts as a retrieve. Where Venice refuses it for the rate limit,
        this waits here, however often that happens: Venice keeps a clip for a while only.

        :param job: the job.
        :param path: a local path, or any ``ObjectStoragePath`` or its URL.
        :param overwrite: whether a file that is already there may be replaced.
        :param before_publish: is called with the file when it is whole and not yet in its place.
        :param rate_limit_timeout: most seconds to wait for the rate limit in all.
        :return: path, size in bytes, sha256 and metadata of the file.
        :raises VeniceRateLimitError: when the rate limit asks for a longer wait; nothing is left behind.
        :raises VideoDownloadError: when no whole video comes; nothing is left behind.
        :raises VeniceRequestError: when the path cannot be written to.
        """
        with log_recovery_hint(VideoJob.of(job), self.log, then=None):
            return self.fetch(job, path, overwrite, before_publish, rate_limit_timeout=rate_limit_timeout)

    def fetch(
        self,
        job: JobLike,
        path: Any,
        overwrite: bool = False,
        before_publish: Callable[[storage.StoredVideo], None] | None = None,
        *,
        writer: str | None = None,
        name: str = "",
        max_wait: float | None = None,
        rate_limit_timeout: float = DEFAULT_TIMEOUT,
    ) -> storage.StoredVideo:
        """
        Do what :meth:`download` does, and leave to the caller to log how to collect the clip when it fails.

        :param writer: names the task instance; what a try of it that was killed has left is removed.
        :param name: which request of a list it is, for the log.
        :param max_wait: longest single wait for the rate limit, in seconds; no limit but the next one if ``None``.
        :raises VeniceRateLimitError: when the rate limit asks for a longer wait; nothing is left behind.
        """
        from airflow_provider_venice.transport.download import download

        transport, finished, begun_at = self.get_conn(), private_links.decrypt_link(job), time.time()
        stored = storage.store_video(
            path,
            lambda partial: download(
                transport, finished, partial, max_wait=max_wait, rate_limit_timeout=rate_limit_timeout
            ),
            overwrite=overwrite,
            before_publish=before_publish,
            writer=writer,
        )
        summary = _summary(finished, stored)
        self.log.info("%sStored %s: %s, %s", f"{name}: " if name else "", finished, stored.path, summary)
        observability.clip_stored(finished, begun_at)
        location = stored.path if "://" in stored.path else Path(stored.path).as_uri()
        with contextlib.suppress(Exception):
            # The clip is stored. Airflow loads plugins for this, and one of them may be broken.
            get_hook_lineage_collector().add_output_asset(context=self, uri=location)
        return stored

    def get_video_data(self, job: JobLike, max_size: int = MAX_VIDEO_BYTES) -> bytes:
        """
        Return the bytes of a finished clip, all in memory: prefer :meth:`download`.

        :param job: the job.
        :param max_size: most bytes to accept.
        :raises VideoDownloadError: when it is larger, or no whole video comes.
        """
        from airflow_provider_venice.transport.download import download

        transport, finished = self.get_conn(), private_links.decrypt_link(job)
        with tempfile.TemporaryDirectory() as folder:
            stored = storage.store_video(
                f"{folder}/video.mp4",
                lambda partial: download(
                    transport, finished, partial, max_size=max_size, rate_limit_timeout=DEFAULT_TIMEOUT
                ),
            )
            with open(stored.path, "rb") as file:
                return file.read()

    def delete_media(self, job: JobLike) -> bool:
        """
        Delete a clip at Venice: for good, and only the media. It cancels nothing and refunds nothing.

        Where ``/video/complete`` does not know the job, the clip is retrieved once more, to be deleted by that.

        :param job: the job, finished and stored.
        :return: whether Venice has deleted it; ``False`` where it knew of nothing to delete.
        :raises VeniceError: when it is not known whether it was deleted.
        """
        from airflow_provider_venice.transport.download import delete_by_retrieve

        transport, finished = self.get_conn(), private_links.decrypt_link(job)
        if finished.download_url is not None or not self._complete_is_refused:
            deleted = transport.send(calls.delete_media(finished))
            if deleted is not None:
                return deleted
        deleted = delete_by_retrieve(transport, finished)
        # Each refusal counts towards the block after too many failures, so that it is asked for once.
        self._complete_is_refused |= deleted
        return deleted

    def generate(
        self,
        request: RequestLike = None,
        path: Any = None,
        timeout: float = DEFAULT_TIMEOUT,
        overwrite: bool = False,
        **fields: Any,
    ) -> VideoJob | storage.StoredVideo:
        """
        Queue a clip, wait for it, and download it where a path is given.

        :param request: the clip.
        :param path: where to store it: a local path, or any ``ObjectStoragePath`` or its URL.
        :param timeout: most seconds to wait for it.
        :param overwrite: whether a file that is already there may be replaced.
        :param fields: fields of the request that ``request`` leaves open.
        :return: the finished job, or the stored file when ``path`` is given.
        :raises VeniceAmbiguousSubmission: when the answer to the submission was lost; see :meth:`queue`.
        :raises VideoTimeoutError: when the time is up; the job is still running at Venice, and paid.
        :raises VideoGenerationError: when the job has ended without a video.
        :raises VideoDownloadError: when no whole video comes; the clip is paid.
        """
        if path is not None:
            # Invariant: a clip is bought only where a file was made right before. A crash right here leaves nothing.
            storage.check_target(path, overwrite=overwrite)
        job = self.wait_for_completion(self.queue(request, **fields), max_wait_time=timeout)
        return job if path is None else self.download(job, path, overwrite=overwrite)

    def list_models(self, type: str = "video") -> list[VideoModel]:
        """
        Return the models with their published constraints.

        :param type: kind of model, as the API's ``type``.
        """
        return self.get_conn().send(calls.list_models(type))

    def get_model(self, id: str) -> VideoModel:
        """
        Return one video model with its published constraints.

        :param id: the model's id.
        :raises VeniceRequestError: when there is none of that id; the message suggests near ones.
        """
        return constraints.find_model(id, self.list_models())

    def rate_limits(self) -> dict[str, Any]:
        """Return the key's tier, balances and rate limits, as ``/api_keys/rate_limits`` returns them."""
        return self.get_conn().send(calls.rate_limits())

    def balance(self) -> dict[str, Any]:
        """Return the account's balances, as ``/billing/balance`` returns them; money as ``Decimal``."""
        return self.get_conn().send(calls.balance())

    def spend(self, since: Any, until: Any = None) -> Spending:
        """
        Return what the account has spent, in US dollars by day, model and key. Venice renews it every 10 minutes.

        Days are those in UTC; a time without an offset is UTC.

        :param since: the first day: a date, a datetime, or ISO 8601 text.
        :param until: the last day, included; today if ``None``. At most 90 days.
        :raises VeniceRequestError: when one is no day, is in the future, or the order or the length is wrong.
        :raises VeniceAPIError: when the key may not read it; by Venice's later documents only an ADMIN key may.
        """
        period = Period.of(since, until, today=datetime.datetime.now(datetime.timezone.utc).date())
        return self.get_conn().send(calls.usage_analytics(period))

    def usage_history(self, since: float, until: float | None = None) -> list[UsageEntry]:
        """
        Return what the account was charged and given back in a period, read with the connection's ``admin_conn_id``.

        :param since: first moment, in epoch seconds.
        :param until: the moment after the last, in epoch seconds; ``None`` for now.
        """
        from airflow_provider_venice.hooks.billing import read_history

        return list(read_history(self, since, until).entries)

    def generate_image(self, model: str, prompt: str, **fields: Any) -> GeneratedImage:
        """
        Generate one image, such as the first frame for image-to-video. Charged when Venice answers.

        :param model: id of the image model.
        :param prompt: what to show.
        :param fields: further fields of ``/image/generate``, such as ``width``, ``height`` or ``format``.
        """
        for name in ("variants", "return_binary"):
            if name in fields:
                raise VeniceRequestError(f"{name} is not taken here: this method returns one image", fields={name: ""})
        return self.get_conn().send(calls.generate_image({"model": model, "prompt": prompt, **fields}))

    @contextlib.asynccontextmanager
    async def async_transport(self) -> AsyncIterator[AsyncTransport]:
        """
        Hand out what carries calls without blocking; shared by all triggers of a process.

        :raises VeniceRequestError: when the connection is not valid.
        """
        async with async_transport(self.venice_conn_id) as transport:
            yield transport


def _summary(job: VideoJob, stored: storage.StoredVideo) -> str:
    """Return what a clip is, and what it cost, for the log."""
    duration, resolution = stored.metadata.duration, stored.metadata.resolution
    parts = [
        None if duration is None else f"{duration:.1f} s",
        resolution,
        f"{stored.size} bytes",
        None if job.estimated_cost is None else dollars(job.estimated_cost),
    ]
    return ", ".join(part for part in parts if part)
