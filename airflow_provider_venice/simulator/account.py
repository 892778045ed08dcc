"""The endpoints about the account and the models, and the image that starts an image-to-video clip."""

from __future__ import annotations

import base64
import time
import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

from airflow_provider_venice.simulator import media, replies
from airflow_provider_venice.simulator.catalog import IMAGE_MODEL, IMAGE_PRICE, MODELS, image_payload
from airflow_provider_venice.simulator.exchange import Exchange
from airflow_provider_venice.simulator.limits import OTHER_REQUESTS_PER_MINUTE, REQUESTS_PER_MINUTE
from airflow_provider_venice.simulator.replies import Reply
from airflow_provider_venice.simulator.validation import Problems

_TYPES = ("asr", "embedding", "image", "music", "text", "tts", "upscale", "inpaint", "video", "all", "code")
_IMAGE_FORMATS = ("webp", "png", "jpeg")
_IMAGE_FIELDS = frozenset(
    {"model", "prompt", "negative_prompt", "width", "height", "format", "return_binary", "variants", "seed", "steps"}
    | {"cfg_scale", "style_preset", "style_references", "safe_mode", "hide_watermark", "embed_exif_metadata"}
    | {"lora_strength", "aspect_ratio", "resolution", "quality", "enable_web_search", "enhance_prompt", "inpaint"}
    | {"disable_prompt_optimization_thinking"}
)


async def models(x: Exchange) -> Reply:
    """List the models of one type; text, of which there are none here, where no type is named."""
    kind = x.request.query.get("type", "text")
    if kind not in _TYPES:
        return replies.invalid({"type": [f"Invalid value. Allowed: {', '.join(_TYPES)}"]})
    data = [model.payload() for model in MODELS.values()] if kind in ("video", "all") else []
    if kind in ("image", "all"):
        data.append(image_payload())
    return Reply(json={"object": "list", "type": kind, "data": data})


async def rate_limits(x: Exchange) -> Reply:
    """Tell the key's tier, balances and limits."""
    tomorrow = datetime.now(timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    amount = REQUESTS_PER_MINUTE["queue"]
    limits = [{"apiModelId": model, "rateLimits": [{"amount": amount, "type": "RPM"}]} for model in MODELS]
    limits.append({"apiModelId": IMAGE_MODEL, "rateLimits": [{"amount": OTHER_REQUESTS_PER_MINUTE, "type": "RPM"}]})
    data = {
        "accessPermitted": True,
        "apiTier": {"id": "paid", "isCharged": True},
        "balances": {"USD": float(x.vendor.balance), "DIEM": 0},
        "keyExpiration": None,
        "nextEpochBegins": tomorrow.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        "rateLimits": limits,
    }
    return Reply(json={"data": data})


async def balance(x: Exchange) -> Reply:
    """Tell what is left on the account."""
    left = x.vendor.balance
    return Reply(
        json={
            "canConsume": left > 0,
            "consumptionCurrency": "USD",
            "balances": {"diem": None, "usd": float(left)},
            "diemEpochAllocation": 0,
        }
    )


async def image(x: Exchange) -> Reply:
    """Draw images; as base64 in JSON, or one as it is."""
    body = x.body
    problems = _check_image(body)
    if problems:
        return replies.invalid(problems)
    count, kind = body.get("variants", 1), body.get("format", "webp")
    if not x.vendor.earn(IMAGE_PRICE * count, x.entry):
        return replies.insufficient_balance()
    started = time.monotonic()
    size = body.get("width", 1024), body.get("height", 1024)
    prompt = body["prompt"]
    texts = [prompt if number == 0 else f"{prompt}\n({number + 1})" for number in range(count)]
    images = [await x.vendor.studio.run(media.image_bytes, text, *size, kind) for text in texts]
    if body.get("return_binary"):
        return Reply(content=images[0], content_type=f"image/{kind}")
    spent = round(1000 * (time.monotonic() - started))
    return Reply(
        json={
            "id": f"generate-image-{uuid.uuid4().hex[:12]}",
            "images": [base64.b64encode(data).decode() for data in images],
            "request": body,
            "timing": {
                "inferenceDuration": spent,
                "inferencePreprocessingTime": 0,
                "inferenceQueueTime": 0,
                "total": spent,
            },
        }
    )


def _check_image(body: Mapping[str, Any]) -> Problems:
    problems: Problems = {name: ["Unrecognized key"] for name in body if name not in _IMAGE_FIELDS}
    for name in ("model", "prompt"):
        if not isinstance(body.get(name), str) or not body[name]:
            problems[name] = ["Field is required"]
    if "model" not in problems and body["model"] != IMAGE_MODEL:
        problems["model"] = [f"Specified model not found: {body['model']}"]
    if "prompt" not in problems and len(body["prompt"]) > 7500:
        problems["prompt"] = ["String must contain at most 7500 character(s)"]
    for name, most in (("width", 1280), ("height", 1280), ("variants", 4)):
        value = body.get(name, 1)
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
            problems[name] = [f"Expected an integer from 1 to {most}"]
    if body.get("format", "webp") not in _IMAGE_FORMATS:
        problems["format"] = [f"Invalid value. Allowed: {', '.join(_IMAGE_FORMATS)}"]
    if not isinstance(body.get("return_binary", False), bool):
        problems["return_binary"] = ["Expected boolean"]
    elif body.get("return_binary") and body.get("variants", 1) != 1:
        problems["variants"] = ["Only supported when return_binary is false"]
    return problems
