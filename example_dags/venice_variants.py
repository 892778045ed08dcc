"""
### Variants of one prompt, and a contact sheet to compare them

One clip for each style, side by side as mapped tasks. Then a frame of each is put on one picture, with the style below
it. A variant that fails does not touch the others; clear it, and the contact sheet follows. To compare models rather
than styles, expand over `model`.

The contact sheet needs PyAV and Pillow on the workers: `pip install 'airflow-provider-venice[media]'`.
"""

from __future__ import annotations

import io
import math
import os
from collections.abc import Iterable
from typing import Any

from airflow.sdk import DAG, ObjectStoragePath, Param, get_current_context, task

from airflow_provider_venice.operators.video import VeniceGenerateVideoOperator

with DAG(
    dag_id="venice_variants",
    schedule=None,
    doc_md=__doc__,
    tags=["example", "venice"],
    params={
        "prompt": Param("A cup of tea on a window sill, rain outside", type="string", minLength=1),
        "styles": Param(
            ["watercolour", "clay figures, stop motion", "black and white film", "paper cut"],
            type="array",
            items={"type": "string"},
            minItems=1,
        ),
        "max_cost": Param(1.0, type="number", minimum=0, description="US dollars for each variant"),
        "output_dir": Param(os.environ.get("VENICE_OUTPUT_DIR", "/tmp/venice"), type="string"),
    },
) as dag:
    # [START howto_variants]
    @task
    def list_variants() -> list[dict[str, str]]:
        """Return a request for each style."""
        params = get_current_context()["params"]
        return [{"prompt": f"{params['prompt']}, {style}", "style": style} for style in params["styles"]]

    variants = VeniceGenerateVideoOperator.partial(
        task_id="variants",
        model="wan-2-7-text-to-video",
        duration="5s",
        aspect_ratio="16:9",
        # The same seed, so that the style alone differs.
        seed=7,
        # A column of our own, which comes back with the clip.
        label_fields=("style",),
        max_cost="{{ params.max_cost }}",
        output_path="{{ params.output_dir }}/{{ run_id }}/{{ ti.map_index }}.mp4",
    ).expand(request=list_variants())

    @task
    def make_contact_sheet(clips: Iterable[dict[str, Any]], target: str) -> str:
        """Put the middle frame of each clip on one picture, with its style below; returns the picture's path."""
        import av
        from PIL import Image, ImageDraw, ImageFont

        tiles = []
        for clip in clips:
            middle = clip["metadata"]["duration"] / 2
            with ObjectStoragePath(clip["path"]).open("rb") as file, av.open(file) as container:
                frame = next(frame for frame in container.decode(video=0) if (frame.time or 0) >= middle)
                tiles.append((frame.to_image(), clip["labels"]["style"]))

        width, label = 480, 36
        height = max(width * image.height // image.width for image, _ in tiles)
        columns = math.ceil(math.sqrt(len(tiles)))
        rows = math.ceil(len(tiles) / columns)
        sheet = Image.new("RGB", (columns * width, rows * (height + label)), "white")
        pencil, font = ImageDraw.Draw(sheet), ImageFont.load_default(20)
        for number, (image, style) in enumerate(tiles):
            left, top = number % columns * width, number // columns * (height + label)
            image.thumbnail((width, height))
            sheet.paste(image, (left, top))
            pencil.text((left + 10, top + height + label // 2), style, fill="black", font=font, anchor="lm")

        buffer = io.BytesIO()
        sheet.save(buffer, "WEBP")
        path = ObjectStoragePath(target)
        path.write_bytes(buffer.getvalue())
        return str(path)

    make_contact_sheet(variants.output, "{{ params.output_dir }}/{{ run_id }}/contact-sheet.webp")  # type: ignore[arg-type]
    # [END howto_variants]
