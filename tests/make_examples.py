"""Make the stored examples of the bundled model again: `python -m tests.make_examples [FOLDER]`.

Faces, first pictures and voices are of held-out people of the cartoon world, so no one's likeness is
stored. Walking, dancing and jumping are left out: the model does them badly (see the evaluation).
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import soundfile
import torch
from PIL import Image

from wan_app.likeness.listening import to_frames
from wan_app.likeness.training.sound import recordings
from wan_app.likeness.vocoder import SAMPLE_RATE
from wan_app.likeness.world.attributes import Scenes, sample_scenes
from wan_app.likeness.world.render import draw_clips, draw_portraits
from wan_app.services import Services
from wan_app.settings import ASSETS, Settings
from wan_app.types import Character, Failed, Finished, GenerationRequest

# (mode, label, prompt, seed, shape, number of the person); who talks with a face also has a voice.
EXAMPLES = (
    ("text", "Beach wave", "a kid with blond hair in a red shirt waves on the beach", 10, (128, 128), None),
    ("text", "Moon talk", "a green alien in a purple jacket talks on the moon", 6, (160, 96), None),
    ("image", "Talk", "the person talks to the camera", 2, (128, 128), 9),
    ("image", "Wave", "the person waves", 1, (128, 128), 4),
    ("reference", "In the desert", "character1 waves in the desert", 4, (128, 128), 2),
    ("reference", "At home", "character1 talks in the living room", 8, (128, 128), 7),
)


def main() -> None:
    """Write examples.json, its pictures and its clips."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=ASSETS / "examples")
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    people = sample_scenes(16, torch.Generator().manual_seed(2026), held_out=True)
    with tempfile.TemporaryDirectory() as data:
        services = Services(Settings(data_dir=Path(data)))
        rows = [make(services, people, folder, *example) for example in EXAMPLES]
        services.close()
    (folder / "examples.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def make(
    services: Services, people: Scenes, folder: Path, mode: str, label: str, prompt: str, seed: int,
    size: tuple[int, int], person: int | None,
) -> dict[str, object]:
    """One example: its files written, and its row."""
    name = label.lower().replace(" ", "-")
    row: dict[str, object] = {
        "mode": mode, "label": label, "prompt": prompt, "file": f"{name}.mp4", "sound": True,
    }
    given: dict[str, object] = {}
    if person is not None:
        picture = folder / f"{name}.png"
        draw(people[person : person + 1], mode, size, picture)
        key, value = ("image", picture.name) if mode == "image" else ("faces", [picture.name])
        row[key] = value
        voice = folder / f"{name}.flac" if mode == "reference" and "talks" in prompt else None
        if voice:
            record(people[person : person + 1], voice)
            row["voice"] = voice.name
        given = {"image": picture} if mode == "image" else {
            "characters": (Character(name="character1", faces=(picture,), voice=voice),), "consent": True,
        }
    request = GenerationRequest(
        mode=mode, prompt=prompt, seed=seed, width=size[0], height=size[1], **given,  # type: ignore[arg-type]
    )
    job = services.submit(request, out=folder / f"{name}.mp4")
    for event in services.watch(job):
        if isinstance(event, Failed):
            raise SystemExit(f"{label}: {event.error}")
        if isinstance(event, Finished):
            print(f"{label}: {event.result.timings}")
    return row


def draw(person: Scenes, mode: str, size: tuple[int, int], out: Path) -> None:
    """A first picture of the person in their place, or a portrait."""
    if mode == "image":
        video = draw_clips(person, 4 * size[1], 4 * size[0], torch.zeros(1))[0]
    else:
        video = draw_portraits(person, 256, torch.Generator().manual_seed(1))[0][:, None]
    Image.fromarray(to_frames(video)[0]).quantize(128).save(out, optimize=True)


def record(person: Scenes, out: Path) -> None:
    """Four seconds of the person's voice."""
    said = recordings(person.numbers, 4.0, torch.Generator().manual_seed(1))
    soundfile.write(out, said[0].numpy(), SAMPLE_RATE)


if __name__ == "__main__":
    main()
