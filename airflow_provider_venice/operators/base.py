"""What all operators share: the connection, the request from its arguments, the budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import BaseOperator

from airflow_provider_venice.api.budget import Budget
from airflow_provider_venice.api.request import REQUEST_FIELDS, VideoRequest, set_apart
from airflow_provider_venice.exceptions import VeniceRequestError
from airflow_provider_venice.generation import arguments

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_venice.generation.lineage import LineageClip
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
        with arguments.checked(self.task_id):
            arguments.check_connection(venice_conn_id)

    @cached_property
    def hook(self) -> VeniceHook:
        """The hook of the connection."""
        from airflow_provider_venice.hooks.venice import VeniceHook

        return VeniceHook(self.venice_conn_id)

    def lineage_clips(self) -> list[LineageClip]:
        """Return the clips that this execution has bought or stored, for OpenLineage."""
        return []

    def get_openlineage_facets_on_complete(self, _: Any) -> OperatorLineage[Any, Any]:
        """Return what was bought and stored; only the listener of Airflow's OpenLineage provider calls this."""
        from airflow_provider_venice.generation.lineage import describe_lineage

        return describe_lineage(self.lineage_clips())

    #: A task that fails has bought what it has bought.
    get_openlineage_facets_on_failure = get_openlineage_facets_on_complete


def _mapping(request: Any) -> Any:
    if isinstance(request, VideoRequest):
        return request.to_mapping()
    return [_mapping(one) for one in request] if isinstance(request, list) else request


def _names(argument: str, given: Sequence[str]) -> tuple[str, ...]:
    """Return the names of columns; those of fields that are sent are no labels."""
    names = (given,) if isinstance(given, str) else tuple(given)
    sent = set(names) & {"image", *REQUEST_FIELDS} - {"labels"}
    if argument == "label_fields" and sent:
        raise ValueError(
            f"label_fields has {', '.join(map(repr, sorted(sent)))}, which Venice would then not be sent; name "
            "columns of your own. What was sent is in the result as job['request']"
        )
    return names


class VideoRequestOperator(VeniceOperator):
    """
    An operator that takes a video request: field by field, as ``request``, or both.

    With both, a field of ``request`` goes before the argument of that name, so that the
    arguments serve as defaults for rows of a table: ``.partial(model=…).expand(request=rows)``.
    All fields are templated. What they mean is described in
    :class:`~airflow_provider_venice.api.request.VideoRequest`.

    :param request: a ``VideoRequest`` or a mapping of its fields. (templated)
    :param max_cost: most US dollars to spend; above it the task fails before anything is queued. (templated)
    :param min_balance: least US dollars that must be left on the account afterwards. Tasks that run at once do not see
        each other. (templated)
    :param label_fields: columns of ``request`` that Venice is not sent, and that are kept with the clip as ``labels``.
    :param ignore_fields: columns of ``request`` that are left out.
    """

    template_fields: Sequence[str] = (
        *VeniceOperator.template_fields,
        "request",
        "max_cost",
        "min_balance",
        "image",
        *REQUEST_FIELDS,
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"request": "json", "extra_body": "json"}

    def __init__(
        self,
        *,
        request: Any = None,
        max_cost: Decimal | float | str | None = None,
        min_balance: Decimal | float | str | None = None,
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
        labels: Mapping[str, Any] | None = None,
        label_fields: Sequence[str] = (),
        ignore_fields: Sequence[str] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        # As mappings, because Airflow renders the templates in these, and not in a VideoRequest.
        self.request = _mapping(request)
        self.max_cost = max_cost
        self.min_balance = min_balance
        #: The limits that the DAG sets. What it renders them from may be missing in a run.
        self._limits = [
            name for name, limit in (("max_cost", max_cost), ("min_balance", min_balance)) if limit is not None
        ]
        with arguments.checked(self.task_id):
            self.label_fields = _names("label_fields", label_fields)
            self.ignore_fields = _names("ignore_fields", ignore_fields)
        # One attribute per field, because Airflow renders and expands attributes.
        self.image = image
        self.model = model
        self.prompt = prompt
        self.duration = duration
        self.aspect_ratio = aspect_ratio
        self.resolution = resolution
        self.audio = audio
        self.negative_prompt = negative_prompt
        self.image_url = image_url
        self.end_image_url = end_image_url
        self.audio_url = audio_url
        self.video_url = video_url
        self.upscale_factor = upscale_factor
        self.reference_image_urls = reference_image_urls
        self.reference_video_urls = reference_video_urls
        self.reference_audio_urls = reference_audio_urls
        self.reference_document_urls = reference_document_urls
        self.elements = elements
        self.scene_image_urls = scene_image_urls
        self.keyframes = keyframes
        self.bitrate_mode = bitrate_mode
        self.omni_reference_task_type = omni_reference_task_type
        self.consents = consents
        self.seed = seed
        self.fps = fps
        self.motion_bucket_id = motion_bucket_id
        self.guidance_scale = guidance_scale
        self.reference_video_total_duration = reference_video_total_duration
        self.extra_body = extra_body
        self.labels = labels
        with arguments.checked(self.task_id):
            arguments.check_limits(max_cost=max_cost, min_balance=min_balance)
            # A subclass may set what is missing.
            own = type(self).__module__.startswith("airflow_provider_venice.")
            arguments.check_request(request, self._fields, self._set_apart, is_complete=own)

    def video_request(self, request: Any = None) -> VideoRequest:
        """
        Return the request that the arguments describe.

        :param request: in place of the operator's own ``request``.
        :raises VeniceRequestError: naming every field that is unknown or wrong.
        """
        given = self.request if request is None else request
        return VideoRequest.of(self._set_apart(given), **self._fields)

    @property
    def _fields(self) -> dict[str, Any]:
        """The arguments that are fields of a request."""
        return {name: getattr(self, name) for name in ("image", *REQUEST_FIELDS)}

    def _set_apart(self, request: Any) -> Any:
        """Put the columns of a row aside that are no fields of a request."""
        return set_apart(request, self.label_fields, self.ignore_fields) if isinstance(request, Mapping) else request

    @property
    def is_batch(self) -> bool:
        """Whether ``request`` is a list."""
        return self.request is not None and not isinstance(self.request, (VideoRequest, Mapping, str))

    @cached_property
    def requests(self) -> list[Any]:
        """
        The requests as they were given: one, or those of the list.

        :raises VeniceRequestError: when it is neither.
        """
        if not self.is_batch:
            return [self.request]
        if isinstance(self.request, (set, frozenset)) or hasattr(self.request, "columns"):
            is_table = hasattr(self.request, "columns")
            fix = "give request.to_dict('records')" if is_table else "give a list, which has an order"
            raise VeniceRequestError(f"request is a {type(self.request).__name__}; {fix}")
        return list(self.request)

    @property
    def budget(self) -> Budget:
        """
        The limits that the arguments set.

        :raises VeniceRequestError: when one is not an amount, or has become ``None`` when it was rendered.
        """
        for name in self._limits:
            if getattr(self, name) is None:
                raise VeniceRequestError(
                    f"{name} was set in the DAG, and has become None when it was rendered; give the template a default "
                    f"value in US dollars, or leave {name} out for no limit",
                    fields={name: "is None"},
                )
        return Budget.of(max_cost=self.max_cost, min_balance=self.min_balance)
