"""The models on offer: ``data/video_models.json``, and what ``data/live_catalogue.json`` has of their constraints."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from importlib import resources
from typing import Any

from airflow_provider_venice.simulator.pricing import price_of

#: Replacement for refused prompts.
RECOMMENDED_MODEL = "wan-2-7-text-to-video"

#: US dollars per image.
IMAGE_PRICE = Decimal("0.02")
IMAGE_MODEL = "grok-imagine-image"

#: Characters of a prompt, where the model has no limit of its own (the vendor's guides).
PROMPT_LIMIT = 2500

#: Resolutions of a clip whose request names none.
_DEFAULT_RESOLUTIONS = ("720p", "768P")

#: Kinds whose clip has the shape that the request says. Of the others, the image or the clip decides.
_SHAPED = ("text-to-video", "reference-to-video")

_CREATED = 1755734400


@dataclass(frozen=True)
class Model:
    """
    A video model.

    :param kind: what it makes a clip of: ``text-to-video``, ``image-to-video``, ``upscale``, …
    :param model_type: its kind as ``/models`` tells it.
    :param usd_per_second: price of a second at 720p with sound, in US dollars; for an upscaler of one factor. Where
        there are ``rates``, they count.
    :param rates: by resolution, ``-`` where the model lists none: US dollars for a second, or for each duration.
    :param fee: US dollars for each clip beside its rate.
    :param takes: optional request fields that it accepts beside those that its constraints name.
    :param needs: of each group of fields, one has to be given.
    :param limits: most entries of a list, where that is less than the schema's.
    :param source_matched: fields that may ask for what the source has.
    :param promptless: whether it needs no prompt.
    :param measures_source: whether the length of its clip is that of the source, whatever the request says.
    :param private_link: whether the clip comes through a private link only.
    :param consents: whether media that may show faces needs a person's consent.
    :param listed: whether ``/models`` tells of it.
    """

    id: str
    name: str
    kind: str
    model_type: str
    usd_per_second: Decimal
    durations: tuple[str, ...]
    aspect_ratios: tuple[str, ...]
    resolutions: tuple[str, ...]
    audio: bool
    audio_configurable: bool
    privacy: str
    private_link: bool
    takes: frozenset[str]
    needs: tuple[tuple[str, ...], ...] = ()
    rates: Mapping[str, Any] = field(default_factory=dict)
    fee: Decimal = Decimal(0)
    limits: Mapping[str, int] = field(default_factory=dict)
    source_matched: tuple[str, ...] = ()
    prompt_character_limit: int = PROMPT_LIMIT
    promptless: bool = False
    measures_source: bool = False
    per_reference_audio: bool = False
    uncensored: bool = False
    offline: bool = False
    consents: bool = False
    listed: bool = True
    deprecation: Mapping[str, Any] | None = None

    @property
    def private(self) -> bool:
        """Whether the clip comes through a private link only."""
        return self.private_link

    @property
    def default_resolution(self) -> str | None:
        """Resolution of a request that names none; assumed, as the vendor's catalogue does not say."""
        preferred = [name for name in _DEFAULT_RESOLUTIONS if name in self.resolutions]
        return next(iter((*preferred, *self.resolutions)), None)

    def price(self, body: Mapping[str, Any]) -> Decimal:
        """Return the price of ``body``, in US dollars; the same for a quote and for the charge."""
        return price_of(self, body)

    def has_audio(self, body: Mapping[str, Any]) -> bool:
        """Whether the clip gets a sound track."""
        return bool(body.get("audio", self.audio)) if self.audio_configurable else self.audio

    def headers(self) -> dict[str, str]:
        """Return the headers that announce the model's end, if it nears."""
        if self.deprecation is None:
            return {}
        replacement = self.deprecation.get("replacementModelId")
        advice = f" Use {replacement} instead." if replacement else ""
        headers = {
            "x-venice-model-deprecation-warning": f"{self.id} is deprecated.{advice}",
            "x-venice-model-deprecation-date": self.deprecation["date"],
            "x-venice-deprecated": "true",
        }
        return {**headers, "x-venice-deprecated-replacement": replacement} if replacement else headers

    def payload(self) -> dict[str, Any]:
        """Return the entry of ``/models``."""
        constraints: dict[str, Any] = {
            "model_type": self.model_type,
            "durations": list(self.durations),
            "aspect_ratios": list(self.aspect_ratios),
            "resolutions": list(self.resolutions),
            "audio": self.audio,
            "audio_configurable": self.audio_configurable,
            "audio_input": "audio_url" in self.takes,
            "video_input": "video_url" in self.takes,
            "prompt_character_limit": self.prompt_character_limit,
        }
        if self.per_reference_audio:
            constraints["per_reference_audio"] = True
        spec: dict[str, Any] = {
            "name": self.name,
            "description": f"{self.name}, simulated.",
            "privacy": self.privacy,
            "offline": self.offline,
            "betaModel": False,
            "modelSource": "",
            "model_sets": [],
            "traits": [],
            "constraints": constraints,
        }
        if self.uncensored:
            spec["uncensored"] = True
        if self.deprecation is not None:
            spec["deprecation"] = dict(self.deprecation)
        head = {"id": self.id, "created": _CREATED, "object": "model", "owned_by": "venice.ai", "type": "video"}
        return {**head, "model_spec": spec}


