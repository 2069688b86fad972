"""Gallery, cast and space in one place, as the services, the page and the command line use them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from wan_app.consent.ledger import ConsentLedger
from wan_app.errors import InvalidRequest
from wan_app.families.spec import ModelSpec
from wan_app.library import archive, thumbs
from wan_app.library.archive import Archive
from wan_app.library.arrivals import Arrivals, Arrived
from wan_app.library.cast import Cast, Member, likeness_of
from wan_app.library.casting import Casting, with_cast
from wan_app.library.gallery import Gallery
from wan_app.library.portable import inputs_of
from wan_app.library.quota import Quota
from wan_app.library.store import Store
from wan_app.media.inputs import InputStore
from wan_app.media.marks import sidecars
from wan_app.runtime.job import JobView
from wan_app.runtime.ledger import Ledger
from wan_app.settings import Settings
from wan_app.types import GenerationRequest

# Whoever has these in front of their name is a guest of somebody else's studio.
_GUESTS = ("guest:", "visitor:")
MAX_SELECTED = 500


class Library:
    """Everything that an owner keeps. Thread-safe; each call says whose.

    Args:
        server: answers for the ledger's rows of imported results (see `runtime.lifeline`).
        remove: deletes a job by id and owner, and in the end calls `forget`.
    """

    def __init__(
        self, settings: Settings, ledger: Ledger, *, inputs: InputStore, consent: ConsentLedger, server: str,
        remove: Callable[[str, str], None],
    ) -> None:
        self._settings, self._ledger, self._inputs, self._remove = settings, ledger, inputs, remove
        self._store = Store(settings.library_file)
        self._arrivals = Arrivals(settings=settings, ledger=ledger, inputs=inputs, server=server)
        self.gallery = Gallery(settings, ledger, self._store)
        self.people = Cast(self._store, inputs, consent)
        self.quota = Quota(self.gallery, self._store, default=settings.quota_bytes, remove=remove)

    # --- results ----------------------------------------------------------------------------

    def delete(self, job_ids: Sequence[str], owner: str) -> int:
        """Delete results for real: file, sidecar, small picture, log, ledger's row, inputs nobody else uses.

        A file that the user named (`--out`) stays where it is. How many went; those that are gone already count.

        Raises:
            JobNotFound: one is not theirs; those before it are deleted.
        """
        for job_id in _selected(job_ids):
            self.gallery.get(job_id, owner)
            self._remove(job_id, owner)
        return len(job_ids)

    def forget(self, job: JobView) -> None:
        """What belongs to a job whose row and file were just removed goes too."""
        self.gallery.forget(job)
        mark = job.result.watermark_id if job.result else None
        # A copy that was brought in, or a file that the user named, may still lead to it.
        if mark and job.file and not job.file.exists() and not self._ledger.mentions(mark):
            sidecars.remove(self._settings.sidecars_dir, mark)
        self._tidy(inputs_of(job.request))

    def export(self, job_ids: Sequence[str], owner: str, *, with_inputs: bool = False) -> Iterator[bytes]:
        """Results as a zip, in pieces as it grows.

        Args:
            with_inputs: take the pictures and recordings along that they were made with.
        Raises:
            JobNotFound: one is not theirs, before anything is written.
        """
        jobs = [self.gallery.get(job_id, owner).job for job_id in _selected(job_ids)]
        return archive.written(jobs, with_inputs=with_inputs)

    def take_in(
        self, file: Path, owner: str, report: Callable[[int, int], None] = lambda done, of: None
    ) -> Arrived:
        """Enter the results of a zip which `export` wrote, here or elsewhere.

        Raises:
            InvalidRequest: naming `archive`: it is none, or too large; or a guest brings it.
            StorageError: the data folder takes no more.
        """
        if owner.startswith(_GUESTS):
            raise InvalidRequest("archive", "a guest's zip", "the owner of this studio")
        zipped = Archive(file)
        try:
            return self._arrivals.take(zipped, owner, report)
        finally:
            zipped.close()

    # --- people -----------------------------------------------------------------------------

    def cast(self, owner: str) -> list[Member]:
        """An owner's people by name, with how alike they came out."""
        members = self.people.members(owner)
        if not members:
            return []
        results = [(job.request.characters, job.result) for job in self._ledger.results(owner)
                   if job.result and job.request.characters]
        return [replace(one, likeness=likeness_of(one, results)) for one in members]

    def face(self, member_id: str, number: int, owner: str) -> Path | None:
        """A small picture of one of somebody's faces, counted from 0; None if there is none. Raises InvalidRequest."""
        faces = self.people.get(member_id, owner).faces
        if not 0 <= number < len(faces):
            return None
        return thumbs.of_picture(faces[number], self._settings.cache_dir / "thumbs" / f"{faces[number].stem}.jpg")

    def casting(self, request: GenerationRequest, owner: str, spec: ModelSpec) -> Casting:
        """The request with those of the owner's cast whom it names."""
        return with_cast(request, self.people.players(owner), spec)

    def add(self, name: str, *, owner: str, **given: Any) -> Member:
        """As `Cast.add`."""
        return self.people.add(name, owner=owner, **given)

    def change(self, member_id: str, *, owner: str, **given: Any) -> Member:
        """As `Cast.change`; pictures and recordings that nobody uses any more are deleted."""
        before = self.people.get(member_id, owner)
        after = self.people.change(before.id, owner=owner, **given)
        self._tidy([file for file in (*before.faces, before.voice) if file])
        return after

    def dismiss(self, member_id: str, owner: str) -> Member:
        """As `Cast.remove`; pictures and recordings that nobody uses any more are deleted."""
        gone = self.people.remove(member_id, owner)
        self._tidy([file for file in (*gone.faces, gone.voice) if file])
        return gone

    def close(self) -> None:
        """Give everything back."""
        self.quota.close()
        self._store.close()

    def _tidy(self, files: Sequence[Path]) -> None:
        """Delete those inputs that no job and nobody of a cast uses."""
        self._inputs.drop(files, lambda file: self._ledger.mentions(file.name) or self.people.uses(file))
        for file in files:
            if not file.exists():
                (self._settings.cache_dir / "thumbs" / f"{file.stem}.jpg").unlink(missing_ok=True)


def _selected(job_ids: Sequence[str]) -> Sequence[str]:
    if not 1 <= len(job_ids) <= MAX_SELECTED:
        raise InvalidRequest("jobs", str(len(job_ids)), f"1 to {MAX_SELECTED} videos")
    return job_ids
