"""The endpoints that draw images: the vendor's own, and the one in OpenAI's form."""

from __future__ import annotations

import base64
import time
import uuid

from airflow_provider_venice.simulator import media, replies, schema
from airflow_provider_venice.simulator.catalog import IMAGE_MODEL, IMAGE_PRICE
from airflow_provider_venice.simulator.exchange import Exchange
from airflow_provider_venice.simulator.issues import Issue
from airflow_provider_venice.simulator.replies import Reply

#: Names that stand for the one model in requests of OpenAI's form.
_DEFAULTS = ("default", "dall-e-2", "dall-e-3", "gpt-image-1")


async def generate(x: Exchange) -> Reply:
    """Draw images; as base64 in JSON, or one as it is."""
    body = x.body
    issues = schema.check_body("/image/generate", body)
    if body.get("return_binary") is True and body.get("variants", 1) != 1:
        issues.append(Issue(("variants",), "Only supported when return_binary is false"))
    if issues:
        return replies.invalid(issues)
    if body["model"] != IMAGE_MODEL:
        return replies.model_unknown(body["model"], [IMAGE_MODEL])
    count, kind = body.get("variants", 1), body.get("format", "webp")
    refusal = x.refuse_price(IMAGE_PRICE * count)
    if refusal is not None:
        return refusal
    x.vendor.earn(IMAGE_PRICE * count, x.entry)
    started = time.monotonic()
    size = body.get("width", 1024), body.get("height", 1024)
    prompt = body["prompt"]
    texts = [prompt if number == 0 else f"{prompt}\n({number + 1})" for number in range(count)]
    images = [await x.vendor.studio.run(media.image_bytes, text, *size, kind) for text in texts]
    if body.get("return_binary"):
        return Reply(content=images[0], content_type=f"image/{kind}")
    spent = round(1000 * (time.monotonic() - started))
    timing = {
        "inferenceDuration": spent,
        "inferencePreprocessingTime": 0,
        "inferenceQueueTime": 0,
        "total": spent,
    }
    return Reply(
        json={
            "id": f"generate-image-{uuid.uuid4().hex[:12]}",
            "images": [base64.b64encode(data).decode() for data in images],
            "request": body,
            "timing": timing,
        }
    )


async def generations(x: Exchange) -> Reply:
    """Draw one image for a client that speaks OpenAI's form."""
    body = x.body
    issues = schema.check_body("/images/generations", body)
    if issues:
        return replies.invalid(issues)
    model = body.get("model", "default")
    if model not in (IMAGE_MODEL, *_DEFAULTS):
        return replies.model_unknown(model, [IMAGE_MODEL])
    refusal = x.refuse_price(IMAGE_PRICE)
    if refusal is not None:
        return refusal
    x.vendor.earn(IMAGE_PRICE, x.entry)
    size = body.get("size") or "auto"
    width, height = (1024, 1024) if size == "auto" else map(int, size.split("x"))
    kind = body.get("output_format", "png")
    data = await x.vendor.studio.run(media.image_bytes, body["prompt"], width, height, kind)
    encoded = base64.b64encode(data).decode()
    as_url = body.get("response_format") == "url"
    image = {"url": f"data:image/{kind};base64,{encoded}"} if as_url else {"b64_json": encoded}
    return Reply(json={"created": int(time.time()), "data": [image]})
