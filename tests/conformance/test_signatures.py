"""A signature counts for one message, in one place, in one form: what contracts/test/ does not replay.

Updates are among the lies (tests/support/lies.py); checkpoints, most of receipts and results are tested in Solidity.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pytest

from contracts.abi import Interface
from coordinator import anvil
from protocol import keys
from protocol.hashing import sha256
from protocol.messages import Checkpoint, Domain, Receipt, RoundResult, Struct, Unavailable, Update
from scripts.ledger_world import LedgerWorld, Refused, Round, counted, default_terms

ZERO = bytes(32)
Sign = Callable[[bytes, Struct, Domain], bytes]


@dataclass(frozen=True)
class Stage:
    """A round for which it is time to propose."""

    world: LedgerWorld
    round: Round
    receipt: Receipt
    complaint: Unavailable
    members: list[tuple[bytes, bytes]]
    """(address, key), ascending."""


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with anvil.start() as chain:
        world = LedgerWorld(
            chain.rpc, "signatures", participants=7, terms=default_terms(windows=(60, 60, 60, 9999, 99))
        )
        found = world.finish(world.open(), [counted()] * 7)
        world.move_to(found.spec.deadlines[2] + 1)
        spec, result = found.spec, found.result
        assert result is not None
        secrets = [sha256(b"account", world.name, f"member {index}".encode()) for index in range(4)]
        yield Stage(
            world=world,
            round=found,
            receipt=Receipt(
                federation=spec.federation, round_id=1, slot=0, update=sha256(b"one"), enclave=spec.enclave
            ),
            complaint=Unavailable(federation=spec.federation, round_id=1, result=result.hash_struct()),
            members=sorted((keys.address(secret), secret) for secret in secrets),
        )


def properly(key: bytes, message: Struct, domain: Domain) -> bytes:
    return keys.sign(key, message.digest(domain))


def on_another_chain(key: bytes, message: Struct, domain: Domain) -> bytes:
    return properly(key, message, replace(domain, chain_id=1))


def for_another_contract(key: bytes, message: Struct, domain: Domain) -> bytes:
    return properly(key, message, replace(domain, ledger=sha256(b"consortium")[:20]))


def without_a_domain(key: bytes, message: Struct, domain: Domain) -> bytes:
    return keys.sign(key, message.hash_struct())


def with_high_s(key: bytes, message: Struct, domain: Domain) -> bytes:
    signature = properly(key, message, domain)
    s = keys.ORDER - int.from_bytes(signature[32:64])
    return signature[:32] + s.to_bytes(32) + bytes([55 - signature[64]])


def with_v_of_0_or_1(key: bytes, message: Struct, domain: Domain) -> bytes:
    signature = properly(key, message, domain)
    return signature[:64] + bytes([signature[64] - 27])


def of(kind: type[Struct]) -> Sign:
    """Signed by the same key, another message with the same values where they have the same names."""

    def sign(key: bytes, message: Struct, domain: Domain) -> bytes:
        values = {"federation": getattr(message, "federation", ZERO), "round_id": 1}
        rest = {
            Update: {
                "spec": ZERO,
                "enclave": ZERO,
                "participant": keys.address(key),
                "update_root": ZERO,
                "samples": 1,
            },
            Receipt: {"slot": 0, "update": ZERO, "enclave": ZERO},
            Checkpoint: {"result": getattr(message, "result", ZERO), "block_hash": ZERO},
            Unavailable: {"result": getattr(message, "result", ZERO)},
        }[kind]
        return properly(key, kind(**values, **rest), domain)

    return sign


def changed(**changes: object) -> Sign:
    """Signed properly, a message of which these fields are others."""
    return lambda key, message, domain: properly(key, replace(message, **changes), domain)


FORMS = [on_another_chain, for_another_contract, without_a_domain, with_high_s, with_v_of_0_or_1]


def named(cases: list[tuple[str, Sign]]) -> list[object]:
    return [pytest.param(sign, id=name) for name, sign in [*[(form.__name__, form) for form in FORMS], *cases]]


def refuses(act: Callable[[], object]) -> str:
    with pytest.raises(Refused) as refused:
        act()
    return refused.value.name


@pytest.mark.parametrize(
    "sign",
    named(
        [
            ("another federation", changed(federation=ZERO)),
            ("another round", changed(round_id=2)),
            ("another slot", changed(slot=1)),
            ("another enclave", changed(enclave=ZERO)),
            ("an update", of(Update)),
            ("a checkpoint", of(Checkpoint)),
            ("a complaint", of(Unavailable)),
        ]
    ),
)
def test_a_receipt_is_signed_for_here_and_for_this(stage: Stage, sign: Sign) -> None:
    world, one, other = stage.world, stage.receipt, replace(stage.receipt, update=sha256(b"another"))
    signed = properly(world.enclave_key, one, world.domain), sign(world.enclave_key, other, world.domain)
    proof = Interface("SetPredicates").call_data("twoReceipts", stage.round.spec, one, signed[0], other, signed[1])

    error = refuses(lambda: world.send("Disputes", "refute", 0, proof, ZERO, sender=world.members[0]))

    assert error == "OtherSigner"


@pytest.mark.parametrize(
    "sign",
    named(
        [
            ("another federation", changed(federation=ZERO)),
            ("another round", changed(round_id=2)),
            ("another model", changed(new_model=ZERO)),
            ("an update", of(Update)),
            ("a receipt", of(Receipt)),
            ("a checkpoint", of(Checkpoint)),
            ("a complaint", of(Unavailable)),
        ]
    ),
)
def test_a_result_is_signed_for_here_and_for_this(stage: Stage, sign: Sign) -> None:
    world, result = stage.world, stage.round.result
    assert isinstance(result, RoundResult)
    arguments = (stage.round.spec, result, stage.round.outcomes, sign(world.enclave_key, result, world.domain))

    error = refuses(lambda: world.send("RoundLedger", "propose", *arguments, sender=world.coordinator))

    assert error == {
        with_high_s: "ECDSAInvalidSignatureS",
        with_v_of_0_or_1: "ECDSAInvalidSignature",
    }.get(sign, "WrongSigner")


@pytest.mark.parametrize(
    "sign",
    named(
        [
            ("another federation", changed(federation=ZERO)),
            ("another round", changed(round_id=2)),
            ("another result", changed(result=ZERO)),
            ("an update", of(Update)),
            ("a receipt", of(Receipt)),
            ("a checkpoint", of(Checkpoint)),
        ]
    ),
)
def test_a_complaint_is_signed_for_here_and_for_this(stage: Stage, sign: Sign) -> None:
    world, complaint = stage.world, stage.complaint
    (_, first), (_, second), *_ = stage.members
    signatures = properly(first, complaint, world.domain) + sign(second, complaint, world.domain)

    error = refuses(lambda: world.send("Consortium", "postUnavailable", complaint, signatures, sender=world.members[0]))

    # whoever it is the signature of, it is no member after the first one
    assert error in {
        with_high_s: {"ECDSAInvalidSignatureS"},
        with_v_of_0_or_1: {"ECDSAInvalidSignature"},
    }.get(sign, {"NotMember", "SignersNotAscending"})


def test_what_is_signed_properly_counts(stage: Stage) -> None:
    world, (first, second, *_) = stage.world, [secret for _, secret in stage.members]
    snapshot = world.ask("evm_snapshot")
    world.propose(stage.round)
    signatures = b"".join(properly(key, stage.complaint, world.domain) for key in (first, second))
    world.send("Consortium", "postUnavailable", stage.complaint, signatures, sender=world.members[0])
    state = world.read("RoundLedger", "stateOf", 1)
    world.ask("evm_revert", snapshot)

    assert state == [4]
