"""Where downloaded files go: a folder of WAN_APP_WEIGHTS_DIR, or the hub's own cache. Whole files only."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import filelock
from huggingface_hub import constants
from huggingface_hub.file_download import repo_folder_name

from wan_app.errors import InvalidRequest
from wan_app.families.weights.hub import HubFile, storage_faults
from wan_app.settings import Settings

# Up to this size a file that is here already is compared by content, above by its length.
_SMALL = 32 * 1024 * 1024


class Place(Protocol):
    """A folder in a repository's layout, filled file by file. `local` is a file's path in it."""

    folder: Path
    lock: Path

    def part(self, file: HubFile) -> Path:
        """Where a file grows; the same for the same content, so that another run goes on with it."""

    def adopt(self, file: HubFile, local: str) -> bool:
        """Take content that is here for another name or commit; whether there was any."""

    def keep(self, file: HubFile, local: str) -> None:
        """Put the grown file where it belongs, in place of whatever is there."""

    def finish(self) -> None:
        """Everything is here: let it be found."""


class PlainFolder:
    """<weights_dir>/<owner>/<name>, as `weights.locate` looks for it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # As the hub library keeps its own notes in such a folder.
        self._growing = folder / ".cache" / "huggingface" / "download"
        self.lock = self._growing / "wan-app.lock"

    def part(self, file: HubFile) -> Path:
        return self._growing / f"{file.hash}.incomplete"

    def adopt(self, file: HubFile, local: str) -> bool:
        return False

    def keep(self, file: HubFile, local: str) -> None:
        _move(self.part(file), self.folder / local)

    def finish(self) -> None:
        """Nothing to do: the index file came last."""


class CacheFolder:
    """A snapshot in the hub's cache: content under blobs/, names that link to it under snapshots/<commit>/.

    Written here and not by `hf_hub_download`, which points `refs/<revision>` at a snapshot before it is
    whole: an older whole one could no longer be found.
    """

    def __init__(self, repository: str, revision: str, commit: str) -> None:
        name = repo_folder_name(repo_id=repository, repo_type="model")
        self._root = Path(constants.HF_HUB_CACHE) / name
        self._repository, self._commit = repository, commit
        self._ref = None if revision == commit else self._root / "refs" / revision
        self.folder = self._root / "snapshots" / commit
        self.lock = Path(constants.HF_HUB_CACHE) / ".locks" / name / "wan-app.lock"

    def part(self, file: HubFile) -> Path:
        return self._root / "blobs" / f"{file.hash}.incomplete"

    def adopt(self, file: HubFile, local: str) -> bool:
        blob = self._blob(file)
        found = file.repository == self._repository and blob.is_file() and blob.stat().st_size == file.size
        if found:
            self._link(blob, self.folder / local)
        return found

    def keep(self, file: HubFile, local: str) -> None:
        if file.repository != self._repository:  # its content is not this repository's to list
            _move(self.part(file), self.folder / local)
            return
        _move(self.part(file), self._blob(file))
        self._link(self._blob(file), self.folder / local)

    def finish(self) -> None:
        if self._ref is None:
            return
        with storage_faults(self._ref):
            self._ref.parent.mkdir(parents=True, exist_ok=True)
            part = self._ref.with_name(f".{self._ref.name}.part")
            part.write_text(self._commit)
            part.replace(self._ref)

    def _blob(self, file: HubFile) -> Path:
        return self._root / "blobs" / file.hash

    def _link(self, blob: Path, target: Path) -> None:
        with storage_faults(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            try:
                target.symlink_to(os.path.relpath(blob, target.parent))
            except (OSError, NotImplementedError):  # Windows without the right: the cache then holds plain files
                blob.replace(target)


def place_for(repository: str, revision: str, commit: str, settings: Settings) -> Place:
    """Under `settings.weights_dir` if there is one, else in the hub's cache."""
    if settings.weights_dir is not None:
        return PlainFolder(settings.weights_dir / repository)
    return CacheFolder(repository, revision, commit)


def holds(place: Place, file: HubFile, local: str) -> bool:
    """Whether the whole file is there already."""
    target = place.folder / local
    if not target.is_file() or target.stat().st_size != file.size:
        return False
    if file.size > _SMALL:
        return True
    digest = file.new_digest()
    digest.update(target.read_bytes())
    return digest.hexdigest() == file.hash


def free_bytes(folder: Path) -> int:
    """Free space on the disk that `folder` is or will be on."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


@contextmanager
def alone(place: Place, model_id: str) -> Iterator[None]:
    """Two downloads of one model would write the same files. InvalidRequest if another process is at it."""
    with storage_faults(place.lock):
        place.lock.parent.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(place.lock, timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise InvalidRequest(
            "model", f"{model_id}, which is being downloaded already", "its end, or a cancel there"
        ) from None
    try:
        yield
    finally:
        lock.release()


def _move(part: Path, target: Path) -> None:
    """In one step, and only once the bytes are on the disk: a power cut must not leave half a file by this name."""
    with storage_faults(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with part.open("rb") as stream:
            os.fsync(stream.fileno())
        part.replace(target)
