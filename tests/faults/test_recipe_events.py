"""A chain whose contracts would have let something through: one event changed, and the check that notices."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import pytest

from protocol import events as e
from protocol.errors import VeriflockError
from protocol.hashing import sha256
from tests.support.verified import bad_news, honest, named
from tests.support.world import RoundWorld
from verifier.apply import apply_all
from verifier.calls import Calls
from verifier.checks import result, storage, votes
from verifier.checks.chain import check_2_code, check_3_streams
from verifier.dump import DumpChain
from verifier.evidence import FolderArtifacts
from verifier.recipe import CASE_CHECKS, RESULT_CHECKS
from verifier.report import Report, Status
from verifier.state import Entry
from verifier.world import Case, World

__all__ = ["honest"]


@pytest.fixture(scope="module")
def entries(honest: RoundWorld) -> tuple[DumpChain, World, tuple[Entry, ...]]:
    chain = DumpChain.read(honest.folder / "chain.json")
    deployment, _ = check_2_code(chain, honest.domain.ledger)
    found, _ = check_3_streams(chain, deployment)
    artifacts = FolderArtifacts(honest.folder / "artifacts")
    world = World(
        chain=chain,
        deployment=deployment,
        entries=found,
        calls=Calls(chain, deployment, found),
        state=apply_all(found),
        artifacts=artifacts,
    )
    return chain, world, found


def edited(
    found: Sequence[Entry],
    kind: type[e.Event],
    edit: Callable[[e.Event], e.Event | None],
    which: int = 0,
    later_s: int = 0,
) -> tuple[Entry, ...]:
    """The events with the which-th of a kind changed, dropped, or at another time."""
    places = [place for place, entry in enumerate(found) if isinstance(entry.event, kind)]
    place = places[which]
    event = edit(found[place].event)
    kept = [] if event is None else [replace(found[place], event=event, time_s=found[place].time_s + later_s)]
    return (*found[:place], *kept, *found[place + 1 :])


def same(event: e.Event) -> e.Event:
    return event


def dropped(event: e.Event) -> None:
    return None


def with_fields(**changes: object) -> Callable[[e.Event], e.Event]:
    return lambda event: replace(event, **changes)  # type: ignore[arg-type]


def in_value(**changes: object) -> Callable[[e.Event], e.Event]:
    return lambda event: replace(event, value=replace(event.value, **changes))  # type: ignore[attr-defined,call-arg]


def flip_quote(event: e.Event) -> e.Event:
    assert isinstance(event, e.EnclaveRegistered)
    return replace(event, quote=event.quote[:440] + bytes([event.quote[440] ^ 1]) + event.quote[441:])


def flip_claims(event: e.Event) -> e.Event:
    assert isinstance(event, e.EnclaveRegistered)
    return replace(event, claims=replace(event.claims, nonce=sha256(b"old")))


def swap_first(event: e.Event) -> e.Event:
    assert isinstance(event, e.RoundOpened)
    return replace(event, cohort=(b"\x01" * 20, *event.cohort[1:]))


ROUND_EDITS: list[tuple[str, type[e.Event], Callable[[e.Event], e.Event | None], int, int, str]] = [
    ("coordinator", e.RoundOpened, with_fields(coordinator=b"\x11" * 20), 0, 0, "opened"),
    ("base model", e.RoundOpened, in_value(base_model=sha256(b"m")), 0, 0, "opened"),
    ("bond", e.BondAdded, with_fields(amount=1), 0, 0, "opened"),
    ("coordinator never admitted", e.CoordinatorAdmitted, dropped, 0, 0, "opened"),
    ("f", e.RoundOpened, in_value(f=0), 0, 0, "spec"),
    ("norm bound", e.RoundOpened, in_value(norm_bound=5), 0, 0, "spec"),
    ("deadlines", e.RoundOpened, same, 0, 20, "spec"),
    ("cohort", e.RoundOpened, swap_first, 0, 0, "cohort"),
    ("someone joined", e.ParticipantJoined, dropped, 3, 0, "cohort"),
    ("quote", e.EnclaveRegistered, flip_quote, 0, 0, "quote"),
    ("quote's time", e.EnclaveRegistered, same, 0, 10**9, "quote"),
    ("epoch", e.EnclaveRegistered, with_fields(epoch=2), 0, 0, "quote"),
    ("HPKE key", e.EnclaveRegistered, with_fields(hpke_key=sha256(b"k")), 0, 0, "enclave"),
    ("TCB row named", e.EnclaveRegistered, with_fields(tcb=sha256(b"t")), 0, 0, "quote"),
    ("platform certificate named", e.EnclaveRegistered, with_fields(certificate=sha256(b"c")), 0, 0, "quote"),
    ("simulated", e.EnclaveRegistered, with_fields(simulated=False), 0, 0, "quote"),
    ("authority never trusted", e.AuthorityTrusted, with_fields(authority=sha256(b"a")), 0, 0, "quote"),
    ("root of the authority", e.AuthorityTrusted, with_fields(root=sha256(b"r")), 0, 0, "quote"),
    ("kind of the authority", e.AuthorityTrusted, with_fields(kind=e.RootKind.INTEL), 0, 0, "quote"),
    ("TCB never accepted", e.TcbAccepted, dropped, 0, 0, "quote"),
    ("TCB status", e.TcbAccepted, in_value(status=1), 0, 0, "quote"),
    ("platform of the TCB row", e.TcbAccepted, in_value(pce_svn=7), 0, 0, "quote"),
    ("expiry of the TCB row", e.TcbAccepted, in_value(expiry=5), 0, 0, "enclave"),
    ("nonce", e.EnclaveRegistered, flip_claims, 0, 0, "enclave"),
    ("operator", e.EnclaveRegistered, with_fields(operator=b"\x22" * 20), 0, 0, "enclave"),
    ("measurement", e.MeasurementAllowed, with_fields(measurement=sha256(b"x")), 0, 0, "measurement"),
    ("expiry", e.EnclaveRegistered, with_fields(expiry=5), 0, 0, "measurement"),
    ("signature", e.ResultProposed, lambda v: replace(v, signature=b"\1" * 64 + b"\x1b"), 0, 0, "result"),  # type: ignore[call-arg]
    ("new model", e.ResultProposed, in_value(new_model=sha256(b"n")), 0, 0, "result"),
    ("counted", e.ResultProposed, in_value(counted=3), 0, 0, "result"),
    ("outcomes", e.ResultProposed, lambda v: replace(v, outcomes=v.outcomes[:-32]), 0, 0, "result"),  # type: ignore[attr-defined,call-arg]
    ("time of the result", e.ResultProposed, same, 0, 3600, "result"),
    ("paid", e.RoundSettled, with_fields(paid=1), 0, 0, "payouts"),
    ("model that settled", e.RoundSettled, with_fields(new_model=sha256(b"n")), 0, 0, "end"),
    ("time of settling", e.RoundSettled, same, 0, -10, "end"),
    ("result that settled", e.RoundSettled, with_fields(result=sha256(b"n")), 0, 0, "end"),
]


@pytest.mark.parametrize("case", ROUND_EDITS, ids=[edit[0] for edit in ROUND_EDITS])
def test_each_changed_event_is_noticed_by_its_check(
    entries: tuple[DumpChain, World, tuple[Entry, ...]],
    case: tuple[str, type[e.Event], Callable[[e.Event], e.Event | None], int, int, str],
) -> None:
    _, kind, edit, which, later_s, noticed = case
    _, world, found = entries
    try:
        state = apply_all(edited(found, kind, edit, which, later_s))
    except VeriflockError:
        assert noticed in ("result",)  # the replay itself refuses it
        return
    report = Report()
    changed = Case(world=replace(world, state=state), round=state.ledger.rounds[1])
    for number, name, check in (*CASE_CHECKS, *RESULT_CHECKS[:1], RESULT_CHECKS[-1], (26, "end", result.check_26_end)):
        report.run(number, name, 1, partial(check, changed))
    assert noticed in named(report, Status.REFUTED), bad_news(report)


def test_a_bond_that_is_withdrawn_during_the_round_is_noticed(
    entries: tuple[DumpChain, World, tuple[Entry, ...]],
) -> None:
    _, world, found = entries
    place = next(i for i, entry in enumerate(found) if isinstance(entry.event, e.ResultProposed))
    opened = next(entry.event for entry in found if isinstance(entry.event, e.RoundOpened))
    withdrawn = replace(found[place], event=e.BondWithdrawn(coordinator=opened.coordinator, amount=1))
    state = apply_all((*found[:place], withdrawn, *found[place:]))
    with pytest.raises(VeriflockError, match="bond during the round"):
        result.check_26_end(Case(world=replace(world, state=state), round=state.ledger.rounds[1]))


VOTE_EDITS: list[tuple[str, type[e.Event], Callable[[e.Event], e.Event | None], int, int]] = [
    ("a vote too few", e.Voted, dropped, 1, 0),
    ("a vote of a stranger", e.Voted, with_fields(member=b"\x33" * 20), 1, 0),
    ("a vote twice", e.Voted, with_fields(member=b"\x33" * 20), 0, 0),
    ("no vote at all", e.Executed, dropped, 0, 0),
    ("a vote that changes nothing", e.CoordinatorAdmitted, dropped, 0, 0),
    ("another subject", e.MeasurementAllowed, with_fields(measurement=sha256(b"y")), 0, 0),
    ("a proposer who is no member", e.Proposed, with_fields(proposer=b"\x33" * 20), 0, 0),
    ("a number that was skipped", e.Proposed, with_fields(proposal=9), 0, 0),
    ("executed before it was proposed", e.Executed, same, 0, -(10**6)),
    ("executed after a week", e.Executed, same, 0, 8 * 86_400),
    ("other terms than voted", e.TermsSet, with_fields(from_round=77), 1, 0),
    ("an authority under another root", e.AuthorityTrusted, with_fields(root=sha256(b"z")), 0, 0),
    ("an authority that is not the certificate's", e.AuthorityTrusted, with_fields(authority=sha256(b"z")), 0, 0),
    ("a TCB row with another status than voted", e.TcbAccepted, in_value(status=1), 0, 0),
]


@pytest.mark.parametrize("case", VOTE_EDITS, ids=[edit[0] for edit in VOTE_EDITS])
def test_each_changed_vote_is_noticed(
    entries: tuple[DumpChain, World, tuple[Entry, ...]],
    case: tuple[str, type[e.Event], Callable[[e.Event], e.Event | None], int, int],
) -> None:
    _, kind, edit, which, later_s = case
    _, world, found = entries
    with pytest.raises(VeriflockError):
        votes.count_votes(edited(found, kind, edit, which, later_s), world.deployment)


@pytest.mark.parametrize("kind", [e.BondAdded, e.TreasuryFunded, e.ParticipantJoined, e.UpdateCommitted, e.RoundVoided])
def test_an_event_that_is_left_out_is_noticed_by_storage(
    entries: tuple[DumpChain, World, tuple[Entry, ...]], kind: type[e.Event]
) -> None:
    chain, world, found = entries
    state = apply_all(edited(found, kind, dropped))
    with pytest.raises(VeriflockError):
        storage.check_5_storage(chain, world.deployment, state)
