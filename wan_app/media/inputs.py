"""Pictures and sounds that users gave, kept under names of our own."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

import numpy as np
import soundfile
from filelock import FileLock, Timeout
from PIL import Image

from wan_app.errors import StorageError
from wan_app.media.pictures import read_picture
from wan_app.media.samples import Sound, sixteen_bit
from wan_app.media.sound import read_soundtrack, read_voice
from wan_app.media.storage import storage_error, write_atomically
from wan_app.types import Character, GenerationRequest

MAX_SIDE = 2048
_WAIT = 60.0  # seconds for another request to be written


@dataclass(frozen=True)
class Checked:
    """An input that was read and found good, not yet on the disk.

    `path` is where it will lie, named by its content; `repairs` are what was mended in it; `field` is the
    request's field that an error names.
    """

    path: Path
    field: str
    data: Callable[[], bytes] = dataclasses.field(repr=False, compare=False)
    repairs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Settled:
    """A request as it will be once `inputs` are kept; `notes` tell what was mended in them."""

    request: GenerationRequest
    inputs: tuple[Checked, ...]
    notes: tuple[str, ...]


class InputStore:
    """A folder of decoded and re-encoded inputs, each named by a hash of what is in it.

    Re-encoding drops names, GPS positions, comments and whatever else hid in the upload; equal
    pictures are kept once; a job's inputs stay what they were when it was submitted.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)

    def picture(self, path: Path | str, field: str) -> Checked:
        """The picture in `path`, as a PNG of at most 2048 pixels on its longer side.

        Raises:
            InvalidRequest: as `read_picture`, naming `field`.
        """
        image = read_picture(path, field)
        image.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
        return Checked(self.folder / f"{_fingerprint(image)}.png", field, lambda: _png(image))

    def voice(self, path: Path | str, field: str = "voice") -> Checked:
        """The voice in `path` as a FLAC; what was mended in it as `read_voice`.

        Raises:
            InvalidRequest: as `read_voice`, naming `field`.
        """
        return self._sound(read_voice(path, field), field)

    def soundtrack(self, path: Path | str, field: str = "soundtrack") -> Checked:
        """The soundtrack in `path` as a FLAC; what was mended in it as `read_soundtrack`.

        Raises:
            InvalidRequest: as `read_soundtrack`, naming `field`.
        """
        return self._sound(read_soundtrack(path, field, kept=Path(path).parent == self.folder), field)

    def settle(self, request: GenerationRequest) -> Settled:
        """Read all pictures and sounds of a request; nothing is written. Raises InvalidRequest."""
        found: list[Checked] = []
        notes: list[str] = []

        def taken(one: Checked, title: str = "") -> Path:
            found.append(one)
            notes.extend(f"{title}: {repair}" for repair in one.repairs)
            return one.path

        def picture(path: Path | None, field: str) -> Path | None:
            return taken(self.picture(path, field)) if path else None

        people = tuple(
            Character(
                name=one.name, faces=tuple(taken(self.picture(face, "face")) for face in one.faces),
                voice=taken(self.voice(one.voice), f"Voice of {one.name}") if one.voice else None,
            )
            for one in request.characters
        )
        soundtrack = taken(self.soundtrack(request.soundtrack), "Soundtrack") if request.soundtrack else None
        settled = replace(
            request, characters=people, soundtrack=soundtrack, image=picture(request.image, "image"),
            last_image=picture(request.last_image, "last_image"),
        )
        return Settled(settled, tuple(found), tuple(notes))

    @contextmanager
    def keeping(self, inputs: Sequence[Checked]) -> Iterator[None]:
        """Put all inputs into the folder; what is new there goes again if the block fails.

        One such block at a time, over all processes: else what one takes away, another may count on.

        Raises:
            StorageError: naming an input's field: the folder cannot take it.
        """
        if not inputs:
            yield
            return
        lock, new = self._locked(inputs[0].field), []
        try:
            for one in inputs:
                if not one.path.exists():
                    write_atomically(one.path, one.data(), one.field)
                    new.append(one.path)
            yield
        except BaseException:
            for path in new:
                path.unlink(missing_ok=True)
            raise
        finally:
            lock.release()

    def drop(self, paths: Sequence[Path], in_use: Callable[[Path], bool]) -> None:
        """Delete those files of the store that are not `in_use`, which is asked while nobody adds any.

        Raises:
            StorageError: the folder is busy.
        """
        found = [path for path in dict.fromkeys(paths) if path.parent == self.folder and path.is_file()]
        if not found:
            return
        lock = self._locked("data_dir")
        try:
            for path in found:
                if not in_use(path):
                    path.unlink(missing_ok=True)
        finally:
            lock.release()

    def _sound(self, sound: Sound, field: str) -> Checked:
        samples = sixteen_bit(sound.samples)
        said = f"{sound.sample_rate} Hz, {samples.shape[1]} channels\n".encode()
        path = self.folder / f"{hashlib.sha256(said + samples.tobytes()).hexdigest()}.flac"
        return Checked(path, field, lambda: _flac(samples, sound.sample_rate), sound.repairs)

    def _locked(self, field: str) -> FileLock:
        """The folder, made if need be, and the lock beside it, taken."""
        lock = FileLock(self.folder.with_name(f"{self.folder.name}.lock"), timeout=_WAIT, mode=0o600)
        try:
            # Faces and voices live here: nobody else on the machine needs to look.
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock.acquire()
        except Timeout:
            raise StorageError(field, f"{self.folder}, which is busy", "a moment's patience") from None
        except OSError as error:
            raise storage_error(field, self.folder, error) from error
        return lock


def _fingerprint(image: Image.Image) -> str:
    width, height = image.size
    return hashlib.sha256(f"{width}x{height} RGB\n".encode() + image.tobytes()).hexdigest()


def _png(image: Image.Image) -> bytes:
    clean = Image.frombytes("RGB", image.size, image.tobytes())  # no EXIF, no profile, no text chunks
    buffer = BytesIO()
    clean.save(buffer, "PNG", compress_level=1)  # level 6 takes four times as long for a tenth less
    return buffer.getvalue()


def _flac(samples: np.ndarray, rate: int) -> bytes:
    buffer = BytesIO()
    soundfile.write(buffer, samples, rate, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()
