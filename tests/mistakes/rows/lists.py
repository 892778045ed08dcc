"""Mistakes in lists and mapped tasks."""

from __future__ import annotations

import socket
from typing import Any

from airflow_provider_venice.operators.video import VeniceQuoteVideoOperator
from airflow_provider_venice.storage.reservations import Owner, reserve
from tests.mistakes.row import AFTER, BEFORE, PARSED, TEXT, Mistake, Scene


def _given(scene: Scene, request: Any, **arguments: Any) -> Any:
    """Return a task whose ``request`` comes from another task, so that it is known only in a run."""
    task = scene.generate(request="{{ ti.xcom_pull('table') }}", **arguments)
    task.request = request
    return task


def _list(scene: Scene, *rows: Any, **arguments: Any) -> object:
    given = {"prompt": None, "output_path": f"{scene.folder}/{{index}}.mp4", **arguments}
    return _given(scene, list(rows), **given)


def _many_wrong(scene: Scene) -> object:
    (scene.folder / "taken.mp4").write_bytes(b"mine")
    paths = ("a", "taken", "c", "a", "e", "f")
    rows: list[dict[str, Any]] = [
        {"prompt": "a lighthouse in fog"},
        {"prompt": "a lighthouse in fog, seen from the sea", "promt": "x"},
        {"prompt": "a boat", "duration": 7},
        {"prompt": "a boat", "seed": "many"},
        {"prompt": "a boat", "model": "wan-2-7-image-to-video", "image": f"{scene.folder}/none.png"},
        {"prompt": None},
    ]
    return _list(scene, *rows, output_path=[f"{scene.folder}/{path}.mp4" for path in paths])


def _dear_and_wrong(scene: Scene) -> object:
    return _list(scene, {"prompt": "a"}, {"prompt": "b"}, {"prompt": "c", "seed": "x"}, max_cost=0.5)


def _refused_by_the_quote(scene: Scene) -> object:
    scene.simulator.fail("quote", match="9:16", status=400, body={"error": "Invalid aspect_ratio"}, times=None)
    return _list(scene, {"prompt": "a"}, {"prompt": "b", "aspect_ratio": "9:16"}, max_cost=9)


def _quote_list(scene: Scene) -> object:
    rows = [{"prompt": "a"}, {"prompt": "b", "seed": "x"}, {"prompt": "c", "note": "y"}]
    return VeniceQuoteVideoOperator(task_id="quote", model=TEXT["model"], duration=5, request=rows)


def _table(scene: Scene) -> object:
    class DataFrame:
        """What tells one of pandas from a list."""

        columns = ("prompt",)

    return scene.generate(prompt=None, request=DataFrame())


def _one_fails(scene: Scene) -> object:
    return _list(scene, {"prompt": "a boat"}, {"prompt": "[simulate: fail] a boat that sinks in a storm"})


def _one_refused(scene: Scene) -> object:
    scene.simulator.fail("queue", match="sinks", status=422, body={"error": "Blocked by the content policy"})
    return _list(scene, {"prompt": "a boat"}, {"prompt": "a boat that sinks"}, label_fields=["id"])


def _in_doubt(scene: Scene) -> object:
    scene.simulator.fail("queue", match="sinks", drop_after=True)
    return _list(scene, {"prompt": "a boat"}, {"prompt": "a boat that sinks"}, {"prompt": "a port"})


def _poor(scene: Scene) -> object:
    scene.simulator.fail("queue", match="sinks", times=None, status=402, body={"error": "Insufficient balance"})
    return _list(scene, {"prompt": "a boat"}, {"prompt": "a boat that sinks"}, {"prompt": "a port"})


def _mapped_into_one(scene: Scene) -> object:
    scene.shown[socket.gethostname()] = "worker-1"
    scene.tries.map_index = 1
    reserve(f"{scene.folder}/clip.mp4", Owner("dag", "run", "generate", map_index=0), overwrite=False)
    return scene.generate()


