"""Finds a video mark and reads it: where it lies by the pilots, then the payload by the other carriers.

    frames -> residuals -> (at its own size? | search of scales) -> refined -> carriers -> payload

Plain resizing needs no search, as carriers are counted by the frame's short side. Cutting out, black bars, a
player's window: all are one scale for both sides, found like squashing by trying every one. Everything is
measured in z, the height of the pilots' correlation peak over its noise: a perfect mark has 18, noise about 5
where one scale was tried and 6 where all were.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from wan_app.media.marks import payload
from wan_app.media.marks.carriers import HIGHEST, LOWEST, TILES, carriers, waves
from wan_app.media.marks.residual import Residuals

State = Literal["ours", "other", "unreadable", "none"]
# Frames after which a mark at its own size is looked for; nothing is read beyond the last.
_LOOKS = (24, 72, 240)
# Below, noise peaks as high: no use to decode. Above, no unmarked file was ever seen: see ROBUSTNESS.md.
_WORTH, _CERTAIN = 4.5, 7.5
# Where a mark was put, it is expected: a single place, so that less says as much.
_EXPECTED = 4.5
_CLEARLY = 0.2
# Scales of the mark over that of the frame: shrunk into a larger picture, up to cut out to a half.
_SCALES = np.exp(np.arange(np.log(0.4), np.log(2.1), 0.005)).tolist()
_LEAST_TILE = 1.8 * HIGHEST  # pixels
# Signs of x and y, and whether they are exchanged: all ways to mirror a picture and turn it by quarters.
Way = tuple[int, int, bool]
_WAYS: tuple[Way, ...] = tuple((x, y, turned) for turned in (False, True) for x in (1, -1) for y in (1, -1))
# Share of what was read, by weight, that may contradict a payload whose check no key of ours explains: 0 to
# 0.13 where a payload was read rightly, 0.085 to 0.17 where wrongly, 0.14 to 0.18 in noise.
_CLEAR = 0.075


@dataclass(frozen=True, kw_only=True)
class VideoMarkReading:
    """What was found in a video.

    state: ours: the id and its check hold under one of our keys; other: a payload in full, but not of
        our keys: another install's; unreadable: a mark is there, its payload is not; none: nothing found,
        which proves nothing.
    id: only if ours. strength: z of the pilots, above 7.5 where a mark is certain. frames: how many were
    read. scale: (x, y) of the mark over the frame's, (1, 1) if nothing was cut off or squashed.
    """

    state: State
    id: payload.WatermarkId | None
    strength: float
    frames: int
    scale: tuple[float, float] = (1.0, 1.0)
    mirrored: bool = False


class Found(NamedTuple):
    """Where a mark may lie: sizes and position in tiles of the frame, way round, and how sure."""

    z: float
    scale: tuple[float, float]
    way: Way = (1, 1, False)
    shift: tuple[float, float] = (0.0, 0.0)


def read_video_mark(
    frames: Iterable[np.ndarray], keys: Sequence[bytes], *, search: bool = True
) -> VideoMarkReading:
    """Read the mark of a video from its `frames`, uint8 (height, width, 3), RGB.

    Without `search` at the frame's own size only, which takes a fifth of the time. Takes at most 240 frames, fewer
    if the id is found earlier, and memory for 48. At most eight payloads are decoded, so that noise reads as ours
    once in 2 million videos for each of the `keys`.
    """
    residuals = Residuals()
    reading = None
    for frame in frames:
        residuals.add(frame)
        if residuals.frames in _LOOKS:
            reading = _look(residuals, keys)
            if reading.state == "ours" or residuals.frames == _LOOKS[-1]:
                break
    if not residuals.frames:
        return VideoMarkReading(state="none", id=None, strength=0.0, frames=0)
    if reading is None or reading.frames < residuals.frames:
        reading = _look(residuals, keys)
    if search and reading.strength < _CERTAIN and reading.state != "ours":
        searched = _look(residuals, keys, _every_scale(min(residuals.groups[0].shape) / TILES))
        reading = searched if searched.strength > reading.strength else reading
    return reading


def _every_scale(tile: float) -> list[tuple[float, float]]:
    """Cut out or put into a larger frame; or squashed along one side, the other being whole. None so small
    that waves were shorter than two pixels, which look like others."""
    scales = [scale for scale in _SCALES if scale * tile >= _LEAST_TILE]
    squashed = [scale for scale in scales if 0.6 < scale < 1.7]
    return [(1.0, 1.0), *((one, one) for one in scales), *((one, 1.0) for one in squashed),
            *((1.0, one) for one in squashed)]


def _look(
    residuals: Residuals, keys: Sequence[bytes], scales: Iterable[tuple[float, float]] | None = None
) -> VideoMarkReading:
    """What a mark says at the best of the `scales`; without any, at the frame's own size."""
    image = residuals.sum()
    if scales is None:
        found = _untouched(image)
    else:
        found = _refined(image, max((_at(image, scale) for scale in scales), key=lambda one: one.z))
    state, identity = _payload(image, residuals, found, keys)
    return VideoMarkReading(
        state=state, id=identity, strength=round(found.z, 2), frames=residuals.frames, scale=found.scale,
        mirrored=(found.way[0] * found.way[1] < 0) != found.way[2],
    )


