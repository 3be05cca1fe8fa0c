"""The transactions of a dispute, in their order.

Responsible for: which predicate is asked, what is sent when, and what to do when somebody else was faster.
Must not know:   options, files, or how anything is shown.

Spec: docs/protocol.md section 7.

     1 ask      the predicate with a call, for nothing: is this a proof?  If not, the next statement
     2 commit   to the proof, and wait until that is in a block: what is copied from now on comes too late
     3 refute   show the proof
     4 claim    if somebody else's proof was there first and our pre-commitment is older
     5 execute  an hour later, share out the pot
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from protocol.disputes import Verdict
from protocol.errors import RoundError, UnavailableError
from protocol.keys import Address
from verifier.deployment import Deployment
from verifier.dispute.proofs import Proof, proof_of
from verifier.dispute.reading import BLANK, Reading
from verifier.node import Call, Node, RefusedError
from verifier.refutation.statement import Statement
from verifier.sender import Sender
from verifier.state import Refutation, Round

MAX_ASKED = 32
"""Statements that are tried before we say that ledger and search disagree."""

NO_SALT = bytes(32)
SOME_SALT = bytes(31) + b"\1"
"""For an estimate: a pre-commitment is looked up, and there is none."""

Reread = Callable[[], Reading]
"""Reads the chain again, as it is by then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A proof that the ledger's own predicate found to be one."""

    proof: Proof
    is_enclaves: bool
    """What the predicate says: no host can make an honest enclave sign this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gas:
    """What the transactions would take; None where it can't be told."""

    commit: int | None = None
    refute: int | None = None
    execute: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What the ledger has after everything was sent."""

    reading: Reading = field(repr=False)
    """As of afterwards."""
    race: str = ""
    """What somebody else did in between; empty where nobody did."""


def ask(node: Node, deployment: Deployment, statements: Sequence[Statement], sender: Address) -> Asked:
    """Step 1: the first statement that the ledger's predicate agrees with.

    Raises: UnavailableError where it agrees with none.
    """
    refusals = []
    for statement in statements[:MAX_ASKED]:
        proof = proof_of(statement)
        at = deployment.predicates[statement.family].address
        call = Call(what=f"{statement.family.contract}.{statement.function}", to=at, data=proof.data)
        try:
            returned = node.call(call, sender)
        except RefusedError as error:
            refusals.append(f"{statement.text}: {error}")
            continue
        [finding] = node.contracts[statement.family.contract].returned(statement.function, returned)
        return Asked(proof=proof, is_enclaves=bool(finding["isEnclaves"]))
    raise UnavailableError(
        f"something is wrong, but the ledger's predicates find none of {len(refusals)} proofs valid; {refusals[0]}",
        "run veriflock verify, and report this",
    )


def estimate(node: Node, deployment: Deployment, proof: Proof, sender: Address, *, pre_commit: bool) -> Gas:
    """What commitProof and refute would take now.  Raises RefusedError where refuting would fail."""
    salt = SOME_SALT if pre_commit else NO_SALT
    refuting = node.estimate(_refute_call(node, deployment, proof, salt), sender)
    if not pre_commit:
        return Gas(refute=refuting)
    return Gas(commit=node.estimate(_commit_call(node, deployment, SOME_SALT), sender), refute=refuting)


def refute(
    sender: Sender, node: Node, reading: Reading, proof: Proof, key: bytes, *, pre_commit: bool, reread: Reread
) -> Done:
    """Steps 2 to 4.

    Raises: RefusedError, UnavailableError.
    """
    deployment = reading.deployment
    commitment = proof.commitment(sender.account, key)
    if pre_commit and commitment not in reading.state.disputes.commitments:
        sender.send(_commit_call(node, deployment, commitment))
        # If we die here, the next start has the same proof and salt: it finds this pre-commitment and goes on.
    salt = proof.salt(key) if pre_commit else NO_SALT
    try:
        sender.send(_refute_call(node, deployment, proof, salt))
    except RefusedError as error:
        after = reread()
        known = after.state.ledger.verdicts.get(reading.state.ledger.current)  # a proof is about no other round
        if known is None or known.value.prover == sender.account:
            raise
        return claim(sender, node, after, known, [proof], key, reread=reread, why=str(error))
    # If we die here, the verdict is there, and `--execute` is all that is left to do.
    return Done(reading=reread())


def claim(
    sender: Sender,
    node: Node,
    reading: Reading,
    known: Refutation,
    proofs: Sequence[Proof],
    key: bytes,
    *,
    reread: Reread,
    why: str = "",
) -> Done:
    """Step 4: the prover's part, where we pre-committed to one of these proofs before who leads."""
    leading = known.value.committed_at
    proof = older_than(leading, reading, proofs, sender.account, key)
    race = f"somebody else refuted the round first ({why})" if why else "somebody else refuted the round"
    if proof is None:
        return Done(reading=reading, race=f"{race}; you have no pre-commitment before block {leading}")
    deployment, disputes = reading.deployment, node.contracts["Disputes"]
    arguments = (known.value, int(proof.statement.family), proof.data, proof.salt(key))
    call = Call(what="claim", to=deployment.disputes.address, data=disputes.call_data("claim", *arguments))
    sender.send(call)
    return Done(reading=reread(), race=f"{race}; your older pre-commitment took its place")


def older_than(leading: int, reading: Reading, proofs: Sequence[Proof], account: Address, key: bytes) -> Proof | None:
    """A proof that this key pre-committed to before that block."""
    known = reading.state.disputes.commitments
    for proof in proofs:
        block = known.get(proof.commitment(account, key))
        if block is not None and block < leading:
            return proof
    return None


def execute_call(node: Node, reading: Reading, known: Round, verdict: Verdict, leaves: Sequence[bytes]) -> Call:
    """Step 5: the call that shares out a pot, with the set leaves or without."""
    opening, proposal = known.opening, known.proposal
    result = BLANK if proposal is None else proposal.value
    arguments = (verdict, opening.value, result, list(opening.cohort), list(leaves))
    data = node.contracts["Disputes"].call_data("executeVerdict", *arguments)
    return Call(what="executeVerdict", to=reading.deployment.disputes.address, data=data)


def verdict_of(reading: Reading, round_id: int) -> Refutation:
    """The verdict on a round.  Raises RoundError where there is none."""
    known = reading.state.ledger.verdicts.get(round_id)
    if known is None:
        raise RoundError(f"verdict on round {round_id}", expected="one", actual="none: it was not refuted")
    return known


def _commit_call(node: Node, deployment: Deployment, commitment: bytes) -> Call:
    data = node.contracts["Disputes"].call_data("commitProof", commitment)
    return Call(what="commitProof", to=deployment.disputes.address, data=data)


def _refute_call(node: Node, deployment: Deployment, proof: Proof, salt: bytes) -> Call:
    data = node.contracts["Disputes"].call_data("refute", int(proof.statement.family), proof.data, salt)
    return Call(what="refute", to=deployment.disputes.address, data=data)
