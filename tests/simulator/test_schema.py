"""The vendor's schemas: how they are made of its OpenAPI document, and that they hold no prose."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_venice.simulator import schema
from airflow_provider_venice.simulator.schema import convert

DOCUMENT = """
info: {title: An API, version: '1'}
paths: {}
components:
  schemas:
    Clip:
      type: object
      description: What a clip is.
      properties:
        ratio: {type: string, enum: [1:1, 16:9], example: 16:9, description: Its shape.}
        size: {type: integer, nullable: true, enum: [1, 2], title: Size}
        share: {type: number, minimum: 0, exclusiveMinimum: true, maximum: 20}
        description: {type: string, description: A field of that name.}
        parts: {type: array, maxItems: 0x, items: {anyOf: [{type: string}, {$ref: '#/components/schemas/Part'}]}}
      required: [ratio]
      additionalProperties: false
"""


def test_a_schema_keeps_names_types_limits_and_choices_alone() -> None:
    clip = convert.load(DOCUMENT.replace("0x", "10"))["components"]["schemas"]["Clip"]
    assert convert.schema(clip) == {
        "type": "object",
        "properties": {
            "ratio": {"type": "string", "enum": ["1:1", "16:9"]},
            "size": {"type": ["integer", "null"], "enum": [1, 2, None]},
            "share": {"type": "number", "exclusiveMinimum": 0, "maximum": 20},
            "description": {"type": "string"},
            "parts": {
                "type": "array",
                "maxItems": 10,
                "items": {"anyOf": [{"type": "string"}, {"$ref": "#/components/schemas/Part"}]},
            },
        },
        "required": ["ratio"],
        "additionalProperties": False,
    }


def test_a_document_without_an_endpoint_is_refused() -> None:
    with pytest.raises(KeyError, match="video/quote"):
        convert.convert(convert.load(DOCUMENT))


def test_the_stored_document_has_no_prose() -> None:
    document = schema.document()
    assert set(document["paths"]) == set(convert.PATHS)
    assert [text for text in strings({**document, "source": ""}) if len(text.split()) > 2] == []


def test_the_ratios_are_not_numbers() -> None:
    for name in ("QueueVideoRequest", "QuoteVideoRequest"):
        ratios = document_schema(name)["properties"]["aspect_ratio"]["enum"]
        assert "16:9" in ratios
        assert all(isinstance(ratio, str) for ratio in ratios)


def document_schema(name: str) -> dict[str, Any]:
    return dict(schema.document()["components"]["schemas"][name])


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)
    elif isinstance(value, str):
        yield value
