"""What a dispute is about: a round as its chain tells it, and its leaves from whoever gives them.

Responsible for: facts, published bytes, answers and receipts, from a chain and a source of artifacts.
Must not know:   what is wrong with any of it (verifier/refutation), or how anything is sent.

Spec: docs/protocol.md sections 7 and 8.  Every event is there and the code is the committed one (checks 1 to 3), else
nothing is said about the round.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from protocol import events as e
from protocol.encoding import Fields, decode_map
from protocol.errors import MalformedError, RoundError, SignatureError, UnavailableError, VeriflockError
from protocol.evidence import RoundEvidence, parse_evidence
from protocol.keys import SIGNATURE_BYTES, Address, to_hex, verify
from protocol.messages import ZERO, Receipt, RoundResult
from protocol.openings import Openings
from protocol.trees import set_root
from verifier.apply import apply_all
from verifier.chain import ChainSource
from verifier.checks.chain import check_1_chain, check_2_code, check_3_streams
from verifier.deployment import Deployment
from verifier.evidence import TIMEOUT_S, ArtifactSource
from verifier.refutation.reconstruction import Answered, CannotOpen, Published, reconstruct
from verifier.refutation.statement import Facts, SignedReceipt
from verifier.state import Federation, Round, RoundState

LEAST_FETCH_S, MOST_FETCH_S = 20.0, 600.0
"""For everything that is published of a round: half the time until it may be settled, but within these."""

MAX_RECEIPT_BYTES = 1 << 12
"""A receipt with its signature is about 350 bytes."""

BLANK = RoundResult(
    federation=ZERO,
    round_id=0,
    spec=ZERO,
    previous=ZERO,
    set_root=ZERO,
    counted=0,
    selected=0,
    column_root=ZERO,
    gram_root=ZERO,
    outcomes=ZERO,
    new_model=ZERO,
    state=ZERO,
    enclave=ZERO,
)
"""Where nothing is proposed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One federation as of one block."""

    source: str
    """For people: which chain, up to where."""
    time_s: int
    """Of the newest block."""
    deployment: Deployment = field(repr=False)
    state: Federation = field(repr=False)

    def round(self, round_id: int | None) -> Round | None:
        """A round, without a number the newest; None where none was opened yet.

        Raises: RoundError when there is none of that number.
        """
        ledger = self.state.ledger
        if round_id is None:
            return ledger.rounds.get(ledger.current)
        if round_id not in ledger.rounds:
            raise RoundError("number of a round", expected=f"one of 1 to {ledger.current}", actual=round_id)
        return ledger.rounds[round_id]


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A round's leaves, as far as somebody gives them."""

    openings: Openings = field(repr=False)
    missing: tuple[CannotOpen, ...]
    """Trees that the result commits to and that nobody's bytes lead to."""
    notes: tuple[str, ...]
    """What the source of artifacts did not give, and why."""


def read_federation(open_chain: Callable[[], ChainSource], ledger: Address) -> Reading:
    """Everything that the ledger's contracts have said so far.

    Raises: VerificationError (the code is another, or events are missing), UnavailableError.
    """
    with contextlib.closing(check_1_chain(open_chain)[0]) as chain:
        deployment, _ = check_2_code(chain, ledger)
        entries, _ = check_3_streams(chain, deployment)
        chain.confirm()
        source, time_s = chain.describe(), chain.head().timestamp_s
        return Reading(source=source, time_s=time_s, deployment=deployment, state=apply_all(entries))


def facts_of(reading: Reading, known: Round) -> Facts:
    """What the ledger knows of a round; the result is BLANK where none was proposed."""
    opening, proposal = known.opening, known.proposal
    enclave = known.before.enclaves.get(opening.value.enclave)
    if enclave is None:
        raise UnavailableError(f"the enclave of round {opening.round_id} is not registered", "run veriflock verify")
    commitments = {
        opening.cohort.index(who): entry.event.update
        for who, entry in known.commitments.items()
        if who in opening.cohort and isinstance(entry.event, e.UpdateCommitted)
    }
    return Facts(
        spec=opening.value,
        result=BLANK if proposal is None else proposal.value,
        outcomes=b"" if proposal is None else proposal.outcomes,
        cohort=opening.cohort,
        domain=reading.deployment.domain,
        commitments=commitments,
        model_exponent=reading.deployment.ledger.signed("modelExponent"),
        signer=enclave.event.signer,
    )


def settles_from(reading: Reading, known: Round) -> int:
    """First second at which the round may be settled, after which a proof may come too late."""
    hold = reading.state.disputes.hold
    waits = hold.not_before_s if hold.round_id == known.opening.round_id else 0
    return max(known.opening.value.deadlines[4] + 1, waits)


def time_to_fetch(reading: Reading, known: Round) -> float:
    """Seconds for everything that is published of a round: whoever drips must not keep a proof until it is too late."""
    if known.state is not RoundState.PROPOSED:
        return MOST_FETCH_S
    return min(MOST_FETCH_S, max(LEAST_FETCH_S, (settles_from(reading, known) - reading.time_s) / 2))


