"""
What a task has bought and stored, for the listener of Airflow's OpenLineage provider.

Only that provider calls this, and only where it is installed.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_venice.api.model import VideoJob

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_venice.generation.clips import Clip

#: The name of the run facet.
FACET = "venice"


@dataclass(frozen=True)
class LineageClip:
    """
    One clip of a task.

    :param status: as the XCom ``venice_results`` has it, such as ``stored``, ``failed`` or ``doubt``; or ``collected``.
    :param model: the model that was asked for.
    :param job: what was bought, if anything was.
    :param fingerprint: that of the request, where the task has bought the clip itself.
    :param cost: US dollars as quoted, ``None`` where that is not known.
    :param file: ``path``, ``size`` and ``sha256`` of its file, where it is stored.
    """

    status: str
    model: str
    job: VideoJob | None = None
    fingerprint: str | None = None
    cost: float | None = None
    file: Mapping[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return what the facet has of it, in the manner of OpenLineage's own facets."""
        request = {} if self.job is None else self.job.request or {}
        return {
            "status": self.status,
            "model": self.model,
            "queueId": None if self.job is None else self.job.queue_id,
            "requestFingerprint": self.fingerprint,
            "seed": request.get("seed"),
            "estimatedCostUsd": self.cost,
            "path": None if self.file is None else self.file["path"],
            "sha256": None if self.file is None else self.file["sha256"],
        }


def lineage_clips(clips: Sequence[Clip]) -> list[LineageClip]:
    """Return those clips of a run that were bought, or may have been."""
    found = []
    for clip in clips:
        outcome, entry = clip.outcome(), clip.submission.entry
        if entry is not None and (clip.job is not None or clip.is_doubtful):
            file = None if clip.stored is None else clip.stored.to_dict()
            cost = None if entry.cost is None else float(entry.cost)
            found.append(LineageClip(outcome["status"], entry.model, clip.job, entry.fingerprint, cost, file))
    return found


def describe_lineage(clips: Iterable[LineageClip]) -> OperatorLineage[Any, Any]:
    """
    Return the run facet of these clips, and their files as the outputs of the task.

    :param clips: the clips; without any, there is no facet.
    """
    from airflow.providers.openlineage.extractors import OperatorLineage

    given = list(clips)
    facets = {FACET: _facet_class()(clips=[clip.to_dict() for clip in given])} if given else {}
    return OperatorLineage(outputs=[_dataset(clip.file) for clip in given if clip.file], run_facets=facets)


@functools.cache
def _facet_class() -> Any:
    """Return the class of the facet; made here, as its base is in a package that may not be installed."""
    import attrs
    from openlineage.client.facet_v2 import RunFacet

    @attrs.define
    class VeniceRunFacet(RunFacet):
        clips: list[dict[str, Any]]

    return VeniceRunFacet


def _dataset(file: Mapping[str, Any]) -> Any:
    """Return a file under the name by which OpenLineage's naming has it: without the connection's id."""
    from openlineage.client.event_v2 import OutputDataset
    from openlineage.client.facet_v2 import output_statistics_output_dataset

    namespace, name = "file", str(file["path"]).removeprefix("file://")
    if "://" in name:
        scheme, _, rest = name.partition("://")
        place, _, name = rest.partition("/")
        namespace = f"{scheme}://{place.rpartition('@')[2]}"
    statistics = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(size=file["size"], fileCount=1)
    return OutputDataset(namespace, name, outputFacets={"outputStatistics": statistics})
