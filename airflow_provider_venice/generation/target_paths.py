"""Which path each clip of a task gets."""

from __future__ import annotations

import re
from typing import Any

from airflow_provider_venice.exceptions import VeniceRequestError

_INDEX = re.compile(r"\{index(?::(0?\d+))?\}")


def target_paths(output_path: Any, count: int, *, is_list: bool, map_index: int | None) -> list[Any]:
    """
    Return where each clip goes.

    :param output_path: a path, or for a list a list of paths, or one with ``{index}`` in it.
    :param count: how many clips there are.
    :param is_list: whether they are those of a list.
    :param map_index: the task's, where it is mapped: ``{index}`` where there is no list.
    :raises VeniceRequestError: when there are not as many paths as clips.
    """
    if not is_list:
        return [_single(output_path, map_index)]
    if isinstance(output_path, (list, tuple)):
        paths = list(output_path)
    elif _INDEX.search(str(output_path)):
        paths = [_indexed(str(output_path), position) for position in range(count)]
    else:
        raise VeniceRequestError(
            f"output_path is {str(output_path)!r} for {count} clips; give a list of paths, or put {{index}} into the "
            "one",
            fields={"output_path": "one for many"},
        )
    if len(paths) != count:
        raise VeniceRequestError(
            f"output_path has {len(paths)} path{'s' if len(paths) != 1 else ''} for {count} "
            f"clip{'s' if count != 1 else ''}; give one for each",
            fields={"output_path": "not one for each"},
        )
    return paths


def _single(output_path: Any, map_index: int | None) -> Any:
    """Return where the clip goes of a task that makes one."""
    if not isinstance(output_path, (list, tuple)) and not _INDEX.search(str(output_path)):
        return output_path
    if isinstance(output_path, (list, tuple)):
        raise VeniceRequestError(
            f"output_path is a list of {len(output_path)}, and request is not a list; give one path, or a list "
            "of requests",
            fields={"output_path": "many for one"},
        )
    if map_index is None or map_index < 0:
        raise VeniceRequestError(
            f"output_path is {str(output_path)!r}, and there is neither a list of requests nor a mapped task whose "
            "place {index} could be; give a path without it",
            fields={"output_path": "has {index}"},
        )
    return _indexed(str(output_path), map_index)


def _indexed(path: str, position: int) -> str:
    return _INDEX.sub(lambda found: format(position, found[1] or ""), path)
