"""The gallery: the finished jobs of one owner, as the ledger has them, with what was pinned."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from wan_app.errors import InvalidRequest, JobNotFound
from wan_app.library import thumbs
from wan_app.library.store import Store
from wan_app.runtime.job import JobView
from wan_app.runtime.ledger import Ledger
from wan_app.runtime.leftovers import has_own_folder
from wan_app.settings import Settings

Show = Literal["videos", "voices", "pinned", "all"]
_MOST_WORDS = 200  # characters of a search


@dataclass(frozen=True)
class Kept:
    """A finished job. `bytes` of its file, 0 if that is gone; `ours`: it lies in the app's own folder."""

    job: JobView
    pinned: bool
    bytes: int
    ours: bool

    @property
    def there(self) -> bool:
        return self.bytes > 0

    def to_json(self) -> dict[str, Any]:
        """A row of `gallery list --json`."""
        return {**self.job.to_json(), "prompt": self.job.request.prompt, "pinned": self.pinned, "bytes": self.bytes}


@dataclass(frozen=True)
class Shelf:
    """One page of a gallery; `total` counts all that were found."""

    items: tuple[Kept, ...]
    total: int


class Gallery:
    """Reads the ledger; changes nothing but pins. Whose gallery it is, each call says."""

    def __init__(self, settings: Settings, ledger: Ledger, store: Store) -> None:
        self._settings, self._ledger, self._store = settings, ledger, store

    def page(self, owner: str, *, words: str = "", show: Show = "videos", start: int = 0, count: int = 24) -> Shelf:
        """Results of an owner, newest first, that hold all `words` in their prompt, words to say, names or model.

        Raises:
            InvalidRequest: there is no such `show`.
        """
        if show not in get_args(Show):
            raise InvalidRequest("show", repr(show)[:40], "one of " + ", ".join(get_args(Show)))
        pins, sought = self._store.pinned(), str(words)[:_MOST_WORDS].casefold().split()
        found = [job for job in self._ledger.results(owner) if _shown(job, show, pins) and _has(job, sought)]
        start, count = max(0, start), max(1, count)
        return Shelf(tuple(self._kept(job, pins) for job in found[start : start + count]), len(found))

    def get(self, job_id: str, owner: str) -> Kept:
        """One result. Raises JobNotFound, also for another owner's and for a job without one."""
        found = self._ledger.get(job_id) if isinstance(job_id, str) else None
        if found is None or found.owner != owner or found.result is None:
            raise JobNotFound(f"job: got {str(job_id)[:40]!r}; needed the id of one of your videos")
        return self._kept(found, self._store.pinned())

    def pin(self, job_id: str, owner: str, *, pinned: bool) -> Kept:
        """Keep a result when space runs short, or let it go. Raises JobNotFound."""
        self.get(job_id, owner)
        self._store.pin(job_id, pinned)
        return self.get(job_id, owner)

    def thumbnail(self, job_id: str, owner: str) -> Path | None:
        """A small picture of a video, made on the first look; None for sounds and files that are gone."""
        kept = self.get(job_id, owner)
        if not kept.there or kept.job.request.sound_only or kept.job.file is None:
            return None
        return thumbs.made(kept.job.file, self._thumb(job_id), kept.job.result.seconds if kept.job.result else 0.0)

    def forget(self, job: JobView) -> None:
        """Drop what is kept of a job that is being deleted."""
        self._store.pin(job.id, False)
        self._thumb(job.id).unlink(missing_ok=True)

    def of_all(self, owner: str | None = None) -> Iterator[Kept]:
        """An owner's results, or everybody's, oldest first."""
        pins = self._store.pinned()
        for job in self._ledger.jobs(owner):
            if job.result is not None:
                yield self._kept(job, pins)

    def _kept(self, job: JobView, pins: set[str]) -> Kept:
        return Kept(job, job.id in pins, _size(job.file), has_own_folder(self._settings, job))

    def _thumb(self, job_id: str) -> Path:
        return self._settings.cache_dir / "thumbs" / f"{job_id}.jpg"


def _shown(job: JobView, show: Show, pins: set[str]) -> bool:
    if show == "pinned":
        return job.id in pins
    return show == "all" or job.request.sound_only == (show == "voices")


def _has(job: JobView, sought: list[str]) -> bool:
    if not sought:
        return True
    request = job.request
    names = [one.name for one in request.characters]
    text = " ".join((request.prompt, request.say, job.model, str(request.seed), *names)).casefold()
    return all(word in text for word in sought)


def _size(file: Path | None) -> int:
    try:
        return file.stat().st_size if file and file.is_file() else 0
    except OSError:
        return 0
