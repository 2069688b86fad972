"""Loudness agrees with ffmpeg's meter; sound brought to a loudness gets there without clipping."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
import soundfile

from tests.media.conftest import voice
from wan_app.media.loudness import CEILING, MAKE_UP_DB, TARGET_LUFS, at_loudness, audible, limited, loudness


def ebur128(file: Path) -> float:
    """Integrated loudness by ffmpeg, to 0.1 LU."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostats", "-i", str(file), "-af", "ebur128", "-f", "null", "-"]
    said = subprocess.run(command, capture_output=True, text=True).stderr
    return float(re.findall(r"I:\s+(-?[\d.]+) LUFS", said)[-1])


@pytest.mark.parametrize("rate", [16_000, 24_000, 44_100, 48_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_it_agrees_with_ffmpegs_meter(tmp_path: Path, rate: int, channels: int) -> None:
    # A pause and a quiet part, so that both gates have something to leave out.
    parts = [voice(3, rate), np.zeros(rate, np.float32), 0.02 * voice(2, rate)]
    samples = np.stack([np.concatenate(parts)] * channels)
    soundfile.write(tmp_path / "a.wav", samples.T, rate, subtype="FLOAT")
    assert loudness(samples, rate) == pytest.approx(ebur128(tmp_path / "a.wav"), abs=0.15)


def test_the_standards_own_reference() -> None:
    """BS.1770: a full-scale sine of 997 Hz in one channel reads -3.01 LUFS."""
    tone = np.sin(2 * np.pi * 997 * np.arange(96_000) / 48_000)[None]
    assert loudness(tone, 48_000) == pytest.approx(-3.01, abs=0.02)


def test_silence_has_none_and_a_short_sound_has_one() -> None:
    assert loudness(np.zeros((1, 48_000), np.float32), 48_000) is None
    assert loudness(np.zeros((1, 0), np.float32), 48_000) is None
    assert loudness(voice(0.2)[None], 16_000) is not None


@pytest.mark.parametrize("gain", [1e-2, 0.3, 2.0])
@pytest.mark.parametrize("target", [-23.0, -16.0])
def test_brought_to_a_loudness(gain: float, target: float) -> None:
    brought = at_loudness(voice()[None] * np.float32(gain), 16_000, target)
    assert brought.dtype == np.float32 and np.abs(brought).max() <= CEILING + 1e-6
    assert loudness(brought, 16_000) == pytest.approx(target, abs=0.1)


def test_silence_and_hiss_are_not_blown_up() -> None:
    silence = np.zeros((1, 16_000), np.float32)
    assert not at_loudness(silence, 16_000).any()
    hiss = (1e-4 * np.random.default_rng(0).standard_normal((1, 16_000))).astype(np.float32)
    assert np.abs(at_loudness(hiss, 16_000)).max() < 0.1


def test_the_limiter_turns_peaks_down_and_leaves_the_rest() -> None:
    quiet = 0.2 * np.sin(2 * np.pi * 300 * np.arange(48_000) / 48_000).astype(np.float32)
    loud = np.stack([quiet, quiet])
    loud[0, 24_000] = 3.0
    held = limited(loud, 48_000)
    assert np.abs(held).max() <= CEILING + 1e-6
    assert np.array_equal(held[:, :23_000], loud[:, :23_000])
    assert np.array_equal(held[:, 25_000:], loud[:, 25_000:])
    # Both channels alike, or a peak on one side would move the sound to the other.
    assert held[1, 24_010] / loud[1, 24_010] == pytest.approx(held[0, 24_010] / loud[0, 24_010], rel=1e-5)
    assert held[1, 24_010] < 0.5 * loud[1, 24_010]


@pytest.mark.parametrize("quieter", [0, 6, 30])
def test_quiet_sound_is_raised_by_so_much_and_no_more(quieter: int) -> None:
    sound = at_loudness(voice()[None], 16_000) * np.float32(10 ** (-quieter / 20))
    before, after = loudness(sound, 16_000), loudness(audible(sound, 16_000), 16_000)
    assert before is not None and after is not None
    assert after == pytest.approx(min(TARGET_LUFS, before + MAKE_UP_DB), abs=0.4)
    loud = at_loudness(voice()[None], 16_000, TARGET_LUFS + 2)
    assert audible(loud, 16_000) is loud
    assert not audible(np.zeros((1, 16_000), np.float32), 16_000).any()
