"""The fake models of tests/fakes.py, slow enough to be killed at their work.

A prompt says what happens: "pace 0.1" sleeps so many seconds in each step, "poisonous" ends the process.
"""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

from tests.fakes import FakePipeline, load_speaker
from wan_app.families.base import Output, Plan
from wan_app.generate import VideoRecipe
from wan_app.settings import Settings
from wan_app.types import GenerationRequest, JobEvent, Reporter, Step

RECIPE = "tests.faults.recipe:open_recipe"


class SlowPipeline(FakePipeline):
    """A `FakePipeline` at the pace of its prompt; it hums where the prompt says so."""

    def generate(self, request: GenerationRequest, report: Reporter) -> Output:
        """As `Pipeline.generate`."""
        self.sound = request.sound_only or "humming" in request.prompt
        return super().generate(request, _Paced(request.prompt, report))


class _Paced:
    """A Reporter that sleeps after each step, and heeds a cancel meanwhile."""

    def __init__(self, prompt: str, report: Reporter) -> None:
        found = re.search(r"pace ([\d.]+)", prompt)
        self._pause = float(found[1]) if found else 0.0
        self._poisonous = "poisonous" in prompt
        self._report = report

    def __call__(self, event: JobEvent) -> None:
        self._report(event)
        if isinstance(event, Step):
            if self._poisonous:
                os._exit(9)
            end = time.monotonic() + self._pause
            while time.monotonic() < end:
                self.check()
                time.sleep(0.01)

    def check(self) -> None:
        self._report.check()

    @property
    def windows(self) -> Path | None:
        return self._report.windows


def load(model_id: str, plan: Plan, weights: Path | None) -> SlowPipeline:
    """As `ModelManager`'s load."""
    return SlowPipeline()


def open_recipe(settings: Settings) -> VideoRecipe:
    """The real recipe (export, marks and all) around the slow fake."""
    return VideoRecipe(settings, load, load_speaker)
