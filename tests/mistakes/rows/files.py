"""Mistakes with files: where a clip goes, and what is in the way."""

from __future__ import annotations

from tests.mistakes.row import AFTER, BEFORE, Mistake, Scene


def _something_there(scene: Scene) -> object:
    (scene.folder / "clip.mp4").write_bytes(b"mine")
    return scene.generate()


def _folder_becomes_a_file(scene: Scene) -> object:
    download = scene.download(output_path=f"{scene.folder}/clips/clip.mp4")
    (scene.folder / "clips").write_bytes(b"mine")
    return download


ROWS = (
    Mistake(
        "A file of that name is there",
        BEFORE,
        _something_there,
        "'/data/clip.mp4' exists already; give another path, or overwrite=True to replace it",
    ),
    Mistake(
        "The folder of a download is a file",
        AFTER,
        _folder_becomes_a_file,
        "'/data/clips/clip.mp4' cannot be used: Not a directory: '/data/clips'",
        bought=1,
    ),
)
