"""The speaking world, the vocoder and the measures of sound: all on the world's own truth."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from wan_app.likeness import hearing
from wan_app.likeness.audio import LikenessAudioAutoencoder, sounds_before, sounds_of
from wan_app.likeness.training.parallel import Rank
from wan_app.likeness.training.sound import SCALE, Recordings, recordings, standardised
from wan_app.likeness.vocoder import BANDS, FLOOR, HOP, MELS, SAMPLE_RATE, Controls, log_mel, synthesise
from wan_app.likeness.voice import KINDS, LikenessVoiceEncoder
from wan_app.likeness.world.attributes import ACTIONS, FPS, PLACES, Scenes, sample_scenes
from wan_app.likeness.world.motion import mouth_opening, speaks
from wan_app.likeness.world.render import clip_times
from wan_app.likeness.world.sounds import clip_sound
from wan_app.likeness.world.voices import is_held_out_voice, sample_voices


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def doing(action: str, count: int = 8, place: str = "moon") -> Scenes:
    scenes = sample_scenes(count, seeded(3))
    scenes.classes["action"][:] = ACTIONS.index(action)
    scenes.classes["place"][:] = PLACES.index(place)
    scenes.numbers["chatty"][:] = 0
    return scenes


def sound_of(scenes: Scenes) -> np.ndarray:
    return synthesise(clip_sound(scenes), seeded(1)).numpy()


@pytest.mark.parametrize("hertz", [90.0, 160.0, 310.0])
def test_the_vocoder_sings_in_tune(hertz: float) -> None:
    bands = torch.full((1, 80, BANDS), -1.5)
    sung = synthesise(Controls(torch.full((1, 80), hertz), bands, torch.full_like(bands, FLOOR)))
    assert sung.shape == (1, 80 * HOP)
    assert np.median(hearing.pitch_track(sung[0].numpy())) == pytest.approx(hertz, rel=0.004)


def test_silence_is_silent_and_noise_has_no_pitch() -> None:
    f0, quiet = torch.full((1, 80), 120.0), torch.full((1, 80, BANDS), FLOOR)
    assert float(synthesise(Controls(f0, quiet, quiet)).abs().max()) < 1e-6
    hiss = synthesise(Controls(f0, quiet, torch.full_like(quiet, -1.5)), seeded())[0].numpy()
    assert len(hearing.pitch_track(hiss)) < 10 and np.sqrt((hiss**2).mean()) > 0.01


def test_a_spectrogram_has_a_frame_for_every_control() -> None:
    assert log_mel(torch.randn(2, 34_000)).shape == (2, 170, MELS)


def test_sound_follows_the_mouth_and_shifted_sound_is_found_out() -> None:
    scenes = doing("talk")
    mouths = mouth_opening(scenes, clip_times()).numpy()
    for mouth, sound in zip(mouths, sound_of(scenes)):
        loud = hearing.envelope(sound, FPS, 17)
        assert hearing.correlation(mouth, loud) > 0.8 and hearing.best_lag(mouth, loud) == 0
        late = np.concatenate([np.zeros(3 * SAMPLE_RATE // 8, np.float32), sound])[: len(sound)]
        shifted = hearing.envelope(late, FPS, 17)
        assert hearing.correlation(mouth, shifted) < 0.7
        assert hearing.best_lag(mouth[3:], shifted[3:]) != 0


def test_pitch_and_rhythm_are_those_of_the_voice() -> None:
    scenes = doing("talk", 12)
    said = recordings(scenes.numbers, 3.0, seeded(2)).numpy()
    made = sound_of(scenes)
    pitch = [
        hearing.semitones(*(float(np.median(hearing.pitch_track(x))) for x in pair)) for pair in zip(made, said)
    ]
    assert np.median(np.abs(pitch)) < 0.7
    for samples, rate in zip(said, scenes.numbers["syllables"].tolist()):
        assert hearing.syllable_rate(samples) == pytest.approx(rate, rel=0.08)


def test_colour_tells_voices_apart() -> None:
    voices = sample_voices(10, seeded(4))
    first, second = (
        np.stack([hearing.colour(x) for x in recordings(voices, 3.0, seeded(n)).numpy()]) for n in (5, 6)
    )
    found = ((first[:, None] - second[None]) ** 2).sum(-1).argmin(1)
    assert (found == np.arange(10)).mean() > 0.5


def test_places_sound_by_themselves_and_steps_are_heard_on_the_beat() -> None:
    still, walking = sound_of(doing("sit", place="beach")), sound_of(doing("walk", place="room"))
    loud = np.sqrt((still**2).mean(1))
    assert (loud > 3e-3).all() and all(len(hearing.pitch_track(one)) < 40 for one in still)
    quiet = sound_of(doing("sit", place="room"))
    assert (walking**2).mean() > 3 * (quiet**2).mean()


def test_some_talk_while_they_do_something_else() -> None:
    scenes = doing("wave")
    assert not speaks(scenes).any()
    scenes.numbers["chatty"][:4] = 1
    assert speaks(scenes).tolist() == [True] * 4 + [False] * 4
    assert (mouth_opening(scenes, clip_times()).amax(1) > 0.4).tolist() == [True] * 4 + [False] * 4


def test_no_held_out_voice_is_trained_and_there_are_enough_of_both() -> None:
    trained, held = sample_voices(300, seeded(1)), sample_voices(300, seeded(2), held_out=True)
    assert not is_held_out_voice(trained).any() and is_held_out_voice(held).all()
    for numbers in (trained, held):
        assert len(numbers["f0"]) == 300 and numbers["f0"].log2().std() > 0.4
    assert is_held_out_voice(sample_scenes(50, seeded(), held_out=True).numbers).all()


def test_latents_of_sound_and_the_frames_they_belong_to() -> None:
    model = LikenessAudioAutoencoder(channels=6, width=16)
    with torch.no_grad():
        latents = model.encode(torch.randn(1, 34_000))
        assert latents.shape == (1, 6, 34) == (1, 6, sounds_of(5))
        assert model.decode(latents).shape == (1, 34_000)
    # Frame 12 begins window two: half a second before the last frame of window one.
    assert (sounds_before(12), sounds_of(2)) == (24, 10)


def test_a_voice_has_its_parts_by_name_and_loudness_is_not_one_of_them() -> None:
    torch.manual_seed(0)
    encoder = LikenessVoiceEncoder(dim=24, layers=1, heads=1)
    said = recordings(sample_voices(3, seeded()), 2.0, seeded())
    with torch.no_grad():
        tokens, louder = encoder(said), encoder(said * 3)
        told = encoder.numbers(tokens)
    assert all(getattr(tokens, kind).shape == (3, 2, 24) for kind in KINDS)
    assert tokens.stacked().shape == (3, 6, 24)
    assert torch.allclose(tokens.stacked(), louder.stacked(), atol=0.05)
    assert {"f0", "syllables", "tract", "contour"} <= set(told) and told["contour"].shape == (3, 4)


def test_the_pool_of_recordings_is_refreshed_in_turn() -> None:
    pool = Recordings(Rank(0, 1, "cpu"), 32)
    before = pool.voices["f0"].clone()
    pool.refresh(4)
    assert (pool.voices["f0"] != before).tolist() == [True] * 4 + [False] * 28
    (first, second), voices = pool.batch(5, 2.0)
    assert first.shape == second.shape == (5, 160, MELS) and not torch.equal(first, second)
    assert len(voices["tract"]) == 5


def test_what_the_heads_tell_is_standardised() -> None:
    voices = sample_voices(2000, seeded())
    for name in SCALE:
        value = standardised(voices, name)
        assert abs(float(value.mean())) < 0.25 and 0.8 < float(value.std()) < 1.2, name
