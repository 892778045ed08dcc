"""
Makes ``openapi.json`` from the vendor's OpenAPI document.

``python -m airflow_provider_venice.simulator.schema.convert swagger.yaml`` reads the document (YAML or JSON, from
https://github.com/veniceai/api-docs) and writes ``openapi.json`` beside this file: names, types, limits,
enumerations and what is required, as JSON Schema 2020-12, without descriptions and examples.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

TARGET = Path(__file__).with_name("openapi.json")

#: Endpoints that the simulator serves.
PATHS = (
    "/video/quote",
    "/video/queue",
    "/video/retrieve",
    "/video/complete",
    "/models",
    "/models/traits",
    "/api_keys/rate_limits",
    "/api_keys/rate_limits/log",
    "/billing/balance",
    "/billing/usage",
    "/billing/usage-history",
    "/billing/usage-analytics",
    "/image/generate",
    "/images/generations",
)

_REFERENCE = "#/components/schemas/"

#: What a schema keeps. Everything else of OpenAPI's is prose, an example, or of no use to a validator.
_KEPT = (
    *("type", "enum", "default", "required", "pattern", "format"),
    *("minLength", "maxLength", "minItems", "maxItems", "minimum", "maximum"),
)
_NESTED = ("items", "additionalProperties", "not")
_LISTS = ("anyOf", "oneOf", "allOf")


def convert(document: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return what the simulator needs of an OpenAPI document.

    :param document: the document, parsed.
    :raises KeyError: when it lacks one of :data:`PATHS`.
    """
    paths = {path: _operations(document["paths"][path]) for path in PATHS}
    components = document["components"]["schemas"]
    schemas: dict[str, Any] = {}
    missing = _names(paths)
    while missing:
        for name in missing:
            schemas[name] = schema(components[name])
        missing = _names(schemas) - set(schemas)
    return {
        "source": f"{document['info']['title']} {document['info']['version']}",
        "paths": paths,
        "components": {"schemas": dict(sorted(schemas.items()))},
    }


def schema(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return an OpenAPI 3.0 schema as JSON Schema, without its prose."""
    if "$ref" in given:
        return {"$ref": given["$ref"]}
    made = {name: given[name] for name in _KEPT if name in given}
    if "properties" in given:
        made["properties"] = {name: schema(value) for name, value in given["properties"].items()}
    for name in _NESTED:
        if name in given:
            made[name] = schema(given[name]) if isinstance(given[name], dict) else given[name]
    for name in _LISTS:
        if name in given:
            made[name] = [schema(value) for value in given[name]]
    for limit, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        # OpenAPI 3.0 has the exclusive limits as flags, JSON Schema has them as numbers.
        if given.get(exclusive) is True:
            made[exclusive] = made.pop(limit)
    if given.get("nullable") and "type" in made:
        made["type"] = [made["type"], "null"]
        if "enum" in made:
            made["enum"] = [*made["enum"], None]
    return made


def _operations(path: Mapping[str, Any]) -> dict[str, Any]:
    return {method: _operation(operation) for method, operation in path.items() if method in ("get", "post")}


def _operation(operation: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    if "parameters" in operation:
        parameters = [parameter for parameter in operation["parameters"] if parameter["in"] == "query"]
        made["query"] = {
            "type": "object",
            "properties": {parameter["name"]: schema(parameter["schema"]) for parameter in parameters},
            "required": [parameter["name"] for parameter in parameters if parameter.get("required")],
        }
    if "requestBody" in operation:
        made["body"] = schema(operation["requestBody"]["content"]["application/json"]["schema"])
    made["responses"] = {
        status: schema(response["content"]["application/json"]["schema"])
        for status, response in operation["responses"].items()
        if "application/json" in response.get("content", {})
    }
    return made


def _names(value: Any) -> set[str]:
    """Return the components that ``value`` refers to."""
    if isinstance(value, dict):
        reference = value.get("$ref")
        found = {reference.removeprefix(_REFERENCE)} if isinstance(reference, str) else set()
        return found.union(*map(_names, value.values()))
    return set().union(*map(_names, value)) if isinstance(value, list) else set()


def load(text: str) -> dict[str, Any]:
    """
    Parse a document that is YAML or JSON.

    :raises yaml.YAMLError: when it is neither.
    """
    import yaml

    class Loader(yaml.SafeLoader):
        """YAML 1.1 reads an unquoted 16:9 as the number 969; here it stays the text that the vendor means."""

    Loader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:int"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    number = re.compile(r"^[-+]?(?:0|[1-9][0-9]*)$")
    Loader.add_implicit_resolver("tag:yaml.org,2002:int", number, list("-+0123456789"))  # type: ignore[no-untyped-call]
    document = yaml.load(text, Loader)  # type: ignore[no-untyped-call]
    assert isinstance(document, dict)
    return document


def main(arguments: list[str]) -> int:
    """Write ``openapi.json``; return the process's exit code."""
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    made = convert(load(Path(arguments[0]).read_text(encoding="utf-8")))
    TARGET.write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
