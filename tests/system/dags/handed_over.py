"""Lists of clips, mapped, that are stored as far as they have come three seconds after their first end."""

from __future__ import annotations

from airflow.sdk import DAG

from airflow_provider_venice.generation.run import GenerationRun
from airflow_provider_venice.operators.video import VeniceGenerateVideoOperator


class QuickRun(GenerationRun):
    """A run that does not wait for minutes."""

    def hand_over_after(self, running: int) -> float:
        """Return three seconds."""
        return 3.0


class QuickClips(VeniceGenerateVideoOperator):
    """The operator, with that run."""

    generation_class = QuickRun


PROMPTS = ("a pier", "[simulate: slow] a pier", "a boat")

with DAG("handed_over", schedule=None, params={"output_dir": ""}):
    QuickClips.partial(
        task_id="generate",
        model="wan-2-7-text-to-video",
        duration=5,
        output_path="{{ params.output_dir }}/{{ ti.map_index }}-{index}.mp4",
    ).expand(request=[[{"prompt": f"{prompt} {row}"} for prompt in PROMPTS] for row in range(2)])