def open_round(reading: Reading, facts: Facts, artifacts: ArtifactSource | None, *, within_s: float) -> Opened:
    """The leaves of a proposed result: what was published, and what was answered on the ledger."""
    published, notes = fetch(facts, artifacts, within_s=within_s)
    openings, missing = reconstruct(facts, published, answers=answers_of(reading.state, facts.spec.round_id))
    return Opened(openings=openings, missing=missing, notes=tuple(notes))


def fetch(
    facts: Facts,
    artifacts: ArtifactSource | None,
    *,
    within_s: float,
    monotonic: Callable[[], float] = time.monotonic,
) -> tuple[Published, list[str]]:
    """What a source gives of a round in so many seconds, and what not.

    Nothing of it is believed: it leads to a root, or is nothing.
    """
    deadline_s = monotonic() + within_s
    evidence, notes = fetch_evidence(facts, artifacts, within_s=min(TIMEOUT_S, within_s))
    if evidence is None or artifacts is None:
        return Published(rows={}), notes
    dimension = facts.spec.dimension
    named = {
        "base model": (evidence.base, 4 * dimension),
        "new model": (evidence.model, 4 * dimension),
        "aggregate": (evidence.aggregate, 4 * dimension),
        **{_row(slot): (digest, 2 * dimension) for slot, digest in enumerate(evidence.rows)},
    }
    wanted = {what: (digest, size) for what, (digest, size) in named.items() if digest is not None}
    left_s = max(0.0, deadline_s - monotonic())
    blobs = dict(zip(wanted, artifacts.blobs(list(wanted.values()), within_s=left_s), strict=True))
    found = {what: blob for what, blob in blobs.items() if isinstance(blob, bytes)}
    lacking = {what: str(error) for what, error in blobs.items() if isinstance(error, Exception)}
    if lacking:
        notes.append(f"{len(lacking)} of {len(wanted)} blobs did not come in {within_s:g} s: {', '.join(lacking)}")
    notes += [f"{what}: {why}" for what, why in lacking.items()]
    return Published(
        set_leaves=evidence.set_leaves,
        rows={slot: found[_row(slot)] for slot in range(len(evidence.rows)) if _row(slot) in found},
        aggregate=found.get("aggregate"),
        base=found.get("base model"),
        model=found.get("new model"),
    ), notes


def _row(slot: int) -> str:
    return f"row of slot {slot}"


def fetch_evidence(
    facts: Facts, artifacts: ArtifactSource | None, *, within_s: float | None = None
) -> tuple[RoundEvidence | None, list[str]]:
    """The envelope that names a round's bytes; or None, and why not."""
    if artifacts is None:
        return None, ["evidence: nobody said where it is; give --artifacts or --coordinator"]
    try:
        return parse_evidence(artifacts.evidence(facts.spec.round_id, within_s=within_s)), []
    except (VeriflockError, UnavailableError, OSError) as error:
        return None, [f"evidence: {error}"]


def fetch_set_leaves(facts: Facts, artifacts: ArtifactSource | None) -> tuple[tuple[bytes, ...] | None, list[str]]:
    """The set leaves that lead to the result's set root; or None, and why not."""
    evidence, notes = fetch_evidence(facts, artifacts)
    if evidence is None:
        return None, notes
    if len(evidence.set_leaves) != len(facts.cohort) or set_root(evidence.set_leaves) != facts.result.set_root:
        return None, ["evidence: its set leaves don't lead to the set root of the result"]
    return evidence.set_leaves, notes


def answers_of(state: Federation, round_id: int) -> list[Answered]:
    """Leaves of a round that members asked for and got, on the ledger."""
    found = []
    for (number, _), request in state.disputes.requests.items():
        event = None if request.answered is None else request.answered.event
        if number == round_id and isinstance(event, e.LeafAnswered):
            asked = request.event
            found.append(Answered(tree=asked.tree, slot=asked.slot, index=asked.index, answer=event.answer))
    return found


def parse_receipt(raw: bytes) -> SignedReceipt:
    """A receipt with its signature, as a participant keeps it (receipt.cbor of its state folder)."""
    fields = Fields(decode_map(raw, max_bytes=MAX_RECEIPT_BYTES), "a receipt's envelope")
    found = SignedReceipt(
        receipt=Receipt.from_map(fields.map("receipt")), signature=fields.bytes("signature", SIGNATURE_BYTES)
    )
    fields.done()
    return found


def check_receipts(facts: Facts, held: Sequence[SignedReceipt]) -> None:
    """Whether receipts are promises of this round's enclave for this round.

    Raises: UnavailableError: another round's receipt says nothing about this one.
    """
    spec = facts.spec
    for signed in held:
        receipt = signed.receipt
        if (receipt.federation, receipt.enclave) != (
            spec.federation,
            spec.enclave,
        ) or receipt.round_id != spec.round_id:
            what = f"the receipt is of round {receipt.round_id}, and this is about round {spec.round_id}"
            raise UnavailableError(what, "give --round, and the receipt that its enclave signed")
        try:
            verify(receipt.digest(facts.domain), signed.signature, facts.signer)
        except SignatureError as error:
            what = f"the receipt of slot {receipt.slot} is not signed by the round's enclave ({error})"
            raise UnavailableError(what, f"the enclave's key is {to_hex(facts.signer)}") from error
        if receipt.slot >= len(facts.cohort):
            raise MalformedError("slot of the receipt", expected=f"below {len(facts.cohort)}", actual=receipt.slot)