def _read() -> dict[str, Model]:
    data, live = _load("video_models"), _load("live_catalogue")["models"]
    for name in data["own_prices"]["models"]:
        del live[name]["rates"]
    models = [_model({**entry, **live.get(entry["id"], {})}, data) for entry in data["models"]]
    return {model.id: model for model in models}


def _load(name: str) -> dict[str, Any]:
    text = resources.files(__package__).joinpath(f"data/{name}.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def _model(entry: Mapping[str, Any], data: Mapping[str, Any]) -> Model:
    """Put a model together from its kind, its family, its family's models of that kind, and its own entry."""
    kind, family = entry["kind"], data["families"][entry["family"]]
    parts = (data["kinds"][kind], family, family.get("by_kind", {}).get(kind, {}), entry)
    told = {name: value for part in parts for name, value in part.items()}
    takes = {name for part in parts for name in part.get("takes", ())}
    takes |= {"audio_url"} if told.get("audio_input") else set()
    takes |= {"end_image_url"} if told.get("end_image") and kind == "image-to-video" else set()
    flags = ("promptless", "measures_source", "per_reference_audio", "uncensored", "offline", "consents")
    return Model(
        id=told["id"],
        name=told["name"],
        kind=kind,
        model_type=told["model_type"],
        usd_per_second=Decimal(told["usd_per_second"]),
        rates=told.get("rates", {}),
        fee=Decimal(told.get("fee", 0)),
        durations=tuple(told["durations"]),
        aspect_ratios=tuple(told["aspect_ratios"]) if kind in _SHAPED or "aspect_ratios" in entry else (),
        resolutions=tuple(told["resolutions"]),
        audio=told["audio"],
        audio_configurable=told["audio_configurable"],
        privacy=told["privacy"],
        private_link=told.get("private_link", told["id"].endswith("-private")),
        takes=frozenset(takes),
        needs=tuple(tuple(group) for group in told.get("needs", ())),
        limits=told.get("limits", {}),
        source_matched=tuple(told.get("source_matched", ())),
        prompt_character_limit=told.get("prompt_character_limit", PROMPT_LIMIT),
        listed=told.get("listed", True),
        deprecation=told.get("deprecation"),
        **{name: told.get(name, False) for name in flags},
    )


MODELS: dict[str, Model] = _read()


def image_payload() -> dict[str, Any]:
    """Return the ``/models`` entry of the one image model."""
    price = {"usd": float(IMAGE_PRICE), "diem": float(IMAGE_PRICE)}
    spec = {
        "name": "Grok Imagine",
        "privacy": "anonymized",
        "offline": False,
        "traits": ["default"],
        "constraints": {
            "promptCharacterLimit": 7500,
            "steps": {"default": 8, "max": 8},
            "widthHeightDivisor": 1,
        },
        "pricing": {"generation": price, "upscale": {"2x": price, "4x": price}},
    }
    head = {"id": IMAGE_MODEL, "created": _CREATED, "object": "model", "owned_by": "venice.ai", "type": "image"}
    return {**head, "model_spec": spec}
