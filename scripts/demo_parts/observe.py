"""What the demo reads of a running federation, beyond what the coordinator's own code asks.

Responsible for: the ledger's events and standings, and the coordinator's HTTP interface as anyone sees it.
Must not know:   what is done with it.
"""

from __future__ import annotations

import ssl
from pathlib import Path

import httpx

from coordinator.ledger import Ledger
from protocol.encoding import Fields, decode_map
from protocol.errors import UnavailableError
from protocol.events import EnclaveRegistered, Event, topic_of
from protocol.evidence import MAX_BYTES, parse_evidence
from protocol.hashing import sha256
from protocol.keys import to_hex
from protocol.messages import Claims

MAX_ENVELOPE_BYTES = 1 << 20
TIMEOUT_S = 10.0


class Site:
    """The coordinator's HTTP interface."""

    def __init__(self, url: str, certificate: Path) -> None:
        context = ssl.create_default_context(cafile=str(certificate))
        self._http = httpx.Client(base_url=url, verify=context, timeout=TIMEOUT_S, trust_env=False)

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()

    def received(self, round_id: int) -> int:
        """Receipts of a round so far; 0 when the coordinator is not in it yet."""
        fields = Fields(decode_map(self._get("/v1/rounds/current"), max_bytes=MAX_ENVELOPE_BYTES), "current round")
        return len(fields.list("received", 256)) if fields.uint("round") == round_id else 0

    def enclave(self) -> tuple[bytes, Claims, bytes] | None:
        """(quote with its chain, claims, HPKE key) of the enclave that runs; None while there is none."""
        try:
            fields = Fields(decode_map(self._get("/v1/enclave"), max_bytes=MAX_ENVELOPE_BYTES), "enclave")
        except UnavailableError:
            return None
        return fields.bytes("quote"), Claims.from_map(fields.map("claims")), fields.bytes("hpke_key")

    def model(self, round_id: int) -> bytes:
        """The model that a settled round ended with."""
        evidence = parse_evidence(self._get(f"/v1/rounds/{round_id}/evidence")[:MAX_BYTES])
        blob = self._get(f"/v1/blobs/{evidence.model.hex()}")
        if sha256(blob) != evidence.model:
            raise UnavailableError("the coordinator sent another blob than was asked for")
        return blob

    def _get(self, path: str) -> bytes:
        try:
            answer = self._http.get(path)
        except httpx.HTTPError as error:
            raise UnavailableError(f"the coordinator does not answer ({error})", "look into its log") from error
        if answer.status_code != httpx.codes.OK:
            raise UnavailableError(f"the coordinator answered {answer.status_code} to {path}", "look into its log")
        return answer.content


def standing(ledger: Ledger, participant: bytes) -> tuple[int, int, int]:
    """(good, bad, credit in wei) of a participant."""
    good, bad, credit = ledger.chain.call("RoundLedger", ledger.address, "standingOf", to_hex(participant))
    return int(good), int(bad), int(credit)


def registered_enclaves(ledger: Ledger) -> list[bytes]:
    """Ids of all enclaves that were registered, in order."""
    logs = ledger.chain.logs(ledger.enclaves, [topic_of(EnclaveRegistered)], ledger.from_block)
    return [log.topics[1] for log in logs]


def transaction_of(ledger: Ledger, kind: type[Event], round_id: int) -> bytes | None:
    """Hash of the transaction of an event of a round, if there is one."""
    logs = ledger.chain.logs(ledger.address, [topic_of(kind), round_id.to_bytes(32)], ledger.from_block)
    return logs[0].transaction if logs else None
