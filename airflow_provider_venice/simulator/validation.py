"""What the vendor checks before it takes a request: first its schema, then what the model takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from airflow_provider_venice.simulator import schema
from airflow_provider_venice.simulator.catalog import Model
from airflow_provider_venice.simulator.issues import Issue, missing, not_among, unsupported
from airflow_provider_venice.simulator.media_urls import url_issues

#: Fields that no model refuses: needed by each, ignored where they have no use, or checked apart.
_ALWAYS = frozenset({"model", "prompt", "negative_prompt", "duration", "consents"})

#: What the quote does not take (https://docs.venice.ai/guides/media/seedance-2-0).
_NOT_QUOTED = ("bitrate_mode",)

#: What asks for the source's own length and shape.
_SOURCE_VALUES = {"duration": ("auto", "-1"), "aspect_ratio": ("adaptive", "auto")}

#: Fields whose media may show faces, and the role under which the refusal names them.
_FACES = {
    "image_url": "image",
    "end_image_url": "end_image",
    "reference_image_urls": "reference_image",
    "video_url": "video",
    "reference_video_urls": "reference_video",
}
_REFERENCES = ("reference_image_urls", "reference_video_urls", "image_references", "image_url", "video_url")


def canonical(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return a body in the schema's words: the guides also write ``"8"`` for ``"8s"``, and some names otherwise."""
    aliases = schema.guide_aliases()
    made = {aliases["fields"].get(name, name): value for name, value in body.items()}
    for name, values in aliases["values"].items():
        if isinstance(made.get(name), str):
            made[name] = values.get(made[name], made[name])
    duration = made.get("duration")
    if isinstance(duration, str) and duration.isdecimal():
        made["duration"] = f"{duration}s"
    return made


def check_quote(model: Model, body: Mapping[str, Any]) -> list[Issue]:
    """
    Return what is wrong with the body of ``/video/quote``.

    Further keys are ignored, as the schema does not forbid them, and so is what the model does not take.
    """
    issues = [unsupported(name) for name in _NOT_QUOTED if name in body]
    issues += _schema_issues("/video/quote", model, body)
    if not issues:
        issues += _choices(model, body, ("duration", "resolution"))
    return issues


def check_queue(model: Model, body: Mapping[str, Any], *, needs_aspect_ratio: bool) -> list[Issue]:
    """
    Return what is wrong with the body of ``/video/queue``.

    :param needs_aspect_ratio: whether a model that lists aspect ratios has to be given one.
    """
    issues = _schema_issues("/video/queue", model, body)
    if issues:
        return issues
    issues = [
        *_support(model, body),
        *_choices(model, body, ("duration", "aspect_ratio", "resolution")),
        *_prompts(model, body),
        *_sources(model, body),
        *_consents(body),
    ]
    if needs_aspect_ratio and model.aspect_ratios and "aspect_ratio" not in body:
        issues.append(missing("aspect_ratio"))
    return issues or list(url_issues(body))


def face_roles(model: Model, body: Mapping[str, Any]) -> list[str]:
    """Return the media that make the provider ask for consent, empty when it need not be asked for."""
    if not model.consents or (body.get("consents") or {}).get("seedance"):
        return []
    return [role for name, role in _FACES.items() if body.get(name)]


def _schema_issues(path: str, model: Model, body: Mapping[str, Any]) -> list[Issue]:
    """Check against the schema, less what it demands of each model and some models have no use for."""
    spared = ({"prompt"} if model.promptless else set()) | ({"duration"} if model.measures_source else set())
    found = [*schema.check_body(path, body), *schema.check_guide_fields(body)]
    return [issue for issue in found if not issue.path or issue.path[0] not in spared]


def _support(model: Model, body: Mapping[str, Any]) -> Iterator[Issue]:
    """Refuse fields that the vendor knows and the model does not take; what the vendor does not know is ignored."""
    taken = _ALWAYS | model.takes
    for name, listed in (("aspect_ratio", model.aspect_ratios), ("resolution", model.resolutions)):
        taken |= {name} if listed else set()
    taken |= {"audio"} if model.audio_configurable else set()
    known = schema.properties_of("/video/queue") | schema.guide_fields()
    yield from (unsupported(name) for name in body if name in known - taken)
    for name, most in model.limits.items():
        if len(body.get(name) or ()) > most:
            yield Issue((name,), f"Array must contain at most {most} element(s)", "too_big")


def _choices(model: Model, body: Mapping[str, Any], names: tuple[str, ...]) -> Iterator[Issue]:
    listed = {
        "duration": () if model.measures_source else model.durations,
        "aspect_ratio": model.aspect_ratios,
        "resolution": model.resolutions,
    }
    for name in names:
        allowed = (*listed[name], *_source_values(model, body, name))
        if name in body and listed[name] and body[name] not in allowed:
            yield not_among(name, allowed, body[name])


def _source_values(model: Model, body: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """Return the values that stand for the source's own, where the request has a source."""
    has_source = body.get("reference_video_urls") or body.get("reference_video_total_duration")
    return _SOURCE_VALUES.get(name, ()) if has_source and name in model.source_matched else ()


def _prompts(model: Model, body: Mapping[str, Any]) -> Iterator[Issue]:
    most = model.prompt_character_limit
    for name in ("prompt", "negative_prompt"):
        if len(body.get(name) or "") > most:
            yield Issue((name,), f"String must contain at most {most} character(s)", "too_big")


def _sources(model: Model, body: Mapping[str, Any]) -> Iterator[Issue]:
    for group in model.needs:
        if not any(body.get(name) for name in group):
            reference = len(group) > 1
            yield (
                Issue((group[0],), "At least one reference is required for this model")
                if reference
                else missing(group[0])
            )
    if body.get("reference_audio_urls") and not any(body.get(name) for name in _REFERENCES):
        yield Issue(("reference_audio_urls",), "Needs at least one image or video reference beside it")


def _consents(body: Mapping[str, Any]) -> Iterator[Issue]:
    """Refuse what the attestation has beside its three confirmations (the vendor's guide to it)."""
    given = (body.get("consents") or {}).get("seedance")
    confirmations = schema.consent_fields()
    further = sorted(set(given or ()) - confirmations)
    if further:
        names = ", ".join(f"'{name}'" for name in further)
        yield Issue(("consents", "seedance"), f"Unrecognized key(s) in object: {names}", "unrecognized_keys")
