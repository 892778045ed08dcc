"""What is wrong with a request, told the way the vendor does: a list of issues, and the same as a tree."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError


@dataclass(frozen=True)
class Issue:
    """
    One thing that is wrong.

    :param path: where: names of fields and indexes of lists, outermost first.
    :param code: its kind, such as ``invalid_type``.
    """

    path: tuple[str | int, ...]
    message: str
    code: str = "custom"

    def to_dict(self) -> dict[str, Any]:
        """Return the entry of ``issues``."""
        return {"code": self.code, "path": list(self.path), "message": self.message}


def details_of(issues: Iterable[Issue]) -> dict[str, Any]:
    """Return ``details``: a tree with a list of messages at each place."""
    tree: dict[str, Any] = {"_errors": []}
    for issue in issues:
        place = tree
        for step in issue.path:
            place = place.setdefault(str(step), {"_errors": []})
        place["_errors"].append(issue.message)
    return tree


def issues_of(errors: Iterable[ValidationError]) -> list[Issue]:
    """Return what a validator found, each once."""
    return list(dict.fromkeys(issue for error in errors for issue in _told(error)))


def missing(name: str) -> Issue:
    """A field that has to be there is not."""
    return Issue((name,), "Field is required", "invalid_type")


def not_among(name: str, allowed: Iterable[str], value: Any) -> Issue:
    """A field has a value that the model does not list."""
    return Issue((name,), _not_among(allowed, value), "invalid_enum_value")


def unsupported(name: str) -> Issue:
    """The model does not take that field."""
    return Issue((name,), f"This model does not support {name}")


def _told(error: ValidationError) -> list[Issue]:
    path, limit, value = tuple(error.absolute_path), error.validator_value, error.instance
    kind = str(error.validator)
    if kind == "required":
        return [Issue((*path, name), "Field is required", "invalid_type") for name in limit if name not in value]
    if kind == "additionalProperties":
        schema = error.schema
        known = schema.get("properties", {}) if isinstance(schema, Mapping) else {}
        names = ", ".join(f"'{name}'" for name in value if name not in known)
        return [Issue(path, f"Unrecognized key(s) in object: {names}", "unrecognized_keys")]
    if kind == "type":
        return [Issue(path, f"Expected {_types(limit)}, received {_type_of(value)}", "invalid_type")]
    if kind == "enum":
        return [Issue(path, _not_among(limit, value), "invalid_enum_value")]
    code, message = _LIMITS.get(kind, ("custom", "Invalid input"))
    return [Issue(path, message.format(limit), code)]


_LIMITS = {
    "minLength": ("too_small", "String must contain at least {} character(s)"),
    "maxLength": ("too_big", "String must contain at most {} character(s)"),
    "minItems": ("too_small", "Array must contain at least {} element(s)"),
    "maxItems": ("too_big", "Array must contain at most {} element(s)"),
    "minimum": ("too_small", "Number must be greater than or equal to {}"),
    "maximum": ("too_big", "Number must be less than or equal to {}"),
    "exclusiveMinimum": ("too_small", "Number must be greater than {}"),
    "exclusiveMaximum": ("too_big", "Number must be less than {}"),
    "pattern": ("invalid_string", "Invalid"),
    "format": ("invalid_string", "Invalid {}"),
    "anyOf": ("invalid_union", "Invalid input"),
}


def _not_among(allowed: Iterable[Any], value: Any) -> str:
    options = " | ".join(f"'{name}'" for name in allowed)
    return f"Invalid enum value. Expected {options}, received '{value}'"


def _types(wanted: Any) -> str:
    return " | ".join(wanted) if isinstance(wanted, list) else str(wanted)


def _type_of(value: Any) -> str:
    names = {dict: "object", list: "array", str: "string", bool: "boolean", type(None): "null"}
    return names.get(type(value), "number")
