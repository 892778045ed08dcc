"""The vendor's state behind its endpoints: account, jobs, limits, faults, journal, and the studio that draws."""

from __future__ import annotations

import asyncio
import base64
import time
import uuid
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

from airflow_provider_venice.simulator import media
from airflow_provider_venice.simulator.catalog import IMAGE_MODEL, Model
from airflow_provider_venice.simulator.faults import Faults
from airflow_provider_venice.simulator.jobs import Job, JobTimes
from airflow_provider_venice.simulator.journal import Journal, JournalEntry
from airflow_provider_venice.simulator.ledger import Charge, Ledger
from airflow_provider_venice.simulator.limits import Limiter
from airflow_provider_venice.simulator.media import Clip, ClipSpec
from airflow_provider_venice.simulator.pricing import frame_size, seconds_of, upscale_factor
from airflow_provider_venice.simulator.settings import Settings

#: Largest side of an upscaled clip, in pixels; the real one is not worth the processor's time.
_UPSCALED_LIMIT = 2560

#: Refusals that the vendor's log keeps.
_LOGGED = 50


#: Highest frame rate that is drawn.
_MOST_FPS = 120


#: Encoded clips that the simulators of a process share.
_ENCODED: dict[ClipSpec, bytes] = {}


class Studio:
    """Draws clips in threads, so that the server's loop never waits for an encoder."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._pool = ThreadPoolExecutor(max_workers=2, thread_name_prefix="venice-simulator-studio")
        self._shared: dict[ClipSpec, asyncio.Future[bytes]] = {}
        self._closed = False

    def clip(self, job: Job) -> asyncio.Future[Clip]:
        """Start on the job's clip and return its future."""
        return asyncio.ensure_future(self._clip(job))

    async def run(self, work: Callable[..., Any], *args: Any) -> Any:
        """Run ``work`` in one of the studio's threads."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work, *args)

    def close(self) -> None:
        """Abandon what is being drawn."""
        self._closed = True
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _clip(self, job: Job) -> Clip:
        spec = await self.run(_upscaled, job) if job.model.kind == "upscale" else self._spec(job)
        if self._settings.media == "each":
            encoded: bytes = await self.run(media.encode, spec, self._is_closed)
        else:
            if spec not in self._shared:
                self._shared[spec] = asyncio.ensure_future(self.run(self._encode_once, spec))
            encoded = await asyncio.shield(self._shared[spec])
        return Clip(encoded).labelled(job.queue_id, self._settings.padding)

    def _encode_once(self, spec: ClipSpec) -> bytes:
        encoded = _ENCODED.get(spec)
        if encoded is None:
            encoded = media.encode(spec, self._is_closed)
            if encoded:  # not abandoned
                _ENCODED[spec] = encoded
        return encoded

    def _is_closed(self) -> bool:
        return self._closed

    def _spec(self, job: Job) -> ClipSpec:
        model, body = job.model, job.body
        resolution = body.get("resolution") or model.default_resolution
        ratio = body.get("aspect_ratio") or (model.aspect_ratios or (None,))[0]
        width, height = frame_size(resolution, ratio)
        shared = self._settings.media == "shared"
        return ClipSpec(
            text="Venice simulator" if shared else f"{job.prompt}\n\n{model.id}\n{job.queue_id}",
            seconds=seconds_of(body),
            width=width,
            height=height,
            fps=_fps(body.get("fps"), self._settings.fps),
            audio=model.has_audio(body),
            picture=b"" if shared else _data_of(body.get("image_url")),
        )


def _data_of(url: Any) -> bytes:
    """Return what a data URL holds; nothing for any other, as the simulator fetches nothing."""
    url = str(url or "")
    return base64.b64decode(url.partition(",")[2]) if url.startswith("data:") else b""


def _fps(asked: Any, default: int) -> int:
    """Return the frame rate; ``fps`` is of an older document, so that today's schema does not check it."""
    return asked if isinstance(asked, int) and not isinstance(asked, bool) and 1 <= asked <= _MOST_FPS else default


def _upscaled(job: Job) -> ClipSpec:
    """The source's length and size times the factor; a source behind a URL is taken for 5 s of 360p."""
    source = _data_of(job.body.get("video_url"))
    seconds, width, height = (media.probe(source) if source else None) or (5.0, 640, 360)
    factor = upscale_factor(job.body)
    scale = min(factor, max(1.0, _UPSCALED_LIMIT / max(width, height)))
    return ClipSpec(
        text=f"Upscaled {factor}x\n\n{job.model.id}",
        seconds=seconds,
        width=round(width * scale / 2) * 2,
        height=round(height * scale / 2) * 2,
        fps=job.settings.fps,
        audio=False,
    )


