"""Content Credentials: what is stated, who signed, and what a changed byte does."""

from __future__ import annotations

import errno
import json
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import c2pa
import pytest
import soundfile
from cryptography.hazmat.primitives.asymmetric import ec

from tests.media.conftest import ffmpeg, voice
from tests.media.marks.own_certificates import Authority
from wan_app.errors import ExportFailed
from wan_app.media.marks import credentials
from wan_app.media.marks.credentials import MIME, read_credentials, read_store, ready_keys, sign
from wan_app.media.marks.keys import InstallKeys
from wan_app.media.marks.manifest import Facts, manifest_of

FACTS = Facts(
    watermark_id="00ff12cd34", created="2026-11-22T10:00:00Z", model="pocket", model_title="Pocket",
    mode="reference", consent_id="c0ffee", faces=("aa" * 32,), voices=("bb" * 32,),
)


@pytest.fixture
def keys(tmp_path: Path) -> InstallKeys:
    return InstallKeys.open(tmp_path / "keys")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


@pytest.fixture(params=[".mp4", ".wav"])
def file(request: pytest.FixtureRequest, folder: Path) -> Path:
    """A video with sound, and a sound."""
    path = folder / f"a{request.param}"
    if request.param == ".wav":
        soundfile.write(path, voice(), 16_000)
    else:
        sources = ("-f", "lavfi", "-i", "testsrc=d=1:s=64x64", "-f", "lavfi", "-i", "sine=d=1")
        ffmpeg(*sources, "-movflags", "+faststart", path)
    return path


def signed(file: Path, keys: InstallKeys, facts: Facts = FACTS) -> bytes:
    return sign(file, MIME[file.suffix], facts, keys, sound_marked=True)


def test_signed_and_read(file: Path, keys: InstallKeys) -> None:
    store = signed(file, keys)
    for read in (read_credentials(file, keys), read_store(store, keys)):
        assert (read.state, read.ours, read.by_ai, read.reasons) == ("valid", True, True, ())
        assert (read.watermark_id, read.created) == ("00ff12cd34", "2026-11-22T10:00:00Z")
        assert (read.model, read.consent_id) == ("pocket", "c0ffee")
        assert read.app and read.app.startswith("Wan App ")
        assert read.signer and read.signer.startswith("Wan App install")
    assert [one.name for one in file.parent.iterdir()] == [file.name]


def test_what_is_stated(file: Path, keys: InstallKeys) -> None:
    signed(file, keys)
    stated = read_credentials(file, keys).manifest["assertions"]
    # All by the signer, not gathered from elsewhere.
    assert all(one.get("created") for one in stated)
    actions = next(one for one in stated if one["label"] == "c2pa.actions.v2")["data"]["actions"]
    assert actions[0]["action"] == "c2pa.created" and actions[0]["when"] == "2026-11-22T10:00:00Z"
    assert actions[0]["digitalSourceType"].endswith("/trainedAlgorithmicMedia")
    assert actions[0]["softwareAgent"]["name"] == "Pocket"
    bindings = [one["data"] for one in stated if one["label"].startswith("c2pa.soft-binding")]
    assert [one["blocks"][0]["value"] for one in bindings] == ["00ff12cd34", "ff12cd34"]
    consent = next(one for one in stated if one["label"] == "wan_app.consent")["data"]
    assert consent == {"consent_id": "c0ffee", "faces_sha256": ["aa" * 32], "voices_sha256": ["bb" * 32]}


def test_without_references_no_consent_is_claimed(file: Path, keys: InstallKeys) -> None:
    signed(file, keys, replace(FACTS, faces=(), voices=(), consent_id=None))
    read = read_credentials(file, keys)
    assert read.consent_id is None and "consent" not in json.dumps(read.manifest)


def test_a_changed_byte_of_what_is_seen_or_heard(file: Path, keys: InstallKeys) -> None:
    signed(file, keys)
    data = bytearray(file.read_bytes())
    place = data.index(b"mdat" if file.suffix == ".mp4" else b"data") + 40
    data[place] ^= 1
    file.write_bytes(data)
    read = read_credentials(file, keys)
    assert read.state == "invalid" and not read.ours
    assert any("mismatch" in reason for reason in read.reasons)


def test_a_changed_statement(file: Path, keys: InstallKeys) -> None:
    signed(file, keys)
    file.write_bytes(file.read_bytes().replace(b"pocket", b"packet"))
    read = read_credentials(file, keys)
    assert read.state == "invalid" and not read.ours


def test_cut_off_in_the_middle(file: Path, keys: InstallKeys) -> None:
    signed(file, keys)
    file.write_bytes(file.read_bytes()[:-9000])
    assert read_credentials(file, keys).state != "valid"


def test_of_another_install(file: Path, keys: InstallKeys, tmp_path: Path) -> None:
    signed(file, keys)
    read = read_credentials(file, InstallKeys.open(tmp_path / "others"))
    assert (read.state, read.ours, read.watermark_id) == ("valid", False, "00ff12cd34")


def test_of_nobody(file: Path, keys: InstallKeys) -> None:
    assert read_credentials(file, keys).state == "none"


def test_re_encoding_drops_them_and_the_store_is_what_is_left(file: Path, keys: InstallKeys) -> None:
    store = signed(file, keys)
    copy = file.with_name(f"copy{file.suffix}")
    ffmpeg("-i", file, "-c", "copy", copy)
    assert read_credentials(copy, keys).state == "none"
    assert read_store(store, keys).ours
    broken = bytearray(store)
    broken[store.index(b"pocket")] ^= 1
    assert read_store(bytes(broken), keys).state == "invalid"


@pytest.mark.parametrize(
    "data", [b"", b"\0", b"text" * 99, b"\x89PNG\r\n\x1a\n" + bytes(99), b"RIFF\xff\xff\xff\xffWAVE"]
)
def test_files_that_are_no_video(folder: Path, keys: InstallKeys, data: bytes) -> None:
    (folder / "a").write_bytes(data)
    assert read_credentials(folder / "a", keys).state == "none"


def test_an_address_in_a_strangers_file_is_not_asked(
    folder: Path, keys: InstallKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A manifest kept elsewhere: its address (of nobody) is in the file instead."""
    soundfile.write(folder / "a.wav", voice(), 16_000)
    builder = c2pa.Builder(json.dumps(manifest_of(FACTS, sound_marked=False)))
    builder.set_no_embed()
    builder.set_remote_url("http://127.0.0.1:9/manifest")
    target = BytesIO()
    signer = c2pa.Signer.from_info(
        c2pa.C2paSignerInfo(b"es256", keys.signing.chain, keys.signing.private_key, None)
    )
    with open(folder / "a.wav", "rb") as source:
        builder.sign(signer, "audio/wav", source, target)
    (folder / "b.wav").write_bytes(target.getvalue())
    read = read_credentials(folder / "b.wav", keys)
    assert read.state == "none" and read.reasons == ("kept at an address, which is not asked",)


def test_signed_by_the_users_own_certificate(file: Path, tmp_path: Path) -> None:
    authority = Authority()
    settings = authority.files(tmp_path, ec.generate_private_key(ec.SECP256R1()))
    keys = ready_keys(settings)
    signed(file, keys)
    assert read_credentials(file, keys).signer == "Jo's studio"
    # Taken out of the settings again, what it signed stays ours.
    assert read_credentials(file, InstallKeys.open(settings.keys_dir)).ours
    # Another customer of the same authority is not us.
    (tmp_path / "b").mkdir()
    other = ready_keys(authority.files(tmp_path / "b", ec.generate_private_key(ec.SECP256R1())))
    theirs = file.with_name(f"theirs{file.suffix}")
    ffmpeg("-i", file, "-c", "copy", theirs)
    signed(theirs, other)
    read = read_credentials(theirs, keys)
    assert (read.state, read.ours) == ("valid", False)


def test_a_full_disk(file: Path, keys: InstallKeys, monkeypatch: pytest.MonkeyPatch) -> None:
    before = file.read_bytes()

    class Full(credentials._Written):
        def write(self, data: bytes) -> int:
            self._error = OSError(errno.ENOSPC, "No space left on device")
            raise self._error

    monkeypatch.setattr(credentials, "_Written", Full)
    with pytest.raises(OSError, match="No space left"):
        signed(file, keys)
    assert file.read_bytes() == before and [one.name for one in file.parent.iterdir()] == [file.name]


def test_what_does_not_read_back_is_no_result(
    file: Path, keys: InstallKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = file.read_bytes()
    none: Any = credentials.CredentialsReading(state="none")
    monkeypatch.setattr(credentials, "read_credentials", lambda *_: none)
    with pytest.raises(ExportFailed, match="cannot be read back"):
        signed(file, keys)
    assert file.read_bytes() == before and [one.name for one in file.parent.iterdir()] == [file.name]


def test_the_signed_file_plays_on(file: Path, keys: InstallKeys) -> None:
    plain, again = file.with_name(f"plain{file.suffix}"), file.with_suffix(".framecrc")
    plain.write_bytes(file.read_bytes())
    signed(file, keys)
    said = []
    for one in (plain, file):
        ffmpeg("-i", one, "-f", "framecrc", again)
        said.append(again.read_text())
    assert said[0] == said[1] and file.stat().st_size - plain.stat().st_size < 12_000
