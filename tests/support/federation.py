"""A small federation on a test chain: three members, no delay, short windows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from coordinator.consortium import Member, about, allow
from coordinator.deploy import Deployment, deploy
from coordinator.founding import Founding
from coordinator.founding import Member as FoundingMember
from coordinator.ledger import Ledger
from coordinator.outbox import MemoryRecords, Outbox
from protocol.charter import Charter
from protocol.events import Action
from protocol.fixedpoint import encode_model
from protocol.hashing import sha256
from protocol.keys import address
from protocol.rulebook import RULE_NAMES, encode_chain
from protocol.sealing import KEM_X25519
from protocol.terms import Terms
from tests.support.anvil import TestChain

DIMENSION = 40
WINDOWS = (30, 5, 5, 60, 30)
BUDGET_WEI = 10**15
MEMBERS = 3


@dataclass(frozen=True, slots=True)
class TestFederation:
    """What a test needs to know of it."""

    __test__ = False

    founding: Founding
    deployment: Deployment
    ledger: Ledger
    members: list[Member]
    member_keys: list[bytes]


def charter(dimension: int = DIMENSION) -> Charter:
    """A charter of the smallest kind."""
    return Charter(
        name="test",
        model="softmax",
        dimension=dimension,
        model_exponent=-24,
        dataset="digits",
        classes=10,
        offsets_q16=(0,),
        scales_q16=(65536,),
        kem=KEM_X25519,
    )


def terms(**changes: object) -> Terms:
    """Median of at least three updates; everybody takes part."""
    values: dict[str, object] = {
        "rule": int(RULE_NAMES["median"]),
        "chain": encode_chain("median"),
        "f": 1,
        "m": 0,
        "min_counted": 3,
        "exponent": -14,
        "dimension": DIMENSION,
        "norm_bound": 0,
        "weight_cap": 1000,
        "optimizer": 0,
        "learning_rate": 65536,
        "decay": 0,
        "disclosure": 0,
        "budget": BUDGET_WEI,
        "cohort_size": 0,
        "windows": WINDOWS,
    }
    return Terms(**{**values, **changes})  # type: ignore[arg-type]


def found(chain: TestChain, name: str, **changes: object) -> TestFederation:
    """Deploys a federation of its own for a test of that name; `changes` are to its terms."""
    keys = [chain.key(f"{name} member {index}") for index in range(MEMBERS)]
    founding = Founding(
        charter=charter(),
        genesis_model=encode_model(np.zeros(DIMENSION, dtype=np.int32)),
        members=tuple(FoundingMember(account=address(key), hpke_key=bytes(32)) for key in keys),
        terms=terms(**changes),
        deposit_wei=10**16,
        minimum_bond_wei=10**17,
        delay_s=0,
    )
    records = MemoryRecords()
    outbox = Outbox(records, chain.chain, chain.key(f"{name} founder"), timeout_s=30)
    deployment = deploy(chain.chain, outbox, records, founding, federation=sha256(name.encode()))
    ledger = Ledger(chain.chain, deployment.ledger, from_block=deployment.from_block)
    members = [Member(ledger, key) for key in keys]
    return TestFederation(founding=founding, deployment=deployment, ledger=ledger, members=members, member_keys=keys)


def admit_coordinator(federation: TestFederation, key: bytes) -> Outbox:
    """Has a coordinator admitted, bonded and funded; returns an outbox of its key."""
    allow(federation.members, about(Action.ADMIT_COORDINATOR, address(key)))
    outbox = Outbox(MemoryRecords(), federation.ledger.chain, key, timeout_s=30)
    outbox.send("bond/1", federation.ledger.bond_call(federation.founding.minimum_bond_wei))
    outbox.send("fund/1", federation.ledger.fund_call(100 * BUDGET_WEI))
    return outbox
