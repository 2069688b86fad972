"""Pictures and sounds that users gave, kept under names of our own."""

from __future__ import annotations

import hashlib
from io import BytesIO
from pathlib import Path

import soundfile
from PIL import Image

from wan_app.media.pictures import read_picture
from wan_app.media.samples import Sound, sixteen_bit
from wan_app.media.sound import read_soundtrack, read_voice
from wan_app.media.storage import storage_error, write_atomically

MAX_SIDE = 2048


class InputStore:
    """A folder of decoded and re-encoded inputs, each named by a hash of what is in it.

    Re-encoding drops names, GPS positions, comments and whatever else hid in the upload; equal
    pictures are kept once; a job's inputs stay what they were when it was submitted.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)

    def keep_picture(self, path: Path | str, field: str) -> Path:
        """The stored PNG of the picture in `path`, at most 2048 pixels on its longer side.

        Raises:
            InvalidRequest: as `read_picture`, naming `field`.
            StorageError: the folder cannot take it.
        """
        image = read_picture(path, field)
        image.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
        kept = self.folder / f"{_fingerprint(image)}.png"
        if not kept.exists():
            self._make_folder(field)
            write_atomically(kept, _png(image), field)
        return kept

    def keep_voice(self, path: Path | str, field: str = "voice") -> tuple[Path, tuple[str, ...]]:
        """The stored FLAC of the voice in `path` and what was mended in it, as `read_voice`.

        Raises:
            InvalidRequest: as `read_voice`, naming `field`.
            StorageError: the folder cannot take it.
        """
        sound = read_voice(path, field)
        return self._keep_sound(sound, field), sound.repairs

    def keep_soundtrack(self, path: Path | str, field: str = "soundtrack") -> tuple[Path, tuple[str, ...]]:
        """The stored FLAC of the soundtrack in `path` and what was mended in it, as `read_soundtrack`.

        Raises:
            InvalidRequest: as `read_soundtrack`, naming `field`.
            StorageError: the folder cannot take it.
        """
        sound = read_soundtrack(path, field, kept=Path(path).parent == self.folder)
        return self._keep_sound(sound, field), sound.repairs

    def _keep_sound(self, sound: Sound, field: str) -> Path:
        samples = sixteen_bit(sound.samples)
        said = f"{sound.sample_rate} Hz, {samples.shape[1]} channels\n".encode()
        kept = self.folder / f"{hashlib.sha256(said + samples.tobytes()).hexdigest()}.flac"
        if not kept.exists():
            self._make_folder(field)
            buffer = BytesIO()
            soundfile.write(buffer, samples, sound.sample_rate, format="FLAC", subtype="PCM_16")
            write_atomically(kept, buffer.getvalue(), field)
        return kept

    def _make_folder(self, field: str) -> None:
        try:
            # Faces and voices live here: nobody else on the machine needs to look.
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise storage_error(field, self.folder, error) from error


def _fingerprint(image: Image.Image) -> str:
    width, height = image.size
    return hashlib.sha256(f"{width}x{height} RGB\n".encode() + image.tobytes()).hexdigest()


def _png(image: Image.Image) -> bytes:
    clean = Image.frombytes("RGB", image.size, image.tobytes())  # no EXIF, no profile, no text chunks
    buffer = BytesIO()
    clean.save(buffer, "PNG", compress_level=1)  # level 6 takes four times as long for a tenth less
    return buffer.getvalue()
