"""Members' checkpoints of settled rounds: collected, and posted with the next opening.

Responsible for: which signed checkpoint is taken, where it is kept, and which are posted.
Must not know:   HTTP, or when a round is opened.

Spec: docs/protocol.md section 9.3.
"""

from __future__ import annotations

import logging

from coordinator.chain import RevertedError
from coordinator.ledger import Ledger, LedgerState
from coordinator.log import log_event
from coordinator.outbox import Outbox
from coordinator.store import Store
from protocol.checkpoints import SignedCheckpoint, parse_checkpoint
from protocol.encoding import decode_map
from protocol.errors import CommitmentMismatchError, PolicyError, RoundError, SpecMismatchError
from protocol.keys import Address, to_hex
from protocol.messages import Checkpoint

MAX_CHECKPOINT_BYTES = 512
"""A signed checkpoint takes less than 256."""

_FOLDER = "checkpoints"


class NotSettledError(RoundError):
    """A checkpoint of a round that is not settled, or not any more."""


class Checkpoints:
    """What members signed.  `take` in any thread, `post` in the one that opens rounds."""

    def __init__(self, ledger: Ledger, outbox: Outbox, store: Store) -> None:
        self._ledger = ledger
        self._outbox = outbox
        self._store = store
        self._posted_in = 0
        """The round in which there is nothing left to post."""

    def take(self, round_id: int, body: bytes) -> Address:
        """1. an envelope  2. signed by a member  3. of a settled round  4. its result and block  5. durable.

        Returns who signed it.  Raises: MalformedError, SignatureError, PolicyError (not a member), NotSettledError,
        SpecMismatchError, CommitmentMismatchError, UnavailableError.
        """
        signed = parse_checkpoint(decode_map(body, max_bytes=MAX_CHECKPOINT_BYTES))
        checkpoint = signed.checkpoint
        if checkpoint.federation != self._ledger.federation:
            expected, actual = self._ledger.federation, checkpoint.federation
            raise CommitmentMismatchError("federation of a checkpoint", expected=expected, actual=actual)
        if checkpoint.round_id != round_id:
            raise SpecMismatchError("round of a checkpoint", expected=round_id, actual=checkpoint.round_id)
        signer = signed.signer(self._ledger.domain)
        if not self._ledger.is_member(signer):
            raise PolicyError("signer of a checkpoint", expected="a member of the consortium", actual=to_hex(signer))
        self._check(checkpoint)
        name = _record(round_id, signer)
        known = self._read(name)
        if known is None or known.checkpoint != checkpoint:  # another one: the chain was reorganised since
            self._store.write_record(name, signed.to_map())
            # If we die here the member was not told and sends it again; it is posted either way.
            log_event("checkpoint_taken", round=round_id, member=signer)
        return signer

    def post(self, opened: int) -> None:
        """Posts what there is of the newest settled round before `opened` that anybody signed; once a round.

        Raises UnavailableError, and is then to be called again.
        """
        if self._posted_in == opened:
            return
        for round_id in self._rounds():
            if round_id >= opened:
                continue
            settled = self._ledger.settlement(round_id)
            signatures = b"" if settled is None else self._signatures(settled)
            if settled is None or not signatures:
                continue  # from before a reorganisation, or of people who are no members any more
            try:
                receipt = self._outbox.send(f"checkpoint/{round_id}", self._ledger.checkpoint_call(settled, signatures))
                # If we die here it is on the chain: the next call finds the receipt of this name and sends nothing.
                log_event("checkpoint_posted", round=round_id, transaction=receipt.transaction, gas=receipt.gas_used)
            except RevertedError as error:  # nobody's round hangs on it
                log_event("checkpoint_refused", level=logging.WARNING, round=round_id, reason=str(error))
            break
        self._posted_in = opened

    def _check(self, checkpoint: Checkpoint) -> None:
        round_id = checkpoint.round_id
        state = self._ledger.state_of(round_id)
        settled = self._ledger.settlement(round_id)
        if state is not LedgerState.SETTLED or settled is None:
            raise NotSettledError(f"state of round {round_id}", expected="settled", actual=state.name.lower())
        for what, expected, actual in (
            (f"result of round {round_id}", settled.result, checkpoint.result),
            (f"hash of the block in which round {round_id} settled", settled.block_hash, checkpoint.block_hash),
        ):
            if expected != actual:
                raise CommitmentMismatchError(what, expected=expected, actual=actual)

    def _rounds(self) -> list[int]:
        """Rounds of which there are checkpoints here, newest first."""
        names = self._store.record_names(_FOLDER)
        return sorted((int(name.rpartition("/")[2]) for name in names), reverse=True)

    def _signatures(self, settled: Checkpoint) -> bytes:
        """Of current members, by ascending signer."""
        found: dict[Address, bytes] = {}
        for name in self._store.record_names(f"{_FOLDER}/{settled.round_id}"):
            signed = self._read(name)
            if signed is None or signed.checkpoint != settled:
                continue
            signer = signed.signer(self._ledger.domain)
            if self._ledger.is_member(signer):
                found[signer] = signed.signature
        return b"".join(found[signer] for signer in sorted(found))

    def _read(self, name: str) -> SignedCheckpoint | None:
        value = self._store.read_record(name)
        return None if value is None else parse_checkpoint(value)


def _record(round_id: int, signer: Address) -> str:
    return f"{_FOLDER}/{round_id}/{signer.hex()}.cbor"
