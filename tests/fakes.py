"""A small fake model at the seam: real queue, real worker process, real files, no network.

What it does is said in the prompt ("crash in denoising"), so that a test reads in one place.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np

from wan_app.errors import ModelUnavailable, OutOfMemory
from wan_app.families.base import Output, Plan
from wan_app.generate import VideoRecipe
from wan_app.settings import Settings
from wan_app.types import Exporting, GenerationRequest, Loading, Reporter, Step

RECIPE = "tests.fakes:open_recipe"
STAGES = ("loading", "encoding", "denoising", "decoding")
TINY_JPEG = b"\xff\xd8\xff\xd9"


def misbehave(prompt: str, stage: str, report: Reporter) -> None:
    """Do what the prompt says about `stage`: hang, stall, crash, boom, oom, memory, unavailable."""
    if f"hang in {stage}" in prompt:  # heeds a cancel, as real blocks do
        while True:
            report.check()
            time.sleep(0.005)
    if f"stall in {stage}" in prompt:  # heeds nothing
        time.sleep(600)
    if f"crash in {stage}" in prompt:
        os._exit(7)
    if f"boom in {stage}" in prompt:
        raise RuntimeError("the tensor of\nshape (1, 2) is out of memory lane")
    if f"memory in {stage}" in prompt:
        raise MemoryError("no room for 3 GiB")
    if f"oom in {stage}" in prompt:
        raise OutOfMemory("the plan did not fit")
    if f"unavailable in {stage}" in prompt:
        raise ModelUnavailable("fake: weights are not here")


class FakePipeline:
    """Draws a moving grey ramp of the size asked for; the seed shifts it."""

    def __init__(self) -> None:
        self.closed = False

    def generate(self, request: GenerationRequest, report: Reporter) -> Output:
        """As `Pipeline.generate`; stages and faults as the prompt says."""
        report(Loading("Reading the prompt"))
        misbehave(request.prompt, "encoding", report)
        total = request.num_inference_steps or 1
        for index in range(1, total + 1):
            misbehave(request.prompt, "denoising", report)
            report(Step(index, total, preview=TINY_JPEG + bytes([index])))
        report(Exporting("Decoding"))
        misbehave(request.prompt, "decoding", report)
        return Output(frames=self._frames(request))

    def close(self) -> None:
        """As `Pipeline.close`."""
        self.closed = True

    @staticmethod
    def _frames(request: GenerationRequest) -> np.ndarray:
        shape = (request.num_frames or 1, request.height or 1, request.width or 1)
        ramp = np.add.outer(np.arange(shape[0]) * 4 + (request.seed or 0), np.arange(shape[2]))
        grey = np.broadcast_to((ramp % 256)[:, None, :, None], (*shape, 3))
        return np.ascontiguousarray(grey, dtype=np.uint8)


def load(model_id: str, plan: Plan, weights: Path | None) -> FakePipeline:
    """As `ModelManager`'s load."""
    return FakePipeline()


def open_recipe(settings: Settings) -> VideoRecipe:
    """The real recipe with the fake model; named by RECIPE, made inside the worker process."""
    return VideoRecipe(settings, load)
