"""What is heard in a clip: words spoken for silent models, the soundtrack, and how they lie together."""

from __future__ import annotations

import numpy as np

from wan_app.errors import ModelUnavailable
from wan_app.families.base import Output, Plan
from wan_app.families.parts.recording import Recording
from wan_app.families.spec import ModelSpec
from wan_app.families.speech import registry
from wan_app.families.speech.base import Speaker
from wan_app.families.speech.lines import Line, spoken_lines
from wan_app.media.loudness import audible
from wan_app.media.samples import UNDER_SPEECH
from wan_app.media.sound import Sound, at_loudness, fit, mix, read_soundtrack
from wan_app.runtime.models import ModelManager
from wan_app.types import GenerationRequest, Loading, Reporter

# It was made for the processor and is faster than speech there: the card is left to the video.
_PLAN = Plan(device="cpu")
_BETWEEN_LINES = 0.25  # seconds: the breath before somebody answers


def speech_wanted(request: GenerationRequest, spec: ModelSpec) -> tuple[Line, ...]:
    """The lines which the speech model is to speak, since the video model has no sound of its own."""
    replaced = request.soundtrack is not None and request.soundtrack_mode == "replace"
    return () if spec.native_audio or replaced else spoken_lines(request)


def speech_demanded(request: GenerationRequest) -> bool:
    """Whether a video without speech would not be what was asked for. Words in quotes in a prompt may
    stay unheard, as they do wherever there is no speech model; a voice or a script may not."""
    return bool(request.say or request.sound_only or any(one.voice for one in request.characters))


def spoken(
    request: GenerationRequest, lines: tuple[Line, ...], speakers: ModelManager[Speaker], report: Reporter
) -> tuple[Sound | None, tuple[str, ...]]:
    """All lines one after the other at -16 LUFS, each in its character's voice; and notes for people.

    None with the reason in the notes, if there is no speech model and speech was not demanded.

    Raises:
        Cancelled, ModelUnavailable, OutOfMemory
    """
    model = registry.get()
    report(Loading("Speaking the words"))
    voices = {one.name: Recording.read(one.voice) for one in request.characters if one.voice}
    try:
        with speakers.lease(model.id, _PLAN) as speaker:
            said = [
                speaker.speak(line.text, voices.get(line.character or ""), seed=(request.seed or 0) + number,
                              report=report)
                for number, line in enumerate(lines)
            ]
    except ModelUnavailable as error:
        if speech_demanded(request):
            raise
        return None, (f"The words in quotes are not heard: {error}",)
    rate = said[0].sample_rate
    pause = np.zeros(round(_BETWEEN_LINES * rate), np.float32)
    samples = np.concatenate([part for one in said for part in (pause, one.samples)][1:])[None]
    notes = [f"Spoken by {model.title} ({model.licence})"]
    speaking = {line.character or "" for line in lines}
    if not speaking <= voices.keys():
        notes.append("A line without a voice clip is spoken in a voice of the speech model's own")
    notes += (f"The voice of {name} is not heard: no line is theirs" for name in voices if name not in speaking)
    return Sound(at_loudness(samples, rate), rate), tuple(notes)


def composed(
    output: Output, speech: Sound | None, request: GenerationRequest, seconds: float
) -> tuple[Sound | None, tuple[str, ...]]:
    """What is written into the file, `seconds` long, and notes for people.

    The model's own sound or the speech; the soundtrack instead of it, under it, or alone.
    """
    notes: list[str] = []
    own = speech
    if output.audio is not None and output.sample_rate:
        own = Sound(audible(output.audio, output.sample_rate), output.sample_rate)
    elif speech is not None:
        notes.append("The speech is laid over the picture: lips do not follow it")
        if speech.seconds > seconds + 0.05:
            notes.append(
                f"The words take {speech.seconds:.1f} s and the clip is {seconds:.1f} s long: their end is not heard"
            )
    own = None if own is None else fit(own, seconds)
    if request.soundtrack is None:
        return own, tuple(notes)
    track = fit(read_soundtrack(request.soundtrack, seconds=seconds, kept=True), seconds)
    if own is None or request.soundtrack_mode == "replace":
        return track, tuple(notes)
    quieter = UNDER_SPEECH if request.soundtrack_mode == "auto" else None
    return mix(track, own, quieter=quieter), tuple(notes)
