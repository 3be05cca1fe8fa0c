"""Where a round's artifacts come from: a folder, or a coordinator's address.

Responsible for: bytes by name, never more of them than asked for, each blob compared with its SHA-256.
Must not know:   what the bytes mean.

A source that has nothing, or nothing in time, raises UnavailableError; one that has other bytes than their name says,
VerificationError.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import httpx

from protocol.attestation.collateral import MAX_COLLATERAL_BYTES
from protocol.errors import CommitmentMismatchError, LengthError, UnavailableError, VeriflockError
from protocol.hashing import sha256
from verifier.files import read_file
from verifier.http import Answer, Exchanges

TIMEOUT_S = 60.0
"""For one whole artifact, however slowly it drips."""

AT_ONCE = 8
"""Blobs that are fetched at the same time: one that drips does not keep the others."""

MAX_EVIDENCE_BYTES = 1 << 20
"""256 slots need less than 64 KiB."""

MAX_CA_BYTES = 1 << 20


class ArtifactSource(Protocol):
    """See the head of this module."""

    def describe(self) -> str:
        """For people: what this source is."""
        ...

    def evidence(self, round_id: int, *, within_s: float | None = None) -> bytes:
        """The CBOR of a round's RoundEvidence."""
        ...

    def blob(self, digest: bytes, size: int) -> bytes:
        """The `size` bytes whose SHA-256 is `digest`."""
        ...

    def blobs(self, wanted: Sequence[tuple[bytes, int]], *, within_s: float) -> list[bytes | Exception]:
        """As `blob` of each (digest, size), with one deadline for all: the bytes, or what is to be raised for it."""
        ...

    def collateral(self, digest: bytes) -> bytes:
        """The collateral whose SHA-256 is `digest`: a blob of which nobody knows the length before."""
        ...


class FolderArtifacts:
    """artifacts/blobs/<sha256> and artifacts/rounds/<round>.cbor."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def describe(self) -> str:
        """For people: what this source is."""
        return f"folder {self._folder}"

    def evidence(self, round_id: int, *, within_s: float | None = None) -> bytes:
        """The CBOR of a round's RoundEvidence."""
        return read_file(self._folder / "rounds" / f"{round_id}.cbor", MAX_EVIDENCE_BYTES)

    def blob(self, digest: bytes, size: int) -> bytes:
        """The `size` bytes whose SHA-256 is `digest`."""
        return _checked(read_file(self._folder / "blobs" / digest.hex(), size, exactly=True), digest, size)

    def blobs(self, wanted: Sequence[tuple[bytes, int]], *, within_s: float) -> list[bytes | Exception]:
        """One after another: what is here does not drip."""
        found: list[bytes | Exception] = []
        for digest, size in wanted:
            try:
                found.append(self.blob(digest, size))
            except (VeriflockError, UnavailableError, OSError) as error:
                found.append(error)
        return found

    def collateral(self, digest: bytes) -> bytes:
        """The collateral whose SHA-256 is `digest`."""
        return _named(read_file(self._folder / "blobs" / digest.hex(), MAX_COLLATERAL_BYTES), digest)


class CoordinatorArtifacts:
    """GET /v1/rounds/{r}/evidence and /v1/blobs/{sha256} of a coordinator, over TLS."""

    def __init__(
        self,
        url: str,
        ca: Path | None,
        *,
        timeout_s: float = TIMEOUT_S,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._url = url.rstrip("/")
        try:
            pem = None if ca is None else read_file(ca, MAX_CA_BYTES).decode("ascii")
            context = ssl.create_default_context(cadata=pem)
        except (VeriflockError, ValueError, OSError) as error:  # ssl.SSLError is an OSError
            raise UnavailableError(
                f"can't read the CA file {ca} ({error})", "give the coordinator's with --ca"
            ) from error
        self._exchanges = Exchanges(timeout_s=timeout_s, context=context, transport=transport)

    def describe(self) -> str:
        """For people: what this source is."""
        return f"coordinator at {self._url}"

    def evidence(self, round_id: int, *, within_s: float | None = None) -> bytes:
        """The CBOR of a round's RoundEvidence."""
        return self._get(f"/v1/rounds/{round_id}/evidence", MAX_EVIDENCE_BYTES, within_s)

    def blob(self, digest: bytes, size: int) -> bytes:
        """The `size` bytes whose SHA-256 is `digest`."""
        return _checked(self._get(f"/v1/blobs/{digest.hex()}", size), digest, size)

    def blobs(self, wanted: Sequence[tuple[bytes, int]], *, within_s: float) -> list[bytes | Exception]:
        """A few at a time."""
        paths = [f"/v1/blobs/{digest.hex()}" for digest, _ in wanted]
        asked = [(self._url + path, size) for path, (_, size) in zip(paths, wanted, strict=True)]
        answers = self._exchanges.get_all(asked, at_once=AT_ONCE, within_s=within_s)
        found: list[bytes | Exception] = []
        for path, answer, (digest, size) in zip(paths, answers, wanted, strict=True):
            try:
                found.append(_checked(self._body(path, answer), digest, size))
            except (VeriflockError, UnavailableError) as error:
                found.append(error)
        return found

    def collateral(self, digest: bytes) -> bytes:
        """The collateral whose SHA-256 is `digest`."""
        return _named(self._get(f"/v1/blobs/{digest.hex()}", MAX_COLLATERAL_BYTES), digest)

    def close(self) -> None:
        """Closes the connections."""
        self._exchanges.close()

    def _get(self, path: str, limit: int, within_s: float | None = None) -> bytes:
        answer: Answer | Exception
        try:
            answer = self._exchanges.exchange("GET", self._url + path, limit=limit, within_s=within_s)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            answer = error
        return self._body(path, answer)

    def _body(self, path: str, answer: Answer | Exception) -> bytes:
        if isinstance(answer, httpx.HTTPError | httpx.InvalidURL | TimeoutError):
            why = f"{self._url}{path} does not answer ({type(answer).__name__})"
            raise UnavailableError(why, "check --coordinator and --ca") from answer
        if isinstance(answer, Exception):
            raise answer
        status, body = answer
        if status != httpx.codes.OK:
            raise UnavailableError(f"{self._url}{path} answers {status}", "is the round settled?")
        return body


def _checked(body: bytes, digest: bytes, size: int) -> bytes:
    if len(body) != size:
        raise LengthError(f"length of blob {digest.hex()}", expected=size, actual=len(body))
    return _named(body, digest)


def _named(body: bytes, digest: bytes) -> bytes:
    if sha256(body) != digest:
        raise CommitmentMismatchError("SHA-256 of a blob", check="blob", expected=digest, actual=sha256(body))
    return body
