"""A photograph's whole way: as people have it on their disks -> Services -> what a pipeline opens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests import fakes
from wan_app import services as services_module
from wan_app.families.base import Output
from wan_app.generate import VideoRecipe
from wan_app.runtime.job import Task
from wan_app.services import Services
from wan_app.settings import Settings
from wan_app.types import Character, Exporting, Finished, GenerationRequest, JobEvent, Reporter

_TURNED = 6  # EXIF's "the camera was held upright": to be shown turned a quarter clockwise
_LEFT, _RIGHT = (40, 40, 40), (200, 200, 200)


class LookingPipeline(fakes.FakePipeline):
    """Opens every picture of a request as a model would: by its path, asking nothing of the file."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Image.Image] = []

    def generate(self, request: GenerationRequest, report: Reporter) -> Output:
        """As `Pipeline.generate`."""
        faces = [face for one in request.characters for face in one.faces]
        for path in (request.image, *faces):
            if path is not None:
                with Image.open(path) as picture:
                    picture.load()
                    self.seen.append(picture)
        return super().generate(request, report)


class HereWorker(fakes.ScriptedWorker):
    """A Worker that runs the real recipe in this process, so that a test can look into its pipeline."""

    def __init__(self, recipe: VideoRecipe) -> None:
        super().__init__()
        self._recipe = recipe

    def run(self, task: Task) -> Iterator[JobEvent]:
        """As `Worker.run`."""
        yield Exporting("At work")
        yield Finished(self._recipe.run(task, Silent()))


class Silent:
    """A Reporter to whom nobody listens."""

    windows: Path | None = None

    def __call__(self, event: JobEvent) -> None:
        """See types.Reporter."""

    def check(self) -> None:
        """See types.Reporter."""


def halves(mode: str) -> Image.Image:
    """64x48: dark on the left, bright on the right; where the mode has transparency, the right is none."""
    picture = Image.new("RGB", (64, 48), _RIGHT)
    picture.paste(_LEFT, (0, 0, 32, 48))
    made = picture.convert(mode)
    if "A" in mode:
        alpha = Image.new("L", (64, 48), 255)
        alpha.paste(0, (32, 0, 64, 48))
        made.putalpha(alpha)
    return made


# File name, mode, options, then upright size, and the levels of the two ends of the row (or column,
# for the turned one) that a person sees in a viewer.
PHOTOGRAPHS = [
    pytest.param("turned.jpg", "RGB", {"exif": True, "quality": 95}, (48, 64), (40, 200), id="EXIF-rotated"),
    pytest.param("cut out.png", "RGBA", {}, (64, 48), (40, 255), id="RGBA"),
    pytest.param("old.png", "L", {}, (64, 48), (40, 200), id="greyscale"),
    pytest.param("old cut.png", "LA", {}, (64, 48), (40, 255), id="greyscale-alpha"),
    pytest.param("print.jpg", "CMYK", {"quality": 95}, (64, 48), (40, 200), id="CMYK"),
]


@pytest.mark.parametrize("mode", ["image", "reference"])
@pytest.mark.parametrize(("name", "kind", "options", "size", "ends"), PHOTOGRAPHS)
def test_a_pipeline_is_given_plain_rgb_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: Any, name: str, kind: str, options: dict[str, Any],
    size: tuple[int, int], ends: tuple[int, int],
) -> None:
    monkeypatch.setattr(services_module.weights, "locate", lambda *_: tmp_path)
    photograph = saved(tmp_path / name, kind, **options)
    pipeline = LookingPipeline()
    settings = Settings(data_dir=tmp_path / "data", device="cpu")
    services = Services(settings, worker=HereWorker(VideoRecipe(settings, lambda *_: pipeline)))
    try:
        job_id = services.submit(asking(mode, photograph))
        assert isinstance(list(services.watch(job_id))[-1], Finished)
    finally:
        services.close()
    seen, = pipeline.seen
    assert (seen.format, seen.mode, seen.size) == ("PNG", "RGB", size)
    assert not seen.getexif() and "transparency" not in seen.info
    levels = np.asarray(seen).mean(-1)
    # A quarter clockwise, the left side is on top.
    first, last = (levels[8], levels[-8]) if size[1] > size[0] else (levels[:, 8], levels[:, -8])
    assert (first.mean(), last.mean()) == pytest.approx(ends, abs=3)


def saved(path: Path, mode: str, *, exif: bool = False, **options: Any) -> Path:
    """The halves in a file."""
    if exif:
        options["exif"] = Image.Exif()
        options["exif"][0x0112] = _TURNED
    halves(mode).save(path, **options)
    with Image.open(path) as written:  # else the test would be about something else
        assert written.mode == mode and bool(written.getexif()) is exif
    return path


def asking(mode: Any, photograph: Path) -> GenerationRequest:
    """A short video from a first image, or with a face."""
    people = (Character(name="character1", faces=(photograph,)),) if mode == "reference" else ()
    return GenerationRequest(
        mode=mode, prompt="character1 waves", seconds=0.6, num_inference_steps=1, seed=3, consent=bool(people),
        image=photograph if mode == "image" else None, characters=people,
    )
