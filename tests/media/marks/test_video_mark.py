"""The video mark: invisible, found again after what happens to videos, and never where there is none."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from PIL import Image

from tests.robustness.quality import psnr, ssim
from wan_app.media.marks.video_mark import VideoMarker, VideoMarkReading, read_video_mark

IDENTITY = 0x123456789A
KEY, OTHER = b"k" * 32, b"o" * 32


def cloudy(count: int = 4, *, height: int = 240, width: int = 400, step: int = 2) -> list[np.ndarray]:
    """A panning picture of soft shapes with some grain, uint8 (height, width, 3) each."""
    random = np.random.default_rng(5)
    rough = random.integers(30, 220, (9, 16, 3), dtype=np.uint8)
    wide = Image.fromarray(rough).resize((width + step * count, height), Image.Resampling.BICUBIC)
    whole = np.asarray(wide) + random.normal(0, 2, (height, wide.width, 1))
    whole = whole.clip(0, 255).astype(np.uint8)
    return [whole[:, step * index:step * index + width] for index in range(count)]


def marked(frames: list[np.ndarray], *, key: bytes = KEY, strength: float = 1.0) -> list[np.ndarray]:
    marker = VideoMarker(IDENTITY, key, strength=strength)
    return [marker.mark(frame) for frame in frames]


def resized(frames: list[np.ndarray], width: int, height: int) -> list[np.ndarray]:
    return [np.asarray(Image.fromarray(f).resize((width, height), Image.Resampling.BICUBIC)) for f in frames]


def read(frames: list[np.ndarray], *keys: bytes) -> VideoMarkReading:
    return read_video_mark(frames, keys or [KEY])


def test_it_is_read_back() -> None:
    reading = read(marked(cloudy()))
    assert (reading.state, reading.id, str(reading.id)) == ("ours", IDENTITY, "123456789a")
    assert reading.strength > 12 and reading.scale == (1, 1) and not reading.mirrored


def test_it_is_not_seen() -> None:
    for frames in (cloudy(2), [np.full((240, 400, 3), 90, np.uint8)]):
        for before, after in zip(frames, marked(frames)):
            assert psnr(before, after) >= 42 and ssim(before, after) >= 0.97
            assert after.dtype == np.uint8 and after.shape == before.shape and (after != before).any()


def test_even_noise_and_black_keep_their_quality() -> None:
    """The two extremes: as strong as it gets, and where brightness can only go up."""
    noise = np.random.default_rng(2).integers(0, 256, (240, 400, 3), dtype=np.uint8)
    assert psnr(noise, marked([noise])[0]) >= 42
    for value in range(6):
        dark = np.full((240, 400, 3), value, np.uint8)
        assert ssim(dark, marked([dark])[0]) >= 0.97


def test_a_frame_given_is_not_changed() -> None:
    frame = cloudy(1)[0].copy()
    before = frame.copy()
    VideoMarker(IDENTITY, KEY).mark(frame)
    assert (frame == before).all()


CHANGES = {
    "smaller": lambda frames: resized(frames, 320, 192),
    "larger": lambda frames: resized(frames, 640, 384),
    "cropped": lambda frames: [frame[34:234, 46:380] for frame in frames],
    "cropped and back": lambda frames: resized([frame[25:217, 40:360] for frame in frames], 400, 240),
    "squashed": lambda frames: resized(frames, 320, 240),
    "mirrored": lambda frames: [frame[:, ::-1] for frame in frames],
    "upside down": lambda frames: [frame[::-1, ::-1] for frame in frames],
    "turned": lambda frames: [np.rot90(frame) for frame in frames],
    "letterboxed": lambda frames: [np.pad(frame, ((75, 75), (0, 0), (0, 0))) for frame in frames],
    "darker": lambda frames: [(frame * 0.6).astype(np.uint8) for frame in frames],
    "grey": lambda frames: [frame.mean(axis=2, keepdims=True).repeat(3, axis=2).astype(np.uint8) for frame in frames],
    "backwards": lambda frames: frames[::-1],
    "one frame": lambda frames: frames[2:3],
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_it_outlives(change: Callable[[list[np.ndarray]], list[np.ndarray]]) -> None:
    reading = read(change(marked(cloudy())))
    assert (reading.state, reading.id) == ("ours", IDENTITY)


def test_how_it_was_changed_is_told() -> None:
    frames = marked(cloudy())
    assert read(CHANGES["mirrored"](frames)).mirrored and not read(CHANGES["turned"](frames)).mirrored
    assert read(CHANGES["cropped"](frames)).scale == pytest.approx((1.2, 1.2), abs=0.01)


@pytest.mark.parametrize("value", [0, 1, 128, 255])
def test_constant_frames_give_numbers_and_no_mark(value: int) -> None:
    frames = [np.full((160, 200, 3), value, np.uint8)] * 3
    with np.errstate(all="raise", under="ignore"):
        reading = read(frames)
        after = marked(frames)
    assert (reading.state, reading.id) == ("none", None) and np.isfinite(reading.strength)
    assert read(after).id == IDENTITY


def test_another_installs_mark_is_known_as_such() -> None:
    frames = marked(cloudy(), key=OTHER)
    reading = read(frames)
    assert (reading.state, reading.id) == ("other", None)
    assert read(frames, KEY, OTHER).id == IDENTITY
    assert read_video_mark(frames, []).state == "other"


def test_a_mark_too_damaged_to_read_is_still_a_mark() -> None:
    """Three different marks mixed: the pilots agree, what they say does not."""
    several = [VideoMarker(identity, OTHER) for identity in (0x5EED5EED5E, 0xA1B2C3D4E5, 0x0F1E2D3C4B)]
    frames = [np.mean([one.mark(frame) for one in several], axis=0).round().astype(np.uint8) for frame in cloudy()]
    reading = read(frames)
    assert (reading.state, reading.id) == ("unreadable", None) and reading.strength > 7.5


def test_nothing_is_found_where_nothing_is() -> None:
    random = np.random.default_rng(8)
    for frames in (cloudy(), [random.integers(0, 256, (160, 240, 3), dtype=np.uint8) for _ in range(4)]):
        reading = read(frames)
        assert (reading.state, reading.id) == ("none", None) and reading.strength < 7


def test_no_frames_and_tiny_frames_are_no_trouble() -> None:
    assert read([]).state == "none" and read([]).frames == 0
    for size in ((1, 1), (8, 200), (37, 41)):
        frames = [np.zeros((*size, 3), np.uint8)] * 2
        assert read(frames).state == "none"
        assert marked(frames)[0].shape == (*size, 3)


def test_the_reader_stops_where_it_knows() -> None:
    taken = []

    def endless() -> Iterator[np.ndarray]:
        for index in range(100_000):
            taken.append(index)
            yield frames[index % len(frames)]

    frames = marked(cloudy(height=160, width=160))
    assert read_video_mark(endless(), [KEY]).state == "ours" and len(taken) <= 72
    taken.clear()
    frames = cloudy(height=160, width=160)
    assert read_video_mark(endless(), [KEY]).state == "none" and len(taken) == 240


def test_memory_does_not_grow_with_the_video() -> None:
    frames = cloudy(height=160, width=160)
    peaks = []
    for count in (60, 200):
        tracemalloc.start()
        read_video_mark((frames[index % len(frames)] for index in range(count)), [KEY], search=False)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0]


def test_sizes_may_change_on_the_way() -> None:
    frames = marked(cloudy(4))
    reading = read([*frames, np.zeros((20, 30, 3), np.uint8), frames[0]])
    assert reading.state == "ours" and reading.frames == 5
    marker = VideoMarker(IDENTITY, KEY)
    assert marker.mark(cloudy(1)[0]).shape == (240, 400, 3)
    assert marker.mark(cloudy(1, height=200, width=300)[0]).shape == (200, 300, 3)


def test_strength_makes_it_stronger() -> None:
    frame = cloudy(1)[0]
    change = [np.abs(marked([frame], strength=one)[0].astype(int) - frame).mean() for one in (0.5, 1.0, 2.0)]
    assert change[0] < change[1] < change[2]
