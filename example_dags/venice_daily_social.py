"""
### A vertical clip a day, of the news

The newest item of an RSS feed becomes a clip of 9:16. Its path is made of the item's id, and what is there already is
reused: a run that is repeated, a day without news, and a backfill over days that were run before buy nothing. Each run
goes by its own date, so a backfill takes the item that was the newest at that time. Without any item, the clip is
skipped.

An item whose headline has changed since is another request under the same path: the task fails before it buys, and
names what differs.
"""

from __future__ import annotations

import hashlib
import os
from datetime import timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from airflow.sdk import DAG, ObjectStoragePath, Param, get_current_context, task
from airflow.timetables.trigger import CronTriggerTimetable

from airflow_provider_venice.operators.video import VeniceGenerateVideoOperator


# [START howto_daily_social_feed]
class FeedBuilder(ElementTree.TreeBuilder):
    """
    Build a feed's tree, and refuse a document type.

    A feed has none. Only there could it define entities, which fill the memory when they are replaced by their text.
    """

    def doctype(self, *_: Any) -> None:
        raise ValueError("The feed has a document type; it is not read")


def read_feed(source: str) -> list[dict[str, Any]]:
    """Return the items of an RSS feed that have an id, a title and a date."""
    if source.startswith(("http://", "https://")):
        import requests

        answer = requests.get(source, timeout=30)
        answer.raise_for_status()
        content = answer.content
    else:
        content = ObjectStoragePath(source).read_bytes()
    feed = ElementTree.fromstring(content, parser=ElementTree.XMLParser(target=FeedBuilder()))
    items = (
        (item.findtext("guid") or item.findtext("link"), item.findtext("title"), item.findtext("pubDate"))
        for item in feed.iter("item")
    )
    return [
        {"id": name, "title": title, "published": parsedate_to_datetime(date).astimezone()}
        for name, title, date in items
        if name and title and date
    ]


# [END howto_daily_social_feed]

with DAG(
    dag_id="venice_daily_social",
    schedule=CronTriggerTimetable("0 7 * * *", timezone="UTC", run_immediately=timedelta(0)),
    catchup=False,
    # Of two runs with the same item, the second finds the clip of the first.
    max_active_runs=1,
    doc_md=__doc__,
    tags=["example", "venice"],
    params={
        "feed": Param(
            str(Path(__file__).parent / "data" / "feed.xml"),
            type="string",
            description="A URL, or a file on the workers or in an object storage",
        ),
        "style": Param("A quiet documentary shot, no writing in the picture", type="string", minLength=1),
        "max_cost": Param(1.0, type="number", minimum=0, description="US dollars"),
        "output_dir": Param(os.environ.get("VENICE_OUTPUT_DIR", "/tmp/venice"), type="string"),
    },
) as dag:
    # [START howto_daily_social]
    @task.short_circuit(retries=3)
    def choose_item(feed: str, style: str) -> dict[str, str] | None:
        """Return the request for the newest item before the run; nothing, which skips the clip, where there is none."""
        until = get_current_context()["dag_run"].run_after
        items = [item for item in read_feed(feed) if item["published"] <= until]
        if not items:
            return None
        newest = max(items, key=lambda item: item["published"])
        return {
            "prompt": f"{style}: {newest['title']}",
            "item": newest["id"],
            # An id may be any text, a URL as well. A digest of it is a good file name.
            "file": hashlib.sha256(newest["id"].encode()).hexdigest()[:16],
        }

    VeniceGenerateVideoOperator(
        task_id="clip",
        model="wan-2-7-text-to-video",
        duration="5s",
        aspect_ratio="9:16",
        request=choose_item("{{ params.feed }}", "{{ params.style }}"),  # type: ignore[arg-type]
        # The id stays with the clip: in its manifest, its result and its asset event.
        label_fields=("item",),
        ignore_fields=("file",),
        output_path="{{ params.output_dir }}/social/{{ ti.xcom_pull(task_ids='choose_item')['file'] }}.mp4",
        existing="reuse",
        max_cost="{{ params.max_cost }}",
    )
    # [END howto_daily_social]
