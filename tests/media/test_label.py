"""The visible label: where it stands, that it can be read, and that it reaches the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wan_app.media.label import TEXT, Label, label_for

SIZES = [(512, 512), (480, 832), (1280, 720), (96, 64)]


def plain(height: int, width: int, grey: int) -> np.ndarray:
    return np.full((height, width, 3), grey, np.uint8)


def place(before: np.ndarray, after: np.ndarray) -> tuple[slice, slice]:
    """Where two frames differ."""
    rows, columns = np.nonzero((before != after).any(2))
    assert rows.size
    return slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("grey", [1, 128, 255])
def test_a_corner_of_every_frame(size: tuple[int, int], grey: int) -> None:
    frame = plain(*size, grey)
    for index in (0, 1, 400):
        labelled = Label("corner").on(frame, index, 8.0)
        rows, columns = place(frame, labelled)
        assert rows.stop < size[0] / 2 and size[1] * 0.93 < columns.stop < size[1] and labelled.dtype == np.uint8
    # White letters on a ground that is much darker, whatever lies below.
    inside = labelled[rows, columns].astype(int)
    assert inside.max() >= 200 and np.percentile(inside, 20) <= 0.37 * grey + 1
    assert (frame == grey).all(), "the model's own frame is left as it is"
    assert inside.shape[0] >= min(size) / 20


def test_two_seconds_at_the_start_and_no_longer() -> None:
    frame = plain(480, 832, 200)
    rows, columns = place(frame, Label("start").on(frame, 0, 16.0))
    assert rows.start > 480 / 2 and abs((columns.start + columns.stop) / 2 - 416) < 2
    assert (Label("start").on(frame, 31, 16.0) != frame).any() and Label("start").on(frame, 32, 16.0) is frame


def test_off_is_off() -> None:
    frame = plain(64, 64, 9)
    assert Label("off").on(frame, 0, 8.0) is frame


@pytest.mark.parametrize("text", ["", "  ", "AI生成", "été", "a\x00b"])
def test_what_the_font_cannot_write_is_the_usual_text(text: str) -> None:
    frame = plain(512, 512, 50)
    assert (Label("corner", text).on(frame, 0, 8.0) == Label("corner", TEXT).on(frame, 0, 8.0)).all()
    assert (Label("corner", "Mit KI").on(frame, 0, 8.0) != Label("corner", TEXT).on(frame, 0, 8.0)).any()


@pytest.mark.parametrize("size", [(512, 512), (512, 64), (8, 8), (20, 300)])
def test_a_long_text_stays_inside(size: tuple[int, int]) -> None:
    frame = plain(*size, 90)
    for where in ("corner", "start"):
        labelled = Label(where, "W" * 300).on(frame, 0, 8.0)  # type: ignore[arg-type]
        assert labelled.shape == frame.shape and (labelled != frame).any()


@pytest.mark.parametrize(("setting", "owner", "where"), [
    ("off", "local", "off"), ("off", "guest:a1", "corner"), ("start", "guest:a1", "start"),
    ("corner", "local", "corner"), ("off", "visitor:guest:a1", "off"),
])
def test_guests_have_one_in_any_case(setting: Any, owner: str, where: str) -> None:
    assert label_for(setting, owner) == where


def test_it_is_in_the_file_and_the_invisible_mark_over_it(tmp_path: Path, marks: Any) -> None:
    from dataclasses import replace

    from wan_app.media.frames import Decoded, read_frames
    from wan_app.media.video import export_video

    frames = np.full((6, 96, 96, 3), 120, np.uint8)
    frames[:, :, :8] = 20 * np.arange(6, dtype=np.uint8)[:, None, None, None]  # what does not move is not written
    for name, where in (("with.mp4", "corner"), ("without.mp4", "off")):
        labelled = replace(marks, label=Label(where))  # type: ignore[arg-type]
        export_video(frames, tmp_path / name, fps=8, metadata={}, marks=labelled)
    seen = []
    for name in ("with.mp4", "without.mp4"):
        with read_frames(tmp_path / name, Decoded(width=576, height=576)) as (images, _):
            seen.append(np.stack(list(images)).astype(int))
    corner = np.s_[:, 17:45, 400:556]
    assert seen[0][corner].max() > 230 and seen[0][corner].min() < 70
    assert np.abs(seen[0][:, 300:] - seen[1][:, 300:]).mean() < 4
