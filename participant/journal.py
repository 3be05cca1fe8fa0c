"""What a participant must not forget: which update it signed for a round, the receipt, what became of it.

Responsible for: durable files under the state folder; an update is on disk before it is sent, so a restarted
                 participant sends the same one again and never signs a second for the same round.
Must not know:   what is in an update, the network, the chain.

    STATE/<federation>/rounds/<r>/update.cbor    payload and sealed bytes, before the first attempt to send
    STATE/<federation>/rounds/<r>/receipt.cbor   the enclave's receipt, before the round goes on
    STATE/<federation>/rounds/<r>/proposed.cbor  what was found of the proposed result, after it was said
    STATE/<federation>/rounds/<r>.cbor           the coordinator's evidence, where its result breaks the promise: in
                                                 STATE/<federation> `veriflock dispute --artifacts` finds it
    STATE/<federation>/rounds/<r>/closed.cbor    how the round ended, after it was checked
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from protocol.encoding import Fields, decode_map, encode
from protocol.errors import EncodingError, PolicyError, UnavailableError
from protocol.evidence import RoundEvidence
from protocol.keys import SIGNATURE_BYTES, address
from protocol.messages import Receipt

MAX_FILE_BYTES = 1 << 30
"""An update of the largest model with its sealed copy is 256 MiB."""

OWNER_ONLY = 0o600


@dataclass(frozen=True, slots=True, kw_only=True)
class SentUpdate:
    """An update that may have been sent."""

    payload: bytes
    """The signed payload (`protocol.sealing.encode_payload`), as it is sealed."""

    sealed: bytes
    """The ciphertext; the same bytes at every attempt."""

    signed: bytes
    """The participant's own signed payload; differs from `payload` for attackers only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredReceipt:
    """A receipt whose signature was verified."""

    receipt: Receipt
    signature: bytes
    """The enclave's; 65 bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What the owner was told of a proposed result."""

    result: bytes
    """hashStruct of the RoundResult; what was found of another one says nothing about this one."""

    is_complete: bool
    """Whether the set leaf was seen too, so that there is nothing left to look for."""


