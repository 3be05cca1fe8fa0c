"""What the contracts refuse: the name of the error that a call reverts with, from the state that events gave.

Responsible for: every condition of docs/protocol.md section 7, in the order in which the contracts look at them.
Must not know:   how state follows from events (verifier/apply.py), or a chain.

Nothing here is the verifier's: it takes what the contracts did as given, this says what they must not do.  `None` is
success.  Times are those of the block that the call is in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from protocol.disputes import Verdict, proof_commitment
from protocol.events import Action
from protocol.hashing import keccak256
from protocol.keys import Address
from protocol.messages import Checkpoint, Receipt, RoundResult, Spec, Unavailable, cohort_hash
from protocol.openings import Tree
from protocol.outcomes import Reason, slots_of
from protocol.rulebook import Rule, minimum_counted
from protocol.terms import Terms
from verifier.apply import ADDITIONS
from verifier.state import Federation, Membership, Participant, Proposal, Round, RoundState

ZERO = bytes(32)
HOUR_S, DAY_S = 3600, 86_400
SLACK_S = HOUR_S
CLAIM_S, LEAVES_S = HOUR_S, 7 * DAY_S
LIFETIME_S = 7 * DAY_S
BOND_BUDGETS = 4
ATTESTED = 7
"""The first of the three reasons that only the enclave can attest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """A receipt and whether the round's enclave signed it."""

    receipt: Receipt
    is_enclaves: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """Two receipts as a proof of F8."""

    spec: Spec
    one: Promise
    other: Promise
    data: bytes
    """The call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signers:
    """Who signed what members may post, in the order in which the signatures stand."""

    who: Sequence[Address]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """A federation as it stands, and what its contracts were deployed with."""

    state: Federation
    federation: bytes
    genesis: bytes
    deposit_wei: int
    request_wei: int
    minimum_bond_wei: int
    delay_s: int

    # -- participants

    def join(self, who: Address, payout: Address, value: int) -> str | None:
        """Participants.join."""
        if value != self.deposit_wei:
            return "WrongDeposit"
        if self._participant(who).membership is not Membership.NONE:
            return "WrongMembership"
        return None if any(payout) else "NoPayoutAddress"

    def leave(self, who: Address) -> str | None:
        """Participants.leave."""
        return None if self._participant(who).membership is Membership.ACTIVE else "WrongMembership"

    def reclaim(self, who: Address, at: int) -> str | None:
        """Participants.reclaim: the round is over, and so is a day."""
        known = self._participant(who)
        if known.membership is Membership.ACTIVE:
            return "WrongMembership"
        if not known.has_deposit:
            return "NoDeposit"
        if self._is_live(known.until):
            return "RoundNotOver"
        return "TooEarly" if at < known.reclaimable_at_s else None

    def set_payout(self, who: Address, payout: Address) -> str | None:
        """Participants.setPayout."""
        if not any(self._participant(who).payout):
            return "NeverJoined"
        return None if any(payout) else "NoPayoutAddress"

    # -- money

    def add_bond(self, who: Address, value: int) -> str | None:
        """RoundLedger.addBond."""
        if not value:
            return "NoAmount"
        return "BondFrozen" if self._is_frozen(who) else None

    def withdraw_bond(self, who: Address, amount: int) -> str | None:
        """RoundLedger.withdrawBond."""
        live = self._live()
        if live is not None and live.opening.coordinator == who:
            return "BondInUse"
        if not amount:
            return "NoAmount"
        if self._is_frozen(who):
            return "BondFrozen"
        return "NotEnough" if amount > self._bond(who) else None

    def fund(self, value: int) -> str | None:
        """RoundLedger.fund."""
        return None if value else "NoAmount"

    def withdraw(self, who: Address) -> str | None:
        """RoundLedger.withdraw."""
        account = self.state.ledger.accounts.get(who)
        return None if account is not None and account.credit_wei else "NoAmount"

    # -- rounds

    def open(self, who: Address, spec: Spec, registered: Sequence[Address], at: int) -> str | None:
        """RoundLedger.openRound, where everybody is in the cohort."""
        ledger = self.state.ledger
        if self._live() is not None:
            return "RoundNotOver"
        if spec.federation != self.federation:
            return "WrongFederation"
        if spec.round_id != ledger.current + 1:
            return "WrongRound"
        if spec.previous != ledger.previous:
            return "WrongPrevious"
        if spec.base_model != (ledger.model if any(ledger.model) else self.genesis):
            return "WrongBaseModel"
        return self._terms(spec, at) or self._lease(who, spec) or self._means(who, spec) or self._cohort(registered)

    def _terms(self, spec: Spec, at: int) -> str | None:
        terms = self.state.consortium.terms_of(spec.round_id)
        assert terms is not None
        if self._as_spec(terms, spec) != spec:
            return "WrongTerms"
        start = at
        for window, deadline in zip(terms.windows, spec.deadlines, strict=True):
            if not start + window <= deadline <= start + window + SLACK_S:
                return "WrongDeadline"
            start = deadline
        return None

    def _as_spec(self, terms: Terms, spec: Spec) -> Spec:
        return terms.spec(
            federation=spec.federation,
            round_id=spec.round_id,
            previous=spec.previous,
            base_model=spec.base_model,
            cohort=spec.cohort,
            enclave=spec.enclave,
            deadlines=spec.deadlines,
        )

    def _lease(self, who: Address, spec: Spec) -> str | None:
        if not self.state.is_enclave_trusted(spec.enclave):
            return "EnclaveInactive"
        registered = self.state.enclaves[spec.enclave].event
        if registered.operator != who:
            return "WrongOperator"
        return "EnclaveExpires" if registered.expiry < spec.deadlines[4] else None

    def _means(self, who: Address, spec: Spec) -> str | None:
        if who not in self.state.consortium.coordinators:
            return "NotCoordinator"
        if self._is_frozen(who):
            return "BondFrozen"
        if self._bond(who) < max(self.minimum_bond_wei, BOND_BUDGETS * spec.budget):
            return "BondTooSmall"
        return "TreasuryTooSmall" if self.state.ledger.treasury_wei < spec.budget else None

    def _cohort(self, registered: Sequence[Address]) -> str | None:
        active = self.state.active()
        if len(registered) != len(active):
            return "WrongRegisterSize"
        if list(registered) != sorted(set(registered)):
            return "NotAscending"
        if list(registered) != active:
            return "NotActive"
        return None if active else "EmptyCohort"

    def commit(self, who: Address, round_id: int, update: bytes, at: int) -> str | None:
        """RoundLedger.commit: who was active when the round was opened, once."""
        ledger = self.state.ledger
        if round_id != ledger.current:
            return "WrongRound"
        known = ledger.rounds.get(round_id)
        if known is None or known.state is not RoundState.OPEN:
            return "WrongState"
        if at > known.opening.value.deadlines[2]:
            return "TooLate"
        if not any(update):
            return "EmptyDigest"
        was = self._participant(who)
        is_in = was.membership is Membership.ACTIVE or round_id <= was.until
        if not was.since or was.since > round_id or not is_in:
            return "NotInRound"
        return "AlreadyCommitted" if who in known.commitments else None

    def propose(
        self, who: Address, spec: Spec, result: RoundResult, words: bytes, *, is_signed: bool, at: int
    ) -> str | None:
        """RoundLedger.propose: in its hour, what needs no proof, and the enclave's signature."""
        known = self._current()
        if known is None or known.state is not RoundState.OPEN:
            return "WrongState"
        if spec.hash_struct() != known.opening.spec:
            return "WrongSpec"
        if who != known.opening.coordinator:
            return "WrongCaller"
        if at <= spec.deadlines[2]:
            return "TooEarly"
        if at > spec.deadlines[3]:
            return "TooLate"
        if not self.state.is_enclave_trusted(spec.enclave):
            return "EnclaveInactive"
        return self._result(spec, result, words, len(known.opening.cohort)) or (None if is_signed else "WrongSigner")

    def _result(self, spec: Spec, result: RoundResult, words: bytes, slots: int) -> str | None:
        named = (
            ("WrongFederation", result.federation, spec.federation),
            ("WrongRound", result.round_id, spec.round_id),
            ("WrongSpec", result.spec, spec.hash_struct()),
            ("WrongPrevious", result.previous, spec.previous),
            ("WrongEnclave", result.enclave, spec.enclave),
            ("WrongOutcomes", result.outcomes, keccak256(words)),
        )
        for error, actual, expected in named:
            if actual != expected:
                return error
        if result.counted >> slots or result.selected & ~result.counted:
            return "WrongBitmap"
        if len(words) != 32 * slots:
            return "WrongOutcomesLength"
        if not all(_is_good(words[32 * slot :][:32], result.counted >> slot & 1) for slot in range(slots)):
            return "WrongOutcome"
        if result.state != ZERO:
            return "WrongStateRoot"
        return self._roots(spec, result)

    def _roots(self, spec: Spec, result: RoundResult) -> str | None:
        """Of a rule that selects nobody."""
        if not self.is_enough(spec, result.counted):
            if result.new_model != spec.base_model:
                return "WrongNewModel"
            if result.column_root != ZERO:
                return "WrongColumnRoot"
            return "WrongGramRoot" if result.gram_root != ZERO else None
        if result.new_model == ZERO:
            return "WrongNewModel"
        if result.column_root == ZERO:
            return "WrongColumnRoot"
        if result.gram_root != ZERO:
            return "WrongGramRoot"
        return None if result.selected == result.counted else "WrongBitmap"

    def is_enough(self, spec: Spec, counted: int) -> bool:
        """Whether as many are counted as rule and spec need."""
        return counted.bit_count() >= max(spec.min_counted, minimum_counted(Rule(spec.rule), f=spec.f, m=spec.m))

    def settle(self, spec: Spec, result: RoundResult, words: bytes, cohort: Sequence[Address], at: int) -> str | None:
        """RoundLedger.settle: nobody waits for anything any more."""
        known = self._current()
        if known is None or known.state is not RoundState.PROPOSED:
            return "WrongState"
        if spec.hash_struct() != known.opening.spec:
            return "WrongSpec"
        wrong = self._proposed(known, result, words)
        if wrong:
            return wrong
        if cohort_hash(cohort) != spec.cohort:
            return "WrongCohort"
        waits, not_before = self.hold(spec.round_id)
        if waits:
            return "RequestsOpen"
        if at < max(not_before, spec.deadlines[4] + 1):
            return "TooEarly"
        if not self.state.is_enclave_trusted(spec.enclave):
            return "EnclaveInactive"
        return "TooManyUndelivered" if _undelivered(words) > spec.f else None

    def void(self, spec: Spec, result: RoundResult, words: bytes, at: int) -> str | None:
        """RoundLedger.voidRound: no trust, no result in time, or too much that only the enclave attests."""
        known = self._live()
        if known is None:
            return "WrongState"
        if spec.hash_struct() != known.opening.spec:
            return "WrongSpec"
        if not self.state.is_enclave_trusted(spec.enclave):
            return None
        if known.state is RoundState.OPEN:
            return None if at > spec.deadlines[3] else "NothingToVoid"
        wrong = self._proposed(known, result, words)
        if wrong:
            return wrong
        is_over = at > spec.deadlines[4]  # before, proofs have their time
        return None if is_over and _undelivered(words) > spec.f else "NothingToVoid"

    def _proposed(self, known: Round, result: RoundResult, words: bytes) -> str | None:
        assert known.proposal is not None
        if result.hash_struct() != known.proposal.result:
            return "WrongResult"
        return None if keccak256(words) == result.outcomes else "WrongOutcomes"

    # -- proofs

    def commit_proof(self, commitment: bytes) -> str | None:
        """Disputes.commitProof."""
        return "AlreadyCommitted" if commitment in self.state.disputes.commitments else None

    def refute(self, proof: Proof) -> str | None:
        """Disputes.refute with two receipts: of the round that is open or proposed."""
        wrong = self._shows(proof)
        if wrong:
            return wrong
        if proof.spec.round_id != self.state.ledger.current:
            return "WrongRound"
        known = self._live()
        if known is None:
            return "WrongState"
        return None if proof.spec.hash_struct() == known.opening.spec else "WrongSpec"

    def verdict(self, who: Address, proof: Proof, salt: bytes, block: int, at: int) -> Verdict:
        """What a valid proof of two receipts leaves."""
        known = self._live()
        assert known is not None
        coordinator = known.opening.coordinator
        return Verdict(
            round_id=proof.spec.round_id,
            predicate=8,
            result=ZERO if known.proposal is None else known.proposal.result,
            coordinator=coordinator,
            prover=who,
            committed_at=self.committed_at(who, proof, salt, block) or block,
            decided_at=at,
            slots=len(known.opening.cohort),
            pot=self._bond(coordinator),
        )

    def committed_at(self, who: Address, proof: Proof, salt: bytes, block: int) -> int:
        """Block of a pre-commitment that counts: there is one, it has a salt, and it is older than this block."""
        made = self.state.disputes.commitments.get(proof_commitment(who, proof.data, salt), 0) if any(salt) else 0
        return 0 if made == block else made

    def claim(self, who: Address, verdict: Verdict, proof: Proof, salt: bytes, block: int, at: int) -> str | None:
        """Disputes.claim: within the hour, of an older pre-commitment, by a proof of that round."""
        if at > verdict.decided_at + CLAIM_S:
            return "TooLate"
        made = self.committed_at(who, proof, salt, block)
        if not made or made >= verdict.committed_at:
            return "NoEarlierCommitment"
        wrong = self._shows(proof)
        if wrong:
            return wrong
        known = self.state.ledger.rounds[verdict.round_id]
        if proof.spec.hash_struct() != known.opening.spec:
            return "OtherSubject"
        return self._stands(verdict)

    def execute(self, verdict: Verdict, *, with_leaves: bool, at: int) -> str | None:
        """Disputes.executeVerdict with the right leaves or none."""
        needs_leaves = any(verdict.result) and not with_leaves
        if at <= verdict.decided_at + (LEAVES_S if needs_leaves else CLAIM_S):
            return "TooEarly"
        if with_leaves and not any(verdict.result):
            return "OtherResult"
        return self._stands(verdict)

    def _stands(self, verdict: Verdict) -> str | None:
        return None if self.state.ledger.frozen_by(verdict.coordinator) == verdict else "WrongVerdict"

    def _shows(self, proof: Proof) -> str | None:
        spec = proof.spec
        for promise in (proof.one, proof.other):
            receipt = promise.receipt
            if receipt.federation != spec.federation:
                return "OtherFederation"
            if receipt.round_id != spec.round_id:
                return "OtherRound"
            if receipt.enclave != spec.enclave:
                return "OtherEnclave"
            if not promise.is_enclaves:
                return "OtherSigner"
        one, other = proof.one.receipt, proof.other.receipt
        if one.slot != other.slot:
            return "OtherSlot"
        return "NotRefuted" if one.update == other.update else None

    # -- what is withheld

    def hold(self, round_id: int) -> tuple[int, int]:
        """(open requests, first second) that a round waits for."""
        hold = self.state.disputes.hold
        return (hold.open, hold.not_before_s) if hold.round_id == round_id else (0, 0)

    def request(
        self, who: Address, value: int, spec: Spec, result: RoundResult, tree: Tree, slot: int, index: int, at: int
    ) -> str | None:
        """Disputes.requestLeaf: a member, once a round, within the challenge window, of a leaf that there is."""
        if who not in self.state.consortium.members:
            return "NotMember"
        if value != self.request_wei:
            return "WrongDeposit"
        wrong = self._disputed(spec, result)
        if wrong:
            return wrong
        if at > spec.deadlines[4]:
            return "TooLate"
        if (spec.round_id, who) in self.state.disputes.requests:
            return "AlreadyRequested"
        if tree is Tree.ROW and slot not in slots_of(result.counted):
            return "NotCounted"
        slots = len(self.state.ledger.rounds[spec.round_id].opening.cohort)
        of_model = -(-spec.dimension // 256)
        sizes = {Tree.SET: slots, Tree.ROW: of_model, Tree.MODEL: of_model, Tree.COLUMN: -(-spec.dimension // 16)}
        if tree not in sizes:
            return "NoSuchTree"
        return None if index < sizes[tree] else "NoSuchLeaf"

    def answer(self, spec: Spec, result: RoundResult, member: Address, *, is_right: bool, at: int) -> str | None:
        """Disputes.answerLeaf."""
        wrong = self._disputed(spec, result)
        if wrong:
            return wrong
        request = self.state.disputes.requests.get((spec.round_id, member))
        if request is None or not request.is_open:
            return "NoRequest"
        if at > request.event.answer_by:
            return "TooLate"
        return None if is_right else "WrongRoot"

    def withhold(self, round_id: int, member: Address, at: int) -> str | None:
        """Disputes.voidWithheld."""
        request = self.state.disputes.requests.get((round_id, member))
        if request is None or not request.is_open:
            return "NoRequest"
        if at <= request.event.answer_by:
            return "TooEarly"
        if round_id != self.state.ledger.current:
            return "WrongRound"
        return None if self.state.ledger.rounds[round_id].state is RoundState.PROPOSED else "WrongState"

    def close(self, round_id: int, member: Address) -> str | None:
        """Disputes.closeRequest: a round with an open request ends void."""
        request = self.state.disputes.requests.get((round_id, member))
        if request is None or not request.is_open:
            return "NoRequest"
        return None if self.state.ledger.rounds[round_id].state is RoundState.VOID else "WrongState"

    def _disputed(self, spec: Spec, result: RoundResult) -> str | None:
        known = self.state.ledger.rounds.get(spec.round_id)
        if known is None or known.state is not RoundState.PROPOSED or known.proposal is None:
            return "WrongState"
        if spec.hash_struct() != known.opening.spec:
            return "OtherSubject"
        return None if result.hash_struct() == known.proposal.result else "OtherResult"

    # -- members

    def checkpoint(self, posted: Checkpoint, signers: Signers) -> str | None:
        """Consortium.postCheckpoint."""
        if posted.federation != self.federation:
            return "WrongFederation"
        known = self.state.ledger.rounds.get(posted.round_id)
        if known is None or known.state is not RoundState.SETTLED or known.proposal is None:
            return "NotSettled"
        if posted.result != known.proposal.result:
            return "WrongResult"
        return self._signed(signers)

    def unavailable(self, posted: Unavailable, signers: Signers) -> str | None:
        """Consortium.postUnavailable: more than a third, of the result that is proposed."""
        if posted.federation != self.federation:
            return "WrongFederation"
        wrong = self._signed(signers)
        if wrong:
            return wrong
        if 3 * len(signers.who) <= len(self.state.consortium.members):
            return "NotEnoughVotes"
        if posted.round_id != self.state.ledger.current:
            return "WrongRound"
        known = self._current()
        if known is None or known.state is not RoundState.PROPOSED or known.proposal is None:
            return "WrongState"
        return None if posted.result == known.proposal.result else "WrongResult"

    def _signed(self, signers: Signers) -> str | None:
        if not signers.who:
            return "WrongSignaturesLength"
        last = bytes(20)
        for who in signers.who:
            if who <= last:
                return "SignersNotAscending"
            if who not in self.state.consortium.members:
                return "NotMember"
            last = who
        return None

    def execute_proposal(self, number: int, outvoted: Spec | None, at: int) -> str | None:
        """Consortium.execute, with the data that was proposed; `outvoted` is in the data of action 15."""
        consortium = self.state.consortium
        proposal = consortium.proposals.get(number)
        if proposal is None:
            return "UnknownProposal"
        if proposal.is_executed:
            return "AlreadyExecuted"
        if at > proposal.time_s + LIFETIME_S:
            return "TooLate"
        action, subject = proposal.event.action, proposal.event.subject
        is_addition = action in ADDITIONS
        needs_two_thirds = is_addition or action in (Action.REMOVE_MEMBER, Action.OUTVOTE_RESULT)
        if 3 * consortium.votes_of(proposal) < (2 if needs_two_thirds else 1) * proposal.members:
            return "NotEnoughVotes"
        if (is_addition or action is Action.REMOVE_MEMBER) and at < proposal.time_s + self.delay_s:
            return "TooEarly"
        if is_addition:
            removal = ADDITIONS[action]
            newest = 0 if removal is None else consortium.removals.get((removal, subject), 0)
            if action is Action.ALLOW_MEASUREMENT:
                newest = max(newest, consortium.suspensions.get(subject, 0))
            if number <= newest:
                return "StaleProposal"
        return self._effect(proposal, outvoted, at)

    def _effect(self, proposal: Proposal, outvoted: Spec | None, at: int) -> str | None:
        subject, consortium = proposal.event.subject, self.state.consortium
        membership = self._participant(subject[12:]).membership
        match proposal.event.action:
            case Action.SUSPEND_PARTICIPANT:
                return "WrongMembership" if membership is Membership.SUSPENDED else None
            case Action.REINSTATE_PARTICIPANT:
                return None if membership is Membership.SUSPENDED else "WrongMembership"
            case Action.ALLOW_MEASUREMENT:
                return "NothingToChange" if subject in consortium.measurements else None
            case Action.REVOKE_MEASUREMENT:
                return None if subject in consortium.measurements else "NothingToChange"
            case Action.ADMIT_COORDINATOR:
                return "NothingToChange" if subject[12:] in consortium.coordinators else None
            case Action.REMOVE_COORDINATOR:
                return None if subject[12:] in consortium.coordinators else "NothingToChange"
            case Action.OUTVOTE_RESULT:
                return self._outvoted(subject, outvoted)
            case other:
                raise AssertionError(other)

    def _outvoted(self, result: bytes, spec: Spec | None) -> str | None:
        """Of a rule that proofs know, nobody outvotes anything."""
        assert spec is not None
        if spec.round_id != self.state.ledger.current:
            return "WrongRound"
        known = self._current()
        if known is None or known.state is not RoundState.PROPOSED or known.proposal is None:
            return "WrongState"
        if result != known.proposal.result:
            return "WrongResult"
        return "Refutable" if spec.hash_struct() == known.opening.spec else "WrongSpec"

    # -- what the rest is made of

    def _participant(self, who: Address) -> Participant:
        return self.state.participants.get(who, Participant())

    def _bond(self, who: Address) -> int:
        return self.state.ledger.bonds.get(who, 0)

    def _is_frozen(self, who: Address) -> bool:
        return self.state.ledger.frozen_by(who) is not None

    def _current(self) -> Round | None:
        return self.state.ledger.rounds.get(self.state.ledger.current)

    def _is_live(self, round_id: int) -> bool:
        known = self.state.ledger.rounds.get(round_id)
        return known is not None and known.state in (RoundState.OPEN, RoundState.PROPOSED)

    def _live(self) -> Round | None:
        return self._current() if self._is_live(self.state.ledger.current) else None


def at_state(rules: Rules, state: Federation) -> Rules:
    """The same federation, later."""
    return replace(rules, state=state)


def _undelivered(words: bytes) -> int:
    return sum(words[at] >= ATTESTED for at in range(1, len(words), 32))


def _is_good(word: bytes, is_counted: int) -> bool:
    """Whether the ledger takes a word for a slot that the bitmap counts or does not."""
    if is_counted:
        is_negative = word[15] >> 7
        return word[:2] == b"\2\0" and word[2] == is_negative and not any(word[27:])
    if any(word[2:]):
        return False
    return word[0] == (1 if word[1] else 0) and word[1] <= max(Reason)
