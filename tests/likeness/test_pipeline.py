"""The pipeline on tiny random networks: windows, given pictures, and the way to disk and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from wan_app.likeness.pipeline import WINDOW, LikenessPipeline, plan_windows


@pytest.fixture(scope="module")
def pipe(tiny_folder: Path) -> LikenessPipeline:
    return LikenessPipeline.from_pretrained(tiny_folder)


def seed(number: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(number)


def run(pipe: LikenessPipeline, prompt: str = "a person waves", **changes) -> np.ndarray:
    return pipe(prompt, **({"num_inference_steps": 2, "generator": seed()} | changes)).frames


@pytest.mark.parametrize(
    ("latent_frames", "windows"),
    [(2, [(0, 2)]), (5, [(0, 5)]), (6, [(0, 5), (3, 6)]), (11, [(0, 5), (3, 8), (6, 11)])],
)
def test_windows_cover_a_clip_and_overlap(latent_frames: int, windows: list[tuple[int, int]]) -> None:
    assert list(plan_windows(latent_frames)) == windows
    assert all(stop - start <= WINDOW for start, stop in windows)


@pytest.mark.parametrize("num_frames", [5, 17, 21, 41])
def test_any_length_on_the_grid(pipe: LikenessPipeline, num_frames: int) -> None:
    steps: list[tuple[int, int]] = []
    frames = run(
        pipe, num_frames=num_frames, height=96, width=160, on_step=lambda i, n, clean: steps.append((i, n))
    )
    assert frames.shape == (num_frames, 96, 160, 3) and frames.dtype == np.uint8
    assert steps == [(i + 1, len(steps)) for i in range(len(steps))]


def test_a_longer_clip_goes_on_from_the_shorter_one(pipe: LikenessPipeline) -> None:
    short, long = run(pipe, num_frames=17), run(pipe, num_frames=29)
    assert np.array_equal(short, long[:17])


def test_given_frames_are_decoded_as_given(pipe: LikenessPipeline) -> None:
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (80, 90, 3), np.uint8))
    one, other = (run(pipe, image=picture, generator=seed(n)) for n in (1, 2))
    assert np.array_equal(one[0], other[0]) and not np.array_equal(one[8], other[8])
    clip = [picture] * 5
    assert np.array_equal(
        run(pipe, image=clip, generator=seed(1))[:5], run(pipe, image=clip, generator=seed(2))[:5]
    )


@pytest.mark.parametrize("name", ["last_image", "reference_images"])
def test_pictures_matter(pipe: LikenessPipeline, name: str) -> None:
    red, blue = (Image.new("RGB", (64, 64), colour) for colour in ("red", "blue"))
    made = [run(pipe, **{name: [one] if name == "reference_images" else one}) for one in (red, blue)]
    assert not np.array_equal(*made)


def test_to_disk_and_back(pipe: LikenessPipeline, tmp_path: Path) -> None:
    pipe.save_pretrained(tmp_path / "copy")
    again = LikenessPipeline.from_pretrained(tmp_path / "copy")
    assert np.array_equal(run(pipe), run(again))
    assert list((tmp_path / "copy").rglob("*.bin")) == []
