"""A quantized copy of a component on disk: made on first load, checked by hash, read from then on."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

# Small enough that several are read and hashed at the same time.
SHARD = "2GB"
_MANIFEST = "manifest.json"
# A file of this name and the number of a process that has read the copy.
_IN_USE = "in-use-"
# What of a source file goes into the copy's name: samples, for its 57 GB take a minute to read.
_SAMPLES, _SAMPLE = 64, 4096
_CHUNK = 4 * 2**20


class QuantizedCopy:
    """The copy of one component under one quantization.

    Args:
        root: folder for copies of all models.
        source: the component's own folder; its content names the copy, so that other weights have another.
        kind: what else makes a copy another one: class, quantization, dtype.
    """

    def __init__(self, root: Path, source: Path, kind: str) -> None:
        self.folder = root / fingerprint(source, kind)

    def is_whole(self) -> bool:
        """Whether it is here with every byte as it was written; a broken one is removed."""
        try:
            hashes = json.loads((self.folder / _MANIFEST).read_text(encoding="utf-8"))["sha256"]
        except FileNotFoundError:
            return False
        except (OSError, ValueError, KeyError, TypeError):
            hashes = {}
        files = [self.folder / name for name in hashes]
        self._mark()
        if hashes and all(file.is_file() for file in files) and _hashes(files) == list(hashes.values()):
            return True
        log.warning("The quantized copy %s is broken and made anew", self.folder)
        shutil.rmtree(self.folder, ignore_errors=True)
        return False

    def keep(self, model: Any) -> None:
        """Write the loaded model; where the disk can't take it, the next load quantizes again."""
        size = sum(one.numel() * one.element_size() for one in (*model.parameters(), *model.buffers()))
        root = self.folder.parent
        try:
            root.mkdir(parents=True, exist_ok=True)
            if shutil.disk_usage(root).free < 1.1 * size:
                log.warning("No room for a quantized copy of %.1f GB under %s", size / 1e9, root)
                return
            part = Path(tempfile.mkdtemp(dir=root, prefix=".part-"))
        except OSError as error:
            log.warning("No quantized copy was kept: %s", error)
            return
        try:
            model.save_pretrained(part, max_shard_size=SHARD)
            files = sorted(file for file in part.iterdir() if file.is_file())
            hashes = dict(zip((file.name for file in files), _hashes(files)))
            (part / _MANIFEST).write_text(json.dumps({"sha256": hashes}, indent=1), encoding="utf-8")
            os.replace(part, self.folder)
            self._mark()
        except (OSError, ValueError, NotImplementedError) as error:
            log.warning("No quantized copy was kept: %s", error)
        finally:
            shutil.rmtree(part, ignore_errors=True)


    def _mark(self) -> None:
        """Used now, and by this process as long as it lives: its files may stay mapped into memory."""
        with suppress(OSError):
            (self.folder / f"{_IN_USE}{os.getpid()}").touch()
            os.utime(self.folder / _MANIFEST)


def prune(root: Path, limit: int) -> list[Path]:
    """Remove the copies that were not used for longest until the rest takes at most `limit` bytes.

    None goes that a living process has read. A copy that cannot be removed stays.

    Returns:
        The folders that are gone.
    """
    copies = sorted((_last_used(one), one) for one in root.glob("*/") if (one / _MANIFEST).is_file())
    sizes = {one: sum(file.stat().st_size for file in one.iterdir() if file.is_file()) for _, one in copies}
    total, gone = sum(sizes.values()), []
    for _, one in copies:
        if total <= limit:
            break
        if not _in_use(one):
            shutil.rmtree(one, ignore_errors=True)
            total -= sizes[one]
            gone.append(one)
    return gone


def _last_used(copy: Path) -> float:
    return (copy / _MANIFEST).stat().st_mtime


def _in_use(copy: Path) -> bool:
    import psutil

    return any(psutil.pid_exists(int(one.name.removeprefix(_IN_USE))) for one in copy.glob(f"{_IN_USE}*"))


def fingerprint(source: Path, kind: str) -> str:
    """A name for the content of a component's folder: its configuration and samples of its tensors."""
    digest = hashlib.sha256(kind.encode())
    for file in sorted(source.glob("*.json")):
        digest.update(file.name.encode() + file.read_bytes())
    for file in sorted(source.glob("*.safetensors")):
        size = file.stat().st_size
        digest.update(f"{file.name} {size}".encode())
        with file.open("rb") as stream:
            for number in range(_SAMPLES):
                stream.seek(max(0, size - _SAMPLE) * number // (_SAMPLES - 1))
                digest.update(stream.read(_SAMPLE))
    return digest.hexdigest()[:32]


def _hashes(files: list[Path]) -> list[str]:
    """SHA-256 of each file, several at a time; reading them once also has them in memory for the load."""
    with ThreadPoolExecutor(max_workers=4) as pool:
        return list(pool.map(_hash, files))


def _hash(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
