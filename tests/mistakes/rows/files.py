"""Mistakes with files: where a clip goes, and what is in the way."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from typing import Any

from airflow.sdk.io import attach
from fsspec.implementations.memory import MemoryFileSystem

from airflow_provider_venice.api.fingerprint import fingerprint
from airflow_provider_venice.api.request import VideoRequest
from airflow_provider_venice.operators.recover import VeniceRecoverVideosOperator
from airflow_provider_venice.storage.reservations import Owner, reserve
from tests.mistakes.row import AFTER, BEFORE, PARSED, TEXT, Mistake, Scene
from tests.running import Tries, run_task

#: What the log says of a clip that is paid for.
_COLLECT = (
    "The clip is paid for, and Venice keeps it for a limited time: wait for it with VeniceVideoSensor and fetch "
    "it with VeniceDownloadVideoOperator, job={'model': 'wan-2-7-text-to-video', 'queue_id': '<queue id>'}"
)
_LONG = "a" * 252
_COLLECTED_BY_RETRY = f"{_COLLECT}. A retry or a clear of this task takes it up, and pays nothing"


def _to(output_path: Any, **arguments: Any) -> Any:
    """Make a clip for a path; ``/data`` stands for the folder."""

    def attempt(scene: Scene) -> object:
        path = output_path.replace("/data", str(scene.folder)) if isinstance(output_path, str) else output_path
        return scene.generate(output_path=path, **arguments)

    return attempt


def _something_there(scene: Scene) -> object:
    (scene.folder / "clip.mp4").write_bytes(b"mine")
    return scene.generate()


def _folder_there(scene: Scene) -> object:
    (scene.folder / "clip.mp4").mkdir()
    return scene.generate()


def _folder_is_a_file(scene: Scene) -> object:
    (scene.folder / "clips").write_bytes(b"mine")
    return scene.generate(output_path=f"{scene.folder}/clips/clip.mp4")


def _relative(scene: Scene) -> object:
    scene.monkeypatch.chdir(scene.folder)
    return scene.generate(output_path="clips/clip.mp4")


def _relative_folder(scene: Scene) -> object:
    scene.monkeypatch.chdir(scene.folder)
    return VeniceRecoverVideosOperator(task_id="recover", output_dir="clips")


def _dangling_link(scene: Scene) -> object:
    (scene.folder / "clips").symlink_to(scene.folder / "clips")
    return scene.generate(output_path=f"{scene.folder}/clips/clip.mp4")


def _pipe(scene: Scene) -> object:
    os.mkfifo(scene.folder / "clip.mp4")
    return scene.generate(existing="replace")


def _manifest_there(scene: Scene) -> object:
    (scene.folder / "clip.mp4.json").write_text('{"mine": true}')
    return scene.generate(manifest=True)


def _manifest_of_another_run(scene: Scene) -> object:
    run_task(scene.generate(manifest=True), Tries(run_id="monday"))
    (scene.folder / "clip.mp4").unlink()
    return scene.generate(manifest=True)


def _reuse(manifest: str | None = None, arguments: Mapping[str, Any] | None = None, **changes: Any) -> Any:
    """Reuse what is there: bytes that are no video, with a manifest of the task's own request but for the changes."""

    def attempt(scene: Scene) -> object:
        (scene.folder / "clip.mp4").write_bytes(b"mine")
        task = scene.generate(existing="reuse", **(arguments or {}))
        request = task.video_request()
        record: dict[str, Any] = {
            **{"status": "stored", "model": request.model, "queue_id": "q1", "size": 4, "sha256": "ab"},
            **{"dag_id": "clips", "run_id": "monday", "task_id": "make", "request": request.describe()},
            **{"fingerprint": fingerprint(request), "media": {}, **changes},
        }
        if manifest != "":
            (scene.folder / "clip.mp4.json").write_text(manifest or json.dumps(record))
        return task

    return attempt


