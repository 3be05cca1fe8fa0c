"""Enclaves that come and go while rounds go on: replaced before they expire, dropped when members stop believing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from coordinator.consortium import Motion, about, accept_tcb, allow, revoke_certificate
from coordinator.ledger import LedgerState
from protocol.attestation.certificates import parse_certificate, parse_pem_chain
from protocol.attestation.collateral import parse_collateral
from protocol.errors import CommitmentMismatchError, PolicyError, UnavailableError, VerificationError
from protocol.events import Action, RoundVoided, VoidReason, parse_event, topic_of
from protocol.hashing import sha256
from tests.support import coordinators
from tests.support.anvil import TestChain, test_chain
from tests.support.coordinators import TestPlatform, World, build, rows, wait
from tests.support.evidence import make_hardware
from tests.support.federation import WINDOWS

__all__ = ["test_chain"]  # the fixture

SLACK_S = 60
"""What a coordinator adds to the first deadline by default."""


def play(world: World, round_id: int) -> bytes:
    """One whole round; returns the enclave that it was opened with."""
    spec = world.collecting(round_id)
    for slot, row in enumerate(rows(round_id, 4)):
        world.send(spec, slot, row)
    world.chain.move_clock_past(spec.deadlines[2])
    world.wait_state(round_id, LedgerState.PROPOSED)
    world.chain.move_clock_past(spec.deadlines[4])
    world.wait_state(round_id, LedgerState.SETTLED)
    return spec.enclave


def test_an_enclave_that_would_not_outlive_the_next_round_is_replaced_and_no_round_is_lost(
    test_chain: TestChain, test_platform: TestPlatform, tmp_path: Path
) -> None:
    expiry = test_chain.chain.now() + SLACK_S + sum(WINDOWS) + 30  # one round long, and not two
    world = build(test_chain, test_platform, tmp_path / "c", "replaced", tcb_expiry=expiry)
    with world.coordinator(last_round=2):
        first = play_and_renew(world)
        second = play(world, 2)
    assert first != second
    assert world.ledger.enclave(first).expiry == expiry
    assert world.ledger.enclave(second).expiry > expiry
    assert [world.ledger.state_of(round_id) for round_id in (1, 2)] == [LedgerState.SETTLED] * 2


def play_and_renew(world: World) -> bytes:
    """The first round, in which members accept newer collateral of the platform."""
    world.collecting(1)
    allow(world.federation.members, accept_tcb(world.believed.row))
    return play(world, 1)


def test_when_what_members_accepted_ends_too_soon_nothing_is_registered_over_and_over(
    test_chain: TestChain, test_platform: TestPlatform, tmp_path: Path
) -> None:
    expiry = test_chain.chain.now() + 20  # shorter than any round
    world = build(test_chain, test_platform, tmp_path / "c", "short", tcb_expiry=expiry)
    with world.coordinator(last_round=1):
        enclave: bytes = world.get("/v1/enclave")["enclave"]
        allow(world.federation.members, accept_tcb(world.believed.row))
        assert play(world, 1) == enclave  # it waited with the keys that it had


STOP_BELIEVING: dict[str, Callable[[World], Motion]] = {
    "measurement": lambda world: about(Action.REVOKE_MEASUREMENT, measurement_of(world)),
    "authority": lambda world: about(Action.DISTRUST_AUTHORITY, world.believed.row.authority),
    "platform": lambda world: revoke_certificate(world.believed.row.authority, serial_of(world)),
    "enclave": lambda world: about(Action.REVOKE_ENCLAVE, world.get("/v1/enclave")["enclave"]),
}


def measurement_of(world: World) -> bytes:
    (measurement,) = world.federation.members[0].allowed_measurements()
    return measurement


def serial_of(world: World) -> int:
    chain = parse_collateral(world.collateral).pck_certificate_chain
    assert chain is not None
    return parse_certificate(parse_pem_chain(chain, count=3)[0]).serial


@pytest.mark.parametrize("is_proposed", [False, True], ids=["open", "proposed"])
@pytest.mark.parametrize("what", STOP_BELIEVING)
def test_the_coordinator_itself_voids_a_round_that_members_stopped_believing_in(
    world: World, what: str, is_proposed: bool
) -> None:
    with world.coordinator(last_round=1):
        spec = world.collecting(1)
        for slot, row in enumerate(rows(3, 4)):
            world.send(spec, slot, row)
        bond = world.ledger.bond(world.ledger.opened(1).coordinator)
        if is_proposed:
            world.chain.move_clock_past(spec.deadlines[2])
            world.wait_state(1, LedgerState.PROPOSED)
        allow(world.federation.members, STOP_BELIEVING[what](world))
        if is_proposed:
            world.chain.move_clock_past(spec.deadlines[4])
        world.wait_state(1, LedgerState.VOID)
    topics = [topic_of(RoundVoided), (1).to_bytes(32)]
    (log,) = world.chain.chain.logs(world.ledger.address, topics, 0)
    event = parse_event("RoundLedger", log.topics, log.data)
    assert isinstance(event, RoundVoided)
    assert (event.reason, event.fee) == (VoidReason.ENCLAVE_INACTIVE, 0)
    assert world.ledger.bond(world.ledger.opened(1).coordinator) == bond


def test_the_collateral_that_members_voted_for_is_public_by_its_hash(world: World) -> None:
    with world.coordinator(last_round=1):
        world.registered()
        digest = world.believed.row.collateral
        wait(lambda: world.ask("GET", f"/v1/blobs/{digest.hex()}")[0] == 200)
        assert sha256(world.ask("GET", f"/v1/blobs/{digest.hex()}")[1]) == digest


def test_a_member_believes_neither_other_collateral_nor_another_root(world: World) -> None:
    with world.coordinator(last_round=1):
        enclave = world.registered()
    member = world.federation.members[0]
    now_s = world.chain.chain.now()
    other = make_hardware(now_s)
    with pytest.raises(CommitmentMismatchError, match="SHA-256 of the collateral"):
        member.check_enclave(enclave, collateral=other.issued, now_s=now_s, allow_simulated=True)
    with pytest.raises(PolicyError, match="simulated: says nothing about hardware"):
        member.check_enclave(enclave, collateral=world.collateral, now_s=now_s, allow_simulated=False)
    with pytest.raises(VerificationError, match="key of the root"):
        coordinators.believe(world.collateral, other.pki.root_key_hash, now_s)
    allow(world.federation.members, about(Action.REJECT_TCB, world.believed.row.tcb))
    with pytest.raises(UnavailableError, match="is not accepted"):
        member.check_enclave(enclave, collateral=world.collateral, now_s=now_s, allow_simulated=True)
    older = replace(world.believed.row, expiry=world.believed.row.expiry - 1)
    allow(world.federation.members, accept_tcb(older))
    assert member.tcb(older.tcb) == older
