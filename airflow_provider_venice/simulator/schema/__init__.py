"""The vendor's schemas of requests and answers; ``convert`` makes them from its OpenAPI document."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from airflow_provider_venice.simulator.issues import Issue, issues_of

if TYPE_CHECKING:
    from jsonschema.protocols import Validator


def check_body(path: str, body: Any) -> list[Issue]:
    """
    Return what is wrong with the body of a POST.

    :param path: the endpoint's path, such as ``/video/queue``.
    """
    return issues_of(_validator(f"#/paths/{_escaped(path)}/post/body").iter_errors(body))


def check_query(path: str, query: Mapping[str, Any]) -> list[Issue]:
    """Return what is wrong with the query of a GET; numbers are to be numbers already."""
    return issues_of(_validator(f"#/paths/{_escaped(path)}/get/query").iter_errors(dict(query)))


def typed_query(path: str, query: Mapping[str, str]) -> dict[str, Any]:
    """Return a query with its whole numbers as numbers, where the vendor's schema has them so."""
    properties = document()["paths"][path]["get"]["query"]["properties"]
    whole = {name for name, value in properties.items() if value.get("type") == "integer"}
    return {name: int(text) if name in whole and text.isdecimal() else text for name, text in query.items()}


def check_answer(path: str, method: str, status: int, answer: Any) -> list[Issue]:
    """
    Return where a JSON answer differs from the documented one.

    :raises KeyError: when the vendor documents no JSON for that status.
    """
    responses = document()["paths"][path][method]["responses"]
    if str(status) not in responses:
        raise KeyError(f"{path} documents no JSON for status {status}; it has {', '.join(sorted(responses))}")
    pointer = f"#/paths/{_escaped(path)}/{method}/responses/{status}"
    return issues_of(_validator(pointer).iter_errors(answer))


def check_guide_fields(body: Mapping[str, Any]) -> list[Issue]:
    """Return what is wrong with the fields that only the vendor's guides describe."""
    return issues_of(_guide_validator().iter_errors(dict(body)))


def properties_of(path: str) -> frozenset[str]:
    """Return the names of all fields that the body of ``path`` may have by the vendor's schema."""
    body = document()["paths"][path]["post"]["body"]
    name = body["$ref"].rpartition("/")[2]
    return frozenset(document()["components"]["schemas"][name]["properties"])


def guide_fields() -> frozenset[str]:
    """Return the names of the fields that only the vendor's guides describe."""
    return frozenset(_load("guides.json")["properties"])


def guide_aliases() -> dict[str, Any]:
    """Return what the vendor's guides call otherwise than its schema: ``fields``, and ``values`` of fields."""
    aliases = _load("guides.json")["aliases"]
    assert isinstance(aliases, dict)
    return aliases


def consent_fields() -> frozenset[str]:
    """Return the confirmations of an attestation."""
    consents = document()["components"]["schemas"]["QueueVideoRequest"]["properties"]["consents"]
    return frozenset(consents["properties"]["seedance"]["properties"])


@cache
def document() -> dict[str, Any]:
    """Return the whole document that ``convert`` has made."""
    return _load("openapi.json")


@cache
def _load(name: str) -> dict[str, Any]:
    text = resources.files(__name__).joinpath(name).read_text(encoding="utf-8")
    loaded = json.loads(text)
    assert isinstance(loaded, dict)
    return loaded


@cache
def _validator(pointer: str) -> Validator:
    from jsonschema import Draft202012Validator

    # The references point into the same document.
    return Draft202012Validator({"$ref": pointer, **document()}, format_checker=Draft202012Validator.FORMAT_CHECKER)


@cache
def _guide_validator() -> Validator:
    from jsonschema import Draft202012Validator

    return Draft202012Validator({"type": "object", "properties": _load("guides.json")["properties"]})


def _escaped(path: str) -> str:
    """Return a path as a step of a JSON pointer."""
    return path.replace("/", "~1")
