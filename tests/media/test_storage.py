"""Output paths are refused before anything is made for them."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from wan_app.errors import StorageError
from wan_app.media.storage import give_name
from wan_app.media.video import check_writable


def refused(path: Path | str) -> str:
    with pytest.raises(StorageError) as caught:
        check_writable(path)
    assert caught.value.field == "out" and caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_good_paths_are_left_as_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "old.mp4").write_bytes(b"old")
    check_writable(tmp_path / "new 🦊 'clip'.mp4")
    check_writable(tmp_path / "old.mp4")
    monkeypatch.chdir(tmp_path)
    check_writable("plain.mp4")
    assert [file.name for file in tmp_path.iterdir()] == ["old.mp4"]
    assert (tmp_path / "old.mp4").read_bytes() == b"old"


def test_paths_that_cannot_be_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "the folder" in refused(tmp_path)
    assert "no folder" in refused(tmp_path / "missing" / "a.mp4")
    assert "no folder" in refused(tmp_path / "file" / "a.mp4")
    assert "a shorter file name" in refused(tmp_path / ("x" * 300 + ".mp4"))
    assert "control characters" in refused(f"{tmp_path}/a\0.mp4")
    assert "a file name" in refused("")
    if Path("/dev/full").exists():
        assert "not an ordinary file" in refused("/dev/full")


@pytest.mark.parametrize(
    ("number", "needed"),
    [(errno.EROFS, "a disk that can be written to"), (errno.EACCES, "a folder you may write to"),
     (errno.ENOSPC, "free space"), (errno.EDQUOT, "quota")],
)
def test_a_folder_that_takes_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, needed: str
) -> None:
    def refuse(**_: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    assert needed in refused(tmp_path / "a.mp4").split("; needed ")[1]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        assert "a folder you may write to" in refused(tmp_path / "a.mp4")
    finally:
        tmp_path.chmod(0o700)


def test_hardly_any_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = SimpleNamespace(total=10**9, free=3 * 2**20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    assert "3.0 MiB free; needed at least 16 MiB" in refused(tmp_path / "a.mp4")
    usage.total = usage.free = 0  # a file system that does not say
    check_writable(tmp_path / "a.mp4")


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="looks at /proc")
def test_a_file_is_on_the_disk_before_it_gets_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "part").write_bytes(b"a video")
    (tmp_path / "clip.mp4").write_bytes(b"the last one")
    done: list[str] = []
    sync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (done.append(os.readlink(f"/proc/self/fd/{handle}")), sync(handle)))
    monkeypatch.setattr(os, "replace", lambda *paths: (done.append("moved"), replace(*paths)))
    give_name(tmp_path / "part", tmp_path / "clip.mp4")
    assert done == [str(tmp_path / "part"), "moved", str(tmp_path)]
    assert (tmp_path / "clip.mp4").read_bytes() == b"a video" and not (tmp_path / "part").exists()


def test_a_disk_that_refuses_to_keep_a_file_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "part").write_bytes(b"a video")
    (tmp_path / "clip.mp4").write_bytes(b"the last one")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        give_name(tmp_path / "part", tmp_path / "clip.mp4")
    assert (tmp_path / "clip.mp4").read_bytes() == b"the last one"
