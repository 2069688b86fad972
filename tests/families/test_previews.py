"""The preview matrix, fitted to an autoencoder whose colours are known."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from wan_app.families.previews import LatentPreview, denormalise, normalise

CHANNELS = 16


class KnownVae:
    """Codes each 8x8 cell as its mean colour, mixed into 16 channels by a fixed matrix."""

    def __init__(self) -> None:
        import torch

        self.config = SimpleNamespace(
            scale_factor_spatial=8, latents_mean=[0.3] * CHANNELS, latents_std=[2.0] * CHANNELS
        )
        self.device, self.dtype = torch.device("cpu"), torch.float32
        self.mix = torch.randn(3, CHANNELS, generator=torch.Generator().manual_seed(5))

    def encode(self, clip: Any) -> Any:
        import torch

        assert clip.shape[:3] == (1, 3, 5) and clip.abs().max() <= 1
        cells = torch.nn.functional.avg_pool2d(clip[0].transpose(0, 1), 8)[[0, 4]]
        latents = torch.einsum("fchw,cz->zfhw", cells, self.mix)[None]
        return SimpleNamespace(latent_dist=SimpleNamespace(mode=lambda: latents * 2.0 + 0.3))


@pytest.mark.parametrize("colour", [(255, 0, 0), (20, 180, 90), (255, 255, 255)])
def test_the_preview_shows_the_colours_of_the_clip(colour: tuple[int, int, int]) -> None:
    import torch

    vae = KnownVae()
    preview = LatentPreview.fit(vae)
    rgb = torch.tensor(colour).float() / 127.5 - 1
    clean = (rgb @ vae.mix)[None, :, None, None, None].expand(1, CHANNELS, 3, 6, 10)
    picture = Image.open(io.BytesIO(preview.jpeg(clean)))
    assert picture.format == "JPEG" and picture.size == (410, 246)
    assert np.abs(np.asarray(picture).astype(int) - np.array(colour)).max() <= 8


def test_an_autoencoder_with_dead_channels_still_gives_a_matrix() -> None:
    vae = KnownVae()
    vae.mix[:, 4:] = 0
    assert LatentPreview.fit(vae).matrix.isfinite().all()


def test_normalise_and_back() -> None:
    import torch

    latents = torch.randn(1, CHANNELS, 2, 3, 3, generator=torch.Generator().manual_seed(1))
    there = normalise(KnownVae(), latents)
    assert torch.allclose(there, (latents - 0.3) / 2.0)
    assert torch.allclose(denormalise(KnownVae(), there), latents, atol=1e-6)
