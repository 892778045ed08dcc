"""Keys of the XComs that this package pushes beside a task's return value."""

from __future__ import annotations

#: What a task has bought: a job, or a list of them, pushed at the start of every try and after each purchase.
JOB_KEY = "venice_job"

#: What has become of each clip of a task so far: a list, also of one, pushed whenever that changes.
RESULTS_KEY = "venice_results"

#: What was last seen of jobs that a task waits for, by queue id; pushed seldom, for people.
PROGRESS_KEY = "venice_progress"
