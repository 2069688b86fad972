"""The picture that carries a clip on into the next one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from wan_app.errors import InvalidRequest
from wan_app.media.stills import last_frame
from wan_app.media.video import export_video


@pytest.mark.parametrize("count", [1, 9])
def test_the_last_frame_and_no_other(tmp_path: Path, clip: np.ndarray, count: int) -> None:
    clip[count - 1] = (200, 40, 120)
    export_video(clip[:count], tmp_path / "clip.mp4", fps=4, metadata={}, scale=1)
    with Image.open(last_frame(tmp_path / "clip.mp4")) as still:
        assert still.size == (96, 64)
        assert np.abs(np.asarray(still.convert("RGB"), int) - (200, 40, 120)).max() <= 6


def test_no_video(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_text("text")
    with pytest.raises(InvalidRequest, match="^image: "):
        last_frame(tmp_path / "clip.mp4")
