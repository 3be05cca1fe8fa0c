"""The one way out for transactions: each intent is mined at most once, whatever dies in between.

Responsible for: intent durable, then signed and durable, then sent; the same bytes are sent again until mined.
Must not know:   what a transaction is for.

An intent has a name such as `propose/7`.  One transaction is in flight at a time.  It is never signed a second time
with another nonce, except after it was mined and had reverted: then it had no effect, and may be tried again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

from coordinator.chain import Call, Chain, RevertedError, RpcError, TransactionReceipt
from coordinator.log import log_event
from protocol.encoding import Fields
from protocol.errors import UnavailableError
from protocol.keys import address, to_hex

INTENT, SIGNED, MINED, REVERTED = "intent", "signed", "mined", "reverted"
RESEND_S = 2.0
"""How often a transaction that is not mined is sent again: the node may have dropped it."""
POLL_S = 0.05
"""How often its receipt is looked for at first; doubled up to a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One transaction on its way."""

    number: int
    """Order of intents; names the record."""
    name: str
    """The intent, such as `propose/7`."""
    state: str
    """INTENT, SIGNED, MINED or REVERTED."""
    call: Call
    nonce: int
    """Valid from SIGNED on."""
    raw: bytes
    """The signed transaction; empty before."""
    hash: bytes
    """Its hash; empty before."""

    @property
    def record(self) -> str:
        """The record's name in the store."""
        return f"outbox/{self.number:08d}.cbor"


class Records(Protocol):
    """Where the outbox writes: a store, or memory for a command that is typed by a person who sees what came of it."""

    def write_record(self, name: str, value: dict[str, Any]) -> None:
        """Writes or replaces a record, whole or not at all."""

    def read_record(self, name: str) -> dict[str, Any] | None:
        """A record, or None."""

    def record_names(self, folder: str) -> list[str]:
        """Names in a folder, ascending."""

    def delete_record(self, name: str) -> None:
        """Removes a record if it is there."""


class MemoryRecords:
    """Records that end with the process."""

    def __init__(self) -> None:
        self._values: dict[str, dict[str, Any]] = {}

    def write_record(self, name: str, value: dict[str, Any]) -> None:
        """As in Records."""
        self._values[name] = value

    def read_record(self, name: str) -> dict[str, Any] | None:
        """As in Records."""
        return self._values.get(name)

    def record_names(self, folder: str) -> list[str]:
        """As in Records."""
        return sorted(name for name in self._values if name.startswith(f"{folder}/"))

    def delete_record(self, name: str) -> None:
        """As in Records."""
        self._values.pop(name, None)


