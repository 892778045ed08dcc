"""One request on its way: who asks for what, and the order in which the vendor looks at it."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

from aiohttp import web

from airflow_provider_venice.simulator import replies
from airflow_provider_venice.simulator.catalog import RECOMMENDED_MODEL
from airflow_provider_venice.simulator.faults import HTML, Fault, take_first
from airflow_provider_venice.simulator.jobs import Job
from airflow_provider_venice.simulator.journal import JournalEntry
from airflow_provider_venice.simulator.limits import BLOCK, MAX_FAILURES
from airflow_provider_venice.simulator.replies import Reply
from airflow_provider_venice.simulator.vendor import Vendor

#: Endpoints that answer without a key.
_OPEN = ("quote", "models", "traits", "usage")

#: Those of them for which the vendor's OpenAPI document has no 401: a wrong key is ignored.
_KEY_IGNORED = ("quote", "models", "usage")

#: Endpoints that know no key and no limits: the secret is in the URL.
LINKS = ("download", "revoke")


class Exchange:
    """
    One request, its journal entry and the vendor that it meets.

    :param body: the request's JSON, ``{}`` for a request without one.
    :param job: the job that it is about, when there is one.
    """

    def __init__(self, vendor: Vendor, endpoint: str, request: web.Request) -> None:
        self.vendor = vendor
        self.endpoint = endpoint
        self.request = request
        self.body: dict[str, Any] = {}
        self.job: Job | None = None
        self.key = request.headers.get("Authorization", "").removeprefix("Bearer ").strip() or None
        self.entry = JournalEntry(time=time.time(), endpoint=endpoint, method=request.method)
        if self.key is not None:
            self.entry.key = hashlib.sha256(self.key.encode()).hexdigest()[:8]
        vendor.journal.add(self.entry)

    @property
    def key_is_known(self) -> bool:
        """Whether the request comes with a key of the account."""
        return any(_same(self.key, known) for known in (self.vendor.settings.api_key, self.vendor.settings.admin_key))

    def lacks_admin_key(self, *, everywhere: bool = False) -> bool:
        """
        Whether the endpoint needs an ADMIN key, and the request has none.

        :param everywhere: whether only the later edition asks for that key here.
        """
        if everywhere and not self.vendor.settings.october:
            return False
        return not _same(self.key, self.vendor.settings.admin_key)

    @property
    def left_for_key(self) -> Decimal:
        """US dollars that the request's key may spend: the balance, or what is left of its limit if that is less."""
        limit = self.vendor.settings.key_limit
        if limit is None or not _same(self.key, self.vendor.settings.api_key):
            return self.vendor.balance
        spent = -sum(charge.amount for charge in self.vendor.ledger.charges if charge.key == self.entry.key)
        return min(self.vendor.balance, limit - spent)

    def refuse_price(self, price: Decimal) -> Reply | None:
        """Return the refusal of what the account, or the key, cannot pay."""
        if price > self.vendor.balance:
            return replies.insufficient_balance()
        return replies.key_limit_reached() if price > self.left_for_key else None

    def about(self) -> str:
        """Return the text in which a fault's ``match`` is looked for."""
        text = json.dumps(self.body, ensure_ascii=False) if self.body else ""
        return f"{text} {self.job.about()}" if self.job else text

    @property
    def on_media(self) -> bool:
        """Whether the answer is about finished media that this endpoint delivers."""
        job = self.job
        if job is None or not job.due or job.gone or job.fate == "refused":
            return False
        return self.endpoint == "download" or (self.endpoint == "retrieve" and not job.model.private)

    async def read(self) -> Reply | None:
        """Read the body and find the job; return the refusal of a body that cannot be read."""
        token = self.request.match_info.get("token")
        if token is not None:
            self.job = self.vendor.by_token(token)
        if self.request.method == "POST":
            try:
                body = json.loads(await self.request.read())
            except web.HTTPRequestEntityTooLarge:
                return replies.too_large()
            except ValueError:
                return replies.not_json("Invalid JSON request")
            if not isinstance(body, dict):
                return replies.not_json("Expected object")
            self.body = body
            model, queue_id = body.get("model"), body.get("queue_id")
            if isinstance(queue_id, str) and isinstance(model, str):
                self.job = self.vendor.find(queue_id, model)
            self.entry.model = model if isinstance(model, str) else None
            self.entry.queue_id = queue_id if isinstance(queue_id, str) else None
        if self.job is not None:
            self.entry.model, self.entry.queue_id = self.job.model.id, self.job.queue_id
        return None


