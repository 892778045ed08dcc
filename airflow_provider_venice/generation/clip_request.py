"""What one clip of a task is to be: its request as it was given, and of which model it is bought."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow_provider_venice.api.request import VideoRequest
from airflow_provider_venice.exceptions import VeniceRequestError
from airflow_provider_venice.generation.fallbacks import ModelChoice, admits_fallback
from airflow_provider_venice.generation.request_errors import request_name

if TYPE_CHECKING:
    from airflow_provider_venice.generation.options import RunOptions


class ClipRequest:
    """
    What one clip is to be; as text, its name for messages.

    :param options: what the task's arguments say.
    :param position: which of the requests; from 0.
    :param log: the task's log.
    """

    def __init__(self, options: RunOptions, position: int, log: Any) -> None:
        self._options = options
        self._given = options.requests[position]
        self._position = position
        self._log = log
        #: Which of the requests it is, for messages.
        self.place = f"request[{position}]" if options.is_list else "the clip"
        self.models = ModelChoice(options.fallback_models)

    def __str__(self) -> str:
        return request_name(self._position, self._given) if self._options.is_list else self.place

    @property
    def name(self) -> str:
        """Which request of a list it is, for the log; empty where the task was not given a list."""
        return str(self) if self._options.is_list else ""

    @property
    def labels(self) -> Mapping[str, Any] | None:
        """The labels of the request, ``None`` where it has none, or is not valid."""
        return self._shown[1]

    @property
    def described(self) -> Mapping[str, Any] | None:
        """What was asked for, media by name or size only, as its job will have it; ``None`` where it is not valid."""
        return self._shown[0]

    @cached_property
    def _shown(self) -> tuple[Mapping[str, Any] | None, Mapping[str, Any] | None]:
        try:
            request = self.asked
        except VeniceRequestError:
            return None, None
        return request.describe(), request.labels

    @property
    def asked(self) -> VideoRequest:
        """
        What was asked for.

        :raises VeniceRequestError: naming every field that is unknown or wrong.
        """
        return self._options.read_request(self._given)

    @property
    def request(self) -> VideoRequest:
        """
        What to buy: what was asked for, of the first model that has not refused it.

        :raises VeniceRequestError: naming every field that is unknown or wrong.
        """
        return self.models.choose(self.asked)

    @property
    def models_left(self) -> list[str]:
        """The models that have not refused the clip, that of :attr:`request` first."""
        return self.models.left(self.asked)

    def fall_back(self, model: str, reason: object) -> bool:
        """
        Go on to the next model, if one is left after an end that is certain and free; log why, and return whether so.

        :param model: the model that is not bought, or was refunded.
        :param reason: the error, or what the catalogue says.
        """
        if isinstance(reason, Exception) and not admits_fallback(reason):
            return False
        try:
            following = self.models.refuse(self.asked, model, reason)
        except VeniceRequestError:
            return False  # edited since the clip was bought, and not valid
        if following is not None:
            self.log_fallback(model, reason, following)
        return following is not None

    def log_fallback(self, model: str, reason: object, following: str) -> None:
        """Log that another model is asked, and why."""
        self._log.warning("%s: model %r gives no clip: %s. Falling back to %r", self, model, reason, following)
