"""For families with sound of their own: words to say put into the prompt, and sound as long as the clip."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from wan_app.families.base import Numbers, numbers_of, prompt_calling
from wan_app.families.spec import ModelSpec
from wan_app.families.speech.lines import spoken_lines
from wan_app.types import GenerationRequest

if TYPE_CHECKING:
    import numpy as np


def numbers_with_sound(request: GenerationRequest, spec: ModelSpec) -> Numbers:
    """The numbers of a resolved request; for sound alone with the smallest picture, which is thrown away."""
    numbers = numbers_of(request)
    return numbers._replace(width=spec.min_side, height=spec.min_side) if request.sound_only else numbers


def prompt_saying(request: GenerationRequest, words: Sequence[str] = (), nobody: str = "A voice") -> str:
    """The prompt with what `say` wants said at its end, in quotes, as these models know speech.

    Args:
        words: what each character is called in the model's own words, as for `prompt_calling`.
        nobody: who says a line that belongs to no character.
    """
    prompt = prompt_calling(request, words)
    if not request.say.strip():
        return prompt
    called = {one.name: word for one, word in zip(request.characters, words)}
    lines = [(called.get(line.character or "", nobody), line.text) for line in spoken_lines(request)]
    return " ".join([prompt, *(f'{who[:1].upper()}{who[1:]} says: "{text}"' for who, text in lines)])


def sound_of(waveform: Any, sample_rate: int, seconds: float) -> np.ndarray:
    """A torch waveform as float32 (channels, samples) in [-1, 1], exactly `seconds` long.

    Vocoders end some milliseconds before the picture or after it.

    Args:
        waveform: (1, channels, samples) or (channels, samples).
    """
    import numpy as np

    samples = waveform.detach().float().cpu().numpy()
    samples = samples[0] if samples.ndim == 3 else samples
    length = round(seconds * sample_rate)
    samples = np.pad(samples[:, :length], ((0, 0), (0, max(0, length - samples.shape[1]))))
    return np.ascontiguousarray(np.clip(np.nan_to_num(samples), -1, 1), dtype=np.float32)