class Outbox:
    """The transactions of one key.  Safe for several threads; they take turns."""

    def __init__(
        self,
        records: Records,
        chain: Chain,
        key: bytes,
        *,
        timeout_s: float,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.sender = address(key)
        self._key = key
        self._records = records
        self._chain = chain
        self._timeout_s = timeout_s
        self._sleep = sleep
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._entries: dict[str, Entry] = {}
        self._next = 1
        for record in records.record_names("outbox"):
            entry = _parse(record, records)
            self._entries[entry.name] = entry  # ascending numbers: the last attempt of a name wins
            self._next = entry.number + 1

    def resume(self) -> None:
        """Finishes what an earlier process had signed; forgets what it had only meant to.

        An intent without a signature was never sent: whoever wanted it asks again, with what is true now.
        """
        with self._lock:
            for entry in sorted(self._entries.values(), key=lambda entry: entry.number):
                if entry.state == INTENT:
                    self._records.delete_record(entry.record)
                    # If we die here the intent is gone, and nothing of it was ever on the chain.
                    del self._entries[entry.name]
                elif entry.state == SIGNED:
                    self._finish_earlier(entry)

    def send(self, name: str, call: Call) -> TransactionReceipt:
        """Has a transaction mined, once for this name; the receipt of the earlier one if there was one.

        Raises: RevertedError (nothing durable happened, or it was mined and failed), UnavailableError (not mined in
                time, out of money, the chain is away: the next call with this name goes on where this one stopped).
        """
        with self._lock:
            entry = self._entries.get(name)
            if entry is None or entry.state in (INTENT, REVERTED):
                for other in list(self._entries.values()):
                    if other.state == SIGNED:
                        self._finish_earlier(other)
                self._chain.simulate(call, self.sender)
                entry = self._sign(self._intend(name, call))
            return self._finish(entry)

    def _finish_earlier(self, entry: Entry) -> None:
        log_event("transaction_resumed", name=entry.name, hash=entry.hash, nonce=entry.nonce)
        try:
            self._finish(entry)
        except RevertedError as error:  # whoever wanted it asks again and sees why
            log_event("transaction_reverted", name=entry.name, reason=str(error))

    def _intend(self, name: str, call: Call) -> Entry:
        entry = Entry(number=self._next, name=name, state=INTENT, call=call, nonce=0, raw=b"", hash=b"")
        self._next += 1
        self._write(entry)
        # If we die here the intent is known and was never signed: the next start forgets it, its asker asks again.
        return entry

    def _sign(self, entry: Entry) -> Entry:
        nonce = self._chain.nonce(self.sender)
        raw, digest = self._chain.sign(entry.call, self._key, self.sender, nonce)
        entry = replace(entry, state=SIGNED, nonce=nonce, raw=raw, hash=digest)
        self._write(entry)
        # If we die here nothing was sent, and nothing else will be for this intent: the next start sends these bytes.
        return entry

    def _finish(self, entry: Entry) -> TransactionReceipt:
        """Sends until mined.  For a mined one looks again: after a reorganisation it is sent again, the same bytes."""
        receipt = self._chain.receipt(entry.hash) or self._await(entry)
        # If we die here it is mined and our record says signed: the next start finds the receipt by its hash.
        done = replace(entry, state=MINED if receipt.is_success else REVERTED)
        if entry.state != done.state:
            self._write(done)
            # If we die here the intent is done for good.
            log_event(
                "transaction_mined",
                name=entry.name,
                hash=entry.hash,
                nonce=entry.nonce,
                block=receipt.block,
                gas=receipt.gas_used,
                state=done.state,
            )
        if not receipt.is_success:
            raise self._chain.why_reverted(entry.call, self.sender, receipt)
        return receipt

    def _await(self, entry: Entry) -> TransactionReceipt:
        deadline = self._monotonic() + self._timeout_s
        send_at, pause = self._monotonic(), POLL_S
        while self._monotonic() < deadline:
            if self._monotonic() >= send_at:
                self._send(entry)
                send_at = self._monotonic() + RESEND_S
            receipt = self._chain.receipt(entry.hash)
            if receipt is not None:
                return receipt
            self._sleep(pause)
            pause = min(2 * pause, 1.0)
        raise UnavailableError(
            f"transaction {entry.name} (0x{entry.hash.hex()}) was not mined in {self._timeout_s:g} s",
            "start the command again: the same transaction is waited for",
        )

    def _send(self, entry: Entry) -> None:
        try:
            self._chain.send_raw(entry.raw)
        except RpcError as error:
            text = error.message.lower()
            if "insufficient funds" in text:
                raise
            # "already known" and, once mined, "nonce too low" are what sending the same bytes again gets.
            if "nonce" in text and self._is_nonce_taken(entry):
                raise UnavailableError(
                    f"nonce {entry.nonce} of {to_hex(self.sender)} was used by another transaction than {entry.name}",
                    f"let nothing else use this key; if {entry.name} is really not on the chain, remove {entry.record}",
                ) from error

    def _is_nonce_taken(self, entry: Entry) -> bool:
        mined = self._chain.nonce(self.sender, tag="latest") > entry.nonce
        return mined and self._chain.receipt(entry.hash) is None

    def _write(self, entry: Entry) -> None:
        call = entry.call
        self._records.write_record(
            entry.record,
            {
                "number": entry.number,
                "name": entry.name,
                "state": entry.state,
                "what": call.what,
                "to": call.to,
                "data": call.data,
                "value": call.value.to_bytes(32),
                "nonce": entry.nonce,
                "raw": entry.raw,
                "hash": entry.hash,
            },
        )
        self._entries[entry.name] = entry


def _parse(record: str, records: Records) -> Entry:
    fields = Fields(records.read_record(record), record)
    entry = Entry(
        number=fields.uint("number"),
        name=fields.text("name"),
        state=fields.text("state"),
        call=Call(
            what=fields.text("what"),
            to=fields.bytes("to", 20) if fields.optional("to") else None,
            data=fields.bytes("data"),
            value=int.from_bytes(fields.bytes("value", 32)),
        ),
        nonce=fields.uint("nonce"),
        raw=fields.bytes("raw"),
        hash=fields.bytes("hash"),
    )
    fields.done()
    return entry
