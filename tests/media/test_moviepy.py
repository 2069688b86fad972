"""What `export_video` wrote, read by a stranger: moviepy's own reader must agree with what we say of it.

Our probe could be wrong in the same way as our writer; moviepy finds size, rate and length by other
means. This is why moviepy stays among the requirements although its writer is not used (the reasons
are in `wan_app/media/encoder.py`); it also brings imageio-ffmpeg, and with it the ffmpeg binary.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from moviepy import VideoFileClip

from tests.media.conftest import gradient
from wan_app.media.marks.marking import Marks
from wan_app.media.video import export_video


@pytest.mark.parametrize(("size", "fps", "count"), [((128, 128), 8, 17), ((160, 96), 8, 9), ((832, 480), 16, 5)])
def test_an_independent_reader_agrees(
    tmp_path: Path, size: tuple[int, int], fps: int, count: int, marks: Marks
) -> None:
    out = tmp_path / "clip.mp4"
    facts = export_video([gradient(*size, index) for index in range(count)], out, fps=fps, metadata={}, marks=marks)
    with VideoFileClip(str(out)) as clip:
        assert tuple(clip.size) == (facts.width, facts.height)
        assert clip.fps == pytest.approx(fps)
        # moviepy reads the length from ffmpeg's banner, which has hundredths of a second.
        assert clip.duration == pytest.approx(count / fps, abs=0.011)
        first, last = clip.get_frame(0), clip.get_frame((count - 0.5) / fps)
    # A wrong matrix, range or order of channels would be off by ten levels and more; the frames
    # differ by four levels of blue each, so the last one is told from the first.
    for frame, index in ((first, 0), (last, count - 1)):
        wanted = gradient(facts.width, facts.height, index).astype(int)
        assert frame.shape == wanted.shape and np.abs(frame - wanted).mean() < 4
    assert last[..., 2].mean() - first[..., 2].mean() == pytest.approx(4 * (count - 1), abs=3)
