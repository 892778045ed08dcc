"""What all operators share: the connection, the request from its arguments, the budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import BaseOperator

from airflow_provider_venice.api.request import REQUEST_FIELDS, VideoRequest
from airflow_provider_venice.exceptions import VeniceBudgetError, VeniceRequestError

if TYPE_CHECKING:
    from airflow_provider_venice.hooks.venice import VeniceHook


class VeniceOperator(BaseOperator):
    """
    An operator with a Venice connection.

    :param venice_conn_id: the connection. (templated)
    """

    template_fields: Sequence[str] = ("venice_conn_id",)
    ui_color = "#f3e3d3"

    def __init__(self, *, venice_conn_id: str = "venice_default", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.venice_conn_id = venice_conn_id

    @cached_property
    def hook(self) -> VeniceHook:
        """The hook of the connection."""
        from airflow_provider_venice.hooks.venice import VeniceHook

        return VeniceHook(self.venice_conn_id)


class VideoRequestOperator(VeniceOperator):
    """
    An operator that takes a video request: field by field, as ``request``, or both.

    With both, a field of ``request`` goes before the argument of that name, so that the
    arguments serve as defaults for rows of a table: ``.partial(model=…).expand(request=rows)``.
    All fields are templated. What they mean is told in
    :class:`~airflow_provider_venice.api.request.VideoRequest`.

    :param request: a ``VideoRequest`` or a mapping of its fields. (templated)
    :param max_cost: most US dollars to spend; above it the task fails before anything is queued. (templated)
    """

    template_fields: Sequence[str] = (*VeniceOperator.template_fields, "request", "max_cost", "image", *REQUEST_FIELDS)
    template_fields_renderers: ClassVar[dict[str, str]] = {"request": "json", "extra_body": "json"}

    def __init__(
        self,
        *,
        request: Any = None,
        max_cost: Decimal | float | str | None = None,
        model: str | None = None,
        prompt: str | None = None,
        duration: str | int | None = None,
        aspect_ratio: str | None = None,
        resolution: str | None = None,
        audio: bool | str | None = None,
        negative_prompt: str | None = None,
        image: Any = None,
        image_url: Any = None,
        end_image_url: Any = None,
        audio_url: Any = None,
        video_url: Any = None,
        upscale_factor: int | str | None = None,
        reference_image_urls: Any = None,
        reference_video_urls: Any = None,
        reference_audio_urls: Any = None,
        reference_document_urls: Any = None,
        elements: Any = None,
        scene_image_urls: Any = None,
        keyframes: Any = None,
        bitrate_mode: str | None = None,
        omni_reference_task_type: str | None = None,
        consents: Mapping[str, Any] | None = None,
        seed: int | str | None = None,
        fps: int | str | None = None,
        motion_bucket_id: int | str | None = None,
        guidance_scale: float | str | None = None,
        reference_video_total_duration: float | str | None = None,
        extra_body: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        given = locals()
        super().__init__(**kwargs)
        self.request = request
        self.max_cost = max_cost
        self.image = image
        # One attribute per field, because Airflow renders and expands attributes.
        for name in REQUEST_FIELDS:
            setattr(self, name, given[name])

    def video_request(self, request: Any = None) -> VideoRequest:
        """
        Return the request that the arguments describe.

        :param request: in place of the operator's own ``request``.
        :raises VeniceRequestError: naming every field that is unknown or wrong.
        """
        fields = {name: getattr(self, name) for name in ("image", *REQUEST_FIELDS)}
        return VideoRequest.of(self.request if request is None else request, **fields)

    def check_cost(self, cost: Decimal, what: str) -> None:
        """
        Compare a price with ``max_cost``.

        :param cost: US dollars.
        :param what: what costs that, for the message.
        :raises VeniceBudgetError: when it is above.
        """
        limit = self._max_cost()
        if limit is not None and cost > limit:
            raise VeniceBudgetError(
                f"{what} costs ${cost}, which is above max_cost=${limit}; nothing was queued. "
                "Raise max_cost, or choose a shorter clip, a lower resolution or another model",
                quote=cost,
                max_cost=limit,
            )

    @property
    def is_priced(self) -> bool:
        """Whether there is a limit, so that a price is needed."""
        return self._max_cost() is not None

    def _max_cost(self) -> Decimal | None:
        text = "" if self.max_cost is None else str(self.max_cost).strip()
        if not text:
            return None
        try:
            limit = Decimal(text)
        except InvalidOperation:
            limit = Decimal("NaN")
        if not limit.is_finite() or limit < 0:
            raise VeniceRequestError(
                f"max_cost is {self.max_cost!r}; give US dollars, such as 2.50", fields={"max_cost": "not an amount"}
            )
        return limit