class Vendor:
    """
    Everything the simulated vendor knows. It belongs to the server's loop.

    :param settings: how it behaves.
    :param journal_path: file that gets each journal entry as a line of JSON.
    """

    def __init__(self, settings: Settings, journal_path: Path | None = None) -> None:
        self.settings = settings
        self.studio = Studio(settings)
        self.journal = Journal(journal_path)
        self.faults = Faults()
        self.jobs: dict[str, Job] = {}
        self.limiter = Limiter(settings)
        self.times = JobTimes(settings)
        self.balance = settings.balance
        self.ledger = Ledger()
        self.refusals: deque[dict[str, str]] = deque(maxlen=_LOGGED)

    def reset(self) -> None:
        """Forget jobs, faults, journal and limits; refill the balance; restart the job times' seed."""
        self.journal.clear()
        self.faults.clear()
        self.jobs.clear()
        self.limiter = Limiter(self.settings)
        self.times = JobTimes(self.settings)
        self.balance = self.settings.balance
        self.ledger = Ledger()
        self.refusals.clear()

    def accept(self, model: Model, body: dict[str, Any], entry: JournalEntry) -> Job:
        """Charge the account and start a job."""
        job = self.times.start(model, body, model.price(body))
        self.balance -= job.price
        entry.charged, entry.queue_id = job.price, job.queue_id
        job.key = entry.key
        self._enter(job, -job.price)
        job.media = self.studio.clip(job)
        self.jobs[job.queue_id] = job
        return job

    def find(self, queue_id: str, model: str | None = None) -> Job | None:
        """Return the job of that id, if it is of that model."""
        job = self.jobs.get(queue_id)
        return job if job is not None and model in (None, job.model.id) else None

    def by_token(self, token: str) -> Job | None:
        """Return the private job whose link has that secret."""
        return next((job for job in self.jobs.values() if job.token == token and job.model.private), None)

    def refuse(self, job: Job, entry: JournalEntry) -> None:
        """End a job without a clip and give its price back, once."""
        job.fate = "refused"
        if not job.refunded:
            job.refunded = True
            self.balance += job.price
            entry.refunded = job.price
            self._enter(job, job.price)

    def delete(self, job: Job, entry: JournalEntry) -> None:
        """Remove a job's media, and note it when nobody had received all of it."""
        if job.gone or job.fate != "kept":
            return
        job.fate = "deleted"
        entry.deleted = job.queue_id
        self.note_unread(job)

    def note_unread(self, job: Job) -> None:
        """Note a deletion that came before all bytes had been received."""
        ready = job.media is not None and job.media.done() and not job.media.cancelled()
        if job.media is None or not ready or not job.received.holds(job.media.result().size):
            self.journal.note_unread_deletion(job.queue_id)

    def finish(self, queue_id: str | None = None) -> int:
        """Let jobs be done now; return how many there were."""
        chosen = [job for job in self.jobs.values() if queue_id in (None, job.queue_id) and not job.due]
        for job in chosen:
            job.finish()
        return len(chosen)

    def earn(self, price: Decimal, entry: JournalEntry) -> None:
        """Charge something that is delivered at once."""
        self.balance -= price
        entry.charged = price
        self.ledger.add(
            Charge(
                time.time(),
                f"{IMAGE_MODEL}-image-unit",
                -price,
                "Grok Imagine",
                "IMAGE",
                entry.key,
                f"generate-image-{uuid.uuid4().hex[:12]}",
            )
        )

    def charge(self, sku: str, price: Decimal) -> None:
        """Charge for what another program of the account has bought."""
        self.balance -= price
        self.ledger.add(Charge(time.time(), sku, -price, sku, "VIDEO", None, str(uuid.uuid4())))

    def note_refusal(self, entry: JournalEntry) -> None:
        """Remember a refusal by a rate limit or by the block."""
        stamp = datetime.fromtimestamp(entry.time, timezone.utc).isoformat(timespec="milliseconds")
        self.refusals.append(
            {
                "apiKeyId": entry.key or "",
                "modelId": entry.model or "",
                "rateLimitTier": "paid",
                "rateLimitType": "FAILED_REQUESTS" if entry.blocked else "RPM",
                "timestamp": f"{stamp.removesuffix('+00:00')}Z",
            }
        )

    def _enter(self, job: Job, amount: Decimal) -> None:
        """Enter what a job costs, or gives back, into the account's ledger."""
        # Whether the vendor's requestId is the queue_id, nobody has verified: a client has to bear either.
        same = self.settings.usage_ids == "queue_id"
        request_id = job.queue_id if same else str(uuid.uuid5(uuid.UUID(job.queue_id), "request"))
        model = job.model
        sku = self.settings.usage_sku.replace("{model}", model.id)
        self.ledger.add(Charge(time.time(), sku, amount, model.name, "VIDEO", job.key, request_id))
