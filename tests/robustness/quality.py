"""How much of a picture a mark changed: PSNR and SSIM, as everyone measures them."""

from __future__ import annotations

import numpy as np

_LUMA = np.array([0.299, 0.587, 0.114])
_TAPS = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
_TAPS /= _TAPS.sum()


def psnr(before: np.ndarray, after: np.ndarray) -> float:
    """Decibels, over all three colours of uint8 (height, width, 3)."""
    error = np.mean((before.astype(np.float64) - after) ** 2)
    return float("inf") if error == 0 else float(10 * np.log10(255**2 / error))


def ssim(before: np.ndarray, after: np.ndarray) -> float:
    """Mean structural similarity of brightness, Wang et al. 2004: 11x11 Gaussian window, sigma 1.5."""
    x, y = before @ _LUMA, after @ _LUMA
    mx, my = _blur(x), _blur(y)
    vx, vy, both = _blur(x * x) - mx * mx, _blur(y * y) - my * my, _blur(x * y) - mx * my
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    map_ = (2 * mx * my + c1) * (2 * both + c2) / ((mx * mx + my * my + c1) * (vx + vy + c2))
    return float(map_.mean())


def _blur(picture: np.ndarray) -> np.ndarray:
    height, width = picture.shape
    rows = sum(tap * picture[at:height - 10 + at] for at, tap in enumerate(_TAPS))
    return sum(tap * rows[:, at:width - 10 + at] for at, tap in enumerate(_TAPS))
