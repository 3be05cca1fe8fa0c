"""What is disputed, and the report on it as it grows.

Responsible for: everything that a dispute needs from outside as one value; a report whatever is raised on the way.
Must not know:   what is looked for, or what is sent.

What goes wrong on the way is "could not tell", with everything that was found by then: only the result of a round is
ever refuted here, never a chain, a node or a file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from protocol.errors import UnavailableError, VeriflockError
from protocol.keys import Address, address, to_hex
from verifier.chain import ChainSource
from verifier.dispute.reading import Reading, read_federation
from verifier.dispute.report import DisputeReport
from verifier.evidence import ArtifactSource
from verifier.node import Mined, Node, RefusedError
from verifier.refutation.statement import SignedReceipt
from verifier.report import BANNER, Status
from verifier.sender import Sender
from verifier.state import Round, RoundState

NOBODY: Address = bytes(20)
"""Who asks where there is no key."""

EXECUTE = "veriflock dispute --execute --round {round}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is disputed, and what may be done about it."""

    open_chain: Callable[[], ChainSource]
    ledger: Address
    artifacts: ArtifactSource | None
    round_id: int | None
    """None: the newest."""
    receipts: tuple[SignedReceipt, ...] = ()
    """That participants hold."""
    node: Node | None = None
    """To try proofs and to send them; None where there is only a folder."""
    key: bytes | None = field(default=None, repr=False)
    """Whose transactions they are."""
    sends: bool = False
    """Whether anything is sent at all; needs node and key."""
    pre_commit: bool = True
    cap_wei: int = 0
    """Most that a unit of gas may cost."""
    wait_s: float = 0.0
    """Until a transaction has to be mined."""
    fetch_s: float | None = None
    """For everything that is fetched of a round; None: by the time that is left until it may be settled."""
    tell: Callable[[DisputeReport], None] | None = None
    """Told what is about to be sent."""

    @property
    def account(self) -> Address:
        """Who asks."""
        return NOBODY if self.key is None else address(self.key)

    def reread(self) -> Reading:
        """The chain as it is now."""
        return read_federation(self.open_chain, self.ledger)


class Story:
    """The report as it grows: whatever is raised, what was found before stays in it."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.report = DisputeReport(subject={"ledger": to_hex(subject.ledger)})

    def add(self, **changes: object) -> DisputeReport:
        """The report with these fields."""
        self.report = replace(self.report, **changes)  # type: ignore[arg-type]
        return self.report

    def sent(self, mined: Mined) -> None:
        """One more transaction, also one that failed."""
        self.add(sent=(*self.report.sent, mined))

    def about(self, reading: Reading, known: Round) -> None:
        """Whatever the ledger says of the round."""
        source = {"chain": reading.source, "ledger": to_hex(self.subject.ledger)}
        if self.subject.artifacts is not None:
            source["artifacts"] = self.subject.artifacts.describe()
        enclave = known.before.enclaves.get(known.opening.enclave)
        if enclave is not None and enclave.event.simulated:
            source["enclave"] = BANNER
        verdict = reading.state.ledger.verdicts.get(known.opening.round_id)
        self.add(
            subject=source,
            round_id=known.opening.round_id,
            round_state=state_of(known),
            result=None if known.proposal is None else known.proposal.result,
            verdict=None if verdict is None else verdict.value,
        )


def run(subject: Subject, tell: Callable[[Story], DisputeReport]) -> DisputeReport:
    """What `tell` comes to, or as far as it got."""
    story = Story(subject)
    try:
        return tell(story)
    except RefusedError as error:
        again = "run the command again: it reads the chain anew, and goes on from there"
        return story.add(status=Status.UNKNOWN, summary=str(error), next_steps=(again,))
    except VeriflockError as error:
        return story.add(status=Status.UNKNOWN, summary=str(error), next_steps=("veriflock verify looks at all of it",))
    except (UnavailableError, OSError) as error:
        return story.add(status=Status.UNKNOWN, summary=str(error))
    except Exception as error:  # the last resort of a program that must never say 0 or show a traceback by accident
        return story.add(
            status=Status.UNKNOWN, summary=f"the verifier failed in itself: {type(error).__name__}: {error}"
        )


def sender_of(story: Story, node: Node, reading: Reading) -> Sender:
    """Sends with the subject's key; whatever is mined is in the report."""
    subject = story.subject
    return Sender(
        node,
        subject.key or b"",
        chain_id=reading.deployment.chain_id,
        cap_wei=subject.cap_wei,
        wait_s=subject.wait_s,
        tell=story.sent,
    )


def state_of(known: Round) -> str:
    """The round's, for people."""
    state = known.state.name.lower()
    return f"{state} ({known.void_reason.name.lower()})" if known.state is RoundState.VOID else state
