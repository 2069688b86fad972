"""What shared code may know about a model: one ModelSpec row, and how a request is held against it."""

from __future__ import annotations

import math
import secrets
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, get_args

from wan_app.errors import InvalidRequest
from wan_app.families.fit.costs import Costs
from wan_app.families.speech.lines import spoken_lines
from wan_app.types import MODES, GenerationRequest, Mode, Preset, SoundtrackMode

MAX_SEED = 2**31 - 1
# A clip smaller than this is enlarged as it is written: phones show 128 px as a stamp, and the
# watermark needs at least 256 px (measured).
MIN_WRITTEN_SIDE = 512
# 832x480 is a full size for Wan: it is written as it is, not as 1664x960.
SMALL_SIDE = 480
# About 40 seconds of speech, longer than any clip.
MAX_SAY_CHARACTERS = 600
# The first steps make the composition; without guidance in them the prompt is hardly followed.
MIN_GUIDED_SHARE = 0.1
# Above it little but the first steps is left.
MAX_STEP_CACHE = 0.3
# Direction overrides make a text read other than it is stored; emoji and right-to-left scripts
# need none of them.
_BIDI_OVERRIDES = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@dataclass(frozen=True)
class Shape:
    """A size with a name people know."""

    label: str
    width: int
    height: int


