"""The noise that clips begin from: half of it is the same in every frame.

From noise of its own, each latent frame of somebody who moves became another person; what all frames begin from
alike, they turn into the same person (mixed noise after "Preserve Your Own Correlation", Ge et al. 2023).
"""

from __future__ import annotations

import torch

# Of the variance.
SHARED = 0.5


def shared_noise(shape: tuple[int, ...], generator: torch.Generator | None) -> torch.Tensor:
    """The part (B, C, 1, h, w) that all frames, and all windows of a clip, have of clips (B, C, f, h, w)."""
    return torch.randn((*shape[:2], 1, *shape[3:]), generator=generator)


def clip_noise(
    shape: tuple[int, ...], generator: torch.Generator | None, shared: torch.Tensor | None = None
) -> torch.Tensor:
    """Noise (B, C, f, h, w) of variance 1, on the CPU; `shared` is drawn where it is not given."""
    shared = shared_noise(shape, generator) if shared is None else shared
    return SHARED**0.5 * shared + (1 - SHARED) ** 0.5 * torch.randn(shape, generator=generator)
