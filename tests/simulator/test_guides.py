"""The request bodies of the vendor's guides: each is taken, or refused for the reason that the guide gives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_venice.simulator import VeniceSimulator
from tests.simulator.client import Client

EXAMPLES: list[dict[str, Any]] = json.loads(Path(__file__).with_name("guides.json").read_text("utf-8"))["examples"]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: f"{example['page']}: {example['what']}")
def test_an_example_of_the_guides(client: Client, example: dict[str, Any]) -> None:
    answer = client.post(f"video/{example['endpoint']}", example["body"])
    assert answer.status_code == example.get("status", 200), answer.text
    if "field" in example:
        assert example["field"] in answer.json()["details"], answer.text


def test_the_guides_examples_hold_by_the_later_edition_too() -> None:
    """Of what the guides send, the later edition refuses an upscaler's quote without its clip, ``Auto`` and ``2x``."""
    taken = [example for example in EXAMPLES if "status" not in example]
    refused = []
    with VeniceSimulator(media="shared", edition="2026-10", limits=False) as venice:
        client = Client(venice)
        with client.session:
            for example in taken:
                answer = client.post(f"video/{example['endpoint']}", example["body"])
                if answer.status_code != 200:
                    refused.append((example["what"], list(answer.json()["details"])))
    assert refused == [
        ("a prompt, Auto and 2x", ["_errors", "duration", "resolution"]),
        ("quote", ["_errors", "video_url"]),
    ]
