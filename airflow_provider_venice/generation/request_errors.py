"""What is wrong with the requests of a task, gathered, so that one error names all of them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from airflow_provider_venice.exceptions import VeniceAPIError, VeniceBudgetError, VeniceError, VeniceRequestError

#: Most requests that an error describes.
MOST_LISTED = 30

#: Characters of a prompt that tell a request from the others of its list.
_MOST_SHOWN = 30

#: Refusals that are about the one request; any other would meet the next one as well.
_OF_ONE_REQUEST = (400, 404, 409, 410, 413, 422)


def is_of_one_request(error: Exception) -> bool:
    """Whether Venice has refused the one request; another may be accepted."""
    return isinstance(error, VeniceAPIError) and error.status_code in _OF_ONE_REQUEST and not error.can_heal


def first_line(error: Exception) -> str:
    """Return what an error says first: of one that names each request of a list, how many are wrong."""
    return str(error).partition("\n")[0].rstrip(":")


def request_name(position: int, request: Any) -> str:
    """
    Return what messages call a request of a list: its place, and the beginning of its prompt.

    :param position: its place in the list, from 0.
    :param request: the request, as it was given.
    """
    prompt = request.get("prompt") if isinstance(request, Mapping) else None
    if not isinstance(prompt, str) or not prompt.strip():
        return f"request[{position}]"
    line = " ".join(prompt.split())
    shown = line if len(line) <= _MOST_SHOWN else f"{line[:_MOST_SHOWN].rstrip()}…"
    return f'request[{position}] "{shown}"'


class RequestErrors:
    """
    What is wrong with each request of a list. With a single request the first error is raised at once.

    :param requests: all requests of the task, as they were given.
    :param is_list: whether the task was given a list.
    """

    def __init__(self, requests: Sequence[Any], *, is_list: bool) -> None:
        self._requests = requests
        self._is_list = is_list
        self._errors: dict[int, list[VeniceError]] = {}

    @contextlib.contextmanager
    def about(self, position: int) -> Iterator[None]:
        """Gather what is raised about one request; what would meet any other request as well goes through."""
        try:
            yield
        except VeniceError as error:
            if not self._is_list or not (isinstance(error, VeniceRequestError) or is_of_one_request(error)):
                raise
            self._errors.setdefault(position, []).append(error)

    def has(self, position: int) -> bool:
        """Whether something is wrong with the request."""
        return position in self._errors

    def raise_all(self, budget: VeniceBudgetError | None = None) -> None:
        """
        Raise one error that names every request that is wrong, if one is.

        :param budget: what is wrong with the price of all.
        """
        if not self._errors:
            if budget is not None:
                raise budget
            return
        found = {position: "; ".join(map(str, errors)) for position, errors in sorted(self._errors.items())}
        lines = [f"{request_name(position, self._requests[position])}: {text}" for position, text in found.items()]
        if len(lines) > MOST_LISTED:
            lines[MOST_LISTED:] = [f"and {len(lines) - MOST_LISTED} more"]
        if budget is not None:
            lines.append(str(budget))
        count = f"{len(found)} of {len(self._requests)} requests {'is' if len(found) == 1 else 'are'} wrong"
        raise VeniceRequestError(
            "\n".join([f"{count}, and none is queued:", *lines]),
            fields={f"request[{position}]": text for position, text in found.items()},
            can_heal=budget is None and all(error.can_heal for errors in self._errors.values() for error in errors),
        )
