"""
### A picture first, then a clip that starts with it

The first task has Venice draw a picture and stores it as a file, on this machine or in an object
storage. The second one gives that file's path as `image_url`: paths are read and sent along, so the
picture needs no public address. What goes from task to task is the path, never the bytes.
"""

from __future__ import annotations

import os

from airflow.sdk import DAG, ObjectStoragePath, Param, task

from airflow_provider_venice.hooks.venice import VeniceHook
from airflow_provider_venice.operators.video import VeniceGenerateVideoOperator

with DAG(
    dag_id="venice_image_to_video",
    schedule=None,
    doc_md=__doc__,
    tags=["example", "venice"],
    params={
        "picture": Param("A clay fox in a paper forest, studio light", type="string", minLength=1),
        "motion": Param("The fox looks up; leaves begin to fall", type="string", minLength=1),
        "output_dir": Param(os.environ.get("VENICE_OUTPUT_DIR", "/tmp/venice"), type="string"),
    },
) as dag:
    # [START howto_image_to_video]
    # An image is paid for as well, and a task of one's own remembers nothing: no retry draws it twice.
    @task(retries=0)
    def draw(prompt: str, target: str) -> str:
        """Draw the first frame, store it, and return its path. Venice charges for every picture."""
        picture = VeniceHook().generate_image("grok-imagine-image", prompt, format="png")
        path = ObjectStoragePath(target)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture.data)
        return str(path)

    VeniceGenerateVideoOperator(
        task_id="animate",
        model="wan-2-7-image-to-video",
        # Arguments of a @task are templates too.
        image_url=draw("{{ params.picture }}", "{{ params.output_dir }}/{{ run_id }}.png"),
        prompt="{{ params.motion }}",
        duration="5s",
        max_cost=2.00,
        output_path="{{ params.output_dir }}/{{ run_id }}.mp4",
    )
    # [END howto_image_to_video]
