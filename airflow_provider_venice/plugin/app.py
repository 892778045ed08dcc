"""
The application behind the pages, mounted at ``/venice`` of Airflow's API server.

Airflow mounts it without any authentication: every route here asks for a login, and what is of a DAG for the right to
read it. All are GET, as Airflow's cookie has no other protection against requests of another site.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from datetime import date
from pathlib import Path
from typing import Annotated, Any

from airflow.api_fastapi.core_api.security import get_user
from airflow.utils.session import create_session
from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.responses import FileResponse, RedirectResponse, StreamingResponse

from airflow_provider_venice.plugin.access import may_read_clips, readable_dags
from airflow_provider_venice.plugin.cards import card
from airflow_provider_venice.plugin.clips import Clip, find_clips, task_of, usual_times
from airflow_provider_venice.plugin.files import ClipUnavailable, ServedFile, open_clip, presigned_url
from airflow_provider_venice.plugin.ranges import RangeNotSatisfiable, Span, requested_span
from airflow_provider_venice.plugin.records import Scope, TaskRecords
from airflow_provider_venice.plugin.selection import Selection, sums
from airflow_provider_venice.xcoms import TaskKey

_PAGES = Path(__file__).parent / "pages"

#: What a page may load: nothing but what comes from here, and clips from an object storage.
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "media-src 'self' http: https:",
        "connect-src 'self'",
        "frame-ancestors 'self'",
        "base-uri 'none'",
        "form-action 'none'",
    )
)

_TYPES = {".css": "text/css", ".html": "text/html", ".js": "text/javascript", ".svg": "image/svg+xml"}

#: Most DAG runs that the page offers as a choice, and most clips that it asks for at once.
_MOST_RUNS, _MOST_AT_ONCE = 200, 200

_records = TaskRecords()

#: Seconds that a clip of each model usually takes, as far as the clips that were read show it.
_usual_times: dict[str, float] = {}

User = Annotated[Any, Depends(get_user)]

# Each route depends on the login by itself as well, to know the user: this holds for routes that forget it.
app = FastAPI(dependencies=[Depends(get_user)], docs_url=None, redoc_url=None, openapi_url=None)


@app.middleware("http")
async def add_headers(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    """Send what limits the page, and keeps what a user may see out of shared caches."""
    response = await call_next(request)
    response.headers["Content-Security-Policy"] = _POLICY
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers.setdefault("Cache-Control", "private, no-store")
    return response


@app.get("/clips")
def gallery() -> Response:
    """Return the page of all clips."""
    return _page("gallery.html")


@app.get("/run")
def contact_sheet() -> Response:
    """Return the page of the clips of a DAG run."""
    return _page("run.html")


@app.get("/clip")
def single() -> Response:
    """Return the page of a task instance."""
    return _page("clip.html")


@app.get("/assets/{name}")
def asset(name: str) -> Response:
    """Return a style sheet or a script of the pages."""
    if name not in {path.name for path in (_PAGES / "assets").iterdir()}:
        raise HTTPException(404, "There is no such file")
    return _page(f"assets/{name}")


@app.get("/api/clips")
def clips(
    request: Request,
    user: User,
    dag_id: str | None = None,
    run_id: str | None = None,
    task_id: str | None = None,
    map_index: int = -1,
    state: Annotated[list[str] | None, Query()] = None,
    model: Annotated[list[str] | None, Query()] = None,
    after: date | None = None,
    before: date | None = None,
    search: str = "",
    limit: Annotated[int, Query(ge=1, le=_MOST_AT_ONCE)] = 60,
    offset: Annotated[int, Query(ge=0)] = 0,
) -> dict[str, Any]:
    """Return a part of the clips that are asked for, newest first, the sums of all of them, and what may be chosen."""
    selection = Selection(
        dag_id, run_id, task_id, map_index, frozenset(state or ()), frozenset(model or ()), after, before, search
    )
    with create_session() as session:
        dags = readable_dags(request, user, _records.dag_ids(session))
        chosen = [dag_id] if dag_id in dags else [] if dag_id is not None else dags
        scope = Scope(chosen, None if run_id is None else [run_id], selection.since)
        records, is_complete = _records.read(session, scope)
        runs = _records.run_ids(session, dag_id, _MOST_RUNS) if dag_id in chosen else []
    found = find_clips(records)
    asked, states = selection.apply(found)
    return {
        "clips": _cards(asked[offset : offset + limit], found),
        "total": len(asked),
        "is_complete": is_complete,
        "sums": sums(asked),
        "options": {
            "dags": dags,
            "runs": runs,
            "models": sorted({clip.model for clip in found if clip.model}),
            "states": states,
        },
        "now": time.time(),
    }


@app.get("/api/updates")
def updates(request: Request, user: User, id: Annotated[list[str], Query(max_length=_MOST_AT_ONCE)]) -> dict[str, Any]:
    """Return some clips anew, as far as they are still there."""
    keys = [key for one in id if (key := task_of(one)) is not None]
    dags = readable_dags(request, user, {key.dag_id for key in keys})
    runs = sorted({key.run_id for key in keys if key.dag_id in dags})
    with create_session() as session:
        records, _ = _records.read(session, Scope(dags, runs))
    found, asked = find_clips(records), frozenset(id)
    return {"clips": _cards([clip for clip in found if clip.id in asked], found), "now": time.time()}


@app.get("/stream")
def stream(
    request: Request,
    user: User,
    dag_id: str,
    run_id: str,
    task_id: str,
    map_index: int = -1,
    position: Annotated[int, Query(ge=0)] = 0,
    download: bool = False,
) -> Response:
    """Send the clip that a task has stored, or a part of it, or where an object storage has it."""
    if not may_read_clips(request, user, dag_id):
        raise HTTPException(403, "You may not read the clips of this DAG")
    with create_session() as session:
        entry = _records.entry(session, TaskKey(dag_id, run_id, task_id, map_index), position)
    if entry is None or entry.get("status") != "stored":
        raise HTTPException(404, "This task has stored no such clip")
    try:
        served = open_clip(entry)
        url = presigned_url(entry, as_attachment=download)
    except ClipUnavailable as error:
        raise HTTPException(404, str(error)) from error
    if url is not None:
        served.file.close()
        return RedirectResponse(url, 302)
    return _send(request, served, as_attachment=download)


def _send(request: Request, served: ServedFile, *, as_attachment: bool) -> Response:
    """Answer with a file, or with the part of it that is asked for."""
    tag = f'"{served.sha256}"'
    headers = {
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",
        "ETag": tag,
        "Content-Disposition": f'{"attachment" if as_attachment else "inline"}; filename="{served.name}"',
    }
    if tag in request.headers.get("if-none-match", ""):
        served.file.close()
        return Response(status_code=304, headers=headers)
    wanted = request.headers.get("range") if request.headers.get("if-range", tag) == tag else None
    try:
        part = requested_span(wanted, served.size)
    except RangeNotSatisfiable as error:
        served.file.close()
        return Response(status_code=416, headers={**headers, "Content-Range": str(error)})
    span = part or Span(0, served.size)
    headers["Content-Length"] = str(span.stop - span.start)
    if part is not None:
        headers["Content-Range"] = f"bytes {span.start}-{span.stop - 1}/{served.size}"
    return StreamingResponse(
        served.chunks(*span), 200 if part is None else 206, headers=headers, media_type="video/mp4"
    )


def _cards(asked: list[Clip], found: list[Clip]) -> list[dict[str, Any]]:
    _usual_times.update(usual_times(found))
    return [card(clip, _usual_times) for clip in asked]


def _page(name: str) -> Response:
    path = _PAGES / name
    # Asked for anew each time, which costs a 304: an upgrade of the package may have another.
    return FileResponse(path, media_type=_TYPES[path.suffix], headers={"Cache-Control": "private, no-cache"})
