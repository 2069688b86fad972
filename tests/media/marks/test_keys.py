"""Keys of an install: made once, whoever comes first, and shown to nobody."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import traceback
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.media.marks.own_certificates import Authority, pem_of
from wan_app.errors import InvalidRequest, StorageError
from wan_app.media.marks.credentials import ready_keys
from wan_app.media.marks.keys import InstallKeys
from wan_app.settings import Settings


def test_made_once(tmp_path: Path) -> None:
    first, second = (InstallKeys.open(tmp_path / "keys") for _ in range(2))
    assert first == second and len(first.mark_key) == 32
    other = InstallKeys.open(tmp_path / "other")
    assert other.mark_key != first.mark_key and not other.signers & first.signers


def test_only_the_owner_reads_them(tmp_path: Path) -> None:
    InstallKeys.open(tmp_path / "keys")
    home = tmp_path / "keys" / "install"
    assert all((folder.stat().st_mode & 0o777) == 0o700 for folder in (home.parent, home, home / "signers"))
    assert {file.stat().st_mode & 0o777 for file in home.rglob("*.*") if file.is_file()} == {0o600}
    (home / "signing.key").chmod(0o644)  # restored from a backup that forgot
    InstallKeys.open(tmp_path / "keys")
    assert (home / "signing.key").stat().st_mode & 0o777 == 0o600


def test_the_chain(tmp_path: Path) -> None:
    keys = InstallKeys.open(tmp_path)
    leaf, root = x509.load_pem_x509_certificates(keys.signing.chain)
    leaf.verify_directly_issued_by(root)
    root.verify_directly_issued_by(root)
    usage = leaf.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical and usage.value.digital_signature and not usage.value.key_cert_sign
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    extended = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(extended) == [ExtendedKeyUsageOID.EMAIL_PROTECTION]
    ours = leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    assert ours == root.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    for secret in (os.uname().nodename, os.environ.get("USER") or "root"):
        assert secret not in leaf.subject.rfc4514_string()


def test_the_roots_key_is_nowhere(tmp_path: Path) -> None:
    keys = InstallKeys.open(tmp_path)
    private = [file for file in tmp_path.rglob("*") if file.is_file() and b"PRIVATE KEY" in file.read_bytes()]
    assert [file.name for file in private] == ["signing.key"]
    assert keys.signing.private_key.count(b"BEGIN PRIVATE KEY") == 1


def test_processes_at_once_get_the_same(tmp_path: Path) -> None:
    code = (
        "import sys, hashlib; from pathlib import Path; from wan_app.media.marks.keys import InstallKeys;"
        "print('ready', flush=True); sys.stdin.readline(); keys = InstallKeys.open(Path(sys.argv[1]));"
        "print(hashlib.sha256(keys.mark_key + keys.signing.private_key + keys.anchors).hexdigest())"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "keys")]
    running = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    for process in running:
        assert process.stdout and process.stdout.readline() == "ready\n"
    for process in running:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    said = {process.communicate(timeout=60)[0] for process in running}
    assert len(said) == 1 and len(said.pop().strip()) == 64
    assert [one.name for one in (tmp_path / "keys").iterdir()] == ["install"]


def test_what_a_killed_process_left_does_not_disturb(tmp_path: Path) -> None:
    (tmp_path / ".new-dead").mkdir()
    (tmp_path / ".new-dead" / "signing.key").write_text("half")
    assert InstallKeys.open(tmp_path) == InstallKeys.open(tmp_path)
    assert [one.name for one in tmp_path.iterdir()] == ["install"]


@pytest.mark.parametrize("name", ["mark.key", "signing.key", "signing.pem"])
def test_damaged_keys_are_not_silently_made_anew(tmp_path: Path, name: str) -> None:
    InstallKeys.open(tmp_path)
    (tmp_path / "install" / name).write_bytes(b"")
    with pytest.raises(StorageError, match="^keys: got .*damaged.*needed the folder as it was made"):
        InstallKeys.open(tmp_path)
    (tmp_path / "install" / name).unlink()
    with pytest.raises(StorageError, match="damaged"):
        InstallKeys.open(tmp_path)


def test_a_place_that_takes_no_keys(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match="^keys: got "):
        InstallKeys.open(tmp_path / "file" / "keys")


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    keys = InstallKeys.of(settings)
    secret = keys.signing.private_key.split(b"\n")[1].decode()
    shown = [repr(keys), str(keys), repr(keys.signing), repr(settings), f"{settings}", repr(replace(keys))]
    try:
        raise ValueError(keys)
    except ValueError:
        shown.append(traceback.format_exc())
    for text in shown:
        assert secret not in text and keys.mark_key.hex() not in text and repr(keys.mark_key) not in text
    assert secret.encode() not in pickle.dumps(settings)


# --- The user's own certificate --------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        (ec.generate_private_key(ec.SECP256R1()), "es256"), (ec.generate_private_key(ec.SECP384R1()), "es384"),
        (ed25519.Ed25519PrivateKey.generate(), "ed25519"), (rsa.generate_private_key(65537, 2048), "ps256"),
    ],
)
def test_own_certificates_of_every_kind(tmp_path: Path, key: object, algorithm: str) -> None:
    settings = Authority().files(tmp_path, key)
    keys = ready_keys(settings)
    assert keys.signing.alg == algorithm
    # The app's own certificate stays known: what it signed before is still ours.
    assert InstallKeys.open(settings.keys_dir).signers <= keys.signers and len(keys.signers) == 2
    assert InstallKeys.open(settings.keys_dir).signers == keys.signers


def test_a_key_in_the_older_form(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    settings = Authority().files(tmp_path, key)
    assert settings.sign_key
    settings.sign_key.write_bytes(pem_of(key, older=True))
    assert b"BEGIN PRIVATE KEY" in ready_keys(settings).signing.private_key


def test_own_certificates_that_cannot_sign(tmp_path: Path) -> None:
    key, other = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    authority = Authority()
    good = authority.files(tmp_path, key)
    assert good.sign_cert and good.sign_key
    cases = [
        (replace(good, sign_key=None), "WAN_APP_SIGN_KEY: got nothing"),
        (replace(good, sign_cert=None), "WAN_APP_SIGN_CERT: got nothing"),
        (replace(good, sign_cert=tmp_path / "none"), "WAN_APP_SIGN_CERT: .*no PEM"),
        (replace(good, sign_key=good.sign_cert), "WAN_APP_SIGN_KEY: .*not a key"),
        (replace(good, sign_key=_file(tmp_path, pem_of(other))), "WAN_APP_SIGN_KEY: .*another certificate"),
        (replace(good, sign_key=_file(tmp_path, pem_of(key, password=b"x"))), "without a password"),
        (authority.files(tmp_path, key, ends=timedelta(days=-1)), "valid until .* valid today"),
        (authority.files(tmp_path, key, usage=ExtendedKeyUsageOID.SERVER_AUTH), "needed a certificate for signing"),
        (authority.files(tmp_path, key, chain=False), "not a whole chain"),
        (authority.files(tmp_path, ec.generate_private_key(ec.SECP256K1())), "secp256k1"),
    ]
    secret = pem_of(key).split(b"\n")[1].decode()
    for settings, said in cases:
        with pytest.raises(InvalidRequest, match=said) as caught:
            ready_keys(settings)
        assert secret not in str(caught.value)


def _file(folder: Path, data: bytes) -> Path:
    file = folder / f"{len(list(folder.iterdir()))}.pem"
    file.write_bytes(data)
    return file
