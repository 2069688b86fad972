"""Faster with the same result: the best attention that works here, blocks compiled one by one, convolutions
in the layout that a card's kernels like.

All are for CUDA cards; elsewhere nothing is changed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from wan_app.devices import tflops_of

logger = logging.getLogger(__name__)

# The fastest first, in diffusers' words. All of them are exact; sage's 8-bit attention is not, and what
# comes from the hub as compiled code is not fetched behind anyone's back.
ATTENTION = ("_flash_3", "_native_cudnn", "flash")
# torch's own choice among its kernels; works everywhere.
_PLAIN = "native"
# Tokens of picture and of text with which a kernel is tried, and how far it may lie from torch's own:
# bf16 has 8 bits, and kernels add up in another order.
_TRIAL = (1024, 512)
_TOLERANCE = 0.02
# Compiling takes half a minute to a minute and wins a fifth or more of the time (published figures): from
# this many seconds of predicted run on, it is ahead.
_WORTH_SECONDS = 240.0
# Share of the data sheet's rate that plain steps reach.
_REACHED = 0.5


class Kernels:
    """How the transformers of a loaded model compute on this device.

    To be made before anything wraps the blocks' forward (group offload does).

    Args:
        transformers: diffusers models of one architecture.
        quantization: as in `Plan`; 8-bit layers are left to bitsandbytes, whose code compilers do not follow.
    """

    def __init__(self, transformers: Iterable[Any], device: str, quantization: str = "none") -> None:
        models = list(transformers)
        self.attention = choose_attention(models, device)
        compiled = device.startswith("cuda") and quantization != "int8"
        self._blocks = [block for one in models for block in compile_blocks(one)] if compiled else []

    def compile_for(self, tflop: float) -> bool:
        """Run the blocks compiled if a run of so much arithmetic (10^12 operations) is worth it.

        It is a rule of the request and the card alone, so that the same request gives the same video.
        """
        if not self._blocks:
            return False
        import torch

        seconds = tflop / (tflops_of(torch.cuda.get_device_name()) * _REACHED)
        for block in self._blocks:
            block.on = seconds >= _WORTH_SECONDS
        return seconds >= _WORTH_SECONDS


# --- Attention -----------------------------------------------------------------------------------


def choose_attention(transformers: Iterable[Any], device: str, order: Sequence[str] = ATTENTION) -> str:
    """Set the first attention backend that runs here and agrees with torch's own; its name.

    Args:
        transformers: diffusers models of one architecture.
        device: torch device string; off CUDA torch's own is all there is.
    """
    models = list(transformers)
    config = models[0].config
    heads, width = config.num_attention_heads, config.attention_head_dim
    for name in order if device.startswith("cuda") else ():
        try:
            _set_attention(models, name)
            _try_attention(name, device, heads, width)
        except Exception as error:  # each package fails in its own way: missing, too old, wrong card
            logger.info("attention %s: %s", name, (str(error).splitlines() or [repr(error)])[0][:200])
            continue
        logger.info("attention: %s", name)
        return name
    _set_attention(models, _PLAIN)
    return _PLAIN


def _set_attention(models: Iterable[Any], name: str) -> None:
    """Raises where the backend's package is missing."""
    from diffusers.models.attention_dispatch import _AttentionBackendRegistry as backends

    # diffusers would make it the default of every other model too, and some give masks, which not
    # every backend takes.
    default, _ = backends.get_active_backend()
    try:
        for model in models:
            model.set_attention_backend(name)
    finally:
        backends.set_active_backend(default)


def _try_attention(name: str, device: str, heads: int, width: int) -> None:
    """Raises where the kernel does not run for this shape, or comes to another result."""
    import torch
    from diffusers.models.attention_dispatch import AttentionBackendName, dispatch_attention_fn

    generator = torch.Generator(device).manual_seed(0)
    for tokens in _TRIAL:
        shapes = ((1, _TRIAL[0], heads, width), (1, tokens, heads, width), (1, tokens, heads, width))
        query, key, value = (
            torch.randn(shape, device=device, dtype=torch.bfloat16, generator=generator) for shape in shapes
        )
        found, wanted = (
            dispatch_attention_fn(query, key, value, backend=AttentionBackendName(one)).float()
            for one in (name, _PLAIN)
        )
        error = (found - wanted).abs().max().item()
        # Written so that NaN is refused too.
        if not error <= _TOLERANCE:
            raise RuntimeError(f"is off by {error:.3g}")


# --- Convolutions --------------------------------------------------------------------------------


def lay_out(autoencoder: Any, layout: str = "channels_last_3d") -> None:
    """Keep the 3D convolutions' weights in `layout`, in which what they give follows; numbers stay the same.

    A card's convolutions work channels last and otherwise turn every input round and back; `make bench-gpu`
    compares the two.

    Args:
        layout: a torch memory format, `channels_last_3d` or `contiguous_format`.
    """
    import torch

    for module in autoencoder.modules():
        # Not `autoencoder.to(memory_format=...)`, which fails on the 2D convolutions between them.
        if isinstance(module, torch.nn.Conv3d):
            module.weight.data = module.weight.data.to(memory_format=getattr(torch, layout))


# --- Compiling -----------------------------------------------------------------------------------


class CompiledForward:
    """A block's forward that can be switched between compiled and plain.

    Only `forward` is compiled and not the module's call: the hooks around it (cancel points, weights
    that stream in) stay plain Python. Compiled into the graph they would be asked once and never again.
    """

    def __init__(self, plain: Callable[..., Any], compiler: Callable[..., Any]) -> None:
        self.plain, self.on = plain, True
        self._compiler = compiler
        self._compiled: Callable[..., Any] | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The block's output; a compiler that fails is told once and not asked again."""
        if self.on:
            import torch

            # Not before it is wanted: torch's compiler takes seconds to import.
            self._compiled = self._compiled or self._compiler(self.plain)
            try:
                return self._compiled(*args, **kwargs)
            except torch._dynamo.exc.TorchDynamoException as error:
                self._compiled = self.plain
                logger.warning("blocks are not compiled: %s", str(error).splitlines()[0][:300])
        return self.plain(*args, **kwargs)


def compile_blocks(transformer: Any, **options: Any) -> list[CompiledForward]:
    """Let the repeated blocks of a diffusers model be compiled, each by itself: seconds instead of minutes.

    Args:
        options: of `torch.compile`.
    """
    import torch

    compiler = partial(torch.compile, **options)
    names = set(transformer._repeated_blocks)
    found = []
    for module in transformer.modules():
        if type(module).__name__ in names:
            module.forward = CompiledForward(module.forward, compiler)
            found.append(module.forward)
    return found
