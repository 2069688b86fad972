"""Teach the encoders their subject before the transformer listens to them.

The identity encoder becomes a recogniser of people, the text encoder learns which words name which
attribute. Both are cheap (minutes) and spare the transformer from learning through a keyhole.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from wan_app.likeness.identity import PICTURE, LikenessIdentityEncoder
from wan_app.likeness.text import TEXT_DIM, build_text_encoder, build_tokenizer, encode_text
from wan_app.likeness.training.course import Course
from wan_app.likeness.training.parallel import Rank
from wan_app.likeness.world.attributes import BALD, CLASSES, Scenes, sample_scenes
from wan_app.likeness.world.captions import caption, vocabulary
from wan_app.likeness.world.render import draw_portraits

PERSON = ("skin", "hair_colour", "hairstyle", "hat", "glasses", "shirt", "hat_colour")
COLOURS = ("skin", "hair", "shirt", "trousers", "hat")


def disturb(pictures: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Portraits as cameras and scalers leave them: soft or noisy, lighter or darker; (B, 3, H, W) in [0, 1]."""
    n = len(pictures)
    level = torch.rand(n, 1, 1, 1, generator=generator)
    noise = torch.randn(pictures.shape, generator=generator) * 0.04 * level
    light = 0.92 + 0.16 * torch.rand(n, 1, 1, 1, generator=generator)
    soft = F.interpolate(F.avg_pool2d(pictures, 2), scale_factor=2, mode="bilinear", align_corners=False)
    blurred = torch.rand(n, 1, 1, 1, generator=generator) < 0.3
    return (torch.where(blurred, soft, pictures) * light + noise).clamp(0, 1)


def identity_loss(found: dict[str, torch.Tensor], scenes: Scenes) -> torch.Tensor:
    """Cross-entropy of every attribute that shows, plus squared error of the colours that show."""
    haired = scenes.classes["hairstyle"] != BALD
    hatted = scenes.classes["hat"] > 0
    shows = {"hair_colour": haired, "hat_colour": hatted}
    total = torch.zeros(())
    for name in PERSON:
        each = F.cross_entropy(found[name].float(), scenes.classes[name], reduction="none")
        total = total + (each * shows.get(name, torch.ones_like(haired)).float()).mean()
    truth = torch.stack([scenes.colours[name] for name in COLOURS], 1)
    weight = torch.stack(
        [torch.ones_like(haired), haired, torch.ones_like(haired), haired & False, hatted], 1
    )
    return total + 10 * ((found["colours"].float() - truth).square().mean(2) * weight.float()).mean()


def train_identity(rank: Rank, folder: Path, minutes: float, batch: int = 64) -> None:
    """Train the recogniser for `minutes` of wall time and save it to `folder`."""
    torch.manual_seed(0)
    model = LikenessIdentityEncoder(classes={name: CLASSES[name] for name in PERSON}, colours=len(COLOURS))
    model.to(rank.device)
    generator = torch.Generator().manual_seed(2000 + rank.index)
    course = Course(rank, model, minutes, 2e-3, adam_rate=1e-3)
    for _ in course:
        scenes = sample_scenes(batch, generator)
        pictures = disturb(draw_portraits(scenes, PICTURE, generator), generator).to(rank.device) * 2 - 1
        scenes = scenes.to(rank.device)
        with rank.autocast():
            found = model.recognise(model(pictures))
        loss = identity_loss(found, scenes)
        if course.learn(loss):
            course.tell("identity", f"loss {loss.item():.3f} {right_shares(found, scenes, PERSON)}")
    if course.finish():
        model.save_pretrained(folder / "identity_encoder")


def train_text(rank: Rank, folder: Path, minutes: float, batch: int = 128) -> None:
    """Train the text encoder for `minutes` of wall time; saves it and its tokenizer to `folder`."""
    torch.manual_seed(0)
    words = vocabulary()
    tokenizer, model = build_tokenizer(words), build_text_encoder(len(words)).to(rank.device)
    # The head is only the teacher: what a caption leaves out it cannot know, and its loss says so evenly.
    head = nn.Linear(TEXT_DIM, sum(CLASSES.values())).to(rank.device)
    both = nn.ModuleDict({"encoder": model, "head": head})
    generator, rng = torch.Generator().manual_seed(3000 + rank.index), random.Random(rank.index)
    course = Course(rank, both, minutes, 2e-3, tell_every=100)
    for _ in course:
        scenes = sample_scenes(batch, generator)
        texts = [caption(scenes, row, rng) for row in range(batch)]
        scenes = scenes.to(rank.device)
        with rank.autocast():
            hidden = encode_text(tokenizer, model, texts)
            logits = head(hidden.sum(1) / 10)
        parts = dict(zip(CLASSES, logits.float().split(list(CLASSES.values()), 1)))
        loss = sum(F.cross_entropy(parts[name], scenes.classes[name]) for name in CLASSES)
        if course.learn(loss):
            course.tell("text", f"loss {loss.item():.3f} {right_shares(parts, scenes, CLASSES)}")
    if course.finish():
        model.save_pretrained(folder / "text_encoder")
        tokenizer.save_pretrained(folder / "tokenizer")


def right_shares(found: dict[str, torch.Tensor], scenes: Scenes, names: Iterable[str]) -> dict[str, float]:
    """The share of a batch whose attribute the logits `found` name right, for the log."""
    return {n: round(float((found[n].argmax(1) == scenes.classes[n]).float().mean()), 2) for n in names}

