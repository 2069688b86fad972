"""The studio with the fake model behind the real worker: `python -m tests.ui.fake_studio PORT DATA_DIR`."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from pathlib import Path

import soundfile
from PIL import Image

from tests.marking import marks_in
from tests.ui.fake_model import RATE, RECIPE, babble, scene, speaking
from wan_app import services as services_module
from wan_app.errors import ModelUnavailable
from wan_app.families.weights import locate as weights
from wan_app.media.video import export_video
from wan_app.settings import Settings
from wan_app.types import Downloaded, Downloading, GenerationRequest, Loading, Reporter
from wan_app.ui import examples, launch


def main(port: int, data_dir: Path) -> None:
    """Serve until stopped."""
    speaking()
    services_module.RECIPE = RECIPE
    services_module.Services._fetch = _fetch
    real = weights.locate
    # The bundled weights may not be trained yet where these tests run; absent ones stay absent.
    weights.locate = lambda spec, *rest: data_dir if spec.bundled else real(spec, *rest)
    examples.FOLDER = data_dir.parent / "examples"
    store_examples(examples.FOLDER)
    launch.serve(replace(Settings.from_environment(), data_dir=data_dir, port=port))


def _fetch(services: services_module.Services, model_id: str, report: Reporter) -> Downloaded:
    """A download that asks nobody, takes half a minute and then breaks off."""
    report(Loading("Asking the hub what there is"))
    for percent in range(0, 100, 2):
        report(Downloading(162_000_000 * percent, 16_200_000_000, (100 - percent) * 0.3))
        for _ in range(60):
            report.check()
            time.sleep(0.01)
    raise ModelUnavailable(f"{model_id}: the hub broke off")


def store_examples(folder: Path) -> None:
    """One example a tab, and a face alone, as the repository's assets/examples has them."""
    if folder.exists():
        return
    folder.mkdir(parents=True)
    request = GenerationRequest(mode="text", prompt="", width=128, height=128, num_frames=9)
    export_video(scene(request), folder / "sun.mp4", fps=8, metadata={}, marks=marks_in(folder.parent / "sidecars"))
    soundfile.write(folder / "given.wav", babble(4.0)[0], RATE)
    Image.new("RGB", (128, 128), (190, 120, 90)).save(folder / "given.png")
    row = {"prompt": "the sun crosses the sky", "label": "Sun", "file": "sun.mp4"}
    rows = [
        {**row, "mode": "text"}, {**row, "mode": "image", "image": "given.png"},
        {**row, "mode": "reference", "faces": ["given.png"], "voice": "given.wav", "say": "Hello", "sound": True},
        {**row, "mode": "reference", "faces": ["given.png"], "prompt": "character1 in the sun", "label": "Face alone"},
    ]
    (folder / "examples.json").write_text(json.dumps(rows), encoding="utf-8")


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
