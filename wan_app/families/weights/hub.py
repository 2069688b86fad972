"""Files from the Hugging Face hub: resumed where they broke off, checked before they count as whole.

Addresses, headers with the token of `hf auth login`, sessions and error kinds are huggingface_hub's own.
The bytes are moved here because its `hf_hub_download` and `snapshot_download` (read at 2.4):
- give each try a temporary file of a new name and delete it on any end, so that a killed download of a
  ten-gigabyte file begins anew (huggingface_hub issue 4196); `http_get` resumes, but only within one call;
- cannot be stopped while a connection hangs or between its pieces of 10 MB; hf_xet cannot be stopped at
  all short of an interrupt of the whole process, and does not resume either;
- compare a size but never a hash.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, TypeVar
from urllib.parse import quote

import httpx2
from huggingface_hub import constants, get_async_session, hf_hub_url
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import build_hf_headers, hf_raise_for_status

from wan_app.errors import ModelUnavailable, StorageError

T = TypeVar("T")

_READ = 4 * 1024 * 1024
# Bytes a second below which a new connection is worth trying: ten gigabytes would take four months.
_CRAWL = 1000
_FIRST_TRIES = 2
# What a server says when another try may go better.
_PASSING = frozenset((408, 416, 425, 429))
# A name in a listing becomes a path here, and a hash the name of a file.
_SAFE_PATH = re.compile(r"(?!/)(?!.*(?:^|/)\.\.?(?:/|$))[^\\:\x00-\x1f]+")
_HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


class Patience(NamedTuple):
    """How long a hub that does not answer is waited for.

    Seconds without a byte that end a connection (the hub library's own setting by default), tries without
    progress before giving up, and seconds before the first new try, doubled each time up to `longest`.
    """

    stall: float = float(constants.HF_HUB_DOWNLOAD_TIMEOUT)
    tries: int = 6
    wait: float = 1.0
    longest: float = 30.0


class Broken(Exception):
    """What came is not what was announced; worth another try."""


@dataclass(frozen=True, kw_only=True)
class HubFile:
    """A file as the hub lists it at one commit. `hash` is the SHA-256 of a large file, git's SHA-1 of a small one."""

    repository: str
    commit: str
    path: str
    size: int
    hash: str

    def new_digest(self) -> Any:
        """A hash object that ends at `hash` once fed with the file."""
        if len(self.hash) == 64:
            return hashlib.sha256()
        return hashlib.sha1(f"blob {self.size}\0".encode(), usedforsecurity=False)


class Listing(NamedTuple):
    """The files of a repository by path, at the commit that the revision is now."""

    commit: str
    files: dict[str, HubFile]


class Part:
    """The beginning of a file on disk, hashed as it grows. A context manager that holds the file open."""

    def __init__(self, path: Path, file: HubFile) -> None:
        self.path, self.file = path, file
        self.size = 0
        self._digest = file.new_digest()

    async def __aenter__(self) -> Part:
        with storage_faults(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._stream = self.path.open("a+b")
            self._stream.seek(0)
        while piece := self._stream.read(_READ):
            self._digest.update(piece)
            self.size += len(piece)
            await asyncio.sleep(0)  # a cancel must not wait for gigabytes to be read
        if self.size > self.file.size:
            self.restart()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with storage_faults(self.path):
            self._stream.close()

    def write(self, piece: bytes) -> None:
        """Append; Broken if the file is getting longer than announced."""
        if self.size + len(piece) > self.file.size:
            self.restart()
            raise Broken(f"more than the {self.file.size} bytes announced")
        with storage_faults(self.path):
            self._stream.write(piece)
        self._digest.update(piece)
        self.size += len(piece)

    def restart(self) -> None:
        """Throw away what is there."""
        self._stream.truncate(0)
        self.size, self._digest = 0, self.file.new_digest()

    def check(self) -> None:
        """Broken unless it is whole; bytes that are not the announced ones are thrown away."""
        if self.size < self.file.size:
            raise Broken(f"the connection ended after {self.size} of {self.file.size} bytes")
        if self._digest.hexdigest() != self.file.hash:
            self.restart()
            raise Broken("other bytes than announced")
        with storage_faults(self.path):
            self._stream.flush()


class Pace:
    """Notices a connection that never falls silent for `stall` seconds and yet has all but stopped."""

    def __init__(self, size: int, stall: float) -> None:
        self._size, self._seconds = size, 3 * stall
        self._since = time.monotonic()

    def check(self, size: int) -> None:
        """Broken if hardly anything came of late."""
        passed = time.monotonic() - self._since
        if passed < self._seconds:
            return
        if size - self._size < _CRAWL * passed:
            raise Broken(f"{size - self._size} bytes in {passed:.0f} s")
        self._size, self._since = size, time.monotonic()


class storage_faults:
    """Faults of the disk as one line for the user."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, OSError):
            got = f"{self._path} ({error.strerror or type(error).__name__})"
            raise StorageError("download", got, "a disk with space that can be written to") from error


class Hub:
    """A connection to the hub that HF_ENDPOINT names. An async context manager.

    Args:
        model_id: whose files are fetched; errors begin with it.
        notice: takes a phrase for people when something is tried again.
    """

    def __init__(self, model_id: str, notice: Callable[[str], None], patience: Patience) -> None:
        self._model_id, self._notice, self._patience = model_id, notice, patience

    async def __aenter__(self) -> Hub:
        self._session = get_async_session()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.aclose()

    async def listing(self, repository: str, revision: str) -> Listing:
        """What a repository holds.

        Raises:
            ModelUnavailable: unknown, out of reach, or not for this user.
        """
        # `HfApi.model_info(files_metadata=True)` asks the same, but cannot be stopped while it waits.
        url = f"{constants.ENDPOINT}/api/models/{repository}/revision/{quote(revision, safe='')}"

        async def ask() -> Listing:
            response = await self._session.get(
                url, params={"blobs": "true"}, headers=build_hf_headers(), timeout=self._patience.stall
            )
            hf_raise_for_status(response)
            return _read_listing(repository, response.content)

        # Nothing has begun yet: whoever asked is told soon.
        return await self._persist(ask, lambda: 0, repository, tries=min(_FIRST_TRIES, self._patience.tries))

    async def fetch(self, file: HubFile, path: Path, on_bytes: Callable[[int], None]) -> None:
        """Make `path` the whole file, going on with what is there.

        Args:
            on_bytes: takes how many bytes more (or fewer) there are now.
        Raises:
            ModelUnavailable: the hub does not give it; what came so far stays for another time.
            StorageError: the disk does not take it.
        """
        async with Part(path, file) as part:
            attempt, tries = lambda: self._stream(part, on_bytes), self._patience.tries
            await self._persist(attempt, lambda: part.size, file.repository, tries=tries)

    async def _stream(self, part: Part, on_bytes: Callable[[int], None]) -> None:
        file, told = part.file, part.size
        headers = build_hf_headers() | {"Accept-Encoding": "identity"}
        if part.size:
            headers["Range"] = f"bytes={part.size}-"
        url = hf_hub_url(file.repository, file.path, revision=file.commit)
        try:
            if part.size < file.size:
                async with self._session.stream("GET", url, headers=headers, timeout=self._patience.stall) as response:
                    # Of a server that knows no ranges, or for which there are no more bytes than we have.
                    if response.status_code in (200, 416) and part.size:
                        part.restart()
                        on_bytes(-told)
                        told = 0
                    hf_raise_for_status(response)
                    pace = Pace(part.size, self._patience.stall)
                    async for piece in response.aiter_bytes():
                        part.write(piece)
                        pace.check(part.size)
                        on_bytes(part.size - told)
                        told = part.size
            part.check()
        finally:
            on_bytes(part.size - told)

    async def _persist(
        self, attempt: Callable[[], Awaitable[T]], progress: Callable[[], int], repository: str, *, tries: int
    ) -> T:
        """Try until it works; faults that more tries would not mend, or `tries` without progress, are told."""
        best, failed = progress(), 0
        while True:
            try:
                return await attempt()
            except (httpx2.RequestError, HfHubHTTPError, Broken, OfflineModeIsEnabled) as error:
                if not _may_pass(error):
                    raise ModelUnavailable(self._explained(error, repository)) from error
                if progress() > best:
                    best, failed = progress(), 0
                failed += 1
                if failed > tries:
                    raise ModelUnavailable(
                        f"{self._model_id}: the download from {constants.ENDPOINT} stopped ({_said(error)}, {failed} "
                        f"tries); what came so far is kept: python -m wan_app download {self._model_id} goes on with it"
                    ) from error
                wait = self._wait(error, failed)
                said = _said(error)
            self._notice(f"The connection to the hub broke off ({said}); trying again in {wait:.0f} s")
            await asyncio.sleep(wait)

    def _wait(self, error: Exception, tries: int) -> float:
        wait = min(self._patience.wait * 2 ** (tries - 1), self._patience.longest)
        if isinstance(error, HfHubHTTPError):
            asked = error.response.headers.get("Retry-After", "")
            wait = max(wait, min(float(asked), 300.0)) if asked.isdigit() else wait
        return wait

    def _explained(self, error: Exception, repository: str) -> str:
        page = f"{constants.ENDPOINT}/{repository}"
        if isinstance(error, OfflineModeIsEnabled):
            why = "HF_HUB_OFFLINE switches the hub off; needed: that variable unset"
        elif isinstance(error, GatedRepoError):
            why = f"{repository} is sent only to people who agreed to its terms; agree on {page}, then: hf auth login"
        elif isinstance(error, RevisionNotFoundError):
            why = f"{repository} has no such revision"
        elif isinstance(error, RepositoryNotFoundError):
            why = f"the hub knows no {repository}, or shows it only to people it knows: hf auth login"
        else:
            why = f"the hub refused {repository} ({_said(error)})"
        return f"{self._model_id}: {why}"


def _read_listing(repository: str, answer: bytes) -> Listing:
    try:
        data = json.loads(answer)
        commit = str(data["sha"])
        files = [_read_file(repository, commit, row) for row in data["siblings"]]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Broken("an answer that is no list of files") from error
    return Listing(commit, {file.path: file for file in files if _SAFE_PATH.fullmatch(file.path)})


def _read_file(repository: str, commit: str, row: dict[str, Any]) -> HubFile:
    large = row.get("lfs") or {}
    digest = str(large.get("sha256") or row["blobId"])
    if not _HASH.fullmatch(digest) or not _HASH.fullmatch(commit):
        raise ValueError(digest)
    size = int(large.get("size") or row["size"])
    return HubFile(repository=repository, commit=commit, path=str(row["rfilename"]), size=size, hash=digest)


def _may_pass(error: Exception) -> bool:
    if isinstance(error, HfHubHTTPError):
        return error.response.status_code in _PASSING or error.response.status_code >= 500
    return isinstance(error, (httpx2.RequestError, Broken))


def _said(error: Exception) -> str:
    """What went wrong, in a few words."""
    if isinstance(error, HfHubHTTPError):
        return f"HTTP {error.response.status_code}"
    if isinstance(error, httpx2.TimeoutException):
        return "no answer"
    return str(error)[:160] or type(error).__name__
