"""Pieces make the same sound as the whole; the pattern of files that were written stays the pattern."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from wan_app.families.parts.recording import resampled
from wan_app.media.marks.sound_carriers import (
    BANDS,
    CODED,
    PERIOD,
    PILOT,
    SLOTS,
    band_power,
    carriers,
    evidence,
    roughness,
)
from wan_app.media.marks.sound_spectra import BINS, RATE, at_rate, changed, spectra


def sound(seconds: float, rate: int) -> np.ndarray:
    """float32 (2, n): a tone in each channel."""
    t = np.arange(round(seconds * rate)) / rate
    both = np.stack([np.sin(2 * np.pi * 440 * t), 0.5 * np.sin(2 * np.pi * 3000.7 * t)])
    return (0.3 * both).astype(np.float32)


@pytest.mark.parametrize("rate, to", [(48_000, 16_000), (16_000, 44_100), (22_050, 16_000), (44_101, 16_000)])
def test_resampled_in_pieces_as_in_one(rate: int, to: int) -> None:
    samples = sound(25, rate)
    pieces, whole = at_rate(samples, rate, to), resampled(samples, rate, to)
    assert pieces.shape == whole.shape
    inside = slice(to // 2, -to // 2)  # a sound that is cut off rings at its ends, in each way of its own
    assert np.abs(pieces - whole)[:, inside].max() < 1e-3


def test_spectra_and_back() -> None:
    samples = sound(21.3, RATE)
    assert sum(block.shape[1] for block in spectra(samples)) == samples.shape[1] // 160 + 1
    same = changed(samples, lambda block, first: block)
    assert np.abs(same - samples)[:, 480:-480].max() < 1e-5


def test_the_pattern_never_changes() -> None:
    """Or files that were written before could not be read."""
    pattern = carriers()
    digest = hashlib.sha256(pattern.bit.astype("<i2").tobytes() + pattern.sign.astype("<i2").tobytes())
    assert digest.hexdigest()[:16] == "231ffe53e419c748"


def test_every_band_knows_the_pilot_and_a_few_bands_know_every_bit() -> None:
    bit, sign = carriers()
    assert ((bit == PILOT).sum(axis=0) == 4).all() and abs(sign.mean()) < 0.1
    for first in range(BANDS - 20):
        assert len(np.unique(bit[:, first : first + 20])) == CODED + 1


def test_what_is_louder_is_felt_and_what_is_silent_weighs_nothing() -> None:
    power = np.random.default_rng(0).exponential(size=(4 * PERIOD, BINS))
    plain = evidence(band_power(power))[0]
    power[200:205, 100:104] *= 10
    says, weight = evidence(band_power(power))
    band = (100 - 10) // 4
    assert says[202, band] > plain[202, band] + 0.3 and says.shape == (4 * PERIOD, BANDS)
    assert weight.min() > 0 and not evidence(np.zeros((50, BANDS)))[1].any()
    assert SLOTS * 5 == PERIOD


def test_noise_is_rough_and_a_tone_is_smooth() -> None:
    power = np.random.default_rng(0).exponential(size=(4 * PERIOD, BINS))
    assert np.median(roughness(evidence(band_power(power))[1])) > 1
    power[:] = 1.0
    assert roughness(evidence(band_power(power))[1])[PERIOD:-PERIOD].max() < 0.01


def test_bands_follow_the_speed() -> None:
    power = np.zeros((1, BINS))
    power[0, 103] = 1.0  # in band 23, from bin 102; 2 % higher it begins at bin 104
    assert band_power(power)[0, 23] == 1 and band_power(power, 1.02)[0, 22] == pytest.approx(1)
