"""Under the final name lies a whole video, or what lay there before."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import itertools
import json
import os
import signal
import stat
import struct
import subprocess
import sys
import tempfile
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import pytest
from airflow.sdk import ObjectStoragePath
from airflow.sdk.io import attach
from fsspec.implementations.dirfs import DirFileSystem
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_venice.exceptions import VeniceRequestError, VideoDownloadError, VideoTargetUnavailable
from airflow_provider_venice.storage import (
    PartialFile,
    StoredVideo,
    check_target,
    existing_video,
    read_media,
    remove_leftovers,
    store_video,
)

Receive = Callable[[PartialFile], None]

#: A store that uploads whole objects, one that renames, and one that copies and deletes.
STORES = ["s3://{conn}@bucket", "memory://{conn}@renaming/deep/folder", "memory://bucket/folder"]


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=24)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(12):
            frame = av.VideoFrame(64, 48, "yuv420p")
            for plane in frame.planes:
                plane.update(bytes([number * 9]) * plane.buffer_size)
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path.read_bytes()


class Store(MemoryFileSystem):
    """An object storage in memory that can break."""

    cachable = False
    # A store of its own; the base class has one for all.
    store: dict[str, Any]

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.store = {}
        self.pseudo_dirs = ["", "/bucket"]
        self.fault: BaseException | None = None
        self.lost = 0
        self.listing: set[str] | None = None
        self.uploaded: list[str] = []
        self.told: dict[str, Any] = {}

    def info(self, path: str, **kwargs: Any) -> Any:
        # Like the real ones, it believes a listing that it has made before.
        if self.listing is None:
            self.listing = set(self.store)
        if path in set(self.store) - self.listing:
            raise FileNotFoundError(path)
        return {**super().info(path, **kwargs), **self.told}  # type: ignore[no-untyped-call]

    def invalidate_cache(self, path: str | None = None) -> None:
        self.listing = None

    def put_file(self, lpath: str, rpath: str, *args: Any, **kwargs: Any) -> None:
        self.uploaded.append(lpath)
        data = Path(lpath).read_bytes()
        self.pipe_file(rpath, data[: len(data) - self.lost])  # type: ignore[no-untyped-call]
        if self.fault:
            raise self.fault


def attach_disk(root: Path) -> str:
    """Return the connection of a ``memory://`` that lies in a folder, and renames."""
    root.mkdir()
    make: Any = DirFileSystem
    disk: Any = LocalFileSystem
    # Airflow remembers file systems by connection, so each test has its own.
    conn_id = root.parent.name
    attach("memory", conn_id=conn_id, fs=make(path=str(root), fs=disk(auto_mkdir=True)))
    return conn_id


def put(path: str, data: bytes) -> None:
    """Write an object as another writer would."""
    target = ObjectStoragePath(path)
    fs: Any = target.fs
    fs.makedirs(fs._parent(target.path), exist_ok=True)
    fs.pipe_file(target.path, data)


def get(path: str) -> bytes:
    target = ObjectStoragePath(path)
    fs: Any = target.fs
    return bytes(fs.cat_file(target.path))


def objects(folder: str) -> list[str]:
    """Return the names of all objects in a folder."""
    path = ObjectStoragePath(folder)
    fs: Any = path.fs
    return sorted(name.rpartition("/")[2] for name in fs.find(path.path))


@pytest.fixture
def memory() -> Store:
    """The storage behind ``memory://``."""
    store = Store()
    attach("memory").fs = store
    return store


@pytest.fixture(params=STORES)
def remote(request: pytest.FixtureRequest, tmp_path: Path, memory: Store) -> str:
    """A folder of each kind of object storage."""
    conn_id = attach_disk(tmp_path / "remote")
    attach("s3", conn_id=conn_id, fs=Store())
    return str(request.param.format(conn=conn_id))


def sending(data: bytes, *, announced: int | None = None) -> Receive:
    def receive(partial: PartialFile) -> None:
        partial.expected_size = announced
        for start in range(0, len(data), 500):
            partial.write(data[start : start + 500])

    return receive


def refuse(partial: PartialFile) -> None:
    raise AssertionError("nothing may be downloaded")


def files(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file())


def problem(function: Callable[..., object], *args: object, **kwargs: object) -> str:
    with pytest.raises(VeniceRequestError) as caught:
        function(*args, **kwargs)
    return str(caught.value)


