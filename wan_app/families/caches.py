"""Steps that are skipped because they would hardly differ from the one before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any


@contextmanager
def cached_steps(transformers: Sequence[Any], threshold: float) -> Iterator[None]:
    """Run with diffusers' FirstBlockCache, or as ever for a threshold of 0.

    Where the first block's change differs from that of the last full pass by less than `threshold` (a
    share of it), the other blocks are not run and what they added the last time is added again. Right only
    where the blocks are all there is. VACE's hints, added between the blocks, would be added twice (27 % off
    for the same input again); `parts.hints` has the blocks add them, and it is right to 5e-8
    (tests/families/parts/test_caches.py). On diffusers 0.42 MagCache is wrong on VACE in the same way, and
    miscounts the steps of two experts; it is not offered. LTX-2's blocks hand on picture and sound apart,
    which this cache does not know, and eight steps (Echo) are too few to skip any.

    cache-dit 1.5.3 is not used, for all that it is right on VACE (5e-8) while prompt and negative prompt
    take turns: it tells them apart by counting, so that after guidance has ended (`guidance_until`) every
    other step is given what the negative prompt left (off by 1.8 % in the test's transformer, where the two
    prompts are 2.1 % apart); what it replaces in the blocks stays replaced, so that they are not compiled
    any more; it makes every hint also for a step that it skips, 16 of 45 blocks where we run 2; and it
    chooses the attention itself.
    """
    if not threshold:
        yield
        return
    from diffusers import FirstBlockCacheConfig

    try:
        for one in transformers:
            _make_known(one)
            one.enable_cache(FirstBlockCacheConfig(threshold=threshold))
        yield
    finally:
        for one in transformers:
            if one.is_cache_enabled:
                one.disable_cache()


def _make_known(transformer: Any) -> None:
    """Tell diffusers what H3's blocks hand on, which it does not list: one tensor, as Wan's do."""
    from diffusers.hooks._helpers import TransformerBlockMetadata, TransformerBlockRegistry

    one_tensor = TransformerBlockMetadata(return_hidden_states_index=0, return_encoder_hidden_states_index=None)
    for kind in {type(block) for block in getattr(transformer, "transformer_blocks", ())}:
        TransformerBlockRegistry.register(kind, one_tensor)
