"""The endpoints of a clip's life: quote, queue, retrieve, complete, and the private link."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from airflow_provider_venice.simulator import replies, schema
from airflow_provider_venice.simulator.catalog import MODELS, Model
from airflow_provider_venice.simulator.exchange import Exchange, policy_refusal
from airflow_provider_venice.simulator.issues import Issue, missing, not_among
from airflow_provider_venice.simulator.jobs import LINK_FETCHES, Job
from airflow_provider_venice.simulator.replies import Reply
from airflow_provider_venice.simulator.validation import canonical, check_queue, check_quote, face_roles

_RANGE = re.compile(r"bytes=(\d*)-(\d*)$")


async def quote(x: Exchange) -> Reply:
    """Price a clip; free."""
    body = canonical(x.body)
    model = _model(body)
    if isinstance(model, Reply):
        return model
    october = x.vendor.settings.october
    if october and model.kind == "upscale" and not x.key_is_known:
        return replies.error(403, "Unauthorized access")
    issues = check_quote(model, body)
    if october and model.measures_source and not body.get("video_url"):
        issues.append(missing("video_url"))
    if issues:
        return replies.invalid(issues)
    return Reply(json={"quote": float(model.price(body))}, headers=model.headers())


async def queue(x: Exchange) -> Reply:
    """Take a job and charge for it."""
    body = canonical(x.body)
    model = _model(body)
    if isinstance(model, Reply):
        return model
    october = x.vendor.settings.october
    issues = check_queue(model, body, needs_aspect_ratio=october)
    if october and model.measures_source and body.get("duration") == "Auto":
        issues.append(not_among("duration", ("seconds of the source",), "Auto"))
    if october and model.kind == "upscale" and "resolution" in body:
        issues.append(Issue(("resolution",), "Use upscale_factor instead of resolution"))
    if issues:
        return replies.invalid(issues)
    if model.offline:
        return replies.model_offline()
    roles = face_roles(model, body)
    if roles:
        return replies.needs_consent(roles)
    refusal = x.refuse_price(model.price(body))
    if refusal is not None:
        return refusal
    job = x.vendor.accept(model, body, x.entry)
    answer = {"model": model.id, "queue_id": job.queue_id}
    if model.private:
        answer["download_url"] = str(x.request.url.origin() / "v1/share/read" / job.token)
    return Reply(json=answer, headers=model.headers())


async def retrieve(x: Exchange) -> Reply:
    """Tell how far a job is; a finished one answers with its clip."""
    issues = schema.check_body("/video/retrieve", x.body)
    if issues:
        return replies.invalid(issues)
    delete = bool(x.body.get("delete_media_on_completion"))
    x.entry.delete_media_on_completion = delete
    job = x.job
    if job is None and x.vendor.settings.october:
        return replies.request_unknown()
    if job is None or job.gone:
        return replies.media_gone()
    if job.fate == "refused":
        return policy_refusal(x)
    headers = job.model.headers()
    if not job.due:
        return Reply(json=job.status(), headers=headers)
    reply = Reply(json=job.status(), headers=headers) if job.model.private else await _clip(job, headers)
    if delete:
        # The vendor deletes whether or not the bytes arrive; after a stream that is settled when it ends.
        job.fate, x.entry.deleted = "deleted", job.queue_id
        if reply.clip is None:
            x.vendor.note_unread(job)
    return reply


async def complete(x: Exchange) -> Reply:
    """Delete a finished job's media; it cancels nothing."""
    issues = schema.check_body("/video/complete", x.body)
    if issues:
        return replies.invalid(issues)
    job = x.job
    if job is None or job.model.private or x.vendor.settings.october:
        return replies.request_unknown()
    if not job.due:
        return Reply(json={"success": False})
    x.vendor.delete(job, x.entry)
    return Reply(json={"success": True}, headers=job.model.headers())


async def download(x: Exchange) -> Reply:
    """Deliver a private clip, whole or in part."""
    job = x.job
    if job is None:
        return replies.error(404, "No such link.")
    if job.gone or job.fate == "refused":
        return replies.link_gone()
    if not job.due:
        return replies.error(404, "The video is not ready yet.")
    job.fetches += 1
    if job.fetches > LINK_FETCHES:
        return replies.error(429, "This link has been fetched too often.")
    reply = await _clip(job, {"Accept-Ranges": "bytes", "ETag": f'"{job.queue_id}"'})
    return _ranged(x, reply)


async def revoke(x: Exchange) -> Reply:
    """Revoke a private link, which deletes its media."""
    if x.job is None:
        return replies.error(404, "No such link.")
    if x.job.gone:
        return replies.link_gone()
    x.vendor.delete(x.job, x.entry)
    return Reply(204, content=b"")


def _model(body: Mapping[str, Any]) -> Model | Reply:
    """Return the model that a body names, or the refusal of a body that names none."""
    name = body.get("model")
    if not isinstance(name, str) or not name:
        return replies.invalid([missing("model")])
    return MODELS.get(name) or replies.model_unknown(name, MODELS)


async def _clip(job: Job, headers: dict[str, str]) -> Reply:
    assert job.media is not None
    clip = await job.media
    return Reply(clip=clip, job=job, stop=clip.size, headers=headers)


def _ranged(x: Exchange, reply: Reply) -> Reply:
    """Narrow a reply to the one range that was asked for; ``If-Range`` of another file asks for all."""
    asked = x.request.headers.get("Range")
    if asked is None or x.request.headers.get("If-Range", reply.headers["ETag"]) != reply.headers["ETag"]:
        return reply
    size = reply.stop
    match = _RANGE.match(asked)
    if match is None or not any(match.groups()):
        return reply
    first, last = match.groups()
    start = int(first) if first else max(0, size - int(last))
    stop = min(size, int(last) + 1) if first and last else size
    if start >= stop:
        return Reply(416, content=b"", headers={**reply.headers, "Content-Range": f"bytes */{size}"})
    reply.status, reply.start, reply.stop = 206, start, stop
    reply.headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    return reply
