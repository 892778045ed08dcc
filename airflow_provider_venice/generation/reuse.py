"""
Clips that are there already, of the same request: they are taken, and nothing is bought.

In doubt nothing is reused, and nothing is bought over a file. What is at a target counts as the clip of a request only
if all of this is certain:

* It is a whole MP4, of the size and SHA-256 that its manifest has.
* The manifest's fingerprint is that of the request, and its media hold what the manifest says of them. A manifest of an
  earlier release, or of a download, says neither; then the request that it shows must say everything.

Where that is not so, another task may be about to store or to record a clip there: its reservation says so.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_venice.api.costs import COST_FIELDS
from airflow_provider_venice.api.fingerprint import fingerprint, same_request
from airflow_provider_venice.api.model import VideoJob
from airflow_provider_venice.api.request import VideoRequest
from airflow_provider_venice.exceptions import VeniceRequestError
from airflow_provider_venice.generation.manifest import read_manifest
from airflow_provider_venice.generation.request_differences import describe_differences

if TYPE_CHECKING:
    from airflow_provider_venice.generation.clips import Clip
    from airflow_provider_venice.generation.progress import Progress
    from airflow_provider_venice.generation.request_errors import RequestErrors
    from airflow_provider_venice.hooks.venice import VeniceHook
    from airflow_provider_venice.storage import StoredVideo
    from airflow_provider_venice.storage.reservations import Owner

#: Fields of a request of which its description in a manifest says everything.
_SHOWN_WHOLE = frozenset(
    {
        *("model", "prompt", "negative_prompt", "duration", "aspect_ratio", "resolution", "audio", "upscale_factor"),
        *("bitrate_mode", "omni_reference_task_type", "seed", "fps", "motion_bucket_id", "guidance_scale"),
        "reference_video_total_duration",
    }
)

_FIX = "give another output_path, move the clip away, or set existing='replace'"


@dataclass(frozen=True)
class ExistingClip:
    """
    A whole clip at a target, and what its manifest says.

    :param stored: its file.
    :param manifest: the manifest.
    """

    stored: StoredVideo
    manifest: Mapping[str, Any]

    def job(self, labels: Mapping[str, Any] | None) -> VideoJob:
        """
        Return the job that has brought it.

        :param labels: those of the request that it is reused for.
        """
        known = ("model", "queue_id", "request", "estimated_cost", "balance_before", "queued_at")
        values = {name: self.manifest.get(name) for name in known}
        if refused := self.manifest.get("refused_models"):
            values |= {"requested_model": self.manifest.get("requested_model"), "refused_models": refused}
        completed = {"status": "completed", "completed_at": self.manifest.get("detected_at")}
        return VideoJob.of({**values, **completed, "labels": dict(labels or {}) or None})

    def record(self, labels: Mapping[str, Any] | None) -> dict[str, Any]:
        """
        Return what its manifest says, marked as reused: at no cost, and where it is now.

        :param labels: those of the request that it is reused for.
        """
        now = {"path": self.stored.path, "labels": dict(labels or {}), "estimated_cost": 0.0, "reused": True}
        shown = {"stored_at": None, **self.manifest, **now}
        # What it once cost is no cost of this task.
        return {name: value for name, value in shown.items() if name not in COST_FIELDS}


def reuse_existing(
    clips: Iterable[Clip], hook: VeniceHook, progress: Progress, problems: RequestErrors, log: Any
) -> None:
    """
    Take what is at the targets of clips that are missing, where that is asked for.

    Sets ``job``, ``stored`` and ``record`` of each clip that is there. One without a valid request stays as it is.

    :param clips: those that are to be bought.
    :param hook: reads the media.
    :param progress: what this try has taken before a wait; its files are not read again.
    :param problems: gets what is in the way of a clip.
    :raises VeniceRequestError: for a single clip, what is in its way.
    """
    for clip in clips:
        delivery = clip.submission.delivery
        if delivery is None or delivery.existing != "reuse":
            continue
        try:
            request = clip.wanted.request
        except VeniceRequestError:
            continue  # its own check says what is wrong
        with problems.about(clip.position):
            is_of = _of_request(request, clip.wanted.models_left[1:], hook)
            found = find_clip(clip.target, clip.owner, is_of, progress.reused.get(str(clip.position)))
            if found is not None:
                _take(clip, found, request, progress, log)


def _take(clip: Clip, found: ExistingClip, request: VideoRequest, progress: Progress, log: Any) -> None:
    clip.job, clip.stored = found.job(request.labels), found.stored
    clip.record, clip.is_finished, clip.is_reused = found.record(request.labels), True, True
    if str(clip.position) not in progress.reused:
        made = found.manifest
        log.info(
            "%sReusing %s, of the same request: %s, made by DAG %r, run %r, task %r. Nothing is paid",
            f"{clip.wanted.name}: " if clip.wanted.name else "",
            found.stored.path,
            clip.job,
            made["dag_id"],
            made["run_id"],
            made["task_id"],
        )
    progress.reused[str(clip.position)] = found.stored.sha256
    clip.submission.note_reuse()


def find_clip(
    target: Any, owner: Owner, check_manifest: Callable[[str, Mapping[str, Any]], None], sha256: str | None = None
) -> ExistingClip | None:
    """
    Return the clip that is at a target, ``None`` where nothing is there.

    :param target: local path or ``ObjectStoragePath``, as an object or a string.
    :param owner: who wants it.
    :param check_manifest: is given where the manifest is and what it says; raises ``VeniceRequestError`` where its clip
        is not the wanted one.
    :param sha256: the digest of the clip, where this try has read it before.
    :raises VideoTargetReserved: when another task is about to complete what is there; a later try may find it whole.
    :raises VeniceRequestError: when something else is there.
    """
    from airflow_provider_venice.storage.reservations import check_unreserved

    try:
        return _read_clip(target, check_manifest, sha256)
    except VeniceRequestError as error:
        if error.can_heal:
            raise
        check_unreserved(target, owner)
        # That task may have ended between the two.
        return _read_clip(target, check_manifest, sha256)


def _read_clip(
    target: Any, check_manifest: Callable[[str, Mapping[str, Any]], None], sha256: str | None
) -> ExistingClip | None:
    from airflow_provider_venice import storage

    size = storage.size_of(target)
    if size is None:
        return None
    place = str(target)
    found = read_manifest(target)
    if found is None:
        raise _refusal(f"{place!r} exists already, and has no manifest that says of which request it is; {_FIX}")
    path, manifest = found
    if manifest is None:
        raise _refusal(f"{place!r} exists already, and {path!r} is no manifest of a clip; {_FIX}")
    if manifest["status"] != "stored":
        raise _refusal(f"{place!r} exists already, and its manifest {path!r} is that of a job that has failed; {_FIX}")
    check_manifest(path, manifest)
    is_known = sha256 is not None and (size, sha256) == (manifest.get("size"), manifest.get("sha256"))
    # An object storage may keep the digest with the clip, so that a table is not read as a whole each night.
    stored = storage.existing_video(target, sha256 if is_known else storage.kept_digest(target))
    if stored is None:
        return None
    if (stored.size, stored.sha256) != (manifest.get("size"), manifest.get("sha256")):
        raise _refusal(
            f"{place!r} is not the clip that its manifest {path!r} describes: it has {stored.size} bytes and the "
            f"SHA-256 {stored.sha256}, the manifest {manifest.get('size')} and {manifest.get('sha256')}; {_FIX}"
        )
    return ExistingClip(stored, manifest)


def _of_request(
    request: VideoRequest, fallback_models: Sequence[str], hook: VeniceHook
) -> Callable[[str, Mapping[str, Any]], None]:
    """
    Return what refuses the manifest of another request than this one, with all that differs.

    :param request: the request.
    :param fallback_models: the models that may follow its own: the clip that one of them has made in its place, for a
        task that has asked for the same model first, is of this request too.
    :param hook: reads the media.
    """

    def check(path: str, manifest: Mapping[str, Any]) -> None:
        media, wanted = hook.media_digests(request), request
        if manifest.get("requested_model") == request.model and manifest["model"] in fallback_models:
            wanted = dataclasses.replace(request, model=manifest["model"])
        if _is_of(wanted, media, manifest):
            return
        differences = describe_differences(manifest.get("request"), request.describe(), manifest.get("media"), media)
        if differences:
            raise _refusal(
                f"the clip that is there is of another request, as its manifest {path!r} says: {differences}; {_FIX}"
            )
        raise _refusal(
            f"the manifest {path!r} does not say enough to be certain that the clip that is there is of this request; "
            f"{_FIX}"
        )

    return check


def of_job(job: VideoJob) -> Callable[[str, Mapping[str, Any]], None]:
    """Return what refuses the manifest of another job than this one."""

    def check(path: str, manifest: Mapping[str, Any]) -> None:
        if (manifest["model"], manifest["queue_id"]) != (job.model, job.queue_id):
            raise _refusal(
                f"the clip that is there is that of video job {manifest['queue_id']} ({manifest['model']}), as its "
                f"manifest {path!r} says; {_FIX}"
            )

    return check


def _is_of(request: VideoRequest, media: Mapping[str, str], manifest: Mapping[str, Any]) -> bool:
    """Whether it is certain that a manifest is of a request."""
    known = manifest.get("fingerprint")
    if isinstance(known, str) and isinstance(manifest.get("media"), Mapping):
        return same_request(known, request) is True and dict(manifest["media"]) == dict(media)
    # Of an earlier release, or of a download.
    shown = manifest.get("request")
    if not isinstance(shown, Mapping) or not shown or set(shown) - _SHOWN_WHOLE:
        return False
    try:
        return fingerprint(VideoRequest.of(shown)) == fingerprint(request)
    except VeniceRequestError:
        return False


def _refusal(message: str) -> VeniceRequestError:
    return VeniceRequestError(message, fields={"output_path": "exists"})
