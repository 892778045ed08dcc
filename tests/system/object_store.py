"""
A real S3 server on this machine: OpenStack Swift with its S3 interface, four processes on loopback.

It has an environment of its own, ``.venv-swift``, which is made at first use. It needs neither root nor memcached.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import psutil

from tests.compat.environments import ROOT, make_environment
from tests.system.stack import free_port
from tests.system.watchdog import processes_of

ENVIRONMENT = ROOT / ".venv-swift"

#: eventlet is what Swift's servers run on; the others are Swift's own choice.
PACKAGES = ("swift==2.38.*", "pyeclib==1.8.*")

ACCESS_KEY, SECRET_KEY, REGION = "test:tester", "testing", "us-east-1"

#: The servers, in the order in which they start; the last one talks S3.
SERVERS = ("account", "container", "object", "proxy")

#: The servers that find each other by a ring, a table of who stores what.
_STORING = SERVERS[:3]

_SWIFT_CONF = """
[swift-hash]
swift_hash_path_suffix = tests

[storage-policy:0]
name = one
default = yes
"""

_DEFAULT = """
[DEFAULT]
swift_dir = {home}
devices = {home}/devices
mount_check = false
disable_fallocate = true
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
user = {user}
log_level = INFO

[pipeline:main]
pipeline = {pipeline}
"""

_STORING_CONF = """
[app:{name}-server]
use = egg:swift#{name}
"""

# A server that was stopped must be asked again as soon as it is back: no suppression of servers that failed.
_PROXY_CONF = f"""
[filter:catch_errors]
use = egg:swift#catch_errors

[filter:listing_formats]
use = egg:swift#listing_formats

[filter:s3api]
use = egg:swift#s3api
location = {REGION}

[filter:tempauth]
use = egg:swift#tempauth
user_{ACCESS_KEY.replace(":", "_")} = {SECRET_KEY} .admin

[filter:copy]
use = egg:swift#copy

[filter:slo]
use = egg:swift#slo

[filter:dlo]
use = egg:swift#dlo

