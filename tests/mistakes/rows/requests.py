"""Mistakes in the request."""

from __future__ import annotations

from typing import Any

from tests.mistakes.row import AFTER, BEFORE, PARSED, TEXT, Mistake, Scene


def _wrong(what: str, message: str, **arguments: Any) -> Mistake:
    """Return a row for arguments of the request that are refused before payment."""
    return Mistake(what, BEFORE, lambda scene: scene.generate(**arguments), message)


def _parsed(what: str, message: str, **arguments: Any) -> Mistake:
    """Return a row for literal arguments of the request that are refused when the DAG is parsed."""
    return Mistake(what, PARSED, lambda scene: scene.generate(**arguments), message)


def _no_price(scene: Scene) -> object:
    scene.simulator.fail("quote", status=400, body={"error": "Invalid duration"}, times=None)
    return scene.generate(max_cost=1)


def _hook_in_doubt(scene: Scene) -> object:
    scene.simulator.fail("queue", status=503)
    return lambda: scene.hook.queue(TEXT)


def _fallback_too_expensive(scene: Scene) -> object:
    scene.simulator.fail("queue", policy=True)
    return scene.generate(resolution="720p", fallback_models=["wan-2.6-text-to-video"], max_cost=0.40)


def _refused(scene: Scene) -> object:
    scene.simulator.fail("queue", status=422, body={"error": "Blocked", "suggested_prompt": "a calm sea"})
    return scene.generate()


def _in_doubt(scene: Scene) -> object:
    scene.simulator.fail("queue", drop_after=True)
    return scene.generate()


def _fails(scene: Scene) -> object:
    return scene.generate(prompt="[simulate: fail] a boat")


def _refunded(scene: Scene) -> object:
    body = {"error": {"message": "upstream failed", "credits_refunded": True}}
    scene.simulator.fail("retrieve", status=422, body=body, times=2)
    return scene.generate()


