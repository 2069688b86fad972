"""How near a result is to its references, told by the model's own encoders."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from wan_app.likeness import hearing
from wan_app.likeness.identity import PICTURE, LikenessIdentityEncoder
from wan_app.likeness.voice import LikenessVoiceEncoder

# What two strangers overlap on average (measured on 56 pairs): many people share a skin or wear no hat.
_STRANGERS = 0.29


class VoiceAgreement(NamedTuple):
    """timbre: 0 (another voice) to 1 (the same). pitch: semitones the voice made lies above the reference."""

    timbre: float
    pitch: float


@torch.no_grad()
def identity_agreement(
    encoder: LikenessIdentityEncoder, reference: torch.Tensor, frames: np.ndarray
) -> float:
    """Agreement in [0, 1] of identity tokens (1, I, dim) with the person in frames uint8 (F, H, W, 3).

    The overlap of what the recogniser tells of both (skin, hair, hat, glasses, shirt), beyond what strangers
    reach, in the view it is surest of: not the one that suits the reference best, which would flatter.
    """
    device = reference.device
    wanted = _told(encoder, reference)
    shares = []
    for index in {0, len(frames) // 2, len(frames) - 1}:
        picture = torch.from_numpy(np.ascontiguousarray(frames[index])).to(device).permute(2, 0, 1)
        views = torch.stack(list(_views(picture.float() / 127.5 - 1)))
        seen = _told(encoder, encoder(views))
        sure = torch.stack([chance.amax(1) for chance in seen.values()]).mean(0).argmax()
        overlap = [(seen[name][sure] * wanted[name][0]).sqrt().sum() for name in wanted]
        shares.append(float(torch.stack(overlap).mean()))
    return max(0.0, (float(np.mean(shares)) - _STRANGERS) / (1 - _STRANGERS))


def _told(encoder: LikenessIdentityEncoder, tokens: torch.Tensor) -> dict[str, torch.Tensor]:
    """Probabilities (N, classes) by attribute; what only shows at times is left out."""
    found = encoder.recognise(tokens)
    return {
        name: found[name].softmax(1) for name in ("skin", "hair_colour", "hairstyle", "hat", "glasses", "shirt")
    }


def _views(picture: torch.Tensor) -> Iterator[torch.Tensor]:
    """Squares (3, 64, 64) of a frame (3, H, W) that show a standing or a sitting person as a portrait would."""
    height, width = picture.shape[1:]
    side = int(0.97 * height * min(0.80, 1.22 * width / height))
    for top in (0, height // 9):
        for left in np.linspace(0, max(0, width - side), 7).astype(int):
            part = picture[None, :, top : top + side, left : left + side]
            yield F.interpolate(part, (PICTURE, PICTURE), mode="area")[0]


@torch.no_grad()
def voice_agreement(
    encoder: LikenessVoiceEncoder, reference: np.ndarray, made: np.ndarray
) -> VoiceAgreement | None:
    """Agreement of two recordings (samples,) at 16 kHz; None where one of them holds no speech.

    Pitch is measured and not encoded: of voices unlike the trained ones the encoder's idea is off by semitones.
    """
    wanted, found = hearing.median_pitch(reference), hearing.median_pitch(made)
    if wanted is None or found is None:
        return None
    one, other = (
        encoder.fingerprint(encoder(torch.from_numpy(samples).float()[None])) for samples in (reference, made)
    )
    return VoiceAgreement(float((one * other).sum().clamp(0, 1)), hearing.semitones(found, wanted))
