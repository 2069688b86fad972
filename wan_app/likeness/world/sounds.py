"""What is heard in the cartoon world: the place, steps on the beat of the walk, and who speaks."""

from __future__ import annotations

import torch

from wan_app.likeness.vocoder import FLOOR, HOP, SAMPLE_RATE, Controls, band_centres
from wan_app.likeness.world.attributes import ACTIONS, CLIP_FRAMES, FPS, PLACES, Scenes
from wan_app.likeness.world.motion import poses, speaks
from wan_app.likeness.world.voices import TAU, speech

# Of each place: centre in Hz, width in octaves, loudness (log10), depth of the swell and its rate in hertz.
_PLACE_SOUND = {
    "beach": (700.0, 2.2, -1.1, 0.9, 0.35),
    "forest": (2600.0, 1.2, -1.4, 0.5, 0.5),
    "city": (150.0, 0.8, -0.7, 0.1, 0.7),
    "moon": (95.0, 0.6, -0.9, 0.2, 0.2),
    "snow": (1100.0, 0.9, -1.25, 0.7, 0.3),
    "desert": (480.0, 0.5, -1.0, 0.6, 0.4),
    "room": (250.0, 1.6, -1.9, 0.0, 0.2),
}


def control_times(seconds: float = CLIP_FRAMES / FPS) -> torch.Tensor:
    """Moments (T,) in seconds of the control frames of a clip, each in the middle of its 12.5 ms."""
    count = round(seconds * SAMPLE_RATE / HOP)
    return (torch.arange(count) + 0.5) * (HOP / SAMPLE_RATE)


def clip_sound(scenes: Scenes, seconds: torch.Tensor | None = None) -> Controls:
    """What is heard in N clips at the moments `seconds` (T,), a whole clip by default."""
    moments = (control_times() if seconds is None else seconds).to(scenes.numbers["x"].device)
    said = speech(scenes.numbers, moments)
    talking = speaks(scenes)[:, None, None]
    silence = torch.full_like(said.harmonic, FLOOR)
    around = torch.maximum(_place(scenes, moments), _steps(scenes, moments))
    return Controls(
        said.f0,
        torch.where(talking, said.harmonic, silence),
        # Beside a voice the place is quieter, as a microphone near the mouth has it.
        torch.where(talking, torch.maximum(said.noise, around - 0.6), around).clamp(min=FLOOR),
    )


def _band(centre: torch.Tensor, octaves: torch.Tensor) -> torch.Tensor:
    """A hump (N, 1, BANDS) in log10 amplitude around `centre` Hz."""
    away = (band_centres().to(centre.device) / centre[:, None]).log2() / octaves[:, None]
    return -(away**2)[:, None]


def _place(scenes: Scenes, moments: torch.Tensor) -> torch.Tensor:
    """The place (N, T, BANDS), log10."""
    table = torch.tensor([_PLACE_SOUND[name] for name in PLACES], device=moments.device)
    centre, octaves, loud, depth, rate = table[scenes.classes["place"]].unbind(1)
    decor, decor2 = scenes.numbers["decor"], scenes.numbers["decor2"]
    swell = torch.sin(TAU * (rate[:, None] * (0.8 + 0.4 * decor2[:, None]) * moments + decor[:, None]))
    level = loud[:, None] + 0.5 * depth[:, None] * (swell - 0.5)
    # A clock ticks in the room.
    tick = (scenes.classes["place"] == PLACES.index("room"))[:, None] * _bump((moments + decor[:, None]) % 1, 0.0)
    click = torch.log10(tick[..., None] + 1e-4) - 1.2 + _band(torch.full_like(centre, 3000.0), octaves * 0 + 0.8)
    hum = level[..., None] + _band(centre * (0.85 + 0.3 * decor2), octaves)
    return torch.maximum(hum, click)


def _bump(phase: torch.Tensor, at: float) -> torch.Tensor:
    """1 where `phase` in [0, 1) is just past `at`, gone after 60 ms of a second."""
    since = (phase - at) % 1
    return torch.exp(-since / 0.04)


def _steps(scenes: Scenes, moments: torch.Tensor) -> torch.Tensor:
    """Feet on the ground (N, T, BANDS), log10: when the legs are furthest apart, or as a jump lands."""
    pose = poses(scenes, moments)
    walking, jumping, dancing = (
        (scenes.classes["action"] == ACTIONS.index(name))[:, None].float() for name in ("walk", "jump", "dance")
    )
    apart = (pose["leg"].abs() / 0.075).clamp(0, 1) ** 24
    beat = scenes.numbers["rate"][:, None] * moments + scenes.numbers["phase"][:, None]
    landing = _bump(beat % 1, 0.0)
    heard = walking * apart + jumping * landing + 0.6 * dancing * _bump((2 * beat) % 1, 0.0)
    centre = 180 + 500 * (scenes.classes["place"] % 3).float()
    return torch.log10(heard[..., None] + 1e-4) - 0.6 + _band(centre, torch.full_like(centre, 1.3))
