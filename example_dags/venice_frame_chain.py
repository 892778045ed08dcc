"""
### Shots that follow from each other

The last frame of a shot is the first frame of the next one, so that a scene can be longer than the longest clip of the
model. What is bought for the next shot depends on the frame, so the shots are made one after the other.
`venice_film` shows how to join them.

To take the frames, the workers need PyAV and Pillow: `pip install 'airflow-provider-venice[media]'`.
"""

from __future__ import annotations

import io
import os
from typing import Any

from airflow.sdk import DAG, ObjectStoragePath, Param, task

from airflow_provider_venice.operators.video import VeniceGenerateVideoOperator

# A line more is a shot more.
SHOTS = (
    "A paper boat rests on the bank of a stream in the morning",
    "The boat slips into the water and drifts away",
    "The boat goes down a small waterfall",
)

with DAG(
    dag_id="venice_frame_chain",
    schedule=None,
    doc_md=__doc__,
    tags=["example", "venice"],
    params={
        "max_cost": Param(1.0, type="number", minimum=0, description="US dollars for each shot"),
        "output_dir": Param(os.environ.get("VENICE_OUTPUT_DIR", "/tmp/venice"), type="string"),
    },
) as dag:
    # [START howto_frame_chain]
    @task
    def store_last_frame(clip: dict[str, Any], target: str) -> str:
        """Store the last frame of a clip as a picture, and return the picture's path."""
        import av

        with ObjectStoragePath(clip["path"]).open("rb") as file, av.open(file) as container:
            for frame in container.decode(video=0):
                last = frame
            buffer = io.BytesIO()
            # Without loss, or the shots would differ where they meet.
            last.to_image().save(buffer, "PNG")
        path = ObjectStoragePath(target)
        path.write_bytes(buffer.getvalue())
        return str(path)

    FOLDER = "{{ params.output_dir }}/{{ run_id }}"

    first_frame: Any = None
    for number, prompt in enumerate(SHOTS):
        shot = VeniceGenerateVideoOperator(
            task_id=f"shot_{number}",
            model=f"wan-2-7-{'text' if first_frame is None else 'image'}-to-video",
            prompt=prompt,
            image_url=first_frame,
            # A shot that begins with a picture has its shape.
            aspect_ratio="16:9" if first_frame is None else None,
            duration="5s",
            resolution="720p",
            max_cost="{{ params.max_cost }}",
            output_path=f"{FOLDER}/shot-{number}.mp4",
        )
        if number < len(SHOTS) - 1:
            first_frame = store_last_frame.override(task_id=f"last_frame_{number}")(
                shot.output,  # type: ignore[arg-type]
                f"{FOLDER}/last-frame-{number}.png",
            )
    # [END howto_frame_chain]
