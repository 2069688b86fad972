"""What leads from a watermark back to credentials."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from wan_app.errors import StorageError
from wan_app.media.marks import sidecars
from wan_app.media.marks.sidecars import find, find_by_sound, is_taken, kept

ID = "00ff12cd34"


def test_kept_and_found(tmp_path: Path) -> None:
    with kept(tmp_path / "sidecars", ID, {"model": "pocket"}, b"store", tmp_path / "a.mp4"):
        assert is_taken(tmp_path / "sidecars", ID)  # before the file has its name
    found = find(tmp_path / "sidecars", ID)
    assert found and (found.record, found.store) == ({"watermark_id": ID, "model": "pocket"}, b"store")
    assert find_by_sound(tmp_path / "sidecars", ID[2:]) == [found]
    assert json.loads((tmp_path / "sidecars" / f"{ID}.json").read_text())["model"] == "pocket"
    assert {one.suffix for one in (tmp_path / "sidecars").iterdir()} == {".json", ".c2pa"}
    assert (tmp_path / "sidecars").stat().st_mode & 0o777 == 0o700


def test_nothing_is_kept_of_a_file_that_never_was(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), kept(tmp_path, ID, {}, b"store", tmp_path / "a.mp4"):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == [] and find(tmp_path, ID) is None


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes, field: str) -> None:
        if path.suffix == ".json":
            raise StorageError(field, "full", "space")
        path.write_bytes(data)

    monkeypatch.setattr(sidecars, "write_atomically", full)
    with pytest.raises(StorageError), kept(tmp_path, ID, {}, b"store", tmp_path / "a.mp4"):
        raise AssertionError("the file may not get its name")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("asked", ["../../etc", "*" * 10, "", "00FF12CD34", "00ff12cd3", "é" * 10])
def test_ids_of_strangers_open_no_other_file(tmp_path: Path, asked: str) -> None:
    with kept(tmp_path, ID, {}, b"store", tmp_path / "a.mp4"):
        pass
    assert find(tmp_path, asked) is None and find_by_sound(tmp_path, asked[2:]) == []


@pytest.mark.parametrize("text", ["", "[]", "{", "\xff"])
def test_a_damaged_sidecar_is_none(tmp_path: Path, text: str) -> None:
    with kept(tmp_path, ID, {}, b"store", tmp_path / "a.mp4"):
        pass
    (tmp_path / f"{ID}.json").write_text(text, encoding="latin-1")
    assert find(tmp_path, ID) is None


def test_parts_of_dead_processes_go(tmp_path: Path) -> None:
    for name, age in ((".old.part", 7200), (".new.part", 0)):
        (tmp_path / name).write_bytes(b"x")
        then = (tmp_path / name).stat().st_mtime - age
        os.utime(tmp_path / name, (then, then))
    with kept(tmp_path, ID, {}, b"store", tmp_path / "a.mp4"):
        pass
    assert sorted(one.name for one in tmp_path.glob(".*")) == [".new.part"]


@pytest.mark.parametrize(("found", "stays"), [
    (None, False), (b"made at the second try", False), (b"the file", True),
])
@pytest.mark.parametrize("age", [7200, 0])
def test_the_sidecar_of_a_file_that_never_was_goes(tmp_path: Path, found: bytes | None, stays: bool, age: int) -> None:
    """A process is killed between sidecar and name, or between name and the end."""
    folder, out = tmp_path / "sidecars", tmp_path / "a.mp4"
    out.write_bytes(b"the file")
    sha256 = sidecars.digest(out)
    killed = subprocess.run([sys.executable, "-c", (
        "import os, sys; from pathlib import Path; from wan_app.media.marks.sidecars import kept\n"
        "with kept(Path(sys.argv[1]), sys.argv[2], {'sha256': sys.argv[3]}, b'store', Path(sys.argv[4])): os._exit(9)"
    ), str(folder), ID, sha256, str(out)], cwd=Path(__file__).parents[3])
    assert killed.returncode == 9 and is_taken(folder, ID)
    out.unlink() if found is None else out.write_bytes(found)
    for file in folder.iterdir():
        then = file.stat().st_mtime - age
        os.utime(file, (then, then))
    other = "ff" + ID[2:]
    with kept(folder, other, {}, b"store", tmp_path / "b.mp4"):
        pass
    assert is_taken(folder, ID) is (stays or not age), "what is young may be in the making"
    assert (folder / f"{ID}.json").exists() is (stays or not age) and is_taken(folder, other)
    assert len(list(folder.glob(".*"))) == (0 if age else 1)


def test_what_no_ledger_knows_stays(tmp_path: Path) -> None:
    """The row of a file that somebody named may be gone, and copies of it still lead here."""
    with kept(tmp_path, ID, {}, b"store", tmp_path / "a.mp4"):
        pass
    for file in tmp_path.iterdir():
        os.utime(file, (0, 0))
    assert sidecars.sweep(tmp_path) == 0 and find(tmp_path, ID)
