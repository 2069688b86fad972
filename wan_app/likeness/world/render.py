"""Draws scenes as anti-aliased video with signed distances, a whole batch at once, at any resolution.

Coordinates: x to the right from the frame's centre, y down from its top edge, both in frame heights.
The background does not move, so it is drawn once a clip; only the person is drawn in every frame.
"""

from __future__ import annotations

import torch

from wan_app.likeness.world.attributes import CLIP_FRAMES, FPS, PLACES, Scenes
from wan_app.likeness.world.motion import poses

GROUND = 0.93  # where the feet stand


def clip_times(frames: int = CLIP_FRAMES) -> torch.Tensor:
    """Seconds (frames,) of the frames of a clip."""
    return torch.arange(frames) / FPS


def draw_clips(
    scenes: Scenes,
    height: int,
    width: int,
    seconds: torch.Tensor | None = None,
    mouth: torch.Tensor | None = None,
) -> torch.Tensor:
    """Video float (N, 3, T, height, width) in [0, 1] at the times `seconds` (T,), a whole clip by default.

    `mouth`: openings (N, T) in place of the scenes' own.
    """
    device = scenes.numbers["x"].device
    x, y = pixel_grid(height, width, device)
    seconds = (clip_times() if seconds is None else seconds).to(device)
    background = draw_background(scenes, x, y)
    room = max(0.0, width / height - 0.62) * 0.62
    body = poses(scenes, seconds)
    scale = scenes.numbers["size"][:, None] * min(0.80, 1.22 * width / height)
    # The whole crossing of a walk must stay in a narrow frame.
    body["x"] = body["x"] * scale * min(1.0, width / height) + scenes.numbers["x"][:, None] * room * 0.75
    body["foot"] = GROUND - body["y"] * scale
    if mouth is not None:
        body["mouth"] = mouth
    return draw_person(scenes, body, scale, background[:, :, None].expand(-1, -1, len(seconds), -1, -1), x, y)


def draw_portraits(scenes: Scenes, size: int, generator: torch.Generator) -> torch.Tensor:
    """Reference pictures float (N, 3, size, size) in [0, 1]: the person from the waist up on a plain ground.

    Framing and ground are random, so that an encoder must look at the person.
    """
    device = scenes.numbers["x"].device
    n = len(scenes)
    x, y = pixel_grid(size, size, device)

    def uniform(low: float, high: float) -> torch.Tensor:
        return (torch.rand(n, 1, generator=generator) * (high - low) + low).to(device)

    top, bottom = (torch.rand(n, 3, 1, 1, generator=generator).to(device) for _ in range(2))
    ground = top * 0.75 + 0.2 * bottom + (bottom - top) * 0.25 * y
    scale = uniform(0.80, 1.15)
    zero = torch.zeros(n, 1, device=device)
    # The head's centre stands near the middle, so that the tallest hat stays in the picture.
    rest = uniform(0.25, 0.6)
    body = {
        "x": uniform(-0.10, 0.10),
        "foot": uniform(0.47, 0.57) + 0.66 * scale,
        "lean": uniform(-0.02, 0.02),
        "arm_l": rest,
        "arm_r": rest,
        "leg": zero,
        "sit": zero,
        "mouth": uniform(0.0, 0.6),
    }
    return draw_person(scenes, body, scale, ground.clamp(0, 1)[:, :, None], x, y)[:, :, 0]


def pixel_grid(height: int, width: int, device) -> tuple[torch.Tensor, torch.Tensor]:
    """x and y (height, width) of pixel centres."""
    x = (torch.arange(width, device=device) + 0.5 - width / 2) / height
    y = (torch.arange(height, device=device) + 0.5) / height
    return x[None, :].expand(height, width), y[:, None].expand(height, width)


# --- Signed distances, in frame heights, negative inside --------------------------------------


def _ellipse(x, y, rx, ry):
    # A cheap bound of the distance, exact on circles: good to a pixel for the mild ellipses here.
    k = torch.sqrt((x / rx) ** 2 + (y / ry) ** 2 + 1e-8)
    return (k - 1) * torch.minimum(rx, ry) if torch.is_tensor(rx) else (k - 1) * min(rx, ry)


def _capsule(x, y, x1, y1, r):
    """Around the segment from (0, 0) to (x1, y1)."""
    t = ((x * x1 + y * y1) / (x1 * x1 + y1 * y1 + 1e-6)).clamp(0, 1)
    return torch.sqrt((x - t * x1) ** 2 + (y - t * y1) ** 2 + 1e-8) - r


def _box(x, y, hx, hy, r):
    dx, dy = x.abs() - hx + r, y.abs() - hy + r
    return (
        torch.sqrt(dx.clamp(min=0) ** 2 + dy.clamp(min=0) ** 2 + 1e-8)
        + torch.maximum(dx, dy).clamp(max=0)
        - r
    )