[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
error_suppression_limit = 1000000
"""

_MAKE_RINGS = """
import json, sys
from swift.common.ring import RingBuilder

home, ports = sys.argv[1], json.loads(sys.argv[2])
for name, port in ports.items():
    builder = RingBuilder(part_power=2, replicas=1, min_part_hours=0)
    builder.add_dev({"region": 1, "zone": 1, "weight": 1.0, "ip": "127.0.0.1", "port": port, "device": "disk"})
    builder.rebalance()
    builder.get_ring().save(f"{home}/{name}.ring.gz")
"""


class ObjectStoreError(AssertionError):
    """The object store did not do what was asked of it; the message has the ends of the logs."""


def swift_python() -> Path:
    """Return the Python of Swift's environment; makes it if it is missing or differs from what is wanted."""
    return make_environment(ENVIRONMENT, sys.executable, f"{PACKAGES} {sys.version}", PACKAGES)


class ObjectStore:
    """
    A running S3 server with a folder of its own, for the length of a ``with``.

    :param buckets: the buckets that it has from the start.
    :param lifetime: seconds after which it is ended whatever happens; ``None`` for as long as its owner lives.
    """

    def __init__(self, *buckets: str, lifetime: float | None = 3600) -> None:
        self.buckets = buckets
        self.lifetime = lifetime
        self.home = Path(tempfile.mkdtemp(prefix="object-store-"))
        self._ports = {name: free_port() for name in SERVERS}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._watchdog: subprocess.Popen[bytes] | None = None

    @property
    def endpoint_url(self) -> str:
        """Where it talks S3; the same after each start."""
        return f"http://127.0.0.1:{self._ports['proxy']}"

    @property
    def connection_uri(self) -> str:
        """The Airflow connection that leads to it."""
        return self.connection()

    def connection(self, secret_key: str = SECRET_KEY, **extra: Any) -> str:
        """
        Return an Airflow connection that leads to it, as a URI.

        :param extra: more fields of the connection's extra, such as ``config_kwargs``.
        """
        login = f"{quote(ACCESS_KEY, safe='')}:{quote(secret_key, safe='')}"
        fields = {"endpoint_url": self.endpoint_url, "region_name": REGION, **extra}
        return f"aws://{login}@/?{urlencode({'__extra__': json.dumps(fields)})}"

    def client(self) -> Any:
        """Return a client of boto3, which knows nothing of the package under test."""
        import boto3

        return boto3.client(  # type: ignore[no-untyped-call]
            "s3",
            endpoint_url=self.endpoint_url,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            region_name=REGION,
        )

    def sizes(self, bucket: str, prefix: str = "") -> dict[str, int]:
        """Return the size in bytes of each object of a bucket, by key."""
        pages = self.client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return {item["Key"]: item["Size"] for page in pages for item in page.get("Contents", ())}

    def read(self, bucket: str, key: str) -> bytes:
        """Return the bytes of an object."""
        data: bytes = self.client().get_object(Bucket=bucket, Key=key)["Body"].read()
        return data

    def write(self, bucket: str, key: str, data: bytes) -> None:
        """Store an object."""
        self.client().put_object(Bucket=bucket, Key=key, Body=data)

    # Start and end

    def __enter__(self) -> ObjectStore:
        lifetime = [] if self.lifetime is None else [f"--lifetime={self.lifetime}"]
        self._watchdog = subprocess.Popen(
            [sys.executable, "-m", "tests.system.watchdog", "--grace=0", f"--remove={self.home}", *lifetime],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            self._configure()
            self.start()
            for bucket in self.buckets:
                self.client().create_bucket(Bucket=bucket)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._watchdog is not None:
            self._watchdog.communicate(timeout=60)  # closes the pipe, which is the sign to end everything
            for process in self._processes.values():
                process.wait(timeout=60)

    def _configure(self) -> None:
        disk = self.home / "devices" / "disk"
        disk.mkdir(parents=True)
        try:
            os.setxattr(disk, "user.swift", b"")
        except OSError as error:
            raise ObjectStoreError(
                f"the file system of {disk} has no extended attributes, in which Swift keeps what it knows of an "
                f"object ({error}); set TMPDIR to a folder of another one"
            ) from error
        (self.home / "swift.conf").write_text(_SWIFT_CONF)
        for name in SERVERS:
            is_proxy = name == "proxy"
            pipeline = "catch_errors listing_formats s3api tempauth copy slo dlo proxy-server"
            default = _DEFAULT.format(
                home=self.home,
                port=self._ports[name],
                user=getpass.getuser(),
                pipeline=pipeline if is_proxy else f"{name}-server",
            )
            own = _PROXY_CONF if is_proxy else _STORING_CONF.format(name=name)
            (self.home / f"{name}.conf").write_text(default + own)
        rings = json.dumps({name: self._ports[name] for name in _STORING})
        made = subprocess.run(
            [swift_python(), "-c", _MAKE_RINGS, str(self.home), rings], capture_output=True, text=True, timeout=60
        )
        if made.returncode:
            raise ObjectStoreError(f"the rings could not be made:\n{made.stdout}{made.stderr}")

    def start(self) -> None:
        """Start the servers and wait until they listen; what was stored before is still there."""
        for name in SERVERS:
            self._spawn(name)
        deadline = time.monotonic() + 60
        while not all(_listens(port) for port in self._ports.values()):
            ended = [name for name, process in self._processes.items() if process.poll() is not None]
            if ended or time.monotonic() > deadline:
                raise ObjectStoreError(f"the object store did not start ({ended} ended)\n{self.diagnose()}")
            time.sleep(0.05)

    def stop(self) -> None:
        """Kill the servers in the middle of what they do, as a machine that goes down does."""
        while remaining := processes_of([process.pid for process in self._processes.values()]):
            for process in remaining:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            time.sleep(0.01)
        for ended in self._processes.values():
            ended.wait(timeout=60)
        self._processes.clear()

    @property
    def is_running(self) -> bool:
        """Whether it was started and not stopped."""
        return bool(self._processes)

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Stop it for the length of a block."""
        self.stop()
        try:
            yield
        finally:
            self.start()

    def bytes_written(self) -> int:
        """Return how many bytes the object server has written since its start; it grows during an upload."""
        written: int = psutil.Process(self._processes["object"].pid).io_counters().write_chars
        return written

    def diagnose(self) -> str:
        """Return the ends of what the servers wrote."""
        logs = {name: self.home / f"{name}.log" for name in SERVERS}
        return "\n".join(
            "\n".join([f"--- {name}", *log.read_text(errors="replace").splitlines()[-25:]])
            for name, log in logs.items()
            if log.exists()
        )

    def _spawn(self, name: str) -> None:
        with (self.home / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [ENVIRONMENT / "bin" / f"swift-{name}-server", str(self.home / f"{name}.conf"), "--verbose"],
                cwd=self.home,
                env={key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._processes[name] = process
        assert self._watchdog is not None
        assert self._watchdog.stdin is not None
        self._watchdog.stdin.write(f"{process.pid}\n".encode())
        self._watchdog.stdin.flush()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
