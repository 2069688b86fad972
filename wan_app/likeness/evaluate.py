"""Measure a trained model on characters it has never seen: `python -m wan_app.likeness.evaluate`.

Prints a table and, with `--out`, writes it and two contact sheets, one with waveforms. Attributes are told
by the judge (see `judge.py`); its own accuracy on true renders of the same scenes is the ceiling, printed
beside every figure. What is heard is measured in `listening.py`. Bald people are left out: without a hair
colour to see, their looks are not wholly held out.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from wan_app.likeness.judge import LikenessJudge
from wan_app.likeness.listening import REFERENCE_SECONDS, SIDE, Listening, for_judge, to_frames
from wan_app.likeness.pipeline import LikenessPipeline
from wan_app.likeness.similarity import identity_agreement
from wan_app.likeness.training.judge import visible
from wan_app.likeness.world.attributes import BALD, CLASSES, IDENTITY, Scenes, sample_scenes
from wan_app.likeness.world.captions import caption
from wan_app.likeness.world.render import draw_clips, draw_portraits
from wan_app.settings import ASSETS

AIMS = {"place": ">= .95", "action": ">= .80", "shirt": ">= .90", "hair_colour": ">= .90"}
TOLD = ("place", "action", "shirt", "hair_colour", "hairstyle", "skin", "hat", "glasses")


@dataclass
class Tally:
    """Right and judged counts by (row of the table, column)."""

    counts: dict[tuple[str, str], list[int]] = field(default_factory=dict)

    def add(self, row: str, column: str, right: torch.Tensor, seen: torch.Tensor) -> None:
        had = self.counts.setdefault((row, column), [0, 0])
        had[0] += int((right & seen).sum())
        had[1] += int(seen.sum())

    def share(self, row: str, column: str) -> float | None:
        right, seen = self.counts.get((row, column), (0, 0))
        return right / seen if seen else None


def judged(judge: LikenessJudge, frames: np.ndarray) -> dict[str, int]:
    """Class index by attribute of a clip uint8 (17, H, W, 3)."""
    with torch.no_grad():
        found = judge(for_judge(frames))
    return {name: int(found[name].argmax(1)) for name in CLASSES}


def haired(count: int, generator: torch.Generator) -> Scenes:
    """`count` held-out people with hair."""
    scenes = sample_scenes(2 * count + 16, generator, held_out=True)
    return scenes[(scenes.classes["hairstyle"] != BALD).nonzero()[:count, 0]]


class Evaluation:
    """Runs a pipeline over held-out scenes, mode by mode."""

    def __init__(self, folder: Path, count: int, seed: int = 5) -> None:
        self.pipe = LikenessPipeline.from_pretrained(folder, torch_dtype=torch.bfloat16)
        self.judge = LikenessJudge.from_pretrained(folder / "judge", torch_dtype=torch.float32)
        generator = torch.Generator().manual_seed(seed)
        self.scenes, self.others = (haired(count, generator) for _ in range(2))
        self.portraits, self.strangers = (
            draw_portraits(people, SIDE, generator) for people in (self.scenes, self.others)
        )
        self.rng = random.Random(seed)
        self.tally = Tally()
        self.seconds: list[float] = []
        self.first_frames: list[float] = []
        self.ceiling_frames: list[float] = []
        self.own_agreement: list[float] = []
        self.own_strangers: list[float] = []
        self.rows: list[np.ndarray] = []

    def run(self) -> None:
        """Judge true renders and the clips of all three modes."""
        for index in range(len(self.scenes)):
            true = to_frames(draw_clips(self.scenes[index : index + 1], SIDE, SIDE)[0])
            self._count("truth", index, true, self.scenes)
            portrait = Image.fromarray(to_frames(self.portraits[index][:, None])[0])
            text = self._make(index, caption(self.scenes, index, self.rng, about="all"))
            self._count("text", index, text, self.scenes)
            prompt = caption(self.scenes, index, self.rng, about="reference")
            reference = self._make(index, prompt, reference_images=[portrait])
            self._count("reference", index, reference, self.scenes)
            self._count("another", index, reference, self.others)
            stranger = Image.fromarray(to_frames(self.strangers[index][:, None])[0])
            for picture, agreement in ((portrait, self.own_agreement), (stranger, self.own_strangers)):
                with torch.no_grad():
                    tokens = self.pipe.encode_person([picture])
                agreement.append(identity_agreement(self.pipe.identity_encoder, tokens, reference))
            motion = caption(self.scenes, index, self.rng, about="motion")
            image = self._make(index, motion, image=Image.fromarray(true[0]))
            self._count("image", index, image, self.scenes)
            self.first_frames.append(decibels(image[0], true[0]))
            self.ceiling_frames.append(decibels(self._rebuilt(true)[0], true[0]))
            if index < 8:
                self.rows.append(sheet_row(np.asarray(portrait), reference, image, text))

    def table(self) -> dict:
        """Everything measured, as JSON types; shares of clips judged right."""
        modes = ("truth", "text", "image", "reference", "another")
        judged_right = {c: {m: self.tally.share(m, c) for m in modes} for c in TOLD}
        identity = {
            mode: float(np.mean([judged_right[c][mode] for c in IDENTITY]))
            for mode in ("truth", "reference", "another")
        }
        networks = [part for part in self.pipe.components.values() if isinstance(part, torch.nn.Module)]
        return {
            "clips": len(self.scenes),
            "judged_right": judged_right,
            "identity_agreement": identity,
            "first_frame_db": float(np.mean(self.first_frames)),
            "first_frame_db_of_the_autoencoder": float(np.mean(self.ceiling_frames)),
            "seconds_per_clip": float(np.median(self.seconds)),
            "identity_by_own_encoder": {
                "reference": float(np.mean(self.own_agreement)),
                "another": float(np.mean(self.own_strangers)),
            },
            "parameters": sum(p.numel() for network in networks for p in network.parameters()),
        }

    def _make(self, index: int, prompt: str, **conditions) -> np.ndarray:
        begin = time.perf_counter()
        frames = self.pipe(prompt, generator=torch.Generator().manual_seed(index), **conditions).frames
        self.seconds.append(time.perf_counter() - begin)
        return frames

    @torch.no_grad()
    def _rebuilt(self, frames: np.ndarray) -> np.ndarray:
        return self.pipe.decode(self.pipe.vae.encode(for_judge(frames[:1])))

    def _count(self, mode: str, index: int, frames: np.ndarray, against: Scenes) -> None:
        found = judged(self.judge, frames)
        one = against[index : index + 1]
        for name in TOLD:
            self.tally.add(mode, name, one.classes[name] == found[name], visible(one, name))


def decibels(made: np.ndarray, true: np.ndarray) -> float:
    """PSNR in dB of two uint8 pictures."""
    error = np.mean((made.astype(np.float32) - true.astype(np.float32)) ** 2)
    return float(10 * np.log10(255**2 / max(float(error), 1e-3)))


def sheet_row(portrait: np.ndarray, *clips: np.ndarray) -> np.ndarray:
    """A portrait, then frames 0, 8 and 16 of each clip, side by side."""
    return np.concatenate([portrait, *(clip[i] for clip in clips for i in (0, 8, 16))], 1)


def as_markdown(table: dict) -> str:
    """The table for people, the aims beside what was reached."""
    lines = [
        f"Held-out characters, {table['clips']} clips a mode; share judged right",
        "(`truth`: the same judge on true renders of the same scenes).",
        "",
        "| | truth | text | image | reference | reference, held against another | aim (text) |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in table["judged_right"].items():
        cells = [
            "" if row[m] is None else f"{row[m]:.2f}"
            for m in ("truth", "text", "image", "reference", "another")
        ]
        lines.append(f"| {name.replace('_', ' ')} | " + " | ".join(cells) + f" | {AIMS.get(name, '')} |")
    identity = table["identity_agreement"]
    first, alone = table["first_frame_db"], table["first_frame_db_of_the_autoencoder"]
    lines += [
        "",
        "| measure | reached | aim |",
        "|---|---|---|",
        f"| identity agreement with the reference (truth {identity['truth']:.1%}) "
        f"| {identity['reference']:.1%} | >= 90 % |",
        f"| identity agreement with another | {identity['another']:.1%} | <= 40 % |",
        f"| the same by the model's own encoder, shown after every run "
        f"| {table['identity_by_own_encoder']['reference']:.2f} "
        f"(another: {table['identity_by_own_encoder']['another']:.2f}) | |",
        f"| first frame against the given one | {first:.1f} dB (autoencoder alone {alone:.1f}) | >= 24 dB |",
        f"| seconds a clip of 2 s, model only | {table['seconds_per_clip']:.2f} | <= 10 with everything |",
        f"| parameters | {table['parameters'] / 1e6:.1f} M | |",
    ]
    return "\n".join([*lines, *voice_lines(table["voice"])]) + "\n"


def voice_lines(table: dict) -> list[str]:
    """The part of the table about voices."""
    made, true, alone = table["reference"], table["truth"], table["without_a_voice"]
    rows = (
        ("pitch: median F0 off the reference clip's, in semitones", "pitch_error_semitones", "<= 1"),
        ("timbre: nearest of all voices, by spectrum", "timbre_nearest_by_spectrum", ">= .80"),
        ("timbre: nearest of all voices, by the voice encoder", "timbre_nearest_by_encoder", ">= .80"),
        ("rhythm: syllable rate wrong by", "rhythm_error", "<= .15"),
        ("mouth against loudness: correlation", "mouth_correlation", ">= .80"),
        ("mouth against loudness: best lag in frames, median", "mouth_lag_frames", "within 1"),
        ("mouth against loudness: clips with a lag within one frame", "mouth_lag_within_one_frame", ""),
    )
    return [
        "",
        f"Voices: {table['voices']} held-out ones, one clip each in the voice of a {REFERENCE_SECONDS:g} s recording",
        "(`truth`: the same measures on the world's own clips).",
        "",
        "| | truth | reached | aim |",
        "|---|---|---|---|",
        *(f"| {words} | {true[name]:.2f} | {made[name]:.2f} | {aim} |" for words, name, aim in rows),
        f"| pitch off another voice's, in semitones | | {table['pitch_error_against_another_voice']:.2f} | |",
        f"| no voice given: clips with sound | | {alone['audible']:.2f} | 1 |",
        f"| no voice given: share of the sound with a pitch, talking | | {alone['voiced_share_talking']:.2f} | |",
        f"| no voice given: the same, sitting quietly | | {alone['voiced_share_sitting']:.2f} | |",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the bundled model on held-out characters.")
    parser.add_argument("--folder", type=Path, default=ASSETS / "pocket")
    parser.add_argument("--clips", type=int, default=64, help="held-out scenes, each made in three modes")
    parser.add_argument(
        "--out", type=Path, help="a folder for evaluation.md, evaluation.json and the contact sheets"
    )
    options = parser.parse_args()
    evaluation = Evaluation(options.folder, options.clips)
    evaluation.run()
    listening = Listening(evaluation.pipe, evaluation.judge)
    listening.run()
    table = evaluation.table() | {"voice": listening.table()}
    print(as_markdown(table))
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "evaluation.md").write_text(as_markdown(table))
        (options.out / "evaluation.json").write_text(json.dumps(table, indent=1))
        for name, rows in (("contact-sheet", evaluation.rows), ("voices", listening.rows)):
            sheet = Image.fromarray(np.concatenate(rows, 0))
            # A palette makes it a third as large, and flat drawings lose nothing by it.
            sheet.quantize(192).save(options.out / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
