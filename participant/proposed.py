"""Is my update in the result that is proposed now?  Held against the promise while the result can still be refuted.

Responsible for: one look at every proposed result, what is said of it, and what the owner can type about it.
Must not know:   training, sending, how a result is refuted, how a round ends.

    1  outcome  of the own slot, as the ledger has it: known at once, whatever the coordinator does
    2  leaf     of the own slot, where the coordinator shows the leaves of the signed set tree

What was found is in the journal, so that it is said once, also by a participant that was started again.  A coordinator
that shows nothing is asked again after AGAIN_S, for LOOK_S; the rest of the loop waits no longer than that.

Spec: docs/protocol.md sections 3 and 7.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from participant.chain import Chain, ProposedResult
from participant.client import Coordinator
from participant.journal import Journal, Look, SentUpdate, StoredReceipt
from participant.settled import check_leaf, check_leaves, check_outcome, describe, is_refutable
from participant.update import parse_signed
from protocol.errors import UnavailableError, VeriflockError
from protocol.evidence import RoundEvidence
from protocol.keys import Address, to_hex
from protocol.outcomes import parse_outcomes

LOOK_S = 5.0
"""For the coordinator to show its evidence, at each look."""

AGAIN_S = 15.0
"""Until a coordinator that did not show it is asked again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Commands:
    """What to type, with the owner's own settings."""

    rpc: str
    """The chain's JSON-RPC address."""
    ledger: Address
    """The RoundLedger."""
    coordinator: str
    """URL of the coordinator."""
    ca: Path | None
    """PEM of the only authority to accept for it; None: those of the system."""
    key: Path
    """File with the identity key."""
    has_dispute: bool
    """Whether `veriflock dispute` is installed here."""

    def dispute(self, round_id: int, receipt: Path | None) -> str:
        """Refutes the round's result.  receipt: file of the broken promise; none where it is a commitment."""
        words = ["veriflock", "dispute", *self._chain(round_id), "--coordinator", self.coordinator]
        if self.ca is not None:
            words += ["--ca", str(self.ca.absolute())]
        if receipt is not None:
            words += ["--receipt", str(receipt.absolute())]
        return shlex.join([*words, "--key", str(self.key.absolute())])

    def request_leaf(self, round_id: int, slot: int) -> str:
        """Makes the coordinator show a slot's set leaf on the ledger; the key is a member's."""
        words = ["veriflock", "consortium", "request-leaf", "set", str(slot), *self._chain(round_id)]
        return shlex.join([*words, "--key", "MEMBER.key"])

    def _chain(self, round_id: int) -> list[str]:
        return ["--rpc", self.rpc, "--ledger", to_hex(self.ledger), "--round", str(round_id)]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """A proposed result, and what was promised to one slot."""

    round_id: int
    slot: int
    proposed: ProposedResult
    receipt: StoredReceipt | None
    commitment: bytes
    """Hash committed on chain, or zero."""
    settles_at_s: int
    """First second of the chain's clock at which it may be settled."""

    @property
    def is_refutable(self) -> bool:
        """Whether a proof can show that its outcome breaks the promise."""
        return is_refutable(self.proposed, slot=self.slot, commitment=self.commitment)


