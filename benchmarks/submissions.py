"""A hundred mapped tasks that submit at once, each in a worker of its own."""

from __future__ import annotations

from airflow_provider_venice.simulator import VeniceSimulator
from benchmarks.airflow import PARALLELISM, open_airflow, run_dag
from benchmarks.table import Table

#: Seconds in which a hundred may be submitted at best: forty, forty a minute later, twenty a minute later.
FLOOR = 120.0


def run() -> list[Table]:
    """Run both DAGs, each against a vendor of its own."""
    table = Table(
        "100 mapped tasks that submit, in a real Airflow with LocalExecutor",
        (
            "Task",
            "Accepted",
            "Seconds from the first to the last",
            "Times the floor",
            "Requests refused",
            "of these by the block",
            "Worker launches",
            "Worker seconds held",
            "per clip",
            "CPU s of workers",
        ),
        f"At the vendor's own speed; {PARALLELISM} tasks may run at once. The floor is {FLOOR:.0f} s: 40 at once, "
        "40 when the minute turns, 20 when it turns again; ours spreads them, 32 a minute, which takes 186 s. A "
        "worker is a process that runs a task; its seconds are counted every tenth of a second. *`@task` that "
        "sleeps* calls the API with `requests` and waits in the worker for the reset that a refusal names.",
    )
    for dag_id, name in {
        "submissions_ours": "`VeniceQueueVideoOperator`",
        "submissions_sleeping": "`@task` that sleeps",
    }.items():
        with VeniceSimulator(media="shared", balance=1000) as venice, open_airflow(venice) as stack:
            workers = run_dag(stack, dag_id)
            journal = venice.journal
            paid = sorted(charge.time for charge in journal.charges)
            held = sum(workers.seconds.values())
            table.add(
                name,
                len(paid),
                paid[-1] - paid[0],
                f"{(paid[-1] - paid[0]) / FLOOR:.2f}",
                len(journal.refusals),
                len(journal.blocks),
                len(workers.seconds),
                held,
                held / len(paid),
                sum(workers.cpu.values()),
            )
    return [table]