def _same(key: str | None, known: str) -> bool:
    return hmac.compare_digest((key or "").encode(), known.encode())


Handler = Callable[[Exchange], Awaitable[Reply]]


async def decide(x: Exchange, handler: Handler) -> tuple[Reply, Fault | None]:
    """Return the answer to a request, and the fault that spoils its delivery."""
    headers: dict[str, str] = {}
    refusal = None
    if x.endpoint not in LINKS:
        refusal, headers = _admit(x)
    # A refused request is read as well: the log of refusals names its model.
    unreadable = await x.read()
    refusal = refusal or unreadable
    fault = None
    if x.entry.refused:
        x.vendor.note_refusal(x.entry)
    if refusal is None:
        fault = _take_fault(x)
        reply = await _answer(x, handler, fault)
    else:
        reply = refusal
    if fault is not None:
        x.entry.fault = ", ".join(fault.effects)
    reply.headers = {**headers, **reply.headers}
    if not x.entry.refused and x.endpoint not in LINKS:
        x.vendor.limiter.note(x.key or "", reply.status)
    return reply, fault


def _admit(x: Exchange) -> tuple[Reply | None, dict[str, str]]:
    """Look at the limits and the key."""
    verdict = x.vendor.limiter.admit(x.key or "", x.endpoint)
    if not verdict.allowed:
        x.entry.refused, x.entry.blocked = True, verdict.blocked
        most = MAX_FAILURES[x.vendor.settings.edition]
        reply = replies.blocked(most, BLOCK) if verdict.blocked else replies.rate_limited()
        return reply, verdict.headers
    known = x.key_is_known
    if not known and x.endpoint not in (_OPEN if x.key is None else _KEY_IGNORED):
        return replies.unauthorized(), verdict.headers
    headers = dict(verdict.headers)
    if known:
        headers["x-venice-balance-usd"] = f"{x.vendor.balance:.2f}"
        headers["x-venice-balance-diem"] = "0"
    return None, headers


def _take_fault(x: Exchange) -> Fault | None:
    """The job's own faults wait until it is done, so that a tagged prompt fails where a real job would."""
    fault = None
    if x.endpoint == "queue":
        fault = x.vendor.faults.take_tagged(str(x.body.get("prompt") or ""))
    elif x.job is not None and x.job.due:
        fault = take_first(x.job.faults, x.endpoint, str, media=x.on_media)
    return fault or x.vendor.faults.take(x.endpoint, x.about, media=x.on_media)


async def _answer(x: Exchange, handler: Handler, fault: Fault | None) -> Reply:
    if fault is None:
        return await handler(x)
    if fault.drop_before:
        return Reply()
    if fault.consent and not x.body.get("consents"):
        return replies.needs_consent(["image"])
    if fault.policy and (x.endpoint != "retrieve" or x.job is not None):
        return policy_refusal(x)
    if fault.expire and x.job is not None:
        x.job.fate = "expired"
    if fault.replaces and not fault.act:
        return _replacement(fault)
    reply = await handler(x)
    if fault.replaces:
        reply = _replacement(fault)
    return reply


def _replacement(fault: Fault) -> Reply:
    status = fault.status or 200
    if fault.html:
        reply = Reply(status, content=HTML, content_type="text/html")
    elif isinstance(fault.body, str):
        reply = Reply(status, content=fault.body.encode(), content_type="text/plain")
    else:
        reply = Reply(status, json=fault.body or {"error": f"Simulated failure {status}"})
    reply.headers = dict(fault.headers or {})
    return reply


def policy_refusal(x: Exchange) -> Reply:
    """The content policy's answer: free at submission, refunded at retrieval."""
    if x.endpoint != "retrieve" or x.job is None:
        return replies.prompt_refused(str(x.body.get("prompt") or ""))
    x.vendor.refuse(x.job, x.entry)
    return replies.provider_refused(RECOMMENDED_MODEL if x.job.model.id != RECOMMENDED_MODEL else None)
