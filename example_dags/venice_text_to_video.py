"""
### A clip from a text, step by step

`quote` → `queue` → `wait` → `download`, each a task of its own. So each can be retried by itself:
the clip is paid when it is queued, and neither a failed wait nor a failed download pays it again.
While the clip is being made, `wait` is deferred to the triggerer and holds no worker slot.

Trigger it with a configuration of your own, such as

```json
{"prompt": "A lighthouse in a storm, at dusk", "duration": "5s", "max_cost": 1.5}
```
"""

from __future__ import annotations

import os

from airflow.sdk import DAG, Param

from airflow_provider_venice.operators.video import (
    VeniceDownloadVideoOperator,
    VeniceQueueVideoOperator,
    VeniceQuoteVideoOperator,
)
from airflow_provider_venice.sensors.video import VeniceVideoSensor

with DAG(
    dag_id="venice_text_to_video",
    schedule=None,
    doc_md=__doc__,
    tags=["example", "venice"],
    params={
        "prompt": Param("A paper boat sails down a rainy street, seen from close by", type="string", minLength=1),
        "model": Param("wan-2-7-text-to-video", type="string"),
        "duration": Param("5s", type="string"),
        "aspect_ratio": Param("16:9", type="string", description="Empty where the model lists none"),
        "max_cost": Param(2.0, type="number", minimum=0, description="US dollars"),
        "output_dir": Param(
            os.environ.get("VENICE_OUTPUT_DIR", "/tmp/venice"),
            type="string",
            description="A folder, or an object storage such as s3://aws_default@bucket/clips",
        ),
    },
) as dag:
    # [START howto_text_to_video]
    # Written once, for the price and for the submission; templates are rendered inside of it.
    request = {
        "model": "{{ params.model }}",
        "prompt": "{{ params.prompt }}",
        "duration": "{{ params.duration }}",
        "aspect_ratio": "{{ params.aspect_ratio }}",
    }

    # Free. Above max_cost (US dollars) it fails, and the run ends here with nothing spent.
    quote = VeniceQuoteVideoOperator(task_id="quote", request=request, max_cost="{{ params.max_cost }}")

    # The clip is charged here. The job that comes back is all that leads to it.
    queue = VeniceQueueVideoOperator(task_id="queue", request=request)

    # Deferred until the clip is finished; cleared, it waits again, at no cost.
    wait = VeniceVideoSensor(task_id="wait", job=queue.output)

    # The file appears under its name only when it is whole. It is named after the job, so that
    # another clip, bought later under on_clear="resubmit", never meets the file of this one.
    download = VeniceDownloadVideoOperator(
        task_id="download",
        job=wait.output,
        output_path="{{ params.output_dir }}/{{ ti.xcom_pull(task_ids='queue')['queue_id'] }}.mp4",
    )

    quote >> queue
    # [END howto_text_to_video]
