"""Keys of the XComs that this package pushes beside a task's return value, and what names the task they belong to."""

from __future__ import annotations

from typing import NamedTuple

#: What a task has bought: a job, or a list of them, pushed at the start of every try and after each purchase.
JOB_KEY = "venice_job"

#: What has become of each clip of a task so far: a list, also of one, pushed whenever that changes.
RESULTS_KEY = "venice_results"

#: What was last seen of jobs that a task waits for, by queue id; pushed seldom, for people.
PROGRESS_KEY = "venice_progress"


class TaskKey(NamedTuple):
    """Names a task instance; its map index is -1 where it is not mapped."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