ROWS = (
    _wrong(
        "A fallback model is misspelt",
        "fallback_models: model 'wan-2.6-text-video' is not a video model of this account; did you mean "
        "wan-2.6-text-to-video or wan-2-7-text-to-video or wan-2.6-image-to-video?",
        fallback_models=["wan-2.6-text-video"],
    ),
    _wrong(
        "A fallback model does not make clips of that length",
        "fallback_models: model 'ltx-2-5-fast-text-to-video' does not accept this request: duration is '5s'; allowed "
        "are 6s, 8s, 10s, 12s, 14s, 16s, 18s, 20s",
        fallback_models=["ltx-2-5-fast-text-to-video"],
    ),
    Mistake(
        "The first model refuses the clip, and the fallback model costs more than ``max_cost``",
        BEFORE,
        _fallback_too_expensive,
        "the clip costs $0.55, which is above max_cost=$0.40; nothing was queued. Raise max_cost, or choose a shorter "
        "clip, a lower resolution or another model",
    ),
    _wrong(
        "A model that does not exist",
        "model 'wan-2-7-text-to-vidoe' is not a video model of this account; did you mean wan-2-7-text-to-video or "
        "wan-2.6-text-to-video or wan-2.2-a14b-text-to-video?",
        model="wan-2-7-text-to-vidoe",
    ),
    _parsed(
        "No model",
        "the video request is not valid: model is missing; name a video model such as 'wan-2-7-text-to-video'",
        model=None,
    ),
    _wrong(
        "No prompt",
        "model 'wan-2-7-text-to-video' does not accept this request: prompt is missing; text-to-video models need one",
        prompt=None,
    ),
    _wrong(
        "No duration",
        "model 'wan-2-7-text-to-video' does not accept this request: duration is missing; allowed are 5s, 10s, 15s",
        duration=None,
    ),
    _wrong(
        "A duration that the model does not have",
        "model 'wan-2-7-text-to-video' does not accept this request: duration is '7s'; allowed are 5s, 10s, 15s",
        duration=7,
    ),
    _wrong(
        "A duration with a unit in words",
        "model 'wan-2-7-text-to-video' does not accept this request: duration is '5 seconds'; allowed are 5s, 10s, 15s",
        duration="5 seconds",
    ),
    _parsed(
        "A duration of half a second",
        "the video request is not valid: duration takes whole seconds above zero such as 5 or '5s', not 0.5",
        duration=0.5,
    ),
    _wrong(
        "An aspect ratio with a slash",
        "model 'wan-2-7-text-to-video' does not accept this request: aspect_ratio is '16/9'; allowed are "
        "16:9, 9:16, 1:1",
        aspect_ratio="16/9",
    ),
    _wrong(
        "A resolution that the model does not have",
        "model 'wan-2-7-text-to-video' does not accept this request: resolution is '8k'; allowed are 1080p, 720p",
        resolution="8k",
    ),
    _wrong(
        "A sound track that the model always has is turned off",
        "model 'happyhorse-1-1-text-to-video' does not accept this request: audio is False; this model always has "
        "a sound track; leave the field out",
        model="happyhorse-1-1-text-to-video",
        audio=False,
    ),
    _parsed(
        "``audio`` is neither true nor false",
        "the video request is not valid: audio takes true or false, not 'maybe'",
        audio="maybe",
    ),
    _parsed(
        "A seed that is no number", "the video request is not valid: seed takes a number, not 'lucky'", seed="lucky"
    ),
    _parsed("A seed of half a number", "the video request is not valid: seed takes a whole number, not 1.5", seed=1.5),
    _wrong(
        "A prompt that is too long",
        "model 'wan-2-7-text-to-video' does not accept this request: prompt has 2501 characters; at most "
        "2500 are allowed",
        prompt="x" * 2501,
    ),
    _parsed(
        "A prompt that is a list",
        "the video request is not valid: prompt takes a string, not ['a', 'b']",
        prompt=["a", "b"],
    ),
    Mistake(
        "A template that renders a missing prompt",
        BEFORE,
        lambda scene: scene.rendered(prompt="{{ none }}"),
        "the video request is not valid: prompt is 'None', which a template renders for a missing value; "
        "give the template a default value, or leave the field out",
    ),
    _parsed(
        "A misspelt field of a mapping",
        "unknown field in the video request: 'promt' (did you mean 'prompt'?). To keep columns of your own "
        "with the clip, give the operator label_fields=('promt',); to leave them out, ignore_fields. What "
        "Venice takes beyond the fields of VideoRequest goes into extra_body",
        request={"promt": "a"},
    ),
    _parsed(
        "``image`` and ``image_url`` at once",
        "image and image_url are the same field; give one of them",
        image="a.png",
        image_url="b.png",
    ),
    _wrong(
        "An image for a text-to-video model",
        "model 'wan-2-7-text-to-video' does not accept this request: image_url is given, but this is a "
        "text-to-video model; choose an image-to-video one",
        image="https://example.com/a.png",
    ),
    _wrong(
        "An image-to-video model without an image",
        "model 'wan-2-7-image-to-video' does not accept this request: image_url is missing; an "
        "image-to-video model needs an image to start from",
        model="wan-2-7-image-to-video",
    ),
    _parsed(
        "``extra_body`` is a text",
        "the video request is not valid: extra_body takes a mapping, not '{}'",
        extra_body="{}",
    ),
    _parsed(
        "``extra_body`` has a field of its own argument",
        "the video request is not valid: extra_body has 'seed', which is a field of its own; set seed= instead",
        extra_body={"seed": 7},
    ),
    _parsed(
        "``reference_image_urls`` has too many",
        "the video request is not valid: reference_image_urls takes at most 30 entries, not 31",
        reference_image_urls=["https://example.com/a.png"] * 31,
    ),
    Mistake(
        "``max_cost`` is below the price",
        BEFORE,
        lambda scene: scene.generate(max_cost="0.30"),
        "the clip costs $0.35, which is above max_cost=$0.30; nothing was queued. Raise max_cost, or "
        "choose a shorter clip, a lower resolution or another model",
    ),
    Mistake(
        "``min_balance`` would not be left",
        BEFORE,
        lambda scene: scene.generate(min_balance=99.9),
        "the clip costs $0.35 of a balance of $100.00, which leaves less than min_balance=$99.90; nothing "
        "was queued. Top up the account, or lower min_balance",
    ),
    Mistake(
        "Venice refuses the prompt",
        BEFORE,
        _refused,
        "Venice answered HTTP 422: Blocked; suggested prompt: 'a calm sea'. Nothing was paid for it",
    ),
    _wrong(
        "``on_ambiguous='check'`` without an admin connection",
        "on_ambiguous='check' reads the account's usage history, which takes an ADMIN key: the extra of the connection "
        "'venice_default' has no admin_conn_id. Add a second Venice connection with an ADMIN key and set its id there, "
        "or leave on_ambiguous out",
        on_ambiguous="check",
    ),
    Mistake(
        "The answer to a submission is lost",
        AFTER,
        _in_doubt,
        "a submission to model 'wan-2-7-text-to-video' of <time> UTC, for $0.35, may have been accepted "
        "and charged, but no job id came back: POST /video/queue: no complete answer from "
        "venice.example (the server closed the connection without an answer). It is not sent again by itself. Look at "
        "the usage page of the Venice account for a charge at that time. If there is none, clear the task to submit "
        "it again; on_ambiguous='resubmit' does that without asking",
        bought=1,
    ),
    Mistake(
        "A submission by the hook ends in a 503",
        BEFORE,
        _hook_in_doubt,
        "the submission to model 'wan-2-7-text-to-video' of <time> UTC may have been accepted and charged, "
        "but no job id came back (Venice answered HTTP 503: Simulated failure 503). It is not sent again "
        "by itself. Look at the usage page of the Venice account for a charge at that time; if there is "
        "none, run it again. Its price is $0.35",
    ),
    Mistake(
        "The clip fails at Venice",
        AFTER,
        _fails,
        "video job <queue id> (wan-2-7-text-to-video): Venice answered HTTP 400: Video generation failed. "
        "It was bought for $0.35, and Venice has not said that the charge came back. A clear of the task "
        "asks Venice once more and, if the clip has failed indeed, buys another one for about $0.35; "
        "max_cost counts both",
        bought=1,
    ),
    Mistake(
        "The clip fails at Venice, which refunds it",
        AFTER,
        _refunded,
        "video job <queue id> (wan-2-7-text-to-video): Venice answered HTTP 422: upstream failed; the "
        "charge was refunded. Nothing was paid for it; a retry submits it anew",
        bought=1,
        is_retried=True,
    ),
    Mistake(
        "Venice refuses to price the request, and ``max_cost`` is set",
        BEFORE,
        _no_price,
        "Venice gives no price, and nothing is queued without one: Venice answered HTTP 400: Invalid duration",
    ),
)
