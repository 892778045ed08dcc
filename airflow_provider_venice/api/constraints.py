"""Whether a model's published constraints admit a request, checked before any money is spent."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from airflow_provider_venice.api.model import VideoModel
from airflow_provider_venice.api.request import VideoRequest, raise_problems
from airflow_provider_venice.exceptions import VeniceRequestError

#: Any one of these gives an image-to-video model something to start from.
_PICTURE_FIELDS = ("image_url", "reference_image_urls", "elements", "scene_image_urls", "keyframes")

#: Types of models that make a clip from a prompt. Those that work on a clip are of type ``video``; whether
#: they need a prompt, the catalogue does not say.
_GENERATING = ("text-to-video", "image-to-video")

#: What asks for the source's own length and shape. No catalogue lists these; the vendor's schema does.
_SOURCE_MATCHED = {"duration": ("auto", "Auto", "-1"), "aspect_ratio": ("adaptive", "auto")}


def check_request(request: VideoRequest, models: Sequence[VideoModel]) -> VideoModel:
    """
    Return the model that ``request`` names, if the request keeps to what that model accepts.

    :param models: the answer of ``/models?type=video``.
    :raises VeniceRequestError: one error that names every wrong field and the allowed values. It can heal
        where all that is wrong is a model that is offline.
    """
    model = find_model(request.model, models)
    problems: dict[str, str] = {}
    _check_prompts(request, model, problems)
    _check_choices(request, model, problems)
    _check_audio(request, model, problems)
    _check_media(request, model, problems)
    valid = not problems
    if model.offline:
        problems["model"] = "is offline at present; choose another or try again later"
    raise_problems(f"model {model.id!r} does not accept this request", problems, can_heal=valid)
    return model


def find_model(model_id: str, models: Iterable[VideoModel]) -> VideoModel:
    """
    Return the model of that id.

    :raises VeniceRequestError: when there is none; the message suggests the nearest ids.
    """
    known = {model.id: model for model in models}
    if model_id in known:
        return known[model_id]
    near = difflib.get_close_matches(model_id, known, n=3, cutoff=0.4) or sorted(known)[:5]
    problem = f"{model_id!r} is not a video model of this account; did you mean {' or '.join(near)}?"
    raise VeniceRequestError(f"model {problem}", fields={"model": problem})


def _check_prompts(request: VideoRequest, model: VideoModel, problems: dict[str, str]) -> None:
    if request.prompt is None and model.model_type in _GENERATING:
        problems["prompt"] = f"is missing; {model.model_type} models need one"
    for name in ("prompt", "negative_prompt"):
        length = len(getattr(request, name) or "")
        if length > model.prompt_character_limit:
            problems[name] = f"has {length} characters; at most {model.prompt_character_limit} are allowed"


def _check_choices(request: VideoRequest, model: VideoModel, problems: dict[str, str]) -> None:
    # What works on a clip measures it: such a model may list "Auto", and refuse it.
    if request.duration is None and model.durations and model.model_type != "video":
        problems["duration"] = f"is missing; allowed are {', '.join(model.durations)}"
    for name, allowed in (
        ("duration", model.durations),
        ("aspect_ratio", model.aspect_ratios),
        ("resolution", model.resolutions),
    ):
        value = getattr(request, name)
        if value is None or value in allowed or value in _SOURCE_MATCHED.get(name, ()):
            continue
        if name == "duration" and allowed == ("Auto",):
            # The source decides; the vendor ignores a length in seconds, or takes it for the source's.
            continue
        choices = f"allowed are {', '.join(allowed)}" if allowed else "this model takes none; leave it out"
        problems[name] = f"is {value!r}; {choices}"


def _check_audio(request: VideoRequest, model: VideoModel, problems: dict[str, str]) -> None:
    if request.audio is None or model.audio_configurable is not False or request.audio is model.audio:
        return
    nature = "always has" if model.audio else "never has"
    problems["audio"] = f"is {request.audio}; this model {nature} a sound track; leave the field out"


def _check_media(request: VideoRequest, model: VideoModel, problems: dict[str, str]) -> None:
    if model.is_upscaler:
        if request.video_url is None:
            problems["video_url"] = "is missing; an upscaler needs the clip to upscale"
        return
    if request.upscale_factor is not None and model.model_type in _GENERATING:
        problems["upscale_factor"] = "is for upscalers only; leave it out"
    has_picture = any(getattr(request, name) for name in _PICTURE_FIELDS)
    has_clip = bool(request.video_url or request.reference_video_urls)
    if model.model_type == "image-to-video" and not has_picture and not has_clip:
        problems["image_url"] = "is missing; an image-to-video model needs an image to start from"
    if model.model_type == "text-to-video":
        for name in ("image_url", "end_image_url"):
            if getattr(request, name) is not None:
                problems[name] = "is given, but this is a text-to-video model; choose an image-to-video one"
