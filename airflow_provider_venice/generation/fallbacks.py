"""Which of the models that a task names is bought: the first, and after an end that is certain and free the next."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from airflow_provider_venice.api import constraints
from airflow_provider_venice.api.model import VideoModel
from airflow_provider_venice.api.request import VideoRequest
from airflow_provider_venice.api.values import is_rendered_none, is_unset
from airflow_provider_venice.exceptions import VeniceAPIError, VeniceError, VeniceRequestError, VideoGenerationError

#: Statuses and codes of Venice that refuse a clip of this model, and say nothing against another model; ``None`` stands
#: for any code.
_REFUSALS = {(400, "INVALID_MODEL"), (404, None), (410, None), (422, None), (503, "MODEL_OFFLINE")}

#: Of these, the one that is about the request and the model together: the model may take another request.
_POLICY = 422

#: Characters of a reason that are remembered.
_MOST_REASON = 500


def admits_fallback(error: Exception) -> bool:
    """
    Whether a clip has ended in a way that is certain and free, and that another model may not share.

    ================================================================================= =========
    How it ended                                                                      Next model
    ================================================================================= =========
    submission or price: 404, 410, 400 ``INVALID_MODEL``: the model is gone           yes
    submission or price: 503 ``MODEL_OFFLINE``                                        yes
    submission: 422, content policy                                                   yes
    the job has failed, and Venice says that the charge was refunded                  yes
    the job has failed, and Venice does not say so, or says the contrary              no
    the outcome of the submission is not known                                        no
    400, 413: the request is wrong; 409: a person has to consent                      no
    401, 402, 403: key, balance, spending limit, plan                                 no
    408, 429, 5xx, ``MODEL_AT_CAPACITY``, no connection: it may pass                  no
    an answer that is not Venice's own                                                no
    a limit of the task: ``max_cost``, ``min_balance``; the time is up                no
    ================================================================================= =========
    """
    if isinstance(error, VideoGenerationError):
        return error.credits_refunded is True
    if not isinstance(error, VeniceAPIError) or error.is_foreign or error.may_have_acted:
        return False
    is_refusal = not _REFUSALS.isdisjoint({(error.status_code, None), (error.status_code, error.error_code)})
    return is_refusal and error.credits_refunded is not False


def is_of_every_request(refusal: VeniceError) -> bool:
    """Whether a refusal that admits a fallback would meet any other request to the same model."""
    return isinstance(refusal, VeniceAPIError) and refusal.status_code != _POLICY


def read_models(value: Any) -> tuple[str, ...]:
    """
    Return the ids of the models that ``fallback_models`` names.

    :param value: a list of ids, one id, or nothing.
    :raises VeniceRequestError: when it is something else.
    """
    if is_unset(value):
        return ()
    given = [value] if isinstance(value, str) else value
    if not isinstance(given, (list, tuple)):
        problem = f"is {value!r}; give a list of model ids, such as ['wan-2-7-text-to-video']"
        raise VeniceRequestError(f"fallback_models {problem}", fields={"fallback_models": problem})
    for position, model in enumerate(given):
        if not isinstance(model, str) or not model.strip() or is_rendered_none(model):
            name, problem = f"fallback_models[{position}]", f"is {model!r}; give the id of a model, or leave it out"
            raise VeniceRequestError(f"{name} {problem}", fields={name: problem})
    return tuple(dict.fromkeys(model.strip() for model in given))


class ModelChoice:
    """
    The models of one clip, and which of them have refused it.

    :param fallback_models: ids of the models that may follow the one that is asked for, in this order.
    """

    def __init__(self, fallback_models: Sequence[str]) -> None:
        self._fallback_models = tuple(fallback_models)
        #: Why each model was not bought, or was refunded; the one that was asked for stands first.
        self.refused: dict[str, str] = {}

    def left(self, asked: VideoRequest) -> list[str]:
        """Return the models that have not refused the clip, the next one first."""
        models = dict.fromkeys((asked.model, *self._fallback_models))
        return [model for model in models if model not in self.refused]

    def choose(self, asked: VideoRequest) -> VideoRequest:
        """Return the request for the first model that is left; for the last of all where none is."""
        model = (self.left(asked) or (asked.model, *self._fallback_models)[-1:])[0]
        return asked if model == asked.model else dataclasses.replace(asked, model=model)

    def refuse(self, asked: VideoRequest, model: str, reason: object) -> str | None:
        """
        Note that a model has refused the clip, if another one is left, and return that; else ``None``.

        :param asked: the request, with the model that was asked for.
        :param model: the one that has refused it.
        :param reason: why, for people.
        """
        following = next((other for other in self.left(asked) if other != model), None)
        if following is not None:
            self.refused[model] = _short(reason)
        return following

    def recall(self, asked: VideoRequest, refused: Mapping[str, str]) -> str | None:
        """Take over from an earlier try which models have refused the clip; return the next one, if one is left."""
        if not self._fallback_models:
            return None
        self.refused = dict(refused)
        return next(iter(self.left(asked)), None)

    def before(self, model: str) -> dict[str, str]:
        """Return which other models have refused the clip, and why, for the record of ``model``."""
        return {refused: reason for refused, reason in self.refused.items() if refused != model}


def find_unavailable(model_id: str, models: Iterable[VideoModel]) -> str | None:
    """
    Return why the catalogue has no such model to sell, ``None`` where it has one.

    :param models: the answer of ``/models?type=video``.
    """
    known = {model.id: model for model in models}
    if model_id not in known:
        return "it is not a video model of this account"
    return "it is offline at present" if known[model_id].offline else None


def check_fallbacks(request: VideoRequest, model_ids: Iterable[str], models: Sequence[VideoModel]) -> None:
    """
    Refuse fallback models that could not take the request. One that is offline now may be back when it is needed.

    :param request: what is asked for.
    :param model_ids: the models that may follow the one of the request.
    :param models: the answer of ``/models?type=video``.
    :raises VeniceRequestError: naming the first such model, and every field that it does not accept.
    """
    for model_id in model_ids:
        try:
            constraints.check_request(dataclasses.replace(request, model=model_id), models)
        except VeniceRequestError as error:
            if not error.can_heal:
                raise VeniceRequestError(f"fallback_models: {error}", fields={"fallback_models": str(error)}) from None


def _short(reason: object) -> str:
    text = str(reason)
    return text if len(text) <= _MOST_REASON else f"{text[:_MOST_REASON]}…"
