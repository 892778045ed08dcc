"""Runs the clients and writes the page of the documentation."""

from __future__ import annotations

import sys
import time

from tests.clients.deviations import deviation_of
from tests.clients.environments import CLIENTS, make_environment
from tests.clients.page import PAGE, render
from tests.clients.runs import run_all


def main() -> int:
    """Return 1 where a client fails for no known reason, or does not fail for one."""
    started = time.monotonic()
    for client in CLIENTS:
        make_environment(client)
    made = time.monotonic()
    results = run_all(CLIENTS)
    PAGE.write_text(render(results), encoding="utf-8")
    print(f"Environments: {made - started:.0f} s; clients: {time.monotonic() - made:.0f} s; wrote {PAGE}")
    unexpected = [
        f"{client}: {case}: {result}; known: {deviation_of(client, case)}"
        for client, cases in results.items()
        for case, result in cases.items()
        if result.works != (deviation_of(client, case) is None)
    ]
    print("\n".join(unexpected), end="\n" if unexpected else "")
    return bool(unexpected)


if __name__ == "__main__":
    sys.exit(main())
