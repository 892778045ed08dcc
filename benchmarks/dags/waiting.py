"""A task whose instances wait in the triggerer; the benchmark makes them deferred itself, no worker runs one."""

from __future__ import annotations

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG

with DAG("waiting", schedule=None):
    EmptyOperator(task_id="wait")
