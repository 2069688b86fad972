"""Attention that is tried before it is trusted, blocks that stay interruptible when compiled, laid out convolutions."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from tests.families import tiny_wan
from tests.families.tiny_parts import wan_transformer
from wan_app.errors import Cancelled
from wan_app.families.base import Plan, cancel_points
from wan_app.families.parts import speed


def given(frames: int = 2) -> dict[str, Any]:
    import torch

    random = torch.Generator().manual_seed(0)
    return {
        "hidden_states": torch.randn(1, 16, frames, 4, 6, generator=random),
        "timestep": torch.tensor([500]),
        "encoder_hidden_states": torch.randn(1, 8, 16, generator=random),
        "return_dict": False,
    }


@pytest.fixture
def transformer() -> Any:
    return wan_transformer(num_layers=3).eval().requires_grad_(False)


def backends_of(transformer: Any) -> set[str]:
    return {block.attn1.processor._attention_backend.value for block in transformer.blocks}


def test_the_first_attention_that_works_is_taken_and_the_others_are_told(
    transformer: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from diffusers.models.attention_dispatch import _AttentionBackendRegistry as backends

    default = backends.get_active_backend()[0]
    tried = []

    def trial(name: str, *_: Any) -> None:
        tried.append(name)
        if name == "_native_flash":
            raise RuntimeError("is off by 3")

    monkeypatch.setattr(speed, "_try_attention", trial)
    with caplog.at_level(logging.INFO):
        found = speed.choose_attention([transformer], "cuda", ("flash", "_native_flash", "_native_math", "native"))
    assert found == "_native_math" and backends_of(transformer) == {"_native_math"}
    # flash-attn is not installed, so it was not even tried.
    assert tried == ["_native_flash", "_native_math"]
    assert "flash" in caplog.text and "is off by 3" in caplog.text and "attention: _native_math" in caplog.text
    # Another model, which may give masks, keeps torch's own.
    assert backends.get_active_backend()[0] == default


def test_where_nothing_works_torchs_own_attention_is_left(transformer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "_try_attention", lambda *_: 1 / 0)
    assert speed.choose_attention([transformer], "cuda", ("_native_flash",)) == "native"
    assert backends_of(transformer) == {"native"}
    assert speed.choose_attention([transformer], "cpu", ("_native_math",)) == "native"


def test_a_kernel_with_wrong_results_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from diffusers.models import attention_dispatch

    speed._try_attention("_native_math", "cpu", 2, 16)
    plain = attention_dispatch.dispatch_attention_fn

    def broken(query: Any, key: Any, value: Any, *, backend: Any) -> Any:
        return plain(query, key, value, backend=backend) * (float("nan") if backend.value == "_native_math" else 1)

    monkeypatch.setattr(attention_dispatch, "dispatch_attention_fn", broken)
    with pytest.raises(RuntimeError, match="is off by nan"):
        speed._try_attention("_native_math", "cpu", 2, 16)


def test_blocks_share_their_code_give_the_same_and_can_be_stopped(transformer: Any) -> None:
    import torch

    graphs = []

    def backend(graph: Any, _: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    plain = transformer(**given())[0]
    blocks = speed.compile_blocks(transformer, backend=backend)
    assert len(blocks) == 3 and torch.allclose(transformer(**given())[0], plain, atol=1e-6)
    assert len(graphs) == 1
    calls = []

    def check() -> None:
        calls.append(1)
        if len(calls) == 5:
            raise Cancelled

    with cancel_points(transformer.blocks, check):
        transformer(**given())
        with pytest.raises(Cancelled):
            transformer(**given())
    # Asked before every block of both passes, and nothing was compiled anew for it.
    assert len(calls) == 5 and len(graphs) == 1
    for block in blocks:
        block.on = False
    assert torch.equal(transformer(**given())[0], plain)


def test_a_compiler_that_fails_leaves_the_plain_blocks(transformer: Any, caplog: pytest.LogCaptureFixture) -> None:
    import torch

    def no_compiler(*_: Any) -> Any:
        raise RuntimeError("no C compiler is here")

    plain = transformer(**given())[0]
    speed.compile_blocks(transformer, backend=no_compiler)
    for _ in range(2):
        assert torch.equal(transformer(**given())[0], plain)
    assert caplog.text.count("blocks are not compiled") == 3


def test_long_runs_are_compiled_and_short_ones_not(transformer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(speed, "_try_attention", lambda *_: None)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA GeForce RTX 4090")
    kernels = speed.Kernels([transformer], "cuda")
    # 1.3B at 480p: 50 steps of two passes, and four of one.
    assert kernels.compile_for(283 * 100) and all(block.forward.on for block in transformer.blocks)
    assert not kernels.compile_for(283 * 4) and not any(block.forward.on for block in transformer.blocks)


@pytest.mark.parametrize(("device", "quantization"), [("cpu", "none"), ("cuda", "int8")])
def test_where_compiling_is_no_help_blocks_are_left_alone(
    transformer: Any, monkeypatch: pytest.MonkeyPatch, device: str, quantization: str
) -> None:
    monkeypatch.setattr(speed, "_try_attention", lambda *_: None)
    assert not speed.Kernels([transformer], device, quantization).compile_for(1e9)
    assert not any(isinstance(block.forward, speed.CompiledForward) for block in transformer.blocks)


def test_a_full_card_is_not_blamed_on_the_compiler() -> None:
    import torch

    def full(*_: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    block = speed.CompiledForward(lambda: pytest.fail("ran again"), lambda _: full)
    for _ in range(2):
        with pytest.raises(torch.OutOfMemoryError):
            block()


@pytest.mark.parametrize("tiling", [False, True], ids=["whole", "tiled"])
@pytest.mark.parametrize("build", [tiny_wan.build_text, tiny_wan.build_text_and_image], ids=["2.1", "2.2"])
def test_an_autoencoder_gives_the_same_in_a_cards_layout(tmp_path: Path, build: Any, tiling: bool) -> None:
    import torch
    from diffusers import AutoencoderKLWan

    vae = AutoencoderKLWan.from_pretrained(build(tmp_path), subfolder="vae").eval()
    if tiling:
        vae.enable_tiling(64, 64, 48, 48)
    clip = torch.rand(1, 3, 5, 96, 128, generator=torch.Generator().manual_seed(0)) * 2 - 1
    found = []
    with torch.no_grad():
        for layout in ("contiguous_format", "channels_last_3d"):
            speed.lay_out(vae, layout)
            latents = vae.encode(clip).latent_dist.mode()
            found.append((latents, vae.decode(latents).sample))
    for plain, laid_out in zip(*found):
        assert plain.abs().max() > 0.01 and (plain - laid_out).abs().max() < 1e-5


@pytest.mark.parametrize(("device", "wanted"), [("cpu", False), ("cuda", True)])
def test_autoencoders_are_laid_out_for_cards_alone(tmp_path: Path, device: str, wanted: bool) -> None:
    import torch
    from diffusers import WanPipeline

    from wan_app.families.parts.wan_base import load_pipeline

    # It is not placed yet: that is the runner's work.
    pipe = load_pipeline(WanPipeline, Plan(device=device), tiny_wan.build_text(tmp_path), transformer=wan_transformer())
    weights = [one.weight for one in pipe.vae.modules() if isinstance(one, torch.nn.Conv3d) and one.in_channels > 1]
    wide = [one for one in weights if one.shape[2:] != (1, 1, 1)]
    assert wide and all(one.is_contiguous(memory_format=torch.channels_last_3d) is wanted for one in wide)
