"""What becomes of proposed results that are not left alone: proofs, requests, complaints and votes on a RoundWorld."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from coordinator.enclave.rounds import aggregate_counted
from coordinator.enclave.rules import totals
from protocol import events as e
from protocol.checkpoints import SignedCheckpoint
from protocol.disputes import Family, Verdict, proof_commitment
from protocol.event_coding import encode_struct
from protocol.hashing import sha256
from protocol.keys import address, sign
from protocol.messages import Checkpoint, Receipt, RoundResult, Struct, Unavailable
from protocol.openings import Openings, Tree, leaves_of
from protocol.outcomes import Outcome, Status, bitmap, encode_outcomes, outcomes_hash
from tests.support.world import BOND, MEASUREMENT, Play, RoundWorld, key_of, terms

SALT = sha256(b"a salt")
ZERO = bytes(32)
HOUR_S = 3600
WEEK_S = 7 * 86_400


PROVER, COPYIST = key_of("prover"), key_of("copyist")


class DisputedWorld(RoundWorld):
    """A RoundWorld in which somebody objects."""

    def purse(self, key: bytes) -> bytes:
        """The key, whose account has money from now on."""
        self.ask("anvil_setBalance", "0x" + address(key).hex(), hex(100 * BOND))
        return key

    def said(self, transaction: bytes, kind: type[Any]) -> Any:
        """The event of that kind under a transaction."""
        receipt = self.ask("eth_getTransactionReceipt", "0x" + transaction.hex())
        names = {at.hex(): name for name, at in self.at.items()}
        for log in receipt["logs"]:
            topics = [bytes.fromhex(topic[2:]) for topic in log["topics"]]
            if topics[0] == e.topic_of(kind):
                return e.parse_event(names[log["address"][2:]], topics, bytes.fromhex(log["data"][2:]))
        raise AssertionError(f"no {kind.__name__}")

    # -- proofs

    def proof(self, family: Family, function: str, *arguments: Any) -> bytes:
        """The call that a proof is."""
        return self.contracts[family.contract].call_data(function, *arguments)

    def refute(self, family: Family, proof: bytes, key: bytes = PROVER, salt: bytes = ZERO) -> Verdict:
        """Shows a proof."""
        done = self.call(self.purse(key), "Disputes", "refute", int(family), proof, salt)
        verdict: Verdict = self.said(done, e.RoundRefuted).verdict
        return verdict

    def commit_proof(self, proof: bytes, key: bytes = PROVER) -> None:
        """Commits to a proof that is not shown yet."""
        self.call(self.purse(key), "Disputes", "commitProof", proof_commitment(address(key), proof, SALT))

    def claim(self, verdict: Verdict, family: Family, proof: bytes, key: bytes = PROVER) -> Verdict:
        """Shows the older pre-commitment."""
        done = self.call(key, "Disputes", "claim", verdict, int(family), proof, SALT)
        after: Verdict = self.said(done, e.ProverReplaced).verdict
        return after

    def suspend(self, verdict: Verdict, family: Family, proof: bytes, key: bytes = COPYIST) -> None:
        """Shows what the refuting proof left out."""
        self.call(self.purse(key), "Disputes", "suspend", verdict, int(family), proof)

    def execute(self, verdict: Verdict, play: Play, *, with_leaves: bool = True) -> None:
        """Shares out a pot; then the coordinator bonds anew, and members allow the measurement again."""
        has_leaves = with_leaves and any(verdict.result)
        self.move(verdict.decided_at + (HOUR_S if has_leaves or not any(verdict.result) else WEEK_S) + 1)
        leaves = list(play.computed.set_leaves) if has_leaves else []
        arguments = (verdict, play.spec, play.computed.result, list(play.cohort), leaves)
        self.call(self.members[0], "Disputes", "executeVerdict", *arguments)
        self.call(self.coordinator, "RoundLedger", "addBond", value=BOND)

    def allow_again(self) -> None:
        """Members vote for the suspended measurement once more."""
        self.vote(e.Action.ALLOW_MEASUREMENT, MEASUREMENT)

    def model_proof(self, play: Play, coordinate: int) -> bytes:
        """F6: a coordinate of the new model is not base plus aggregate."""
        openings = openings_of(play)
        column, model = openings.column_leaf(coordinate // 16), coordinate // 256
        arguments = (column, coordinate % 16, openings.base_leaf(model), openings.model_leaf(model))
        result = play.computed.result
        return self.proof(Family.COLUMN, "modelDiffers", play.spec, result, *arguments)

    def commitment_proof(self, play: Play, slot: int) -> bytes:
        """F3: what a slot committed is not there."""
        arguments = (play.spec, play.computed.result, list(play.cohort), openings_of(play).set_leaf(slot))
        return self.proof(Family.SET, "commitmentBroken", *arguments)

    def receipt_proof(self, play: Play, slot: int) -> bytes:
        """F3: what a slot has a receipt for is not there."""
        receipt = self.receipt(play, slot, sha256(b"an update that was received"))
        arguments = (play.spec, play.computed.result, list(play.cohort), receipt, self.enclave_signs(receipt))
        return self.proof(Family.SET, "receiptBroken", *arguments, openings_of(play).set_leaf(slot))

    def results_proof(self, play: Play) -> bytes:
        """F8: two results."""
        one = play.computed.result
        other = replace(one, new_model=sha256(b"another model"))
        signed = (one, self.enclave_signs(one), other, self.enclave_signs(other))
        return self.proof(Family.SET, "twoResults", play.spec, *signed)

    def receipts_proof(self, play: Play, slot: int) -> bytes:
        """F8: two receipts."""
        one, other = (self.receipt(play, slot, sha256(name)) for name in (b"one", b"other"))
        signed = (one, self.enclave_signs(one), other, self.enclave_signs(other))
        return self.proof(Family.SET, "twoReceipts", play.spec, *signed)

    def receipt(self, play: Play, slot: int, update: bytes) -> Receipt:
        """For a slot, of any update."""
        spec = play.spec
        return Receipt(
            federation=spec.federation, round_id=spec.round_id, slot=slot, update=update, enclave=spec.enclave
        )

    def enclave_signs(self, message: Struct) -> bytes:
        """With the key that this world's enclave has."""
        return sign(self.enclave_key, message.digest(self.domain))

    # -- what is withheld

    def request(self, play: Play, tree: Tree, slot: int, index: int, member: int = 0) -> e.LeafRequested:
        """A member asks for a leaf."""
        arguments = (play.spec, play.computed.result, int(tree), slot, index)
        done = self.call(self.members[member], "Disputes", "requestLeaf", *arguments, value=BOND // 100)
        event: e.LeafRequested = self.said(done, e.LeafRequested)
        return event

    def answer(self, play: Play, asked: e.LeafRequested, key: bytes) -> None:
        """Somebody has it."""
        answer = openings_of(play).answer(asked.tree, slot=asked.slot, index=asked.index)
        arguments = (play.spec, play.computed.result, asked.member, answer)
        self.call(key, "Disputes", "answerLeaf", *arguments)

    def complain(self, play: Play, members: int = 2) -> None:
        """Members say that the result's data can't be had."""
        spec, result = play.spec, play.computed.result.hash_struct()
        complaint = Unavailable(federation=self.federation, round_id=spec.round_id, result=result)
        arguments = (complaint, self.signatures(complaint, members))
        self.call(self.members[0], "Consortium", "postUnavailable", *arguments)

    def outvoted(self) -> int:
        """A round of a rule that only a replay can refute, and two thirds who say that its result is wrong."""
        self.set_terms(replace(terms(), rule=0))
        spec, cohort = self.open()
        outcomes = [Outcome(status=Status.COUNTED)] * len(cohort)
        everybody = bitmap(range(len(cohort)))
        result = RoundResult(
            federation=spec.federation,
            round_id=spec.round_id,
            spec=spec.hash_struct(),
            previous=spec.previous,
            set_root=sha256(b"set"),
            counted=everybody,
            selected=everybody,
            column_root=sha256(b"columns"),
            gram_root=ZERO,
            outcomes=outcomes_hash(outcomes),
            new_model=sha256(b"model"),
            state=ZERO,
            enclave=spec.enclave,
        )
        self.move(spec.deadlines[2] + 1)
        arguments = (spec, result, encode_outcomes(outcomes), self.enclave_signs(result))
        self.call(self.coordinator, "RoundLedger", "propose", *arguments)
        self.vote(e.Action.OUTVOTE_RESULT, result.hash_struct(), encode_struct(spec))
        return spec.round_id

    # -- what members remember

    def checkpoint(self, round_id: int) -> Checkpoint:
        """Of a settled round, as the chain has it."""
        logs = self.ask("eth_getLogs", {"fromBlock": "0x0", "topics": [_topic(e.RoundSettled), _word(round_id)]})
        return Checkpoint(
            federation=self.federation,
            round_id=round_id,
            result=bytes.fromhex(logs[0]["topics"][2][2:]),
            block_hash=bytes.fromhex(logs[0]["blockHash"][2:]),
        )

    def signed(self, checkpoint: Checkpoint, key: bytes) -> SignedCheckpoint:
        """By anybody."""
        return SignedCheckpoint(checkpoint=checkpoint, signature=sign(key, checkpoint.digest(self.domain)))

    def signatures(self, message: Struct, count: int) -> bytes:
        """Of so many members, by ascending address."""
        keys = sorted(self.members[:count], key=address)
        return b"".join(sign(key, message.digest(self.domain)) for key in keys)


def openings_of(play: Play) -> Openings:
    """Of the trees that an enclave signs which lies about set leaves and the model at most; not of a weighted rule."""
    state, computed = play.state, play.computed
    counted, aggregation = aggregate_counted(state, computed.set_leaves)
    rows = np.stack(counted)
    leaves = leaves_of(
        set_leaves=computed.set_leaves,
        counted=computed.result.counted,
        rows=rows,
        aggregate=aggregation.aggregate,
        totals=totals(rows, aggregation),
        has_gram=False,
        base=state.base,
        model=computed.model,
    )
    return Openings(leaves, counted=computed.result.counted)


def _topic(kind: type[Any]) -> str:
    return "0x" + e.topic_of(kind).hex()


def _word(number: int) -> str:
    return "0x" + number.to_bytes(32).hex()