def _untouched(image: np.ndarray) -> Found:
    """The mark at the frame's own size: where it was put if it may be there, else wherever it is seen best."""
    expected = float(_correlation(_values(_spectrum(image, (1.0, 1.0)), _WAYS[0]), 64)[0, 0])
    anywhere = _at(image, (1.0, 1.0))
    if expected > max(_EXPECTED, anywhere.z - 1.0):
        return Found(expected, (1.0, 1.0))
    return _refined(image, anywhere)


def _spectrum(image: np.ndarray, scale: tuple[float, float]) -> np.ndarray:
    """complex64 (ky 0 to 20, kx -20 to 20): the waves in `image` whose tiles are `scale` times as large."""
    tile = min(image.shape) / TILES
    rows = waves(np.arange(image.shape[0]) / (tile * scale[1]), -np.arange(HIGHEST + 1))
    columns = waves(np.arange(image.shape[1]) / (tile * scale[0]), -np.arange(-HIGHEST, HIGHEST + 1))
    # Real and imaginary part on top of each other: one real product is faster than a complex one.
    parts = np.concatenate([rows.real, rows.imag], axis=1).T @ image
    return (parts[:HIGHEST + 1] + 1j * parts[HIGHEST + 1:]) @ columns


def _values(spectrum: np.ndarray, way: Way) -> np.ndarray:
    """complex64 (carriers,): what `spectrum` says of each, if the picture was mirrored or turned that way."""
    every = carriers()
    kx, ky = way[0] * every.kx, way[1] * every.ky
    if way[2]:
        kx, ky = ky, kx
    upper = spectrum[np.abs(ky), np.where(ky < 0, -kx, kx) + HIGHEST]
    return np.where(ky < 0, upper.conj(), upper)


