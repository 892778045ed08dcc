"""
What is wrong in a task's arguments is said when its DAG is parsed, where rendering cannot change it.

Templates, outputs of other tasks and objects of unknown types are left to the run, which decides by the same functions.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from decimal import Decimal
from types import FrameType
from typing import Any, Literal, get_args

from airflow_provider_venice.api.budget import Budget
from airflow_provider_venice.api.model import VideoJob
from airflow_provider_venice.api.request import REQUEST_FIELDS, VideoRequest
from airflow_provider_venice.api.values import is_unset
from airflow_provider_venice.exceptions import VeniceRequestError
from airflow_provider_venice.generation.fallbacks import read_models
from airflow_provider_venice.generation.request_errors import RequestErrors
from airflow_provider_venice.hooks.failures import InvalidArgument
from airflow_provider_venice.storage import path_text

#: What becomes of a file that is at ``output_path`` already.
Existing = Literal["fail", "replace", "reuse"]

#: What begins a template.
_TEMPLATE = ("{{", "{%", "{#")

_DEFAULT_DEFERRABLE = "AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE"

_LITERAL = (bool, int, float, Decimal, bytes, timedelta, os.PathLike)

#: Packages whose frames are not where a user has made a mistake.
_FRAMEWORK = ("airflow", "airflow_provider_venice")


def is_literal(value: Any) -> bool:
    """Whether a value is the same after rendering: plain data without a template, and no output of a task."""
    if isinstance(value, str):
        return not any(mark in value for mark in _TEMPLATE)
    if isinstance(value, Mapping):
        return all(is_literal(entry) for entry in value.values())
    if isinstance(value, (list, tuple)):
        return all(is_literal(entry) for entry in value)
    return value is None or isinstance(value, (*_LITERAL, VideoRequest, VideoJob))


@contextlib.contextmanager
def checked(task_id: str) -> Iterator[None]:
    """
    Say of which task and which line of the DAG file an argument is wrong.

    :param task_id: the task whose arguments are checked.
    :raises InvalidArgument: for a ``VeniceRequestError`` or a ``ValueError``. A mapped task, whose arguments are
        known only when it runs, spends no retry on it.
    """
    try:
        yield
    except (VeniceRequestError, ValueError) as error:
        fields = error.fields if isinstance(error, VeniceRequestError) else {}
        raise InvalidArgument(f"{error} (task {task_id!r}{_position()})", fields=fields) from None


def check_flags(**flags: Any) -> None:
    """
    Refuse what is no boolean: ``"no"`` would count as true.

    :raises VeniceRequestError: naming the argument.
    """
    for name, value in flags.items():
        if not isinstance(value, bool):
            _refuse(name, f"is {value!r}; give True or False")


def chosen_existing(existing: Any, overwrite: Any) -> Existing:
    """
    Return what becomes of a file that is there already.

    :param existing: the argument of that name, ``None`` where it was not given.
    :param overwrite: its older form: ``True`` is ``replace``, ``False`` is ``fail``, ``None`` was not given.
    :raises VeniceRequestError: naming the argument, and what it takes.
    """
    if existing is not None:
        check_choice("existing", existing, get_args(Existing))
    if overwrite is None:
        return existing or "fail"
    check_flags(overwrite=overwrite)
    meant: Existing = "replace" if overwrite else "fail"
    if existing not in (None, meant):
        _refuse("existing", f"is {existing!r}, and overwrite={overwrite} means existing={meant!r}; give existing alone")
    return meant


def default_deferrable() -> bool:
    """
    Return whether to wait in the triggerer where a task does not say so.

    ``AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE`` is followed: a deployment that sets it may run no triggerer. The
    ``false`` in ``airflow.cfg`` is not, as Airflow itself writes it there, and a clip takes minutes.
    """
    from airflow_provider_venice.version_compat import conf

    if _DEFAULT_DEFERRABLE not in os.environ:
        return True
    return bool(conf.getboolean("operators", "default_deferrable"))


def check_choice(name: str, value: Any, known: tuple[str, ...]) -> None:
    """
    Refuse what is not one of the known words.

    :raises VeniceRequestError: naming the argument and the words.
    """
    if value not in known:
        _refuse(name, f"is {value!r}; give one of {', '.join(map(repr, known))}")


def check_seconds(name: str, value: float | None) -> None:
    """
    Refuse no time at all.

    :param value: seconds; ``None`` where they are chosen elsewhere.
    :raises VeniceRequestError: naming the argument.
    """
    if value == 0:
        _refuse(name, "is 0; give seconds above zero, or a timedelta")


def check_connection(conn_id: Any) -> None:
    """
    Refuse what is no name of a connection.

    :raises VeniceRequestError: naming the argument.
    """
    if is_literal(conn_id) and (not isinstance(conn_id, str) or not conn_id.strip()):
        _refuse("venice_conn_id", f"is {conn_id!r}; give the id of a connection, such as 'venice_default'")


def check_limits(**limits: Any) -> None:
    """
    Refuse a literal limit that is no amount.

    :raises VeniceRequestError: naming the argument.
    """
    Budget.of(**{name: value for name, value in limits.items() if is_literal(value)})


def check_models(models: Any) -> None:
    """
    Refuse a literal that names no models.

    :raises VeniceRequestError: naming the argument, or the entry of the list.
    """
    if is_literal(models):
        read_models(models)
    elif isinstance(models, (list, tuple)):
        for one in models:
            check_models(one)


def check_job(job: Any, *, many: bool) -> None:
    """
    Refuse a literal that is no job.

    :param many: whether a list of jobs is taken as well.
    :raises VeniceRequestError: naming the argument, or the field of the job.
    """
    if not is_literal(job):
        return
    if many and isinstance(job, (list, tuple)):
        for one in job:
            VideoJob.of(one)
    elif isinstance(job, (VideoJob, Mapping)):
        VideoJob.of(job)
    else:
        _refuse("job", f"is {job!r}; give the job that the queue task returned (its .output)" + ", or a list" * many)


def check_path(path: Any) -> None:
    """
    Refuse a literal that names no file; what is there is known only where the task runs.

    :raises VeniceRequestError: naming the argument.
    """
    if isinstance(path, (list, tuple)):
        for one in path:
            check_path(one)
        return
    if not is_literal(path):
        return
    if not isinstance(path, (str, os.PathLike)):
        _refuse("output_path", f"is {path!r}; give a local path, an ObjectStoragePath or its URL")
    text = os.fsdecode(path)
    try:
        path_text.check_target(text)
        path_text.check_path(text, ())
        path_text.check_absolute(text)
    except VeniceRequestError as error:
        raise VeniceRequestError(f"output_path {error}", fields={"output_path": str(error)}) from None


def check_folder(path: Any) -> None:
    """
    Refuse a literal that names no directory.

    :raises VeniceRequestError: naming the argument.
    """
    if not is_literal(path):
        return
    if not isinstance(path, (str, os.PathLike)) or not os.fsdecode(path).strip():
        _refuse("output_dir", f"is {path!r}; give a directory, such as '/data/recovered'")
    try:
        path_text.check_absolute(os.fsdecode(path))
    except VeniceRequestError as error:
        raise VeniceRequestError(f"output_dir {error}", fields={"output_dir": str(error)}) from None


def check_request(
    request: Any, fields: Mapping[str, Any], set_apart: Callable[[Any], Any], *, is_complete: bool
) -> None:
    """
    Refuse what is wrong in a request whatever is rendered: unknown fields, and literal values of the wrong type.

    :param request: the argument of that name: one request, or a list of them.
    :param fields: the request's fields as arguments of their own.
    :param set_apart: puts the columns of a row aside that are no fields.
    :param is_complete: whether nothing else sets the model.
    :raises VeniceRequestError: naming every request and every field that is wrong.
    """
    is_list = isinstance(request, (list, tuple))
    requests = list(request) if is_list else [request]
    problems = RequestErrors(requests, is_list=is_list)
    for position, one in enumerate(requests):
        with problems.about(position):
            _check_one(set_apart(one), fields, is_complete=is_complete)
    problems.raise_all()


def _check_one(request: Any, fields: Mapping[str, Any], *, is_complete: bool) -> None:
    if request is not None and not isinstance(request, (VideoRequest, Mapping)):
        if is_literal(request):
            VideoRequest.of(request)
        return  # its fields go before the arguments, and are known only in a run
    given: dict[str, Any] = request.to_mapping() if isinstance(request, VideoRequest) else dict(request or {})
    named = {name: value for name, value in given.items() if not is_unset(value)}
    rest = {name: value for name, value in fields.items() if name not in named and not is_unset(value)}
    literal = {name: value for name, value in {**rest, **named}.items() if is_literal(value)}
    unknown = [name for name in named if name not in (*REQUEST_FIELDS, "image")]
    if "model" not in literal and (not is_complete or "model" in named or "model" in rest):
        literal["model"] = "rendered"
    # An unknown name is wrong whatever its value.
    VideoRequest.of({**literal, **{name: given[name] for name in unknown}})


def _refuse(name: str, problem: str) -> None:
    raise VeniceRequestError(f"{name} {problem}", fields={name: problem})


def _position() -> str:
    """Return the line of the DAG file that makes the task; nothing where a mapped task is made in a run."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        package = frame.f_globals.get("__name__", "").partition(".")[0]
        if frame.f_code.co_name == "unmap" and package == "airflow":
            return ""
        if package not in (*_FRAMEWORK, "contextlib"):
            return f", {frame.f_code.co_filename}, line {frame.f_lineno}"
        frame = frame.f_back
    return ""
