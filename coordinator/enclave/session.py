"""What the host may ask of the enclave, one request at a time.

Responsible for: the order of deeds: state sealed, durable and counted before a receipt or a result leaves.
Must not know:   sockets (`store` and the platform's services are given to it).

Spec: docs/protocol.md section 9.  Every field of a request is the host's word and treated as hostile.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from coordinator.enclave import identity
from coordinator.enclave.admission import RefusedError
from coordinator.enclave.identity import Identity, Launch
from coordinator.enclave.rounds import (
    Computed,
    Round,
    SealedRound,
    Signed,
    compute,
    encode_round,
    open_round,
    parse_round,
)
from protocol import fixedpoint, sealing
from protocol.attestation.protections import Protection
from protocol.encoding import Fields, decode_map, encode
from protocol.errors import (
    AlreadyReceivedError,
    EncodingError,
    MalformedError,
    NotInCohortError,
    RangeError,
    RoundError,
    SpecMismatchError,
    UnknownNameError,
    VerificationError,
    VeriflockError,
    show,
)
from protocol.hashing import sha256
from protocol.messages import MAX_SLOTS, ZERO, Spec
from protocol.outcomes import Reason
from protocol.sealing import Payload
from protocol.trees import COLUMN_LEAF

RECHECKED_LEAVES = 8
"""Leaves of the column tree that are computed again with plain code before a result is signed."""

KEYS, ROUND = "keys", "round"
"""Names of the two sealed blobs: who the enclave is, and the round that it is in."""


class Platform(Protocol):
    """What the platform does for the enclave that it launched."""

    def quote(self, report_data: bytes) -> bytes:
        """Evidence for 64 bytes of report data."""

    def key(self, purpose: str) -> bytes:
        """A key (32 bytes) that only this measurement on this platform gets."""

    def advance(self, *, version: int, previous: bytes, state: bytes) -> None:
        """Counts sealed state up, durably, if it follows the newest; else raises what ends the enclave.

        version: of the new state; previous, state: SHA-256 of the newest sealed blob and of the new one.
        """


class Session:
    """One launched enclave."""

    def __init__(
        self, launch: Launch, *, platform: Platform, store: Callable[[str, bytes], None], protections: Protection
    ) -> None:
        """
        launch:      what it was launched for.
        platform:    the hardware, or its simulation.
        store:       returns when the host said that the blob is durable.
        protections: what this process was found to be shut off from.
        """
        self._launch = launch
        self._platform = platform
        self._store = store
        self._protections = protections
        self._version, self._state_hash = launch.state_version, launch.state_hash
        self._sealing_key = platform.key("state")
        self._identity: Identity | None = None
        self._resumable: SealedRound | None = None
        self._round: Round | None = None
        self._last_round = 0
        self._is_over = False

    def handle(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The reply to one request.  An error of ours becomes a reply; nothing of a payload is in it.

        Raises: EOFError where state was not stored and counted.  The process ends; whoever goes on gets it again.
        """
        if self._is_over:
            raise EOFError("state of this enclave was not counted")
        fields = Fields(request, "request")
        try:
            op = fields.text("op", 32)
            if op not in _OPERATIONS:
                raise UnknownNameError("operation", known=_OPERATIONS, actual=op)
            reply = _OPERATIONS[op](self, fields)
            fields.done()
            return reply
        except VeriflockError as error:
            return {"error": type(error).__name__.removesuffix("Error"), "message": str(error)}

    def start(self, request: Fields) -> dict[str, Any]:
        """Keys: born now, or unsealed from what the host kept."""
        sealed = request.map("sealed")
        if self._identity is not None:
            raise RoundError("a second start of one enclave")
        if bool(sealed) if self._launch.fresh else KEYS not in sealed:
            expected = "none for fresh keys" if self._launch.fresh else "the keys of the epoch that is resumed"
            raise VerificationError("sealed state", expected=expected, actual=sorted(sealed))
        if self._launch.fresh:
            who = identity.give_birth(self._launch, protections=self._protections, quote=self._platform.quote)
            with self._or_end():
                self._store(KEYS, self._sealed(KEYS, who.encode()))
            # dies here: the host has keys that nobody was told of; the next start unseals the same ones
        else:
            who = identity.parse_identity(self._unseal(KEYS, sealed[KEYS]))
            if not identity.is_born_for(who, self._launch):
                expected = "the same federation, chain, ledger, operator, charter and epoch"
                raise VerificationError("sealed keys were born for another launch", expected=expected)
            identity.check_protections(who, self._protections)
            self._resume(sealed)
        self._identity = who  # last: an enclave whose state was refused is not started
        return self._introduction()

    def _resume(self, sealed: Mapping[str, Any]) -> None:
        """The newest state that was sealed, or the one after it, of which nothing left yet.  Nothing older."""
        if ROUND not in sealed:
            if self._version:
                raise VerificationError("sealed state", expected=f"version {self._version}", actual="none")
            return
        state = Fields(decode_map(self._unseal(ROUND, sealed[ROUND]), max_bytes=identity.MAX_SEALED_BYTES), "state")
        version, previous = state.uint("version"), state.bytes("previous", 32)
        last_round = state.uint("last_round")
        resumable = parse_round(state.map("round")) if state.optional("round") else None
        state.done()
        digest = sha256(sealed[ROUND])
        if digest != self._state_hash:
            if (version, previous) != (self._version + 1, self._state_hash):
                expected = f"version {self._version} as the platform counted it, or the next"
                raise VerificationError("sealed state was rolled back", expected=expected, actual=f"version {version}")
            with self._or_end():
                self._advance(digest)
        self._last_round, self._resumable = last_round, resumable

    def open(self, request: Fields) -> dict[str, Any]:
        """A round, once; the same one again goes on where it was."""
        who = self._who()
        spec = Spec.from_map(request.map("spec"))
        cohort = [_address(item) for item in request.list("cohort", MAX_SLOTS)]
        opened = open_round(
            spec,
            cohort,
            request.bytes("base"),
            enclave=who.enclave,
            federation=self._launch.federation,
            charter=self._launch.charter,
        )
        if self._round is not None and self._round.spec == spec:
            return {"round": spec.round_id}
        if self._resumable is not None and self._resumable.spec == spec:
            opened.entries, opened.refusals = self._resumable.entries, self._resumable.refusals
            opened.signed = self._resumable.signed
        elif spec.round_id <= self._last_round:
            raise SpecMismatchError("round of the spec", expected=f"after {self._last_round}", actual=spec.round_id)
        self._adopt(opened, last_round=spec.round_id)
        self._resumable = None
        return {"round": spec.round_id}

    def submit(self, request: Fields) -> dict[str, Any]:
        """A receipt for a sealed update, or the reason why there is none."""
        before = self._open_round()
        # on a copy: what is not counted yet must be nowhere, or the next request would rest on it
        state = before.copy()
        participant, sealed = request.bytes("participant", 20), request.bytes("sealed")
        try:
            slot = state.slot_of(participant)
            receipt, is_new = state.submit(slot, self._unseal_update(state, slot, sealed), self._launch.domain)
        except RefusedError as refused:
            if state.refusals != before.refusals:
                self._adopt(state)
            return _refusal(refused.cause, refused.reason)
        except (AlreadyReceivedError, NotInCohortError) as error:
            return _refusal(error, Reason.NONE)
        except VeriflockError as error:
            return _refusal(error, Reason.UNOPENED)
        if is_new:
            self._adopt(state)
            # dies here: the update is in and nobody was told; sent again, it gets the same receipt
        else:
            self._round = state  # the row at most, which is not sealed
        signature = self._who().sign(receipt.digest(self._launch.domain))
        return {"receipt": receipt.to_map(), "signature": signature, "slot": slot}

    def restore(self, request: Fields) -> dict[str, Any]:
        """A row whose update is in the sealed state, fed again after a restart."""
        state = self._open_round()
        slot, sealed = request.uint("slot", 16), request.bytes("sealed")
        if slot not in state.entries:
            raise SpecMismatchError("slot fed again", expected=f"one of {state.missing}", actual=slot)
        try:
            state.restore(slot, self._unseal_update(state, slot, sealed), self._launch.domain)
        except RefusedError as refused:
            raise VerificationError(f"update fed again for slot {slot}: {refused}") from refused
        return {"slot": slot}

    def close(self, request: Fields) -> dict[str, Any]:
        """The result: signed once, and ever after the same one."""
        state = self._open_round()
        commitments, delivered = request.map("commitments"), request.map("undelivered")
        if state.missing:
            raise RoundError("slots to be fed again before the round can close", expected="none", actual=state.missing)
        if state.signed is None:
            # on a copy: a close that fails midway must not free a slot, which could then get a second receipt
            closing = state.copy()
            for text, commitment in sorted(commitments.items()):
                slot = _slot(text, len(state.cohort))
                self._force(closing, slot, commitment, delivered.get(text))
            return _signed_reply(*self._sign(closing))
        again = self._compute(state, recheck=[])
        if again.result != state.signed.result:
            raise VerificationError("rows fed again give another result than the signed one")
        return _signed_reply(state.signed, again)

    def row(self, request: Fields) -> dict[str, Any]:
        """One row.  They leave only here, after the signature, only where the spec makes them public, for a replay.

        With too few counted there is nothing to replay: a host that closes early gets a void round and sees no row.
        One at a time: those of a large round are more than a frame, and this process should not hold them twice.
        """
        state, slot = self._open_round(), request.uint("slot", 16)
        if state.signed is None or state.missing:
            expected = "after the round's result, with every row there"
            raise RoundError("a row", expected=expected, actual=f"slots to be fed again: {state.missing}")
        if slot >= len(state.cohort):
            raise RangeError("slot of a row", expected=f"below {len(state.cohort)}", actual=slot)
        is_public = state.spec.disclosure == 0 and state.signed.result.column_root != ZERO
        row = state.rows.get(slot) if is_public else None
        return {"row": None if row is None else fixedpoint.encode_row(row)}

    def finish(self, request: Fields) -> dict[str, Any]:
        """Forget a round that is settled or void on the ledger."""
        round_id = request.uint("round")
        if self._round is not None and self._round.spec.round_id == round_id:
            self._adopt(None)
        return {}

    def _introduction(self) -> dict[str, Any]:
        who, resumable = self._who(), self._resumable
        signed = resumable is not None and resumable.signed is not None
        phase = "idle" if resumable is None else "signed" if signed else "collecting"
        return {
            "enclave": who.enclave,
            "signer": who.signer,
            "hpke_key": who.hpke_public,
            "quote": who.quote,
            "claims": who.claims.to_map(),
            "epoch": who.epoch,
            "round": None if resumable is None else resumable.spec.round_id,
            "phase": phase,
            "missing": [] if resumable is None else sorted(resumable.entries),
        }

    def _sign(self, state: Round) -> tuple[Signed, Computed]:
        leaves = -(-state.spec.dimension // COLUMN_LEAF)
        recheck = sorted({secrets.randbelow(leaves) for _ in range(RECHECKED_LEAVES)})
        computed = self._compute(state, recheck=recheck)
        signed = Signed(
            result=computed.result,
            signature=self._who().sign(computed.result.digest(self._launch.domain)),
            outcomes=computed.outcomes,
            set_leaves=computed.set_leaves,
        )
        state.signed = signed
        self._adopt(state)
        # dies here: the result is signed and sealed and nobody has it; the next close returns it
        return signed, computed

    def _compute(self, state: Round, *, recheck: list[int]) -> Computed:
        return compute(state, model_exponent=self._launch.charter.model_exponent, recheck=recheck)

    def _force(self, state: Round, slot: int, commitment: object, sealed: object) -> None:
        if type(commitment) is not bytes or len(commitment) != 32:
            raise EncodingError("a commitment", expected="32 bytes", actual=show(commitment))
        payload = None
        if type(sealed) is bytes:
            try:
                payload = self._unseal_update(state, slot, sealed)
            except VeriflockError:
                payload = None
        delivered = sealed is not None
        state.force(slot, commitment, payload, delivered=delivered, domain=self._launch.domain)

    def _unseal_update(self, state: Round, slot: int, sealed: bytes) -> Payload:
        claims, spec = self._who().claims, state.spec
        limit = sealing.max_sealed_bytes(claims.kem, spec.dimension)
        info = sealing.info(
            federation=spec.federation,
            ledger=claims.ledger,
            round_id=spec.round_id,
            participant=state.cohort[slot],
            enclave=spec.enclave,
        )
        plain = self._who().open(sealed, info)
        try:
            # a longer row than the spec's still opens, so that its sender is told which length was expected
            return sealing.parse_payload(plain, max_bytes=8 * limit)
        except MalformedError as error:
            # without what came instead: the host reads this answer, and what stands in the wrong field may be a row
            raise EncodingError(show(error.what), expected=error.expected) from None

    def _adopt(self, state: Round | None, *, last_round: int | None = None) -> None:
        """1. sealed  2. durable at the host  3. counted by the platform  4. what this enclave goes on from."""
        last_round = self._last_round if last_round is None else last_round
        with self._or_end():
            value = None if state is None else decode_map(encode_round(state), max_bytes=1 << 26)
            sealed = {
                "version": self._version + 1,
                "previous": self._state_hash,
                "last_round": last_round,
                "round": value,
            }
            blob = self._sealed(ROUND, encode(sealed))
            self._store(ROUND, blob)
            # dies here: the host has the next state and nothing of it left; the next start goes on with it, or without
            self._advance(sha256(blob))
            # dies here: the host has the newest state; the next start takes no other
        self._round, self._last_round = state, last_round

    @contextmanager
    def _or_end(self) -> Iterator[None]:
        """Whatever fails in here ends the enclave.

        An error that became a reply would leave a living enclave beside sealed state that it does not go on from: the
        host answers a `store` with garbage, has what comes next handed out, and starts another one from older state.
        """
        self._is_over = True
        try:
            yield
        except VeriflockError as error:
            raise EOFError(f"state was not stored and counted: {error}") from error
        self._is_over = False

    def _advance(self, state_hash: bytes) -> None:
        self._platform.advance(version=self._version + 1, previous=self._state_hash, state=state_hash)
        self._version, self._state_hash = self._version + 1, state_hash

    def _sealed(self, name: str, plain: bytes) -> bytes:
        return identity.seal(self._sealing_key, name=name, launch=self._launch, plain=plain)

    def _unseal(self, name: str, sealed: object) -> bytes:
        if type(sealed) is not bytes:
            raise EncodingError(f"sealed state '{name}'", expected="bytes", actual=type(sealed).__name__)
        return identity.unseal(self._sealing_key, name=name, launch=self._launch, sealed=sealed)

    def _who(self) -> Identity:
        if self._identity is None:
            raise RoundError("an enclave that was not started")
        return self._identity

    def _open_round(self) -> Round:
        if self._round is None:
            raise RoundError("no round is open in the enclave")
        return self._round


def _signed_reply(signed: Signed, computed: Computed) -> dict[str, Any]:
    return {
        "result": signed.result.to_map(),
        "signature": signed.signature,
        "outcomes": signed.outcomes,
        "set": list(signed.set_leaves),
        "aggregate": None if computed.aggregate is None else fixedpoint.encode_model(computed.aggregate),
        "model": fixedpoint.encode_model(computed.model),
    }


_OPERATIONS: dict[str, Callable[[Session, Fields], dict[str, Any]]] = {
    "start": Session.start,
    "open": Session.open,
    "submit": Session.submit,
    "restore": Session.restore,
    "close": Session.close,
    "row": Session.row,
    "finish": Session.finish,
}


def _refusal(error: VeriflockError, reason: Reason) -> dict[str, Any]:
    return {
        "refused": str(error),
        "reason": int(reason),
        "expected": show(error.expected),
        "actual": show(error.actual),
    }


def _address(value: object) -> bytes:
    if type(value) is not bytes or len(value) != 20:
        raise EncodingError("an address of the cohort", expected="20 bytes", actual=show(value))
    return value


def _slot(text: str, size: int) -> int:
    if text not in map(str, range(size)):
        raise EncodingError("a slot", expected=f"0..{size - 1}", actual=text)
    return int(text)
