"""Who speaks in the cartoon world: procedural voices, and the controls of their babble.

A voice is a register (median F0), a pitch pattern, a vocal tract (formants), tilt, breath and a rhythm. Syllables
open and close with the drawn mouth: `opening` is the one envelope of both.
"""

from __future__ import annotations

import math

import torch

from wan_app.likeness.vocoder import FLOOR, Controls, band_centres

CONTOURS = ("fall", "rise", "zigzag", "level")
# F1, F2, F3 in Hz of ee, eh, ah, oh, oo in a tract of length 1.
VOWELS = (
    (300.0, 2250.0, 2950.0),
    (500.0, 1850.0, 2550.0),
    (760.0, 1300.0, 2450.0),
    (500.0, 900.0, 2350.0),
    (330.0, 780.0, 2200.0),
)
LOWEST_F0, HIGHEST_F0 = 85.0, 330.0
_FORMANT_GAIN = (1.0, 0.55, 0.3)
_BANDWIDTH = (70.0, 100.0, 140.0)
TAU = 2 * math.pi

Numbers = dict[str, torch.Tensor]


def is_held_out_voice(numbers: Numbers) -> torch.Tensor:
    """True (N,) for voices that are never trained: one in ten cells of register, tract and pattern."""
    register = (numbers["f0"] / LOWEST_F0).log2().mul(6).floor()
    tract = numbers["tract"].mul(20).floor()
    return (register * 3 + tract * 7 + numbers["contour"] * 5) % 10 == 0


def sample_voices(count: int, generator: torch.Generator, *, held_out: bool = False) -> Numbers:
    """`count` random voices, as float tensors (count,) by name: of the trained ones, or of the held-out ones."""
    kept: list[Numbers] = []
    have = 0
    while have < count:
        batch = _sample(max(64, 16 * count if held_out else 2 * count), generator)
        fits = is_held_out_voice(batch) == held_out
        kept.append({name: value[fits] for name, value in batch.items()})
        have += int(fits.sum())
    return {name: torch.cat([part[name] for part in kept])[:count] for name in kept[0]}


def _sample(n: int, generator: torch.Generator) -> Numbers:
    def uniform(low: float, high: float) -> torch.Tensor:
        return torch.rand(n, generator=generator) * (high - low) + low

    return {
        "f0": LOWEST_F0 * (HIGHEST_F0 / LOWEST_F0) ** uniform(0, 1),
        "contour": torch.randint(len(CONTOURS), (n,), generator=generator).float(),
        "range": uniform(1.0, 4.0),  # semitones from the lowest to the highest
        "tract": uniform(0.82, 1.22),
        "tilt": uniform(5.0, 15.0),  # dB an octave
        "breath": uniform(0.0, 1.0),
        "syllables": uniform(1.6, 3.0),  # a second
        "accent": uniform(0.0, 0.5),  # by how much every second syllable is weaker
        "words": uniform(0, 1),
    }


def opening(numbers: Numbers, seconds: torch.Tensor) -> torch.Tensor:
    """Mouth opening while speaking (N, T) in [0, 1] at `seconds` (T,)."""
    cycles = _cycles(numbers, seconds)
    weak = (cycles.floor() % 2) * numbers["accent"][:, None]
    return (0.5 - 0.5 * torch.cos(TAU * cycles)) * (1 - weak)


def speech(numbers: Numbers, seconds: torch.Tensor) -> Controls:
    """The babble of N voices at the moments `seconds` (T,), 80 a second."""
    cycles, open_ = _cycles(numbers, seconds), opening(numbers, seconds)
    column = {name: value[:, None] for name, value in numbers.items()}
    f0 = column["f0"] * 2 ** (column["range"] * _pitch_pattern(column["contour"], cycles) / 12)
    syllable = cycles.floor()
    formants = _formants(syllable, open_, column)
    centres = band_centres().to(f0.device)
    resonance = sum(
        gain / torch.sqrt(1 + ((centres - formants[..., i : i + 1]) / (1.4 * width * column["tract"][..., None])) ** 2)
        for i, (gain, width) in enumerate(zip(_FORMANT_GAIN, _BANDWIDTH))
    )
    tilt = (centres / 250).clamp(min=1).log2() * column["tilt"][..., None] / 20
    voiced = torch.log10(resonance + 0.01) - tilt
    # Equal loudness for all registers: a low voice has more harmonics in the same bands.
    level = torch.log10(open_[..., None] ** 1.3 + 1e-5) - 0.9 + 0.5 * torch.log10(column["f0"][..., None] / 150)
    harmonic = (voiced + level).clamp(min=FLOOR)
    air = torch.log10(resonance + 0.05) + 0.25 * (centres / 1500).log2().clamp(-1, 2)
    breath = air + level - 0.55 + 0.9 * (column["breath"][..., None] - 1)
    return Controls(f0, harmonic, torch.maximum(breath, _hiss(cycles, column, centres)).clamp(min=FLOOR))


def _cycles(numbers: Numbers, seconds: torch.Tensor) -> torch.Tensor:
    """Syllables spoken so far (N, T)."""
    return numbers["syllables"][:, None] * seconds + numbers["phase"][:, None]


def _pitch_pattern(contour: torch.Tensor, cycles: torch.Tensor) -> torch.Tensor:
    """Where the pitch is within its range, -0.5 to 0.5 (N, T); phrases of two syllables."""
    phrase = (cycles / 2) % 1
    level = 0.08 * torch.sin(TAU * cycles)
    pattern = torch.where(contour == 0, 0.5 - phrase, level)
    pattern = torch.where(contour == 1, phrase - 0.5, pattern)
    return torch.where(contour == 2, 0.5 * torch.sin(math.pi * cycles), pattern)


def _chance(index: torch.Tensor, words: torch.Tensor, salt: float) -> torch.Tensor:
    """A number in [0, 1) for every syllable, the same each time: what is said is a matter of `words`."""
    return (torch.sin(index * 12.9898 + words * 78.233 + salt) * 43758.547) % 1


def _formants(syllable: torch.Tensor, open_: torch.Tensor, column: Numbers) -> torch.Tensor:
    """F1, F2, F3 (N, T, 3) in Hz."""
    vowel = (_chance(syllable, column["words"], 0.0) * len(VOWELS)).long().clamp(max=len(VOWELS) - 1)
    table = torch.tensor(VOWELS, device=syllable.device)[vowel] * column["tract"][..., None]
    # A wider mouth raises the first formant.
    return torch.cat([table[..., :1] * (0.85 + 0.2 * open_[..., None]), table[..., 1:]], -1)


def _hiss(cycles: torch.Tensor, column: Numbers, centres: torch.Tensor) -> torch.Tensor:
    """Consonants (N, T, BANDS): a short hiss as every second syllable or so begins."""
    since = cycles % 1
    loud = (_chance(cycles.floor(), column["words"], 5.0) > 0.5).float()
    rise = torch.exp(-(((since - 0.1) / 0.06) ** 2)) * loud
    place = 3200 + 2200 * _chance(cycles.floor(), column["words"], 9.0)
    shape = -(((centres / place[..., None]).log2() / 0.6) ** 2)
    return torch.log10(rise[..., None] + 1e-4) - 1.5 + shape
