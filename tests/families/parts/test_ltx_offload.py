"""Every way to put the models on LTX-2's networks on a machine makes the same video; prompts are read once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.families import tiny_echo, tiny_ltx
from tests.families.conftest import Recorder
from wan_app.families import registry
from wan_app.families.base import Output, Plan
from wan_app.families.parts import gemma_words, ltx_base
from wan_app.types import GenerationRequest

CASES = {
    "ltx-2": (lambda: tiny_ltx.tiny_spec("ltx-2"), tiny_ltx.build),
    "ltx-2.5": (lambda: tiny_ltx.tiny_spec("ltx-2.5"), tiny_ltx.build_25),
    "echo-1.5": (tiny_echo.tiny_spec, tiny_echo.build),
}


@pytest.fixture(scope="module", params=CASES)
def checkpoint(request: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    spec, build = CASES[request.param]
    return spec(), build(tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def plain(checkpoint: tuple[Any, Path]) -> Output:
    """With everything on the device."""
    return made(checkpoint, Plan())


def made(checkpoint: tuple[Any, Path], plan: Plan, *, times: int = 1, prompt: str = "a fox walks") -> Output:
    """The last video of a model loaded anew."""
    spec, folder = checkpoint
    runner = registry.load(spec, plan, folder)
    try:
        for _ in range(times):
            output = runner.generate(asked(spec, prompt), Recorder())
        return output
    finally:
        runner.close()


def asked(spec: Any, prompt: str) -> GenerationRequest:
    request = GenerationRequest(mode="text", prompt=prompt, seed=1, num_inference_steps=2, num_frames=9)
    return spec.resolve(request)


def same(one: Output, other: Output) -> bool:
    assert one.frames is not None and one.audio is not None and other.frames is not None and other.audio is not None
    return np.array_equal(one.frames, other.frames) and np.array_equal(one.audio, other.audio)


@pytest.mark.parametrize("offload", ["text_encoder", "model", "group"])
def test_the_video_and_its_sound_are_the_same(checkpoint: Any, plain: Output, offload: str) -> None:
    # Twice: what the first run put away must come back.
    assert same(made(checkpoint, Plan(offload=offload), times=2), plain)


def test_each_prompt_is_read_once_also_after_a_restart(
    checkpoint: Any, plain: Output, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    loads: list[Path] = []
    load = gemma_words.load_gemma
    monkeypatch.setattr(gemma_words, "load_gemma", lambda cls, plan, at: loads.append(at) or load(cls, plan, at))
    plan = Plan(offload="text_encoder", cache=tmp_path)
    for _ in range(2):
        assert same(made(checkpoint, plan, times=2), plain)
    assert len(loads) == 1
    # The prompt, and where there is guidance the empty negative prompt.
    files = list((tmp_path / "prompts").iterdir())
    assert len(files) == 1 + (checkpoint[0].guidance_scale > 1)
    assert not same(made(checkpoint, plan, prompt="a dog"), plain) and len(loads) == 2


def test_states_on_disk_take_room_for_their_words_only(checkpoint: Any, tmp_path: Path) -> None:
    made(checkpoint, Plan(cache=tmp_path))
    spec, folder = checkpoint
    runner: Any = registry.load(spec, Plan(), folder)
    words = runner.words.read(["a fox walks"], Recorder())[0]
    runner.close()
    assert words.states.shape[1] == words.mask.shape[1] == gemma_words.MAX_TOKENS
    # Words stand at the right end.
    count = int(words.mask.sum())
    assert 0 < count < 100 and bool(words.mask[0, -count:].all())
    largest = max(file.stat().st_size for file in (tmp_path / "prompts").iterdir())
    assert largest < 2 * count * words.states[0, 0].numel() * words.states.element_size() + 1000


def test_one_part_at_a_time_puts_the_transformer_away(checkpoint: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    spec, folder = checkpoint
    runner: Any = registry.load(spec, Plan(offload="model"), folder)
    seen = {}
    read, decode = runner.words.read, runner.decoder.frames
    monkeypatch.setattr(runner.words, "read", lambda *a: seen.update(read=runner.residents.resident) or read(*a))
    monkeypatch.setattr(
        runner.decoder, "frames", lambda *a: seen.update(decode=runner.residents.resident) or decode(*a)
    )
    runner.generate(asked(spec, "a fox"), Recorder())
    assert seen == {"read": None, "decode": None}
    runner.close()


@pytest.mark.parametrize("latents", [4, 5, 7, 8])
def test_no_tile_is_too_narrow_to_decode(latents: int) -> None:
    """With diffusers' own way a clip of 480 pixels leaves a tile of a single latent, which cannot be mirrored."""
    import torch

    vae = tiny_ltx.ltx_parts()["vae"].eval()
    # Tiles of four latents every three: 4 and 7 would leave one.
    vae.enable_tiling(128, 128, tile_sample_stride_height=96, tile_sample_stride_width=96)
    given = torch.randn(1, vae.config.latent_channels, 1, 2, latents)
    with torch.no_grad():
        if latents % 3 == 1 and latents > 4:
            with pytest.raises(RuntimeError, match="Padding size"):
                vae.decode(given, None)
        ltx_base.fit_tiles(vae, given)
        assert vae.decode(given, None).sample.shape[-2:] == (64, 32 * latents)
