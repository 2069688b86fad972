"""Results that come from another install (or back to this one): each checked for what it is, then entered here.

A file must be one that this app wrote and nobody changed since: its Content Credentials hold, whoever signed
them, and its settings are read from itself. What the zip's list says beside that is told, not trusted.
"""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import soundfile

from wan_app.errors import ExportFailed, InvalidRequest, StorageError, WanAppError
from wan_app.families.spec import check_text
from wan_app.library.archive import MAX_INPUT, MAX_RESULT, Archive, Entry
from wan_app.library.portable import arriving, inputs_of
from wan_app.media.inputs import Checked, InputStore
from wan_app.media.marks.credentials import read_credentials, ready_keys
from wan_app.media.probe import probe
from wan_app.media.storage import storage_error
from wan_app.media.video import read_metadata
from wan_app.runtime.job import JobView, new_job_id, now
from wan_app.runtime.ledger import Ledger
from wan_app.settings import Settings
from wan_app.types import (
    MODES,
    AudioInfo,
    Finished,
    GenerationRequest,
    GenerationResult,
    LabelPlace,
    Queued,
    Similarity,
)

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?Z")
_MODEL = re.compile(r"[a-z0-9][a-z0-9.-]{0,59}")
_WHOLE = ("width", "height", "num_frames", "seed", "num_inference_steps")
_NUMBERS = ("seconds", "guidance_scale", "guidance_until", "step_cache")
_NOT_OURS = "a file that this app made, as it was written"


@dataclass(frozen=True)
class Arrived:
    """What an import did: the ids of the new jobs, how many were here already, and one line for each left out."""

    jobs: tuple[str, ...]
    known: int
    left_out: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """What `gallery import --json` prints."""
        return {"jobs": list(self.jobs), "known": self.known, "left_out": list(self.left_out)}


@dataclass(frozen=True, kw_only=True)
class Arrivals:
    """Takes archives in for one data folder. `server` answers for the ledger's new rows (see `runtime.lifeline`)."""

    settings: Settings
    ledger: Ledger
    inputs: InputStore
    server: str

    def take(self, archive: Archive, owner: str, report: Callable[[int, int], None] = lambda done, of: None) -> Arrived:
        """Enter all results of an archive; those that cannot be are left out with the reason.

        Args:
            report: called with how many are done, and of how many.
        Raises:
            StorageError: the data folder takes no more; what was entered before stays.
        """
        have = {job.result.watermark_id for job in self.ledger.results(owner) if job.result and job.file
                and job.file.is_file()}
        new, left_out, known = [], [], 0
        for number, entry in enumerate(archive.entries):
            report(number, len(archive.entries))
            try:
                found = self._one(archive, entry, owner, have)
            except (InvalidRequest, ExportFailed) as error:
                if isinstance(error, StorageError):  # the next ones would meet the same
                    raise
                left_out.append(f"{entry.file.partition('/')[2]}: {error}")
                continue
            known += found is None
            new += [found.id] if found else []
            have |= {found.result.watermark_id} if found and found.result else set()
        return Arrived(tuple(new), known, tuple(left_out))

    def _one(self, archive: Archive, entry: Entry, owner: str, have: set[str | None]) -> JobView | None:
        """The job of one result, on the disk and in the ledger; None if its owner has it already."""
        job_id = new_job_id()
        folder = self.settings.outputs_dir / job_id
        try:
            folder.mkdir(parents=True)
        except OSError as error:
            raise storage_error("data_dir", folder, error) from error
        try:
            file = folder / Path(entry.file).name.partition("-")[2]
            archive.unpack(entry.file, file, most=MAX_RESULT, sha256=entry.sha256)
            job = self._read(entry, file, job_id, owner)
            if job.result and job.result.watermark_id in have:
                shutil.rmtree(folder, ignore_errors=True)
                return None
            self._enter(archive, job)
            return job
        except BaseException as error:
            shutil.rmtree(folder, ignore_errors=True)
            if isinstance(error, OSError):
                raise storage_error("data_dir", folder, error) from error
            raise

    def _read(self, entry: Entry, file: Path, job_id: str, owner: str) -> JobView:
        """The job as the file itself says, and the list where the file says nothing."""
        said = read_credentials(file, ready_keys(self.settings))
        if said.state != "valid" or not said.by_ai or not said.watermark_id:
            raise InvalidRequest("archive", "no valid Content Credentials of this app in it", _NOT_OURS)
        asked = entry.row["request"]
        if file.suffix == ".mp4":
            asked = read_metadata(file, "archive").get("request")
        request = checked_request(asked)
        result = _told(measured(file, request), entry.row["result"])
        result = replace(result, watermark_id=said.watermark_id, file=file)
        created = entry.row.get("created")
        return JobView(
            id=job_id, owner=owner, state="queued", mode=request.mode, model=result.model,
            created=created if isinstance(created, str) and _TIME.fullmatch(created) else now(), request=request,
            out=file, result=result, event=Queued(0),
        )

    def _enter(self, archive: Archive, job: JobView) -> None:
        """Inputs, then the ledger's row, then that it is finished."""
        named = {file.name for file in inputs_of(job.request)}
        found = {name: one for name in named if (one := self._input(archive, name, job.out.parent))}
        with self.inputs.keeping(tuple(found.values())):
            request = arriving(job.request, {name: one.path for name, one in found.items()})
            self.ledger.add(replace(job, request=request, result=None), self.server)
        assert job.result
        self.ledger.record(job.id, Finished(job.result))

    def _input(self, archive: Archive, name: str, folder: Path) -> Checked | None:
        """A picture or a recording that came along, read anew as any upload; None if it did not come."""
        member = f"inputs/{name}"
        if not archive.has(member):
            return None
        part = folder / f".{name}"
        try:
            archive.unpack(member, part, most=MAX_INPUT)
            if name.endswith(".png"):
                one = self.inputs.picture(part, "archive")
            else:
                one = self.inputs.soundtrack(part, "archive")
            data = one.data()
            return replace(one, data=lambda: data)
        finally:
            part.unlink(missing_ok=True)


