"""Certificates as an authority would issue them to a user."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from wan_app.settings import Settings


class Authority:
    """One that issues certificates to many."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.root = self._issued("Authority", self.key, None, timedelta(days=99), ca=True)

    def files(
        self, folder: Path, key: Any, *, usage: x509.ObjectIdentifier | None = ExtendedKeyUsageOID.EMAIL_PROTECTION,
        ends: timedelta = timedelta(days=9), chain: bool = True,
    ) -> Settings:
        """Settings whose sign_cert is a new certificate of `key` (with `chain`: and the root), in `folder`."""
        leaf = self._issued("Jo's studio", key, usage, ends, ca=False)
        name = f"own-{leaf.serial_number % 10**8}"
        cert, private = folder / f"{name}.pem", folder / f"{name}.key"
        cert.write_bytes(b"".join(one.public_bytes(Encoding.PEM) for one in (leaf, self.root)[: 1 + chain]))
        private.write_bytes(pem_of(key))
        return Settings(data_dir=folder / "data", sign_cert=cert, sign_key=private)

    def _issued(
        self, name: str, key: Any, usage: x509.ObjectIdentifier | None, ends: timedelta, *, ca: bool
    ) -> x509.Certificate:
        now = datetime.now(timezone.utc)
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Authority")]))
            .public_key(key.public_key()).serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=9)).not_valid_after(now + ends)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(_usage(ca), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
        )  # fmt: skip
        if usage:
            builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        return builder.sign(self.key, hashes.SHA256())


def pem_of(key: Any, *, older: bool = False, password: bytes | None = None) -> bytes:
    """A private key as PEM; `older`: in the form of its kind instead of PKCS#8."""
    form = PrivateFormat.TraditionalOpenSSL if older else PrivateFormat.PKCS8
    return key.private_bytes(Encoding.PEM, form, BestAvailableEncryption(password) if password else NoEncryption())


def _usage(ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca, key_cert_sign=ca, crl_sign=ca, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )
