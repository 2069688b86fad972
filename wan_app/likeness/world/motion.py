"""How people move: pose parameters as smooth functions of time in seconds.

Everything is a function of seconds, not of frames, so that sound lies on the same time axis: `mouth_opening`
is the envelope that the voice follows.
"""

from __future__ import annotations

import math

import torch

from wan_app.likeness.world.attributes import ACTIONS, Scenes
from wan_app.likeness.world.voices import opening

TAU = 2 * math.pi


def speaks(scenes: Scenes) -> torch.Tensor:
    """Who speaks (N,): all who talk, and some who talk while they do something else."""
    return (scenes.classes["action"] == ACTIONS.index("talk")) | (scenes.numbers["chatty"] > 0.75)


def mouth_opening(scenes: Scenes, seconds: torch.Tensor) -> torch.Tensor:
    """Mouth opening in [0, 1], (N, T) for times `seconds` (T,): syllables while speaking, else closed."""
    return speaks(scenes)[:, None].float() * opening(scenes.numbers, seconds)


def poses(scenes: Scenes, seconds: torch.Tensor) -> dict[str, torch.Tensor]:
    """Pose parameters (N, T) in units of the body's height; angles in radians, 0 = arm hanging down.

    x, y: offset of the feet (y up); lean: sideways offset of the head; arm_l, arm_r: arm angles;
    leg: swing of the legs; sit: 1 while sitting; mouth: opening in [0, 1].
    """
    action = scenes.classes["action"][:, None]
    number = {name: value[:, None] for name, value in scenes.numbers.items()}
    side, phase = number["side"], number["phase"]
    beat = TAU * (number["rate"] * seconds[None, :] + phase)
    swing, lift, stride = torch.sin(beat), 0.5 - 0.5 * torch.cos(beat), torch.sin(1.8 * beat)

    def when(name: str) -> torch.Tensor:
        return (action == ACTIONS.index(name)).float()

    wave, walk, jump = when("wave"), when("walk"), when("jump")
    dance, talk, sit = when("dance"), when("talk"), when("sit")
    # Slow, on purpose: what moves more than a few pixels within a group of four frames comes out doubled.
    x = walk * side * (seconds[None, :] - 1.0) * 0.13 + dance * 0.035 * swing
    y = jump * 0.09 * lift + walk * 0.012 * stride.abs()
    lean = dance * 0.025 * swing + talk * 0.012 * swing + sit * 0.01 * swing
    rest = 0.30
    raised = 2.45 + 0.38 * swing
    right = side > 0
    waving = torch.where(right, raised, torch.full_like(raised, rest))
    still = torch.where(right, torch.full_like(raised, rest), raised)
    arm_r = (
        rest
        + wave * (waving - rest)
        + walk * 0.45 * stride
        + jump * 1.5 * lift
        + dance * (1.75 + 0.55 * swing)
        + sit * 0.35
    )
    arm_l = (
        rest
        + wave * (still - rest)
        - walk * 0.45 * stride
        + jump * 1.5 * lift
        + dance * (1.75 - 0.55 * swing)
        + sit * 0.35
    )
    arm_r = arm_r + talk * (0.25 + 0.18 * swing)
    arm_l = arm_l + talk * (0.25 - 0.18 * swing)
    return {
        "x": x,
        "y": y,
        "lean": lean,
        "arm_l": arm_l,
        "arm_r": arm_r,
        "leg": walk * 0.075 * stride,
        "sit": sit.expand_as(x),
        "mouth": mouth_opening(scenes, seconds),
    }
