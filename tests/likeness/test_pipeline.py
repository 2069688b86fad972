"""The pipeline on tiny random networks: windows, given pictures, and the way to disk and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from wan_app.likeness.pipeline import WINDOW, Latents, LikenessOutput, LikenessPipeline, plan_windows


@pytest.fixture(scope="module")
def pipe(tiny_folder: Path) -> LikenessPipeline:
    return LikenessPipeline.from_pretrained(tiny_folder)


def seed(number: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(number)


def run(pipe: LikenessPipeline, prompt: str = "a person waves", **changes) -> np.ndarray:
    return make(pipe, prompt, **changes).frames


def make(pipe: LikenessPipeline, prompt: str = "a person waves", **changes) -> LikenessOutput:
    return pipe(prompt, **({"num_inference_steps": 2, "generator": seed()} | changes))


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
    made = make(
        pipe, num_frames=num_frames, height=96, width=160, on_step=lambda i, n, clean: steps.append((i, n))
    )
    frames = made.frames
    # Eight frames a second, 16,000 samples a second: the sound is exactly as long.
    assert made.audio.shape == (1, 2000 * num_frames) and made.audio.dtype == np.float32
    assert frames.shape == (num_frames, 96, 160, 3) and frames.dtype == np.uint8
    assert steps == [(i + 1, len(steps)) for i in range(len(steps))]


def test_a_clip_goes_on_from_any_of_its_windows_and_is_the_same(pipe: LikenessPipeline) -> None:
    so_far: list[Latents] = []
    whole = make(pipe, num_frames=41, on_window=so_far.append)
    assert [one.video.shape[2] for one in so_far] == [5, 8], "after the last window there is nothing to take up"
    for windows, made in enumerate(so_far, 1):
        steps: list[int] = []
        again = make(pipe, num_frames=41, made=made, on_step=lambda i, n, clean, steps=steps: steps.append(i))
        assert steps[0] == 2 * windows + 1
        assert np.array_equal(again.frames, whole.frames) and np.array_equal(again.audio, whole.audio)


def test_a_longer_clip_goes_on_from_the_shorter_one(pipe: LikenessPipeline) -> None:
    heard: list[torch.Tensor] = []
    sound = pipe.decode_sound
    pipe.decode_sound = lambda latents, *rest: heard.append(latents) or sound(latents, *rest)
    try:
        short, long = run(pipe, num_frames=17), run(pipe, num_frames=29)
    finally:
        del pipe.decode_sound
    assert np.array_equal(short, long[:17])
    assert torch.equal(heard[0], heard[1][:, :, :34]) and heard[1].shape[2] == 58


def test_a_voice_matters_and_sound_alone_needs_no_frames(pipe: LikenessPipeline) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 40_000).astype(np.float32)
    tone = np.sin(np.arange(40_000) * 0.06).astype(np.float32)
    first, second = (make(pipe, voice=voice) for voice in (noise, tone))
    assert not np.array_equal(first.audio, second.audio) and not np.array_equal(first.frames, second.frames)
    alone = make(pipe, voice=noise, sound_only=True)
    assert alone.frames is None and np.array_equal(alone.audio, first.audio)
    with pytest.raises(ValueError, match=r"voice: got 0\.25 s; needed at least 0\.5 s"):
        make(pipe, voice=noise[:4000])


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
