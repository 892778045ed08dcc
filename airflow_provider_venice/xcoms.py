"""Keys of the XComs that this package pushes beside a task's return value."""

from __future__ import annotations

#: What a task has bought: a job, or a list of them, pushed at the start of every try and after each purchase.
JOB_KEY = "venice_job"

#: What became of each job or clip, pushed where some have failed, or are in doubt.
RESULTS_KEY = "venice_results"
