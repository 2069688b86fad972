"""Tiny checkpoints, built once a session, and a reporter that records and cancels."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from wan_app.errors import Cancelled
from wan_app.types import JobEvent

from . import tiny_vace


@pytest.fixture(scope="session")
def tiny_vace_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_vace.build(tmp_path_factory.mktemp("vace"))


@pytest.fixture(scope="session")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture with a gradient and a dark shape, of a size that no model makes."""
    image = Image.radial_gradient("L").resize((300, 200))
    image = Image.merge("RGB", (image, image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), image.rotate(90)))
    image.paste((40, 60, 150), (100, 60, 190, 160))
    path = tmp_path_factory.mktemp("pictures") / "picture.png"
    image.save(path)
    return path


class Recorder:
    """A Reporter that keeps every event, and raises Cancelled at a chosen moment.

    Args:
        stop_after: an event type; the second `check` after the first such event raises.
    """

    windows: Path | None = None

    def __init__(self, stop_after: type | None = None) -> None:
        self.stop_after = stop_after
        self.events: list[JobEvent] = []
        # Checks between each event and the next.
        self.checks: list[int] = []

    def __call__(self, event: JobEvent) -> None:
        self.events.append(event)
        self.checks.append(0)

    def check(self) -> None:
        if not self.events:
            return
        self.checks[-1] += 1
        if self.stop_after and isinstance(self.events[-1], self.stop_after) and self.checks[-1] >= 2:
            raise Cancelled

    def of(self, kind: type) -> list[JobEvent]:
        return [event for event in self.events if isinstance(event, kind)]
