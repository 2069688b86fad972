"""Content Credentials (C2PA): a signed statement inside the file on how and with what it was made.

Written last, since any later change of the file breaks it; whoever changes a byte of what is shown or
heard makes it invalid. It says who signed, not who is right: anybody can make a certificate.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

from wan_app.errors import ExportFailed, InvalidRequest
from wan_app.media.marks.keys import InstallKeys
from wan_app.media.marks.manifest import Facts, dict_of, list_of, manifest_of, stated_in, text_of
from wan_app.media.storage import shown
from wan_app.settings import Settings

if TYPE_CHECKING:
    import c2pa

MIME = {".mp4": "video/mp4", ".wav": "audio/wav"}

State = Literal["valid", "invalid", "none"]
# Nothing is fetched: neither a manifest from an address that a stranger's file names, nor a certificate's state.
_OFFLINE = {"remote_manifest_fetch": False, "ocsp_fetch": False}
_UNTRUSTED = "signingCredential.untrusted"
# What a manifest store says when it is held against no file, or against one that was re-encoded.
_UNBOUND = ("assertion.bmffHash.mismatch", "assertion.dataHash.mismatch")


@dataclass(frozen=True, kw_only=True)
class CredentialsReading:
    """What a file's credentials say. All text in it is the signer's, cut short, and only as true as they are.

    `valid`: signed, and what is shown and heard is unchanged since. `ours`: by a key of this install.
    `by_ai`: they state that a model made it. `reasons`: why it is not valid, in C2PA's codes.
    """

    state: State
    ours: bool = False
    signer: str | None = None
    watermark_id: str | None = None
    created: str | None = None
    app: str | None = None
    model: str | None = None
    consent_id: str | None = None
    by_ai: bool = False
    reasons: tuple[str, ...] = ()
    manifest: dict[str, Any] = field(default_factory=dict)


# --- Writing ---------------------------------------------------------------------------------


def sign(path: Path, mime: str, facts: Facts, keys: InstallKeys, *, sound_marked: bool) -> bytes:
    """Put credentials into the file `path` itself; the manifest store, for its sidecar.

    Args:
        sound_marked: whether the sound carries the watermark too.
    Raises:
        OSError: the disk refused; `path` is as it was.
        ExportFailed: the certificate cannot sign, or the signed file does not read as ours.
    """
    import c2pa

    signed = path.with_name(f"{path.stem}.signed.part")
    try:
        with _failures(), open(path, "rb") as source, open(signed, "w+b") as target:
            made = _Written(target)
            try:
                store = _builder(facts, sound_marked=sound_marked).sign(_signer(keys), mime, source, made)
            except c2pa.C2paError:
                made.check()
                raise
        reading = read_credentials(signed, keys)
        if reading.state != "valid" or not reading.ours:
            raise ExportFailed(f"the credentials cannot be read back: {', '.join(reading.reasons) or 'not ours'}")
        os.replace(signed, path)
    finally:
        signed.unlink(missing_ok=True)
    return store


def ready_keys(settings: Settings) -> InstallKeys:
    """The keys, after a trial: a certificate that cannot sign is told before a video is made.

    Raises:
        StorageError, InvalidRequest: as `InstallKeys.open`; or the user's own certificate cannot sign.
    """
    keys = InstallKeys.of(settings)
    if settings.sign_cert:
        facts = Facts(watermark_id="0" * 10, created="2026-01-01T00:00:00Z", model="", model_title="", mode="text")
        try:
            with _failures():
                _builder(facts, sound_marked=False).sign(_signer(keys), MIME[".wav"], BytesIO(_SILENCE), BytesIO())
        except ExportFailed as error:
            needed = "a certificate for signing (digitalSignature; emailProtection or documentSigning)"
            raise InvalidRequest("WAN_APP_SIGN_CERT", f"{shown(settings.sign_cert)} ({error})", needed) from None
    return keys


# A WAV of 16 samples at 8 kHz.
_SILENCE = (
    b"RIFF\x44\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0data\x20\0\0\0" + bytes(32)
)


class _Written:
    """A stream for the C2PA library, which keeps the system's reason why a write failed to itself."""

    def __init__(self, file: IO[bytes]) -> None:
        self.read, self.seek, self.tell, self.flush = file.read, file.seek, file.tell, file.flush
        self._file = file
        self._error: OSError | None = None

    def write(self, data: bytes) -> int:
        """As a file's."""
        try:
            written = self._file.write(data)
            self._file.flush()  # a full disk is told here, and not when the file is closed
            return written
        except OSError as error:
            self._error = error
            raise

    def check(self) -> None:
        """Raise what made a write fail."""
        if self._error:
            raise self._error


