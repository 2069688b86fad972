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
from wan_app.families.parts.recording import Recording
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
    Similarity,
    Step,
)

RECIPE = "tests.fakes:open_recipe"
RATE = 24_000  # of the sound that fakes make
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
    """Draws a moving grey ramp of the size asked for; the seed shifts it.

    sound: with every clip a hum at 440 Hz, as of a model with native sound; alone for `sound_only`.
    """

    def __init__(self, *, sound: bool = False) -> None:
        self.closed, self.sound = False, sound

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
        if not self.sound:
            return Output(frames=frames)
        similarity = tuple(Similarity(character=one.name, identity=0.5) for one in request.characters)
        return Output(
            frames=None if request.sound_only else frames, audio=tone(440, len(frames) / 8)[None],
            sample_rate=RATE, similarity=similarity, notes=("it hums",),
        )

    def close(self) -> None:
        """As `Pipeline.close`."""
        self.closed = True

    @staticmethod
    def _frames(request: GenerationRequest) -> np.ndarray:
        shape = (request.num_frames or 1, request.height or 1, request.width or 1)
        ramp = np.add.outer(np.arange(shape[0]) * 4 + (request.seed or 0), np.arange(shape[2]))
        grey = np.broadcast_to((ramp % 256)[:, None, :, None], (*shape, 3))
        return np.ascontiguousarray(grey, dtype=np.uint8)


class FakeSpeaker:
    """Hums a tenth of a second for each word: at 300 Hz in a voice it was given, else at 200 Hz."""

    def __init__(self) -> None:
        self.spoken: list[tuple[str, float | None, int]] = []  # text, seconds of voice, seed
        self.closed = False

    def speak(self, text: str, voice: Recording | None, *, seed: int, report: Reporter) -> Recording:
        """As `Speaker.speak`."""
        report.check()
        misbehave(text, "speaking", report)
        self.spoken.append((text, voice and voice.samples.size / voice.sample_rate, seed))
        return Recording(tone(300 if voice else 200, 0.1 * len(text.split())), RATE)

    def close(self) -> None:
        """As `Speaker.close`."""
        self.closed = True


def tone(hertz: float, seconds: float, rate: int = RATE) -> np.ndarray:
    """float32 (samples,)"""
    return np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate).astype(np.float32) * 0.2


def _stalling(frames: np.ndarray) -> Iterator[np.ndarray]:
    """The first frame, and no other for ten minutes."""
    yield frames[0]
    time.sleep(600)


def load(model_id: str, plan: Plan, weights: Path | None) -> FakePipeline:
    """As `ModelManager`'s load."""
    return FakePipeline()


def load_speaker(speech_id: str, plan: Plan, weights: Path | None) -> FakeSpeaker:
    """As the speakers' `ModelManager`'s load."""
    return FakeSpeaker()


def open_recipe(settings: Settings) -> VideoRecipe:
    """The real recipe with the fake models; named by RECIPE, made inside the worker process."""
    return VideoRecipe(settings, load, load_speaker)


class ScriptedWorker:
    """A Worker without a process. What it answers is the prompt: fail, die, break, silence, wait."""

    def __init__(self) -> None:
        self.cancelled: list[str] = []
        self.ran: list[str] = []
        self.tasks: list[Task] = []
        self.go_on = Event()
        self.closed = False

    def run(self, task: Task) -> Iterator[JobEvent]:
        """As `Worker.run`; "wait" waits for `go_on` or a cancel."""
        self.ran.append(task.request.prompt)
        self.tasks.append(task)
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
    """Put the fake models behind every `Services` of this process; their weights are always here."""
    services.RECIPE = RECIPE
    services.weights.locate = lambda spec, settings, override=None: Path(".")  # type: ignore[assignment]
    services.speech_weights.locate = lambda spec, settings: (Path("."),)  # type: ignore[assignment]


if __name__ == "__main__":
    install()
    sys.exit(cli.main())
