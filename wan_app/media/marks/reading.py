"""Looks for the three marks of a file: `python -m wan_app.media.marks.reading`, a process of its own.

Of its own, since decoders and parsers of strangers' bytes may crash, hang or fill the memory, and none of them can
be stopped inside the server: there a thread would go on for ever, and hold the page up with its arithmetic. It gets
one JSON object on its standard input and answers with one JSON line for each thing found; whoever waits may end
it at any time and keep what came.

A long film is looked at in places: eight of two seconds for the picture, eight of 27 for the sound.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from wan_app.errors import InvalidRequest, WanAppError
from wan_app.media.footage import SOUND_RATE, Footage, frames, open_footage, sound
from wan_app.media.marks import findings, sidecars
from wan_app.media.marks.audio_mark import read_audio_mark
from wan_app.media.marks.credentials import CredentialsReading, read_credentials, read_store
from wan_app.media.marks.findings import CredentialsFound, FileFound, Kept, MarkFound
from wan_app.media.marks.keys import InstallKeys
from wan_app.media.marks.manifest import AUDIO_MARK, GENERATION, dict_of, list_of
from wan_app.media.marks.video_read import VideoMarkReading, read_video_mark
from wan_app.settings import Settings

# Seconds for each mark, and for one piece of a file to be decoded. All together stay below runtime.checks.LIMIT.
PICTURE_TIME, SOUND_TIME, PIECE_TIME = 60.0, 25.0, 12.0
_PLACES = 8
_SHORT_PICTURE, _PICTURE_SPAN, _FRAMES = 6.0, 2.0, 24
_SHORT_SOUND, _SOUND_SPAN = 120.0, 27.0
# Bytes of memory, for this process and each decoder: a 4K film takes less than one.
_MEMORY = 4 << 30
_LARGE = 300_000_000  # bytes
_KINDS = {"mov": "MP4", "matroska": "WebM or MKV", "wav": "WAV", "picture": "picture"}

Part = tuple[str, Any]


def read(path: Path, keys: InstallKeys, sidecars_dir: Path) -> Iterator[Part]:
    """What is found in the file, as it is found: the names and values of `findings.Findings`.

    Raises:
        InvalidRequest: naming `file`: there is no such file, or nothing to see or hear in it.
    """
    footage = open_footage(path)
    yield "file", FileFound(
        kind=_KINDS.get(footage.kind, footage.kind.upper()), still=footage.still, width=footage.width,
        height=footage.height, seconds=footage.seconds, sound=bool(footage.channels),
    )
    known = Known(keys, sidecars_dir)
    steps: list[tuple[str, Callable[[], Any]]] = [
        ("credentials", lambda: _credentials(path, keys)), ("sound", lambda: _sound(footage, keys)),
        ("picture", lambda: _picture(footage, keys)),
    ]
    if path.stat().st_size > _LARGE:
        steps.append(steps.pop(0))  # every byte is read for them: what is sooner done comes first
    for name, look in steps:
        found = look()
        yield name, found
        yield "kept", known.add(*_ids(found))


def _ids(found: MarkFound | CredentialsFound) -> tuple[list[str], list[str]]:
    """Ids of files made here that something was found of: whole ones, and the low digits that a sound has."""
    if isinstance(found, CredentialsFound):
        return ([found.id] if found.ours and found.id else []), []
    ids = [found.id, *found.others] if found.state == "ours" and found.id else []
    return [one for one in ids if len(one) == 10], [one for one in ids if len(one) == 8]


# --- the picture -----------------------------------------------------------------------------


def _picture(footage: Footage, keys: InstallKeys) -> MarkFound:
    if not footage.width:
        return MarkFound(state="absent")
    until = time.monotonic() + PICTURE_TIME
    places = _places(footage.seconds, _SHORT_PICTURE, _PICTURE_SPAN)
    alone = len(places) == 1
    readings: list[VideoMarkReading] = []
    for start, span in places:
        drawn = frames(footage, start, span, _FRAMES, _left(until))
        readings.append(read_video_mark(drawn, [keys.mark_key], search=alone))
        if time.monotonic() > until:
            break
    found = _summed(
        [(one.state, str(one.id) if one.id is not None else None, one.strength, bool(one.frames)) for one in readings],
        len(places),
    )
    if found.state not in ("ours", "unread") and not alone and time.monotonic() < until:
        found, one = _together(footage, places, keys, until, found)
        readings.append(one)
    first = next((one for one in readings if one.state == "ours"), None)
    return _with(found, _remark(first)) if first else found


def _together(
    footage: Footage, places: Sequence[tuple[float, float]], keys: InstallKeys, until: float, found: MarkFound
) -> tuple[MarkFound, VideoMarkReading]:
    """All places as one picture, for what is too faint in each may be clear in their sum; and a mark looked for that
    was cropped or squashed, which takes longer."""
    drawn = (frame for start, span in places for frame in frames(footage, start, span, _FRAMES // 3, _left(until)))
    reading = read_video_mark(drawn, [keys.mark_key])
    if reading.state == "ours" or (found.state == "none" and reading.state != "none"):
        identity = str(reading.id) if reading.id is not None else None
        found = MarkFound(state=reading.state, id=identity, strength=round(reading.strength, 1), places=(1, 1))
    return found, reading


def _remark(reading: VideoMarkReading) -> str:
    x, y = reading.scale
    said = ["mirrored"] if reading.mirrored else []
    if abs(x / y - 1) > 0.02:
        said.append("squashed")
    if abs(max(x, y) - 1) > 0.02 or abs(min(x, y) - 1) > 0.02:
        said.append("cropped, or set into a larger picture")
    return f"The picture was {' and '.join(said)} since it was made." if said else ""


# --- the sound -------------------------------------------------------------------------------


def _sound(footage: Footage, keys: InstallKeys) -> MarkFound:
    if not footage.channels:
        return MarkFound(state="absent")
    until = time.monotonic() + SOUND_TIME
    places, readings, speed = _places(footage.seconds, _SHORT_SOUND, _SOUND_SPAN), [], 1.0
    for start, span in places:
        samples = sound(footage, start, span, _left(until))
        reading = read_audio_mark(samples, SOUND_RATE, [keys.mark_key])
        identity = f"{reading.id_low:08x}" if reading.id_low is not None else None
        readings.append((reading.state, identity, reading.strength, samples.shape[1] > 0))
        speed = reading.speed if reading.state == "ours" else speed
        if time.monotonic() > until:
            break
    found = _summed(readings, len(places))
    if found.state == "ours" and abs(speed - 1) > 0.004:
        way = "faster" if speed > 1 else "slower"
        return _with(found, f"The sound runs {abs(speed - 1):.1%} {way} than it was made.")
    return found


# --- what both share -------------------------------------------------------------------------


def _places(seconds: float, short: float, span: float) -> list[tuple[float, float]]:
    """(start, length) of what is looked at, the ends and the middle first; all of a short file.

    Of one that does not tell its length, places further and further in.
    """
    if not seconds:
        return [(0.0, short)] + [(short * 4**step, span) for step in range(_PLACES - 1)]
    if seconds <= short:
        return [(0.0, max(seconds, 0.1))]
    if seconds <= span * _PLACES:
        count = max(2, int(seconds // span))
        return [(seconds * index / count, seconds / count) for index in range(count)]
    last = _PLACES - 1
    return [((seconds - span) * index / last, span) for index in (0, 4, last, 2, 5, 1, 6, 3)]


def _summed(readings: Sequence[tuple[Any, str | None, float, bool]], wanted: int) -> MarkFound:
    """One finding of several places; of each: state, id, strength, whether there was anything to see or hear."""
    looked = [one for one in readings if one[3]]
    if not looked:
        return MarkFound(state="unread", remark="Nothing in it could be decoded.")
    missed = f"Only {len(looked)} of {wanted} places could be looked at in time." if len(readings) < wanted else ""
    for state in ("ours", "other", "unreadable"):
        found = [one for one in looked if one[0] == state]
        if found:
            ids = list(dict.fromkeys(one[1] for one in found if one[1]))
            return MarkFound(
                state=state, id=ids[0] if ids else None, others=tuple(ids[1:]), remark=missed,
                strength=round(max(one[2] for one in found), 1), places=(len(found), len(looked)),
            )
    strength = round(max(one[2] for one in looked), 1)
    return MarkFound(state="none", strength=strength, places=(0, len(looked)), remark=missed)


def _with(found: MarkFound, remark: str) -> MarkFound:
    return replace(found, remark=" ".join(filter(None, (found.remark, remark))))


def _left(until: float) -> float:
    return min(PIECE_TIME, max(1.0, until - time.monotonic()))


# --- credentials and what is kept here -------------------------------------------------------


def _credentials(path: Path, keys: InstallKeys) -> CredentialsFound:
    one = read_credentials(path, keys)
    bound = _bound(one)
    labels = [str(dict_of(said).get("label")) for said in list_of(one.manifest.get("assertions"))]
    return CredentialsFound(
        state=one.state, ours=one.ours, id=one.watermark_id, signer=one.signer, created=one.created, app=one.app,
        model=one.model, consent_id=one.consent_id, by_ai=one.by_ai, this_app=GENERATION in labels,
        sound_bound=bound.get(AUDIO_MARK), reasons=one.reasons[:8],
        remark=one.reasons[0] if one.state == "none" and one.reasons else "",
    )


def _bound(reading: CredentialsReading) -> dict[str, str]:
    """Ids by the algorithm of the mark that credentials say is in the file."""
    found: dict[str, str] = {}
    for one in map(dict_of, list_of(reading.manifest.get("assertions"))):
        if str(one.get("label")).startswith("c2pa.soft-binding"):
            data = dict_of(one.get("data"))
            blocks = list_of(data.get("blocks"))
            found.setdefault(str(data.get("alg"))[:40], str(dict_of(blocks[0] if blocks else None).get("value"))[:40])
    return found


class Known:
    """The sidecars of the ids that were read."""

    def __init__(self, keys: InstallKeys, folder: Path) -> None:
        self._keys, self._folder = keys, folder
        self._found: dict[str, Kept] = {}

    def add(self, ids: Sequence[str], low: Sequence[str]) -> list[Kept]:
        """All so far, with those of whole `ids` and of the `low` digits that a sound carries."""
        for one in (*(sidecars.find(self._folder, one) for one in ids),
                    *(side for digits in low for side in sidecars.find_by_sound(self._folder, digits))):
            if one and one.watermark_id not in self._found:
                self._found[one.watermark_id] = self._kept(one)
        return list(self._found.values())

    def _kept(self, one: sidecars.Sidecar) -> Kept:
        said = {name: str(one.record[name])[:200] for name in ("created", "model", "mode", "file", "consent_id")
                if one.record.get(name)}
        return Kept(id=one.watermark_id, sound_bound=_bound(read_store(one.store, self._keys)).get(AUDIO_MARK), **said)


# --- the process -----------------------------------------------------------------------------


def main(asked: IO[str] = sys.stdin, say: Callable[[str], Any] = print) -> None:
    """Read {"path", "data_dir", "sign_cert", "sign_key"}; answer {name: value} lines, or {"error": {...}}."""
    given = json.loads(asked.readline())
    settings = Settings(
        data_dir=Path(given["data_dir"]), sign_cert=_path(given.get("sign_cert")), sign_key=_path(given.get("sign_key"))
    )
    try:
        for name, value in read(Path(given["path"]), InstallKeys.of(settings), settings.sidecars_dir):
            plain = [findings.to_json(one) for one in value] if isinstance(value, list) else findings.to_json(value)
            say(json.dumps({name: plain}))
            sys.stdout.flush()
    except InvalidRequest as error:
        say(json.dumps({"error": {"field": error.field, "got": error.got, "needed": error.needed}}))
    except WanAppError as error:
        say(json.dumps({"error": {"message": str(error)}}))


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None


def _limit_memory() -> None:
    with suppress(ImportError, ValueError, OSError):  # Windows has none; the time limit remains
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))


if __name__ == "__main__":
    _limit_memory()
    main()
