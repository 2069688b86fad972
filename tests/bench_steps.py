"""A denoising step with random weights of true shapes: built, placed in one of several ways, and timed."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from wan_app.families.parts import speed
from wan_app.families.weights.checkpoints import load_component


@dataclass(frozen=True, kw_only=True)
class Shapes:
    """A transformer and the clip it works on.

    Args:
        config: of WanTransformer3DModel, without `num_layers`.
        blocks: how many the model has.
        measured: with how many it is run; two numbers are extrapolated to `blocks`.
        latent: frames, height and width of the latents.
        vae: of AutoencoderKLWan where it is not the true one.
        check: whether one pass with all blocks checks the extrapolation.
    """

    name: str
    config: dict[str, Any]
    blocks: int
    measured: tuple[int, ...]
    latent: tuple[int, int, int]
    text: tuple[int, int] = (512, 4096)
    vae: dict[str, Any] = field(default_factory=dict)
    check: bool = False


def _wan(heads: int, ffn_dim: int) -> dict[str, Any]:
    return {"num_attention_heads": heads, "attention_head_dim": 128, "ffn_dim": ffn_dim}


# 81 frames are 21 latent ones.
REAL = (
    Shapes(name="1.3B 480p", config=_wan(12, 8960), blocks=30, measured=(30,), latent=(21, 60, 104)),
    Shapes(
        name="14B 720p", config=_wan(40, 13824), blocks=40, measured=(2, 6), latent=(21, 90, 160), check=True
    ),
)
_TINY = {"num_attention_heads": 2, "attention_head_dim": 12, "ffn_dim": 32, "text_dim": 16, "freq_dim": 32}
_TINY_VAE = {"base_dim": 4, "dim_mult": [1, 1, 1, 1], "num_res_blocks": 1}
_TOY = Shapes(
    name="toy whole", config=_TINY, blocks=2, measured=(2,), latent=(2, 4, 6), text=(8, 16), vae=_TINY_VAE
)
TOY = (_TOY, replace(_TOY, name="toy in parts", blocks=4, measured=(1, 2), check=True))


class Variant(NamedTuple):
    """One way to run a step. `peer` is plain diffusers, with nothing of this app."""

    weights: str = "bf16"
    compiled: bool = False
    offloaded: bool = False
    peer: bool = False

    @property
    def name(self) -> str:
        words = ["plain diffusers," if self.peer else "", self.weights]
        words += ["compiled" if self.compiled else "eager", "group-offloaded" if self.offloaded else "resident"]
        return " ".join(filter(None, words))


# --- Building and placing ----------------------------------------------------------------------


def build(one: Shapes, blocks: int, device: str) -> Any:
    """A WanTransformer3DModel with random weights in bf16, made on the device."""
    import torch
    from diffusers import WanTransformer3DModel

    torch.manual_seed(0)
    usual = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device(device):
            return WanTransformer3DModel(**one.config, num_layers=blocks).eval()
    finally:
        torch.set_default_dtype(usual)


def save(one: Shapes, blocks: int, folder: Path, device: str) -> Path:
    """The model in the layout of a repository, so that the app's own loading is what is measured."""
    where = folder / f"{one.name}-{blocks}".replace(" ", "-")
    with emptied(device):
        build(one, blocks, device).save_pretrained(where / "transformer")
    return where


def load(variant: Variant, folder: Path, device: str) -> tuple[Any, str]:
    """The transformer as the variant has it, and the attention it uses."""
    import torch
    from diffusers import WanTransformer3DModel

    if variant.peer:
        model = WanTransformer3DModel.from_pretrained(folder / "transformer", torch_dtype=torch.bfloat16)
        return model.eval().to(device), "native"
    quantization = variant.weights if variant.weights in ("nf4", "int8") else "none"
    model = load_component(WanTransformer3DModel, folder, "transformer", torch.bfloat16, quantization)
    if variant.weights == "fp8":
        use_fp8(model.to(device))
    attention = speed.choose_attention([model], device)
    if variant.compiled:
        # The toy shows that it runs; the real compiler would take it a minute.
        speed.compile_blocks(model, **({} if device.startswith("cuda") else {"backend": "eager"}))
    if not variant.offloaded:
        return model.to(device), attention
    from diffusers.hooks import apply_group_offloading

    apply_group_offloading(
        model, torch.device(device), offload_type="block_level", num_blocks_per_group=1,
        use_stream=device.startswith("cuda"),
    )  # fmt: skip
    return model, attention


def use_fp8(model: Any) -> None:
    """Put 8-bit floating point products in place of the linear layers of all blocks."""
    import torch

    for block in model.blocks:
        for name, module in list(block.named_modules()):
            if isinstance(module, torch.nn.Linear):
                parent, _, leaf = name.rpartition(".")
                setattr(block.get_submodule(parent), leaf, fp8_linear(module))


