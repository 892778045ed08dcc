"""
### Several shots, one film

The shots of a list are made together, then joined in their order. Nothing is encoded again: the film has the very
pictures and sound of the shots. For that they must have one format, as clips of one model with one aspect ratio and
one resolution have; a shot of another format is named, and no film is made.

To join them, the workers need PyAV: `pip install 'airflow-provider-venice[media]'`.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, ObjectStoragePath, Param, task

from airflow_provider_venice.operators.video import VeniceGenerateVideoOperator
from airflow_provider_venice.storage import existing_video


# [START howto_film_join]
def copy_packets(shots: list[Any], film: Any) -> None:
    """
    Put the encoded pictures and sound of the shots one after the other.

    :param shots: files that PyAV has opened.
    :param film: one that it writes.
    """
    outputs = {stream.index: film.add_stream_from_template(stream) for stream in shots[0].streams}
    start = 0.0  # seconds
    for shot in shots:
        for packet in shot.demux():
            # The end of a stream, or sound before the first picture, with which an encoder starts up.
            if packet.dts is None or (start and packet.pts < 0):
                continue
            offset = round(start / packet.time_base)
            packet.pts += offset
            packet.dts += offset
            packet.stream = outputs[packet.stream.index]
            film.mux(packet)
        start += shot.duration / 1_000_000  # PyAV has the length of a file in microseconds


def join_shots(paths: list[str], film: str) -> None:
    """
    Write a film of clips.

    :param paths: of the clips, local or in an object storage.
    :param film: a local path.
    """
    import av

    with ExitStack() as files:
        shots = [
            files.enter_context(av.open(files.enter_context(ObjectStoragePath(path).open("rb")))) for path in paths
        ]
        # The extradata has all that a decoder must know beforehand, the size of the picture as well.
        formats = [
            [(stream.codec_context.name, stream.codec_context.extradata) for stream in shot.streams] for shot in shots
        ]
        others = [path for path, kind in zip(paths, formats, strict=True) if kind != formats[0]]
        if others:
            raise ValueError(f"Not of the same format as {paths[0]}: {', '.join(others)}")
        with av.open(film, "w", options={"movflags": "+faststart"}) as output:
            copy_packets(shots, output)


# [END howto_film_join]

with DAG(
    dag_id="venice_film",
    schedule=None,
    doc_md=__doc__,
    tags=["example", "venice"],
    params={
        "shots": Param(
            [
                "A baker opens the shop before sunrise",
                "Hands knead dough on a floured table, close-up",
                "Loaves come out of the oven, steam in the morning light",
            ],
            type="array",
            items={"type": "string"},
            minItems=1,
        ),
        "max_cost": Param(3.0, type="number", minimum=0, description="US dollars for all shots"),
        "output_dir": Param(os.environ.get("VENICE_OUTPUT_DIR", "/tmp/venice"), type="string"),
    },
) as dag:
    # [START howto_film]
    @task
    def list_shots(**context: Any) -> list[dict[str, str]]:
        """Return a request for each shot."""
        return [{"prompt": prompt} for prompt in context["params"]["shots"]]

    shots = VeniceGenerateVideoOperator(
        task_id="shots",
        model="wan-2-7-text-to-video",
        duration="5s",
        aspect_ratio="16:9",
        resolution="720p",
        request=list_shots(),  # type: ignore[arg-type]
        max_cost="{{ params.max_cost }}",
        output_path="{{ params.output_dir }}/{{ run_id }}/shot-{index:02}.mp4",
    )

    @task
    def make_film(clips: list[dict[str, Any]], target: str) -> dict[str, Any]:
        """Join the clips, check the film's length, and return its path and length."""
        with tempfile.TemporaryDirectory() as folder:
            local = Path(folder) / "film.mp4"
            join_shots([clip["path"] for clip in clips], str(local))
            film = existing_video(local)  # reads it, and refuses one that is not whole
            seconds = sum(clip["metadata"]["duration"] for clip in clips)
            if film is None or abs((film.metadata.duration or 0) - seconds) > 0.1 * len(clips):
                raise ValueError(f"The film should be {seconds} s long: {film}")
            ObjectStoragePath(target).write_bytes(local.read_bytes())
        return {"path": target, "duration": film.metadata.duration}

    make_film(shots.output, "{{ params.output_dir }}/{{ run_id }}/film.mp4")  # type: ignore[arg-type]
    # [END howto_film]
