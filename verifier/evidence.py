"""Where a round's artifacts come from: a folder, or a coordinator's address.

Responsible for: bytes by name, never more of them than asked for, each blob compared with its SHA-256.
Must not know:   what the bytes mean.

A source that has nothing, or nothing in time, raises UnavailableError; one that has other bytes than their name says,
VerificationError.
"""

from __future__ import annotations

import ssl
import time
from pathlib import Path
from typing import Protocol

import httpx

from protocol.errors import CommitmentMismatchError, LengthError, UnavailableError
from protocol.hashing import sha256

TIMEOUT_S = 60.0
"""For one whole artifact, however slowly the bytes come."""

MAX_EVIDENCE_BYTES = 1 << 20
"""256 slots need less than 64 KiB."""


class ArtifactSource(Protocol):
    """See the head of this module."""

    def describe(self) -> str:
        """For people: what this source is."""
        ...

    def evidence(self, round_id: int) -> bytes:
        """The CBOR of a round's RoundEvidence."""
        ...

    def blob(self, digest: bytes, size: int) -> bytes:
        """The `size` bytes whose SHA-256 is `digest`."""
        ...


class FolderArtifacts:
    """artifacts/blobs/<sha256> and artifacts/rounds/<round>.cbor."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def describe(self) -> str:
        """For people: what this source is."""
        return f"folder {self._folder}"

    def evidence(self, round_id: int) -> bytes:
        """The CBOR of a round's RoundEvidence."""
        return _read(self._folder / "rounds" / f"{round_id}.cbor", MAX_EVIDENCE_BYTES)

    def blob(self, digest: bytes, size: int) -> bytes:
        """The `size` bytes whose SHA-256 is `digest`."""
        return _checked(_read(self._folder / "blobs" / digest.hex(), size, exactly=True), digest, size)


class CoordinatorArtifacts:
    """GET /v1/rounds/{r}/evidence and /v1/blobs/{sha256} of a coordinator, over TLS."""

    def __init__(self, url: str, ca: Path | None, *, transport: httpx.BaseTransport | None = None) -> None:
        self._url = url.rstrip("/")
        try:
            context = ssl.create_default_context(cafile=str(ca) if ca else None)
        except (OSError, ssl.SSLError) as error:
            raise UnavailableError(
                f"can't read the CA file {ca} ({error})", "give the coordinator's with --ca"
            ) from error
        self._client = httpx.Client(timeout=TIMEOUT_S, verify=context, transport=transport, trust_env=False)

    def describe(self) -> str:
        """For people: what this source is."""
        return f"coordinator at {self._url}"

    def evidence(self, round_id: int) -> bytes:
        """The CBOR of a round's RoundEvidence."""
        return self._get(f"/v1/rounds/{round_id}/evidence", MAX_EVIDENCE_BYTES)

    def blob(self, digest: bytes, size: int) -> bytes:
        """The `size` bytes whose SHA-256 is `digest`."""
        return _checked(self._get(f"/v1/blobs/{digest.hex()}", size), digest, size)

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()

    def _get(self, path: str, limit: int) -> bytes:
        deadline = time.monotonic() + TIMEOUT_S
        body = bytearray()
        try:
            with self._client.stream("GET", self._url + path) as response:
                if response.status_code != 200:
                    raise UnavailableError(f"{self._url}{path} answers {response.status_code}", "is the round settled?")
                for piece in response.iter_bytes():
                    body += piece
                    if len(body) > limit:
                        raise LengthError(f"length of {path}", expected=f"at most {limit}", actual=len(body))
                    if time.monotonic() > deadline:
                        raise UnavailableError(f"{self._url}{path} does not end in {TIMEOUT_S:.0f} s")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            why = f"{self._url}{path} does not answer ({type(error).__name__})"
            raise UnavailableError(why, "check --coordinator and --ca") from error
        return bytes(body)


def read_file(path: Path, limit: int) -> bytes:
    """A file of at most `limit` bytes.  Raises UnavailableError, LengthError."""
    return _read(path, limit)


def _read(path: Path, limit: int, *, exactly: bool = False) -> bytes:
    try:
        size = path.stat().st_size
        if size > limit or (exactly and size != limit):
            raise LengthError(f"length of {path.name}", expected=limit, actual=size)
        return path.read_bytes()
    except OSError as error:
        raise UnavailableError(f"can't read {path} ({error.strerror})", "give the folder that has it") from error


def _checked(body: bytes, digest: bytes, size: int) -> bytes:
    if len(body) != size:
        raise LengthError(f"length of blob {digest.hex()}", expected=size, actual=len(body))
    if sha256(body) != digest:
        raise CommitmentMismatchError("SHA-256 of a blob", check="blob", expected=digest, actual=sha256(body))
    return body
