"""Proofs by signatures, set leaves and row leaves, looked at again: what a replay of the published rows does not show.

Responsible for: the facts of F3, of F7 about rows, and of F8, from the call that refuted the round.
Must not know:   what follows from a verdict (verdict.py), or how a proof is found.

Twin: contracts/src/predicates/SetPredicates.sol.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from protocol import events as e
from protocol import merkle
from protocol.disputes import Family, Predicate
from protocol.errors import MalformedError, VerificationError
from protocol.keys import recover, to_hex
from protocol.messages import Receipt, RoundResult
from protocol.openings import Leaf, SetLeaf
from protocol.outcomes import ATTESTED_ONLY, Reason
from protocol.trees import KIND_ROW, KIND_SET, ROW_LEAF, SET_LEAF_OTHER_BYTES, parse_set_leaf
from protocol.trees import SetLeaf as ParsedLeaf
from verifier.calls import decode_input
from verifier.checks.opening import expect
from verifier.checks.openings import check_openings
from verifier.checks.replaying import NEED_COMMITMENT, update_in
from verifier.state import Entry
from verifier.world import Case

SHOWING = ("Disputes.refute", "Disputes.claim", "Disputes.suspend")
"""Calls that bring a proof along."""

Proof = Mapping[str, Any]
"""Its arguments by the ABI's names."""


def is_enclaves(case: Case, entry: Entry, predicate: int) -> bool:
    """Whether no host can have made an honest enclave sign what was shown.

    A broken commitment is the host's fault, and so may a broken receipt be where the slot has an attested-only reason.
    """
    if predicate != Predicate.PROMISE:
        return True
    function, proof = _proof(case, entry)
    if function != "receiptBroken":
        return False
    data = proof["set"].data
    return len(data) == SET_LEAF_OTHER_BYTES and data[-1] < Reason.UNDELIVERED


def _proof(case: Case, entry: Entry) -> tuple[str, Proof]:
    """Function and arguments of the proof that was shown."""
    call = case.world.calls.call(entry.log)
    if call.name not in SHOWING:
        raise VerificationError("call that shows a proof", expected=f"one of {', '.join(SHOWING)}", actual=call.name)
    family = call.arguments["family"]
    if family >= len(Family):
        raise VerificationError("family of a proof", expected=f"below {len(Family)}", actual=family)
    return decode_input(Family(family).contract, call.arguments["proof"])


def repeat_proof(case: Case, entry: Entry, predicate: int | None = None) -> str:
    """What the proof shows, looked at again; empty for a proof that a replay repeats.

    predicate: that the ledger says it showed; None where it does not say.
    """
    function, proof = _proof(case, entry)
    if function not in SHOWS:
        raise VerificationError("function of a proof", expected="a predicate", actual=function)
    if predicate is not None:
        expect("predicate of the proof", SHOWS[function], predicate)
    expect("spec of the proof", case.opening.spec, proof["spec"].hash_struct())
    if "result" in proof:
        result = None if case.round.proposal is None else case.proposal.result
        expect("result of the proof", result, proof["result"].hash_struct())
    if function in PROOFS:
        return PROOFS[function](case, proof)
    check_openings(case.spec, case.result, len(case.opening.cohort), proof)
    return ""


def _two_results(case: Case, proof: Proof) -> str:
    hashes = [_signed_result(case, proof[name], proof[f"{name}Signature"]) for name in ("one", "other")]
    if hashes[0] == hashes[1]:
        raise VerificationError("two results of the enclave", expected="different ones", actual=hashes[0])
    return f"the enclave signed two results, {hashes[0].hex()} and {hashes[1].hex()}"


def _two_receipts(case: Case, proof: Proof) -> str:
    one, other = proof["one"], proof["other"]
    _check_enclaves(case, one, proof["oneSignature"])
    _check_enclaves(case, other, proof["otherSignature"])
    expect("slot of the second receipt", one.slot, other.slot)
    if one.update == other.update:
        raise VerificationError("two receipts of the enclave", expected="different updates", actual=one.update)
    return f"the enclave signed two receipts for slot {one.slot}"


def _broken_receipt(case: Case, proof: Proof) -> str:
    receipt, opened = proof["receipt"], proof["set"]
    _check_enclaves(case, receipt, proof["signature"])
    _check_set_leaf(case, proof)
    expect("slot of the receipt", opened.slot, receipt.slot)
    if case.opening.cohort[opened.slot] in case.round.commitments:
        raise VerificationError("a receipt of a slot that committed", expected="none", actual=f"slot {opened.slot}")
    leaf = _parsed(opened)
    if leaf is None:
        return f"the leaf of slot {opened.slot} is no set leaf"
    if leaf.is_counted and update_in(case, opened.slot, leaf).hash_struct() == receipt.update:
        raise VerificationError("update of the receipt", expected="another than is counted", actual=receipt.update)
    found = "another update is counted" if leaf.is_counted else f"nothing is counted ({leaf.reason.name.lower()})"
    return f"slot {opened.slot} has a receipt and {found}"


