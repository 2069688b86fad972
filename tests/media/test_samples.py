"""Cutting, resampling and mixing."""

from __future__ import annotations

import numpy as np
import pytest

from tests.media.conftest import voice
from wan_app.families.parts.recording import resampled
from wan_app.media.loudness import CEILING
from wan_app.media.samples import Sound, fit, mix
from wan_app.media.sound import loudness
from wan_app.media.sync import lag


def sine(rate: int, seconds: float = 1.0, frequency: float = 440.0) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * frequency * np.arange(round(rate * seconds)) / rate).astype(np.float32)[None]


@pytest.mark.parametrize(("rate", "to"), [(16_000, 48_000), (44_100, 48_000), (48_000, 16_000), (24_000, 44_100)])
@pytest.mark.parametrize("seconds", [1.0, 0.51234])
def test_resampled_sound_is_the_same_sound(rate: int, to: int, seconds: float) -> None:
    made = resampled(sine(rate, seconds), rate, to)
    length = round(round(rate * seconds) * to / rate)
    assert made.shape == (1, length) and made.dtype == np.float32
    middle = slice(length // 10, -length // 10)  # it may ring where it begins and ends
    assert np.abs(made - sine(to, 2.0)[:, :length])[:, middle].max() < 2e-3


def test_what_the_lower_rate_cannot_hold_is_gone() -> None:
    high = resampled(sine(48_000, frequency=11_000), 48_000, 16_000)
    assert np.abs(high[:, 1_600:-1_600]).max() < 1e-2


def test_nothing_comes_round_from_the_end() -> None:
    click = np.zeros((1, 16_000), np.float32)
    click[0, -1] = 1.0
    assert np.abs(resampled(click, 16_000, 48_000)[:, :2_400]).max() < 2e-3


@pytest.mark.parametrize("seconds", [0.0, 0.3, 1.0, 2.0])
def test_fit_is_exact(seconds: float) -> None:
    sound = Sound(sine(16_000), 16_000, ("said",))
    fitted = fit(sound, seconds)
    assert fitted.samples.shape == (1, round(seconds * 16_000)) and fitted.repairs == ("said",)
    kept = min(round(seconds * 16_000), 16_000) - (480 if seconds < 1 else 0)
    assert np.array_equal(fitted.samples[:, :max(0, kept)], sound.samples[:, :max(0, kept)])
    assert not fitted.samples[:, 16_000:].any()
    if 0 < seconds < 1:
        assert fitted.samples[0, -1] == 0  # faded, no click
    assert np.array_equal(sound.samples, sine(16_000))


def test_mix_takes_the_better_of_both() -> None:
    under = Sound(np.concatenate([sine(48_000, 3), -sine(48_000, 3)]), 48_000, ("a",))
    over = Sound(voice(2)[None], 16_000, ("b",))
    mixed = mix(under, over)
    assert mixed.sample_rate == 48_000 and mixed.samples.shape == (2, 96_000) and mixed.repairs == ("a", "b")
    raised = resampled(over.samples, 16_000, 48_000)
    assert np.abs(mixed.samples[0] - mixed.samples[1]).max() == pytest.approx(1.0, abs=0.01)
    assert np.abs(mixed.samples.mean(axis=0) - raised[0]).max() < 0.15  # up to what the limiter took
    assert np.abs(mixed.samples).max() <= CEILING + 1e-6


@pytest.mark.parametrize("gain", [0.01, 1.0])
def test_a_quiet_soundtrack_lies_so_far_below(gain: float) -> None:
    over = Sound(voice(2)[None], 16_000)
    under = Sound(sine(16_000, 2, 5_000) * np.float32(gain), 16_000)
    left = mix(under, over, quieter=14.0).samples - over.samples
    below, above = loudness(left, 16_000), loudness(over.samples, 16_000)
    assert below is not None and above is not None and above - below == pytest.approx(14, abs=0.3)


def test_a_short_sound_under_a_long_one_ends() -> None:
    mixed = mix(Sound(sine(16_000, 0.5), 16_000), Sound(np.zeros((1, 32_000), np.float32), 16_000), quieter=14.0)
    assert mixed.samples[:, :8_000].any() and not mixed.samples[:, 8_000:].any()


@pytest.mark.parametrize("late", [-0.3, -0.0213333, 0.0, 0.001, 0.25])
@pytest.mark.parametrize("rate", [16_000, 48_000])
def test_lag(late: float, rate: int) -> None:
    sent, shift = voice(2, rate)[None], round(late * rate)
    moved = np.pad(sent, ((0, 0), (max(0, shift), 0)))[:, max(0, -shift):]
    found, likeness = lag(moved, sent, rate)
    assert found == pytest.approx(shift / rate, abs=1 / 16_000) and likeness > 0.9


def test_another_sound_and_silence_are_unlike() -> None:
    noise = np.random.default_rng(0).standard_normal((1, 32_000)).astype(np.float32)
    assert lag(noise, voice(2)[None], 16_000)[1] < 0.1
    assert lag(np.zeros((2, 16_000)), noise, 16_000) == (0.0, 0.0)