def _triangle(x, y, half, height):
    """Isosceles, base centred at (0, 0), tip at (0, -height)."""
    slope = half / height
    side = (x.abs() - half - y * slope) / (1 + slope * slope) ** 0.5
    return torch.maximum(side, y)


def _over(canvas, distance, colour, pixel, show=None):
    alpha = (0.5 - distance / pixel).clamp(0, 1)
    if show is not None:
        alpha = alpha * show
    return canvas + (colour - canvas) * alpha[:, None]


# --- Places ------------------------------------------------------------------------------------


def draw_background(scenes: Scenes, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Still places (N, 3, H, W)."""
    n, (height, width) = len(scenes), x.shape
    out = torch.zeros(n, 3, height, width, device=x.device)
    for index, name in enumerate(PLACES):
        rows = (scenes.classes["place"] == index).nonzero()[:, 0]
        if len(rows):
            here = scenes[rows]
            out[rows] = _PLACES[name](here, x[None], y[None]).clamp(0, 1)
    return (out * scenes.numbers["light"][:, None, None, None]).clamp(0, 1)


def _rgb(device, *values: float) -> torch.Tensor:
    return torch.tensor(values, device=device)[None, :, None, None]


def _start(scenes: Scenes, x, y, top, bottom, horizon, ground):
    """Sky from `top` to `bottom`, ground below `horizon`; returns canvas and pixel size."""
    device, pixel = x.device, 1.0 / x.shape[1]
    blend = (y / horizon).clamp(0, 1)[:, None]
    sky = _rgb(device, *top) * (1 - blend) + _rgb(device, *bottom) * blend
    canvas = sky.expand(len(scenes), 3, *x.shape[1:]).clone()
    return _over(canvas, horizon - y.expand(len(scenes), -1, -1), _rgb(device, *ground), pixel), pixel


def _side(scenes: Scenes, x) -> tuple[torch.Tensor, torch.Tensor]:
    """A place (N, 1, 1) in the frame's width for the decoration, and another on the other side."""
    half = x.shape[2] / x.shape[1] / 2
    sign = torch.where(scenes.numbers["decor"] > 0.5, 1.0, -1.0)
    first = sign * half * (0.55 + 0.3 * scenes.numbers["decor2"])
    return first[:, None, None], (-sign * half * 0.72)[:, None, None]


def _beach(s, x, y):
    canvas, px = _start(s, x, y, (0.35, 0.70, 0.98), (0.75, 0.92, 1.0), 0.55, (0.10, 0.45, 0.78))
    a, _ = _side(s, x)
    canvas = _over(canvas, _ellipse(x - a, y - 0.18, 0.10, 0.10), _rgb(x.device, 1.0, 0.90, 0.35), px)
    return _over(canvas, 0.70 - y + 0 * a, _rgb(x.device, 0.96, 0.86, 0.58), px)


def _forest(s, x, y):
    canvas, px = _start(s, x, y, (0.62, 0.85, 0.80), (0.80, 0.93, 0.82), 0.68, (0.25, 0.55, 0.20))
    for place, tall in zip(_side(s, x), (0.62, 0.50)):
        canvas = _over(
            canvas, _box(x - place, y - 0.68, 0.035, 0.10, 0.01), _rgb(x.device, 0.40, 0.25, 0.12), px
        )
        canvas = _over(
            canvas, _triangle(x - place, y - 0.64, 0.24, tall), _rgb(x.device, 0.08, 0.38, 0.18), px
        )
    return canvas


def _city(s, x, y):
    canvas, px = _start(s, x, y, (0.05, 0.05, 0.20), (0.22, 0.16, 0.42), 0.76, (0.27, 0.27, 0.31))
    a, b = _side(s, x)
    for place, high in ((a, 0.30), (b, 0.22)):
        canvas = _over(
            canvas, _box(x - place, y - (0.76 - high), 0.19, high, 0.01), _rgb(x.device, 0.13, 0.13, 0.22), px
        )
        for dx in (-0.08, 0.08):
            for row in (0.40, 0.58):
                canvas = _over(
                    canvas,
                    _box(x - place - dx, y - row, 0.04, 0.05, 0.005),
                    _rgb(x.device, 1.0, 0.85, 0.35),
                    px,
                )
    return canvas


def _moon(s, x, y):
    canvas, px = _start(s, x, y, (0.01, 0.01, 0.05), (0.05, 0.04, 0.14), 0.74, (0.60, 0.60, 0.64))
    a, b = _side(s, x)
    canvas = _over(canvas, _ellipse(x - a, y - 0.22, 0.13, 0.13), _rgb(x.device, 0.25, 0.50, 0.92), px)
    canvas = _over(
        canvas, _ellipse(x - a - 0.03, y - 0.19, 0.06, 0.045), _rgb(x.device, 0.35, 0.75, 0.40), px
    )
    canvas = _over(canvas, _ellipse(x - b, y - 0.86, 0.13, 0.035), _rgb(x.device, 0.46, 0.46, 0.50), px)
    for dx, dy in ((0.0, 0.14), (0.16, 0.42), (-0.14, 0.50)):
        canvas = _over(canvas, _ellipse(x - b - dx, y - dy, 0.017, 0.017), _rgb(x.device, 1.0, 1.0, 0.9), px)
    return canvas


def _snow(s, x, y):
    canvas, px = _start(s, x, y, (0.62, 0.76, 0.92), (0.85, 0.91, 0.98), 0.72, (0.97, 0.98, 1.0))
    a, b = _side(s, x)
    for place, high in ((a, 0.46), (b, 0.34)):
        shape = _triangle(x - place, y - 0.72, 0.36, high)
        canvas = _over(canvas, shape, _rgb(x.device, 0.45, 0.53, 0.70), px)
        canvas = _over(
            canvas, torch.maximum(shape, y - (0.72 - high * 0.62)), _rgb(x.device, 1.0, 1.0, 1.0), px
        )
    return canvas


def _desert(s, x, y):
    canvas, px = _start(s, x, y, (0.98, 0.58, 0.28), (1.0, 0.83, 0.48), 0.66, (0.90, 0.66, 0.36))
    a, b = _side(s, x)
    canvas = _over(canvas, _ellipse(x - a, y - 0.26, 0.12, 0.12), _rgb(x.device, 1.0, 0.95, 0.70), px)
    green = _rgb(x.device, 0.14, 0.46, 0.22)
    canvas = _over(canvas, _box(x - b, y - 0.55, 0.045, 0.26, 0.045), green, px)
    for sign in (-1, 1):
        canvas = _over(canvas, _box(x - b - sign * 0.11, y - 0.45, 0.030, 0.09, 0.03), green, px)
        canvas = _over(canvas, _box(x - b - sign * 0.07, y - 0.52, 0.06, 0.026, 0.02), green, px)
    return canvas


def _room(s, x, y):
    canvas, px = _start(s, x, y, (0.93, 0.80, 0.62), (0.93, 0.80, 0.62), 0.76, (0.50, 0.30, 0.18))
    a, b = _side(s, x)
    canvas = _over(canvas, _box(x - a, y - 0.30, 0.16, 0.16, 0.01), _rgb(x.device, 1.0, 1.0, 1.0), px)
    canvas = _over(canvas, _box(x - a, y - 0.30, 0.13, 0.13, 0.005), _rgb(x.device, 0.50, 0.80, 0.98), px)
    canvas = _over(canvas, _box(x - b, y - 0.28, 0.11, 0.13, 0.005), _rgb(x.device, 0.62, 0.25, 0.30), px)
    return _over(canvas, _box(x - b, y - 0.28, 0.075, 0.095, 0.005), _rgb(x.device, 0.95, 0.75, 0.45), px)


_PLACES = {
    "beach": _beach,
    "forest": _forest,
    "city": _city,
    "moon": _moon,
    "snow": _snow,
    "desert": _desert,
    "room": _room,
}


# --- People ------------------------------------------------------------------------------------


def draw_person(
    scenes: Scenes, pose: dict[str, torch.Tensor], scale: torch.Tensor, canvas, x, y
) -> torch.Tensor:
    """The person over `canvas` (N, 3, T, H, W); pose values (N, T), scale (N, 1) frame heights a body height."""
    h = x.shape[0]
    p = {name: value[:, :, None, None] for name, value in pose.items()}
    s = scale[:, :, None, None]
    colour = {name: value[:, :, None, None, None] for name, value in scenes.colours.items()}
    style = scenes.classes["hairstyle"][:, None, None, None]
    hat = scenes.classes["hat"][:, None, None, None]
    glasses = scenes.classes["glasses"][:, None, None, None]
    pixel = 1.0 / (h * s)  # all distances below are in body heights
    # u to the right, v up from the feet, in body heights; sitting lowers everything but the feet.
    u, v = (x - p["x"]) / s, (p["foot"] - y) / s + 0.13 * p["sit"]
    dark = torch.tensor((0.10, 0.09, 0.11), device=x.device)[None, :, None, None, None]
    white = torch.ones_like(dark)

    def over(canvas, distance, rgb, show=None):
        alpha = (0.5 - distance / pixel).clamp(0, 1)
        if show is not None:
            alpha = alpha * show
        return canvas + (rgb - canvas) * alpha[:, None]

    hu, hv = u - p["lean"], v - 0.665  # the head's own frame
    long, curly = (style == 1).float(), (style == 2).float()
    canvas = over(canvas, _box(hu, hv + 0.09, 0.255, 0.285, 0.16), colour["hair"], long)
    canvas = over(canvas, _ellipse(hu, hv - 0.035, 0.325, 0.305), colour["hair"], curly)
    for sign in (-1, 1):
        foot = sign * (0.075 + 0.09 * p["sit"]) + sign * p["leg"]
        canvas = over(
            canvas,
            _capsule(u - sign * 0.068, v - 0.20, foot - sign * 0.068, -0.165 + 0.09 * p["sit"], 0.055),
            colour["trousers"],
        )
        canvas = over(
            canvas, _ellipse(u - foot - sign * 0.015, v - 0.028 - 0.09 * p["sit"], 0.07, 0.04), dark
        )
    canvas = over(canvas, _box(u - 0.4 * p["lean"], v - 0.325, 0.145, 0.155, 0.07), colour["shirt"])
    canvas = over(canvas, _ellipse(hu, hv, 0.235, 0.225), colour["skin"])
    canvas = _face(over, canvas, hu, hv, p["mouth"], glasses, colour, dark, white)
    canvas = _hair_and_hat(over, canvas, hu, hv, style, hat, colour)
    for sign, name in ((-1, "arm_l"), (1, "arm_r")):
        au, av = u - sign * 0.13 - 0.5 * p["lean"], v - 0.415
        du, dv = sign * torch.sin(p[name]), -torch.cos(p[name])
        canvas = over(canvas, _ellipse(au - 0.235 * du, av - 0.235 * dv, 0.058, 0.058), colour["skin"])
        canvas = over(canvas, _capsule(au, av, 0.175 * du, 0.175 * dv, 0.055), colour["shirt"] * 0.88)
    return canvas


def _face(over, canvas, hu, hv, mouth, glasses, colour, dark, white):
    sun = (glasses == 2).float()
    for sign in (-1, 1):
        eu, ev = hu - sign * 0.092, hv - 0.005
        canvas = over(canvas, _ellipse(eu, ev, 0.058, 0.066), white)
        canvas = over(canvas, _ellipse(eu, ev + 0.004, 0.036, 0.044), dark)
    for sign in (-1, 1):
        eu, ev = hu - sign * 0.100, hv - 0.005
        ring = _ellipse(eu, ev, 0.096, 0.092).abs() - 0.016
        canvas = over(canvas, ring, dark, (glasses == 1).float())
        canvas = over(canvas, _box(eu, ev, 0.092, 0.068, 0.05), dark, sun)
    canvas = over(canvas, _box(hu, hv - 0.01, 0.20, 0.014, 0.005), dark, sun)
    red = dark * 0 + torch.tensor((0.62, 0.10, 0.12), device=dark.device)[None, :, None, None, None]
    return over(canvas, _ellipse(hu, hv + 0.125, 0.052 + 0.012 * mouth, 0.014 + 0.042 * mouth), red)


def _hair_and_hat(over, canvas, hu, hv, style, hat, colour):
    haired = (style != 5).float()
    # The cap of hair: the upper part of a circle a little larger than the head, cut by a gentle curve.
    cut = 0.085 + 0.45 * hu * hu
    cap = torch.maximum(_ellipse(hu, hv - 0.012, 0.252, 0.245), cut - hv)
    canvas = over(canvas, cap, colour["hair"], haired)
    canvas = over(canvas, _ellipse(hu, hv - 0.285, 0.095, 0.085), colour["hair"], (style == 3).float())
    for place, height in ((-0.16, 0.15), (-0.055, 0.20), (0.055, 0.20), (0.16, 0.15)):
        spike = _triangle(hu - place, -(hv - 0.155), 0.085, height)
        canvas = over(canvas, spike, colour["hair"], (style == 4).float())
    rgb, band = colour["hat"], colour["hat"] * 0.72
    dome = torch.maximum(_ellipse(hu, hv - 0.10, 0.250, 0.205), 0.125 - hv)
    canvas = over(canvas, dome, rgb, ((hat == 1) | (hat == 2)).float())
    canvas = over(canvas, _box(hu - 0.14, hv - 0.135, 0.22, 0.027, 0.02), band, (hat == 1).float())
    canvas = over(canvas, _box(hu, hv - 0.145, 0.255, 0.045, 0.035), band, (hat == 2).float())
    canvas = over(canvas, _ellipse(hu, hv - 0.325, 0.058, 0.058), band, (hat == 2).float())
    canvas = over(canvas, _box(hu, hv - 0.265, 0.165, 0.135, 0.02), rgb, (hat == 3).float())
    return over(canvas, _box(hu, hv - 0.145, 0.285, 0.034, 0.03), band, (hat == 3).float())
