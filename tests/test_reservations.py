"""Of all who want a name, one has it: threads, processes, killed ones, and stores that promise little."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import io
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import ObjectStoragePath
from airflow.sdk.io import attach
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.spec import AbstractFileSystem

from airflow_provider_venice.exceptions import VeniceRequestError, VideoTargetReserved
from airflow_provider_venice.storage.reservations import EXPIRES_AFTER, Owner, mark_stored, release, reserve

ONE = Owner("films", "monday", "make", 0)
TWO = Owner("films", "monday", "make", 1)
LATER = Owner("films", "tuesday", "make", 0)


class SlowStore(AbstractFileSystem):
    """An object storage whose writes take 50 ms and arrive at their end; it knows no create mode."""

    cachable = False
    delay = 0.05

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.objects: dict[str, bytes] = {}
        self.lock = threading.Lock()
        self.puts = 0

    def info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        path = path.strip("/")
        if path in self.objects:
            return {"name": path, "size": len(self.objects[path]), "type": "file"}
        if path == "bucket" or any(name.startswith(f"{path}/") for name in self.objects):
            return {"name": path, "size": 0, "type": "directory"}
        raise FileNotFoundError(path)

    def _open(self, path: str, mode: str = "rb", *args: Any, **kwargs: Any) -> io.BytesIO:
        assert mode == "rb"
        return io.BytesIO(self.cat_file(path))

    def cat_file(self, path: str, *args: Any, **kwargs: Any) -> bytes:
        try:
            return self.objects[path.strip("/")]
        except KeyError:
            raise FileNotFoundError(path) from None

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: Any) -> None:
        time.sleep(self.delay)
        with self.lock:
            self.puts += 1
            self.put(path.strip("/"), value, is_new=mode == "create")

    def put(self, path: str, value: bytes, *, is_new: bool) -> None:  # type: ignore[override]
        self.objects[path] = value

    def rm_file(self, path: str) -> None:
        if self.objects.pop(path.strip("/"), None) is None:
            raise FileNotFoundError(path)


class ConditionalStore(SlowStore):
    """One that refuses to create an object twice, in words of the test's choice."""

    def __init__(self, refusal: Exception | None = None) -> None:
        super().__init__()
        self.refusal = refusal or FileExistsError()

    def put(self, path: str, value: bytes, *, is_new: bool) -> None:  # type: ignore[override]
        if is_new and path in self.objects:
            raise self.refusal
        self.objects[path] = value


class HalfConditionalStore(ConditionalStore):
    """One that looks first and writes then, as Swift does: of two puts at one moment it accepts both."""

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: Any) -> None:
        if mode == "create" and path.strip("/") in self.objects:
            raise self.refusal
        super().pipe_file(path, value)


class RepeatingStore(ConditionalStore):
    """One whose client loses the answer to a put, and repeats it."""

    def put(self, path: str, value: bytes, *, is_new: bool) -> None:  # type: ignore[override]
        super().put(path, value, is_new=is_new)
        super().put(path, value, is_new=is_new)


class OldClient(SlowStore):
    """One whose client is older than the create mode."""

    def pipe_file(self, path: str, value: bytes) -> None:  # type: ignore[override]
        super().pipe_file(path, value)


def refusal(status: int) -> OSError:
    """Return an error as s3fs raises it for an answer that it has no other name for."""
    cause: Any = Exception("An error occurred")
    cause.response = {"ResponseMetadata": {"HTTPStatusCode": status}}
    error = OSError(errno.EIO, "what the store says")
    error.__cause__ = cause
    return error


class Amazon:
    """The client of botocore that s3fs has."""

    def __init__(self, endpoint_url: str) -> None:
        self.meta = self
        self.endpoint_url = endpoint_url