def fp8_linear(plain: Any) -> Any:
    """A linear layer in e4m3, weights scaled by output and inputs by token as they come."""
    import torch

    largest = torch.finfo(torch.float8_e4m3fn).max

    def scaled(rows: Any) -> tuple[Any, Any]:
        scale = rows.abs().amax(dim=1, keepdim=True).float().clamp(min=1e-12) / largest
        return (rows / scale).clamp(-largest, largest).to(torch.float8_e4m3fn), scale

    class Fp8Linear(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            weight, scale = scaled(plain.weight.detach())
            self.register_buffer("weight", weight)
            self.register_buffer("scale", scale.T.contiguous())
            self.register_buffer("bias", None if plain.bias is None else plain.bias.detach())

        def forward(self, inputs: Any) -> Any:
            rows, scale = scaled(inputs.flatten(0, -2))
            product = torch._scaled_mm(
                rows, self.weight.T, scale_a=scale, scale_b=self.scale, bias=self.bias, out_dtype=inputs.dtype
            )
            return product.unflatten(0, inputs.shape[:-1])

    return Fp8Linear()


# --- Measuring ---------------------------------------------------------------------------------


def inputs(one: Shapes, device: str) -> dict[str, Any]:
    """Random latents (1, 16, F, h, w), a timestep and a prompt's embeddings."""
    import torch

    kind = {"device": device, "dtype": torch.bfloat16}
    return {
        "hidden_states": torch.randn(1, 16, *one.latent, **kind),
        "timestep": torch.tensor([500], device=device),
        "encoder_hidden_states": torch.randn(1, *one.text, **kind),
    }


def step(model: Any, one: Shapes, device: str) -> dict[str, float]:
    """Seconds of a step and of the first pass (compilers and kernels set up in it), and peak GB."""
    import torch

    given = inputs(one, device)
    with torch.no_grad():
        first = timed(lambda: model(**given), device)
        if device.startswith("cuda"):
            torch.cuda.reset_peak_memory_stats()
        # Passes of seconds vary by little; short ones by more.
        passes = [timed(lambda: model(**given), device) for _ in range(1 if first > 3 else 3)]
    peak = torch.cuda.max_memory_allocated() if device.startswith("cuda") else 0
    return {"seconds": 2 * min(passes), "first_seconds": first, "peak_gb": peak / 1e9}


def decoding(one: Shapes, device: str, layout: str) -> dict[str, Any]:
    """Seconds and peak GB of a Wan2.1 autoencoder (fp32, random weights) that decodes the clip in tiles.

    Args:
        layout: of its convolutions: `contiguous_format` or `channels_last_3d`.
    """
    import torch
    from diffusers import AutoencoderKLWan

    torch.manual_seed(0)
    with torch.device(device):
        vae = AutoencoderKLWan(**one.vae).eval()
    speed.lay_out(vae, layout)
    vae.enable_tiling()
    latents = torch.randn(1, 16, *one.latent, device=device)
    with torch.no_grad():
        # What kernels are chosen for a few frames is kept for the rest.
        timed(lambda: vae.decode(latents[:, :, :2]), device)
        if device.startswith("cuda"):
            torch.cuda.reset_peak_memory_stats()
        seconds = timed(lambda: vae.decode(latents), device)
    peak = torch.cuda.max_memory_allocated() if device.startswith("cuda") else 0
    return {"model": one.name, "layout": layout, "seconds": seconds, "peak_gb": peak / 1e9}


def timed(work: Callable[[], Any], device: str) -> float:
    """Seconds until the device has done the work."""
    import torch

    wait = torch.cuda.synchronize if device.startswith("cuda") else (lambda: None)
    wait()
    began = time.perf_counter()
    work()
    wait()
    return time.perf_counter() - began


def matmul_tflops(device: str) -> float:
    """The ceiling: the best rate of a large bf16 product on this device, right now."""
    import torch

    side = 8192 if device.startswith("cuda") else 256
    left, right = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    timed(lambda: left @ right, device)
    # As long as a step is, so that it is the rate the card can hold, not its first moment.
    return max(2e-12 * side**3 * 20 / timed(lambda: [left @ right for _ in range(20)], device) for _ in range(5))


def forward_tflop(one: Shapes, blocks: int) -> float:
    """Arithmetic of one pass, in 10^12 operations, counted on a model without memory."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    model, given = build(one, 1, "meta"), inputs(one, "meta")
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        model(**given)
    counts = counter.get_flop_counts()
    block = sum(counts[f"{type(model).__name__}.blocks.0"].values())
    return (counter.get_total_flops() + (blocks - 1) * block) / 1e12


def extrapolated(points: list[dict[str, float]], name: str, blocks: int) -> float:
    """The value at `blocks`, on the line through the first and the last point."""
    first, last = points[0], points[-1]
    if first is last:
        return first[name]
    slope = (last[name] - first[name]) / (last["blocks"] - first["blocks"])
    return last[name] + slope * (blocks - last["blocks"])


@contextmanager
def emptied(device: str) -> Iterator[None]:
    """Memory free of what is no longer used, before and after."""
    import torch

    def free() -> None:
        gc.collect()
        # Code compiled for one variant counts against the limit of another's.
        torch._dynamo.reset()
        if device.startswith("cuda"):
            torch.cuda.empty_cache()

    free()
    try:
        yield
    finally:
        free()