class Journal:
    """The rounds of one identity in one federation."""

    def __init__(self, state: Path, federation: bytes) -> None:
        self.artifacts = state / federation.hex()[:32]
        """Folder of the evidence that was kept, as a verifier reads it."""
        self._rounds = self.artifacts / "rounds"

    def update(self, round_id: int) -> SentUpdate | None:
        """The update of a round, if one was made."""
        data = _read(self._path(round_id, "update"))
        if data is None:
            return None
        fields = Fields(decode_map(data, max_bytes=MAX_FILE_BYTES), "update in the journal")
        sent = SentUpdate(payload=fields.bytes("payload"), sealed=fields.bytes("sealed"), signed=fields.bytes("signed"))
        fields.done()
        return sent

    def record_update(self, round_id: int, sent: SentUpdate) -> None:
        """Raises PolicyError when the round has another update already: one round, one signature."""
        existing = self.update(round_id)
        if existing is not None and existing != sent:
            raise PolicyError(f"a second update for round {round_id}", expected="the one in the journal")
        _write(
            self._path(round_id, "update"),
            encode({"payload": sent.payload, "sealed": sent.sealed, "signed": sent.signed}),
        )
        # If the process dies here, nobody has seen the update; the next start finds it and sends exactly this one.

    def receipt(self, round_id: int) -> StoredReceipt | None:
        """The receipt of a round, if one came."""
        data = _read(self._path(round_id, "receipt"))
        if data is None:
            return None
        fields = Fields(decode_map(data, max_bytes=MAX_FILE_BYTES), "receipt in the journal")
        stored = StoredReceipt(
            receipt=Receipt.from_map(fields.map("receipt")), signature=fields.bytes("signature", SIGNATURE_BYTES)
        )
        fields.done()
        return stored

    def record_receipt(self, round_id: int, stored: StoredReceipt) -> None:
        """Keeps a receipt whose signature the caller has verified."""
        _write(
            self._path(round_id, "receipt"),
            encode({"receipt": stored.receipt.to_map(), "signature": stored.signature}),
        )
        # If the process dies here, the enclave's promise is kept, and is checked against the result at the next start.

    def receipt_path(self, round_id: int) -> Path:
        """Where the receipt of a round is, for whoever holds it against a result."""
        return self._path(round_id, "receipt")

    def look(self, round_id: int) -> Look | None:
        """What was found of the round's proposed result, if it was looked at."""
        data = _read(self._path(round_id, "proposed"))
        if data is None:
            return None
        fields = Fields(decode_map(data, max_bytes=MAX_FILE_BYTES), "look in the journal")
        look = Look(result=fields.bytes("result", 32), is_complete=fields.bool("complete"))
        fields.done()
        return look

    def record_look(self, round_id: int, look: Look) -> None:
        """Keeps what the owner was told of a proposed result."""
        _write(self._path(round_id, "proposed"), encode({"result": look.result, "complete": look.is_complete}))
        # If the process dies here, nothing is said twice; before, the result is looked at and reported once more.

    def record_evidence(self, round_id: int, evidence: RoundEvidence) -> None:
        """Keeps what the coordinator showed of a round: it may show nothing to whoever refutes the result."""
        _write(self._rounds / f"{round_id}.cbor", evidence.encode())
        # If the process dies here, it is asked for and written once more.

    def is_closed(self, round_id: int) -> bool:
        """Whether the end of the round was seen and checked."""
        return self._path(round_id, "closed").exists()

    def record_closed(self, round_id: int, line: str) -> None:
        """Keeps what was found at the end of the round."""
        _write(self._path(round_id, "closed"), encode({"line": line}))
        # If the process dies here, the round is done; before, it is checked and reported once more.

    def open_rounds(self) -> list[int]:
        """Rounds with an update of ours whose end was not seen yet, ascending."""
        if not self._rounds.is_dir():
            return []
        rounds = sorted(int(path.name) for path in self._rounds.iterdir() if path.name.isdecimal())
        return [r for r in rounds if not self.is_closed(r) and self._path(r, "update").exists()]

    def first_payload(self, before: int) -> bytes | None:
        """The payload of the first round before this one, for the replay attack."""
        if not self._rounds.is_dir():
            return None
        rounds = sorted(int(path.name) for path in self._rounds.iterdir() if path.name.isdecimal())
        for round_id in rounds:
            sent = self.update(round_id) if round_id < before else None
            if sent is not None:
                return sent.signed
        return None

    def _path(self, round_id: int, name: str) -> Path:
        return self._rounds / str(round_id) / f"{name}.cbor"


def new_key_file(path: Path, key: bytes) -> None:
    """A new file with a private key, 0x and 64 digits, for its owner only.  Never replaces a file."""
    address(key)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY)
    except FileExistsError as error:
        raise UnavailableError(f"key file {path} exists", "choose another path; a key is never replaced") from error
    with os.fdopen(handle, "wb") as file:
        file.write(b"0x" + key.hex().encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def read_key_file(path: Path) -> bytes:
    """The private key in a file that only its owner can read.

    Raises: UnavailableError when it is not there, PolicyError when others can read it, EncodingError.
    """
    try:
        text, mode = path.read_text(encoding="ascii", errors="replace"), path.stat().st_mode & 0o777
    except FileNotFoundError as error:
        raise UnavailableError(f"key file {path} is not there", "make one: veriflock participant keygen") from error
    if mode & 0o077:
        raise PolicyError(f"mode of key file {path}", expected="0o600 (chmod 600)", actual=oct(mode))
    digits = text.strip().removeprefix("0x")
    try:
        key = bytes.fromhex(digits)
    except ValueError:
        key = b""
    if len(key) != 32:  # the error shows no content: it may be most of a key
        raise EncodingError(f"key file {path}", expected="0x and 64 hexadecimal digits")
    address(key)
    return key


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _write(path: Path, data: bytes) -> None:
    """All or nothing and durable: a temporary file, synced, renamed, and the folder synced."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".new")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, OWNER_ONLY)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    for folder in (path.parent, path.parent.parent):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
