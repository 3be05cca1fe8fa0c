"""The host's end of the enclave's door: bytes in, bytes out, and nothing else passes.

Responsible for: frames over the platform's socket with a deadline, the enclave's `store` requests in between, and
                 replies as values.
Must not know:   what is sealed, or when a request is due.

Protocol: docs/protocol.md section 9.  One request at a time; the caller holds a lock.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from protocol.encoding import Fields
from protocol.errors import (
    AlreadyReceivedError,
    CommitmentMismatchError,
    EnclaveMismatchError,
    LengthError,
    MalformedError,
    PolicyError,
    RangeError,
    SignatureError,
    SpecMismatchError,
    UnavailableError,
    VeriflockError,
)
from protocol.framing import HEADER_BYTES, encode_frame, parse_body, parse_header
from protocol.keys import SIGNATURE_BYTES, Address
from protocol.messages import MAX_SLOTS, Claims, Receipt, RoundResult, Spec
from protocol.outcomes import Reason

CONNECT_S = 10.0
CHUNK_BYTES = 1 << 20
MAX_TEXT = 1 << 16


class DoorClosedError(UnavailableError):
    """The enclave or the platform is gone, or too slow: this door is no use any more."""


class EnclaveFaultError(UnavailableError):
    """The enclave answered that it can't do what the host asked; the door still works."""


class UpdateRefusedError(Exception):
    """The enclave refused an update.

    reason: as an outcome would carry it.
    cause:  the refusal as an error of the tree, for its branch and its expected and actual.
    """

    def __init__(self, reason: Reason, cause: VeriflockError) -> None:
        super().__init__(str(cause))
        self.reason = reason
        self.cause = cause


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """What an enclave says of itself, and what it needs to go on."""

    enclave: bytes
    signer: Address
    hpke_key: bytes
    quote: bytes
    claims: Claims
    epoch: int
    round_id: int | None
    """The round that it was in when it died, if any."""
    missing: tuple[int, ...]
    """Slots whose sealed updates it must be given again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """A receipt."""

    receipt: Receipt
    signature: bytes
    slot: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """A signed result and what may be published with it."""

    result: RoundResult
    signature: bytes
    outcomes: bytes
    set_leaves: tuple[bytes, ...]
    aggregate: bytes | None
    """int32[d], little-endian; None with too few counted."""
    model: bytes
    """int32[d], little-endian."""


class Door:
    """One connection to one enclave."""

    def __init__(
        self, path: Path, launch: Mapping[str, Any], *, timeout_s: float, store: Callable[[str, bytes], None]
    ) -> None:
        """Connects and asks the platform to launch an enclave.

        store: makes a sealed blob durable; the enclave is answered when it returns.
        Raises: UnavailableError when no platform listens there.
        """
        self._timeout_s = timeout_s
        self._store = store
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.settimeout(CONNECT_S)
            self._socket.connect(str(path))
            self._send(dict(launch), time.monotonic() + CONNECT_S)
        except OSError as error:
            self._socket.close()
            raise UnavailableError(
                f"no platform listens on {path} ({error.strerror or error})",
                "start `veriflock platform serve`, or correct [paths] platform",
            ) from error

    def close(self) -> None:
        """Closes the connection; the enclave sees the end and exits."""
        self._socket.close()

    def start(self, sealed: Mapping[str, bytes]) -> Started:
        """The enclave's keys: born now, or unsealed."""
        fields = self._ask({"op": "start", "sealed": dict(sealed)})
        started = Started(
            enclave=fields.bytes("enclave", 32),
            signer=fields.bytes("signer", 20),
            hpke_key=fields.bytes("hpke_key", max_length=4096),
            quote=fields.bytes("quote", max_length=1 << 16),
            claims=Claims.from_map(fields.map("claims")),
            epoch=fields.uint("epoch"),
            round_id=fields.uint("round") if fields.optional("round") else None,
            missing=tuple(_slot(item) for item in fields.list("missing", MAX_SLOTS)),
        )
        fields.text("phase")
        fields.done()
        return started

    def open(self, spec: Spec, cohort: Sequence[Address], base: bytes) -> None:
        """Opens a round in the enclave; the same round again goes on where it was."""
        fields = self._ask({"op": "open", "spec": spec.to_map(), "cohort": list(cohort), "base": base})
        fields.uint("round")
        fields.done()

    def submit(self, participant: Address, sealed: bytes) -> Admitted:
        """A receipt for a sealed update.  Raises UpdateRefusedError."""
        fields = self._ask({"op": "submit", "participant": participant, "sealed": sealed})
        if fields.optional("refused"):
            raise _refusal(fields)
        admitted = Admitted(
            receipt=Receipt.from_map(fields.map("receipt")),
            signature=fields.bytes("signature", SIGNATURE_BYTES),
            slot=fields.uint("slot", 16),
        )
        fields.done()
        return admitted

    def restore(self, slot: int, sealed: bytes) -> None:
        """Gives a sealed update again after a restart.  Raises EnclaveFaultError when it is not that one."""
        fields = self._ask({"op": "restore", "slot": slot, "sealed": sealed})
        fields.uint("slot", 16)
        fields.done()

    def close_round(self, commitments: Mapping[int, bytes], undelivered: Mapping[int, bytes | None]) -> Closed:
        """The signed result; the same one ever after."""
        fields = self._ask(
            {
                "op": "close",
                "commitments": {str(slot): update for slot, update in commitments.items()},
                "undelivered": {str(slot): sealed for slot, sealed in undelivered.items()},
            }
        )
        closed = Closed(
            result=RoundResult.from_map(fields.map("result")),
            signature=fields.bytes("signature", SIGNATURE_BYTES),
            outcomes=fields.bytes("outcomes", max_length=32 * MAX_SLOTS),
            set_leaves=tuple(_bytes(item) for item in fields.list("set", MAX_SLOTS)),
            aggregate=fields.bytes("aggregate") if fields.optional("aggregate") else None,
            model=fields.bytes("model"),
        )
        fields.done()
        return closed

    def row(self, slot: int) -> bytes | None:
        """int16[d], little-endian, of a slot of the signed round; None where none is counted or rows are not public."""
        fields = self._ask({"op": "row", "slot": slot})
        row = fields.bytes("row") if fields.optional("row") else None
        fields.done()
        return row

    def finish(self, round_id: int) -> None:
        """Lets the enclave forget a round that is final."""
        self._ask({"op": "finish", "round": round_id}).done()

    def _ask(self, request: dict[str, Any]) -> Fields:
        """One request, the enclave's `store` requests in between, one reply."""
        deadline = time.monotonic() + self._timeout_s
        try:
            self._send(request, deadline)
            while True:
                reply = self._receive(deadline)
                if reply.get("op") != "store":
                    break
                fields = Fields(reply, "the enclave's request")
                fields.text("op")
                name, blob = fields.text("name", 100), fields.bytes("blob")
                fields.done()
                self._store(name, blob)
                self._send({"op": "stored", "name": name}, deadline)
        except (OSError, MalformedError) as error:
            self.close()
            raise DoorClosedError(
                f"the enclave did not answer '{request['op']}' ({_why(error)})", "see the platform's log"
            ) from error
        if "error" in reply:
            text = f"{reply.get('error')}: {reply.get('message', '')}"[:MAX_TEXT]
            raise EnclaveFaultError(f"the enclave refused '{request['op']}': {text}", "see the platform's log")
        return Fields(reply, f"the enclave's answer to '{request['op']}'")

    def _send(self, message: dict[str, Any], deadline: float) -> None:
        self._socket.settimeout(_left(deadline))
        self._socket.sendall(encode_frame(message))

    def _receive(self, deadline: float) -> dict[str, Any]:
        return parse_body(self._read(parse_header(self._read(HEADER_BYTES, deadline)), deadline))

    def _read(self, count: int, deadline: float) -> bytes:
        data = bytearray()
        while len(data) < count:
            self._socket.settimeout(_left(deadline))
            part = self._socket.recv(min(count - len(data), CHUNK_BYTES))
            if not part:
                raise ConnectionResetError("the other end closed")
            data += part
        return bytes(data)