class TestLocal:
    @pytest.mark.parametrize("make", [str, Path, lambda p: f"file://{p}", lambda p: ObjectStoragePath(f"file://{p}")])
    def test_a_video_is_stored(self, tmp_path: Path, clip: bytes, make: Callable[[Path], object]) -> None:
        target = tmp_path / "new" / "folder" / "a b[1].mp4"
        stored = store_video(make(target), sending(clip, announced=len(clip)))
        assert target.read_bytes() == clip
        assert stored == StoredVideo(str(target), len(clip), hashlib.sha256(clip).hexdigest(), stored.metadata)
        assert stored.metadata.resolution == "64x48"
        assert json.loads(json.dumps(stored.to_dict()))["metadata"]["fps"] == 24.0
        assert files(tmp_path) == ["new/folder/a b[1].mp4"]
        assert existing_video(make(target)) == stored

    @pytest.mark.parametrize("make", [str, Path, ObjectStoragePath])
    def test_a_relative_path_is_refused_with_the_absolute_one(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[str], object]
    ) -> None:
        monkeypatch.chdir(tmp_path)
        for function in (check_target, lambda target: store_video(target, refuse)):
            said = problem(function, make("clips/a.mp4"))
            assert said.startswith("'clips/a.mp4' is a relative path, and ")
            assert said.endswith(f"write the absolute one, such as '{tmp_path}/clips/a.mp4'")
        assert files(tmp_path) == []

    def test_a_path_in_the_home_directory(self, tmp_path: Path, clip: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        store_video("~/a.mp4", sending(clip))
        assert files(tmp_path) == ["a.mp4"]

    def test_the_file_has_the_usual_rights(self, tmp_path: Path, clip: bytes) -> None:
        (tmp_path / "plain").write_bytes(b"")
        store_video(tmp_path / "a.mp4", sending(clip))
        rights = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "a.mp4")]
        assert rights[0] == rights[1]

    def test_what_exists_is_kept_and_nothing_is_downloaded(self, tmp_path: Path) -> None:
        target = tmp_path / "a.mp4"
        target.write_bytes(b"mine")
        assert "overwrite=True" in problem(store_video, target, refuse)
        assert target.read_bytes() == b"mine"

    def test_what_exists_is_replaced_where_that_was_asked_for(self, tmp_path: Path, clip: bytes) -> None:
        target = tmp_path / "a.mp4"
        target.write_bytes(b"mine")
        store_video(target, sending(clip), overwrite=True)
        assert target.read_bytes() == clip
        assert files(tmp_path) == ["a.mp4"]

    def test_a_long_name(self, tmp_path: Path, clip: bytes) -> None:
        name = "ü" * 120 + ".mp4"
        store_video(tmp_path / name, sending(clip))
        assert files(tmp_path) == [name]

    def test_a_file_that_appears_meanwhile_is_kept(self, tmp_path: Path, clip: bytes) -> None:
        target = tmp_path / "a.mp4"

        def receive(partial: PartialFile) -> None:
            sending(clip)(partial)
            target.write_bytes(b"mine")

        assert "exists already" in problem(store_video, target, receive)
        assert target.read_bytes() == b"mine"
        assert files(tmp_path) == ["a.mp4"]

    @pytest.mark.parametrize("writers", [2, 8])
    def test_of_several_writers_one_wins(self, tmp_path: Path, clip: bytes, writers: int) -> None:
        target, barrier = tmp_path / "a.mp4", threading.Barrier(writers)
        outcomes: list[object] = []

        def write() -> None:
            def receive(partial: PartialFile) -> None:
                sending(clip)(partial)
                barrier.wait(20)

            try:
                outcomes.append(store_video(target, receive))
            except VeniceRequestError as error:
                outcomes.append(error)

        threads = [threading.Thread(target=write, daemon=True) for _ in range(writers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert len(outcomes) == writers
        assert len([outcome for outcome in outcomes if isinstance(outcome, StoredVideo)]) == 1
        assert files(tmp_path) == ["a.mp4"]
        assert target.read_bytes() == clip


class TestRemote:
    def test_a_video_is_stored(self, remote: str, clip: bytes) -> None:
        target = f"{remote}/a[1]*.mp4"
        stored = store_video(target, sending(clip, announced=len(clip)))
        assert stored.path == str(ObjectStoragePath(target))
        assert objects(remote) == ["a[1]*.mp4"]
        assert get(target) == clip
        assert existing_video(ObjectStoragePath(target)) == stored
        assert read_media(ObjectStoragePath(target), 100) == (stored.path, clip[:101])

    def test_what_exists_is_kept_or_replaced(self, remote: str, clip: bytes) -> None:
        target = f"{remote}/a.mp4"
        put(target, b"mine")
        assert "overwrite=True" in problem(store_video, target, refuse)
        assert "is not a whole video" in problem(existing_video, target)
        assert store_video(target, sending(clip), overwrite=True) == existing_video(target)
        assert objects(remote) == ["a.mp4"]

    def test_an_object_that_appears_meanwhile_is_kept(self, remote: str, clip: bytes) -> None:
        target = f"{remote}/a.mp4"

        def receive(partial: PartialFile) -> None:
            sending(clip)(partial)
            put(target, b"mine")

        assert "exists already" in problem(store_video, target, receive)
        assert get(target) == b"mine"

    def test_a_folder_is_no_target(self, remote: str, clip: bytes) -> None:
        store_video(f"{remote}/folder/a.mp4", sending(clip))
        assert "is a directory" in problem(check_target, f"{remote}/folder")
        assert existing_video(f"{remote}/folder/b.mp4") is None

    @pytest.mark.parametrize("error", [OSError("storage is down"), KeyboardInterrupt(), PermissionError("denied")])
    def test_a_broken_upload_leaves_nothing(self, memory: Store, clip: bytes, error: BaseException) -> None:
        memory.fault = error
        # A wrong permission is not told as a wrong request: the video is paid by now.
        with pytest.raises(type(error)):
            store_video("memory://bucket/a.mp4", sending(clip))
        assert memory.store == {}

    def test_an_upload_that_loses_bytes_leaves_nothing(self, memory: Store, clip: bytes) -> None:
        memory.lost = 1
        with pytest.raises(VideoDownloadError, match=f"{len(clip) - 1} of {len(clip)} bytes"):
            store_video("memory://bucket/a.mp4", sending(clip))
        assert memory.store == {}

    def test_a_whole_object_store_that_loses_bytes_is_noticed(self, tmp_path: Path, clip: bytes) -> None:
        store = Store()
        store.lost = 1
        attach("s3", conn_id=tmp_path.name, fs=store)
        with pytest.raises(VideoDownloadError, match=f"{len(clip) - 1} bytes, but {len(clip)} were stored"):
            store_video(f"s3://{tmp_path.name}@bucket/a.mp4", sending(clip))

    def test_a_bucket_that_is_not_there_is_told_before_the_download(self, tmp_path: Path) -> None:
        attach("s3", conn_id=tmp_path.name, fs=Store())
        target = f"s3://{tmp_path.name}@nowhere/a.mp4"
        assert "no such bucket: 'nowhere'" in problem(check_target, target)
        assert "no such bucket: 'nowhere'" in problem(store_video, target, refuse)

    @pytest.mark.parametrize("form", ["google", "azure"])
    def test_the_digest_that_a_store_tells_is_compared(self, form: str, tmp_path: Path, clip: bytes) -> None:
        store = Store()
        attach("gs", conn_id=tmp_path.name, fs=store)
        for data, whole in ((clip, True), (clip + b"x", False)):
            digest = hashlib.md5(data).digest()
            told = base64.b64encode(digest).decode()
            store.told = {"md5Hash": told} if form == "google" else {"content_settings": {"content_md5": digest}}
            target = f"gs://{tmp_path.name}@bucket/{whole}.mp4"
            if whole:
                assert store_video(target, sending(clip)).size == len(clip)
            else:
                with pytest.raises(VideoDownloadError, match="does not hold the bytes"):
                    store_video(target, sending(clip))

    def test_the_type_of_the_object_can_be_guessed(self, tmp_path: Path, clip: bytes) -> None:
        store = Store()
        attach("s3", conn_id=tmp_path.name, fs=store)
        store_video(f"s3://{tmp_path.name}@bucket/a.mp4", sending(clip))
        assert [Path(name).suffix for name in store.uploaded] == [".mp4"]

    def test_the_local_copy_is_gone(
        self, remote: str, clip: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        temporary = tmp_path / "temporary"
        temporary.mkdir()
        monkeypatch.setattr("tempfile.tempdir", str(temporary))
        seen: list[str] = []

        def receive(partial: PartialFile) -> None:
            sending(clip)(partial)
            seen.extend(files(temporary))

        store_video(f"{remote}/a.mp4", receive)
        assert len(seen) == 1
        assert files(temporary) == []


class TestFaults:
    @pytest.fixture(params=["local", "remote"])
    def target(self, request: pytest.FixtureRequest, tmp_path: Path, memory: Store) -> Iterator[str]:
        yield str(tmp_path / "a.mp4") if request.param == "local" else "memory://bucket/a.mp4"
        assert files(tmp_path) == []
        assert memory.store == {}

    @pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit, VideoDownloadError])
    def test_what_stops_the_download_goes_through(self, target: str, clip: bytes, error: type[BaseException]) -> None:
        def receive(partial: PartialFile) -> None:
            partial.write(clip)
            raise error("stop")

        with pytest.raises(error, match="stop"):
            store_video(target, receive)

    def test_a_video_that_is_not_whole_is_not_stored(self, target: str, clip: bytes) -> None:
        for data, announced, words in (
            (clip[:-1], len(clip), f"{len(clip) - 1} of {len(clip)} bytes"),
            (clip[:-1], None, "cut or broken"),
            (clip, len(clip) - 1, "more bytes came"),
            (b"<html>", 6, "cut after 6 bytes"),
            (b"<html></html>", None, "HTML"),
            (b"", None, "empty"),
        ):
            with pytest.raises(VideoDownloadError, match=words):
                store_video(target, sending(data, announced=announced))

    def test_bytes_that_bypass_the_hash_are_noticed(self, target: str, clip: bytes) -> None:
        def receive(partial: PartialFile) -> None:
            partial.file.write(clip)

        with pytest.raises(VideoDownloadError, match=f"{len(clip)} bytes are on the disk, but 0 bytes were received"):
            store_video(target, receive)

    def test_a_disk_that_is_full(self, target: str, clip: bytes) -> None:
        def receive(partial: PartialFile) -> None:
            with open("/dev/full", "wb", buffering=0) as full:
                os.dup2(full.fileno(), partial.file.fileno())
            partial.write(clip * 100)

        with pytest.raises(OSError, match="No space left"):
            store_video(target, receive)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"mounting is not permitted: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


LIMITED = """
import resource, sys
from airflow_provider_venice.storage import store_video

resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
try:
    store_video(sys.argv[1], lambda partial: [partial.write(bytes(1000)) for _ in range(1000)])
except Exception as error:
    print(type(error).__name__, error)
"""


class TestDisks:
    def test_a_disk_that_gets_full_is_named(self, small_disk: Path) -> None:
        with pytest.raises(OSError, match=r"\[Errno 28\] No space left on device: '.*/small/\.a\.mp4\.\w+\.part'"):
            store_video(small_disk / "a.mp4", sending(bytes(2 << 20)))
        assert files(small_disk) == []

    def test_a_temporary_directory_that_gets_full_is_named_with_the_fix(
        self, small_disk: Path, memory: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("tempfile.tempdir", str(small_disk))
        with pytest.raises(OSError, match=r"No space left on device; free space .* set TMPDIR .*: '.*/small/\.a\.mp4"):
            store_video("memory://bucket/a.mp4", sending(bytes(2 << 20)))
        assert (files(small_disk), memory.store) == ([], {})

    @pytest.mark.parametrize("target", ["a.mp4", "new/a.mp4", "memory://bucket/a.mp4"])
    def test_a_disk_that_is_nearly_full_is_told_before_the_payment(
        self, target: str, small_disk: Path, memory: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("tempfile.tempdir", str(small_disk))
        fix = "set TMPDIR to another one" if "://" in target else "free space there"
        with pytest.raises(VideoTargetUnavailable) as refused:
            check_target(target if "://" in target else small_disk / target)
        assert refused.value.can_heal
        assert str(refused.value).startswith(f"'{small_disk}' has 1.0 MB free, and a clip may take 100 MB; ")
        assert fix in str(refused.value)

    def test_a_mount_that_is_read_only(self, small_disk: Path) -> None:
        subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
        said = f"'{small_disk / 'a.mp4'}' cannot be used: Read-only file system: '{small_disk}'"
        for function in (check_target, lambda target: store_video(target, refuse)):
            with pytest.raises(VideoTargetUnavailable) as refused:
                function(small_disk / "a.mp4")
            assert str(refused.value) == said

    def test_a_limit_on_the_size_of_files_is_named(self, tmp_path: Path) -> None:
        run = subprocess.run(
            [sys.executable, "-c", LIMITED, str(tmp_path / "a.mp4")], capture_output=True, text=True, timeout=60
        )
        assert run.stdout.startswith(f"OSError [Errno 27] File too large: '{tmp_path}/.a.mp4."), run.stderr
        assert files(tmp_path) == []

    def test_a_folder_in_which_nobody_can_make_files(self) -> None:
        for target in ("/proc/a.mp4", "/proc/new/a.mp4"):
            said = f"'{target}' cannot be used: No file can be made there: '/proc'"
            assert problem(check_target, target) == said

    def test_no_temporary_directory(self, memory: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
        with pytest.raises(VideoTargetUnavailable, match=r"No file can be made there: '.*/gone'"):
            store_video("memory://bucket/a.mp4", refuse)


class TestPartialFile:
    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(cuts=st.lists(st.integers(0, 3000), max_size=12), restart_after=st.integers(0, 12))
    def test_any_chunks_give_the_same_file(
        self, tmp_path: Path, clip: bytes, cuts: list[int], restart_after: int
    ) -> None:
        edges = [0, *sorted(min(cut, len(clip)) for cut in cuts), len(clip)]
        chunks = [clip[start:end] for start, end in itertools.pairwise(edges)]

        def receive(partial: PartialFile) -> None:
            partial.expected_size = len(clip) + 7
            for chunk in chunks[:restart_after]:
                partial.write(chunk)
            partial.restart()
            assert (partial.size, partial.sha256) == (0, hashlib.sha256().hexdigest())
            partial.expected_size = len(clip)
            for chunk in chunks:
                partial.write(chunk)

        stored = store_video(tmp_path / "a.mp4", receive, overwrite=True)
        assert stored.sha256 == hashlib.sha256(clip).hexdigest()
        assert (tmp_path / "a.mp4").read_bytes() == clip

    def test_a_restart_forgets_what_was_longer(self, tmp_path: Path, clip: bytes) -> None:
        def receive(partial: PartialFile) -> None:
            # So much that some is on its way to the disk already.
            partial.write(bytes(20 << 20))
            partial.restart()
            partial.write(clip)

        store_video(tmp_path / "a.mp4", receive)
        assert (tmp_path / "a.mp4").read_bytes() == clip

    def test_a_length_that_changes_is_another_video(self, tmp_path: Path) -> None:
        with PartialFile(tmp_path) as partial:
            partial.expected_size = 5
            partial.expected_size = None
            partial.expected_size = 5
            with pytest.raises(VideoDownloadError, match="changed"):
                partial.expected_size = 6
            assert partial.expected_size == 5

    def test_it_lies_hidden_in_the_temporary_directory_and_goes(self) -> None:
        with PartialFile() as partial:
            partial.write(b"x")
            assert partial.path.is_file()
            assert partial.path.name.startswith(".video.mp4.")
            assert partial.path.suffix == ".part"
        assert not partial.path.exists()
        assert partial.file.closed

    def test_it_is_open_in_its_block_only(self) -> None:
        with pytest.raises(ValueError, match="'with' block"):
            PartialFile().write(b"x")


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user can reach, which ``tmp_path`` is not."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        yield Path(name)
        os.chmod(name, 0o755)


def said_to_nobody(call: str, path: Path) -> str:
    """Return what a user without any rights is told; root may do everything."""
    code = (
        "import os, sys; from airflow_provider_venice.storage import check_target, read_media\n"
        "path = sys.argv[1]; os.getuid() or os.setuid(65534)\n"
        f"try: {call}\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    run = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    return run.stdout


#: What becomes of a template whose variable is ``None``.
NONE = [
    "None",
    "None/clip.mp4",
    "/x/None.mp4",
    "/x/None/clip.mp4",
    "file:///x/None.mp4",
    "s3://None/clip.mp4",
    "s3://None@bucket/clip.mp4",
    "s3://bucket/None",
]


class TestTargets:
    @pytest.mark.parametrize(
        ("target", "words"),
        [
            ("", "is not a path"),
            ("  ", "is not a path"),
            ("a\0b.mp4", "is not a path"),
            ("folder/", "names a directory; add a file name"),
            ("s3://bucket/folder/", "names a directory; add a file name"),
            ("s3://bucket", "names no key; write s3://conn_id@bucket/key"),
            ("s3://aws_default@/clip.mp4", "names no bucket; write s3://conn_id@bucket/key"),
            *((path, "has a part that is 'None'; give a value to each variable") for path in NONE),
            *((path, "has no name before its suffix; give a value") for path in (".mp4", "/x/.mp4", "s3://b/ .webm")),
            ("/x/ /clip.mp4", "has a part that is blank; give a value"),
            ("file://a.mp4", "is not absolute; write file:///directory/name"),
            ("gs://bucket/a.mp4", "install apache-airflow-providers-google"),
            ("nowhere://bucket/a.mp4", "install the provider package that serves nowhere://"),
            (7, "a path is needed, not int"),
            (None, "a path is needed, not NoneType"),
        ],
    )
    def test_what_is_no_target_is_refused(self, target: object, words: str) -> None:
        assert words in problem(check_target, target)
        assert words in problem(store_video, target, refuse)

    @pytest.mark.parametrize("path", [Path("/x/None.mp4"), ObjectStoragePath("file:///x/None.mp4"), "/x/.png"])
    def test_a_medium_whose_template_has_no_value_is_refused(self, path: object) -> None:
        assert "give a value to each variable of its template" in problem(read_media, path, 10)

    @pytest.mark.parametrize("name", ["NoneSuch.mp4", "a None.mp4", ".hidden.mp4", "None.a.mp4", "a b.mp4"])
    def test_a_name_that_only_looks_like_it(self, tmp_path: Path, name: str) -> None:
        check_target(tmp_path / name)

    def test_a_free_name_is_a_target(self, tmp_path: Path, remote: str) -> None:
        check_target(tmp_path / "new" / "a.mp4")
        check_target(f"{remote}/a.mp4")
        assert files(tmp_path) == []
        assert not (tmp_path / "new").exists()

    def test_directories_and_devices(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        for function in (check_target, existing_video, lambda target: read_media(target, 10)):
            assert "is a directory; name a file" in problem(function, tmp_path)
            assert "is not a regular file" in problem(function, tmp_path / "pipe")

    def test_a_file_in_the_way_of_a_folder(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(b"")
        assert "Not a directory" in problem(check_target, tmp_path / "a" / "b.mp4")

    def test_a_name_that_is_too_long(self, tmp_path: Path) -> None:
        assert "File name too long" in problem(check_target, tmp_path / ("a" * 300))

    def test_a_folder_that_is_read_only(self, open_folder: Path) -> None:
        open_folder.chmod(0o555)
        said = said_to_nobody("check_target(path)", open_folder / "new" / "a.mp4")
        target = open_folder / "new" / "a.mp4"
        assert said == f"VideoTargetUnavailable '{target}' cannot be used: Permission denied: '{open_folder}'\n"

    @pytest.mark.parametrize("overwrite", [False, True])
    def test_what_exists_needs_overwrite(self, tmp_path: Path, overwrite: bool) -> None:
        (tmp_path / "a.mp4").write_bytes(b"")
        with contextlib.nullcontext() if overwrite else pytest.raises(VeniceRequestError, match="exists already"):
            check_target(tmp_path / "a.mp4", overwrite=overwrite)

    def test_what_lies_there_is_looked_at(self, tmp_path: Path, clip: bytes) -> None:
        target = tmp_path / "a.mp4"
        assert existing_video(target) is None
        target.write_bytes(clip[:-1])
        assert "is not a whole video (the file is cut" in problem(existing_video, str(target))
        target.write_bytes(b"")
        assert "is not a whole video (the file is empty)" in problem(existing_video, str(target))


class TestReadMedia:
    def test_a_file_is_read_up_to_the_limit(self, tmp_path: Path) -> None:
        path = tmp_path / "a.png"
        path.write_bytes(b"12345")
        for value in (path, str(path), f"file://{path}", ObjectStoragePath(f"file://{path}")):
            assert read_media(value, 5) == (str(path), b"12345")
            assert read_media(value, 3) == (str(path), b"1234")

    def test_a_huge_file_costs_no_more_than_the_limit(self, tmp_path: Path) -> None:
        path = tmp_path / "huge.mp4"
        with path.open("wb") as file:
            file.truncate(5 << 30)
        _, data = read_media(path, 1000)
        assert len(data) == 1001

    def test_what_is_not_there_is_named(self, remote: str) -> None:
        assert problem(read_media, "gone.png", 10) == "no such file 'gone.png'"
        path = ObjectStoragePath(f"{remote}/gone.png")
        assert problem(read_media, str(path), 10) == f"no such file '{path}'"

    def test_what_may_not_be_read_is_named(self, open_folder: Path) -> None:
        path = open_folder / "secret.png"
        path.write_bytes(b"x")
        path.chmod(0)
        said = said_to_nobody("read_media(path, 10)", path)
        assert said == f"VeniceRequestError '{path}' cannot be read: Permission denied: '{path}'\n"


def large_video(clip: bytes, extra: int) -> Iterator[bytes]:
    """Yield the clip with ``extra`` bytes more in its media."""
    start, end = clip.index(b"mdat") - 4, clip.index(b"moov") - 4
    yield clip[:start] + struct.pack(">I", end - start + extra) + clip[start + 4 : end]
    for _ in range(extra >> 16):
        yield bytes(1 << 16)
    yield clip[end:]


@pytest.mark.parametrize("kind", ["local", "remote"])
def test_a_large_video_is_stored_in_little_memory(kind: str, tmp_path: Path, clip: bytes) -> None:
    conn_id = attach_disk(tmp_path / "remote")
    target = tmp_path / "a.mp4" if kind == "local" else f"memory://{conn_id}@bucket/a.mp4"
    extra = 64 << 20

    def receive(partial: PartialFile) -> None:
        for chunk in large_video(clip, extra):
            partial.write(chunk)

    check_target(target)
    tracemalloc.start()
    try:
        stored = store_video(target, receive)
        assert existing_video(target) == stored
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert stored.size == len(clip) + extra
    assert peak < 12 << 20


KILLED = """
import itertools, sys, time
from pathlib import Path
from airflow_provider_venice.storage import store_video

folder, mode, clip = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]).read_bytes()

def receive(partial):
    if mode == "during":
        partial.write(clip[:700])
        partial.file.flush()
        print("ready", flush=True)
        time.sleep(60)
    partial.write(clip)

for number in itertools.count():
    store_video(folder / f"{number}.mp4", receive)
    if not number:
        print("ready", flush=True)
"""


@pytest.mark.parametrize(("mode", "delay"), [("during", 0.0), *(("between", n / 37) for n in range(6))])
def test_a_killed_process_leaves_no_half_video(tmp_path: Path, clip: bytes, mode: str, delay: float) -> None:
    source, folder = tmp_path / "source", tmp_path / "target"
    source.write_bytes(clip)
    command = [sys.executable, "-c", KILLED, str(folder), mode, str(source)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout
        try:
            assert process.stdout.readline() == b"ready\n"
            threading.Event().wait(delay)
        finally:
            process.send_signal(signal.SIGKILL)
    names = files(folder)
    hidden = [name for name in names if name.startswith(".")]
    assert all(name.endswith(".part") for name in hidden)
    assert len(hidden) <= 1
    if mode == "during":
        assert len(hidden) == len(names) == 1
    for name in set(names) - set(hidden):
        assert (folder / name).read_bytes() == clip


HELD = """
import sys, time
from pathlib import Path
from airflow.sdk.io import attach
from fsspec.implementations.memory import MemoryFileSystem
from airflow_provider_venice.storage import store_video

def hold(stored):
    print("ready", flush=True)
    time.sleep(float(sys.argv[4]))

attach("memory", fs=MemoryFileSystem())
clip = Path(sys.argv[3]).read_bytes()
how = {"before_publish": hold, "writer": sys.argv[2], "overwrite": sys.argv[5] == "True"}
store_video(sys.argv[1], lambda partial: partial.write(clip), **how)
print("stored", flush=True)
"""


@contextlib.contextmanager
def holding(target: str, writer: str, clip: Path, seconds: float, *, overwrite: bool = False) -> Iterator[Any]:
    """Run a process that holds a whole partial file for some seconds before it publishes."""
    command = [sys.executable, "-c", HELD, target, writer, str(clip), str(seconds), str(overwrite)]
    environment = {**os.environ, "TMPDIR": str(clip.parent / "temporary")}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout
        try:
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


class UploadKilled:
    """Ends an upload after its object was made, and lets nothing of it be removed, as a kill does."""

    def __init__(self, target: str) -> None:
        self.fs: Any = ObjectStoragePath(target).fs

    def __enter__(self) -> None:
        def end(*args: Any, **kwargs: Any) -> None:
            raise KeyboardInterrupt

        self.fs.mv = self.fs.rm_file = end

    def __exit__(self, *args: object) -> None:
        del self.fs.mv, self.fs.rm_file


class TestLeftovers:
    @pytest.fixture
    def source(self, tmp_path: Path, clip: bytes, monkeypatch: pytest.MonkeyPatch) -> Path:
        (tmp_path / "temporary").mkdir()
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
        path = tmp_path / "source"
        path.write_bytes(clip)
        return path

    @pytest.mark.slow
    @pytest.mark.parametrize("kind", ["local", "remote"])
    def test_the_next_try_removes_what_a_killed_one_has_left(
        self, kind: str, tmp_path: Path, source: Path, memory: Store, clip: bytes
    ) -> None:
        target, folder = (
            ("memory://bucket/a.mp4", "temporary") if kind == "remote" else (f"{tmp_path}/new/a.mp4", "new")
        )
        for writer in ("mine", "another's"):
            with holding(target, writer, source, 60) as process:
                process.send_signal(signal.SIGKILL)
        left = files(tmp_path / folder)
        assert len(left) == 2
        store_video(target, sending(clip), writer="mine")
        kept = [name for name in files(tmp_path / folder) if name != "a.mp4"]
        assert len(kept) == 1
        assert kept[0] in left
        # And so does one that finds the clip stored.
        remove_leftovers(target, "another's")
        assert files(tmp_path / folder) == ([] if kind == "remote" else ["a.mp4"])

    def test_what_is_left_in_a_store_that_renames(self, tmp_path: Path, clip: bytes) -> None:
        conn_id = attach_disk(tmp_path / "remote")
        target = f"memory://{conn_id}@folder/a[1].mp4"
        with pytest.raises(KeyboardInterrupt), UploadKilled(target):
            store_video(target, sending(clip), writer="mine")
        (left,) = objects(f"memory://{conn_id}@folder")
        store_video(target, sending(clip), writer="another's")
        assert left in objects(f"memory://{conn_id}@folder")
        remove_leftovers(target, "mine")
        assert objects(f"memory://{conn_id}@folder") == ["a[1].mp4"]

    @pytest.mark.slow
    @pytest.mark.parametrize("overwrite", [False, True])
    def test_a_try_that_was_frozen_publishes_nothing(
        self, overwrite: bool, tmp_path: Path, source: Path, clip: bytes
    ) -> None:
        target = tmp_path / "new" / "a.mp4"
        with holding(str(target), "mine", source, 0.1, overwrite=overwrite) as frozen:
            frozen.send_signal(signal.SIGSTOP)
            store_video(target, sending(clip), overwrite=overwrite, writer="mine")
            stored = target.stat()
            frozen.send_signal(signal.SIGCONT)
            out, err = frozen.communicate(timeout=60)
        assert "stored" not in out
        assert "VideoDownloadError: the partial file of" in err
        assert target.stat() == stored
        assert files(target.parent) == ["a.mp4"]

    @pytest.mark.slow
    def test_a_try_that_was_frozen_publishes_nothing_before_the_next_one(self, tmp_path: Path, source: Path) -> None:
        target = tmp_path / "new" / "a.mp4"
        with holding(str(target), "mine", source, 0.1) as frozen:
            frozen.send_signal(signal.SIGSTOP)
            remove_leftovers(target, "mine")
            frozen.send_signal(signal.SIGCONT)
            _, err = frozen.communicate(timeout=60)
        assert "VideoDownloadError: the partial file of" in err
        assert files(target.parent) == []
