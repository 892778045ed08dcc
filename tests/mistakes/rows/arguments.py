"""Mistakes in the arguments of operators and sensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from airflow_provider_venice.operators.recover import VeniceRecoverVideosOperator
from airflow_provider_venice.operators.video import VeniceDownloadVideoOperator
from airflow_provider_venice.sensors.video import VeniceVideoSensor
from tests.mistakes.row import BEFORE, PARSED, Mistake, Scene

_AMOUNT = "give US dollars, such as 2.50"
_SECONDS = "give seconds above zero, or a timedelta"


def _with(**arguments: Any) -> Callable[[Scene], object]:
    return lambda scene: scene.generate(**arguments)


def _parsed(what: str, message: str, **arguments: Any) -> Mistake:
    """Return a mistake of a generate task that is refused when its DAG is parsed."""
    return Mistake(what, PARSED, _with(**arguments), message)


def _download(**arguments: Any) -> Callable[[Scene], object]:
    return lambda scene: VeniceDownloadVideoOperator(
        task_id="download", **{"job": {"model": "m", "queue_id": "q"}, "output_path": "/data/clip.mp4", **arguments}
    )


def _sensor(**arguments: Any) -> Callable[[Scene], object]:
    return lambda scene: VeniceVideoSensor(task_id="wait", **{"job": {"model": "m", "queue_id": "q"}, **arguments})


def _rendered(**arguments: Any) -> Callable[[Scene], object]:
    return lambda scene: scene.rendered(**arguments)


_JOB = "give the job that the queue task returned (its .output)"

ROWS = (
    _parsed(
        "``fallback_models`` is a number",
        "fallback_models is 5; give a list of model ids, such as ['wan-2-7-text-to-video']",
        fallback_models=5,
    ),
    _parsed(
        "One of ``fallback_models`` is blank",
        "fallback_models[1] is ''; give the id of a model, or leave it out",
        fallback_models=["wan-2.6-text-to-video", ""],
    ),
    Mistake(
        "A template in ``fallback_models`` renders to nothing",
        BEFORE,
        lambda scene: scene.rendered(fallback_models=["{{ params.other }}"]),
        "fallback_models[0] is ''; give the id of a model, or leave it out",
    ),
    _parsed("``max_cost`` is below zero", f"max_cost is -1; {_AMOUNT}", max_cost=-1),
    _parsed("``max_cost`` is in words", f"max_cost is 'one dollar'; {_AMOUNT}", max_cost="one dollar"),
    _parsed("``max_cost`` has a currency", f"max_cost is '$2'; {_AMOUNT}", max_cost="$2"),
    _parsed("``max_cost`` is true", f"max_cost is True; {_AMOUNT}", max_cost=True),
    _parsed("``min_balance`` is a list", f"min_balance is [5]; {_AMOUNT}", min_balance=[5]),
    _parsed(
        "``max_cost`` is a blank text",
        "max_cost is '', which is no amount; give US dollars, such as 2.50. Where a template renders it, give the "
        "template a default value; leave max_cost out for no limit",
        max_cost="",
    ),
    Mistake(
        "``max_cost`` is rendered from a parameter that is missing",
        BEFORE,
        _rendered(max_cost="{{ params.get('most') }}"),
        "max_cost is 'None', which is no amount; give US dollars, such as 2.50. Where a template renders it, give the "
        "template a default value; leave max_cost out for no limit",
    ),
    _parsed("``timeout`` is 0", "timeout is 0; give seconds above zero, or a timedelta", timeout=0),
    _parsed("``timeout`` is below zero", f"timeout is -1; {_SECONDS}", timeout=-1),
    _parsed("``timeout`` is a text", f"timeout is '1h'; {_SECONDS}", timeout="1h"),
    _parsed("``timeout`` is ``None``", f"timeout is None; {_SECONDS}", timeout=None),
    _parsed("``poll_interval`` is 0", "poll_interval is 0; give seconds above zero, or a timedelta", poll_interval=0),
    _parsed("``poll_interval`` is a text", f"poll_interval is '5s'; {_SECONDS}", poll_interval="5s"),
    _parsed("``on_clear`` is unknown", "on_clear is 'retry'; give one of 'reattach', 'resubmit'", on_clear="retry"),
    _parsed(
        "``on_ambiguous`` is unknown",
        "on_ambiguous is 'retry'; give one of 'fail', 'check', 'resubmit'",
        on_ambiguous="retry",
    ),
    _parsed("``existing`` is unknown", "existing is 'keep'; give one of 'fail', 'replace', 'reuse'", existing="keep"),
    _parsed(
        "``existing`` and its older form contradict each other",
        "existing is 'reuse', and overwrite=True means existing='replace'; give existing alone",
        existing="reuse",
        overwrite=True,
    ),
    _parsed("``overwrite`` is a text", "overwrite is 'no'; give True or False", overwrite="no"),
    _parsed("``delete_media`` is a text", "delete_media is 'false'; give True or False", delete_media="false"),
    _parsed("``manifest`` is a path", "manifest is '/data/m.json'; give True or False", manifest="/data/m.json"),
    _parsed("``deferrable`` is a text", "deferrable is 'yes'; give True or False", deferrable="yes"),
    _parsed("``validate`` is a number", "validate is 1; give True or False", validate=1),
    _parsed(
        "``venice_conn_id`` is empty",
        "venice_conn_id is ''; give the id of a connection, such as 'venice_default'",
        venice_conn_id="",
    ),
    _parsed(
        "A request of a list has a duration of zero",
        "1 of 2 requests is wrong, and none is queued:\n"
        "request[1]: the video request is not valid: duration takes whole seconds above zero such as 5 or '5s', not 0",
        request=[{"duration": 5}, {"duration": 0}],
        duration=None,
        output_path="/data/{index}.mp4",
    ),
    _parsed(
        "``duration`` is a list",
        "the video request is not valid: duration takes seconds such as 5 or '5s', not [5]",
        duration=[5],
    ),
    _parsed(
        "``model`` is ``None``",
        "the video request is not valid: model is missing; name a video model such as 'wan-2-7-text-to-video'",
        model=None,
    ),
    _parsed(
        "``seed`` is a text, ``audio`` is a number, and the prompt is a template",
        "the video request is not valid: audio takes true or false, not 7; seed takes a number, not 'lucky'",
        prompt="{{ ds }}",
        seed="lucky",
        audio=7,
    ),
    _parsed(
        "``image`` and ``image_url`` are both given",
        "image and image_url are the same field; give one of them",
        image="/data/a.png",
        image_url="/data/b.png",
    ),
    _parsed(
        "``extra_body`` has a field that is an argument",
        "the video request is not valid: extra_body has 'seed', which is a field of its own; set seed= instead",
        extra_body={"seed": 7},
    ),
    _parsed(
        "A list of requests has a list of fewer paths",
        "output_path has 1 path for 2 clips; give one for each",
        request=[{"prompt": "a"}, {"prompt": "b"}],
        output_path=["/data/a.mp4"],
    ),
    Mistake(
        "``job`` of a download is ``None``",
        PARSED,
        _download(job=None),
        f"job is None; {_JOB}",
    ),
    Mistake(
        "``job`` of a download is the queue id",
        PARSED,
        _download(job="7f0c"),
        f"job is '7f0c'; {_JOB}",
    ),
    Mistake(
        "``job`` of a sensor is ``None``",
        PARSED,
        _sensor(job=None),
        f"job is None; {_JOB}, or a list",
    ),
    Mistake(
        "``poke_interval`` of a sensor is 0",
        PARSED,
        _sensor(poke_interval=0),
        "poke_interval is 0; give seconds above zero, or a timedelta",
    ),
    Mistake(
        "``timeout`` of a sensor is a text",
        PARSED,
        _sensor(timeout="1h"),
        f"timeout is '1h'; {_SECONDS}",
    ),
    Mistake(
        "``output_dir`` of a recovery is empty",
        PARSED,
        lambda scene: VeniceRecoverVideosOperator(task_id="recover", output_dir=""),
        "output_dir is ''; give a directory, such as '/data/recovered'",
    ),
)
