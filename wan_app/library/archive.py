"""Results as a zip, to be taken to another install: the files as they are, and what was asked for each.

    gallery.json              what is in it
    results/0001-NAME.mp4     the files, marks and credentials in them untouched
    inputs/HASH.png           the pictures and recordings they were made with, only if wished

No keys, no statements of consent, no folders of this machine. Reading one trusts nothing: every name is
held against a pattern and never used as a path, every size is counted while it is unpacked.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import zipfile
import zlib
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from wan_app import __version__
from wan_app.errors import InvalidRequest
from wan_app.library.portable import inputs_of, leaving
from wan_app.media.storage import MIN_FREE_BYTES
from wan_app.runtime.job import JobView, now

FORMAT, VERSION = "wan-app-gallery", 1
MANIFEST = "gallery.json"
RESULT = re.compile(r"results/\d{4,6}-[a-z0-9-]{1,80}\.(?:mp4|wav)")
INPUT = re.compile(r"inputs/[0-9a-f]{64}\.(?:png|flac)")
NEEDED = "a zip that the gallery exported"
MAX_FILES, MAX_RESULTS = 20_000, 5000
MAX_MANIFEST, MAX_INPUT, MAX_RESULT, MAX_TOTAL = 32 << 20, 64 << 20, 4 << 30, 64 << 30
# Videos and sounds hardly shrink in a zip; what unpacks to so many times its size was made to.
_MAX_RATIO, _SMALL = 100, 1 << 20
_PIECE = 1 << 18


@dataclass(frozen=True)
class Entry:
    """One result of an archive as its list tells it, unchecked but for types: `row` has the rest."""

    file: str
    sha256: str
    row: dict[str, Any]


# --- Writing ---------------------------------------------------------------------------------


def written(jobs: Sequence[JobView], *, with_inputs: bool) -> Iterator[bytes]:
    """The zip in pieces, as it grows; nothing of it is kept in memory or on the disk.

    Results whose file is gone are left out.
    """
    out = _Pieces()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        rows: list[dict[str, Any]] = []
        inputs: dict[str, Path] = {}
        for number, (job, file) in enumerate(_there(jobs), 1):
            name = f"results/{number:04d}-{_slug(job)}{file.suffix}"
            digest = yield from _file(archive, out, name, file)
            rows.append(_row(job, name, digest))
            if with_inputs:
                inputs |= {f"inputs/{file.name}": file for file in inputs_of(job.request) if file.is_file()}
        for name, file in inputs.items():
            yield from _file(archive, out, name, file)
        manifest = {"format": FORMAT, "version": VERSION, "app": __version__, "made": now(), "results": rows}
        archive.writestr(MANIFEST, json.dumps(manifest, indent=1), zipfile.ZIP_DEFLATED)
        yield out.taken()
    yield out.taken()


def _there(jobs: Sequence[JobView]) -> Iterator[tuple[JobView, Path]]:
    for job in jobs:
        if job.file and job.file.is_file():
            yield job, job.file


def _file(archive: zipfile.ZipFile, out: _Pieces, name: str, file: Path) -> Generator[bytes, None, str]:
    """Adds a file; returns its sha256."""
    digest = hashlib.sha256()
    with file.open("rb") as source, archive.open(zipfile.ZipInfo(name), "w", force_zip64=True) as target:
        while piece := source.read(_PIECE):
            digest.update(piece)
            target.write(piece)
            yield out.taken()
    yield out.taken()
    return digest.hexdigest()


def _row(job: JobView, name: str, digest: str) -> dict[str, Any]:
    assert job.result
    result = {key: value for key, value in job.result.to_json().items() if key not in ("file", "consent_id")}
    return {
        "file": name, "sha256": digest, "created": job.created, "request": leaving(job.request).to_json(),
        "result": result,
    }


def _slug(job: JobView) -> str:
    words = "-".join(re.findall(r"[a-z0-9]+", job.request.prompt.lower()))[:40].strip("-")
    return f"{words or 'video'}-{job.result.seed if job.result else 0}"


class _Pieces(io.RawIOBase):
    """A file that cannot be sought in, whose content is taken away as it comes."""

    def __init__(self) -> None:
        super().__init__()
        self._held, self._at = bytearray(), 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._held += data
        self._at += len(data)
        return len(data)

    def tell(self) -> int:
        return self._at

    def taken(self) -> bytes:
        """What has come since the last time."""
        held, self._held = bytes(self._held), bytearray()
        return held


# --- Reading ---------------------------------------------------------------------------------


class Archive:
    """A zip that somebody brought, open for reading.

    Raises:
        InvalidRequest: naming `archive`: it is none of ours, or more than it should be; from all methods.
    """

    def __init__(self, source: Path | BinaryIO) -> None:
        try:
            self._zip = zipfile.ZipFile(source)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise InvalidRequest("archive", f"a file that is no whole zip ({_said(error)})", NEEDED) from error
        try:
            self._members = self._checked_members()
            self.entries = self._read_manifest()
        except BaseException:
            self.close()
            raise

    def has(self, name: str) -> bool:
        """Whether it holds a file of this name."""
        return name in self._members

    def unpack(self, name: str, to: Path, *, most: int, sha256: str | None = None) -> None:
        """Write a member to the file `to`, counted and checked as it comes; `to` is the caller's to remove."""
        info = self._members.get(name)
        if info is None:
            raise InvalidRequest("archive", f"no {name[:80]!r} in it", NEEDED)
        if shutil.disk_usage(to.parent).free < info.file_size + MIN_FREE_BYTES:
            raise InvalidRequest("archive", f"{info.file_size / 1e6:.0f} MB in {name}", "that much free space")
        digest = hashlib.sha256()
        with to.open("wb") as target:
            for piece in self._pieces(info, most):
                digest.update(piece)
                target.write(piece)
        if sha256 is not None and digest.hexdigest() != sha256:
            raise InvalidRequest("archive", f"{name}, which is not what its list says", NEEDED)

    def close(self) -> None:
        """Close the file."""
        self._zip.close()

    def _checked_members(self) -> dict[str, zipfile.ZipInfo]:
        """All members by name; what is in the zip beside them makes it none of ours."""
        infos = self._zip.infolist()
        if len(infos) > MAX_FILES:
            raise InvalidRequest("archive", f"{len(infos)} files", f"at most {MAX_FILES}")
        found: dict[str, zipfile.ZipInfo] = {}
        for info in infos:
            name = info.filename
            known = name == MANIFEST or RESULT.fullmatch(name) or INPUT.fullmatch(name)
            if not known or name in found or info.flag_bits & 1:
                raise InvalidRequest("archive", f"{name[:60]!r} in it", NEEDED)
            if info.file_size > max(_SMALL, _MAX_RATIO * info.compress_size):
                raise InvalidRequest("archive", f"{name}, which unpacks to {info.file_size / 1e6:.0f} MB", NEEDED)
            found[name] = info
        if (total := sum(info.file_size for info in infos)) > MAX_TOTAL:
            raise InvalidRequest("archive", f"{total / 1e9:.0f} GB unpacked", f"at most {MAX_TOTAL / 1e9:.0f} GB")
        return found

    def _read_manifest(self) -> list[Entry]:
        info = self._members.get(MANIFEST)
        if info is None:
            raise InvalidRequest("archive", "a zip without gallery.json", NEEDED)
        try:
            data = json.loads(b"".join(self._pieces(info, MAX_MANIFEST)))
            known = data["format"] == FORMAT and type(data["version"]) is int and isinstance(data["results"], list)
            entries = [_entry(row) for row in data["results"][: MAX_RESULTS + 1]] if known else []
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise InvalidRequest("archive", "a gallery.json that cannot be read", NEEDED) from error
        if not known or len(entries) > MAX_RESULTS:
            raise InvalidRequest("archive", "another gallery.json", NEEDED)
        if data["version"] > VERSION:
            raise InvalidRequest("archive", "a zip of a newer version of this app", "an update first")
        return entries

    def _pieces(self, info: zipfile.ZipInfo, most: int) -> Iterator[bytes]:
        """The content, as much as the zip says and no more than `most`."""
        size = 0
        try:
            with self._zip.open(info) as source:
                while piece := source.read(_PIECE):
                    size += len(piece)
                    if size > min(most, info.file_size):
                        raise InvalidRequest(
                            "archive", f"{info.filename} of more than {(size - 1) / 1e6:.1f} MB", NEEDED
                        )
                    yield piece
        except (zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError, RuntimeError) as error:
            raise InvalidRequest("archive", f"{info.filename}, which is damaged ({_said(error)})", NEEDED) from error


def _entry(row: Any) -> Entry:
    file, digest = row["file"], row["sha256"]
    if not (isinstance(file, str) and RESULT.fullmatch(file) and isinstance(digest, str)):
        raise ValueError("no result")
    if not isinstance(row["request"], dict) or not isinstance(row["result"], dict):
        raise ValueError("no request")
    return Entry(file, digest, row)


def _said(error: Exception) -> str:
    return " ".join(str(error).split())[:80] or type(error).__name__
