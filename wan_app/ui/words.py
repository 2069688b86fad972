"""People's words for what a ModelSpec says in numbers: shapes, lengths, sizes, field names."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime

from wan_app.errors import InvalidRequest
from wan_app.families.spec import ModelSpec, Shape, written_scale
from wan_app.types import AudioInfo

# Ratios that people know; 832x480 is nobody's "26:15".
_RATIOS = ((1, 1), (5, 4), (4, 3), (3, 2), (5, 3), (16, 9), (21, 9))
FIELDS = {
    "prompt": "Prompt",
    "negative_prompt": "Negative prompt",
    "image": "First picture",
    "last_image": "Last picture",
    "face": "Face pictures",
    "voice": "Voice",
    "say": "Words to say",
    "soundtrack": "Soundtrack",
    "soundtrack_mode": "Soundtrack and other sound",
    "characters": "Characters",
    "consent": "Consent",
    "size": "Shape",
    "width": "Width",
    "height": "Height",
    "seconds": "Length",
    "num_frames": "Number of frames",
    "seed": "Seed",
    "num_inference_steps": "Inference steps",
    "guidance_scale": "Guidance scale",
    "model": "Model",
    "licence": "Licence",
    "download": "Download",
}


@dataclass(frozen=True)
class LengthRange:
    """The length slider of a model, in seconds."""

    low: float
    high: float
    step: float
    default: float


def ratio(width: int, height: int) -> str:
    """ "16:9" and the like: the known ratio within 3 %, else the exact one if it is short, else ""."""
    long, short = max(width, height), min(width, height)
    near = min(_RATIOS, key=lambda one: abs(math.log(one[0] / one[1] * short / long)))
    if abs(near[0] / near[1] * short / long - 1) > 0.03:
        divisor = math.gcd(long, short)
        near = (long // divisor, short // divisor)
        if near[0] > 32:
            return ""
    return f"{near[0]}:{near[1]}" if width >= height else f"{near[1]}:{near[0]}"


def shape_choices(spec: ModelSpec) -> list[tuple[str, str]]:
    """(label, "WxH") for every shape; the size joins the label where two would read alike."""
    labels = [f"{one.label} {ratio(one.width, one.height)}".strip() for one in spec.shapes]
    return [
        (label if labels.count(label) == 1 else f"{label}, {_times(one.width, one.height)}", size_value(one))
        for label, one in zip(labels, spec.shapes)
    ]


def size_value(shape: Shape) -> str:
    """The value behind a shape's radio button."""
    return f"{shape.width}x{shape.height}"


def parse_size(text: str) -> tuple[int, int]:
    """(width, height) of "WxH".

    Raises:
        InvalidRequest: naming `size`.
    """
    width, _, height = str(text).lower().partition("x")
    if not (width.isascii() and width.isdigit() and height.isascii() and height.isdigit()):
        raise InvalidRequest("size", repr(text)[:60], "a width and a height, for example 128x128")
    if len(width) > 6 or len(height) > 6:
        raise InvalidRequest("size", str(text)[:40], "sides of at most 16384 pixels")
    return int(width), int(height)


def length_range(spec: ModelSpec) -> LengthRange:
    """Slider stops in half seconds, or in the model's own grid where that is coarser.

    Stops may lie half a grid step outside the model's exact range, as `ModelSpec.resolve` allows.
    """
    grid = spec.frame_step / spec.fps
    step = max(0.5, round(grid, 3))
    low = max(1, math.ceil((spec.min_seconds - grid / 2) / step)) * step
    high = max(low, math.floor((spec.max_seconds + grid / 2) / step) * step)
    wished = round(spec.seconds_of(spec.default_frames) / step) * step
    return LengthRange(round(low, 3), round(high, 3), step, round(min(max(wished, low), high), 3))


def readout(spec: ModelSpec, size: str, seconds: float) -> str:
    """ "17 frames at 8 per second, 512 × 512 (drawn at 128 × 128), with sound": what the settings come to on this
    model's grid."""
    try:
        width, height = parse_size(size)
        frames = spec.frames_for(float(seconds))
    except (InvalidRequest, TypeError, ValueError, OverflowError):
        return "Choose a shape and a length."
    scale = written_scale(max(1, width), max(1, height))
    sound = "with sound" if spec.native_audio else "silent unless you add sound"
    drawn = f" (drawn at {_times(width, height)})" if scale > 1 else ""
    return f"{frames} frames at {spec.fps:g} per second, {_times(width * scale, height * scale)}{drawn}, {sound}"


def sound_of(audio: AudioInfo) -> str:
    """ "Mono sound · 48 kHz · −16 LUFS · in step with the picture": the sound of a result, as it was measured."""
    channels = {1: "Mono", 2: "Stereo"}.get(audio.channels, f"{audio.channels}-channel")
    facts = [f"{channels} sound", f"{audio.sample_rate / 1000:g} kHz"]
    if audio.loudness is not None:
        facts.append(f"{audio.loudness:.0f} LUFS".replace("-", "−"))
    if audio.offset is not None:
        late = round(audio.offset * 1000)
        side = f"{abs(late)} ms {'behind' if late > 0 else 'ahead of'}" if late else "in step with"
        facts.append(f"{side} the picture")
    return " · ".join(facts)


def field_label(name: str) -> str:
    """What the page calls a field of the request."""
    return FIELDS.get(name, name.replace("_", " ").capitalize())


def duration(seconds: float) -> str:
    """ "8 s", "2 min 5 s": a time as people say it, rounded to whole seconds, never below 1."""
    whole = max(1, round(seconds))
    return f"{whole} s" if whole < 90 else f"{whole // 60} min {whole % 60} s"


def moment(created: str) -> str:
    """ "2026-11-23 14:05 CET": a point in time, ISO 8601 in UTC, by this machine's clock; as it is if it is none."""
    try:
        # Python 3.10 does not read the Z.
        local = datetime.fromisoformat(created.replace("Z", "+00:00")).astimezone()
    except (ValueError, OverflowError):
        return created
    return f"{local:%Y-%m-%d %H:%M %Z}"


def say_hint(mode: str, spec: ModelSpec) -> str:
    """What becomes of the words to say."""
    if spec.native_audio and not spec.speaks_words:
        return f"{spec.title} knows no words: where something is to be said, it babbles, with moving lips."
    if mode == "reference":
        return "Optional, spoken by character1. With several people, a line for each: character2: Hello."
    return 'Optional, spoken aloud. Or write in the prompt: she says "Hello".'


def rough_time(minutes: float) -> str:
    """ "about 10 s", "about 25 min", "about 3 hours": a prediction, no finer than it is."""
    seconds = 60 * minutes
    if seconds < 90:
        return f"about {max(1, round(seconds))} s"
    if minutes < 90:
        return f"about {minutes:.0f} min"
    hours = minutes / 60
    return f"about {hours:.0f} hours" if hours < 48 else f"about {hours / 24:.0f} days"


def gigabytes(count: int) -> str:
    """ "19 GB"; small ones with one decimal."""
    amount = count / 1e9
    return f"{amount:.0f} GB" if amount >= 10 else f"{amount:.1f} GB"


def _times(width: int, height: int) -> str:
    return f"{width} × {height}"