def _refusal(fields: Fields) -> UpdateRefusedError:
    """The refusal as an error of the branch that its reason belongs to."""
    what = fields.text("refused", MAX_TEXT)
    code = fields.uint("reason", 8)
    if code not in _REFUSALS:
        raise RangeError("reason of a refusal", expected="a reason of an outcome", actual=code)
    reason = Reason(code)
    fields.text("expected", MAX_TEXT)
    fields.text("actual", MAX_TEXT)
    fields.done()
    return UpdateRefusedError(reason, _REFUSALS[reason](what))  # `what` names expected and actual already


_REFUSALS: dict[Reason, type[VeriflockError]] = {
    Reason.NONE: AlreadyReceivedError,
    Reason.SIGNATURE: SignatureError,
    Reason.SPEC: SpecMismatchError,
    Reason.ENCLAVE: EnclaveMismatchError,
    Reason.LENGTH: LengthError,
    Reason.RANGE: RangeError,
    Reason.NORM: PolicyError,
    Reason.UNDELIVERED: SpecMismatchError,
    Reason.UNOPENED: MalformedError,
    Reason.ROOT: CommitmentMismatchError,
}


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("too slow")
    return left


def _why(error: Exception) -> str:
    return "too slow" if isinstance(error, TimeoutError) else str(error)


def _slot(value: object) -> int:
    if type(value) is not int or not 0 <= value < MAX_SLOTS:
        raise RangeError("a slot in the enclave's answer", expected=f"0 to {MAX_SLOTS - 1}", actual=value)
    return value


def _bytes(value: object) -> bytes:
    if type(value) is not bytes:
        raise RangeError("a value in the enclave's answer", expected="bytes", actual=type(value).__name__)
    return value
