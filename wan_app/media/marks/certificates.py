"""Certificates for Content Credentials: a chain of this install's own, or the user's.

What C2PA asks of a leaf: not a CA, key usage digitalSignature, an extended key usage for signing
(emailProtection and documentSigning are), an authority key identifier. Source: C2PA 2.2, 14.5.1.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wan_app.errors import InvalidRequest
from wan_app.media.storage import shown

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

# Without a time-stamp authority a signature counts only as long as its certificate: longer than a file is asked about.
VALID_FOR = timedelta(days=30 * 365)
_CERT, _KEY = "WAN_APP_SIGN_CERT", "WAN_APP_SIGN_KEY"


@dataclass(frozen=True, kw_only=True)
class Signing:
    """What signs: `alg` in C2PA's words, `chain` PEM with the leaf first, `private_key` PKCS#8 PEM of the leaf."""

    alg: str
    chain: bytes
    private_key: bytes = field(repr=False)

    @property
    def serial(self) -> str:
        """Serial number of the leaf, decimal, as readers print it."""
        from cryptography import x509

        return str(x509.load_pem_x509_certificates(self.chain)[0].serial_number)


def make_signing() -> Signing:
    """A new P-256 leaf under a new root. The root's private key is thrown away: it can issue no other."""
    from cryptography.hazmat.primitives.asymmetric import ec

    root_key, leaf_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    # A random name: neither the machine's nor the user's belongs into every file.
    install = f"Wan App install {secrets.token_hex(4)}"
    root = _issued(f"{install} root", root_key, f"{install} root", root_key, is_root=True)
    leaf = _issued(install, leaf_key, f"{install} root", root_key, is_root=False)
    return Signing(alg="es256", chain=_pem(leaf) + _pem(root), private_key=_pkcs8(leaf_key))


def read_signing(certificate: Path | None, private_key: Path | None) -> Signing:
    """The user's own certificate (its chain, leaf first) and key, from PEM files.

    Raises:
        InvalidRequest: naming the setting that is wrong; what it says holds nothing of the key.
    """
    if certificate is None or private_key is None:
        missing, there = (_CERT, _KEY) if certificate is None else (_KEY, _CERT)
        raise InvalidRequest(missing, "nothing", f"a PEM file, since {there} is set")
    chain, leaf = _own_chain(certificate)
    key = _own_key(private_key)
    if key.public_key() != leaf.public_key():
        raise InvalidRequest(_KEY, f"{shown(private_key)}, the key of another certificate", f"the key of {_CERT}")
    return Signing(alg=_algorithm(key, private_key), chain=chain, private_key=_pkcs8(key))


def _own_chain(file: Path) -> tuple[bytes, x509.Certificate]:
    """The chain as PEM, and its leaf."""
    from cryptography import x509

    needed = "PEM of a certificate that may sign, then of the authorities that issued it"
    try:
        certificates = x509.load_pem_x509_certificates(file.read_bytes())
    except (OSError, ValueError):
        raise InvalidRequest(_CERT, f"{shown(file)} (no PEM that can be read)", needed) from None
    leaf = certificates[0]
    if len(certificates) < 2 or leaf.issuer != certificates[1].subject:
        raise InvalidRequest(_CERT, f"{shown(file)} (not a whole chain, the leaf first)", needed)
    now = datetime.now(timezone.utc)
    if not leaf.not_valid_before_utc <= now <= leaf.not_valid_after_utc:
        until = leaf.not_valid_after_utc.date().isoformat()
        raise InvalidRequest(_CERT, f"{shown(file)} (valid until {until})", "a certificate that is valid today")
    return b"".join(map(_pem, certificates)), leaf


def _own_key(file: Path) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        return load_pem_private_key(file.read_bytes(), password=None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm):
        needed = "PEM of a private key without a password"
        raise InvalidRequest(_KEY, f"{shown(file)} (not a key that can be read)", needed) from None


def _algorithm(key: Any, file: Path) -> str:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "ed25519"
    if isinstance(key, rsa.RSAPrivateKey):
        return "ps256"
    curve = key.curve.name if isinstance(key, ec.EllipticCurvePrivateKey) else type(key).__name__
    named = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}
    if curve not in named:
        raise InvalidRequest(_KEY, f"{shown(file)} ({curve})", "a key on P-256, P-384 or P-521, Ed25519 or RSA")
    return named[curve]


def _issued(
    subject: str, key: ec.EllipticCurvePrivateKey, issuer: str, issuer_key: ec.EllipticCurvePrivateKey, *,
    is_root: bool,
) -> x509.Certificate:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509.oid import ExtendedKeyUsageOID

    now = datetime.now(timezone.utc)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(subject)).issuer_name(_name(issuer)).public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # A day back, for clocks that differ.
        .not_valid_before(now - timedelta(days=1)).not_valid_after(now + VALID_FOR)
        .add_extension(x509.BasicConstraints(ca=is_root, path_length=0 if is_root else None), critical=True)
        .add_extension(_usage(is_root), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )  # fmt: skip
    if not is_root:
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
        builder = builder.add_extension(usage, critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def _usage(is_root: bool) -> x509.KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=not is_root, key_cert_sign=is_root, crl_sign=is_root, content_commitment=False,
        key_encipherment=False, data_encipherment=False, key_agreement=False, encipher_only=False,
        decipher_only=False,
    )


def _name(common: str) -> x509.Name:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    # Readers show the organization as the issuer of the credentials.
    attributes = ((NameOID.COMMON_NAME, common), (NameOID.ORGANIZATION_NAME, common.removesuffix(" root")))
    return x509.Name([x509.NameAttribute(*one) for one in attributes])


def _pem(certificate: x509.Certificate) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return certificate.public_bytes(Encoding.PEM)


def _pkcs8(key: Any) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
