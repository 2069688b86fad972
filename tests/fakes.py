"""A small fake model at the seam: real queue, real worker process, real files, no network.

What it does is said in the prompt ("crash in denoising"), so that a test reads in one place.
`python -m tests.fakes ...` is the command line with the fake model in it.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import numpy as np

from wan_app import cli, services
from wan_app.errors import ModelUnavailable, OutOfMemory, WorkerDied
from wan_app.families.base import Output, Plan
from wan_app.generate import VideoRecipe
from wan_app.runtime.job import Task
from wan_app.settings import Settings
from wan_app.types import (
    Cancelled,
    Exporting,
    Failed,
    Finished,
    GenerationRequest,
    GenerationResult,
    JobEvent,
    Loading,
    Reporter,
    Step,
)

RECIPE = "tests.fakes:open_recipe"
TINY_JPEG = b"\xff\xd8\xff\xd9"


def misbehave(prompt: str, stage: str, report: Reporter) -> None:
    """Do what the prompt says of `stage` (encoding, denoising, decoding), such as "boom in decoding"."""
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
        frames = self._frames(request)
        if "stall in writing" in request.prompt:
            return Output(frames=_stalling(frames))  # type: ignore[arg-type]
        return Output(frames=frames)

    def close(self) -> None:
        """As `Pipeline.close`."""
        self.closed = True

    @staticmethod
    def _frames(request: GenerationRequest) -> np.ndarray:
        shape = (request.num_frames or 1, request.height or 1, request.width or 1)
        ramp = np.add.outer(np.arange(shape[0]) * 4 + (request.seed or 0), np.arange(shape[2]))
        grey = np.broadcast_to((ramp % 256)[:, None, :, None], (*shape, 3))
        return np.ascontiguousarray(grey, dtype=np.uint8)


def _stalling(frames: np.ndarray) -> Iterator[np.ndarray]:
    """The first frame, and no other for ten minutes."""
    yield frames[0]
    time.sleep(600)


def load(model_id: str, plan: Plan, weights: Path | None) -> FakePipeline:
    """As `ModelManager`'s load."""
    return FakePipeline()


def open_recipe(settings: Settings) -> VideoRecipe:
    """The real recipe with the fake model; named by RECIPE, made inside the worker process."""
    return VideoRecipe(settings, load)


class ScriptedWorker:
    """A Worker without a process. What it answers is the prompt: fail, die, break, silence, wait."""

    def __init__(self) -> None:
        self.cancelled: list[str] = []
        self.ran: list[str] = []
        self.go_on = Event()
        self.closed = False

    def run(self, task: Task) -> Iterator[JobEvent]:
        """As `Worker.run`; "wait" waits for `go_on` or a cancel."""
        self.ran.append(task.request.prompt)
        yield Loading("Reading the prompt")
        if task.request.prompt == "wait":
            while not self.go_on.wait(0.005):
                if self.closed:
                    raise WorkerDied("closed")
                if task.job_id in self.cancelled:
                    yield Cancelled()
                    return
        if task.request.prompt == "fail":
            yield Failed("it failed", "OutOfMemory", 4)
            return
        if task.request.prompt == "die":
            raise WorkerDied("it died")
        if task.request.prompt == "break":
            raise KeyError("a mistake of ours")
        yield Step(1, 1, preview=TINY_JPEG)
        if task.request.prompt != "silence":
            yield Finished(result_of(task))

    def cancel(self, job_id: str) -> None:
        """As `Worker.cancel`."""
        self.cancelled.append(job_id)

    def warm(self) -> None:
        """As `Worker.warm`."""

    def close(self) -> None:
        """As `Worker.close`."""
        self.closed = True


def result_of(task: Task) -> GenerationResult:
    """A result which claims that the task's file was made."""
    return GenerationResult(
        file=task.out, model="pocket", mode=task.request.mode, seed=1, width=128, height=128,
        num_frames=17, fps=8.0, seconds=2.125,
    )


def install() -> None:
    """Put the fake model behind every `Services` of this process; its weights are always here."""
    services.RECIPE = RECIPE
    services.weights.locate = lambda spec, settings, override=None: Path(".")  # type: ignore[assignment]


if __name__ == "__main__":
    install()
    sys.exit(cli.main())
