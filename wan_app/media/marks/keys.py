"""The secrets of this install: the watermark's key and the signing key, made once, kept in one folder.

    keys/install/mark.key         32 random bytes: only with them does a mark read as ours
    keys/install/signing.key      private key (PEM) of the certificate that signs every file
    keys/install/signing.pem      its certificate and the root that issued it
    keys/install/signers/N.pem    every chain ever signed with, by serial number: old files stay ours
"""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from wan_app.errors import StorageError
from wan_app.media.marks.certificates import Signing, make_signing, read_signing
from wan_app.media.storage import shown, storage_error, write_atomically
from wan_app.settings import Settings

MARK_KEY_BYTES = 32


@dataclass(frozen=True, kw_only=True)
class InstallKeys:
    """What marks and signs here. Its secrets show in no repr; it is never stored or sent anywhere.

    `signers` are the serial numbers of all leaf certificates ever used here, `anchors` (PEM) all
    certificates that issued them: both together tell our own signatures from others'.
    """

    mark_key: bytes = field(repr=False)
    signing: Signing = field(repr=False)
    signers: frozenset[str]
    anchors: bytes = field(repr=False)

    @classmethod
    def open(cls, folder: Path, *, certificate: Path | None = None, private_key: Path | None = None) -> InstallKeys:
        """The keys in `folder`, made there on first use; of several processes at once, all get the same.

        Args:
            certificate, private_key: PEM files of the user's own, to sign with instead.
        Raises:
            StorageError: `folder` cannot be used, or is damaged.
            InvalidRequest: the user's own certificate or key is not one that can sign.
        """
        home = folder / "install"
        try:
            if not home.is_dir():
                _make(folder, home)
            mark_key, signing = _read(home)
            if certificate or private_key:
                signing = read_signing(certificate, private_key)
                _remember(signing, home / "signers")
            chains = {file.stem: file.read_bytes() for file in (home / "signers").glob("*.pem")}
        except OSError as error:
            raise storage_error("keys", folder, error) from error
        anchors = b"".join(chain.partition(_END)[2] for chain in chains.values())
        return cls(mark_key=mark_key, signing=signing, signers=frozenset(chains), anchors=anchors)

    @classmethod
    def of(cls, settings: Settings) -> InstallKeys:
        """The keys under these settings; raises as `open`."""
        return cls.open(settings.keys_dir, certificate=settings.sign_cert, private_key=settings.sign_key)


# After the leaf come the certificates that issued it.
_END = b"-----END CERTIFICATE-----\n"


def _make(folder: Path, home: Path) -> None:
    """All keys at once, or none: they are written aside, and the folder is given its name at the end.

    A folder cannot be moved onto one that holds something, so the first of two processes wins.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(dir=folder, prefix=".new-"))  # for its owner only, from the start
    try:
        signing = make_signing()
        (aside / "signers").mkdir(mode=0o700)
        _write(aside / "mark.key", secrets.token_bytes(MARK_KEY_BYTES))
        _write(aside / "signing.key", signing.private_key)
        _write(aside / "signing.pem", signing.chain)
        _write(aside / "signers" / f"{signing.serial}.pem", signing.chain)
        os.rename(aside, home)
        for left in folder.glob(".new-*"):  # of one that lost, or was killed here
            shutil.rmtree(left, ignore_errors=True)
    except OSError:
        if not home.is_dir():
            raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _write(file: Path, data: bytes) -> None:
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())  # else a power cut may leave empty keys under good names


def _read(home: Path) -> tuple[bytes, Signing]:
    for secret in (home / "mark.key", home / "signing.key"):
        with suppress(OSError):  # a folder that is mounted read-only keeps the rights it has
            secret.chmod(0o600)  # a copy or a backup may have lost them
    mark_key, *signing = (_contents(home / name) for name in ("mark.key", "signing.pem", "signing.key"))
    if len(mark_key) != MARK_KEY_BYTES or not all(b"-----BEGIN" in pem for pem in signing):
        raise StorageError(
            "keys", f"{shown(home)} (damaged)",
            "the folder as it was made; moved away, new keys are made, and older videos read as another install's",
        )
    return mark_key, Signing(alg="es256", chain=signing[0], private_key=signing[1])


def _contents(file: Path) -> bytes:
    """What is in it; nothing if it is gone, which is then told as damage."""
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return b""


def _remember(signing: Signing, folder: Path) -> None:
    kept = folder / f"{signing.serial}.pem"
    if not kept.exists():
        write_atomically(kept, signing.chain, "keys")
