"""What each command does; its options are in ``definition``."""

from __future__ import annotations

import json
import logging
import shlex
import sys
import time
from argparse import Namespace
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from airflow.utils.session import create_session

from airflow_provider_venice.api.charges import SLACK
from airflow_provider_venice.api.costs import find_cost
from airflow_provider_venice.cli.console import command, fail, show, usd
from airflow_provider_venice.cli.definition import ARGS_REQUEST, HAS_DOUBTS
from airflow_provider_venice.cli.doubts import RecordedDoubts
from airflow_provider_venice.hooks.billing import read_history
from airflow_provider_venice.hooks.venice import VeniceHook
from airflow_provider_venice.plugin.clips import Clip, find_clips
from airflow_provider_venice.plugin.pushed import RunTasks
from airflow_provider_venice.plugin.records import MOST_CLIPS, Scope, TaskRecords

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import Session

    from airflow_provider_venice.api.costs import ActualCost
    from airflow_provider_venice.api.model import VideoModel

log = logging.getLogger(__name__)

#: Most DAG runs of one DAG that are searched for doubts, the newest.
_MOST_RUNS = 100_000

#: Days that ``spend`` sums up where it is given no first one.
_DAYS = 7

#: Seconds after the last purchase of a run in which refunds are looked for.
_REFUNDED_WITHIN = 86_400.0

_records = TaskRecords()


@command
def models(args: Namespace) -> None:
    """List the video models."""
    known = VeniceHook(args.conn_id).list_models()
    show([_model_row(model) for model in known if args.type in (None, model.model_type)], args)


def _model_row(model: VideoModel) -> dict[str, Any]:
    notice = model.deprecation or {}
    end, replacement = str(notice.get("date") or "")[:10], notice.get("replacementModelId")
    return {
        "id": model.id,
        "type": model.model_type,
        "durations": model.durations,
        "resolutions": model.resolutions,
        "aspect_ratios": model.aspect_ratios,
        "audio": model.audio,
        "offline": model.offline,
        "deprecation": f"{end}, use {replacement}" if replacement else end or None,
    }


@command
def quote(args: Namespace) -> None:
    """Price clips."""
    hook = VeniceHook(args.conn_id)
    names = [option.flags[0].removeprefix("--").replace("-", "_") for option in ARGS_REQUEST]
    given = {name: value for name in names if (value := getattr(args, name)) is not None}
    rows = []
    for one in args.request:
        wanted = {**one, **given}
        cost = usd(hook.quote(wanted).estimated_cost)
        rows.append({**{name: wanted.get(name) for name in names}, "cost_usd": cost})
    show(rows, args)


@command
def balance(args: Namespace) -> None:
    """Show the account's balance."""
    # Not /billing/balance, which may need an ADMIN key.
    limits = VeniceHook(args.conn_id).rate_limits()
    balances = limits.get("balances") or {}
    row = {
        "tier": (limits.get("apiTier") or {}).get("id"),
        "access_permitted": limits.get("accessPermitted"),
        "usd": usd(balances.get("USD")),
        "diem": balances.get("DIEM"),
    }
    show([row], args)


@command
def spend(args: Namespace) -> None:
    """Show what the account has spent."""
    since = args.since or datetime.now(timezone.utc).date() - timedelta(days=_DAYS - 1)
    spent = VeniceHook(args.conn_id).spend(since, args.until)
    amounts = [
        *(("day", day, amount) for day, amount in spent.by_day.items()),
        *(("model", model, amount) for model, amount in spent.by_model.items()),
        *(("key", key.description or key.id, key.usd) for key in spent.by_key),
        ("total", f"{spent.since} to {spent.until}", spent.total),
    ]
    show([{"by": by, "name": name, "usd": usd(amount)} for by, name, amount in amounts], args)


