"""A cast as MiniMax H3 takes it: pictures and recordings in one order, called by number in the prompt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import Image

from wan_app.families.parts.recording import Recording
from wan_app.types import GenerationRequest

# Stands for the face of a voice that is heard alone: the model takes no sound without a picture.
_NOBODY = (128, 128, 128)
# Pictures longer than this to a side are refused by the model.
_LONGEST = 4


def character_words(request: GenerationRequest) -> list[str]:
    """What each character is called: by the number of its first picture."""
    words, number = [], 1
    for one in request.characters:
        words.append(f"the person in <Picture {number}>")
        number += max(1, len(one.faces))
    return words


def voices_said(request: GenerationRequest) -> list[str]:
    """A sentence for each voice, that tells whose it is."""
    spoken = [word for one, word in zip(request.characters, character_words(request)) if one.voice is not None]
    return [f"The voice of {word} is that of <Audio {number}>." for number, word in enumerate(spoken, 1)]


def references_of(request: GenerationRequest, sample_rate: int) -> list[Any]:
    """H3's references of all characters in order: the pictures of each, then its voice.

    Args:
        sample_rate: of the model's sound; voices are brought to it.
    """
    import torch
    from diffusers.modular_pipelines.minimax_h3 import MiniMaxH3AudioReference, MiniMaxH3ImageReference

    references: list[Any] = []
    for one in request.characters:
        faces = [not_too_long(face) for face in one.faces] or [Image.new("RGB", (512, 512), _NOBODY)]
        references += [MiniMaxH3ImageReference(image=face) for face in faces]
        if one.voice is not None:
            voice = Recording.read(one.voice).at(sample_rate)
            audio = torch.from_numpy(voice.samples)[None]
            references.append(MiniMaxH3AudioReference(audio=audio, sample_rate=sample_rate))
    return references


def not_too_long(path: Path) -> Image.Image:
    """The whole picture, with white beside it where it is longer than four to one."""
    with Image.open(path) as opened:
        picture = opened.convert("RGB")
    width, height = (max(side, -(-other // _LONGEST)) for side, other in (picture.size, picture.size[::-1]))
    if (width, height) == picture.size:
        return picture
    canvas = Image.new("RGB", (width, height), "white")
    canvas.paste(picture, ((width - picture.width) // 2, (height - picture.height) // 2))
    return canvas