def _correlation(values: np.ndarray, grid: int) -> np.ndarray:
    """float32 (..., grid, grid): how well the pilots agree with a mark at each place (x, y) of a tile, in z."""
    every = carriers()
    kx, ky = every.kx[every.pilot], every.ky[every.pilot]
    pilots = values[..., every.pilot] * every.phasor[every.pilot].conj()
    # The root of the magnitudes: a picture's own strong waves must not outweigh all others.
    magnitudes = np.abs(pilots)
    noise = np.sqrt(0.5 * magnitudes.sum(axis=-1, keepdims=True))
    pilots /= np.sqrt(magnitudes) * noise + np.float32(1e-12)
    plane = np.zeros((*values.shape[:-1], grid, grid // 2 + 1), np.complex64)
    # The half plane stands for the whole, but for its border, which holds both halves.
    plane[..., kx, ky] = np.where(ky, np.float32(0.5), np.float32(1.0)) * pilots
    return np.fft.irfft2(plane, (grid, grid), norm="forward")


def _at(image: np.ndarray, scale: tuple[float, float], ways: Sequence[Way] = _WAYS, grid: int = 64) -> Found:
    """The best place at `scale`, whichever of the `ways` round."""
    spectrum = _spectrum(image, scale)
    heights = _correlation(np.stack([_values(spectrum, way) for way in ways]), grid)
    way, x, y = (int(place) for place in np.unravel_index(np.argmax(heights), heights.shape))
    return Found(float(heights[way, x, y]), scale, ways[way], (x / grid, y / grid))


def _refined(image: np.ndarray, found: Found) -> Found:
    """`found` with its scales and place to the point where no small change is clearly better."""
    step = 0.2 / HIGHEST * min(image.shape) / TILES / max(image.shape)
    found = _at(image, found.scale, [found.way], 256)
    for _ in range(4):
        x, y = found.scale
        around = [(x * (1 + i * step), y * (1 + j * step)) for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j]
        best = max((_at(image, scale, [found.way], 256) for scale in around), key=lambda one: one.z)
        if best.z > found.z + _CLEARLY:
            found = best
        else:
            step /= 2
    return found


def _payload(
    image: np.ndarray, residuals: Residuals, found: Found, keys: Sequence[bytes]
) -> tuple[State, payload.WatermarkId | None]:
    """Decoded twice: from the sum, and from all groups by how much of the mark each kept."""
    if found.z < _WORTH:
        return "none", None
    state: State = "unreadable" if found.z > _CERTAIN else "none"
    for values in (_read(image, found), _by_kept(residuals.groups, found)):
        soft = _soft(values)
        bits = payload.viterbi(soft, payload.ID_BITS + payload.CHECK_BITS)
        identity = payload.checked(bits, keys)
        if identity is not None:
            return "ours", identity
        against = soft * (1.0 - 2.0 * payload.encode_bits(bits)) < 0
        if state == "unreadable" and np.abs(soft[against]).sum() < _CLEAR * np.abs(soft).sum():
            state = "other"
    return state, None


def _read(image: np.ndarray, found: Found) -> np.ndarray:
    """complex64 (carriers,): real and positive where a carrier says 0, negative for 1."""
    every = carriers()
    place = np.exp(2j * np.pi * (every.kx * found.shift[0] + every.ky * found.shift[1])) * every.phasor.conj()
    return _values(_spectrum(image, found.scale), found.way) * place


def _by_kept(groups: list[np.ndarray], found: Found) -> np.ndarray:
    """As `_read`, every group counting by how much of the pilots it kept, over its noise."""
    values = np.stack([_read(group.astype(np.float32), found) for group in groups])
    pilots = values[:, carriers().pilot]
    noise = pilots.imag.std(axis=1) + 1e-12
    kept = pilots.real.mean(axis=1) - noise / pilots.shape[1] ** 0.5
    return (np.maximum(kept, 0.0) / noise**2) @ values


def _soft(values: np.ndarray) -> np.ndarray:
    """float (coded bits,): what the carriers say of each bit, each counting by how its wave length fared."""
    every = carriers()
    length = np.hypot(every.kx, every.ky) - LOWEST
    middles = np.arange(1.0, HIGHEST - LOWEST, 2.0)
    rings = [values.imag[np.abs(length - middle) <= 1.0] for middle in middles]
    noise = np.interp(length, middles, [np.median(np.abs(ring)) for ring in rings]) / 0.67 + 1e-12
    heights = values.real / noise
    # Pilots show how much of the mark each wave length kept; a parabola through them, never against the mark.
    curve = np.polyfit(length[every.pilot], heights[every.pilot].clip(-3.0, 4.0), 2)
    soft = heights * np.maximum(np.polyval(curve, length), 0.15)
    most = 3 * np.median(np.abs(soft))
    return soft.clip(-most, most)[every.data].sum(axis=0)