def checked_request(said: Any) -> GenerationRequest:
    """A request of which everything has the type it should; what is not known here stays as it is told.

    Raises:
        InvalidRequest: naming `archive`.
    """
    try:
        request = GenerationRequest.from_json(said)
        texts = (request.prompt, request.negative_prompt, request.say, *(one.name for one in request.characters))
        for text in texts:
            check_text("archive", text, 20_000)
        numbers = [getattr(request, name) for name in (*_WHOLE, *_NUMBERS)]
        fine = (
            request.mode in MODES and _MODEL.fullmatch(request.model or "") is not None
            and all(value is None or _is_number(value) for value in numbers)
            and all(value is None or int(value) == value for value in numbers[: len(_WHOLE)])
            and isinstance(request.sound_only, bool) and request.seed is not None and len(request.characters) <= 20
            and isinstance(request.soundtrack_mode, str) and isinstance(request.preset, str) and len(request.loras) < 20
        )
    except WanAppError:
        raise
    except Exception as error:  # anything at all may stand there
        raise InvalidRequest("archive", f"settings that cannot be read ({type(error).__name__})", _NOT_OURS) from error
    if not fine:
        raise InvalidRequest("archive", "settings that are none", _NOT_OURS)
    return replace(request, label=request.label if request.label in get_args(LabelPlace) else "off")


def measured(file: Path, request: GenerationRequest) -> GenerationResult:
    """What the file really holds. Raises ExportFailed or InvalidRequest."""
    assert request.model and request.seed is not None
    blank = GenerationResult(
        file=file, model=request.model, mode=request.mode, seed=int(request.seed), width=0, height=0, num_frames=0,
        fps=0.0, seconds=0.0,
    )
    if file.suffix == ".wav":
        try:
            info = soundfile.info(file)
        except (OSError, RuntimeError) as error:
            raise InvalidRequest("archive", "a sound that cannot be read", _NOT_OURS) from error
        audio = AudioInfo(sample_rate=info.samplerate, channels=info.channels, seconds=info.duration)
        return replace(blank, audio=audio, seconds=info.duration)
    facts = probe(file)
    return replace(
        blank, width=facts.width, height=facts.height, num_frames=facts.num_frames, fps=facts.fps,
        seconds=facts.seconds, audio=facts.audio,
    )


def _told(result: GenerationResult, said: Mapping[str, Any]) -> GenerationResult:
    """The result with what only the list knows: likeness, loudness and offset of the sound, notes, how long it took."""
    similarity = tuple(one for row in _rows(said.get("similarity")) if (one := _similarity(row)))
    notes = tuple(note for note in _texts(said.get("notes")) if len(note) <= 400)[:20]
    timings = said.get("timings")
    total = _number(timings.get("total")) if isinstance(timings, dict) else None
    took = f"; made in {total:.0f} s there" if total and 0 < total < 1e7 else ""
    audio, known = result.audio, said.get("audio")
    if audio and isinstance(known, dict):
        audio = replace(audio, offset=_number(known.get("offset")), loudness=_number(known.get("loudness")))
    # Its timings stay away: what a video takes here is foretold from those that were made here.
    return replace(
        result, similarity=similarity, audio=audio, notes=(*notes, f"Brought from a zip on {now()[:10]}{took}"),
    )


def _similarity(row: Mapping[str, Any]) -> Similarity | None:
    name = row.get("character")
    if not isinstance(name, str) or len(name) > 60 or not name.isprintable():
        return None
    return Similarity(
        character=name, identity=_number(row.get("identity")), timbre=_number(row.get("timbre")),
        pitch=_number(row.get("pitch")),
    )


def _rows(value: Any) -> list[Mapping[str, Any]]:
    return [row for row in value[:20] if isinstance(row, dict)] if isinstance(value, list) else []


def _texts(value: Any) -> list[str]:
    return [text for text in value if isinstance(text, str) and text.isprintable()] if isinstance(value, list) else []


def _is_number(value: Any) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and math.isfinite(value) and abs(value) < 1e12


def _number(value: Any) -> float | None:
    return float(value) if _is_number(value) else None
