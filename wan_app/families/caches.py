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
    where the blocks are all there is: a transformer which adds hints between its blocks (VACE) adds them
    twice (tests/families/test_caches.py). On diffusers 0.42 MagCache is wrong there in the same way, and
    miscounts the steps of two experts; it is not offered. cache-dit, which is right on VACE, is one more
    package to pin and has not yet passed the repeated-input test here, so that VACE runs every step.
    """
    if not threshold:
        yield
        return
    from diffusers import FirstBlockCacheConfig

    try:
        for one in transformers:
            one.enable_cache(FirstBlockCacheConfig(threshold=threshold))
        yield
    finally:
        for one in transformers:
            if one.is_cache_enabled:
                one.disable_cache()
