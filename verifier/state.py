"""The contracts' state as plain values.

Responsible for: what is known of a federation at one point of the chain.
Must not know:   how it changes (apply.py), storage slots (storage.py), artifacts, or what should have been allowed.

States are immutable, so what was in force at a block is simply the state from before its event.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TypeVar

from protocol import events as e
from protocol.disputes import Verdict
from protocol.errors import VerificationError
from protocol.keys import Address
from protocol.platforms import Authority, Tcb
from protocol.reputation import Standing
from protocol.terms import Terms
from verifier.chain import Log

T = TypeVar("T")


class Membership(IntEnum):
    """A participant's; as Participants.Membership."""

    NONE = 0
    ACTIVE = 1
    LEFT = 2
    SUSPENDED = 3


class EnclaveState(IntEnum):
    """As Enclaves.State."""

    NONE = 0
    REGISTERED = 1
    REVOKED = 2


class RoundState(IntEnum):
    """As RoundLedger.State."""

    NONE = 0
    OPEN = 1
    PROPOSED = 2
    SETTLED = 3
    VOID = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One event with its place in the chain."""

    contract: str
    event: e.Event
    log: Log
    time_s: int
    """Timestamp of its block."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """A member of the consortium."""

    hpke_key: bytes
    newest: int
    """The newest proposal when it was admitted: it votes on later ones only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A proposal of the consortium, and who voted for it."""

    event: e.Proposed
    time_s: int
    members: int
    """Number of members when it was made."""
    voters: tuple[Address, ...] = ()
    """In the order of their votes; the proposer's is the first."""
    is_executed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """What members signed and somebody posted: a checkpoint, or a complaint."""

    entry: Entry
    members: frozenset[Address]
    """Who was a member then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Consortium:
    """What the members decided."""

    members: Mapping[Address, Seat] = field(default_factory=dict)
    measurements: frozenset[bytes] = frozenset()
    coordinators: frozenset[Address] = frozenset()
    terms: tuple[tuple[int, Terms], ...] = ()
    """(from round, terms), ascending: each holds until the next one starts."""
    proposals: Mapping[int, Proposal] = field(default_factory=dict)
    removals: Mapping[tuple[e.Action, bytes], int] = field(default_factory=dict)
    """Newest proposal when a removal of that subject was executed last: older additions are stale."""
    suspensions: Mapping[bytes, int] = field(default_factory=dict)
    """Newest proposal when a measurement was suspended last: older votes to allow it are stale too."""
    checkpoints: tuple[Signed, ...] = ()
    complaints: tuple[Signed, ...] = ()
    """That the data of a proposed result can't be had."""

    def terms_of(self, round_id: int) -> Terms | None:
        """The terms in force for a round."""
        return next((terms for start, terms in reversed(self.terms) if start <= round_id), None)

    def votes_of(self, proposal: Proposal) -> int:
        """Votes that count: of who is a member now and was one before the proposal."""
        seats = [self.members.get(voter) for voter in proposal.voters]
        return sum(seat is not None and seat.newest < proposal.event.proposal for seat in seats)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedAuthority:
    """A CA of platforms that was ever trusted; its kind is for ever."""

    value: Authority
    """As trusted last."""
    is_trusted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptedTcb:
    """A TCB row that was ever accepted."""

    value: Tcb
    """As accepted last."""
    is_accepted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Platforms:
    """Which platforms the members believe."""

    authorities: Mapping[bytes, TrustedAuthority] = field(default_factory=dict)
    tcbs: Mapping[bytes, AcceptedTcb] = field(default_factory=dict)
    revoked: frozenset[bytes] = frozenset()
    """Ids of certificates."""
    issuers: tuple[bytes, ...] = ()
    """Authorities in the order in which votes first named them: the registry numbers them so, from 1."""
    revocations: Mapping[bytes, int] = field(default_factory=dict)
    """How many certificates of an authority were revoked."""

    def number(self, authority: bytes) -> int:
        """An authority's in the registry; 0 for one that no vote ever named."""
        return self.issuers.index(authority) + 1 if authority in self.issuers else 0

    def naming(self, authority: bytes) -> tuple[bytes, ...]:
        """The issuers once a vote has named this one."""
        return self.issuers if authority in self.issuers else (*self.issuers, authority)

    def authority(self, authority: bytes) -> Authority | None:
        """A CA that is trusted now."""
        known = self.authorities.get(authority)
        return known.value if known is not None and known.is_trusted else None

    def tcb(self, tcb: bytes) -> Tcb | None:
        """A row that is accepted now."""
        known = self.tcbs.get(tcb)
        return known.value if known is not None and known.is_accepted else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Participant:
    """One participant, or one that was; as Participants keeps it."""

    membership: Membership = Membership.NONE
    payout: Address = bytes(20)
    has_deposit: bool = False
    since: int = 0
    """First round that it can be in."""
    until: int = 0
    """Newest round when it last stopped being active."""
    reclaimable_at_s: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Enclave:
    """One registered enclave."""

    event: e.EnclaveRegistered
    log: Log
    time_s: int
    platforms: Platforms = field(repr=False, compare=False)
    """What the members believed when it was registered."""
    measurements: frozenset[bytes]
    """What they allowed then."""
    state: EnclaveState = EnclaveState.REGISTERED


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Somebody's standing and credit on the ledger."""

    standing: Standing = field(default_factory=Standing)
    credit_wei: int = 0
    is_enrolled: bool = False
    """Whether it ever joined; who only proves or answers never does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What the ledger's events say of one round, and what was in force when it opened.

    The states from before hold earlier rounds, which hold theirs: they are left out of texts and comparisons.
    """

    opened: Entry
    before: Federation = field(repr=False, compare=False)
    """Everything as of just before it opened."""
    commitments: Mapping[Address, Entry] = field(default_factory=dict)
    proposed: Entry | None = None
    before_proposal: Federation | None = field(default=None, repr=False, compare=False)
    closed: Entry | None = None
    """RoundSettled or RoundVoided."""
    before_close: Federation | None = field(default=None, repr=False, compare=False)
    accounts_before: Mapping[Address, Account] = field(default_factory=dict)
    accounts_after: Mapping[Address, Account] = field(default_factory=dict)
    paid_wei: int = 0
    """Recomputed sum of the payouts of a settled round."""

    @property
    def state(self) -> RoundState:
        """Where it stands."""
        if self.closed is not None:
            return RoundState.SETTLED if isinstance(self.closed.event, e.RoundSettled) else RoundState.VOID
        return RoundState.PROPOSED if self.proposed is not None else RoundState.OPEN

    @property
    def opening(self) -> e.RoundOpened:
        """The event that opened it."""
        return _as(self.opened.event, e.RoundOpened)

    @property
    def proposal(self) -> e.ResultProposed | None:
        """The event that proposed its result."""
        return None if self.proposed is None else _as(self.proposed.event, e.ResultProposed)

    @property
    def challenge_s(self) -> int:
        """Least seconds for challenges.  An answer may take as long, and then the round waits as long again."""
        return self.opening.value.deadlines[4] - self.opening.value.deadlines[3]

    @property
    def void_reason(self) -> e.VoidReason:
        """Why it is void; NONE where it is not."""
        event = None if self.closed is None else self.closed.event
        return event.reason if isinstance(event, e.RoundVoided) else e.VoidReason.NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class Refutation:
    """A verdict: how it came about, and what became of it."""

    entry: Entry
    """RoundRefuted."""
    value: Verdict
    """As it stands: who leads."""
    replacements: tuple[Entry, ...] = ()
    """ProverReplaced, in order."""
    executed: Entry | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """Rounds, accounts and money."""

    rounds: Mapping[int, Round] = field(default_factory=dict)
    current: int = 0
    previous: bytes = bytes(32)
    last_settled: int = 0
    """Round whose result `previous` is; 0 until one settles."""
    model: bytes = bytes(32)
    """Root of the newest settled model; zero stands for the genesis model."""
    accounts: Mapping[Address, Account] = field(default_factory=dict)
    bonds: Mapping[Address, int] = field(default_factory=dict)
    treasury_wei: int = 0
    anchors: tuple[Entry, ...] = ()
    verdicts: Mapping[int, Refutation] = field(default_factory=dict)
    """By round."""

    def frozen_by(self, coordinator: Address) -> Verdict | None:
        """The verdict that a coordinator's bond waits for: nothing is added to it, taken or opened with it."""
        waiting = (known.value for known in self.verdicts.values() if known.executed is None)
        return next((verdict for verdict in waiting if verdict.coordinator == coordinator), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A member's request for a leaf."""

    entry: Entry
    is_members: bool
    """Whether who asked was a member then."""
    answered: Entry | None = None
    closed: Entry | None = None

    @property
    def event(self) -> e.LeafRequested:
        """As it was made."""
        return _as(self.entry.event, e.LeafRequested)

    @property
    def is_open(self) -> bool:
        """Whether its deposit is still held."""
        return self.answered is None and self.closed is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """What the newest round in which something was asked waits for."""

    round_id: int = 0
    not_before_s: int = 0
    open: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Disputes:
    """What was committed to, and what members asked for."""

    commitments: Mapping[bytes, int] = field(default_factory=dict)
    """Block of each pre-commitment."""
    requests: Mapping[tuple[int, Address], Request] = field(default_factory=dict)
    """By round and member."""
    hold: Hold = Hold()

    @property
    def open_requests(self) -> int:
        """Requests whose deposit is still held."""
        return sum(request.is_open for request in self.requests.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Federation:
    """The state of all contracts."""

    consortium: Consortium = Consortium()
    platforms: Platforms = Platforms()
    participants: Mapping[Address, Participant] = field(default_factory=dict)
    enclaves: Mapping[bytes, Enclave] = field(default_factory=dict)
    ledger: Ledger = Ledger()
    disputes: Disputes = Disputes()

    def active(self) -> list[Address]:
        """The active participants, ascending."""
        return sorted(a for a, entry in self.participants.items() if entry.membership is Membership.ACTIVE)

    def is_enclave_trusted(self, enclave: bytes) -> bool:
        """As Enclaves.trustOf: not revoked; measurement, authority and platform certificate still count."""
        entry = self.enclaves.get(enclave)
        return (
            entry is not None
            and entry.state is EnclaveState.REGISTERED
            and entry.event.measurement in self.consortium.measurements
            and self.platforms.authority(entry.event.authority) is not None
            and entry.event.certificate not in self.platforms.revoked
        )


def _as(event: e.Event, kind: type[T]) -> T:
    if not isinstance(event, kind):
        raise VerificationError("kind of an event", expected=kind.__name__, actual=type(event).__name__)
    return event
