from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from wan_app.errors import InvalidRequest
from wan_app.families import pocket
from wan_app.families.spec import Shape
from wan_app.types import AudioInfo
from wan_app.ui import words

POCKET = pocket.SPECS[0]


@pytest.mark.parametrize(("size", "said"), [
    ((128, 128), "1:1"), ((160, 96), "5:3"), ((96, 160), "3:5"), ((832, 480), "16:9"), ((480, 832), "9:16"),
    ((1280, 720), "16:9"), ((1000, 100), "10:1"), ((1001, 97), ""),
])
def test_ratio_is_what_people_say(size: tuple[int, int], said: str) -> None:
    assert words.ratio(*size) == said


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine in Kathmandu."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "NPT-5:45")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("zone")
@pytest.mark.parametrize(("created", "said"), [
    ("2026-11-22T23:30:59+00:00", "2026-11-23 05:15 NPT"), ("2026-11-22T23:30:59.123456Z", "2026-11-23 05:15 NPT"),
    ("2026-99-99T23:30:59Z", "2026-99-99T23:30:59Z"), ("", ""),
])
def test_a_moment_is_told_by_the_clock_on_the_wall(created: str, said: str) -> None:
    assert words.moment(created) == said


def test_shapes_of_one_name_are_told_apart_by_size() -> None:
    spec = replace(POCKET, shapes=(Shape("Wide", 832, 480), Shape("Wide", 1280, 720)))
    assert [label for label, _ in words.shape_choices(spec)] == [
        "Wide 16:9, 832 × 480", "Wide 16:9, 1280 × 720",
    ]


def test_every_stop_of_the_length_slider_is_a_length_the_model_takes() -> None:
    for spec in (POCKET, replace(POCKET, fps=16.0, min_frames=17, max_frames=81, default_frames=81),
                 replace(POCKET, fps=24.0, frame_step=17, frame_offset=5, min_frames=5, max_frames=243)):
        reach = words.length_range(spec)
        stop = reach.low
        while stop <= reach.high + 1e-6:
            spec._frames(None, round(stop, 3))  # raises when out of range
            stop += reach.step
        assert reach.low <= reach.default <= reach.high


@pytest.mark.parametrize(("native", "sound"), [(True, "with sound"), (False, "silent unless you add sound")])
def test_readout_tells_frames_both_sizes_and_sound(native: bool, sound: str) -> None:
    spec = replace(POCKET, native_audio=native)
    assert words.readout(spec, "128x128", 2) == f"17 frames at 8 per second, 512 × 512 (drawn at 128 × 128), {sound}"
    assert "832 × 480, " in words.readout(spec, "832x480", 2), "what is written as it is drawn is told once"


@pytest.mark.parametrize(("channels", "loudness", "offset", "said"), [
    (1, -16.2, 0.0, "Mono sound · 48 kHz · −16 LUFS · in step with the picture"),
    (2, None, 0.03, "Stereo sound · 48 kHz · 30 ms behind the picture"),
    (2, None, -0.012, "Stereo sound · 48 kHz · 12 ms ahead of the picture"), (1, None, None, "Mono sound · 48 kHz"),
])
def test_sound_is_told_as_measured(channels: int, loudness: float | None, offset: float | None, said: str) -> None:
    audio = AudioInfo(sample_rate=48_000, channels=channels, seconds=2.0, loudness=loudness, offset=offset)
    assert words.sound_of(audio) == said


@pytest.mark.parametrize(("size", "seconds"), [("", 2), ("128x128", None), ("128x128", float("nan")), (None, "x")])
def test_readout_of_nonsense_is_a_sentence(size: object, seconds: object) -> None:
    assert words.readout(POCKET, size, seconds) == "Choose a shape and a length."  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["", "128", "ax b", "-1x4", "1e3x4", "9" * 5000 + "x1", "²x3", None])
def test_a_size_that_is_none_names_the_field(text: str) -> None:
    with pytest.raises(InvalidRequest, match="^size: "):
        words.parse_size(text)


def test_durations() -> None:
    assert [words.duration(s) for s in (0.2, 8.4, 89, 125)] == ["1 s", "8 s", "89 s", "2 min 5 s"]


def test_what_becomes_of_words_to_say_depends_on_the_model() -> None:
    silent = replace(POCKET, native_audio=False)
    assert "babbles" in words.say_hint("reference", POCKET) and "babbles" in words.say_hint("text", POCKET)
    assert "character1" in words.say_hint("reference", silent) and "spoken aloud" in words.say_hint("text", silent)
