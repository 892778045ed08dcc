"""What is wrong with the requests of a task, before the first one is bought: gathered, so that one error names all."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_venice.api import constraints
from airflow_provider_venice.api.fingerprint import fingerprint
from airflow_provider_venice.exceptions import VeniceBudgetError, VeniceError, VeniceRequestError
from airflow_provider_venice.generation.clips import Clip, is_of_one_request

if TYPE_CHECKING:
    from airflow_provider_venice.generation.terms import Terms
    from airflow_provider_venice.hooks.venice import VeniceHook

#: Most requests that an error describes.
MOST_LISTED = 30

#: Most pairs of equal requests that the log names.
_MOST_PAIRS = 10


class Findings:
    """
    What is wrong with each request of a list. With a single request the first error is raised at once.

    :param clips: all clips of the task.
    :param is_list: whether the task was given a list.
    """

    def __init__(self, clips: Sequence[Clip], *, is_list: bool) -> None:
        self._clips = clips
        self._is_list = is_list
        self._errors: dict[int, list[VeniceError]] = {}

    @contextlib.contextmanager
    def about(self, clip: Clip) -> Iterator[None]:
        """Gather what is raised about the request of ``clip``; what would meet any other request goes through."""
        try:
            yield
        except VeniceError as error:
            if not self._is_list or not (isinstance(error, VeniceRequestError) or is_of_one_request(error)):
                raise
            self._errors.setdefault(self._clips.index(clip), []).append(error)

    def has(self, clip: Clip) -> bool:
        """Whether something is wrong with the request of ``clip``."""
        return self._clips.index(clip) in self._errors

    def raise_all(self, budget: VeniceBudgetError | None = None) -> None:
        """
        Raise one error that names every request that is wrong, if one is.

        :param budget: what is wrong with the price of all.
        """
        if not self._errors:
            if budget is not None:
                raise budget
            return
        found = sorted(self._errors.items())
        lines = [f"{self._clips[index].submission}: {'; '.join(map(str, errors))}" for index, errors in found]
        if len(lines) > MOST_LISTED:
            lines[MOST_LISTED:] = [f"and {len(lines) - MOST_LISTED} more"]
        if budget is not None:
            lines.append(str(budget))
        count, total = len(found), len(self._clips)
        raise VeniceRequestError(
            f"{count} of {total} requests {'is' if count == 1 else 'are'} wrong, and none is queued:\n"
            + "\n".join(lines),
            fields={f"request[{index}]": "; ".join(map(str, errors)) for index, errors in found},
            can_heal=budget is None and all(error.can_heal for errors in self._errors.values() for error in errors),
        )


def check_requests(clips: Sequence[Clip], terms: Terms, hook: VeniceHook, findings: Findings, log: Any) -> None:
    """
    Check all that can be known of requests without Venice's prices: fields, constraints, media and targets.

    Sets the ``request`` of each clip that has a valid one.

    :param clips: those that are to be bought.
    """
    for clip in clips:
        with findings.about(clip):
            clip.request = clip.submission.request
    if terms.validate:
        _check_constraints([clip for clip in clips if clip.request is not None], hook, findings, log)
    if not terms.is_list:
        # Of a single one, the media are read right before it is submitted, and the target is reserved.
        return
    for clip in clips:
        if clip.request is not None and not findings.has(clip):
            with findings.about(clip):
                # Reads the media, one request after the other, and holds none of them.
                hook.prepare(clip.request)
    if terms.delivery is not None:
        _check_targets(clips, terms, findings)
    _name_equal_requests(clips, log)


def _check_constraints(clips: Sequence[Clip], hook: VeniceHook, findings: Findings, log: Any) -> None:
    if not clips:
        return
    models = hook.list_models()
    ending = {}
    for clip in clips:
        assert clip.request is not None
        with findings.about(clip):
            model = constraints.check_request(clip.request, models)
            if model.deprecation:
                ending[model.id] = model.deprecation
    for name, deprecation in ending.items():
        log.warning("Model %s is going to end: %s", name, dict(deprecation))


def _check_targets(clips: Sequence[Clip], terms: Terms, findings: Findings) -> None:
    """Check that each target is free. Whether another task has it, its reservation says."""
    from airflow_provider_venice import storage

    assert terms.delivery is not None
    first: dict[str, Clip] = {}
    for clip in clips:
        with findings.about(clip):
            same = first.setdefault(str(clip.target), clip)
            if same is not clip:
                raise VeniceRequestError(
                    f"its output_path {str(clip.target)!r} is that of {same.submission.place} too; give each its own",
                    fields={"output_path": "stands twice"},
                )
            storage.check_target(clip.target, overwrite=terms.delivery.overwrite)


def _name_equal_requests(clips: Sequence[Clip], log: Any) -> None:
    first: dict[str, Clip] = {}
    pairs = []
    for clip in clips:
        if clip.request is not None:
            same = first.setdefault(fingerprint(clip.request), clip)
            if same is not clip:
                pairs.append(f"{clip.submission.place} is that of {same.submission.place}")
    if pairs:
        more = f" and {len(pairs) - _MOST_PAIRS} more" if len(pairs) > _MOST_PAIRS else ""
        log.warning(
            "The same request stands more than once, and each is bought: %s%s", ", ".join(pairs[:_MOST_PAIRS]), more
        )
