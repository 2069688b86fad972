"""The preview matrix, fitted to an autoencoder whose colours are known."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from wan_app.families.parts.previews import LatentPreview, denormalise, normalise

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


def test_a_trained_autoencoder_is_shown_as_its_frames_are(picture: Path) -> None:
    """The fit sees only random patches of colour; here it is held against a picture, on the bundled model."""
    import torch

    from wan_app import settings
    from wan_app.likeness.autoencoder import LikenessAutoencoder

    vae = LikenessAutoencoder.from_pretrained(settings.ASSETS / "pocket" / "vae").eval()
    preview = LatentPreview.solve(vae.encode, cell=8, frames=5)
    with Image.open(picture) as given:
        pixels = torch.from_numpy(np.array(given.convert("RGB").resize((128, 96)))).float() / 127.5 - 1
    clip = pixels.permute(2, 0, 1)[None, :, None].expand(-1, -1, 5, -1, -1)
    with torch.no_grad():
        latents = vae.encode(clip)
    shown = Image.open(io.BytesIO(preview.jpeg(latents))).resize((16, 12), Image.Resampling.BOX)
    wanted = torch.nn.functional.avg_pool2d(clip[:, :, 0], 8)[0].permute(1, 2, 0).numpy() * 127.5 + 127.5
    psnr = 10 * np.log10(255**2 / np.mean((np.asarray(shown) - wanted) ** 2))
    # Measured: 37.8 dB through the JPEG, and 39 to 44 dB without it on three clips of its own world.
    assert psnr > 32


def test_a_preview_costs_next_to_nothing() -> None:
    """A step of the smallest Wan takes 0.7 s on the fastest card; the aim is 1 % of a step."""
    import time

    import torch

    preview, latents = LatentPreview.fit(KnownVae()), torch.randn(1, CHANNELS, 21, 60, 104)
    times = []
    for _ in range(5):
        began = time.thread_time()
        preview.jpeg(latents)
        times.append(time.thread_time() - began)
    assert min(times) < 0.02  # 0.0015 here; the rest is for slower processors
