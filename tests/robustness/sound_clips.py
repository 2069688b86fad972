"""The sounds of the robustness table: what the app makes, recordings that came with gradio, worst cases.

Each is float32 (channels, n) with its rate, made the same on every machine, and unmarked.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tests.robustness.clips import media
from tests.robustness.sound_attacks import decoded
from wan_app.media.marks.sound_spectra import at_rate

RATE = 48_000  # what exports are written at
Clip = tuple[np.ndarray, int]
RECORDINGS = {
    "speech, 8 s": "audio/cate_blanch.mp3",
    "speech, 3 s": "audio/heath_ledger.mp3",
    "speech, 1 s, 8 kHz": "audio/audio_sample.wav",
    "music, 3 s": "audio/cantina.wav",
    "saxophone, 16 s": "audio/sax.wav",
    "stereo recording, 3 s": "audio/recording1.wav",
}


def clips() -> dict[str, np.ndarray]:
    """float32 (channels, n) at RATE by name; first the app's own."""
    made = {name: at_rate(samples, rate, RATE) for name, (samples, rate) in _places(seed=5)}
    made |= {name: decoded(media(file), RATE) for name, file in RECORDINGS.items()}
    return made | {"chords with a beat, 6 s": chords(6.0), "white noise, 2 s": noise(2.0)}


def unmarked(count: int) -> Iterator[Clip]:
    """`count` different sounds without a mark: the app's world, recordings, music, noise; cut, mixed, slowed down."""
    random = np.random.default_rng(7)
    sounds = [(samples, rate) for seed in range(8) for _, (samples, rate) in _places(seed=100 + seed, each=4)]
    sounds += [(decoded(media(file), RATE), RATE) for file in RECORDINGS.values()]
    sounds += [(chords(8.0, seed), RATE) for seed in range(6)] + [(noise(4.0), RATE)]
    for _ in range(count):
        samples, rate = sounds[random.integers(len(sounds))]
        other, other_rate = sounds[random.integers(len(sounds))]
        length = min(samples.shape[1], round(random.uniform(1, 30) * rate))
        start = random.integers(samples.shape[1] - length + 1)
        part = samples[:, start : start + length].mean(axis=0, keepdims=True)
        if random.random() < 0.5:
            beside = at_rate(other.mean(axis=0, keepdims=True), other_rate, rate)[:, :length]
            part[:, : beside.shape[1]] += random.uniform(0.1, 1.0) * beside
        yield at_rate(part, rate, round(rate * random.uniform(0.9, 1.1))), rate


def chords(seconds: float, seed: int = 1) -> np.ndarray:
    """float32 (2, n) at RATE: plucked chords, a new one each half second, over a drum at 120 beats a minute."""
    random = np.random.default_rng(seed)
    t = np.arange(round(0.5 * RATE)) / RATE
    parts = []
    for _ in range(round(seconds * 2)):
        notes = 220 * 2 ** (random.choice([0, 2, 3, 5, 7, 8, 10, 12], 3, replace=False) / 12)
        rings = [np.sin(2 * np.pi * n * k * t) / k * np.exp(-t * k * 2) for n in notes for k in range(1, 9)]
        drum = np.exp(-t * 60) * random.standard_normal(t.size)
        parts.append(np.stack([sum(rings[::2]), sum(rings[1::2])]) + 0.5 * drum)
    wave = np.concatenate(parts, axis=1)
    return (0.5 * wave / np.abs(wave).max()).astype(np.float32)


def noise(seconds: float) -> np.ndarray:
    """float32 (1, n) at RATE."""
    return (0.1 * np.random.default_rng(2).standard_normal((1, round(seconds * RATE)))).astype(np.float32)


def _places(*, seed: int, each: int = 1) -> Iterator[tuple[str, Clip]]:
    """Clips of the bundled model's world, 2 s at 16 kHz: two voices for each one of every place, the quietest."""
    import torch

    from wan_app.likeness.vocoder import SAMPLE_RATE, synthesise
    from wan_app.likeness.world.attributes import ACTIONS, PLACES, sample_scenes
    from wan_app.likeness.world.sounds import clip_sound

    generator = torch.Generator().manual_seed(seed)
    scenes = sample_scenes(64 + 32 * each, generator)
    waves = synthesise(clip_sound(scenes), generator).clamp(-1, 1).numpy()
    talks = (scenes.classes["action"] == ACTIONS.index("talk")).numpy()
    place = scenes.classes["place"].numpy()
    quietest = np.argsort(waves.std(axis=1))
    kinds = {"babble": quietest[talks[quietest]][: 2 * each]}
    kinds |= {
        name: quietest[(~talks & (place == index))[quietest]][:each] for index, name in enumerate(PLACES)
    }
    for name, rows in kinds.items():
        for number, row in enumerate(rows):
            yield f"{name} {number + 1}" if len(rows) > 1 else name, (waves[row][None], SAMPLE_RATE)
