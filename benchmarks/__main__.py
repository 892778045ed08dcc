"""
Runs the benchmarks: ``python -m benchmarks``, or ``make bench``.

Each prints its tables as Markdown; ``--save`` also puts them where docs/performance.md takes them from.
"""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import time
from importlib.metadata import version
from pathlib import Path

#: In the order of docs/performance.md. Each is a module with a function ``run`` that returns tables.
BENCHMARKS = ("polling", "triggerers", "submissions", "waiting", "downloads", "imports", "workers", "cluster", "pages")

SAVED = Path(__file__).parents[1] / "docs" / "measured"


def main() -> None:
    """Run the benchmarks that the command line names, or all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").strip())
    parser.add_argument("names", nargs="*", metavar="name", help=f"{', '.join(BENCHMARKS)}; all by default")
    parser.add_argument("--save", action="store_true", help="write the tables to docs/measured as well")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(BENCHMARKS):
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}")
    for name in arguments.names or BENCHMARKS:
        started = time.monotonic()
        tables = importlib.import_module(f"benchmarks.{name}").run()
        text = "\n".join(table.to_markdown() for table in tables)
        took = f"in {time.monotonic() - started:.0f} s"
        text += f"\nMeasured {time.strftime('%F', time.gmtime())} {took}: {_machine()}.\n"
        print(f"\n## {name}\n\n{text}", flush=True)
        if arguments.save:
            SAVED.mkdir(exist_ok=True)
            (SAVED / f"{name}.md").write_text(text, encoding="utf-8")


def _machine() -> str:
    return (
        f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}, "
        f"Airflow {version('apache-airflow')}"
    )


if __name__ == "__main__":
    main()
