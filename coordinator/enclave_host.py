"""Keeps one enclave alive: launched, fed again after a restart, and one request at a time.

Responsible for: the launch, the enclave's sealed state, and the order of durable writes around an upload.
Must not know:   the chain, deadlines, or who may send.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from coordinator.door import Admitted, Closed, Door, DoorClosedError, EnclaveFaultError, Started, UpdateRefusedError
from coordinator.log import log_event
from coordinator.platform_collateral import ask_collateral
from coordinator.store import Store
from protocol.enclaves import public_collateral
from protocol.encoding import Fields
from protocol.errors import MalformedError, UnavailableError
from protocol.events import RoundOpened
from protocol.keys import SIGNATURE_BYTES, Address
from protocol.messages import Receipt

T = TypeVar("T")

KEYS_BLOB = "keys"
"""The enclave's name for its sealed keys: without it a launch is fresh."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """What the platform is asked to launch an enclave for."""

    charter: bytes
    federation: bytes
    chain_id: int
    ledger: Address
    operator: Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Nonce:
    """A block hash that was recent when the keys were born: the registry checks that the quote is fresh."""

    value: bytes
    block: int


class EnclaveHost:
    """The enclave of this coordinator.  Safe for several threads; they take turns."""

    def __init__(self, store: Store, socket: Path, launch: Launch, *, timeout_s: float) -> None:
        self._store = store
        self._socket = socket
        self._launch = launch
        self._timeout_s = timeout_s
        self._lock = threading.RLock()
        self._door: Door | None = None
        self._round: int | None = None
        self.started: Started | None = None
        """What the running enclave says of itself; None while there is none."""

    def close(self) -> None:
        """Lets the enclave go."""
        with self._lock:
            if self._door is not None:
                self._door.close()
            self._door, self._round, self.started = None, None, None

    def nonce(self) -> Nonce | None:
        """The nonce of the launch in which the keys were born; None before the first."""
        value = self._store.read_record("launch.cbor")
        if value is None:
            return None
        fields = Fields(value, "launch.cbor")
        nonce = Nonce(value=fields.bytes("nonce", 32), block=fields.uint("block"))
        fields.done()
        return nonce

    def publish_collateral(self) -> bytes:
        """Asks the platform for its collateral and makes it a public blob, as TCB rows name it; returns its SHA-256.

        Raises: UnavailableError.
        """
        try:
            collateral = public_collateral(ask_collateral(self._socket))
        except MalformedError as error:
            raise UnavailableError(f"the platform's collateral is none ({error})", "see the platform's log") from error
        digest = self._store.write_blob(collateral)
        # If we die here it can be had by its name, which nobody may ever ask for.
        return digest

    def has_blob(self, digest: bytes) -> bool:
        """Whether these public bytes are here."""
        return self._store.read_blob(digest) is not None

    def has_keys(self) -> bool:
        """Whether there are sealed keys to come back with."""
        return self._store.has_sealed(KEYS_BLOB)

    def launch(self, fresh: Nonce | None) -> Started:
        """A running enclave: the one that runs, the one that died, or (given a nonce for it) a new one.

        Raises: UnavailableError when there is no platform, or the enclave does not start.
        """
        with self._lock:
            if fresh is None and self._door is not None and self.started is not None:
                return self.started
            self.close()
            if fresh is not None:
                self._store.delete_sealed()
                self._store.write_record("launch.cbor", {"nonce": fresh.value, "block": fresh.block})
                # If we die here there are no keys: the next launch is fresh again, with a newer nonce.
            nonce = self.nonce()
            if nonce is None:
                raise UnavailableError("the launch of the enclave has no nonce", "use an empty data folder")
            launch = {
                "charter": self._launch.charter,
                "federation": self._launch.federation,
                "chain_id": self._launch.chain_id,
                "ledger": self._launch.ledger,
                "operator": self._launch.operator,
                "nonce": nonce.value,
                "fresh": fresh is not None,
            }
            self._door = Door(self._socket, launch, timeout_s=self._timeout_s, store=self._store.write_sealed)
            try:
                self.started = self._use(lambda door: door.start(self._store.read_sealed()))
            except EnclaveFaultError:
                self.close()
                raise
            log_event(
                "enclave_started",
                enclave=self.started.enclave,
                signer=self.started.signer,
                epoch=self.started.epoch,
                round=self.started.round_id,
                missing=list(self.started.missing),
                fresh=fresh is not None,
            )
            return self.started

    def is_in(self, round_id: int) -> bool:
        """Whether the running enclave is in this round."""
        return self._round == round_id

    def enter(self, opened: RoundOpened, base: bytes) -> dict[int, Receipt]:
        """Has the enclave in this round, with everything that it had; returns receipts that were not durable here.

        Raises: UnavailableError.
        """
        with self._lock:
            started = self.started
            if started is None:
                raise DoorClosedError("the enclave is not running", "it is started again")
            if self._round == opened.round_id:
                return {}
            self._use(lambda door: door.open(opened.value, opened.cohort, base))
            found: dict[int, Receipt] = {}
            if started.round_id == opened.round_id:
                found = self._feed_again(opened, started.missing)
            self._round = opened.round_id
            return found

    def submit(self, opened: RoundOpened, slot: int, sealed: bytes) -> Admitted:
        """A receipt, after everything that it promises is durable.

        Raises: UpdateRefusedError (and the upload is deleted), UnavailableError (and the sender may try again).
        """
        with self._lock:
            if self._round != opened.round_id:
                raise DoorClosedError("the enclave is not in the round yet", "send the update again")
            known = self._store.uploads(opened.round_id).get(slot, [])
            name = self._store.write_upload(opened.round_id, slot, sealed)
            # If we die here the enclave has not seen it: it does not miss this slot, and the upload is dropped.
            try:
                admitted = self._use(lambda door: door.submit(opened.cohort[slot], sealed))
            except (UpdateRefusedError, EnclaveFaultError):
                self._drop(opened.round_id, name, known)
                raise
            if self.receipt(opened.round_id, slot) is None:
                self._write_receipt(opened.round_id, admitted)
            else:  # the same update in another envelope: one is enough
                self._drop(opened.round_id, name, known)
            return admitted

    def _drop(self, round_id: int, name: str, known: list[str]) -> None:
        """Deletes an upload, unless these very bytes were there before: a receipt may rest on them."""
        if name not in known:
            self._store.delete_upload(round_id, name)

    def receipt(self, round_id: int, slot: int) -> Admitted | None:
        """The receipt of a slot, or None."""
        value = self._store.read_record(_receipt_name(round_id, slot))
        if value is None:
            return None
        fields = Fields(value, "a stored receipt")
        admitted = Admitted(
            receipt=Receipt.from_map(fields.map("receipt")),
            signature=fields.bytes("signature", SIGNATURE_BYTES),
            slot=slot,
        )
        fields.done()
        return admitted

    def close_round(self, commitments: Mapping[int, bytes], undelivered: Mapping[int, bytes | None]) -> Closed:
        """The signed result of the round that the enclave is in."""
        with self._lock:
            return self._use(lambda door: door.close_round(commitments, undelivered))

    def row(self, slot: int) -> bytes | None:
        """The row of a slot of the round that was closed, where it may be published."""
        with self._lock:
            return self._use(lambda door: door.row(slot))

    def finish(self, round_id: int) -> None:
        """Lets enclave and store forget what only an open round needs."""
        with self._lock:
            if self._round == round_id:
                self._use(lambda door: door.finish(round_id))
                self._round = None
            for stored in self._store.upload_rounds():
                if stored <= round_id:
                    self._store.delete_uploads(stored)

    def _feed_again(self, opened: RoundOpened, missing: tuple[int, ...]) -> dict[int, Receipt]:
        found: dict[int, Receipt] = {}
        stored = self._store.uploads(opened.round_id)
        for slot in missing:
            name = next((name for name in stored.get(slot, []) if self._restored(opened, slot, name)), None)
            if name is None:
                log_event("upload_lost", level=logging.ERROR, round=opened.round_id, slot=slot)
            elif self.receipt(opened.round_id, slot) is None:
                # The enclave had it and nobody was told: the same update again gets the receipt that was due.
                admitted = self._resubmitted(opened, slot, name)
                if admitted is not None:
                    found[slot] = admitted.receipt
        for slot, names in stored.items():
            if slot not in missing:
                for name in names:  # never reached the enclave: its sender was not told, and sends again
                    self._store.delete_upload(opened.round_id, name)
        return found

    def _resubmitted(self, opened: RoundOpened, slot: int, name: str) -> Admitted | None:
        sealed = self._store.read_upload(opened.round_id, name)
        try:
            admitted = self._use(lambda door: door.submit(opened.cohort[slot], sealed))
        except UpdateRefusedError:
            return None  # the result is signed already: the slot is in it, with or without our copy of a receipt
        self._write_receipt(opened.round_id, admitted)
        return admitted

    def _restored(self, opened: RoundOpened, slot: int, name: str) -> bool:
        sealed = self._store.read_upload(opened.round_id, name)
        try:
            self._use(lambda door: door.restore(slot, sealed))
        except EnclaveFaultError as error:
            log_event("upload_not_restored", level=logging.WARNING, round=opened.round_id, slot=slot, reason=str(error))
            return False
        return True

    def _write_receipt(self, round_id: int, admitted: Admitted) -> None:
        record = {"receipt": admitted.receipt.to_map(), "signature": admitted.signature}
        self._store.write_record(_receipt_name(round_id, admitted.slot), record)
        # If we die here the sender was not told: the same update again gets this very receipt.

    def _use(self, request: Callable[[Door], T]) -> T:
        """One request through the door; a door that failed is closed, so that the next step starts another enclave."""
        if self._door is None:
            raise DoorClosedError("the enclave is not running", "it is started again")
        try:
            return request(self._door)
        except DoorClosedError:
            self.close()
            raise
        except MalformedError as error:
            self.close()
            raise DoorClosedError(f"the enclave's answer is not one ({error})", "see the platform's log") from error


def _receipt_name(round_id: int, slot: int) -> str:
    return f"receipts/{round_id}/{slot:03d}.cbor"
