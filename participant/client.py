"""The coordinator's HTTP interface, from outside.

Responsible for: requests over TLS with a pinned CA, a limit on time, size and tries of each.
Must not know:   what is in a message beyond its envelope; whether what the coordinator says is true.
"""

from __future__ import annotations

import asyncio
import ipaddress
import math
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from participant.stop import Stop
from protocol.encoding import Fields, decode_map
from protocol.errors import CommitmentMismatchError, LengthError, PolicyError, UnavailableError
from protocol.evidence import MAX_BYTES as MAX_EVIDENCE_BYTES
from protocol.evidence import RoundEvidence, parse_evidence
from protocol.hashing import sha256
from protocol.keys import SIGNATURE_BYTES, Address
from protocol.messages import Claims, Receipt

CONNECT_S, ANSWER_S = 5.0, 60.0
"""Seconds to connect, and for one whole exchange, however slowly the bytes come: admission of a large update takes a
while, but a coordinator that sends a byte a minute must not keep a participant from the ledger."""

TRIES = 5
PAUSE_S = 0.5
"""Doubled after every failed try: five tries last about 8 seconds."""

MAX_ENVELOPE_BYTES = 1 << 21
"""The largest envelope is the charter's: 65,536 constants of each kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """The coordinator's or the enclave's "no" to an update; unsigned, so it proves nothing."""

    message: str
    reason: int
    """`protocol.outcomes.Reason`, 0 where none applies."""


class Coordinator:
    """One coordinator.  Every call ends: in an answer, an error of ours, or UnavailableError after TRIES."""

    def __init__(self, url: str, *, ca: Path | None = None, stop: Stop | None = None) -> None:
        """ca: PEM of the only authority to accept; None: those of the system.  stop: ends waiting between tries.

        Raises: PolicyError for plain HTTP to another machine.
        """
        parts = urlsplit(url)
        if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(parts.hostname)):
            raise PolicyError("coordinator", expected="an https:// address", actual=url)
        self._url = url.rstrip("/")
        self._stop: Stop = stop or threading.Event()
        self._context = _context(ca)
        self._use_proxy = not _is_loopback(parts.hostname)  # none between processes of one machine
        self._end_s = math.inf

    def end_within(self, seconds: float) -> None:
        """From now on no call goes on longer than so many seconds from now: something else is due then."""
        self._end_s = time.monotonic() + seconds

    def charter(self) -> bytes:
        """federation.json as the coordinator has it; compare its hash with the consortium's."""
        fields = Fields(decode_map(self._get("/v1/federation", MAX_ENVELOPE_BYTES), max_bytes=MAX_ENVELOPE_BYTES), "")
        return fields.bytes("charter")

    def enclave(self) -> tuple[bytes, Claims, bytes]:
        """(quote with its chain, claims, HPKE key) of the enclave that the coordinator shows; nothing is checked."""
        data = self._get("/v1/enclave", MAX_ENVELOPE_BYTES)
        fields = Fields(decode_map(data, max_bytes=MAX_ENVELOPE_BYTES), "enclave")
        return fields.bytes("quote"), Claims.from_map(fields.map("claims")), fields.bytes("hpke_key")

    def base_blob(self) -> bytes:
        """SHA-256 of the current round's base model; the bytes are checked against the spec's root."""
        data = self._get("/v1/rounds/current", MAX_ENVELOPE_BYTES)
        return Fields(decode_map(data, max_bytes=MAX_ENVELOPE_BYTES), "").bytes("base", 32)

    def evidence(self, round_id: int) -> RoundEvidence:
        """What the coordinator published of a round."""
        return parse_evidence(self._get(f"/v1/rounds/{round_id}/evidence", MAX_EVIDENCE_BYTES))

    def blob(self, digest: bytes, max_bytes: int) -> bytes:
        """The bytes with that SHA-256.  Raises CommitmentMismatchError when others come."""
        data = self._get(f"/v1/blobs/{digest.hex()}", max_bytes)
        if sha256(data) != digest:
            raise CommitmentMismatchError("SHA-256 of a blob", expected=digest, actual=sha256(data))
        return data

    def submit(self, round_id: int, participant: Address, sealed: bytes) -> tuple[Receipt, bytes] | Refusal:
        """Send a sealed update: the enclave's receipt (not verified here) with its signature, or a refusal."""
        path = f"/v1/rounds/{round_id}/updates/{participant.hex()}"
        status, body = self._request("POST", path, MAX_ENVELOPE_BYTES, sealed)
        fields = Fields(decode_map(body, max_bytes=MAX_ENVELOPE_BYTES), "answer to an update")
        if status != httpx.codes.OK:
            reason = fields.uint("reason", 8) if fields.optional("reason") else 0
            return Refusal(message=fields.text("message"), reason=reason)
        return Receipt.from_map(fields.map("receipt")), fields.bytes("signature", SIGNATURE_BYTES)

    def _get(self, path: str, max_bytes: int) -> bytes:
        status, body = self._request("GET", path, max_bytes, None)
        if status != httpx.codes.OK:
            raise UnavailableError(f"the coordinator answered {status} to GET {path}", "is it serving this federation?")
        return body

    def _request(self, method: str, path: str, max_bytes: int, content: bytes | None) -> tuple[int, bytes]:
        """Status below 500 and body; tries again where the network or the server failed."""
        failure: object = None
        for attempt in range(TRIES):
            pause_s = min(PAUSE_S * 2 ** (attempt - 1), max(self._end_s - time.monotonic(), 0))
            if attempt and self._stop.wait(pause_s):
                break
            left_s = min(ANSWER_S, self._end_s - time.monotonic())
            if left_s <= 0:
                failure = failure or "no time left for it"
                break
            try:
                status, body = asyncio.run(self._exchange(method, path, max_bytes, content, left_s))
            except (httpx.HTTPError, TimeoutError) as error:
                failure = f"{type(error).__name__} {error}".strip()
                continue
            if status < httpx.codes.INTERNAL_SERVER_ERROR:
                return status, body
            failure = f"status {status}"
        raise UnavailableError(f"the coordinator at {self._url} does not answer ({failure})", "is it running there?")

    async def _exchange(
        self, method: str, path: str, max_bytes: int, content: bytes | None, limit_s: float
    ) -> tuple[int, bytes]:
        """One request and its answer.  Asynchronous only because nothing else limits the time of the whole."""
        timeout = httpx.Timeout(limit_s, connect=min(CONNECT_S, limit_s))
        headers = {"content-type": "application/octet-stream"} if content is not None else {}
        async with (
            asyncio.timeout(limit_s),
            httpx.AsyncClient(
                base_url=self._url, verify=self._context, timeout=timeout, trust_env=self._use_proxy
            ) as client,
            client.stream(method, path, content=content, headers=headers) as response,
        ):
            return response.status_code, await _read(response, max_bytes)


@contextmanager
def connect(url: str, *, ca: Path | None = None, stop: Stop | None = None) -> Iterator[Coordinator]:
    """A coordinator for as long as the block runs; every exchange has a connection of its own."""
    yield Coordinator(url, ca=ca, stop=stop)


async def _read(response: httpx.Response, max_bytes: int) -> bytes:
    """The body; nothing beyond the limit is ever held."""
    parts, length = [], 0
    async for part in response.aiter_bytes():
        length += len(part)
        if length > max_bytes:
            raise LengthError(
                "length of an answer in bytes", expected=f"at most {max_bytes}", actual=f"{length} so far"
            )
        parts.append(part)
    return b"".join(parts)


def _context(ca: Path | None) -> ssl.SSLContext:
    if ca is None:
        return ssl.create_default_context()
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # checks names, requires a certificate, trusts nobody yet
        context.load_verify_locations(cafile=ca)
    except OSError as error:  # ssl.SSLError is one too
        raise UnavailableError(f"CA file {ca} can't be read ({error})", "give the coordinator's certificate") from error
    return context


def _is_loopback(host: str | None) -> bool:
    if host == "localhost":
        return True
    try:
        return host is not None and ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