def _reuse_of_what_is_being_made(scene: Scene) -> object:
    reserve(scene.folder / "clip.mp4", Owner("clips", "monday", "make"), overwrite=False)
    scene.shown[socket.gethostname()] = "worker-1"
    return scene.generate(existing="reuse")


_OTHER = {"model": "wan-2-7-text-to-video", "prompt": "a boat", "duration": "5s", "seed": 7}
_AWAY = "give another output_path, move the clip away, or set existing='replace'"


def _manifest_folder(scene: Scene) -> object:
    (scene.folder / "clip.mp4.json").mkdir()
    return scene.generate(manifest=True, existing="replace")


def _manifest_there_at_a_download(scene: Scene) -> object:
    (scene.folder / "clip.mp4.json").write_text("mine")
    return scene.download(manifest=True)


def _manifest_of_a_list(scene: Scene) -> object:
    (scene.folder / "1.mp4.json").write_text("mine")
    requests = [{"prompt": "a"}, {"prompt": "b"}]
    return scene.generate(prompt=None, request=requests, output_path=f"{scene.folder}/{{index}}.mp4", manifest=True)


def _connection_unreadable(scene: Scene) -> object:
    scene.monkeypatch.setenv("AIRFLOW_CONN_STORE", '{"conn_type": "aws"')
    return scene.generate(output_path="s3://store@bucket/clip.mp4")


def _reserved(scene: Scene) -> object:
    scene.shown[socket.gethostname()] = "worker-1"
    reserve(scene.folder / "clip.mp4", Owner("clips", "monday", "make"), overwrite=False)
    return scene.generate()


def _reservation_unreadable(scene: Scene) -> object:
    (scene.folder / ".clip.mp4.reserved").write_text("mine")
    return scene.generate()


def _no_temporary_directory(scene: Scene) -> object:
    attach("s3", conn_id=scene.folder.name, fs=MemoryFileSystem())  # type: ignore[no-untyped-call]
    scene.shown[f"{scene.folder.name}@"] = "store@"
    scene.monkeypatch.setattr("tempfile.tempdir", None)
    scene.monkeypatch.setattr("tempfile._candidate_tempdir_list", lambda: [f"{scene.folder}/gone"])
    return scene.generate(output_path=f"s3://{scene.folder.name}@bucket/clip.mp4")


def _folder_becomes_a_file(scene: Scene) -> object:
    download = scene.download(output_path=f"{scene.folder}/clips/clip.mp4")
    (scene.folder / "clips").write_bytes(b"mine")
    return download


def _download_to(output_path: str) -> Any:
    return lambda scene: scene.download(output_path=output_path)


def _download_to_what_exists(scene: Scene) -> object:
    (scene.folder / "clip.mp4").write_bytes(b"mine")
    return scene.download()


def _hook_generate(path: str) -> Any:
    return lambda scene: lambda: scene.hook.generate(**TEXT, path=path)


def _hook_download(scene: Scene) -> object:
    job = run_task(scene.queue(wait_for_completion=True))
    return lambda: scene.hook.download(job, "/proc/clip.mp4")


def _recover(output_dir: str) -> Any:
    def attempt(scene: Scene) -> object:
        scene.monkeypatch.chdir(scene.folder)
        job = run_task(scene.queue(wait_for_completion=True))
        return VeniceRecoverVideosOperator(task_id="recover", output_dir=output_dir, jobs=[job])

    return attempt


