"""A preview picture from latents: one small matrix, fitted to the loaded autoencoder itself.

Published latent-to-RGB factors belong to one autoencoder and come under other licences; a least
squares fit takes a fraction of a second, and is right for whatever weights were loaded.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from PIL import Image

if TYPE_CHECKING:
    import torch

# Five frames give two latent frames: the first codes one frame, the others four, and both occur.
_FIT_FRAMES, _FIT_CELLS = 5, 16
_JPEG_QUALITY = 80
# The longer side of a preview: enough to see the picture form, small enough for every step.
_PREVIEW_SIDE = 416


class LatentPreview:
    """Latents to a JPEG by `rgb = latents @ matrix`.

    Args:
        matrix: (z_dim + 1, 3); the last row is the offset; colours in [-1, 1].
    """

    def __init__(self, matrix: torch.Tensor) -> None:
        self.matrix = matrix

    @classmethod
    def fit(cls, vae: Any) -> LatentPreview:
        """The matrix of an AutoencoderKLWan."""
        return cls.solve(
            lambda clip: normalise(vae, vae.encode(clip.to(vae.device, vae.dtype)).latent_dist.mode()),
            cell=int(vae.config.scale_factor_spatial), frames=_FIT_FRAMES,
        )

    @classmethod
    def solve(cls, encode: Callable[[torch.Tensor], torch.Tensor], *, cell: int, frames: int) -> LatentPreview:
        """Encode patches of random colour and solve for the matrix.

        Args:
            encode: a clip (1, 3, frames, h, w) in [-1, 1] to normalised latents (1, z_dim, F, h/cell, w/cell).
            cell: pixels to a side of one latent.
            frames: as many as give two latent frames, since a first one often codes a single frame.
        """
        import torch

        colours = torch.rand(1, 3, _FIT_CELLS, _FIT_CELLS, generator=torch.Generator().manual_seed(0))
        # Smooth patches of three cells: a latent describes its neighbourhood, not its cell alone.
        colours = torch.nn.functional.avg_pool2d(colours, 3, stride=1, padding=1, count_include_pad=False)
        colours = (colours - colours.mean()) / colours.std() * 0.5
        picture = torch.nn.functional.interpolate(colours.clamp(-1, 1), scale_factor=cell, mode="bilinear")
        clip = picture[:, :, None].expand(-1, -1, frames, -1, -1)
        with torch.no_grad():
            latents = encode(clip)
        cells = torch.nn.functional.avg_pool2d(picture, cell)[0, :, None]
        wanted = cells.expand(-1, latents.shape[2], -1, -1).flatten(1).T
        rows = latents[0].flatten(1).T.float().cpu()
        rows = torch.cat([rows, torch.ones(len(rows), 1)], dim=1)
        # A touch of ridge: untrained or dead channels leave the plain system singular.
        ridge = 1e-3 * len(rows) * torch.eye(rows.shape[1])
        return cls(torch.linalg.solve(rows.T @ rows + ridge, rows.T @ wanted))

    def jpeg(self, latents: torch.Tensor) -> bytes:
        """The middle frame of normalised `latents` (1, z_dim, F, h, w) as a JPEG."""
        frame = latents[0, :, latents.shape[2] // 2].float().cpu()
        rgb = frame.permute(1, 2, 0) @ self.matrix[:-1] + self.matrix[-1]
        picture = Image.fromarray(rgb.add(1).mul(127.5).clamp(0, 255).byte().numpy())
        scale = max(1, _PREVIEW_SIDE // max(picture.size))
        picture = picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.BICUBIC)
        stream = io.BytesIO()
        picture.save(stream, "JPEG", quality=_JPEG_QUALITY)
        return stream.getvalue()


def normalise(vae: Any, latents: torch.Tensor) -> torch.Tensor:
    """Latents as an AutoencoderKLWan gives them, to the ones its transformer works on."""
    mean, std = _statistics(vae, latents)
    return (latents - mean) / std


def denormalise(vae: Any, latents: torch.Tensor) -> torch.Tensor:
    """The inverse of `normalise`: what the autoencoder decodes."""
    mean, std = _statistics(vae, latents)
    return latents * std + mean


def _statistics(vae: Any, latents: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    mean = latents.new_tensor(vae.config.latents_mean).view(1, -1, 1, 1, 1)
    return mean, latents.new_tensor(vae.config.latents_std).view(1, -1, 1, 1, 1)
