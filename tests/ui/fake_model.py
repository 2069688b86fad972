"""A fast fake model for page tests: real queue, worker, writer and files; a drawn dot instead of a network.

Words in the prompt or in what is to be said steer it: "slowly" takes its time a step, "for ages" minutes, "held" waits
after its first step until the file `GATE` is there, "explode" fails while running, "stranger" makes a bad likeness. It
speaks: a tone in syllables, at 16 kHz.
"""

from __future__ import annotations

import io
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from wan_app.errors import OutOfMemory
from wan_app.families import pocket, registry
from wan_app.families.base import Output
from wan_app.generate import VideoRecipe
from wan_app.settings import Settings
from wan_app.types import (
    Character,
    Exporting,
    GenerationRequest,
    Loading,
    Reporter,
    Similarity,
    Step,
)

RECIPE = "tests.ui.fake_model:open_recipe"
RATE, FPS = 16_000, 8
# In the data folder.
GATE = "let-go"


class DotPipeline:
    """A sun which crosses a sky over sand, coming out of noise step by step."""

    def __init__(self, gate: Path) -> None:
        self._gate = gate

    def generate(self, request: GenerationRequest, report: Reporter) -> Output:
        """As `Pipeline.generate`."""
        report(Loading("Reading the prompt"))
        total = request.num_inference_steps or 1
        frames = scene(request)
        said = f"{request.prompt} {request.say}"
        noise = np.random.default_rng(request.seed).integers(0, 256, frames[0].shape).astype(np.float32)
        for index in range(1, total + 1):
            self._wait(said, report, held="held" in said and index > 1)
            if "explode" in said:
                raise OutOfMemory("this plan needs 3.2 GB and 1.1 GB are free; needed a smaller size or fewer seconds")
            share = (index / total) ** 2
            mixed = (share * frames[0] + (1 - share) * noise).astype(np.uint8)
            report(Step(index, total, eta=(total - index) * 0.3 + 1, preview=_jpeg(mixed)))
        report(Exporting("Decoding"))
        return Output(
            frames=None if request.sound_only else frames, audio=babble(len(frames) / FPS), sample_rate=RATE,
            similarity=tuple(likeness(one, bad="stranger" in said) for one in request.characters),
        )

    def close(self) -> None:
        """As `Pipeline.close`."""

    def _wait(self, said: str, report: Reporter, *, held: bool) -> None:
        until = time.monotonic() + (60 if "for ages" in said else 0.6 if "slowly" in said else 0.02)
        while time.monotonic() < until or held and not self._gate.exists():
            report.check()
            time.sleep(0.01)


def open_recipe(settings: Settings) -> VideoRecipe:
    """Made inside the worker process."""
    speaking()
    return VideoRecipe(settings, lambda model_id, plan, weights: DotPipeline(settings.data_dir / GATE))


def speaking() -> None:
    """In this process the default model makes sound and takes the voices of two people."""
    pocket.SPECS = (replace(pocket.SPECS[0], native_audio=True, max_voices=2, max_characters=2),)
    registry._rows.cache_clear()


def babble(seconds: float, pitch: float = 180.0) -> np.ndarray:
    """float32 (1, samples) at RATE: four syllables a second."""
    time = np.arange(round(seconds * RATE)) / RATE
    tone = sum(np.sin(2 * np.pi * pitch * partial * time) / partial for partial in range(1, 9))
    return (0.2 * tone * np.sin(np.pi * 4 * time) ** 2).astype(np.float32)[None]


def likeness(one: Character, *, bad: bool) -> Similarity:
    """What a model would say of a character."""
    identity, timbre, pitch = (0.31, 0.28, -4.2) if bad else (0.83, 0.91, 0.4)
    return Similarity(
        character=one.name, identity=identity if one.faces else None, timbre=timbre if one.voice else None,
        pitch=pitch if one.voice else None,
    )


def scene(request: GenerationRequest) -> np.ndarray:
    """The finished frames."""
    count, height, width = request.num_frames or 1, request.height or 1, request.width or 1
    rows, columns = np.mgrid[0:height, 0:width]
    frames = np.empty((count, height, width, 3), np.uint8)
    for index in range(count):
        frames[index] = np.where((rows > height * 0.68)[..., None], (242, 214, 150), (126, 196, 245))
        sun = (columns - width * (0.15 + 0.7 * index / count)) ** 2 + (rows - height * 0.3) ** 2
        frames[index][sun < (height * 0.13) ** 2] = (255, 222, 89)
    return frames


def _jpeg(picture: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=70)
    return buffer.getvalue()
