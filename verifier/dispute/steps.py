"""The transactions of a dispute, in their order.

Responsible for: which predicate is asked, what is sent when, and what to do when somebody else was faster.
Must not know:   options, files, or how anything is shown.

Spec: docs/protocol.md section 7.

     1 ask      the predicate with a call, for nothing: is this a proof, and one that fits a transaction?  If not, the
                next statement
     2 commit   to the proof, and wait until that is in a block: what is copied from now on comes too late
     3 refute   show the proof
     4 claim    if somebody else's proof was there first and our pre-commitment is older
     5 suspend  show another proof, where the one that refuted the round suspended no measurement and ours would
     6 execute  an hour later, share out the pot
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from protocol.disputes import Verdict
from protocol.errors import RoundError, UnavailableError
from protocol.keys import Address
from verifier.deployment import Deployment
from verifier.dispute.proofs import Proof, proof_of
from verifier.dispute.reading import BLANK, Reading
from verifier.node import Call, Node, NodeError, RefusedError
from verifier.refutation.statement import Statement
from verifier.sender import MAX_GAS, Sender
from verifier.state import Refutation, Round

MAX_ASKED = 32
"""Statements of one function that are tried before we say that ledger and search disagree about it.

Of one function: whoever has 32 slots of friends must not use up what is tried about the aggregate.
"""

OUT_OF_GAS = ("FailedCall", "no reason given")
"""What a contract says whose call of a predicate ran out of gas: nothing that the predicate itself ever says."""

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
    gas: int
    """What showing it would take."""
    notes: tuple[str, ...] = ()
    """What was tried before it, and why that will not do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gas:
    """What the transactions would take; None where it can't be told."""

    commit: int | None = None
    refute: int | None = None
    suspend: int | None = None
    execute: int | None = None


Showing = Callable[[Proof], Call]
"""The call that shows a proof to the ledger."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What the ledger has after everything was sent."""

    reading: Reading = field(repr=False)
    """As of afterwards."""
    race: str = ""
    """What somebody else did in between; empty where nobody did."""
    can_suspend: bool = False
    """Whether there is a proof, not shown, that suspends the measurement."""


def ask(
    node: Node, deployment: Deployment, statements: Sequence[Statement], sender: Address, *, show: Showing
) -> Asked:
    """Step 1: the first statement that the ledger's predicate agrees with and that fits a transaction.

    Raises: RefusedError where predicates agree and the ledger does not take it; UnavailableError where none will do.
    """
    notes: list[str] = []
    asked: Counter[str] = Counter()
    refused: RefusedError | None = None
    for statement in statements:
        asked[statement.function] += 1
        if asked[statement.function] > MAX_ASKED:
            continue
        proof = proof_of(statement)
        try:
            is_enclaves = _finds(node, deployment, proof, sender)
            gas = _gas_of(node, show(proof), sender)
        except _WillNotDoError as error:
            notes.append(f"{statement.text}: {error}")
            refused = refused or error.refused
            continue
        return Asked(proof=proof, is_enclaves=is_enclaves, gas=gas, notes=tuple(notes))
    if refused is not None:
        raise refused
    raise UnavailableError(
        f"something is wrong, but none of {len(notes)} proofs will do; {notes[0]}",
        "run veriflock verify, and report this",
    )


class _WillNotDoError(Exception):
    """A statement that can't be shown; the next one perhaps can.

    refused: what the ledger says, where the predicate agrees.
    """

    def __init__(self, why: str, refused: RefusedError | None = None) -> None:
        super().__init__(why)
        self.refused = refused


def _finds(node: Node, deployment: Deployment, proof: Proof, sender: Address) -> bool:
    """Whether it is the enclave's, as the predicate says."""
    statement = proof.statement
    contract, function = statement.family.contract, statement.function
    call = Call(what=f"{contract}.{function}", to=deployment.predicates[statement.family].address, data=proof.data)
    if _least_gas(proof.data) > MAX_GAS:
        raise _WillNotDoError(f"does not fit a transaction: {len(proof.data)} bytes")
    try:
        returned = node.call(call, sender, gas=MAX_GAS)
    except RefusedError as error:
        raise _WillNotDoError(str(error)) from error
    except NodeError as error:  # out of gas, in whatever words
        raise _WillNotDoError(f"does not fit a transaction of {MAX_GAS} gas ({error.message})") from error
    [finding] = node.contracts[contract].returned(function, returned)
    return bool(finding["isEnclaves"])


def _gas_of(node: Node, call: Call, sender: Address) -> int:
    """What showing it takes, in a transaction of its own."""
    try:
        gas = node.estimate(call, sender, gas=MAX_GAS)
    except NodeError as error:
        raise _WillNotDoError(f"does not fit a transaction of {MAX_GAS} gas ({error.message})") from error
    except RefusedError as error:
        if error.name in OUT_OF_GAS:
            raise _WillNotDoError(f"does not fit a transaction of {MAX_GAS} gas") from error
        raise _WillNotDoError(str(error), error) from error
    if gas > MAX_GAS:
        raise _WillNotDoError(f"takes {gas} gas, and one transaction may take {MAX_GAS}")
    return gas


def _least_gas(data: bytes) -> int:
    """What a transaction with these data takes at least (EIP-7623): nothing larger is worth a question."""
    return 21_000 + 10 * (4 * len(data) - 3 * data.count(0))


def commit_gas(node: Node, deployment: Deployment, sender: Address) -> int:
    """What commitProof would take now."""
    return node.estimate(_commit_call(node, deployment, SOME_SALT), sender)


def refute(
    sender: Sender, node: Node, reading: Reading, proof: Proof, key: bytes, *, pre_commit: bool, reread: Reread
) -> Done:
    """Steps 2 to 4.

    Raises: RefusedError, UnavailableError.
    """
    deployment = reading.deployment
    commitment = proof.commitment(sender.account, key)
    if pre_commit and commitment not in reading.state.disputes.commitments:
        _commit(sender, _commit_call(node, deployment, commitment), commitment, reread)
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


def _commit(sender: Sender, call: Call, commitment: bytes, reread: Reread) -> None:
    """Step 2.  Whoever copies ours from the mempool has made it for us: it names its prover, and nobody else."""
    try:
        sender.send(call)
    except RefusedError as error:
        if error.name != "AlreadyCommitted":
            raise
        sender.await_(lambda: commitment in reread().state.disputes.commitments or None, "a copy of our commitProof")


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
    """Step 6: the call that shares out a pot, with the set leaves or without."""
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


def refuting(node: Node, deployment: Deployment, *, pre_commit: bool) -> Showing:
    """How a proof is shown, to estimate it: with some salt, which no pre-commitment has."""
    return lambda proof: _refute_call(node, deployment, proof, SOME_SALT if pre_commit else NO_SALT)


def suspending(node: Node, deployment: Deployment, verdict: Verdict) -> Showing:
    """Step 5: how a proof is shown that suspends what the verdict's did not."""
    disputes = node.contracts["Disputes"]

    def show(proof: Proof) -> Call:
        data = disputes.call_data("suspend", verdict, int(proof.statement.family), proof.data)
        return Call(what="suspend", to=deployment.disputes.address, data=data)

    return show


def _refute_call(node: Node, deployment: Deployment, proof: Proof, salt: bytes) -> Call:
    data = node.contracts["Disputes"].call_data("refute", int(proof.statement.family), proof.data, salt)
    return Call(what="refute", to=deployment.disputes.address, data=data)