@command
def jobs(args: Namespace) -> None:
    """List the clips of a DAG run."""
    with create_session() as session:
        _tasks(session, args)
        clips = _clips(session, args.dag_id, args.run_id)
    charges = _charges(clips, args.conn_id) if args.charges else None
    show(
        [
            {
                "task": clip.first.label,
                "state": clip.state,
                "model": clip.model,
                "cost_usd": usd(clip.cost),
                "refunded": clip.is_refunded,
                **({} if charges is None else _charge_columns(charges.get(clip.queue_id))),
                "path": clip.file and clip.file["path"],
                "queue_id": clip.queue_id,
                "error": clip.error,
            }
            for clip in sorted(clips, key=lambda clip: (clip.time, clip.first.label))
            if args.task_id is None or any(place.record.key.task_id == args.task_id for place in clip.places)
        ],
        args,
    )


def _charges(clips: Sequence[Clip], conn_id: str) -> dict[str | None, ActualCost]:
    """Return what the jobs of clips have really cost, by queue id, as far as the usage history says by now."""
    bought = [(clip.queue_id, clip.queued_at) for clip in clips if clip.queue_id and clip.queued_at is not None]
    if not bought:
        return {}
    times = [queued_at for _, queued_at in bought]
    until = max(times) + _REFUNDED_WITHIN
    history = read_history(VeniceHook(conn_id), min(times) - SLACK, until if until < time.time() else None)
    return {queue_id: find_cost(history, queue_id) for queue_id, _ in bought}


def _charge_columns(cost: ActualCost | None) -> dict[str, str | None]:
    return {
        "charge_usd": None if cost is None else usd(cost.charge),
        "refund_usd": None if cost is None else usd(cost.refund),
    }


@command
def doubts(args: Namespace) -> None:
    """List the submissions that may have been charged."""
    with create_session() as session:
        recorded = RecordedDoubts(
            clip
            for dag_id in _records.dag_ids(session)
            for run_id in _records.run_ids(session, dag_id, _MOST_RUNS)
            for clip in _clips(session, dag_id, run_id)
        )
    rows = [recorded.row(clip) for clip in recorded.doubts if args.dag_id in (None, clip.first.record.key.dag_id)]
    show(rows, args)
    if rows and args.exit_code:
        raise SystemExit(HAS_DOUBTS)


@command
def recover(args: Namespace) -> None:
    """Download the paid clips of a DAG run that no task has stored."""
    from airflow_provider_venice.generation.recovery import BEGUN, UNSEEN, Recovery, find_jobs

    recovery = Recovery(VeniceHook(args.conn_id), args.output_dir, log, "Run this command again")
    with create_session() as session:
        tasks = _tasks(session, args)
        found, unseen = find_jobs(tasks.pushed), tasks.count_unseen(BEGUN)
    report = recovery.collect(found)
    names = ("queue_id", "model", "status", "path", "error")
    show([{name: fate.get(name) for name in names} for fate in report], args)
    if unseen:
        print(f"airflow venice: {UNSEEN % unseen}", file=sys.stderr)
    if recovery.problems:
        raise fail("; ".join(f"{job}: {error}" for job, error in recovery.problems))


def simulate(args: Namespace) -> None:
    """Run the simulator; print the connection that leads to it."""
    from airflow_provider_venice.simulator.__main__ import run, settings_of

    def connection(url: str) -> str:
        fields = {"conn_type": VeniceHook.conn_type, "host": url, "password": args.api_key}
        return f"export AIRFLOW_CONN_VENICE_DEFAULT={shlex.quote(json.dumps(fields))}"

    try:
        settings = settings_of(args)
    except ValueError as error:
        raise fail(str(error)) from None
    # In place of Airflow's, which may write to stdout.
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="airflow venice: %(message)s", force=True)
    raise SystemExit(run(settings, args, show=connection))


def _tasks(session: Session, args: Namespace) -> RunTasks:
    """Return the task instances of the DAG run that the options name; end with an error where there are none."""
    tasks = RunTasks(session, args.dag_id, args.run_id)
    if not tasks.exist():
        raise fail(f"there is no run {args.run_id!r} of the DAG {args.dag_id!r} in Airflow's database")
    return tasks


def _clips(session: Session, dag_id: str, run_id: str) -> list[Clip]:
    records, is_complete = _records.read(session, Scope([dag_id], [run_id]))
    if not is_complete:
        raise fail(f"the run {run_id!r} of the DAG {dag_id!r} has more than {MOST_CLIPS} clips, which are not shown")
    return find_clips(records)