class Watch:
    """Looks at proposed results for one participant."""

    def __init__(
        self,
        *,
        chain: Chain,
        coordinator: Coordinator,
        journal: Journal,
        address: Address,
        commands: Commands,
        say: Callable[[str], None],
    ) -> None:
        """say: takes one line for the owner."""
        self._chain, self._coordinator, self._journal = chain, coordinator, journal
        self._address, self._commands, self._say = address, commands, say
        self._again_s = 0.0
        """Monotonic; before, a coordinator that showed nothing is not asked again."""

    def look(self, round_id: int) -> bool:
        """One look at a round that is proposed; whether its result was seen to break the promise.

        Raises: UnavailableError when the chain does not answer; VeriflockError when it contradicts itself.
        """
        before = self._journal.look(round_id)
        if before is not None and before.result != self._chain.result_of(round_id):
            before = None  # the chain took that result back, and has another
        if before is not None and (before.is_complete or time.monotonic() < self._again_s):
            return False
        sent = self._journal.update(round_id)
        if sent is None:
            return False
        case = self._case(round_id)
        broken = self._check_outcome(case, is_said=before is not None)
        evidence = self._shown(case, is_said=before is not None)
        if evidence is not None:
            broken = broken or self._check_leaf(case, sent, evidence)
            if broken:
                self._keep(round_id, evidence)
        look = Look(result=case.proposed.result.hash_struct(), is_complete=evidence is not None)
        if look != before:
            self._journal.record_look(round_id, look)
        return broken

    def _case(self, round_id: int) -> _Case:
        opened, proposed = self._chain.opened(round_id), self._chain.proposed(round_id)
        if proposed is None:
            raise UnavailableError(f"no ResultProposed event of round {round_id}")
        return _Case(
            round_id=round_id,
            slot=opened.cohort.index(self._address),
            proposed=proposed,
            receipt=self._journal.receipt(round_id),
            commitment=self._chain.commitment(round_id, self._address),
            settles_at_s=opened.spec.deadlines[4] + 1,
        )

    def _check_outcome(self, case: _Case, *, is_said: bool) -> bool:
        """Step 1: whether the promise is broken by the outcome alone."""
        try:
            check_outcome(case.proposed, slot=case.slot, receipt=case.receipt, commitment=case.commitment)
        except VeriflockError as error:
            if not is_said:
                self._accuse(case, error, refutable=case.is_refutable)
            return True
        return False

    def _check_leaf(self, case: _Case, sent: SentUpdate, evidence: RoundEvidence) -> bool:
        """Step 2: whether it is broken by what was counted in the slot."""
        outcome = parse_outcomes(case.proposed.outcomes)[case.slot]
        payload = parse_signed(sent.signed)
        try:
            check_leaf(case.proposed, outcome, slot=case.slot, payload=payload, set_leaves=evidence.set_leaves)
        except VeriflockError as error:
            self._accuse(case, error, refutable=True)
            return True
        self._say(f"round {case.round_id}: proposed, {describe(case.slot, outcome)}")
        return False

    def _shown(self, case: _Case, *, is_said: bool) -> RoundEvidence | None:
        """What the coordinator shows, if it leads to the signed set root."""
        self._coordinator.end_within(LOOK_S)
        try:
            evidence = self._coordinator.evidence(case.round_id)
            check_leaves(case.proposed, evidence.set_leaves)
        except (VeriflockError, UnavailableError) as error:  # nonsense is the same as nothing
            self._again_s = time.monotonic() + AGAIN_S
            if not is_said and self._is_concerned(case):
                self._say_withheld(case, error)
            return None
        return evidence

    def _is_concerned(self, case: _Case) -> bool:
        """Whether something was promised or counted: else it matters little what the leaf is."""
        return case.receipt is not None or any(case.commitment) or bool(case.proposed.result.counted >> case.slot & 1)

    # -- what is said

    def _accuse(self, case: _Case, error: VeriflockError, *, refutable: bool) -> None:
        at = f"round {case.round_id}"
        self._say(f"{at}: BROKEN PROMISE in the proposed result: {error} (receipt and update are kept)")
        if not refutable:
            self._say(f"{at}: only the enclave saw why, so no proof can show it; more than f such slots void a round")
            return
        left_s = max(0, case.settles_at_s - self._chain.now())
        self._say(f"{at}: it can be refuted until it is settled, which may be in {left_s} s, by")
        self._say(self._dispute(case))
        if not self._commands.has_dispute:
            self._say(f"{at}: `veriflock dispute` is not installed here: pip install 'veriflock[verifier]'")

    def _say_withheld(self, case: _Case, error: Exception) -> None:
        at = f"round {case.round_id}"
        self._say(f"{at}: the coordinator does not show what is counted in my slot {case.slot} ({error})")
        self._say(f"{at}: it is asked again; a consortium member can ask on the ledger, in the challenge window, by")
        self._say(self._commands.request_leaf(case.round_id, case.slot))
        self._say(f"{at}: and what it answers there is held against the promise by")
        self._say(self._dispute(case))

    def _dispute(self, case: _Case) -> str:
        receipt = None if case.receipt is None else self._journal.receipt_path(case.round_id)
        return self._commands.dispute(case.round_id, receipt)

    def _keep(self, round_id: int, evidence: RoundEvidence) -> None:
        """The leaves that a proof opens: whoever lies about them may withhold them next."""
        self._journal.record_evidence(round_id, evidence)
        folder = shlex.quote(str(self._journal.artifacts.absolute()))
        line = (
            f"what the coordinator showed is kept; without it, --artifacts {folder} instead of --coordinator and --ca"
        )
        self._say(f"round {round_id}: {line}")
