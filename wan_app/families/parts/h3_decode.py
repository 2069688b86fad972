"""MiniMax H3's latents to frames, sound and previews."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from wan_app.families.base import Numbers
from wan_app.families.parts.previews import LatentPreview
from wan_app.families.parts.sounding import sound_of

if TYPE_CHECKING:
    import numpy as np
    import torch

# The autoencoder's pictures are in ImageNet's normalisation.
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CANCEL_AT = {
    "Qwen3VLTextDecoderLayer", "Qwen3VLVisionBlock", "MiniMaxH3TokenRefinerBlock", "MiniMaxH3TransformerBlock",
    "MiniMaxH3VideoResnetBlock3d", "MiniMaxH3VideoTransformerBlock", "MiniMaxH3AudioEncoderBlock",
    "MiniMaxH3AudioAMPBlock",
}  # fmt: skip


class H3Decoder:
    """Latents to frames and sound, and the preview matrix.

    Args:
        vae, audio_vae: an AutoencoderKLMiniMaxH3 and an AutoencoderKLMiniMaxH3Audio, on their device.
    """

    def __init__(self, vae: Any, audio_vae: Any) -> None:
        self.vae, self.audio_vae = vae, audio_vae
        # One frame alone is one latent frame.
        self.preview = LatentPreview.solve(self._encode, cell=int(vae.spatial_compression_ratio), frames=1)
        # Seconds that decoding took per pixel of video, the last time.
        self._rate = 0.0

    @property
    def sample_rate(self) -> int:
        """Of the sound, in Hz."""
        return int(self.audio_vae.config.sampling_rate)

    def expected_seconds(self, numbers: Numbers) -> float:
        """How long `frames` will take, judged by the last time; 0 before the first."""
        return self._rate * numbers.num_frames * numbers.width * numbers.height

    def frames(self, latents: torch.Tensor) -> np.ndarray:
        """Frames uint8 (num_frames, height, width, 3) of normalised latents (1, C, F, h, w)."""
        import torch

        started = time.monotonic()
        mean, std = self._latent_statistics(latents)
        video = self.vae.decode(latents * std + mean, return_dict=False)[0][0]
        pixels = torch.empty(video.shape, dtype=torch.uint8, device=video.device)
        # A channel at a time: a float copy of a clip is gigabytes.
        for channel, (middle, spread) in enumerate(zip(_MEAN, _STD)):
            shown = video[channel].float().mul_(spread).add_(middle)
            pixels[channel] = shown.mul_(255).round_().clamp_(0, 255).to(torch.uint8)
        frames = pixels.permute(1, 2, 3, 0).contiguous().cpu().numpy()
        self._rate = (time.monotonic() - started) / (frames.size / 3)
        return frames

    def sound(self, latents: torch.Tensor, seconds: float) -> np.ndarray:
        """Sound float32 (2, samples) of normalised latents (2, C, T), `seconds` long."""
        mean, std = (
            latents.new_tensor(one).view(1, -1, 1)
            for one in (self.audio_vae.config.latents_mean, self.audio_vae.config.latents_std)
        )
        # The sound's autoencoder is mono: the two channels are a batch.
        waveform = self.audio_vae.decode((latents * std + mean).float(), return_dict=False)[0]
        return sound_of(waveform[:, 0], self.sample_rate, seconds)

    def _encode(self, clip: torch.Tensor) -> torch.Tensor:
        """Normalised latents of a clip in [-1, 1]."""
        mean, std = (clip.new_tensor(one).view(1, 3, 1, 1, 1) for one in (_MEAN, _STD))
        pixels = ((clip / 2 + 0.5) - mean) / std
        latents = self.vae.encode(pixels.to(self.vae.device), return_dict=False)[0].mode().float()
        mean, std = self._latent_statistics(latents)
        return (latents - mean) / std

    def _latent_statistics(self, latents: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        config = self.vae.config
        mean = latents.new_tensor(config.latents_mean).view(1, -1, 1, 1, 1)
        return mean, latents.new_tensor(config.latents_std).view(1, -1, 1, 1, 1)


def latents_of_rows(
    rows: torch.Tensor, numbers: Numbers, vae: Any, patch_size: tuple[int, int, int]
) -> torch.Tensor:
    """The video's own rows, which are the last, as latents (1, C, F, h, w).

    Args:
        rows: (rows of conditions and of the video, C * patch).
    """
    patch_t, patch_h, patch_w = patch_size
    frames = (numbers.num_frames - vae.tokens_chunk_size) // vae.config.clip_length * vae.tokens_chunk_size + 2
    height = numbers.height // vae.spatial_compression_ratio // patch_h
    width = numbers.width // vae.spatial_compression_ratio // patch_w
    own = rows[-(frames // patch_t) * height * width :]
    grid = own.reshape(frames // patch_t, height, width, -1, patch_t, patch_h, patch_w)
    return grid.permute(3, 0, 4, 1, 5, 2, 6).reshape(1, -1, frames, height * patch_h, width * patch_w)
