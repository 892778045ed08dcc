"""Control over HTTP, for other processes and languages: faults, journal, jobs, settings. No key, no limits."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

from aiohttp import web

from airflow_provider_venice.simulator.faults import Fault
from airflow_provider_venice.simulator.vendor import Vendor

#: What may be changed while the simulator runs.
_SETTINGS = ("job_seconds", "balance", "limits", "usage_delay")


class Control:
    """
    The ``/simulator`` endpoints.

    :param vendor: whom they control.
    """

    def __init__(self, vendor: Vendor) -> None:
        self._vendor = vendor

    def add_routes(self, app: web.Application) -> None:
        """Add the endpoints to the server."""
        for method, path, handler in (
            ("POST", "faults", self._add_fault),
            ("DELETE", "faults", self._clear_faults),
            ("GET", "journal", self._journal),
            ("GET", "jobs", self._jobs),
            ("POST", "finish", self._finish),
            ("POST", "charges", self._charge),
            ("POST", "reset", self._reset),
            ("POST", "settings", self._settings),
        ):
            app.router.add_route(method, f"/simulator/{path}", _told(handler))

    async def _add_fault(self, body: dict[str, Any]) -> Any:
        fault = Fault(**body)
        self._vendor.faults.add(fault)
        return fault.to_dict()

    async def _clear_faults(self, _: dict[str, Any]) -> Any:
        self._vendor.faults.clear()
        return {"success": True}

    async def _journal(self, _: dict[str, Any]) -> Any:
        journal = self._vendor.journal
        return {"summary": journal.summary(), "entries": [entry.to_dict() for entry in journal]}

    async def _jobs(self, _: dict[str, Any]) -> Any:
        return {"jobs": [job.to_dict() for job in self._vendor.jobs.values()]}

    async def _finish(self, body: dict[str, Any]) -> Any:
        return {"finished": self._vendor.finish(body.get("queue_id"))}

    async def _charge(self, body: dict[str, Any]) -> Any:
        unknown = sorted(set(body) - {"sku", "amount"})
        if unknown or not isinstance(body.get("sku"), str):
            raise ValueError("give the sku and the amount in US dollars of what another program has bought")
        self._vendor.charge(body["sku"], Decimal(str(body.get("amount"))))
        return {"balance": str(self._vendor.balance)}

    async def _reset(self, _: dict[str, Any]) -> Any:
        self._vendor.reset()
        return {"success": True}

    async def _settings(self, body: dict[str, Any]) -> Any:
        unknown = sorted(set(body) - set(_SETTINGS))
        if unknown:
            raise ValueError(f"unknown setting(s) {', '.join(unknown)}; known are {', '.join(_SETTINGS)}")
        if "job_seconds" in body:
            seconds = body["job_seconds"]
            self._vendor.settings.job_seconds = None if seconds is None else float(seconds)
        if "balance" in body:
            self._vendor.balance = Decimal(str(body["balance"]))
        if "limits" in body:
            self._vendor.settings.limits = bool(body["limits"])
        settings = self._vendor.settings
        if "usage_delay" in body:
            settings.usage_delay = float(body["usage_delay"])
        return {
            "job_seconds": settings.job_seconds,
            "balance": str(self._vendor.balance),
            "limits": settings.limits,
            "usage_delay": settings.usage_delay,
        }


def _told(
    handler: Callable[[dict[str, Any]], Awaitable[Any]],
) -> Callable[[web.Request], Awaitable[web.Response]]:
    """Give ``handler`` the request's JSON; what it cannot use is answered with 400 and the reason."""

    async def handle(request: web.Request) -> web.Response:
        try:
            text = await request.text()
            body = json.loads(text) if text.strip() else {}
            if not isinstance(body, dict):
                raise ValueError("the body has to be a JSON object")
            return web.json_response(await handler(body))
        except (ArithmeticError, TypeError, ValueError) as error:
            return web.json_response({"error": str(error)}, status=400)

    return handle
