"""A voice brought nearer to a recording: its pitch and colour arrive, its melody and everything else stay."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from wan_app.likeness import hearing
from wan_app.likeness.revoicing import revoiced
from wan_app.likeness.similarity import voice_agreement
from wan_app.likeness.training.sound import recordings
from wan_app.likeness.vocoder import SAMPLE_RATE, Controls, synthesise
from wan_app.likeness.voice import LikenessVoiceEncoder
from wan_app.likeness.world.attributes import ACTIONS, sample_scenes
from wan_app.likeness.world.sounds import clip_sound


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def clip(action: str = "talk", seed: int = 3) -> tuple[Controls, dict[str, torch.Tensor]]:
    scenes = sample_scenes(1, seeded(seed))
    scenes.classes["action"][:] = ACTIONS.index(action)
    scenes.numbers["chatty"][:] = 0
    return clip_sound(scenes), scenes.numbers


def heard(controls: Controls) -> np.ndarray:
    return synthesise(controls, seeded(1))[0].numpy()


@pytest.mark.parametrize("semitones", [-7, 5])
def test_pitch_and_colour_arrive_and_the_melody_stays(semitones: int) -> None:
    controls, numbers = clip()
    numbers = {**numbers, "f0": numbers["f0"] * 2 ** (semitones / 12), "tract": numbers["tract"] * 0.85}
    voice = recordings(numbers, 3.0, seeded(2))[0].numpy()
    made = revoiced(controls, voice)
    before, after = heard(controls), heard(made)
    assert abs(hearing.semitones(hearing.median_pitch(before), hearing.median_pitch(voice))) > 4
    assert abs(hearing.semitones(hearing.median_pitch(after), hearing.median_pitch(voice))) < 0.3
    away = [np.abs(hearing.colour(one) - hearing.colour(voice)).mean() for one in (before, after)]
    assert away[1] < 0.6 * away[0]
    # One factor for all moments, and the same loud and quiet ones.
    assert torch.allclose((made.f0 / controls.f0).log2().std(), torch.tensor(0.0), atol=1e-4)
    loud = [hearing.envelope(one, 20, 40) for one in (before, after)]
    assert hearing.correlation(*loud) > 0.9


def test_what_is_no_speech_stays_as_it_is() -> None:
    controls, _ = clip("sit")
    _, numbers = clip()
    voice = recordings(numbers, 3.0, seeded(2))[0].numpy()
    assert revoiced(controls, voice) is controls
    spoken, _ = clip()
    hiss = 0.1 * np.random.default_rng(0).standard_normal(2 * SAMPLE_RATE).astype(np.float32)
    assert revoiced(spoken, hiss) is spoken


def test_agreement_is_measured_and_silence_has_none() -> None:
    torch.manual_seed(0)
    encoder = LikenessVoiceEncoder(dim=24, layers=1, heads=1)
    controls, _ = clip()
    low, high = heard(controls), heard(replace(controls, f0=controls.f0 * 2 ** (3 / 12)))
    same, other = voice_agreement(encoder, low, low), voice_agreement(encoder, low, high)
    assert same is not None and other is not None
    assert same.pitch == 0 and same.timbre == pytest.approx(1, abs=1e-3)
    assert other.pitch == pytest.approx(3, abs=0.2)
    assert voice_agreement(encoder, low, np.zeros(SAMPLE_RATE, np.float32)) is None
