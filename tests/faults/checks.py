"""What must be true after the storm: no job lost, none made twice, no half file."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import soundfile

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
    left_over: list[str] = field(default_factory=list)

    @property
    def wrong(self) -> list[str]:
        return self.lost + self.duplicated + self.broken + self.left_over


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


def _check_folders(settings: Settings, jobs: dict[str, JobView], found: Audit) -> None:
    """Nothing on the disk that no row knows of."""
    if settings.outputs_dir.is_dir():
        found.left_over += [one.name for one in settings.outputs_dir.iterdir() if one.name not in jobs]
    for folder in (settings.receipts_dir, settings.inputs_dir):
        if folder.is_dir():
            found.left_over += [one.name for one in folder.iterdir()
                                if one.suffix in (".part", ".f32") or folder == settings.receipts_dir]
