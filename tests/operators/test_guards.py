"""What stops a purchase that nobody meant: templates that render to nothing, limits that vanish, prices left out."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from airflow.sdk import DAG

from airflow_provider_venice.exceptions import VeniceRequestError
from airflow_provider_venice.operators.video import VeniceQueueVideoOperator, VeniceQuoteVideoOperator
from airflow_provider_venice.simulator import VeniceSimulator
from tests.running import run_task

TEXT: dict[str, Any] = {"model": "wan-2-7-text-to-video", "prompt": "a lighthouse in fog", "duration": 5}
UPSCALE: dict[str, Any] = {"model": "topaz-video-upscale", "video_url": "https://example.com/a.mp4"}

pytestmark = pytest.mark.usefixtures("venice_connection")


def rendered(native: bool = False, conf: Any = None, **arguments: Any) -> VeniceQueueVideoOperator:
    """Return a task as it is when its templates have been rendered for a run."""
    with DAG("guards", schedule=None, render_template_as_native_obj=native) as dag:
        task = VeniceQueueVideoOperator(task_id="queue", deferrable=False, **arguments)
    task.render_template_fields({"conf": conf or {}}, dag.get_template_env())  # type: ignore[typeddict-unknown-key]
    return task


@pytest.mark.parametrize("native", [False, True], ids=["text", "native"])
@pytest.mark.parametrize(
    "template", ["{{ conf.get('most') }}", "{{ conf.get('most', '') }}", "{{ nothing | default }}"]
)
@pytest.mark.parametrize("name", ["max_cost", "min_balance"])
def test_a_limit_does_not_vanish(name: str, template: str, native: bool, venice_simulator: VeniceSimulator) -> None:
    with pytest.raises(AirflowFailException, match=f"{name} .*default value.*leave {name} out for no limit"):
        run_task(rendered(native=native, **TEXT, **{name: template}))
    assert not venice_simulator.journal.charges
    run_task(rendered(native=native, conf={"most": 1}, **TEXT, **{name: "{{ conf.get('most') }}"}))
    run_task(rendered(native=native, **TEXT, **{name: None}))
    assert len(venice_simulator.journal.charges) == 2


@pytest.mark.parametrize("limit", ["", "  ", "None", float("nan")])
def test_a_blank_is_no_limit(limit: Any, venice_simulator: VeniceSimulator) -> None:
    for name in ("max_cost", "min_balance"):
        with pytest.raises(AirflowFailException, match=f"{name} is {limit!r}"):
            run_task(VeniceQuoteVideoOperator(task_id="quote", **TEXT, **{name: limit}))
    assert not venice_simulator.journal.calls("queue")


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": "{{ none }}"},
        {"prompt": "{{ conf.get('prompt') | tojson }}"},
        {"negative_prompt": "{{ none }}"},
        {"seed": "{{ none }}"},
        {"request": {"model": TEXT["model"], "prompt": "{{ none }}", "duration": 5}},
        {"model": "seedance-2-0-image-to-video-basic", "reference_image_urls": ["https://h/a.png", "{{ none }}"]},
        {"model": "seedance-2-0-image-to-video-basic", "elements": [{"frontal_image_url": "{{ none }}"}]},
        {"extra_body": {"target_fps": "{{ none }}"}},
    ],
)
def test_a_template_that_renders_to_nothing_buys_nothing(
    change: dict[str, Any], venice_simulator: VeniceSimulator
) -> None:
    with pytest.raises(AirflowFailException, match="which a template renders for a missing value"):
        run_task(rendered(**{**TEXT, **change}, validate=False))
    assert not venice_simulator.journal.calls("queue")


def test_a_number_is_a_prompt_with_native_rendering(venice_simulator: VeniceSimulator) -> None:
    run_task(rendered(native=True, conf={"prompt": 2026}, **{**TEXT, "prompt": "{{ conf.prompt }}"}))
    assert [job.prompt for job in venice_simulator.jobs] == ["2026"]


@pytest.mark.parametrize("change", [{"target_fps": 60}, {"slowdown_factor": 2}])
def test_what_prices_is_priced_before_it_is_bought(change: dict[str, Any], venice_simulator: VeniceSimulator) -> None:
    plain = run_task(VeniceQuoteVideoOperator(task_id="quote", **UPSCALE))["estimated_cost"]
    with pytest.raises(AirflowFailException, match=rf"costs \${2 * plain:.1f}.* above max_cost"):
        run_task(rendered(**UPSCALE, extra_body=change, max_cost=1.5 * plain))
    assert not venice_simulator.journal.charges
    run_task(rendered(**UPSCALE, extra_body=change, max_cost=2 * plain))
    assert float(venice_simulator.journal.charged) == pytest.approx(2 * plain)


def test_requests_that_differ_in_what_may_price_take_a_quote_each(venice_simulator: VeniceSimulator) -> None:
    changes: list[dict[str, Any]] = [
        {},
        {"extra_body": {"target_fps": 60}},
        {"extra_body": {"target_fps": 60}},
        {"prompt": "p"},
    ]
    rows = [{**UPSCALE, **change} for change in changes]
    quotes = run_task(VeniceQuoteVideoOperator(task_id="quote", request=rows))["quotes"]
    assert [quote["estimated_cost"] for quote in quotes] == [0.2, 0.4, 0.4, 0.2]
    assert len(venice_simulator.journal.calls("quote")) == 2


def test_a_model_that_is_offline_is_tried_again_by_a_retry(venice_simulator: VeniceSimulator) -> None:
    with pytest.raises(VeniceRequestError, match="is offline at present"):
        run_task(rendered(**{**TEXT, "model": "ltx-2-19b-full-text-to-video"}))
    assert not venice_simulator.journal.calls("queue")
