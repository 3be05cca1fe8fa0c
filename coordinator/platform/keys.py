"""What the simulated processor has fused in.

Responsible for: the platform's secrets, in a directory that only its user can read.
Must not know:   sockets, processes, or what the keys are used for.

Layout of the directory (mode 0700): `keys.cbor` (fuse secret, keys, chains), `counters.cbor` (epochs and versions),
`lock` (held while a platform runs), `collateral-*.json`, `staged/` (code of running enclaves); files 0600.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from coordinator.platform.files import write_durable
from coordinator.platform.pki import Pki, create_pki
from protocol.encoding import Fields, decode_map, encode
from protocol.errors import UnavailableError, VeriflockError

FORMAT = 2
"""1 had no TCB signer and no attestation key for TDX: such a platform has no collateral and is founded anew."""
KEYS_FILE = "keys.cbor"
MAX_FILE_BYTES = 1 << 20
MAX_PURPOSE_CHARACTERS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformKeys:
    """Everything secret that a platform has."""

    fuse_secret: bytes
    """Root of all sealing keys; 32 bytes, never leaves the platform."""
    pki: Pki
    attestation_key: ec.EllipticCurvePrivateKey
    """Of the SGX quoting enclave; its report binds the key to the PCK."""
    td_attestation_key: ec.EllipticCurvePrivateKey
    """Of the quoting enclave for TDX."""

    def sealing_key(self, measurement: bytes, purpose: str) -> bytes:
        """32 bytes that only an enclave with that measurement gets, on this platform.

        HKDF-SHA256 without salt, info = "seal" || measurement (32) || purpose (UTF-8).
        """
        info = b"seal" + measurement + purpose.encode()
        return HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=info).derive(self.fuse_secret)


class PlatformDirectory:
    """The platform's directory, held by one process at a time: two would count twice."""

    def __init__(self, path: Path) -> None:
        """Raises UnavailableError when another platform holds it, OSError when it can't be made or read."""
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(0o700)
        self.path = path
        self._lock: IO[bytes] = os.fdopen(os.open(path / "lock", os.O_RDWR | os.O_CREAT, 0o600), "rb")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._lock.close()
            raise UnavailableError(
                f"directory {path} is in use by another platform", "stop it, or use another"
            ) from error

    def close(self) -> None:
        """Lets go of the directory."""
        self._lock.close()

    @property
    def staged(self) -> Path:
        """Where the code of running enclaves is."""
        return self.path / "staged"

    def keys(self, now_s: int) -> PlatformKeys:
        """The platform's keys, made and stored at the first call.

        now_s: start of the certificates' validity where they are made; seconds since 1970.
        Raises: UnavailableError (the file is damaged), OSError.
        """
        keys = read_keys(self.path)
        if keys is None:
            keys = PlatformKeys(
                fuse_secret=secrets.token_bytes(32),
                pki=create_pki(now_s),
                attestation_key=ec.generate_private_key(ec.SECP256R1()),
                td_attestation_key=ec.generate_private_key(ec.SECP256R1()),
            )
            # If we die here: no file and nobody has seen the keys, or all of them are there for good.
            write_durable(self.path / KEYS_FILE, encode_keys(keys))
        return keys


def read_keys(directory: Path) -> PlatformKeys | None:
    """The keys of a platform, None where there are none yet.  Raises UnavailableError (damaged), OSError."""
    path = directory / KEYS_FILE
    return parse_keys(_read(path), path) if path.exists() else None


def encode_keys(keys: PlatformKeys) -> bytes:
    """The content of `keys.cbor`."""
    return encode(
        {
            "format": FORMAT,
            "fuse_secret": keys.fuse_secret,
            "root_key": _der(keys.pki.root_key),
            "authority_key": _der(keys.pki.authority_key),
            "leaf_key": _der(keys.pki.leaf_key),
            "tcb_key": _der(keys.pki.tcb_key),
            "attestation_key": _der(keys.attestation_key),
            "td_attestation_key": _der(keys.td_attestation_key),
            "chain": keys.pki.chain,
            "tcb_chain": keys.pki.tcb_chain,
        }
    )


def parse_keys(data: bytes, path: Path) -> PlatformKeys:
    """The keys in the content of `keys.cbor`; `path` is for the message.  Raises UnavailableError."""
    try:
        fields = Fields(decode_map(data, max_bytes=MAX_FILE_BYTES), "keys")
        version = fields.uint("format")
        if version != FORMAT:
            raise UnavailableError(
                f"{path} has format {version}, this platform knows {FORMAT}",
                "start a new platform in another directory",
            )
        keys = PlatformKeys(
            fuse_secret=fields.bytes("fuse_secret", 32),
            pki=Pki(
                root_key=_key(fields.bytes("root_key")),
                authority_key=_key(fields.bytes("authority_key")),
                leaf_key=_key(fields.bytes("leaf_key")),
                tcb_key=_key(fields.bytes("tcb_key")),
                chain=fields.bytes("chain"),
                tcb_chain=fields.bytes("tcb_chain"),
            ),
            attestation_key=_key(fields.bytes("attestation_key")),
            td_attestation_key=_key(fields.bytes("td_attestation_key")),
        )
        fields.done()
    except (VeriflockError, ValueError) as error:
        raise _damaged(path, error) from error
    return keys


def _der(key: ec.EllipticCurvePrivateKey) -> bytes:
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.DER, form, serialization.NoEncryption())


def _key(der: bytes) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_der_private_key(der, None)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ValueError("a key that is not on P-256")
    return key


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_FILE_BYTES + 1)


def _damaged(path: Path, error: Exception) -> UnavailableError:
    return UnavailableError(f"{path} is damaged ({error})", "restore it, or start a new platform in another directory")
