from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from wan_app.errors import InvalidRequest
from wan_app.media.marks.marking import Marks
from wan_app.media.stills import last_frame
from wan_app.media.video import export_video


@pytest.mark.parametrize("count", [5, 41])  # shorter and longer than the second that is searched
def test_the_last_frame_and_no_other(tmp_path: Path, count: int, marks: Marks) -> None:
    frames = np.zeros((count, 96, 96, 3), np.uint8)
    frames[:, :8] = 90  # what is all black is not written
    frames[-1] = (200, 40, 40)
    export_video(frames, tmp_path / "clip 100%d.mp4", fps=8, metadata={}, marks=marks)
    red, green, blue = Image.open(last_frame(tmp_path / "clip 100%d.mp4")).convert("RGB").getpixel((48, 48))
    assert red > 170 and green < 70 and blue < 70


def test_a_file_without_pictures_is_refused(tmp_path: Path) -> None:
    (tmp_path / "no.mp4").write_bytes(b"nothing")
    with pytest.raises(InvalidRequest, match="^image: "):
        last_frame(tmp_path / "no.mp4")