@contextmanager
def _failures() -> Iterator[None]:
    import c2pa

    try:
        yield
    except c2pa.C2paError as error:
        raise ExportFailed(f"the file could not be signed: {error}") from None  # it never quotes the key


def _signer(keys: InstallKeys) -> c2pa.Signer:
    import c2pa

    one = keys.signing
    # No time-stamp authority: the app asks nobody on the network.
    return c2pa.Signer.from_info(c2pa.C2paSignerInfo(one.alg.encode(), one.chain, one.private_key, None))


def _builder(facts: Facts, *, sound_marked: bool) -> c2pa.Builder:
    import c2pa

    context = c2pa.Context.from_dict({"verify": _OFFLINE, "builder": {"thumbnail": {"enabled": False}}})
    return c2pa.Builder(json.dumps(manifest_of(facts, sound_marked=sound_marked)), context=context)


# --- Reading ---------------------------------------------------------------------------------


def read_credentials(path: Path, keys: InstallKeys) -> CredentialsReading:
    """The credentials inside the file `path`, anybody's, in any format that C2PA knows.

    Raises:
        OSError: the file cannot be opened.
    """
    with open(path, "rb") as stream:
        return _read(stream, None, keys, unbound=False)


def read_store(store: bytes, keys: InstallKeys) -> CredentialsReading:
    """What a manifest store of a sidecar says, whose file is not looked at."""
    return _read(BytesIO(store), "application/c2pa", keys, unbound=True)


def _read(stream: IO[bytes], mime: str | None, keys: InstallKeys, *, unbound: bool) -> CredentialsReading:
    import c2pa

    trust = {"user_anchors": keys.anchors.decode("ascii")}
    absent = (c2pa.C2paError.ManifestNotFound, c2pa.C2paError.NotSupported, c2pa.C2paError.Io, c2pa.C2paError.Other)
    try:
        with c2pa.Context.from_dict({"verify": _OFFLINE, "trust": trust}) as context:
            with c2pa.Reader(mime, stream, context=context) as reader:
                return _reading(json.loads(reader.json()), keys, unbound=unbound)
    except absent:
        return CredentialsReading(state="none")
    except c2pa.C2paError as error:
        if str(error).startswith("Remote"):  # it has no class of its own
            return CredentialsReading(state="none", reasons=("kept at an address, which is not asked",))
        return CredentialsReading(state="invalid", reasons=(text_of(str(error)) or "unreadable",))


def _reading(said: dict[str, Any], keys: InstallKeys, *, unbound: bool) -> CredentialsReading:
    manifest = dict_of(dict_of(said.get("manifests")).get(str(said.get("active_manifest"))))
    failures = _failure_codes(said)
    # Untrusted is any self-made certificate that is not ours: no fault of the file's.
    passed = (_UNTRUSTED, *(_UNBOUND if unbound else ()))
    wrong = tuple(code for code in failures if code not in passed)
    if said.get("validation_state") not in ("Valid", "Trusted") and not unbound and not wrong:
        wrong = ("not valid",)
    signature = dict_of(manifest.get("signature_info"))
    # The anchors may be a public authority's, who signs for many: the certificate itself must be one of ours.
    known = str(signature.get("cert_serial_number")) in keys.signers
    ours = known and not wrong and _UNTRUSTED not in failures
    return CredentialsReading(
        state="invalid" if wrong else "valid", ours=ours, signer=text_of(signature.get("issuer")),
        reasons=wrong, manifest=manifest, **stated_in(manifest),
    )


def _failure_codes(said: dict[str, Any]) -> tuple[str, ...]:
    active = dict_of(dict_of(said.get("validation_results")).get("activeManifest"))
    return tuple(dict.fromkeys(str(dict_of(one).get("code")) for one in list_of(active.get("failure"))))
