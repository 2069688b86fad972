"""What leads from a watermark back to credentials."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from wan_app.errors import StorageError
from wan_app.media.marks import sidecars
from wan_app.media.marks.sidecars import find, find_by_sound, is_taken, kept

ID = "00ff12cd34"


def test_kept_and_found(tmp_path: Path) -> None:
    with kept(tmp_path / "sidecars", ID, {"model": "pocket"}, b"store"):
        assert is_taken(tmp_path / "sidecars", ID)  # before the file has its name
    found = find(tmp_path / "sidecars", ID)
    assert found and (found.record, found.store) == ({"watermark_id": ID, "model": "pocket"}, b"store")
    assert find_by_sound(tmp_path / "sidecars", ID[2:]) == [found]
    assert json.loads((tmp_path / "sidecars" / f"{ID}.json").read_text())["model"] == "pocket"
    assert {one.suffix for one in (tmp_path / "sidecars").iterdir()} == {".json", ".c2pa"}
    assert (tmp_path / "sidecars").stat().st_mode & 0o777 == 0o700


def test_nothing_is_kept_of_a_file_that_never_was(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), kept(tmp_path, ID, {}, b"store"):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == [] and find(tmp_path, ID) is None


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes, field: str) -> None:
        if path.suffix == ".json":
            raise StorageError(field, "full", "space")
        path.write_bytes(data)

    monkeypatch.setattr(sidecars, "write_atomically", full)
    with pytest.raises(StorageError), kept(tmp_path, ID, {}, b"store"):
        raise AssertionError("the file may not get its name")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("asked", ["../../etc", "*" * 10, "", "00FF12CD34", "00ff12cd3", "é" * 10])
def test_ids_of_strangers_open_no_other_file(tmp_path: Path, asked: str) -> None:
    with kept(tmp_path, ID, {}, b"store"):
        pass
    assert find(tmp_path, asked) is None and find_by_sound(tmp_path, asked[2:]) == []


@pytest.mark.parametrize("text", ["", "[]", "{", "\xff"])
def test_a_damaged_sidecar_is_none(tmp_path: Path, text: str) -> None:
    with kept(tmp_path, ID, {}, b"store"):
        pass
    (tmp_path / f"{ID}.json").write_text(text, encoding="latin-1")
    assert find(tmp_path, ID) is None


def test_parts_of_dead_processes_go(tmp_path: Path) -> None:
    for name, age in ((".old.part", 7200), (".new.part", 0)):
        (tmp_path / name).write_bytes(b"x")
        then = (tmp_path / name).stat().st_mtime - age
        os.utime(tmp_path / name, (then, then))
    with kept(tmp_path, ID, {}, b"store"):
        pass
    assert sorted(one.name for one in tmp_path.glob(".*")) == [".new.part"]
