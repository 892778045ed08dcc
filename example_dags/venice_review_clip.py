"""
### A person sees the clip before it is published

The clip is made, then a person finds it under *Required Actions* in the UI, with a link to the page that plays it.
Approved, it is copied to `publish_dir`. Rejected, or not answered within a day, it stays where it is, and is not
published.

Where the browsers of these people can open `output_dir` by a URL, give that URL as `preview_url`: the question then
shows the clip as a small moving picture, without sound. That needs PyAV and Pillow on the workers:
`pip install 'airflow-provider-venice[media]'`.
"""

from __future__ import annotations

import io
import logging
import os
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from airflow import __version__ as airflow_version
from airflow.providers.standard import __version__ as standard_version
from airflow.sdk import DAG, ObjectStoragePath, Param, task
from packaging.version import Version

from airflow_provider_venice.operators.video import VeniceGenerateVideoOperator

OUTPUT_DIR = os.environ.get("VENICE_OUTPUT_DIR", "/tmp/venice")

# Older ones cannot ask people, or cannot end the wait for them. There this file is read, and defines no DAG.
if Version(airflow_version) < Version("3.1") or Version(standard_version) < Version("1.12.2"):
    logging.getLogger(__name__).warning(
        "venice_review_clip is left out: it needs Airflow 3.1 and apache-airflow-providers-standard 1.12.2, "
        "and here are %s and %s",
        airflow_version,
        standard_version,
    )
else:
    from airflow.providers.standard.operators.hitl import ApprovalOperator

    # [START howto_review_clip]
    # In Markdown, in which Airflow draws pictures at a width of at most 300 pixels. The link is that of the button
    # "Watch clip"; it is absent where Airflow cannot show the clip. The prompt is shown as it is, between tildes.
    QUESTION = """\
{% set clip = ti.xcom_pull(task_ids='generate') %}
{% set preview = ti.xcom_pull(task_ids='make_preview') %}
{% set page = ti.xcom_pull(task_ids='generate', key='_link_VeniceClipLink') %}
{% if preview %}![The clip, small and without sound]({{ preview }}){% endif %}

{% if page %}[Watch the clip]({{ page }}){% else %}The clip{% endif %}: {{ clip.metadata.duration }} s,
{{ clip.metadata.resolution }}, made by {{ clip.job.model }} of the prompt

~~~~~~~~
{{ params.prompt | replace('~~~~', '') }}
~~~~~~~~

It is stored as `{{ clip.path }}`
"""

    with DAG(
        dag_id="venice_review_clip",
        schedule=None,
        doc_md=__doc__,
        tags=["example", "venice"],
        params={
            "prompt": Param("A market square fills with people, time lapse", type="string", minLength=1),
            "max_cost": Param(1.0, type="number", minimum=0, description="US dollars"),
            "output_dir": Param(OUTPUT_DIR, type="string"),
            "publish_dir": Param(f"{OUTPUT_DIR}/published", type="string", description="Where approved clips go"),
            "preview_url": Param("", type="string", description="Where a browser finds output_dir, or empty"),
        },
    ) as dag:
        generate = VeniceGenerateVideoOperator(
            task_id="generate",
            model="wan-2-7-text-to-video",
            prompt="{{ params.prompt }}",
            duration="5s",
            aspect_ratio="16:9",
            max_cost="{{ params.max_cost }}",
            output_path="{{ params.output_dir }}/{{ run_id }}.mp4",
        )

        @task
        def make_preview(clip: dict[str, Any], preview_url: str) -> str:
            """Store a small moving picture beside the clip, and return its URL; nothing, where nobody could open it."""
            if not preview_url:
                return ""
            import av

            with ObjectStoragePath(clip["path"]).open("rb") as file, av.open(file) as container:
                pictures = []
                for frame in container.decode(video=0):
                    if (frame.time or 0) >= len(pictures) / 4:  # four pictures a second
                        picture = frame.to_image()
                        picture.thumbnail((300, 300))
                        pictures.append(picture)
            buffer = io.BytesIO()
            pictures[0].save(buffer, "WEBP", save_all=True, append_images=pictures[1:], duration=250, loop=0)
            path = ObjectStoragePath(clip["path"]).with_suffix(".webp")
            path.write_bytes(buffer.getvalue())
            return f"{preview_url}/{quote(path.name)}"

        review = ApprovalOperator(
            task_id="review",
            subject="May this clip be published?",
            body=QUESTION,
            # With no answer in time, the answer is no; then the tasks that follow are skipped.
            response_timeout=timedelta(days=1),
            defaults="Reject",
        )

        @task
        def publish(source: str, folder: str) -> str:
            """Copy the clip, and return where the copy is."""
            clip = ObjectStoragePath(source)
            copy = ObjectStoragePath(folder) / clip.name
            copy.parent.mkdir(parents=True, exist_ok=True)
            clip.copy(copy)
            return str(copy)

        make_preview(generate.output, "{{ params.preview_url }}") >> review  # type: ignore[arg-type]
        review >> publish("{{ ti.xcom_pull(task_ids='generate')['path'] }}", "{{ params.publish_dir }}")
    # [END howto_review_clip]
