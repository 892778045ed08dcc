"""Sends an answer: JSON, or a stream of media of which it knows how much got through."""

from __future__ import annotations

import asyncio
import json

from aiohttp import web

from airflow_provider_venice.simulator.exchange import Exchange
from airflow_provider_venice.simulator.faults import HTML, Fault
from airflow_provider_venice.simulator.replies import Reply

#: A reader that leaves after the head, or in the middle, is noticed when its close has had so many seconds to
#: arrive; without the pause a small clip lies in the kernel's buffers whole before anyone has looked at it.
_PAUSE = 0.05

#: Bytes kept back until the second pause.
_LAST = 1024


async def deliver(x: Exchange, reply: Reply, fault: Fault | None) -> web.StreamResponse:
    """Send ``reply`` the way ``fault`` wants it, and write down what got through."""
    entry = x.entry
    try:
        if fault is not None and fault.hang is not None:
            await asyncio.sleep(fault.hang)
        if fault is not None and (fault.drop_before or fault.drop_after):
            entry.reply_lost = fault.drop_after
            _drop(x.request)
            return web.Response()
        if _has_left(x.request):
            entry.reply_lost = True
            return web.Response()
        entry.status = reply.status
        if reply.clip is not None and fault is not None and fault.stub:
            return web.Response(body=HTML, content_type="video/mp4", headers=reply.headers)
        if reply.clip is not None:
            return await _stream(x, reply, fault)
        return _whole(reply, cut=fault is not None and fault.bad_json)
    finally:
        if reply.job is not None and entry.deleted is not None:
            x.vendor.note_unread(reply.job)
        x.vendor.journal.close(entry)


def _whole(reply: Reply, *, cut: bool) -> web.Response:
    if reply.content is not None:
        return web.Response(
            status=reply.status, body=reply.content, content_type=reply.content_type, headers=reply.headers
        )
    body = json.dumps(reply.json).encode()
    if cut:
        body = body[: max(1, len(body) // 2)]
    return web.Response(
        status=reply.status, body=body, content_type="application/json", charset="utf-8", headers=reply.headers
    )


async def _stream(x: Exchange, reply: Reply, fault: Fault | None) -> web.StreamResponse:
    assert reply.clip is not None
    start, stop = reply.start, reply.stop
    response = web.StreamResponse(status=reply.status, headers=reply.headers)
    response.content_type = "video/mp4"
    if fault is not None and fault.truncate is not None:
        stop = min(stop, start + fault.truncate)
    if fault is None or fault.length:
        response.content_length = reply.stop - start
    x.entry.size = reply.stop - start
    try:
        await response.prepare(x.request)
        await _write(x, response, reply, start, stop)
        if stop < reply.stop and response.content_length is not None:
            _drop(x.request)
            return response
        await response.write_eof()
    except ConnectionError:
        x.entry.reply_lost = True
    return response


async def _write(x: Exchange, response: web.StreamResponse, reply: Reply, start: int, stop: int) -> None:
    """
    Write the bytes from ``start`` up to ``stop``.

    They are counted before they leave: who has read the last one finds them in the journal.
    """
    assert reply.clip is not None
    assert reply.job is not None
    position = start
    last = max(start, stop - _LAST)
    for low, high in ((start, last), (last, stop)):
        await asyncio.sleep(_PAUSE)
        for piece in reply.clip.chunks(low, high):
            if _has_left(x.request):
                raise ConnectionResetError("the reader has left")
            reply.job.received.add(position, position + len(piece))
            position += len(piece)
            x.entry.bytes_delivered += len(piece)
            try:
                await response.write(piece)
            except ConnectionError:
                x.entry.bytes_delivered -= len(piece)
                raise


def _has_left(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()


def _drop(request: web.Request) -> None:
    """Close the connection: the server finds it gone when it wants to send the answer."""
    if request.transport is not None:
        request.transport.close()
