"""What must be right about the requests of a task before the first one is bought, their prices apart. All is free."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_venice.api import constraints
from airflow_provider_venice.api.fingerprint import fingerprint
from airflow_provider_venice.api.model import VideoModel
from airflow_provider_venice.api.request import VideoRequest
from airflow_provider_venice.exceptions import VeniceRequestError
from airflow_provider_venice.generation.clips import Clip
from airflow_provider_venice.generation.fallbacks import check_fallbacks, find_unavailable
from airflow_provider_venice.generation.request_errors import RequestErrors

if TYPE_CHECKING:
    from airflow_provider_venice.generation.options import RunOptions
    from airflow_provider_venice.hooks.venice import VeniceHook

#: Most pairs of equal requests that the log names.
_MOST_PAIRS = 10


def check_requests(
    clips: Sequence[Clip], options: RunOptions, hook: VeniceHook, problems: RequestErrors, log: Any
) -> None:
    """
    Check all that can be known of requests without Venice's prices: fields, constraints, media and targets.

    Sets the ``request`` of each clip that has a valid one.

    :param clips: those that are to be bought.
    """
    for clip in clips:
        with problems.about(clip.position):
            clip.request = clip.wanted.request
    if options.validate:
        _check_constraints([clip for clip in clips if clip.request is not None], hook, problems, log)
    if not options.is_list:
        # Of a single one, the media are read right before it is submitted, and the target is reserved.
        return
    for clip in clips:
        if clip.request is not None and not problems.has(clip.position):
            with problems.about(clip.position):
                # Reads the media, one request after the other, and holds none of them.
                hook.prepare(clip.request)
    if options.delivery is not None:
        _check_targets(clips, problems)
    _name_equal_requests(clips, log)


def _check_constraints(clips: Sequence[Clip], hook: VeniceHook, problems: RequestErrors, log: Any) -> None:
    if not clips:
        return
    models = hook.list_models()
    ending = {}
    for clip in clips:
        with problems.about(clip.position):
            following = clip.wanted.models_left[1:]
            clip.request = _available(clip, models)
            model = constraints.check_request(clip.request, models)
            check_fallbacks(clip.request, following, models)
            if model.deprecation:
                ending[model.id] = model.deprecation
    for name, deprecation in ending.items():
        log.warning("Model %s is going to end: %s", name, dict(deprecation))


def _available(clip: Clip, models: Sequence[VideoModel]) -> VideoRequest:
    """Return the request for the first model of a clip that the catalogue has to sell; for the last if it has none."""
    request = clip.wanted.request
    while (reason := find_unavailable(request.model, models)) and clip.wanted.fall_back(request.model, reason):
        request = clip.wanted.request
    return request


def _check_targets(clips: Sequence[Clip], problems: RequestErrors) -> None:
    """Check that each target is free. Whether another task has it, its reservation says."""
    first: dict[str, Clip] = {}
    for clip in clips:
        delivery = clip.submission.delivery
        assert delivery is not None
        if delivery.existing == "reuse" and problems.has(clip.position):
            continue  # what is there was read, and is in the way
        with problems.about(clip.position):
            same = first.setdefault(str(clip.target), clip)
            if same is not clip:
                raise VeniceRequestError(
                    f"its output_path {str(clip.target)!r} is that of {same.wanted.place} too; give each its own",
                    fields={"output_path": "stands twice"},
                )
            delivery.check_target(clip.target)


def _name_equal_requests(clips: Sequence[Clip], log: Any) -> None:
    first: dict[str, Clip] = {}
    pairs = []
    for clip in clips:
        if clip.request is not None:
            same = first.setdefault(fingerprint(clip.request), clip)
            if same is not clip:
                pairs.append(f"{clip.wanted.place} is that of {same.wanted.place}")
    if pairs:
        more = f" and {len(pairs) - _MOST_PAIRS} more" if len(pairs) > _MOST_PAIRS else ""
        log.warning(
            "The same request stands more than once, and each is bought: %s%s", ", ".join(pairs[:_MOST_PAIRS]), more
        )
