"""The web application: which path is which endpoint."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from airflow_provider_venice.simulator import account, billing, images, replies, video
from airflow_provider_venice.simulator.control import Control
from airflow_provider_venice.simulator.delivery import deliver
from airflow_provider_venice.simulator.exchange import Exchange, Handler, decide
from airflow_provider_venice.simulator.vendor import Vendor

#: Path below which the API lives.
API = "/api/v1"

#: Largest request body, in bytes (https://docs.venice.ai/api-reference/endpoint/video/queue).
MAX_BODY = 35 * 1024 * 1024

_ROUTES: tuple[tuple[str, str, str, Handler], ...] = (
    ("POST", f"{API}/video/quote", "quote", video.quote),
    ("POST", f"{API}/video/queue", "queue", video.queue),
    ("POST", f"{API}/video/retrieve", "retrieve", video.retrieve),
    ("POST", f"{API}/video/complete", "complete", video.complete),
    ("GET", "/v1/share/read/{token}", "download", video.download),
    ("DELETE", "/v1/share/read/{token}", "revoke", video.revoke),
    ("GET", f"{API}/models", "models", account.models),
    ("GET", f"{API}/models/traits", "traits", account.traits),
    ("GET", f"{API}/api_keys/rate_limits", "rate_limits", account.rate_limits),
    ("GET", f"{API}/api_keys/rate_limits/log", "rate_limits_log", account.rate_limits_log),
    ("GET", f"{API}/billing/balance", "balance", billing.balance),
    ("GET", f"{API}/billing/usage", "usage", billing.usage),
    ("GET", f"{API}/billing/usage-history", "usage_history", billing.usage_history),
    ("GET", f"{API}/billing/usage-analytics", "usage_analytics", billing.usage_analytics),
    ("POST", f"{API}/image/generate", "image", images.generate),
    ("POST", f"{API}/images/generations", "images", images.generations),
)


def make_app(vendor: Vendor) -> web.Application:
    """Return the application that speaks for ``vendor``."""
    app = web.Application(client_max_size=MAX_BODY)
    for method, path, endpoint, handler in _ROUTES:
        app.router.add_route(method, path, _endpoint(vendor, endpoint, handler))
    Control(vendor).add_routes(app)
    app.router.add_route("*", "/{path:.*}", _unknown)

    async def draw_no_more(_: web.Application) -> None:
        vendor.studio.close()

    app.on_shutdown.append(draw_no_more)
    return app


async def _unknown(request: web.Request) -> web.Response:
    """Answer what is no endpoint with JSON, as the vendor answers everything."""
    reply = replies.path_unknown(request.method, request.path)
    return web.json_response(reply.json, status=reply.status)


def _endpoint(
    vendor: Vendor, endpoint: str, handler: Handler
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        x = Exchange(vendor, endpoint, request)
        reply, fault = await decide(x, handler)
        return await deliver(x, reply, fault)

    return handle
