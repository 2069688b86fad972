"""The words the whole app speaks: requests, results, job events. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

Mode = Literal["text", "image", "reference"]
MODES: tuple[Mode, ...] = get_args(Mode)
# auto: the sound of a model which has none of its own, quietly under the sound of one which has.
SoundtrackMode = Literal["auto", "mix", "replace"]
Preset = Literal["quality", "fast"]
# Where the visible label stands: nowhere, in a corner of every frame, or large for two seconds.
LabelPlace = Literal["off", "corner", "start"]
JobState = Literal["queued", "running", "finished", "failed", "cancelled"]


@dataclass(frozen=True, kw_only=True)
class Character:
    """A person in a reference-to-video request, called by `name` in the prompt.

    `faces` are pictures, `voice` a recording of a few seconds; one of the two may be missing.
    """

    name: str
    faces: tuple[Path, ...] = ()
    voice: Path | None = None


@dataclass(frozen=True)
class Lora:
    """Small weights over a model's own: a .safetensors file, and how strongly it counts."""

    file: Path
    weight: float = 1.0


@dataclass(frozen=True, kw_only=True)
class GenerationRequest:
    """One video to make.

    A field left at None means "the model's default"; `ModelSpec.resolve` returns a copy with
    every one of them filled in and checked, and only such a copy reaches the ledger.
    `width` and `height` are pixels, `num_frames` frames, `seconds` the wished length
    (ignored when `num_frames` is given). Pictures and sounds are paths; after `Services.submit`
    they point into the app's own store of inputs, named by content hash.

    `guidance_until` is the share of the steps, from the first one on, that are guided: without guidance
    a step takes half the time. `step_cache` is by how much a step may differ from the last one and still
    be skipped, 0 for none. `preset` "fast" is a few steps with the LoRA that the model's row names.

    `say` is what is spoken; a line in the prompt (`character1 says "..."`) does the same.
    `soundtrack` is laid under the whole clip. `sound_only` asks for the voice alone, as a WAV
    file: a test of a voice before a video is made with it.

    `consent_id` and `label` are set by `Services.submit`, whatever was given: the statement of consent as
    it was recorded, and the visible label.
    """

    mode: Mode
    prompt: str
    negative_prompt: str = ""
    model: str | None = None
    weights: Path | None = None
    width: int | None = None
    height: int | None = None
    seconds: float | None = None
    num_frames: int | None = None
    seed: int | None = None
    num_inference_steps: int | None = None
    guidance_scale: float | None = None
    guidance_until: float = 1.0
    preset: Preset = "quality"
    loras: tuple[Lora, ...] = ()
    step_cache: float = 0.0
    image: Path | None = None
    last_image: Path | None = None
    characters: tuple[Character, ...] = ()
    say: str = ""
    soundtrack: Path | None = None
    soundtrack_mode: SoundtrackMode = "auto"
    sound_only: bool = False
    consent: bool = False
    consent_id: str | None = None
    label: LabelPlace = "off"

    def to_json(self) -> dict[str, Any]:
        """A dict of JSON types; `from_json` reads it back to an equal request."""
        return _plain(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> GenerationRequest:
        """The request that `to_json` wrote; unknown keys (of newer versions) are ignored."""
        known = {f.name: data[f.name] for f in fields(cls) if f.name in data}
        for name in ("weights", "image", "last_image", "soundtrack"):
            if known.get(name) is not None:
                known[name] = Path(known[name])
        known["loras"] = tuple(Lora(Path(one["file"]), one["weight"]) for one in known.get("loras", ()))
        known["characters"] = tuple(
            Character(
                name=one["name"],
                faces=tuple(Path(face) for face in one["faces"]),
                voice=Path(one["voice"]) if one.get("voice") else None,
            )
            for one in known.get("characters", ())
        )
        return cls(**known)


@dataclass(frozen=True, kw_only=True)
class AudioInfo:
    """The sound stream of a result, as measured on the written file.

    `offset` is by how many seconds the decoded sound lies behind what was to be heard with the
    first frame; `loudness` is in LUFS, None for silence.
    """

    sample_rate: int
    channels: int
    seconds: float
    offset: float | None = None
    loudness: float | None = None


@dataclass(frozen=True, kw_only=True)
class Similarity:
    """How near one character of a result is to its references, by the model's own encoders.

    identity, timbre: agreement from 0 to 1 (the same); strangers have some looks in common. pitch: semitones by which
    the voice made lies above the reference. None where there is nothing to compare.
    """

    character: str
    identity: float | None = None
    timbre: float | None = None
    pitch: float | None = None


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that was measured on the written file, `said` for people.

    Not `good` is what is worth a look (a stretch in which nothing moves) although the file holds what was made;
    a file that does not is never delivered.
    """

    name: str
    said: str
    good: bool = True


@dataclass(frozen=True, kw_only=True)
class GenerationResult:
    """What was made, as measured on the written file. `timings` are seconds by stage name.

    A result of `sound_only` has no picture: its sides, frames and rate are 0. `notes` are lines for
    people on what was repaired in the inputs or could not be done in full; `checks` what was measured.
    """

    file: Path
    model: str
    mode: Mode
    seed: int
    width: int
    height: int
    num_frames: int
    fps: float
    seconds: float
    audio: AudioInfo | None = None
    similarity: tuple[Similarity, ...] = ()
    notes: tuple[str, ...] = ()
    checks: tuple[Check, ...] = ()
    timings: dict[str, float] = field(default_factory=dict)
    watermark_id: str | None = None
    consent_id: str | None = None

    def to_json(self) -> dict[str, Any]:
        """A dict of JSON types, the object `generate --json` prints."""
        return _plain(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> GenerationResult:
        """The result that `to_json` wrote."""
        known = {f.name: data[f.name] for f in fields(cls) if f.name in data}
        known["file"] = Path(known["file"])
        if known.get("audio"):
            known["audio"] = AudioInfo(**known["audio"])
        known["similarity"] = tuple(Similarity(**one) for one in known.get("similarity", ()))
        known["notes"] = tuple(known.get("notes", ()))
        known["checks"] = tuple(Check(**one) for one in known.get("checks", ()))
        return cls(**known)


# --- Job events, in the order a job may meet them -------------------------------------------


@dataclass(frozen=True)
class Queued:
    """Waiting; `position` is how many jobs come before this one, the running one among them.

    `eta` in seconds to its beginning, from what such jobs took here before; None while that is unknown.
    """

    position: int
    eta: float | None = None


@dataclass(frozen=True)
class Downloading:
    """Weights are on their way, in bytes; `eta` in seconds to the end of the download, None while unknown."""

    done: int
    total: int
    eta: float | None = None


@dataclass(frozen=True, kw_only=True)
class Downloaded:
    """Weights are here and whole, in `folder`. The end of a download, which is not a job.

    `total` and `fetched` are bytes, all and those that came this time; both 0 if all was here before.
    `commit` is what the revision was on the hub, None if the hub was not asked.
    """

    model: str
    repository: str
    commit: str | None
    folder: Path
    total: int = 0
    fetched: int = 0
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """A dict of JSON types, the object `download --json` prints."""
        return _plain(self)


@dataclass(frozen=True)
class Loading:
    """Before the first denoising step; `what` is a phrase for people ("Reading the prompt").

    `stays`: it is worth knowing until the job ends (a smaller plan), not only until the next event.
    """

    what: str
    stays: bool = False


@dataclass(frozen=True)
class Step:
    """Denoising step `index` (1-based) of `total`; `eta` in seconds to the end of the job.

    `preview` is a JPEG of the clean-video estimate, or None when none was made this step.
    """

    index: int
    total: int
    eta: float | None = None
    preview: bytes | None = None


@dataclass(frozen=True)
class Exporting:
    """After the last denoising step; `what` is a phrase for people ("Decoding")."""

    what: str


@dataclass(frozen=True)
class Finished:
    """The file is complete."""

    result: GenerationResult


@dataclass(frozen=True)
class Failed:
    """`error` is one line for the user; `kind` the class name in `errors`."""

    error: str
    kind: str = "WanAppError"
    exit_code: int = 1


@dataclass(frozen=True)
class Cancelled:
    """The user stopped the job; or somebody who may, and `why` says so in a line."""

    why: str = ""


JobEvent = Queued | Downloading | Loading | Step | Exporting | Finished | Failed | Cancelled


class Reporter(Protocol):
    """How a running pipeline speaks to the outside. Both calls may raise `errors.Cancelled`.

    `windows` is where a pipeline that makes a long clip in windows may keep what is finished, for whoever takes
    the job up after this process; None if nobody would.
    """

    windows: Path | None

    def __call__(self, event: JobEvent) -> None:
        """Publish an event."""

    def check(self) -> None:
        """Raise `errors.Cancelled` if the user asked for it; cheap, call it in every block."""


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if hasattr(value, "__dataclass_fields__"):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    return value
