"""The endpoints about the models and the key."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from airflow_provider_venice.simulator import replies, schema
from airflow_provider_venice.simulator.catalog import IMAGE_MODEL, MODELS, image_payload
from airflow_provider_venice.simulator.exchange import Exchange
from airflow_provider_venice.simulator.limits import OTHER_REQUESTS_PER_MINUTE, REQUESTS_PER_MINUTE
from airflow_provider_venice.simulator.replies import Reply


async def models(x: Exchange) -> Reply:
    """List the models of one type; text, of which there are none here, where no type is named."""
    query = dict(x.request.query)
    issues = schema.check_query("/models", query)
    if issues:
        return replies.invalid(issues)
    kind = query.get("type", "text")
    listed = [model for model in MODELS.values() if model.listed]
    data = [model.payload() for model in listed] if kind in ("video", "all") else []
    if kind in ("image", "all"):
        data.append(image_payload())
    return Reply(json={"object": "list", "type": kind, "data": data})


async def traits(x: Exchange) -> Reply:
    """Tell which model has which trait; no video model has one."""
    query = dict(x.request.query)
    issues = schema.check_query("/models/traits", query)
    if issues:
        return replies.invalid(issues)
    kind = query.get("type", "text")
    data = {"default": IMAGE_MODEL} if kind == "image" else {}
    return Reply(json={"object": "list", "type": kind, "data": data})


async def rate_limits(x: Exchange) -> Reply:
    """Tell the key's tier, balances and limits."""
    tomorrow = datetime.now(timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    amount = REQUESTS_PER_MINUTE["queue"]
    limits = [{"apiModelId": model, "rateLimits": [{"amount": amount, "type": "RPM"}]} for model in MODELS]
    limits.append({"apiModelId": IMAGE_MODEL, "rateLimits": [{"amount": OTHER_REQUESTS_PER_MINUTE, "type": "RPM"}]})
    data = {
        "accessPermitted": x.left_for_key > 0,
        "apiTier": {"id": "paid", "isCharged": True},
        "balances": {"USD": max(0.0, float(x.left_for_key)), "DIEM": 0},
        "keyExpiration": None,
        "nextEpochBegins": tomorrow.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        "rateLimits": limits,
    }
    return Reply(json={"data": data})


async def rate_limits_log(x: Exchange) -> Reply:
    """List the last refusals of the account by a rate limit or the block."""
    if x.lacks_admin_key(everywhere=True):
        return replies.admin_only()
    return Reply(json={"object": "list", "data": list(x.vendor.refusals)})
