"""The recipe for one video, readable top to bottom. Runs in the worker process.

    words spoken for a silent model -> the video model -> sound put together -> MP4 (or a WAV alone)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import wan_app
from wan_app import fitted, sounds
from wan_app.consent.ledger import ConsentLedger, Person
from wan_app.errors import ExportFailed
from wan_app.families import registry
from wan_app.families.base import Output, Pipeline, Plan
from wan_app.families.parts import loras
from wan_app.families.speech import registry as speech_registry
from wan_app.families.speech import weights as speech_weights
from wan_app.families.speech.base import Speaker
from wan_app.families.weights import locate as weights
from wan_app.families.weights import quantized
from wan_app.fitted import Stopwatch
from wan_app.media.label import Label
from wan_app.media.marks.credentials import ready_keys
from wan_app.media.marks.manifest import Facts
from wan_app.media.marks.marking import QUIET, Marks, unused_id
from wan_app.media.sound import Sound
from wan_app.media.storage import storage_error
from wan_app.media.truth import told_of_sound
from wan_app.media.video import export_video
from wan_app.media.wav import write_wav
from wan_app.runtime.job import Task, now, part_file
from wan_app.runtime.models import Load, ModelManager
from wan_app.settings import Settings
from wan_app.types import (
    Character,
    Exporting,
    GenerationRequest,
    GenerationResult,
    Loading,
    Reporter,
)


def generate_video(
    request: GenerationRequest, *, out: Path, models: ModelManager[Pipeline], speakers: ModelManager[Speaker],
    settings: Settings, report: Reporter, part: Path | None = None, notes: tuple[str, ...] = (),
) -> GenerationResult:
    """Make the video of a resolved request (or its voice alone) and write it to `out`.

    Args:
        part: as in `export_video`.
        notes: lines for people on the inputs, with which those of the result begin.
    Raises:
        Cancelled, ModelUnavailable, OutOfMemory, StorageError, ExportFailed: nothing is left at `out`.
    """
    assert request.model and request.seed is not None
    clock = Stopwatch()
    spec = registry.get(request.model)
    # First: what could not be signed need not be made.
    marks = marks_of(request, settings)
    # Before the video: what is wrong with the words or the voice shows in seconds and not after minutes.
    speech = None
    if lines := sounds.speech_wanted(request, spec):
        speech, said = sounds.spoken(request, lines, speakers, report)
        notes += said
        clock.lap("speak")
    output = Output(frames=None)
    if spec.native_audio or not request.sound_only:
        report(Loading(f"Getting {spec.title} ready"))
        full = loras.with_preset(request, spec, settings)
        output, said = fitted.made(full, models, settings, report, clock)
        notes += said
    result = GenerationResult(
        file=out, model=spec.id, mode=request.mode, seed=request.seed, width=0, height=0, num_frames=0, fps=0.0,
        seconds=0.0, similarity=output.similarity, notes=notes + output.notes, consent_id=request.consent_id,
        watermark_id=marks.facts.watermark_id,
    )
    _make_folder(out)
    if request.sound_only:
        result = _write_sound(result, output, speech, marks=marks, report=report, part=part)
    else:
        metadata = metadata_of(request, settings)
        result = _write_video(
            result, output, speech, request=request, metadata=metadata, marks=marks, report=report, part=part
        )
    clock.lap("export")
    return replace(result, timings=clock.timings())


def _write_video(
    result: GenerationResult, output: Output, speech: Sound | None, *, request: GenerationRequest,
    metadata: dict[str, Any], marks: Marks, report: Reporter, part: Path | None,
) -> GenerationResult:
    """The result with what the written MP4 turned out to be."""
    if output.frames is None:
        raise ExportFailed(f"{result.model} made no picture")
    spec = registry.get(result.model)
    report(Exporting("Writing the video"))
    sound, said = sounds.composed(output, speech, request, spec.seconds_of(request.num_frames or 0))
    facts = export_video(
        output.frames, result.file, fps=spec.fps, audio=sound.samples if sound else None,
        sample_rate=sound.sample_rate if sound else None, metadata=metadata, marks=marks, report=report, part=part,
    )
    return replace(
        result, width=facts.width, height=facts.height, num_frames=facts.num_frames, fps=facts.fps,
        seconds=facts.seconds, audio=facts.audio, notes=result.notes + said + facts.notes, checks=facts.checks,
    )


def _write_sound(
    result: GenerationResult, output: Output, speech: Sound | None, *, marks: Marks, report: Reporter,
    part: Path | None,
) -> GenerationResult:
    """The result with what the written WAV turned out to be."""
    sound = speech
    if output.audio is not None and output.sample_rate:
        sound = Sound(output.audio, output.sample_rate)
    if sound is None:
        raise ExportFailed(f"{result.model} made no sound")
    report(Exporting("Writing the sound"))
    audio, said = write_wav(sound.samples, sound.sample_rate, result.file, marks=marks, part=part)
    checks = told_of_sound(audio, marked=QUIET not in said)
    return replace(result, audio=audio, seconds=audio.seconds, notes=result.notes + said, checks=checks)


def _make_folder(out: Path) -> None:
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error("out", out, error) from error


def marks_of(request: GenerationRequest, settings: Settings) -> Marks:
    """What the file of this request is marked with: a new id, and whose face and voice, by hashes only.

    Raises:
        StorageError, InvalidRequest: this install's keys, or the user's own certificate, cannot be used.
    """
    spec = registry.get(request.model)
    speech = speech_registry.get() if sounds.speech_wanted(request, spec) else None
    maker = speech if speech and request.sound_only else spec
    people = [Person.of(one) for one in request.characters]
    facts = Facts(
        watermark_id=unused_id(settings.sidecars_dir), created=now(), model=maker.id, model_title=maker.title,
        model_revision=spec.revision if maker is spec else None, speech=speech.id if speech else None,
        mode=request.mode, consent_id=request.consent_id,
        faces=tuple(face for one in people for face in one.faces),
        voices=tuple(one.voice for one in people if one.voice),
    )
    label = Label(request.label, settings.label_text)
    return Marks(keys=ready_keys(settings), facts=facts, sidecars=settings.sidecars_dir, label=label)


# --- The request inside the file -------------------------------------------------------------


def metadata_of(request: GenerationRequest, settings: Settings) -> dict[str, Any]:
    """What is stored inside the MP4: enough to make it again, and no folder of this machine but `weights`.

    Pictures and sounds are named as in the store of inputs; `request_from` finds them there again.
    """
    def name(path: Path) -> Path:
        return Path(path.name) if path.parent == settings.inputs_dir else path

    def lora(path: Path) -> Path:
        return Path(path.name) if path.parent == settings.loras_dir else path

    named = replace(request, loras=tuple(replace(one, file=lora(one.file)) for one in request.loras))
    stored = _with_inputs(named, name).to_json()
    return {"app": "wan-app", "version": wan_app.__version__, "request": stored}


def request_from(metadata: dict[str, Any], settings: Settings) -> GenerationRequest:
    """The request that `metadata_of` stored. Raises KeyError, TypeError or ValueError on other data."""
    def kept(path: Path) -> Path:
        # Anybody may have written the file: it can name what is in the store, and no other file of ours.
        if path.name != str(path):
            raise ValueError(f"{path} is not in the store of inputs")
        return settings.inputs_dir / path

    request = GenerationRequest.from_json(metadata["request"])

    def lora(path: Path) -> Path:
        # A full path stays as it is: where it was made it may be repeated.
        if not path.is_absolute() and path.name != str(path):
            raise ValueError(f"{path} is not in the folder of LoRAs")
        return settings.loras_dir / path

    files = tuple(replace(one, file=lora(one.file)) for one in request.loras)
    return _with_inputs(replace(request, loras=files), kept)


def _with_inputs(request: GenerationRequest, change: Callable[[Path], Path]) -> GenerationRequest:
    def changed(path: Path | None) -> Path | None:
        return change(path) if path else None

    people = tuple(
        Character(name=one.name, faces=tuple(map(change, one.faces)), voice=changed(one.voice))
        for one in request.characters
    )

    return replace(
        request, characters=people, image=changed(request.image), last_image=changed(request.last_image),
        soundtrack=changed(request.soundtrack),
    )


# --- What the worker process runs ------------------------------------------------------------


class VideoRecipe:
    """A `runtime.worker_process.Recipe`: `generate_video` with its model managers.

    Speech has one of its own: it is small, and must not push a video model of many gigabytes out.
    """

    def __init__(
        self, settings: Settings, load: Load[Pipeline] | None = None, load_speaker: Load[Speaker] | None = None
    ) -> None:
        self._settings = settings
        self._models = ModelManager(load or self._load)
        self._speakers = ModelManager(load_speaker or self._load_speaker)
        self._consent = ConsentLedger(settings.consent_file)

    def run(self, task: Task, report: Reporter) -> GenerationResult:
        """Make the video of a task. Raises InvalidRequest where consent was withdrawn since it was sent."""
        if task.request.characters:
            self._consent.check_run(task.request.consent_id, map(Person.of, task.request.characters))
        return generate_video(
            task.request, out=task.out, models=self._models, speakers=self._speakers, settings=self._settings,
            report=report, part=part_file(task.job_id, task.out), notes=task.notes,
        )

    def warm(self) -> None:
        """Load the default model, unless one is loaded, which may be in use and far bigger."""
        if self._models.loaded:
            return
        spec = registry.get(None)
        request = spec.resolve(GenerationRequest(mode="text", prompt="a clip"))
        plan, _ = fitted.planned(request, self._models, self._settings)
        with self._models.lease(spec.id, plan):
            pass

    def _load(self, model_id: str, plan: Plan, folder: Path | None) -> Pipeline:
        spec = registry.get(model_id)
        loaded = registry.load(spec, plan, weights.locate(spec, self._settings, folder))
        quantized.prune(self._settings.cache_dir / "quantized", self._settings.quantized_bytes)
        return loaded

    def _load_speaker(self, speech_id: str, plan: Plan, folder: Path | None) -> Speaker:
        spec = speech_registry.get(speech_id)
        return speech_registry.load(spec, plan, speech_weights.locate(spec, self._settings))


def open_recipe(settings: Settings) -> VideoRecipe:
    """Called once when the worker starts: the slow import is done before the first job needs it."""
    import torch  # noqa: F401

    return VideoRecipe(settings)