@pytest.fixture
def attach_store(tmp_path: Path) -> Callable[..., str]:
    """Give a store a connection, and return a target in it."""

    def attach_one(store: AbstractFileSystem, protocol: str = "s3") -> str:
        # Airflow remembers file systems by connection, so each test has its own.
        attach(protocol, conn_id=tmp_path.name, fs=store)
        return f"{protocol}://{tmp_path.name}@bucket/folder/clip.mp4"

    return attach_one


@pytest.fixture(params=["local", pytest.param("memory", marks=pytest.mark.slow), "conditional"])
def target(request: pytest.FixtureRequest, tmp_path: Path, attach_store: Callable[..., str]) -> str:
    """A target of each kind."""
    if request.param == "local":
        return str(tmp_path / "folder" / "clip.mp4")
    if request.param == "conditional":
        return attach_store(ConditionalStore(), "gs")
    make: Any = MemoryFileSystem
    store = make(skip_instance_cache=True)
    store.store, store.pseudo_dirs = {}, ["", "/bucket"]
    return attach_store(store, "memory")


def names(target: str) -> list[str]:
    """Return what is in the folder of a target."""
    path = ObjectStoragePath(target)
    fs: Any = path.fs
    if path.protocol in ("", "file"):
        return sorted(os.listdir(Path(target).parent))
    keys = getattr(fs, "objects", None) or getattr(fs, "store", {})
    return sorted(key.rpartition("/")[2] for key in keys)


def write(target: str, name: str, data: bytes) -> None:
    path = ObjectStoragePath(target).parent / name
    fs: Any = path.fs
    fs.pipe_file(path.path, data)


def change(target: str, **fields: Any) -> dict[str, Any]:
    """Change a reservation as time or another host would, and return it."""
    path = ObjectStoragePath(target).parent / ".clip.mp4.reserved"
    fs: Any = path.fs
    record: dict[str, Any] = {**json.loads(fs.cat_file(path.path)), **fields}
    fs.pipe_file(path.path, json.dumps(record).encode())
    return record


def refused(target: object, owner: Owner, *, overwrite: bool = False) -> VideoTargetReserved:
    with pytest.raises(VideoTargetReserved) as caught:
        reserve(target, owner, overwrite=overwrite)
    return caught.value


class TestOwner:
    def test_it_can_be_read(self) -> None:
        assert str(ONE) == "DAG 'films', run 'monday', task 'make[0]'"
        listed = Owner("films", "monday", "make", position=2)
        assert str(listed) == "DAG 'films', run 'monday', task 'make', request 2 of its list"

    def test_a_run_is_that_of_one_dag(self) -> None:
        assert ONE.is_same_run(TWO)
        assert not ONE.is_same_run(LATER)
        assert not ONE.is_same_run(dataclasses.replace(ONE, dag_id="other"))

    def test_it_is_plain_json(self) -> None:
        assert Owner(**json.loads(json.dumps(dataclasses.asdict(ONE)))) == ONE


