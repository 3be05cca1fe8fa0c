"""The deployed contracts and protocol's twins agree: domain, reputations, payouts, streams, cohorts; and gas."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from coordinator import anvil
from coordinator.ledger import blank_result
from protocol import keys
from protocol.attestation.certificates import parse_certificate, parse_pem_chain
from protocol.events import CONTRACTS, Action, stream
from protocol.hashing import keccak256, sha256
from protocol.outcomes import Outcome, Reason, Status
from protocol.payouts import payouts
from protocol.platforms import revocation_data
from protocol.reputation import Standing
from scripts.ledger_world import ETHER, MEASUREMENT, LedgerWorld, Refused, counted, default_terms

ROUND_GAS = 600_000
"""Opening, proposing and settling a round of 20, from the first round on."""


def drawn(rng: random.Random, size: int) -> list[Outcome]:
    """Outcomes of which at least five are counted and at most two undelivered."""
    others = [
        Outcome(status=Status.ABSENT),
        Outcome(status=Status.REFUSED, reason=Reason(rng.randrange(1, 7))),
        Outcome(status=Status.REFUSED, reason=Reason.UNDELIVERED),
    ]
    outcomes = [counted(flagged=rng.random() < 0.3) for _ in range(5)]
    outcomes += [rng.choice([counted(), counted(flagged=True), *others[:2]]) for _ in range(size - 6)]
    rng.shuffle(outcomes)
    return [*outcomes, rng.choice([counted(), others[2]])]


def test_ten_rounds_leave_what_the_twins_say(rpc: str) -> None:
    rng = random.Random(7)
    world = LedgerWorld(rpc, "twins", participants=9)
    standings = dict.fromkeys(world.participants, Standing())
    credits = dict.fromkeys(world.participants, 0)
    treasury = 100 * ETHER
    for _ in range(10):
        outcomes = drawn(rng, 9)
        round_ = world.finish(world.open(), outcomes)
        world.propose(round_)
        world.settle(round_)
        slots = dict(enumerate(round_.cohort))
        good = {
            slot: standings[slots[slot]].reputation_ppb
            for slot, outcome in enumerate(outcomes)
            if outcome.status == Status.COUNTED and not outcome.flagged
        }
        paid = payouts(budget_wei=round_.spec.budget, cohort_size=len(slots), reputations_ppb=good)
        treasury -= sum(paid.values())
        for slot, outcome in enumerate(outcomes):
            if outcome.status == Status.COUNTED:
                credits[slots[slot]] += paid.get(slot, 0)
                standings[slots[slot]] = standings[slots[slot]].after(flagged=outcome.flagged)

    for participant in world.participants:
        standing = standings[participant]
        expected = [standing.good, standing.bad, credits[participant]]
        assert world.read("RoundLedger", "standingOf", participant) == expected
        assert world.read("RoundLedger", "reputationOf", participant) == [standing.reputation_ppb]
    assert world.read("RoundLedger", "treasury") == [treasury]
    assert treasury + sum(credits.values()) == 100 * ETHER


def test_the_domain_is_that_of_the_ledger(rpc: str) -> None:
    world = LedgerWorld(rpc, "domain", participants=1)

    assert world.read("RoundLedger", "domainSeparator") == [world.domain.separator()]


def test_streams_follow_from_the_logs(rpc: str) -> None:
    world = LedgerWorld(rpc, "streams", participants=7)
    round_ = world.finish(world.open(), [counted(flagged=slot == 3) for slot in range(7)])
    world.propose(round_)
    world.settle(round_)
    world.send("RoundLedger", "withdraw", sender=world.participants[0])

    for name in CONTRACTS:
        query = {"address": keys.to_hex(world.addresses[name]), "fromBlock": "0x0", "toBlock": "latest"}
        logs = world.ask("eth_getLogs", query)
        assert isinstance(logs, list)
        decoded = (
            ([bytes.fromhex(topic[2:]) for topic in log["topics"]], bytes.fromhex(log["data"][2:])) for log in logs
        )
        assert world.read(name, "stream") == [stream(decoded)]


def test_a_sampled_cohort_is_the_one_that_python_draws(rpc: str) -> None:
    world = LedgerWorld(rpc, "sample", participants=12, terms=default_terms(cohort_size=8))
    cohorts = []
    for _ in range(3):
        round_ = world.open()
        cohorts.append(round_.cohort)
        round_ = world.finish(round_, [counted() for _ in round_.cohort])
        world.propose(round_)
        world.settle(round_)

    assert all(len(cohort) == 8 for cohort in cohorts)
    assert len(set(cohorts)) > 1


def test_terms_that_members_encode_are_those_that_the_ledger_holds_a_spec_to(rpc: str) -> None:
    world = LedgerWorld(rpc, "terms", participants=7)
    world.set_terms(default_terms(f=1, min_counted=4, budget=5, exponent=-20))

    round_ = world.open()

    assert world.read("Consortium", "termsHash", 1) == [world.terms.hash()]
    assert world.read("RoundLedger", "specOf", 1) == [round_.spec.hash_struct()]


def test_a_tampered_aggregate_signed_by_the_host_is_refused(rpc: str) -> None:
    world = LedgerWorld(rpc, "tampered", participants=7)
    round_ = world.finish(world.open(), [counted() for _ in range(7)])
    assert round_.result is not None
    lie = replace(round_.result, new_model=sha256(b"lie"))
    host = sha256(b"host")

    with pytest.raises(Refused) as refused:
        world.propose(replace(round_, result=lie, signature=keys.sign(host, lie.digest(world.domain))))

    assert refused.value.name == "WrongSigner"
    assert refused.value.arguments == {"expected": keys.address(world.enclave_key), "actual": keys.address(host)}
    assert world.read("RoundLedger", "stateOf", 1) == [1]


def _platform_revocation(world: LedgerWorld) -> tuple[Action, bytes, bytes]:
    leaf, *_ = parse_pem_chain(world.platform.pki.chain, count=3)
    data = revocation_data(world.platform.believed.row.authority, parse_certificate(leaf).serial)
    return Action.REVOKE_CERTIFICATE, keccak256(data), data


REVOKING = {
    "measurement": lambda world: (Action.REVOKE_MEASUREMENT, MEASUREMENT, b""),
    "authority": lambda world: (Action.DISTRUST_AUTHORITY, world.platform.believed.row.authority, b""),
    "platform": _platform_revocation,
    "enclave": lambda world: (Action.REVOKE_ENCLAVE, world.enclave, b""),
}


@pytest.mark.parametrize("is_proposed", [False, True], ids=["open", "proposed"])
@pytest.mark.parametrize("what", REVOKING)
def test_what_members_stop_believing_in_the_middle_of_a_round_voids_it_and_costs_nobody(
    rpc: str, what: str, is_proposed: bool
) -> None:
    world = LedgerWorld(rpc, f"revoked {what} {is_proposed}", participants=7, terms=default_terms(windows=(600,) * 5))
    round_ = world.finish(world.open(), [counted() for _ in range(7)])
    if is_proposed:
        world.propose(round_)
    world.vote(*REVOKING[what](world))

    with pytest.raises(Refused) as refused:
        world.settle(round_) if is_proposed else world.propose(round_)
    assert refused.value.name == "EnclaveInactive"
    result, outcomes = (round_.result, round_.outcomes) if is_proposed else (blank_result(round_.spec), b"")
    world.send("RoundLedger", "voidRound", round_.spec, result, outcomes, sender=world.members[0])

    assert world.read("RoundLedger", "stateOf", 1) == [4]
    assert world.read("RoundLedger", "bondOf", world.coordinator) == [100 * ETHER]
    assert world.read("RoundLedger", "treasury") == [100 * ETHER]


def test_two_epochs_never_share_a_key(rpc: str) -> None:
    world = LedgerWorld(rpc, "epochs", participants=1)
    signer, hpke_key = sha256(b"another signer"), sha256(b"another key")

    with pytest.raises(Refused) as refused:
        world.register(world.enclave_key, hpke_key, epoch=2)
    assert refused.value.name == "SignerUsed"
    with pytest.raises(Refused) as refused:
        world.register(signer, world.hpke_key, epoch=2)
    assert refused.value.name == "HpkeKeyUsed"

    assert world.register(signer, hpke_key, epoch=2) != world.enclave


def test_too_few_counted_void_the_round_without_a_fee(rpc: str) -> None:
    world = LedgerWorld(rpc, "few", participants=7)
    absent = Outcome(status=Status.ABSENT)

    world.propose(world.finish(world.open(), [counted()] * 4 + [absent] * 3))

    assert world.read("RoundLedger", "stateOf", 1) == [4]
    assert world.read("RoundLedger", "bondOf", world.coordinator) == [100 * ETHER]


def test_a_round_of_twenty_costs_at_most_what_is_promised_from_the_first_on() -> None:
    with anvil.start() as chain:
        world = LedgerWorld(chain.rpc, "gas", participants=20)
        for _ in range(2):
            round_ = world.finish(world.open(), [counted(flagged=slot == 9) for slot in range(20)])
            world.propose(round_)
            world.settle(round_)

            assert sum(world.gas[name] for name in ("openRound", "propose", "settle")) <= ROUND_GAS
