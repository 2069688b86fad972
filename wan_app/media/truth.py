"""Whether a written file holds what was made, and what it shows: every check of an export, in one place.

What is wrong with the file fails the job. What may be meant (a fade to black, a pause) is only said.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from wan_app.errors import ExportFailed
from wan_app.media.encoder import AUDIO_RATE
from wan_app.media.looks import Witness, darkness, misfit, runs, shift, stillness
from wan_app.media.probe import VideoFacts
from wan_app.types import AudioInfo, Check

# Seconds. The file's last packet may be a whole one, though players stop where its length says.
AAC_FRAME = 1024 / AUDIO_RATE
# Far below what anybody notices (45 ms), and below the 21 ms by which a forgotten encoder delay shifts it.
MAX_OFFSET = 0.005
# Levels out of 255 (`looks.misfit`). H.264 at our quality leaves 1 to 4; another picture is 50 and more away.
_MISFIT = 30.0
# Levels by which something in a film changes that plainly moves.
_PLAIN = 20
# A pause is worth a word from here on: seconds, and share of the film.
_PAUSE, _PAUSE_SHARE = 1.0, 0.25


def check_made(witness: Witness) -> None:
    """Raise ExportFailed for frames that no model means to make: all black, all of one colour, all the same.

    Said before the file is measured, for what shows nothing carries no mark either.
    """
    advice = "Another seed may do better, or more memory (a smaller size, less quantization)"
    if witness.black == witness.count:
        raise ExportFailed(f"every frame that the model made is black. {advice}")
    if witness.flat == witness.count:
        raise ExportFailed(f"every frame that the model made is of one colour. {advice}")
    if witness.count > 1 and not witness.moves:
        raise ExportFailed(f"nothing moves: all {witness.count} frames that the model made are the same. {advice}")


def check_file(facts: VideoFacts, wanted: VideoFacts, *, silent: bool) -> None:
    """Raise ExportFailed where the written file does not hold what was sent to the encoder."""
    same = (facts.width, facts.height, facts.num_frames) == (wanted.width, wanted.height, wanted.num_frames)
    if not same or abs(facts.fps - wanted.fps) > wanted.fps / 1000 or (facts.audio is None) != silent:
        raise ExportFailed(
            f"the written file holds {_summary(facts)}; needed {_summary(wanted)}"
            f" {'without' if silent else 'with'} sound"
        )
    if facts.glances is not None and wanted.glances is not None:
        _check_pictures(wanted.glances, facts.glances)
    if facts.audio:
        _check_sound(facts.audio, facts.seconds)


def told(facts: VideoFacts, *, picture_marked: bool, sound_marked: bool) -> tuple[Check, ...]:
    """What was measured, a line each, of a file that `check_file` let pass."""
    glances = facts.glances if facts.glances is not None else np.zeros((0, 1, 1, 3), np.uint8)
    sound = _sound(facts.audio)
    return (
        Check(name="frames", said=f"{_count(facts.num_frames)} of {facts.width} × {facts.height}, none missing"),
        Check(name="duration", said=f"{facts.seconds:.4g} s at a steady {facts.fps:.5g} frames a second"),
        Check(name="sound", said=sound),
        *_pictures(glances, facts.fps),
        _mark(picture_marked, facts.audio is not None, sound_marked),
    )


def told_of_sound(audio: AudioInfo, *, marked: bool) -> tuple[Check, ...]:
    """The same of a file that is sound alone."""
    place = "read back from the sound" if marked else "not read back from the sound"
    return (
        Check(name="sound", said=f"{audio.seconds:.4g} s of sound, sample by sample what was made"),
        Check(name="mark", said=f"The invisible mark was {place}; the signature holds", good=marked),
    )


# --- what fails ------------------------------------------------------------------------------


def _check_pictures(sent: np.ndarray, held: np.ndarray) -> None:
    if sent.shape != held.shape:
        raise ExportFailed(f"the written file shows {held.shape[0]} pictures; needed {sent.shape[0]}")
    if late := shift(sent, held):
        raise ExportFailed(f"the written file's pictures come a frame too {'late' if late > 0 else 'early'}")
    if stillness(held)[:1] == [(0, len(held) - 1)] and np.ptp(sent, axis=0).max() > _PLAIN:
        raise ExportFailed("the written file stands still; the frames that were made move")
    apart = misfit(sent, held)
    worst = int(apart.argmax())
    if apart[worst] > _MISFIT:
        raise ExportFailed(
            f"frame {worst + 1} of the written file is another picture than was made:"
            f" {apart[worst]:.0f} levels apart; needed at most {_MISFIT:.0f}"
        )


def _check_sound(audio: AudioInfo, seconds: float) -> None:
    if abs(audio.seconds - seconds) > AAC_FRAME:
        raise ExportFailed(f"the written file holds {audio.seconds:.3f} s of sound; needed {seconds:.3f} s")
    if abs(audio.offset or 0.0) > MAX_OFFSET:
        raise ExportFailed(
            f"the written file's sound is {audio.offset:+.3f} s off the picture; needed at most {MAX_OFFSET} s"
        )


def _summary(facts: VideoFacts) -> str:
    sound = " with sound" if facts.audio else ""
    return f"{facts.num_frames} frames of {facts.width}x{facts.height} at {facts.fps:g} fps{sound}"


# --- what is said ----------------------------------------------------------------------------


def _count(frames: int) -> str:
    return f"{frames} frame{'s' if frames > 1 else ''}"


def _sound(audio: AudioInfo | None) -> str:
    if audio is None:
        return "No sound, as made"
    late = abs(round((audio.offset or 0.0) * 1000))
    return f"{audio.seconds:.4g} s of sound, {f'{late} ms off' if late else 'in step with'} the picture"


def _pictures(glances: np.ndarray, fps: float) -> Iterator[Check]:
    """That all frames show something and move, or where they don't."""
    found = list(_odd(glances, fps))
    yield from (Check(name="picture", said=one, good=False) for one in found)
    if not found and len(glances):
        yield Check(name="picture", said="Every frame is the one that was made; none is black, and the picture moves"
                    if len(glances) > 1 else "The frame is the one that was made")


def _odd(glances: np.ndarray, fps: float) -> Iterator[str]:
    dark = darkness(glances) if len(glances) else np.zeros(0, bool)
    if dark.all():
        if len(dark):
            yield "Dark throughout"
        return
    for first, last in runs(dark)[:3]:
        yield f"Black {_span(first, last, fps)}"
    still = [one for one in stillness(glances) if not dark[one[0]:one[1] + 1].all()]
    if len(glances) > 1 and still[:1] == [(0, len(glances) - 1)]:
        yield "Hardly anything moves in it"
        return
    least = max(_PAUSE * fps, _PAUSE_SHARE * len(glances))
    for first, last in [one for one in still if one[1] - one[0] + 1 >= least][:2]:
        yield f"Nothing moves {_span(first, last, fps)}"


def _span(first: int, last: int, fps: float) -> str:
    return f"from {first / fps:.1f} s to {(last + 1) / fps:.1f} s"


def _mark(picture: bool, has_sound: bool, sound: bool) -> Check:
    places = ["the picture"] * picture + ["the sound"] * sound
    if not places:
        return Check(name="mark", said="No invisible mark could be read back; it is signed", good=False)
    missing = "" if picture else ", not from the picture" if not picture and has_sound else ""
    missing = missing or (", not from the sound" if has_sound and not sound else "")
    said = f"The invisible mark was read back from {' and '.join(places)}{missing}; the signature holds"
    return Check(name="mark", said=said, good=not missing)
