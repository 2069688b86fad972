from __future__ import annotations

import json
from pathlib import Path

import pytest

from wan_app.ui import examples


def write(folder: Path, text: str) -> None:
    (folder / "examples.json").write_text(text, encoding="utf-8")


def test_rows_become_examples_and_absent_files_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"x")
    row = {"mode": "text", "prompt": "p", "file": "a.mp4", "label": "A"}
    write(tmp_path, json.dumps([row, {**row, "file": "b.mp4"}, {**row, "faces": ["f.png"]}]))
    found = examples.stored(tmp_path)
    assert [one.file.name for one in found] == ["a.mp4", "a.mp4"]
    assert found[1].faces == (tmp_path / "f.png",)


@pytest.mark.parametrize("text", ["", "{", "[1]", '[{"mode": "text"}]', '{"a": 1}'])
def test_a_broken_list_costs_the_row_only(tmp_path: Path, text: str) -> None:
    write(tmp_path, text)
    assert examples.stored(tmp_path) == ()


def test_no_folder_no_examples(tmp_path: Path) -> None:
    assert examples.stored(tmp_path / "none") == ()