def _broken_commitment(case: Case, proof: Proof) -> str:
    opened = proof["set"]
    _check_set_leaf(case, proof)
    leaf, entry = _parsed(opened), case.round.commitments.get(case.opening.cohort[opened.slot])
    if leaf is None:
        return f"the leaf of slot {opened.slot} is no set leaf"
    committed = entry.event.update if entry and isinstance(entry.event, e.UpdateCommitted) else None
    if committed is None:
        is_broken = leaf.reason in NEED_COMMITMENT
    elif leaf.is_counted:
        is_broken = update_in(case, opened.slot, leaf).hash_struct() != committed
    else:
        is_broken = leaf.reason not in ATTESTED_ONLY
    if not is_broken:
        raise VerificationError(f"commitment of slot {opened.slot}", expected="a broken one", actual="honoured")
    found = "counted" if leaf.is_counted else leaf.reason.name.lower()
    return f"slot {opened.slot} {'committed' if committed else 'did not commit'} and is {found}"


def _malformed_row(case: Case, proof: Proof) -> str:
    opened, row = proof["set"], Leaf(**dict(zip(("index", "data", "path"), proof["row"], strict=True)))
    _check_set_leaf(case, proof)
    leaf, dimension = parse_set_leaf(opened.data), case.spec.dimension
    size, hashed = -(-dimension // ROW_LEAF), merkle.leaf_hash(KIND_ROW, row.data)
    merkle.verify(leaf.update_root, index=row.index, size=size, leaf=hashed, path=row.path)
    what = f"leaf {row.index} of the row of slot {opened.slot}"
    if len(row.data) != 2 * ROW_LEAF:
        return f"{what} has {len(row.data)} bytes"
    at = proof["coordinate"]
    value = int.from_bytes(row.data[2 * at : 2 * at + 2], "little", signed=True)
    is_past = row.index * ROW_LEAF + at >= dimension
    if not (value != 0 if is_past else value == -(1 << 15)):
        raise VerificationError(f"coordinate {at} of {what}", expected="-32768, or not zero past d", actual=value)
    return f"coordinate {at} of {what} is {value}"


PROOFS: dict[str, Callable[[Case, Proof], str]] = {
    "receiptBroken": _broken_receipt,
    "commitmentBroken": _broken_commitment,
    "rowMalformed": _malformed_row,
    "twoResults": _two_results,
    "twoReceipts": _two_receipts,
}
"""What needs no replay, or more than the published rows."""

SHOWS: dict[str, Predicate] = {
    **dict.fromkeys(("columnDiffers",), Predicate.COLUMN),
    **dict.fromkeys(("aggregateDiffers",), Predicate.AGGREGATE),
    **dict.fromkeys(("receiptBroken", "commitmentBroken"), Predicate.PROMISE),
    **dict.fromkeys(("totalDiffers", "outcomeDiffers", "productDiffers"), Predicate.TOTAL),
    **dict.fromkeys(("weightDiffers", "selectionDiffers", "normsDiffer", "productsDiffer"), Predicate.OUTCOME),
    **dict.fromkeys(("modelDiffers", "modelPaddingDiffers"), Predicate.MODEL),
    **dict.fromkeys(("signatureWrong", "setLeafDiffers", "rowMalformed", "rowOverBound"), Predicate.FORM),
    **dict.fromkeys(("normOverBound", "columnMalformed", "preimageMalformed"), Predicate.FORM),
    **dict.fromkeys(("modelMalformed", "gramMalformed"), Predicate.FORM),
    **dict.fromkeys(("twoResults", "twoReceipts"), Predicate.TWICE),
}
"""The functions of docs/protocol.md 7.6; a test compares them with the contracts'."""


def _signed_result(case: Case, result: RoundResult, signature: bytes) -> bytes:
    _check_enclaves(case, result, signature)
    return result.hash_struct()


def _check_enclaves(case: Case, message: RoundResult | Receipt, signature: bytes) -> None:
    """Of this round, and signed by its enclave."""
    place = (case.spec.federation, case.spec.round_id, case.spec.enclave)
    expect("place of a signed message", place, (message.federation, message.round_id, message.enclave))
    enclave = case.round.before.enclaves.get(case.spec.enclave)
    signer = recover(message.digest(case.world.deployment.domain), signature)
    expect("signer of a message", to_hex(enclave.event.signer) if enclave else None, to_hex(signer))


def _check_set_leaf(case: Case, proof: Proof) -> None:
    """The set leaf is under the root of the result that was proposed."""
    opened: SetLeaf = proof["set"]
    size, hashed = len(case.opening.cohort), merkle.leaf_hash(KIND_SET, opened.data)
    merkle.verify(case.result.set_root, index=opened.slot, size=size, leaf=hashed, path=opened.path)


def _parsed(opened: SetLeaf) -> ParsedLeaf | None:
    """None for what no honest enclave puts into a set tree."""
    try:
        return parse_set_leaf(opened.data)
    except MalformedError:
        return None
