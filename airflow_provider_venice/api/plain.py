"""Objects that Airflow stores as plain JSON."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NoReturn


class PlainObject(dict[str, Any]):
    """
    Base of frozen dataclasses that are dictionaries too: those that ``to_dict`` returns.

    Airflow stores any other object of a class in an XCom with the name of the class, and reads it only where ``[core]
    allowed_deserialization_classes`` admits that name. So a task that returns one has succeeded, and paid, and the next
    task fails. A dictionary is stored as it is, on every Airflow, and the next task gets a plain dictionary.
    """

    def __post_init__(self) -> None:
        self._fill()

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON."""
        raise NotImplementedError

    def _fill(self) -> None:
        dict.update(self, self._content())

    def _content(self) -> dict[str, Any]:
        """Return what may be stored."""
        return self.to_dict()

    def __ne__(self, other: object) -> bool:
        # Of dict, it would compare what may be stored; == compares the fields.
        return not self == other

    def __reduce__(self) -> tuple[Any, ...]:
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}  # type: ignore[arg-type]
        return functools.partial(type(self), **fields), ()

    def _refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} cannot be changed; change dict(...) of it")

    __setitem__ = __delitem__ = __ior__ = update = setdefault = pop = popitem = clear = _refuse


def as_json(value: Any) -> Any:
    """Return a copy of nested mappings and lists as JSON has them: a ``Decimal`` as a float, a tuple as a list."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, Mapping):
        return {name: as_json(entry) for name, entry in value.items()}
    return [as_json(entry) for entry in value] if isinstance(value, (list, tuple)) else value
