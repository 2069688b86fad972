"""LTX's own ways: guidance, given frames, the clean estimate, words to say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from wan_app.families import ltx, registry
from wan_app.families.base import Numbers, Pipeline, Plan
from wan_app.families.parts import ltx_base
from wan_app.families.parts.sounding import prompt_saying, sound_of
from wan_app.families.parts.stills import as_video_still
from wan_app.types import Character, GenerationRequest

from . import tiny_ltx
from .conftest import Recorder
from .tiny_parts import change


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    folder = tiny_ltx.build(tmp_path_factory.mktemp("ltx"))
    loaded = registry.load(tiny_ltx.tiny_spec("ltx-2"), Plan(), folder)
    yield loaded
    loaded.close()


def asked(model_id: str = "ltx-2", **changes: Any) -> GenerationRequest:
    wanted: dict[str, Any] = {"mode": "text", "prompt": "a fox", "seed": 3, "num_frames": 9, "num_inference_steps": 2}
    return tiny_ltx.tiny_spec(model_id).resolve(GenerationRequest(**(wanted | changes)))


@pytest.mark.parametrize(("guidance_scale", "passes"), [(3.0, 3), (1.0, 1)])
def test_guidance_of_one_means_one_pass_a_step(pipeline: Pipeline, guidance_scale: float, passes: int) -> None:
    used: list[Any] = []
    handle = pipeline.pipe.transformer.register_forward_pre_hook(  # type: ignore[attr-defined]
        lambda module, args: used.append(1)
    )
    try:
        pipeline.generate(asked(guidance_scale=guidance_scale), Recorder())
    finally:
        handle.remove()
    # With guidance: prompt and negative prompt together, skipped blocks, picture and sound apart.
    assert len(used) == 2 * passes


def test_each_generation_is_run_as_its_authors_publish_it() -> None:
    assert ltx._OF_ITS_OWN.keys() == ltx._IMAGE_CRF.keys() == {spec.id for spec in ltx.SPECS}


def test_a_last_picture_guides_the_frames_before_it(pipeline: Pipeline, picture: Path) -> None:
    first = asked(mode="image", image=picture)
    both = asked(mode="image", image=picture, last_image=picture)
    alone, guided = (pipeline.generate(request, Recorder()).frames for request in (first, both))
    assert not np.array_equal(alone[4], guided[4])


def test_given_frames_are_compressed_before_the_model_sees_them(
    pipeline: Pipeline, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def spied(image: Image.Image, crf: int) -> Image.Image:
        seen.append((image.size, crf))
        return image

    monkeypatch.setattr(ltx, "as_video_still", spied)
    pipeline.generate(asked(mode="image", image=picture), Recorder())
    assert seen == [((96, 64), 33)]


@pytest.mark.parametrize("size", [(96, 64), (130, 34)])
def test_a_video_still_keeps_size_and_colours_and_loses_detail(size: tuple[int, int]) -> None:
    noise = Image.effect_noise(size, 40).convert("RGB")
    noise.paste((200, 30, 30), (0, 0, size[0] // 2, size[1]))
    gentle, hard = (as_video_still(noise, crf) for crf in (18, 45))
    assert gentle.size == hard.size == size
    red = np.asarray(gentle)[:, : size[0] // 3].reshape(-1, 3).mean(axis=0)
    assert np.abs(red - (200, 30, 30)).max() < 16
    errors = [np.abs(np.asarray(one, float) - np.asarray(noise, float)).mean() for one in (gentle, hard)]
    assert 0 < errors[0] < errors[1]


def test_the_clean_estimate_is_the_one_of_the_step() -> None:
    import torch

    clean, noise = torch.randn(2, 1, 6, 4, generator=torch.Generator().manual_seed(1))
    levels = torch.tensor([1.0, 0.7, 0.2, 0.0])
    trail = [clean + level * (noise - clean) for level in levels]
    before: list[Any] = []
    found = [ltx.clean_estimate(levels[i : i + 2], before, trail[i + 1]) for i in range(3)]
    assert found[0] is None
    assert torch.allclose(found[1], clean, atol=1e-5) and torch.allclose(found[2], clean, atol=1e-5)


def test_tokens_of_given_frames_are_no_part_of_the_preview() -> None:
    import torch

    vae = SimpleNamespace(temporal_compression_ratio=8, spatial_compression_ratio=32)
    tokens = torch.arange(2 * 2 * 3 + 6).float().view(1, -1, 1).expand(-1, -1, 5)
    latents = ltx_base.unpacked(tokens, Numbers(96, 64, 9, 1, 1.0, 1), vae)
    assert latents.shape == (1, 5, 2, 2, 3)
    assert latents[0, 0, 1, 1, 2] == 11 and latents.max() == 11


def test_helpers_that_are_not_used_are_not_loaded(tmp_path: Path) -> None:
    """LTX-2.5 lists a second language model; its folder holds what would not load here."""
    tiny_ltx.build(tmp_path)
    change(tmp_path / "model_index.json", prompt_enhancer=["transformers", "Gemma4ForConditionalGeneration"])
    runner = registry.load(tiny_ltx.tiny_spec("ltx-2"), Plan(), tmp_path)
    assert runner.pipe.prompt_enhancer is None  # type: ignore[attr-defined]


def test_words_to_say_stand_in_the_prompt() -> None:
    people = (Character(name="Ann", faces=(Path("a.png"),)), Character(name="Bob", faces=(Path("b.png"),)))
    request = GenerationRequest(
        mode="reference", prompt="Ann meets bob", say="Ann: Hello.\nBob: Hi!", characters=people
    )
    words = ("the woman", "the man")
    assert prompt_saying(request, words) == 'the woman meets the man The woman says: "Hello." The man says: "Hi!"'
    alone = GenerationRequest(mode="text", prompt="a fox", say="Good evening")
    assert prompt_saying(alone) == 'a fox A voice says: "Good evening"'
    assert prompt_saying(GenerationRequest(mode="text", prompt="a fox")) == "a fox"


@pytest.mark.parametrize("made", [900, 1100])
def test_sound_is_cut_or_filled_to_the_clip(made: int) -> None:
    import torch

    sound = sound_of(torch.full((1, 2, made), 2.0), 1000, 1.0)
    assert sound.shape == (2, 1000) and sound.dtype == np.float32
    assert sound[:, :900].min() == 1 and sound[:, made:].max(initial=0) == 0
