"""What must be true after the storm: no job lost, none made twice, no half or unmarked file."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import soundfile

from wan_app.media.frames import Decoded, read_frames
from wan_app.media.marks.audio_mark import read_audio_mark
from wan_app.media.marks.credentials import read_credentials
from wan_app.media.marks.keys import InstallKeys
from wan_app.media.marks.marking import QUIET
from wan_app.media.marks.video_mark import read_video_mark
from wan_app.media.probe import probe
from wan_app.runtime.job import JobView
from wan_app.runtime.ledger import Ledger
from wan_app.settings import Settings
from wan_app.types import GenerationResult

_RESULTS = (".mp4", ".wav")


@dataclass
class Audit:
    """Lines on what is wrong, by kind. All empty is what must be."""

    lost: list[str] = field(default_factory=list)
    duplicated: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    unmarked: list[str] = field(default_factory=list)
    left_over: list[str] = field(default_factory=list)

    @property
    def wrong(self) -> list[str]:
        return self.lost + self.duplicated + self.broken + self.unmarked + self.left_over


def check_file(path: Path, result: GenerationResult) -> str | None:
    """What is wrong with a finished file, None if it is whole: decoded to the end and held against its row."""
    try:
        if path.suffix == ".wav":
            seconds = soundfile.info(path).duration
            return None if abs(seconds - result.seconds) < 0.01 else f"{seconds:.2f} s of sound"
        facts = probe(path)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    found = (facts.num_frames, facts.width, facts.height, facts.audio is not None)
    wanted = (result.num_frames, result.width, result.height, result.audio is not None)
    return None if found == wanted else f"holds {found}; its row says {wanted}"


def check_marks(path: Path, result: GenerationResult, keys: InstallKeys) -> str | None:
    """Which of its marks a finished file lacks, None if none: read from the file itself."""
    credentials = read_credentials(path, keys)
    if credentials.state != "valid" or not credentials.ours:
        return f"its credentials are {credentials.state}"
    if path.suffix == ".wav":
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        heard = read_audio_mark(samples.T, rate, [keys.mark_key])
        return None if QUIET in result.notes or heard.state == "ours" else f"its sound's mark is {heard.state}"
    of = Decoded(width=result.width, height=result.height, channels=0)
    with read_frames(path, of) as (frames, _):
        seen = read_video_mark(frames, [keys.mark_key])
    if seen.state != "ours" or str(seen.id) != result.watermark_id:
        return f"its picture's mark is {seen.state} ({seen.id}); its row says {result.watermark_id}"
    return None


def audit(settings: Settings, wanted: dict[str, str]) -> Audit:
    """Hold ledger and disk against each other.

    Args:
        wanted: the state that each acknowledged job must have come to, "finished", "failed" or "cancelled";
            of a cancel that may have come too late "cancelled or finished".
    """
    found = Audit()
    ledger = Ledger(settings.ledger_file)
    jobs = {job.id: job for job in ledger.jobs()}
    ledger.close()
    for job_id, states in wanted.items():
        if job_id not in jobs:
            found.lost.append(f"{job_id} is not in the ledger")
        elif jobs[job_id].state not in states.split(" or "):
            job = jobs[job_id]
            found.lost.append(f"{job_id} is {job.state} ({job.error}), and was to be {states}")
    for job in jobs.values():
        _check_files(settings, job, found)
    _check_folders(settings, jobs, found)
    return found


def _check_files(settings: Settings, job: JobView, found: Audit) -> None:
    folder = settings.outputs_dir / job.id
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    results = [one for one in files if one.suffix in _RESULTS and not one.name.startswith(".")]
    found.left_over += [f"{job.id}: {one.name}" for one in files if one not in results]
    if len(results) > 1:
        found.duplicated.append(f"{job.id} has {len(results)} files")
    if job.state != "finished":
        found.left_over += [f"{job.id}, which is {job.state}: {one.name}" for one in results]
    elif job.result is None or results != [job.result.file]:
        found.lost.append(f"{job.id} is finished and has {[one.name for one in results]}")
    elif wrong := check_file(job.result.file, job.result):
        found.broken.append(f"{job.id}: {wrong}")
    elif wrong := check_marks(job.result.file, job.result, InstallKeys.of(settings)):
        found.unmarked.append(f"{job.id}: {wrong}")


def _check_folders(settings: Settings, jobs: dict[str, JobView], found: Audit) -> None:
    """Nothing on the disk that no row knows of."""
    if settings.outputs_dir.is_dir():
        found.left_over += [one.name for one in settings.outputs_dir.iterdir() if one.name not in jobs]
    for folder in (settings.receipts_dir, settings.windows_dir, settings.inputs_dir):
        if folder.is_dir():
            found.left_over += [one.name for one in folder.iterdir()
                                if one.suffix in (".part", ".f32") or folder != settings.inputs_dir]
