"""The visible label: a few words in the picture which say that it was generated.

Drawn on the frames as they are written, so that it is as sharp as the file, and before the invisible mark,
which then lies over it too.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from wan_app.types import LabelPlace

TEXT = "AI generated"
START_SECONDS = 2.0
# Height of the letters' line as a share of the frame's short side. The corner's is what Chinese rules ask for.
_HEIGHT: dict[str, float] = {"corner": 0.05, "start": 0.08}
_MIN_HEIGHT = 12  # pixels: the smallest that is read without effort
_MARGIN = 0.03  # of the short side, to the edge of the frame
_WIDEST = 0.92  # of the frame's width
# Black, so dense that white letters stand out (contrast 5:1) even over white.
_GROUND = 0.64
Patch = tuple[np.ndarray, np.ndarray, int, int]


@dataclass(frozen=True)
class Label:
    """`text` in the top right corner of every frame, or large at the bottom of the first two seconds.

    Pillow's own font knows ASCII only; another text would be a row of boxes, so TEXT is drawn then.
    """

    where: LabelPlace
    text: str = TEXT

    def on(self, frame: np.ndarray, index: int, fps: float) -> np.ndarray:
        """uint8 (height, width, 3), a copy with the label, or the frame itself where none belongs."""
        if self.where == "off" or (self.where == "start" and index >= START_SECONDS * fps):
            return frame
        colour, cover, top, left = _patch(_drawable(self.text), self.where, frame.shape[1], frame.shape[0])
        height, width = cover.shape[:2]
        labelled = frame.copy()
        under = labelled[top : top + height, left : left + width]
        under[:] = np.rint(under * (1 - cover) + colour * cover).astype(np.uint8)
        return labelled


def label_for(where: LabelPlace, owner: str) -> LabelPlace:
    """Where the label of an owner's videos stands: guests have one, whatever the setting says."""
    return "corner" if where == "off" and owner.startswith("guest:") else where


@lru_cache(maxsize=8)
def _patch(text: str, where: str, width: int, height: int) -> Patch:
    """Colours float32 (h, w, 3), how much they cover (h, w, 1) in [0, 1], and the place of their corner."""
    short = min(width, height)
    size = max(_MIN_HEIGHT, round(_HEIGHT[where] * short))
    font = _font(size)
    while size > 5 and font.getlength(text) + size > _WIDEST * width:
        size -= 1
        font = _font(size)
    wide, high = round(font.getlength(text) + size), round(1.5 * size)
    ground, letters = Image.new("L", (wide, high)), Image.new("L", (wide, high))
    ImageDraw.Draw(ground).rounded_rectangle((0, 0, wide - 1, high - 1), size // 3, fill=round(255 * _GROUND))
    ImageDraw.Draw(letters).text((wide / 2, high / 2), text, fill=255, font=font, anchor="mm")
    ink = np.asarray(letters, np.float32)[..., None] / 255
    cover = np.maximum(np.asarray(ground, np.float32)[..., None] / 255, ink)
    margin = round(_MARGIN * short)
    top, left = margin, width - wide - margin
    if where == "start":
        top, left = height - high - 2 * margin, (width - wide) // 2
    # In a frame of a few pixels there is room for a piece of it.
    ink, cover = ink[:height, :width], cover[:height, :width]
    return 255 * ink / np.maximum(cover, 1e-6), cover, max(0, min(top, height - high)), max(0, left)


def _drawable(text: str) -> str:
    """`text` in one line, or TEXT where it is empty or holds more than ASCII."""
    text = " ".join(text.split())[:60]
    return text if text and text.isascii() and text.isprintable() else TEXT


def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font