@dataclass(frozen=True, kw_only=True)
class Fast:
    """What the preset `fast` runs: a distilled LoRA, few steps, no guidance. `files` lie in `repository`."""

    repository: str
    files: tuple[str, ...]
    download_bytes: int
    licence: str = "Apache-2.0"
    num_inference_steps: int = 4
    flow_shift: float = 5.0


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """One model: what it is, what it takes, what it costs.

    Frames lie on the grid `frame_offset + frame_step * k`. `memory` maps a quantization name to
    bytes on the device; `download_bytes` is what the hub would send. `shapes[0]` is the default.
    `max_area` is in pixels. Limits on references: pictures in all, characters, and voices that the
    model itself takes; a model without `native_audio` takes none and is given speech (`families.speech`).
    """

    id: str
    family: str
    title: str
    about: str
    licence: str
    repository: str
    revision: str
    parameters: int
    download_bytes: int
    memory: Mapping[str, int]
    tasks: tuple[Mode, ...]
    fps: float
    frame_step: int
    min_frames: int
    max_frames: int
    default_frames: int
    shapes: tuple[Shape, ...]
    size_multiple: int
    min_side: int
    max_area: int
    num_inference_steps: int
    guidance_scale: float
    frame_offset: int = 1
    max_inference_steps: int = 100
    max_guidance_scale: float = 20.0
    max_prompt_characters: int = 1500
    max_negative_prompt_characters: int = 500
    max_reference_images: int = 0
    max_characters: int = 0
    max_voices: int = 0
    native_audio: bool = False
    speaks_words: bool = True  # its own sound; else it only babbles
    takes_last_image: bool = False
    bundled: bool = False
    # A worker that gives no sign of life for so long hangs; tens of gigabytes of weights are read without one.
    stall_seconds: float = 1800.0
    flow_shift: float = field(default=1.0)
    # `_class_name` in the repository's index file; empty: any.
    pipeline_class: str = ""
    # modular_model_index.json for the repositories of diffusers' modular pipelines.
    index_file: str = "model_index.json"
    # A licence in `families.weights.licences` that must be accepted first; empty for most.
    licence_id: str = ""
    # What a plan is made from; without it the memory table is.
    costs: Costs | None = None
    # Whether a character's voice can only be given together with a face.
    voice_needs_face: bool = False
    # Whether a first picture can be given together with characters.
    image_with_reference: bool = True
    # Whether guidance can end before the last step (`guidance_until`).
    guidance_can_end: bool = False
    # Whether steps that hardly differ can be skipped (`step_cache`): only with the transformers for which
    # this is shown to be right (tests/families/test_caches.py).
    takes_step_cache: bool = False
    # Whether files of small weights can be laid over its own (`loras`).
    takes_loras: bool = False
    # What `preset` "fast" is for this model, if there is such a thing.
    fast: Fast | None = None

    def frames_for(self, seconds: float) -> int:
        """The frame count on the grid nearest to `seconds`, within this model's range."""
        steps = round((seconds * self.fps - self.frame_offset) / self.frame_step)
        frames = self.frame_offset + max(0, steps) * self.frame_step
        return min(max(frames, self.min_frames), self.max_frames)

    def seconds_of(self, num_frames: int) -> float:
        """Length of a clip of `num_frames` frames, in seconds."""
        return num_frames / self.fps

    @property
    def min_seconds(self) -> float:
        return self.seconds_of(self.min_frames)

    @property
    def max_seconds(self) -> float:
        return self.seconds_of(self.max_frames)

    @property
    def voices(self) -> int:
        """Voices that a request may bring: those the model takes, or one a character for the speech model."""
        return self.max_voices if self.native_audio else self.max_characters

    def resolve(self, request: GenerationRequest) -> GenerationRequest:
        """A copy with every default filled in and every number on this model's grid.

        Raises:
            InvalidRequest: naming the first field that cannot be run, what was got and needed.
        """
        self._check_task(request)
        prompt = check_text(
            "prompt", request.prompt, self.max_prompt_characters, required=not request.sound_only
        )
        negative = check_text(
            "negative_prompt", request.negative_prompt, self.max_negative_prompt_characters
        )
        say = check_text("say", request.say, MAX_SAY_CHARACTERS)
        # As they were checked: a million newlines around a word take minutes to look through.
        self._check_sound(replace(request, prompt=prompt, say=say))
        seed = secrets.randbelow(MAX_SEED + 1) if request.seed is None else request.seed
        return replace(
            self.sized(request), prompt=prompt, negative_prompt=negative, say=say,
            soundtrack=None if request.sound_only else request.soundtrack,
            seed=int(check_number("seed", seed, 0, MAX_SEED, whole=True)),
        )

    def sized(self, request: GenerationRequest) -> GenerationRequest:
        """A copy with the numbers that cost something filled in and checked, whatever else it lacks.

        Raises:
            InvalidRequest: as `resolve`.
        """
        width, height = self._size(request.width, request.height)
        num_frames = self._frames(request.num_frames, request.seconds)
        few = self._preset(request.preset)
        steps = check_number(
            "num_inference_steps",
            (few or self).num_inference_steps if request.num_inference_steps is None else request.num_inference_steps,
            1, self.max_inference_steps, whole=True,
        )
        # Distilled weights have the guidance in them.
        usual = 1.0 if few else self.guidance_scale
        guidance = check_number(
            "guidance_scale", usual if request.guidance_scale is None else request.guidance_scale,
            1.0, self.max_guidance_scale,
        )
        until = check_number("guidance_until", request.guidance_until, MIN_GUIDED_SHARE, 1.0)
        if until < 1 and not self.guidance_can_end:
            raise InvalidRequest("guidance_until", f"{until:g}", f"1: {self.id} is guided to the end")
        cache = check_number("step_cache", request.step_cache, 0.0, MAX_STEP_CACHE)
        if cache and not self.takes_step_cache:
            raise InvalidRequest("step_cache", f"{cache:g}", f"0: every step of {self.id} is run")
        return replace(
            request, model=self.id, guidance_until=float(until), step_cache=float(cache), width=width, height=height,
            num_frames=num_frames, seconds=self.seconds_of(num_frames),
            num_inference_steps=int(steps), guidance_scale=float(guidance),
        )

    def _preset(self, preset: Any) -> Fast | None:
        if preset not in get_args(Preset):
            raise InvalidRequest("preset", repr(preset)[:40], "one of " + ", ".join(get_args(Preset)))
        if preset == "fast" and self.fast is None:
            raise InvalidRequest("preset", "fast", f"quality: there is no fast one for {self.id}")
        return self.fast if preset == "fast" else None

    def to_json(self) -> dict[str, Any]:
        """The row that `models --json` prints, without `available`."""
        return {
            "id": self.id, "family": self.family, "title": self.title, "about": self.about,
            "tasks": list(self.tasks), "licence": self.licence, "repository": self.repository,
            "revision": self.revision, "parameters": self.parameters,
            "download_bytes": self.download_bytes, "memory": dict(self.memory), "fps": self.fps,
            "frame_grid": {
                "step": self.frame_step, "offset": self.frame_offset,
                "min": self.min_frames, "max": self.max_frames, "default": self.default_frames,
            },
            "sizes": [
                {"label": s.label, "width": s.width, "height": s.height} for s in self.shapes
            ],
            "size_multiple": self.size_multiple, "native_audio": self.native_audio,
            "speaks_words": self.speaks_words,
            "max_reference_images": self.max_reference_images,
            "max_characters": self.max_characters, "max_voices": self.max_voices,
            "num_inference_steps": self.num_inference_steps, "guidance_scale": self.guidance_scale,
            "presets": ["quality", "fast"] if self.fast else ["quality"], "takes_loras": self.takes_loras,
            "guidance_can_end": self.guidance_can_end, "takes_step_cache": self.takes_step_cache,
        }

    def _check_task(self, request: GenerationRequest) -> None:
        if request.mode not in MODES:
            raise InvalidRequest("mode", repr(request.mode), "one of " + ", ".join(MODES))
        if request.mode not in self.tasks:
            raise InvalidRequest(
                "model", f"{self.id} for mode {request.mode}",
                f"a model that does {request.mode}; {self.id} does {', '.join(self.tasks)}",
            )
        self._check_pictures(request)
        if request.last_image is not None and not self.takes_last_image:
            raise InvalidRequest("last_image", "a picture", f"none: {self.id} takes no last picture")
        if request.mode == "reference":
            self._check_characters(request)

    def _check_pictures(self, request: GenerationRequest) -> None:
        """What a mode does not speak of is refused and not dropped; a face is for `reference`, with consent."""
        if request.mode == "image" and request.image is None:
            raise InvalidRequest("image", "nothing", "a first picture")
        if request.mode == "text":
            for name in ("image", "last_image"):
                if getattr(request, name) is not None:
                    raise InvalidRequest(name, "a picture for mode text", "none, or mode image")
        if request.mode == "reference" and not self.image_with_reference:
            for name in ("image", "last_image"):
                if getattr(request, name) is not None:
                    raise InvalidRequest(name, "a picture beside faces", f"none in mode reference for {self.id}")
        if request.mode != "reference" and request.characters:
            name, what = ("face", "a picture") if any(one.faces for one in request.characters) else ("voice", "a voice")
            raise InvalidRequest(name, f"{what} for mode {request.mode}", "none, or mode reference")

    def _check_characters(self, request: GenerationRequest) -> None:
        people = request.characters
        if not people:
            raise InvalidRequest(
                "face", "no picture" + (" and no voice" if self.voices else ""),
                "at least one face picture of character1" + (", or a voice" if self.voices else ""),
            )
        if len(people) > self.max_characters:
            raise InvalidRequest(
                "characters", str(len(people)), f"1 to {self.max_characters} for {self.id}"
            )
        names = [check_text("characters", one.name, 60, required=True).lower() for one in people]
        if len(set(names)) < len(names):
            raise InvalidRequest("characters", "two of the same name", "a name of its own for each")
        pictures = sum(len(one.faces) for one in people)
        for one in people:
            voice_alone = one.voice and self.voices and (request.sound_only or not self.voice_needs_face)
            if not one.faces and not voice_alone:
                raise InvalidRequest("face", f"no picture for {one.name}", "at least one picture")
        if pictures > self.max_reference_images:
            raise InvalidRequest(
                "face", f"{pictures} pictures", f"at most {self.max_reference_images} in all for {self.id}"
            )
        voices = sum(one.voice is not None for one in people)
        if voices > self.voices:
            raise InvalidRequest("voice", f"{voices} voice clips", f"at most {self.voices} for {self.id}")

    def _check_sound(self, request: GenerationRequest) -> None:
        """After the texts: what a silent model is to say is looked for in them."""
        if not isinstance(request.sound_only, bool):
            raise InvalidRequest("sound_only", repr(request.sound_only)[:40], "true or false")
        if request.soundtrack_mode not in get_args(SoundtrackMode):
            raise InvalidRequest(
                "soundtrack_mode", repr(request.soundtrack_mode)[:40], "one of " + ", ".join(get_args(SoundtrackMode))
            )
        if self.native_audio:
            return
        voiced = request.sound_only or any(one.voice for one in request.characters)
        replaced = request.soundtrack and request.soundtrack_mode == "replace" and not request.sound_only
        if replaced and (voiced or request.say):
            raise InvalidRequest("soundtrack_mode", "replace, with words to say", "mix or auto, or nothing to say")
        if voiced and not spoken_lines(request):
            raise InvalidRequest(
                "say", "nothing",
                'words for the voice: --say TEXT, or character1 says "..." in the prompt; '
                f"{self.id} has no sound of its own",
            )

    def _frames(self, num_frames: int | None, seconds: float | None) -> int:
        if num_frames is not None:
            check_number("num_frames", num_frames, self.min_frames, self.max_frames, whole=True)
            if (num_frames - self.frame_offset) % self.frame_step:
                raise InvalidRequest(
                    "num_frames", str(num_frames), f"{self.frame_step}k+{self.frame_offset}"
                )
            return int(num_frames)
        if seconds is None:
            return self.default_frames
        # Half a grid step of tolerance at both ends: "5 seconds" must not fail on 81/16 = 5.06.
        slack = self.frame_step / self.fps / 2
        check_number("seconds", seconds, self.min_seconds - slack, self.max_seconds + slack)
        return self.frames_for(float(seconds))

    def _size(self, width: int | None, height: int | None) -> tuple[int, int]:
        if width is None and height is None:
            return self.shapes[0].width, self.shapes[0].height
        if width is None or height is None:
            raise InvalidRequest("size", f"{width}x{height}", "both a width and a height")
        for name, side in (("width", width), ("height", height)):
            check_number(name, side, 1, 16384, whole=True)
        width, height = int(width), int(height)  # JSON may say 512.0
        if self._fits(width, height):
            return width, height
        # The size of the written file is an answer too: 512x512 from a model that draws 128x128.
        for scale in range(2, 17):
            small = (width // scale, height // scale)
            whole = width % scale == height % scale == 0
            if whole and self._fits(*small) and written_scale(*small) == scale:
                return small
        known = ", ".join(f"{s.width}x{s.height}" for s in self.shapes)
        raise InvalidRequest(
            "size", f"{width}x{height}",
            f"multiples of {self.size_multiple}, sides of at least {self.min_side}, at most "
            f"{self.max_area} pixels in all for {self.id}, for example {known}",
        )

    def _fits(self, width: int, height: int) -> bool:
        return (
            width % self.size_multiple == 0 and height % self.size_multiple == 0
            and min(width, height) >= self.min_side and width * height <= self.max_area
        )


def written_scale(width: int, height: int) -> int:
    """The whole factor by which a clip is enlarged as it is written; 1 from 480p on."""
    if min(width, height) >= SMALL_SIDE:
        return 1
    return max(1, math.ceil(MIN_WRITTEN_SIDE / min(width, height)))


def check_number(name: str, value: Any, low: float, high: float, *, whole: bool = False) -> float:
    """`value` if it is a finite number within [low, high], whole where asked; else InvalidRequest."""
    wanted = f"a {'whole ' if whole else ''}number from {low:g} to {high:g}"
    if whole:
        wanted = f"a whole number from {low:.0f} to {high:.0f}"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidRequest(name, repr(value)[:60], wanted)
    # An int too large for a float must not raise OverflowError, hence the comparison first.
    if not low <= value <= high or (whole and value != int(value)):
        raise InvalidRequest(name, f"{value}"[:40], wanted)
    return value


def check_text(name: str, value: Any, limit: int, *, required: bool = False) -> str:
    """`value` stripped, if it is printable text of at most `limit` characters."""
    if not isinstance(value, str):
        raise InvalidRequest(name, type(value).__name__, "text")
    text = value.strip()
    if required and not text:
        raise InvalidRequest(name, "nothing", "a few words")
    if len(text) > limit:
        raise InvalidRequest(name, f"{len(text)} characters", f"at most {limit}")
    for place, char in enumerate(text):
        category = unicodedata.category(char)
        if (category in ("Cc", "Cs") and char not in "\n\r\t") or char in _BIDI_OVERRIDES:
            raise InvalidRequest(
                name, f"the control character U+{ord(char):04X} at position {place + 1}",
                "text without control characters",
            )
    return text
