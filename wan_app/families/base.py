"""The seam between the app and a model: Plan, Output, Pipeline, and cancel points."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from wan_app.types import GenerationRequest, Reporter, Similarity

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a model is put on this machine. `device` is a torch device string.

    `offload`, least first, for families whose costs list it: none; text_encoder: the processor reads the
    prompt; model: one part on the card at a time; group: the transformer streams through the card block
    by block, and the processor reads the prompt. In all but none the text encoder is freed once it has
    read. `cache` is the folder for embeddings of prompts and for quantized copies; None keeps nothing.
    """

    device: str = "cpu"
    quantization: str = "none"
    offload: str = "none"
    vae_tiling: bool = True
    cache: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Output:
    """What a pipeline made.

    frames: uint8 (num_frames, height, width, 3), RGB, None for `sound_only`. audio: float32 (channels, samples) in
    [-1, 1] at `sample_rate`, or None for a silent model. similarity: one entry a character that
    the model compared with its references. notes: lines for people.
    """

    frames: np.ndarray | None
    audio: np.ndarray | None = None
    sample_rate: int | None = None
    similarity: tuple[Similarity, ...] = ()
    notes: tuple[str, ...] = ()


class Numbers(NamedTuple):
    """The numbers of a resolved request, none of them None; sides in pixels.

    `guidance_until` is the share of the steps that are guided, the first ones.
    """

    width: int
    height: int
    num_frames: int
    num_inference_steps: int
    guidance_scale: float
    seed: int
    guidance_until: float = 1.0

    @property
    def guided_steps(self) -> int:
        """How many of the steps are guided, at least one."""
        return max(1, round(self.guidance_until * self.num_inference_steps))


def numbers_of(request: GenerationRequest) -> Numbers:
    """The numbers of a resolved request.

    Raises:
        ValueError: it is not resolved; a mistake of the caller's, not of the user's.
    """
    numbers = {name: getattr(request, name) for name in Numbers._fields}
    empty = [name for name, value in numbers.items() if value is None]
    if empty:
        raise ValueError(f"the request is not resolved: no {', '.join(empty)}")
    return Numbers(**numbers)


class Pipeline(Protocol):
    """A loaded model. `generate` shows encode -> denoise -> decode and honours `report.check`."""

    def generate(self, request: GenerationRequest, report: Reporter) -> Output:
        """Run a resolved request (`ModelSpec.resolve`), reporting Loading, Step and Exporting.

        A request with `sound_only` reaches only families with `native_audio`; its output has no frames.

        Raises:
            errors.Cancelled: from `report`; the pipeline is clean for the next call.
        """

    def close(self) -> None:
        """Free all memory the model holds."""


def prompt_calling(request: GenerationRequest, words: Sequence[str]) -> str:
    """The prompt with each character's name, in any case, said in the words that a model knows.

    Args:
        words: for the first character, the second...; at least as many as there are characters.
    """
    if not request.characters:
        return request.prompt
    said = {one.name.lower(): word for one, word in zip(request.characters, words)}
    # In one pass and longest first: "Ann" is not looked for in "Anna", nor in what stands for her.
    names = "|".join(re.escape(name) for name in sorted(said, key=len, reverse=True))
    pattern = re.compile(rf"(?<!\w)(?:{names})(?!\w)", re.IGNORECASE)
    # `get`, for a few letters (the long s) match others that they don't become in lower case.
    return pattern.sub(lambda found: said.get(found[0].lower(), found[0]), request.prompt)


def character_words(request: GenerationRequest) -> list[str]:
    """What each character is called for a text encoder that knows no `character1`, by the order of the pictures."""
    if len(request.characters) == 1:
        return ["the character"]
    ordinals = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth")
    return [f"the {ordinal} character" for ordinal in ordinals]


@contextmanager
def cancel_points(modules: Iterable[Any], check: Callable[[], None]) -> Iterator[None]:
    """Call `check` before each forward of every module, so that cancel takes one block at most.

    Args:
        modules: torch modules (transformer blocks, text encoder blocks, decoder blocks).
        check: `Reporter.check`; what it raises leaves the forward pass.
    """
    handles = [module.register_forward_pre_hook(lambda *_: check()) for module in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
