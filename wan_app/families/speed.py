"""Faster steps with the same result: the best attention that works here, and blocks compiled one by one."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    pass

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
# A kernel for each model on its way to a card; blocks of one class share their compiled code.
_COMPILED = "wan_app_compiled"


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
            logger.info("attention %s: %s", name, str(error).splitlines()[0][:200] if str(error) else repr(error))
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


class CompiledForward:
    """A block's forward that can be switched between compiled and plain.

    Only `forward` is compiled and not the module's call: the hooks around it (cancel points, weights
    that stream in) stay plain Python. Compiled into the graph they would be asked once and never again.
    """

    def __init__(self, plain: Callable[..., Any], compiled: Callable[..., Any]) -> None:
        self.plain, self.compiled = plain, compiled
        self.on = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The block's output; a compiler that fails is told once and not asked again."""
        import torch

        if self.on:
            try:
                return self.compiled(*args, **kwargs)
            except torch._dynamo.exc.TorchDynamoException as error:
                self.on, self.compiled = False, self.plain
                logger.warning("blocks are not compiled: %s", str(error).splitlines()[0][:300])
        return self.plain(*args, **kwargs)


def compile_blocks(transformer: Any, **options: Any) -> list[CompiledForward]:
    """Compile the repeated blocks of a diffusers model, each by itself: seconds instead of minutes.

    To be called before anything else wraps their forward (group offload does).

    Args:
        options: of `torch.compile`.
    """
    import torch

    names = set(transformer._repeated_blocks)
    found = []
    for module in transformer.modules():
        if type(module).__name__ in names:
            module.forward = CompiledForward(module.forward, torch.compile(module.forward, **options))
            found.append(module.forward)
    return found


def channels_last(vae: Any) -> None:
    """Lay the 3D convolutions of an autoencoder out as the card's kernels want them."""
    import torch

    vae.to(memory_format=torch.channels_last_3d)
