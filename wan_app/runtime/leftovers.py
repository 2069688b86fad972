"""What processes that were killed left on the disk."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Container
from contextlib import suppress
from pathlib import Path

from wan_app.runtime import receipts
from wan_app.runtime.job import JobView, part_file, receipt_file, windows_file
from wan_app.settings import Settings

# Ends of files that are never a result: a video or an input that grows, its sound.
_GROWING = (".part", ".f32")
# A file that grows in a folder which several processes share may be somebody's; after so long it is nobody's.
_ABANDONED = 3600.0


def discard_output(settings: Settings, job: JobView) -> None:
    """Remove what an unfinished job left (a worker that was killed cannot): its own folder, its part files."""
    if has_own_folder(settings, job):
        shutil.rmtree(job.out.parent, ignore_errors=True)
    else:
        discard_parts(job)


def discard_parts(job: JobView) -> None:
    """Remove the files that grew beside a job's video, and nothing else."""
    part = part_file(job.id, job.out)
    with suppress(OSError):  # the folder itself may be gone
        for left in part.parent.glob(f"{part.stem}.*"):  # the video, and its sound beside it
            left.unlink(missing_ok=True)


def forget_tries(settings: Settings, job_id: str) -> None:
    """The job has ended: remove what its worker put down for the next try, or for whoever would have missed the end."""
    receipts.remove(receipt_file(settings, job_id))
    with suppress(OSError):
        windows_file(settings, job_id).unlink(missing_ok=True)


def has_own_folder(settings: Settings, job: JobView) -> bool:
    """Whether the job's video lies in a folder that holds nothing else."""
    folder = job.out.parent
    return folder.parent == settings.outputs_dir and folder.name == job.id


def sweep(settings: Settings, unfinished: Callable[[], Container[str]]) -> int:
    """Remove growing files that nobody writes any more; how many there were.

    Args:
        unfinished: tells the ids of the jobs that have not ended; what is theirs is left alone.
    """
    seen = [(folder.name, file) for folder in _folders(settings.outputs_dir) for file in _growing(folder)]
    # Asked after looking: the job of a file that was there is in the ledger by now, if it is not over.
    living = unfinished() if seen else ()
    found = [file for job_id, file in seen if job_id not in living]
    before = time.time() - _ABANDONED
    for folder in (settings.inputs_dir, settings.receipts_dir, settings.windows_dir):
        found += [file for file in _growing(folder) if _changed(file) < before]
    for file in found:
        with suppress(OSError):
            file.unlink(missing_ok=True)
    return len(found)


def _folders(parent: Path) -> list[Path]:
    return [one for one in parent.iterdir() if one.is_dir()] if parent.is_dir() else []


def _growing(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return [one for one in folder.iterdir() if one.name.startswith(".") and one.suffix in _GROWING]


def _changed(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except OSError:
        return time.time()