ROWS = (
    Mistake(
        "A list of requests has one path",
        PARSED,
        lambda scene: scene.generate(request=[{"prompt": "a"}, {"prompt": "b"}], prompt=None),
        "output_path is '/data/clip.mp4' for 2 clips; give a list of paths, or put {index} into the one",
    ),
    Mistake(
        "A list of requests has more rows than paths",
        BEFORE,
        lambda scene: _list(scene, {"prompt": "a"}, {"prompt": "b"}, output_path=[f"{scene.folder}/a.mp4"]),
        "output_path has 1 path for 2 clips; give one for each",
    ),
    Mistake(
        "Many rows of a list are wrong, each in another way",
        BEFORE,
        _many_wrong,
        "5 of 6 requests are wrong, and none is queued:\n"
        "request[1] \"a lighthouse in fog, seen from…\": unknown field in the video request: 'promt' (did "
        "you mean 'prompt'?). To keep columns of your own with the clip, give the operator "
        "label_fields=('promt',); to leave them out, ignore_fields. What Venice takes beyond the fields of "
        "VideoRequest goes into extra_body; '/data/taken.mp4' exists already; give another path, or "
        "replace it: existing='replace', or overwrite=True of VeniceHook\n"
        "request[2] \"a boat\": model 'wan-2-7-text-to-video' does not accept this request: duration is "
        "'7s'; allowed are 5s, 10s, 15s\n"
        "request[3] \"a boat\": the video request is not valid: seed takes a number, not 'many'; its "
        "output_path '/data/a.mp4' is that of request[0] too; give each its own\n"
        'request[4] "a boat": the media of the video request cannot be sent: image_url cannot be read: no '
        "such file '/data/none.png'\n"
        "request[5]: model 'wan-2-7-text-to-video' does not accept this request: prompt is missing; "
        "text-to-video models need one",
    ),
    Mistake(
        "All rows of a long list are wrong",
        BEFORE,
        lambda scene: _list(scene, *({"prompt": "a", "seed": "x"} for _ in range(40))),
        "40 of 40 requests are wrong, and none is queued:\n"
        "request[0] \"a\": the video request is not valid: seed takes a number, not 'x'\n"
        "request[1] \"a\": the video request is not valid: seed takes a number, not 'x'\n"
        "request[2] \"a\": the video request is not valid: seed takes a number, not 'x'\n"
        "request[3] \"a\": the video request is not valid: seed takes a number, not 'x'\n"
        "request[4] \"a\": the video request is not valid: seed takes a number, not 'x'\n"
        "request[5] \"a\": the video request is not valid: seed takes a number, not 'x'\n"
        "request[6] \"a\": the video request is not valid: seed takes a number, not 'x'\n"
        "request[7] \"a\": the video request is not valid: seed takes a number, not 'x'\n"
        "request[8] \"a\": the video request is not valid: seed takes a number, not 'x'\n"
        "request[9] \"a\": the video request is not valid: seed takes a number, not 'x'\n"
        "request[10] \"a\": the video request is not valid: seed takes a number, not 'x'\n"
        "request[11] \"a\": the video request is not valid: seed takes a number, not 'x'\n"
        "request[12] \"a\": the video request is not valid: seed takes a number, not 'x'\n"
        "request[13] \"a\": the video request is not valid: seed takes a number, not 'x'\n"
        "request[14] \"a\": the video request is not valid: seed takes a number, not 'x'\n"
        "request[15] \"a\": the video request is not valid: seed takes a number, not 'x'\n"
        "request[16] \"a\": the video request is not valid: seed takes a number, not 'x'\n"
        "request[17] \"a\": the video request is not valid: seed takes a number, not 'x'\n"
        "request[18] \"a\": the video request is not valid: seed takes a number, not 'x'\n"
        "request[19] \"a\": the video request is not valid: seed takes a number, not 'x'\n"
        "request[20] \"a\": the video request is not valid: seed takes a number, not 'x'\n"
        "request[21] \"a\": the video request is not valid: seed takes a number, not 'x'\n"
        "request[22] \"a\": the video request is not valid: seed takes a number, not 'x'\n"
        "request[23] \"a\": the video request is not valid: seed takes a number, not 'x'\n"
        "request[24] \"a\": the video request is not valid: seed takes a number, not 'x'\n"
        "request[25] \"a\": the video request is not valid: seed takes a number, not 'x'\n"
        "request[26] \"a\": the video request is not valid: seed takes a number, not 'x'\n"
        "request[27] \"a\": the video request is not valid: seed takes a number, not 'x'\n"
        "request[28] \"a\": the video request is not valid: seed takes a number, not 'x'\n"
        "request[29] \"a\": the video request is not valid: seed takes a number, not 'x'\n"
        "and 10 more",
    ),
    Mistake(
        "A row is wrong, and the others are above ``max_cost``",
        BEFORE,
        _dear_and_wrong,
        "1 of 3 requests is wrong, and none is queued:\n"
        "request[2] \"c\": the video request is not valid: seed takes a number, not 'x'\n"
        "the batch of 3 clips costs $0.70, which is above max_cost=$0.50; nothing was queued. Raise "
        "max_cost, or choose a shorter clip, a lower resolution or another model",
    ),
    Mistake(
        "Venice refuses to price a row",
        BEFORE,
        _refused_by_the_quote,
        "1 of 2 requests is wrong, and none is queued:\n"
        'request[1] "b": Venice gives no price, and nothing is queued without one: Venice answered HTTP '
        "400: Invalid aspect_ratio",
    ),
    Mistake(
        "A list is above ``max_cost``",
        BEFORE,
        lambda scene: _list(scene, {"prompt": "a"}, {"prompt": "b"}, max_cost=0.5),
        "the batch of 2 clips costs $0.70, which is above max_cost=$0.50; nothing was queued. Raise "
        "max_cost, or choose a shorter clip, a lower resolution or another model",
    ),
    Mistake(
        "Rows of a list that is to be priced are wrong",
        PARSED,
        _quote_list,
        "2 of 3 requests are wrong, and none is queued:\n"
        "request[1] \"b\": the video request is not valid: seed takes a number, not 'x'\n"
        "request[2] \"c\": unknown field in the video request: 'note'. To keep columns of your own with "
        "the clip, give the operator label_fields=('note',); to leave them out, ignore_fields. What Venice "
        "takes beyond the fields of VideoRequest goes into extra_body",
    ),
    Mistake(
        "A column of a table is no field of a request",
        BEFORE,
        lambda scene: _list(scene, {"id": 1, "prompt": "a", "notes": "for Ann"}),
        "1 of 1 requests is wrong, and none is queued:\n"
        "request[0] \"a\": unknown fields in the video request: 'id', 'notes'. To keep columns of your own "
        "with the clip, give the operator label_fields=('id', 'notes'); to leave them out, ignore_fields. "
        "What Venice takes beyond the fields of VideoRequest goes into extra_body",
    ),
    Mistake(
        "A row holds an argument of the task",
        BEFORE,
        lambda scene: _list(scene, {"prompt": "a", "output_path": "/data/a.mp4"}),
        "1 of 1 requests is wrong, and none is queued:\n"
        "request[0] \"a\": unknown field in the video request: 'output_path' (an argument of the task, not "
        "of a request; give the task a list of paths or one with {index}, or map it with "
        "expand_kwargs(rows))",
    ),
    Mistake(
        "A mapped row holds an argument of the task",
        BEFORE,
        lambda scene: _given(scene, {"prompt": "a", "max_cost": 1}),
        "unknown field in the video request: 'max_cost' (an argument of the task, not of a request; map "
        "the task with expand_kwargs(rows))",
    ),
    Mistake(
        "A row of a CSV file has more cells than its header",
        BEFORE,
        lambda scene: _list(scene, {"prompt": "a lighthouse", None: [" fog"]}),
        "1 of 1 requests is wrong, and none is queued:\n"
        'request[0] "a lighthouse": unknown field in the video request: None (a row of the table has more '
        "cells than the table has columns)",
    ),
    Mistake(
        "The first column of a CSV file begins with a byte order mark",
        BEFORE,
        lambda scene: _list(scene, {"\ufeffprompt": "a lighthouse"}),
        "1 of 1 requests is wrong, and none is queued:\n"
        "request[0]: unknown field in the video request: '\\ufeffprompt' (did you mean 'prompt'?). To keep "
        "columns of your own with the clip, give the operator label_fields=('\\ufeffprompt',); to leave "
        "them out, ignore_fields. What Venice takes beyond the fields of VideoRequest goes into extra_body",
    ),
    Mistake(
        "A column is written with a capital letter and a blank",
        BEFORE,
        lambda scene: _list(scene, {"prompt": "a", "Aspect Ratio": "16:9"}),
        "1 of 1 requests is wrong, and none is queued:\n"
        "request[0] \"a\": unknown field in the video request: 'Aspect Ratio' (did you mean "
        "'aspect_ratio'?). To keep columns of your own with the clip, give the operator "
        "label_fields=('Aspect Ratio',); to leave them out, ignore_fields. What Venice takes beyond the "
        "fields of VideoRequest goes into extra_body",
    ),
    Mistake("``request`` is a DataFrame", BEFORE, _table, "request is a DataFrame; give request.to_dict('records')"),
    Mistake(
        "``request`` is a set",
        BEFORE,
        lambda scene: scene.generate(prompt=None, request={("prompt", "a")}),
        "request is a set; give a list, which has an order",
    ),
    Mistake(
        "``request`` is a template that renders to text",
        BEFORE,
        lambda scene: _given(scene, "[{'prompt': 'a lighthouse'}]"),
        "request is the text \"[{'prompt': 'a lighthouse'}]\"; give a VideoRequest or a mapping of its "
        "fields. A template renders to text unless the DAG has render_template_as_native_obj=True",
    ),
    Mistake(
        "A row is a text",
        BEFORE,
        lambda scene: _list(scene, {"prompt": "a"}, "a lighthouse in fog"),
        "1 of 2 requests is wrong, and none is queued:\n"
        "request[1]: request is the text 'a lighthouse in fog'; give a VideoRequest or a mapping of its "
        "fields. A template renders to text unless the DAG has render_template_as_native_obj=True",
    ),
    Mistake(
        "``label_fields`` names what Venice is sent",
        PARSED,
        lambda scene: scene.generate(label_fields=["prompt", "id"]),
        "label_fields has 'prompt', which Venice would then not be sent; name columns of your own. What "
        "was sent is in the result as job['request']",
    ),
    Mistake(
        "The labels of a row are too long",
        BEFORE,
        lambda scene: _list(scene, {"prompt": "a", "notes": "x" * 9000}, label_fields=["notes"]),
        "1 of 1 requests is wrong, and none is queued:\n"
        'request[0] "a": the video request is not valid: labels has 9013 bytes as JSON; at most 8192 are '
        "allowed. Keep an id, and the rest elsewhere",
    ),
    Mistake(
        "``labels`` is a text",
        PARSED,
        lambda scene: scene.generate(request={"labels": "spring"}),
        "the video request is not valid: labels takes a mapping such as {'id': 7}, not 'spring'",
    ),
    Mistake(
        "``output_path`` has ``{index}``, and there is no list",
        BEFORE,
        lambda scene: scene.generate(output_path=f"{scene.folder}/{{index}}.mp4"),
        "output_path is '/data/{index}.mp4', and there is neither a list of requests nor a mapped task "
        "whose place {index} could be; give a path without it",
    ),
    Mistake(
        "``output_path`` is a list, and ``request`` is not",
        BEFORE,
        lambda scene: scene.generate(output_path=[f"{scene.folder}/a.mp4", f"{scene.folder}/b.mp4"]),
        "output_path is a list of 2, and request is not a list; give one path, or a list of requests",
    ),
    Mistake(
        "Two mapped tasks have one path",
        BEFORE,
        _mapped_into_one,
        "'/data/clip.mp4' is reserved by DAG 'dag', run 'run', task 'generate[0]' since <time> UTC, on "
        "worker-1. Give each clip its own path, e.g. with {{ ti.map_index }}; if that task will never run "
        "again, delete '/data/.clip.mp4.reserved'",
    ),
    Mistake(
        "One clip of a list fails at Venice",
        AFTER,
        _one_fails,
        "2 clips: 1 stored, 1 failed. Paid $0.70 in all (the XCom venice_results has each). request[1] "
        '"[simulate: fail] a boat that s…": video job <queue id> (wan-2-7-text-to-video): Venice answered '
        "HTTP 400: Video generation failed. It was bought for $0.35, and Venice has not said that the "
        "charge came back. A clear of the task asks Venice once more and, if the clip has failed indeed, "
        "buys another one for about $0.35; max_cost counts both",
        bought=2,
    ),
    Mistake(
        "Venice refuses one request of a list",
        AFTER,
        _one_refused,
        "2 clips: 1 stored, 1 not bought. Paid $0.35 in all (the XCom venice_results has each). request[1] "
        '"a boat that sinks": Venice answered HTTP 422: Blocked by the content policy. Nothing was paid '
        "for it. It is asked for again when the request changes, or the task is cleared",
        bought=1,
    ),
    Mistake(
        "A submission of a list is in doubt",
        AFTER,
        _in_doubt,
        "3 clips: 1 stored, 1 in doubt, 1 not bought. Paid $0.35 in all; in doubt $0.35 (the XCom "
        'venice_results has each). request[1] "a boat that sinks": a submission to model '
        "'wan-2-7-text-to-video' of <time> UTC, for $0.35, may have been accepted and charged, but no job "
        "id came back: POST /video/queue: no complete answer from venice.example (the server closed the "
        "connection without an answer). It is not sent again by itself. Look at the usage page of the Venice "
        "account for a charge at that time. If there is none, clear "
        "the task to submit it again; on_ambiguous='resubmit' does that without asking; request[2] \"a "
        'port": not submitted, because another submission is in doubt',
        bought=2,
        log=("Not submitted: request[2], because another submission is in doubt",),
    ),
    Mistake(
        "The balance ends in the middle of a list",
        AFTER,
        _poor,
        "3 clips: 1 stored, 2 not bought. Paid $0.35 in all (the XCom venice_results has each). request[1] "
        '"a boat that sinks": Venice answered HTTP 402: Insufficient balance; top up the Venice balance or '
        'raise the key\'s spend limit. Nothing was paid for it; request[2] "a port": not submitted, because '
        'request[1] "a boat that sinks" failed: Venice answered HTTP 402: Insufficient balance; top up the '
        "Venice balance or raise the key's spend limit. Nothing was paid for it",
        bought=1,
        log=(
            'Not submitted: request[2], because request[1] "a boat that sinks" failed: Venice answered HTTP 402: '
            "Insufficient balance; top up the Venice balance or raise the key's spend limit. Nothing was paid for it",
        ),
    ),
)