ROWS = (
    Mistake(
        "A file of that name is there",
        BEFORE,
        _something_there,
        "'/data/clip.mp4' exists already; give another path, or replace it: existing='replace', or overwrite=True of "
        "VeniceHook",
    ),
    Mistake(
        "A folder of that name is there",
        BEFORE,
        _folder_there,
        "'/data/clip.mp4' is a directory; name a file",
    ),
    Mistake(
        "``output_path`` names a folder",
        PARSED,
        _to("/data/"),
        "output_path '/data/' names a directory; add a file name, such as '/data/clip.mp4'",
    ),
    Mistake(
        "``output_path`` is empty",
        PARSED,
        _to(""),
        "output_path '' is not a path; give that of a file, such as '/data/clip.mp4'",
    ),
    Mistake(
        "``output_path`` is ``None``",
        PARSED,
        _to(None),
        "output_path is None; give a local path, an ObjectStoragePath or its URL",
    ),
    Mistake(
        "A template in ``output_path`` became ``None``",
        PARSED,
        _to("/data/None.mp4"),
        "output_path '/data/None.mp4' has a part that is 'None'; give a value to each variable of its template",
    ),
    Mistake(
        "A template in ``output_path`` became nothing",
        PARSED,
        _to("/data/.mp4"),
        "output_path '/data/.mp4' has no name before its suffix; give a value to each variable of its template",
    ),
    Mistake(
        "A template in ``output_path`` was not rendered, as it came from another task",
        BEFORE,
        _to("/data/{{ ds }}.mp4"),
        "'/data/{{ ds }}.mp4' holds a template that was not rendered. Airflow renders those of an "
        "operator's own arguments, and none in values that come from another task or go to a hook",
    ),
    Mistake(
        "``output_path`` ends with a line break, as it was read from a file",
        PARSED,
        _to("/data/clip.mp4\n"),
        "output_path '/data/clip.mp4\\n' begins or ends with white space, or holds a line break; remove that",
    ),
    Mistake(
        "``output_path`` is relative",
        PARSED,
        _relative,
        "output_path 'clips/clip.mp4' is a relative path, and a worker's working directory may be any; write the "
        "absolute one, such as '/data/clips/clip.mp4'",
    ),
    Mistake(
        "A URL in ``output_path`` has one slash",
        PARSED,
        _to("s3:/bucket/clip.mp4"),
        "output_path 's3:/bucket/clip.mp4' has no '//' after its scheme; write scheme://conn_id@bucket/key",
    ),
    Mistake(
        "A ``file`` URL is relative",
        PARSED,
        _to("file://clip.mp4"),
        "output_path 'file://clip.mp4' is not absolute; write file:///directory/name",
    ),
    Mistake(
        "A URL names a bucket and no key",
        PARSED,
        _to("s3://bucket"),
        "output_path 's3://bucket' names no key; write s3://conn_id@bucket/key",
    ),
    Mistake(
        "The package that serves ``gs://`` is not installed",
        BEFORE,
        _to("gs://bucket/clip.mp4"),
        "'gs://bucket/clip.mp4' cannot be used: No filesystem registered for scheme gs; install "
        "apache-airflow-providers-google",
    ),
    Mistake(
        "The connection that a path names is not defined",
        BEFORE,
        _to("s3://nobody@bucket/clip.mp4"),
        "'s3://nobody@bucket/clip.mp4' cannot be used: the connection 'nobody' is not defined in "
        "Airflow; add it (Admin > Connections, or airflow connections add), or correct the name",
    ),
    Mistake(
        "The connection that a path names cannot be read",
        BEFORE,
        _connection_unreadable,
        "the connection 'store' could not be read from Airflow (EnvironmentVariablesBackend: "
        "JSONDecodeError). Its API server, its database or a secrets backend does not answer; try again "
        "once they do",
        is_retried=True,
    ),
    Mistake(
        "A folder of the path is a file",
        BEFORE,
        _folder_is_a_file,
        "'/data/clips/clip.mp4' cannot be used: Not a directory: '/data/clips'",
    ),
    Mistake(
        "A folder of the path is a link to itself",
        BEFORE,
        _dangling_link,
        "'/data/clips/clip.mp4' cannot be used: Too many levels of symbolic links: '/data/clips/clip.mp4'",
    ),
    Mistake(
        "No file can be made in the folder",
        BEFORE,
        _to("/proc/clip.mp4"),
        "'/proc/clip.mp4' cannot be used: No file can be made there: '/proc'",
    ),
    Mistake(
        "The name of the clip is too long",
        BEFORE,
        _to(f"/data/{_LONG}.mp4"),
        f"'/data/{_LONG}.mp4' cannot be used: File name too long: '/data/{_LONG}.mp4'",
    ),
    Mistake(
        "A pipe has the name of the clip",
        BEFORE,
        _pipe,
        "'/data/clip.mp4' cannot be used: is not a regular file: '/data/clip.mp4'",
    ),
    Mistake(
        "Another run has reserved the name",
        BEFORE,
        _reserved,
        "'/data/clip.mp4' is reserved by DAG 'clips', run 'monday', task 'make' since <time> UTC, on "
        "worker-1. Give each clip its own path, e.g. with {{ ti.map_index }}; if that task will never "
        "run again, delete '/data/.clip.mp4.reserved'",
    ),
    Mistake(
        "A file that is no reservation has the name of one",
        BEFORE,
        _reservation_unreadable,
        "the reservation '/data/.clip.mp4.reserved' cannot be read; delete it if no task is making this clip",
    ),
    Mistake(
        "A file that is no manifest has the name of the clip's",
        BEFORE,
        _manifest_there,
        "'/data/clip.mp4.json' exists already, and is not the manifest of an earlier try of this task; "
        "remove it, give another output_path, or existing='replace' to replace it",
    ),
    Mistake(
        "The manifest of another run has the name of the clip's",
        AFTER,
        _manifest_of_another_run,
        "'/data/clip.mp4.json' exists already, and is not the manifest of an earlier try of this task; "
        "remove it, give another output_path, or existing='replace' to replace it",
        bought=1,
    ),
    Mistake(
        "A clip of another request is there, with ``existing='reuse'``",
        BEFORE,
        _reuse(request=_OTHER, fingerprint=fingerprint(VideoRequest.of(_OTHER))),
        "the clip that is there is of another request, as its manifest '/data/clip.mp4.json' says: prompt 'a boat' → "
        f"'a lighthouse in fog'; seed 7 → not set; {_AWAY}",
    ),
    Mistake(
        "A clip without a manifest is there, with ``existing='reuse'``",
        BEFORE,
        _reuse(manifest=""),
        f"'/data/clip.mp4' exists already, and has no manifest that says of which request it is; {_AWAY}",
    ),
    Mistake(
        "What has the name of the manifest is none, with ``existing='reuse'``",
        BEFORE,
        _reuse(manifest="mine"),
        f"'/data/clip.mp4' exists already, and '/data/clip.mp4.json' is no manifest of a clip; {_AWAY}",
    ),
    Mistake(
        "The manifest is that of a job that has failed, with ``existing='reuse'``",
        BEFORE,
        _reuse(status="failed"),
        "'/data/clip.mp4' exists already, and its manifest '/data/clip.mp4.json' is that of a job that has failed; "
        f"{_AWAY}",
    ),
    Mistake(
        "The clip that is there was cut, with ``existing='reuse'``",
        BEFORE,
        _reuse(),
        "'/data/clip.mp4' is not a whole video (the file is cut after 4 bytes, within a box header); remove it",
    ),
    Mistake(
        "A manifest of an earlier release does not say enough, with ``existing='reuse'``",
        BEFORE,
        _reuse(arguments={"extra_body": {"style": "ink"}}, fingerprint=None),
        "the manifest '/data/clip.mp4.json' does not say enough to be certain that the clip that is there is of this "
        f"request; {_AWAY}",
    ),
    Mistake(
        "Another run is making the clip, with ``existing='reuse'``",
        BEFORE,
        _reuse_of_what_is_being_made,
        "'/data/clip.mp4' is reserved by DAG 'clips', run 'monday', task 'make' since <time> UTC, on "
        "worker-1. Give each clip its own path, e.g. with {{ ti.map_index }}; if that task will never "
        "run again, delete '/data/.clip.mp4.reserved'",
        is_retried=True,
    ),
    Mistake(
        "A folder has the name of the manifest",
        BEFORE,
        _manifest_folder,
        "'/data/clip.mp4.json' is a directory; name a file",
    ),
    Mistake(
        "A file has the name of one manifest of a list",
        BEFORE,
        _manifest_of_a_list,
        "1 of 2 requests is wrong, and none is queued:\n"
        "request[1] \"b\": '/data/1.mp4.json' exists already, and is not the manifest of an earlier try of this task; "
        "remove it, give another output_path, or existing='replace' to replace it",
    ),
    Mistake(
        "A file that is no manifest has the name of the one of a download",
        AFTER,
        _manifest_there_at_a_download,
        "video job <queue id> (wan-2-7-text-to-video) is stored as '/data/clip.mp4', and only its "
        "manifest could not be written: '/data/clip.mp4.json' exists already, and is not the manifest of "
        "an earlier try of this task; remove it, give another output_path, or existing='replace' to replace "
        "it. A retry or a clear of this task writes the manifest, and neither buys nor downloads the "
        "clip again",
        bought=1,
    ),
    Mistake(
        "There is no directory for temporary files, which an object storage needs",
        BEFORE,
        _no_temporary_directory,
        "'s3://store@bucket/clip.mp4' cannot be used: No usable temporary directory found in ['/data/gone']; free "
        "space in the worker's directory for temporary files, or set TMPDIR to another one",
        is_retried=True,
    ),
    Mistake(
        "``VeniceHook.generate`` is given a path under which no file can be made",
        BEFORE,
        _hook_generate("/proc/clip.mp4"),
        "'/proc/clip.mp4' cannot be used: No file can be made there: '/proc'",
        is_retried=True,
    ),
    Mistake(
        "``VeniceHook.generate`` is given a template",
        BEFORE,
        _hook_generate("/clips/{{ ds }}.mp4"),
        "'/clips/{{ ds }}.mp4' holds a template that was not rendered. Airflow renders those of an "
        "operator's own arguments, and none in values that come from another task or go to a hook",
        is_retried=True,
    ),
    Mistake(
        "``VeniceHook.download`` is given a path under which no file can be made",
        AFTER,
        _hook_download,
        "'/proc/clip.mp4' cannot be used: No file can be made there: '/proc'",
        bought=1,
        is_retried=True,
        log=(_COLLECT,),
    ),
    Mistake(
        "The folder of a download is a file",
        AFTER,
        _folder_becomes_a_file,
        "'/data/clips/clip.mp4' cannot be used: Not a directory: '/data/clips'",
        bought=1,
        is_retried=True,
        log=(_COLLECTED_BY_RETRY,),
    ),
    Mistake(
        "No file can be made in the folder of a download",
        AFTER,
        _download_to("/proc/clip.mp4"),
        "'/proc/clip.mp4' cannot be used: No file can be made there: '/proc'",
        bought=1,
        is_retried=True,
        log=(_COLLECTED_BY_RETRY,),
    ),
    Mistake(
        "A file has the name of a download",
        AFTER,
        _download_to_what_exists,
        "'/data/clip.mp4' exists already; give another path, or replace it: existing='replace', or overwrite=True of "
        "VeniceHook",
        bought=1,
        log=(_COLLECTED_BY_RETRY,),
    ),
    Mistake(
        "The connection that the path of a download names is not defined",
        AFTER,
        _download_to("s3://nobody@bucket/clip.mp4"),
        "'s3://nobody@bucket/clip.mp4' cannot be used: the connection 'nobody' is not defined in "
        "Airflow; add it (Admin > Connections, or airflow connections add), or correct the name",
        bought=1,
        log=(_COLLECTED_BY_RETRY,),
    ),
    Mistake(
        "No file can be made in the ``output_dir`` of *recover*",
        AFTER,
        _recover("/proc"),
        "'/proc/<queue id>.mp4' cannot be used: No file can be made there: '/proc'",
        bought=1,
        is_retried=True,
        log=(f"{_COLLECT}. A retry or a clear of this task collects it, and pays nothing",),
    ),
    Mistake(
        "The ``output_dir`` of *recover* is relative",
        PARSED,
        _relative_folder,
        "output_dir 'clips' is a relative path, and a worker's working directory may be any; write the absolute one, "
        "such as '/data/clips'",
    ),
)
