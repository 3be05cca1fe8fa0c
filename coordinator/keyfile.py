"""The file that holds an identity key, and the self-signed certificate of a coordinator.

Responsible for: making both, and refusing a key that others may read.
Must not know:   what the key signs.
"""

from __future__ import annotations

import ipaddress
import os
import secrets
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from protocol.errors import EncodingError, PolicyError, UnavailableError, VeriflockError
from protocol.keys import address

CERTIFICATE_DAYS = 397
"""The most that TLS clients accept of a leaf certificate (CA/Browser Forum, 2020)."""

_FORM = "0x and 64 hexadecimal digits"


def new_key() -> bytes:
    """32 random bytes that are a secp256k1 private key."""
    while True:
        key = secrets.token_bytes(32)
        try:
            address(key)
        except VeriflockError:  # zero or past the order: one in 2^128
            continue
        return key


def write_key(path: Path, key: bytes) -> None:
    """Writes a new key file, readable by its owner only.  Raises UnavailableError when there is a file already."""
    write_private(path, f"0x{key.hex()}\n".encode())


def read_key(path: Path) -> bytes:
    """The 32 bytes of a key file.

    Raises: UnavailableError (no such file), PolicyError (others may read it), EncodingError (not 64 hex digits).
    """
    try:
        mode = path.stat().st_mode & 0o777
        text = path.read_text(encoding="ascii").strip()
    except OSError as error:
        hint = "`veriflock coordinator init` makes one; `veriflock consortium key FILE` makes a member's"
        raise UnavailableError(f"no key file {path} ({error.strerror})", hint) from error
    except UnicodeDecodeError as error:
        raise EncodingError(f"key file {path}", expected=_FORM, actual="other bytes") from error
    if mode & 0o077:
        raise PolicyError(f"mode of key file {path}", expected="0o600 (chmod 600)", actual=oct(mode))
    digits = text.removeprefix("0x")
    try:
        key = bytes.fromhex(digits)
    except ValueError:
        key = b""
    if len(key) != 32 or len(digits) != 64:  # the text is never shown: it may be most of a key
        raise EncodingError(f"key file {path}", expected=_FORM, actual=f"{len(text)} characters")
    address(key)
    return key


def write_private(path: Path, data: bytes) -> None:
    """Creates a file of mode 0600 with these bytes, durable when it returns; never replaces one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise UnavailableError(f"{path} exists already", "remove it yourself if you mean to lose it") from error
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def make_certificate(names: list[str], now: datetime) -> tuple[bytes, bytes]:
    """A self-signed TLS certificate for host names and IP addresses.

    names:   "localhost", "127.0.0.1", ...
    now:     start of its validity; it ends after CERTIFICATE_DAYS.
    returns: (certificate, private key), both PEM; P-256.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "veriflock coordinator")])
    start = now - timedelta(minutes=5)  # a participant's clock may be a little behind
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=CERTIFICATE_DAYS))
        .add_extension(x509.SubjectAlternativeName([_general_name(host) for host in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM), private


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