class TestReserve:
    def test_the_record_says_who_and_when(self, target: str) -> None:
        before = time.time()
        reserve(target, ONE, overwrite=False)
        assert names(target) == [".clip.mp4.reserved"]
        record = change(target)
        assert record["owner"] == dataclasses.asdict(ONE)
        assert before <= record["reserved_at"] <= time.time()
        assert record["host"]

    @pytest.mark.parametrize("overwrite", [False, True])
    @pytest.mark.parametrize("other", [TWO, dataclasses.replace(ONE, position=1)])
    def test_another_task_of_the_run_is_refused(self, target: str, overwrite: bool, other: Owner) -> None:
        reserve(target, ONE, overwrite=overwrite)
        error = refused(target, other, overwrite=overwrite)
        assert (error.owner, error.can_heal) == (ONE, False)
        path = str(ObjectStoragePath(target))
        for words in (repr(path), str(ONE), "since 20", "UTC", "{{ ti.map_index }}", "delete '"):
            assert words in str(error)
        assert str(error).endswith(f"delete '{path.rpartition('/')[0]}/.clip.mp4.reserved'")

    @pytest.mark.parametrize("overwrite", [False, True])
    def test_another_run_may_try_again_where_it_may_overwrite(self, target: str, overwrite: bool) -> None:
        reserve(target, ONE, overwrite=True)
        assert refused(target, LATER, overwrite=overwrite).can_heal is overwrite

    def test_the_same_owner_takes_it_over_and_renews_it(self, target: str) -> None:
        reserve(target, ONE, overwrite=False)
        change(target, reserved_at=time.time() - 3600)
        reserve(target, Owner(**dataclasses.asdict(ONE)), overwrite=False)
        assert change(target)["reserved_at"] > time.time() - 60
        assert names(target) == [".clip.mp4.reserved"]

    @pytest.mark.parametrize("other", [TWO, LATER])
    def test_an_old_one_is_taken_over_by_anyone(self, target: str, other: Owner) -> None:
        reserve(target, ONE, overwrite=False)
        change(target, reserved_at=time.time() - EXPIRES_AFTER + 60)
        refused(target, other)
        change(target, reserved_at=time.time() - EXPIRES_AFTER - 60)
        reserve(target, other, overwrite=False)
        assert refused(target, ONE).owner == other
        assert names(target) == [".clip.mp4.reserved"]

    def test_an_existing_target_is_refused_and_not_reserved(self, target: str) -> None:
        reserve(target, ONE, overwrite=False)
        write(target, "clip.mp4", b"mine")
        for owner in (TWO, ONE):
            with pytest.raises(VeniceRequestError, match="exists already; give another path, or replace it"):
                reserve(target, owner, overwrite=False)
        assert names(target) == ["clip.mp4"]
        reserve(target, TWO, overwrite=True)

    @pytest.mark.slow
    @pytest.mark.parametrize("data", [b"", b"[]", b"\xff", b'{"owner": {"dag_id": 1}}'])
    def test_what_cannot_be_read_is_left_to_a_person(self, tmp_path: Path, data: bytes) -> None:
        target = f"{tmp_path}/clip.mp4"
        reserve(target, ONE, overwrite=False)
        write(target, ".clip.mp4.reserved", data)
        with pytest.raises(VeniceRequestError, match=r"\.clip\.mp4\.reserved' cannot be read; delete it"):
            reserve(target, ONE, overwrite=True)
        release(target, ONE)
        assert names(target) == [".clip.mp4.reserved"]

    def test_half_a_record_is_waited_for(self, target: str) -> None:
        reserve(target, ONE, overwrite=False)
        whole = json.dumps(change(target)).encode()
        write(target, ".clip.mp4.reserved", whole[:20])
        timer = threading.Timer(0.3, write, (target, ".clip.mp4.reserved", whole))
        timer.start()
        assert refused(target, TWO).owner == ONE
        timer.join()

    @pytest.mark.parametrize("length", [200, 228, 229, 250, 251])
    def test_long_names_are_told_from_each_other(self, tmp_path: Path, length: int) -> None:
        first, second = (tmp_path / f"{'ü' * (length // 2 - 3)}{last}.mp4" for last in "ab")
        reserve(first, ONE, overwrite=True)
        reserve(second, TWO, overwrite=True)
        refused(first, TWO)
        mark_stored(first, ONE)
        reserve(first, LATER, overwrite=True)
        assert len(list(tmp_path.iterdir())) == 2

    def test_spellings_of_a_local_path_meet(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        folder = tmp_path / "folder"
        folder.mkdir()
        (tmp_path / "link").symlink_to(folder)
        reserve(folder / "clip.mp4", ONE, overwrite=False)
        monkeypatch.setenv("HOME", str(folder))
        for path in ("~/clip.mp4", f"{folder}/./clip.mp4", f"file://{tmp_path}/link/clip.mp4"):
            assert "delete '/" in str(refused(path, TWO))
        refused(tmp_path / "a" / ".." / "folder" / "clip.mp4", TWO)

    def test_where_nothing_can_be_written_nothing_is_bought(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"")
        (tmp_path / "clip.mp4").mkdir()
        for path in (tmp_path / "file" / "clip.mp4", tmp_path / "clip.mp4", "/proc/clip.mp4", "/None/clip.mp4"):
            with pytest.raises(VeniceRequestError):
                reserve(path, ONE, overwrite=True)
        assert names(f"{tmp_path}/clip.mp4") == ["clip.mp4", "file"]

    def test_a_store_that_refuses_to_write(self, attach_store: Callable[..., str]) -> None:
        class ReadOnly(SlowStore):
            def put(self, path: str, value: bytes, *, is_new: bool) -> None:  # type: ignore[override]
                raise PermissionError("Access Denied")

        with pytest.raises(VeniceRequestError, match="cannot be used: Access Denied: 's3://"):
            reserve(attach_store(ReadOnly()), ONE, overwrite=False)

    def test_a_file_system_without_links(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def link(*args: object) -> None:
            raise OSError(errno.EPERM, "Operation not permitted")

        monkeypatch.setattr(os, "link", link)
        reserve(tmp_path / "clip.mp4", ONE, overwrite=False)
        assert refused(tmp_path / "clip.mp4", TWO).owner == ONE
        assert names(f"{tmp_path}/clip.mp4") == [".clip.mp4.reserved"]

    def test_a_link_whose_answer_was_lost(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        real = os.link

        def link(*args: Any) -> None:
            real(*args)
            # As over NFS, where the request is repeated.
            real(*args)

        monkeypatch.setattr(os, "link", link)
        reserve(tmp_path / "clip.mp4", ONE, overwrite=False)
        assert refused(tmp_path / "clip.mp4", TWO).owner == ONE


class TestRelease:
    def test_the_owner_gives_it_back(self, target: str) -> None:
        reserve(target, ONE, overwrite=False)
        release(target, TWO)
        refused(target, TWO)
        release(target, ONE)
        assert names(target) == []
        reserve(target, TWO, overwrite=False)

    def test_an_old_one_as_well(self, target: str) -> None:
        reserve(target, ONE, overwrite=False)
        change(target, reserved_at=0)
        release(target, ONE)
        assert names(target) == []

    def test_an_old_one_is_not_taken_over_while_it_is_removed(self, attach_store: Callable[..., str]) -> None:
        class WaitingStore(ConditionalStore):
            removing, go_on = threading.Event(), threading.Event()

            def rm_file(self, path: str) -> None:
                self.removing.set()
                assert self.go_on.wait(20)
                super().rm_file(path)

        store = WaitingStore()
        target = attach_store(store, "gs")
        reserve(target, ONE, overwrite=True)
        change(target, reserved_at=0)
        releasing = threading.Thread(target=release, args=(target, ONE), daemon=True)
        releasing.start()
        assert store.removing.wait(20)
        # It is superseded first; the second record is what is being removed.
        assert refused(target, LATER, overwrite=True).owner == ONE
        store.go_on.set()
        releasing.join(20)
        assert names(target) == []

    def test_what_is_stored_stays_reserved(self, target: str) -> None:
        reserve(target, ONE, overwrite=True)
        mark_stored(target, ONE)
        release(target, ONE)
        refused(target, TWO, overwrite=True)

    def test_a_missing_one_is_nothing(self, target: str, caplog: pytest.LogCaptureFixture) -> None:
        release(target, ONE)
        assert not caplog.records

    @pytest.mark.parametrize("function", [release, mark_stored])
    def test_a_failure_is_logged(self, function: Callable[..., None], caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.WARNING):
            function("/x/None.mp4", ONE)
        assert "'/x/None.mp4' has a part that is 'None'" in caplog.text


class TestMarkStored:
    def test_without_overwrite_the_file_refuses_others(self, target: str) -> None:
        reserve(target, ONE, overwrite=False)
        write(target, "clip.mp4", b"clip")
        mark_stored(target, ONE)
        assert names(target) == ["clip.mp4"]

    def test_with_overwrite_the_run_has_one_clip_of_the_name(self, target: str) -> None:
        reserve(target, ONE, overwrite=True)
        mark_stored(target, ONE)
        error = refused(target, TWO, overwrite=True)
        assert f"was stored by {ONE}, of this run" in str(error)
        assert "two clips cannot have one name" in str(error)
        assert not error.can_heal
        # A run may take longer than a reservation is worth.
        change(target, reserved_at=0)
        refused(target, TWO, overwrite=True)
        assert names(target) == [".clip.mp4.reserved"]

    @pytest.mark.parametrize("next_owner", [ONE, LATER])
    def test_the_owner_and_another_run_may_replace_it(self, target: str, next_owner: Owner) -> None:
        reserve(target, ONE, overwrite=True)
        mark_stored(target, ONE)
        mark_stored(target, ONE)
        reserve(target, next_owner, overwrite=True)
        assert "is reserved by" in str(refused(target, TWO, overwrite=True))
        mark_stored(target, next_owner)
        assert f"was stored by {next_owner}" in str(
            refused(target, dataclasses.replace(next_owner, map_index=7), overwrite=True)
        )
        assert names(target) == [".clip.mp4.reserved"]

    def test_whoever_has_lost_it_marks_nothing(self, target: str, caplog: pytest.LogCaptureFixture) -> None:
        reserve(target, ONE, overwrite=True)
        change(target, reserved_at=0)
        reserve(target, LATER, overwrite=True)
        mark_stored(target, ONE)
        assert f"while {LATER} had it reserved" in caplog.text
        assert "is reserved by" in str(refused(target, ONE, overwrite=True))


class TestCrash:
    """A process that died between superseding a record and moving its own to the first place."""

    @pytest.fixture
    def chain(self, target: str) -> str:
        reserve(target, ONE, overwrite=True)
        mark_stored(target, ONE)
        first = change(target)
        second = {**first, "owner": dataclasses.asdict(LATER), "token": "5ec0", "stored": False}
        write(target, f".clip.mp4.reserved-{first['token']}", json.dumps(second).encode())
        return target

    def test_the_last_record_counts(self, chain: str) -> None:
        for other in (ONE, TWO, dataclasses.replace(LATER, map_index=1)):
            error = refused(chain, other, overwrite=True)
            assert error.owner == LATER
            assert names(chain)[1] in str(error)

    @pytest.mark.parametrize("function", [mark_stored, release, reserve])
    def test_its_owner_tidies_up(self, chain: str, function: Callable[..., None]) -> None:
        function(chain, LATER, **{"overwrite": True} if function is reserve else {})
        assert names(chain) == ([] if function is release else [".clip.mp4.reserved"])

    def test_when_it_is_old_anyone_tidies_up(self, chain: str) -> None:
        name = names(chain)[1]
        path = ObjectStoragePath(chain).parent / name
        fs: Any = path.fs
        write(chain, name, json.dumps({**json.loads(fs.cat_file(path.path)), "reserved_at": 0}).encode())
        reserve(chain, TWO, overwrite=True)
        assert names(chain) == [".clip.mp4.reserved"]
        assert refused(chain, LATER, overwrite=True).owner == TWO

    def test_a_record_that_follows_nothing_counts_for_nothing(self, target: str) -> None:
        reserve(target, ONE, overwrite=True)
        write(target, ".clip.mp4.reserved-0123456789abcdef", b"garbage")
        assert refused(target, TWO, overwrite=True).owner == ONE
        release(target, ONE)
        reserve(target, TWO, overwrite=True)


def race(target: str, owners: list[Owner], *, overwrite: bool) -> list[Owner]:
    """Let all reserve at one moment, and return who has it."""
    barrier = threading.Barrier(len(owners))
    winners: list[Owner] = []
    failures: list[BaseException] = []

    def run(owner: Owner) -> None:
        barrier.wait(20)
        try:
            reserve(target, owner, overwrite=overwrite)
            winners.append(owner)
        except VideoTargetReserved:
            pass
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(owner,), daemon=True) for owner in owners]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures
    return winners


def prepare(target: str, state: str) -> None:
    """Leave what the racers find: nothing, an old reservation, or the clip of an earlier run."""
    if state == "free":
        return
    earlier = Owner("films", "sunday", "make")
    reserve(target, earlier, overwrite=True)
    if state == "stored":
        mark_stored(target, earlier)
    else:
        change(target, reserved_at=0)


STATES = ["free", "old", "stored"]
STORES: dict[str, tuple[str, Callable[[], SlowStore]]] = {
    "certain": ("gs", ConditionalStore),
    "certain, repeats": ("gs", RepeatingStore),
    "certain, old client": ("gs", OldClient),
    "certain, older client": ("gs", SlowStore),
    "half": ("s3", HalfConditionalStore),
    "ignoring": ("s3", SlowStore),
    "no condition": ("memory", SlowStore),
}


@pytest.mark.slow
class TestObjectStores:
    @pytest.mark.parametrize("state", STATES)
    @pytest.mark.parametrize("kind", STORES)
    def test_of_many_threads_one_wins(self, attach_store: Callable[..., str], kind: str, state: str) -> None:
        protocol, make = STORES[kind]
        target = attach_store(make(), protocol)
        prepare(target, state)
        owners = [dataclasses.replace(LATER, map_index=index) for index in range(6)]
        winners = race(target, owners, overwrite=True)
        assert len(winners) == 1
        assert refused(target, TWO, overwrite=True).owner == winners[0]
        assert names(target) == [".clip.mp4.reserved"]

    @pytest.mark.parametrize("error", [FileExistsError(), refusal(412), refusal(409)])
    @pytest.mark.parametrize(
        ("protocol", "endpoint", "is_certain"),
        [
            ("gs", "", True),
            ("abfs", "", True),
            ("s3", "https://s3.eu-west-1.amazonaws.com", True),
            ("s3", "https://s3.amazonaws.com/", True),
            ("s3", "http://127.0.0.1:9000", False),
            ("s3", "https://amazonaws.com.example.org", False),
        ],
    )
    def test_a_store_that_is_certain_is_not_waited_for(
        self, attach_store: Callable[..., str], protocol: str, endpoint: str, is_certain: bool, error: Exception
    ) -> None:
        store: Any = ConditionalStore(error)
        store.s3 = Amazon(endpoint)
        target = attach_store(store, protocol)
        started = time.monotonic()
        reserve(target, ONE, overwrite=False)
        assert (time.monotonic() - started < 0.6) is is_certain
        assert refused(target, TWO).owner == ONE

    def test_another_error_is_not_taken_for_a_refusal(self, attach_store: Callable[..., str]) -> None:
        target = attach_store(ConditionalStore(refusal(503)), "gs")
        # The first put is accepted, and its repetition fails: what the store knows is unknown.
        with pytest.raises(OSError, match="what the store says"):
            reserve(target, ONE, overwrite=False)
        reserve(target, ONE, overwrite=False)

    def test_a_slow_write_is_waited_for(self, attach_store: Callable[..., str]) -> None:
        store = SlowStore()
        target = attach_store(store)
        store.delay = 0.5
        slow = threading.Thread(target=reserve, args=(target, TWO), kwargs={"overwrite": True}, daemon=True)
        slow.start()
        # It has looked by now, and its write arrives after the one below.
        threading.Event().wait(0.2)
        store.delay = 0.0
        assert refused(target, ONE, overwrite=True).owner == TWO
        slow.join()


RACER = """
import sys
from airflow_provider_venice.exceptions import VideoTargetReserved
from airflow_provider_venice.storage.reservations import Owner, reserve

number = int(sys.argv[1])
for line in sys.stdin:
    target, _, overwrite = line.strip().partition(" ")
    try:
        reserve(target, Owner("films", "tuesday", "make", number), overwrite=overwrite == "True")
        print("won", flush=True)
    except VideoTargetReserved:
        print("refused", flush=True)
"""


@pytest.fixture
def racers() -> Iterator[Callable[[str, bool], list[str]]]:
    """Six processes that reserve when they are told to."""
    with contextlib.ExitStack() as stack:
        processes: list[subprocess.Popen[str]] = []
        for number in range(6):
            command = [sys.executable, "-c", RACER, str(number)]
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            processes.append(stack.enter_context(process))

        def go(target: str, overwrite: bool) -> list[str]:
            for process in processes:
                assert process.stdin
                process.stdin.write(f"{target} {overwrite}\n")
                process.stdin.flush()
            return [process.stdout.readline().strip() for process in processes if process.stdout]

        yield go


@pytest.mark.slow
class TestProcesses:
    @pytest.mark.parametrize("state", STATES)
    def test_of_many_processes_one_wins(
        self, tmp_path: Path, racers: Callable[[str, bool], list[str]], state: str
    ) -> None:
        for number in range(50):
            overwrite = state == "stored" or number % 2 == 0
            target = str(tmp_path / str(number) / "clip.mp4")
            prepare(target, state)
            outcomes = racers(target, overwrite)
            assert sorted(outcomes) == ["refused"] * 5 + ["won"]
            assert names(target) == [".clip.mp4.reserved"]
            assert refused(target, TWO, overwrite=True).owner == Owner(
                "films", "tuesday", "make", outcomes.index("won")
            )

    def test_the_reservation_of_a_killed_process(self, tmp_path: Path) -> None:
        target = tmp_path / "clip.mp4"
        code = (
            "import sys, time\n"
            "from airflow_provider_venice.storage.reservations import Owner, reserve\n"
            "from airflow_provider_venice.storage import store_video\n"
            "def receive(partial):\n"
            "    partial.write(b'half')\n"
            "    print('ready', flush=True)\n"
            "    time.sleep(60)\n"
            f"reserve(sys.argv[1], {ONE!r}, overwrite=False)\n"
            "store_video(sys.argv[1], receive)\n"
        )
        with subprocess.Popen([sys.executable, "-c", code, str(target)], stdout=subprocess.PIPE) as process:
            assert process.stdout
            assert process.stdout.readline() == b"ready\n"
            process.send_signal(signal.SIGKILL)
        assert refused(target, TWO).owner == ONE
        reserve(target, ONE, overwrite=False)
        release(target, ONE)
        reserve(target, TWO, overwrite=False)

    @pytest.mark.parametrize("delay", [n / 53 for n in range(5)])
    def test_a_process_killed_at_any_moment_locks_nobody_out(self, tmp_path: Path, delay: float) -> None:
        target = str(tmp_path / "clip.mp4")
        code = (
            "import itertools, sys\n"
            "from airflow_provider_venice.storage.reservations import Owner, mark_stored, reserve\n"
            "for number in itertools.count():\n"
            "    owner = Owner('films', str(number), 'make')\n"
            "    reserve(sys.argv[1], owner, overwrite=True)\n"
            "    mark_stored(sys.argv[1], owner)\n"
            "    if not number: print('ready', flush=True)\n"
        )
        with subprocess.Popen([sys.executable, "-c", code, target], stdout=subprocess.PIPE) as process:
            assert process.stdout
            assert process.stdout.readline() == b"ready\n"
            threading.Event().wait(delay)
            process.send_signal(signal.SIGKILL)
        try:
            reserve(target, ONE, overwrite=True)
        except VideoTargetReserved as error:
            reserve(target, error.owner, overwrite=True)
            mark_stored(target, error.owner)
            reserve(target, ONE, overwrite=True)
        assert refused(target, TWO, overwrite=True).owner == ONE
        # What a killed process has written and not yet named.
        assert len([name for name in names(target) if name != ".clip.mp4.reserved"]) <= 1
