"""Valid messages for tests of protocol/, and the committed vectors; a test changes one thing."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

from protocol import keys
from protocol.messages import Claims, Domain, Spec, Update, cohort_hash
from protocol.rulebook import encode_chain

VECTORS = Path(__file__).resolve().parent.parent / "vectors"


def vectors(name: str) -> list[dict[str, Any]]:
    """The vectors of a committed file."""
    loaded = json.loads((VECTORS / name).read_text(encoding="utf-8"))
    assert isinstance(loaded, list)
    assert loaded
    return loaded


def raw(text: str) -> bytes:
    """The bytes of 0x and digits."""
    return bytes.fromhex(text.removeprefix("0x"))


def some(label: str, size: int = 32) -> bytes:
    """Bytes that look random and are always the same."""
    return sha256(label.encode()).digest()[:size]


KEY = some("a participant")
PARTICIPANT = keys.address(KEY)
COHORT = sorted([PARTICIPANT, some("b", 20), some("c", 20)])
DOMAIN = Domain(chain_id=31337, ledger=some("ledger", 20))
SPEC = Spec(
    federation=some("federation"),
    round_id=7,
    previous=some("previous"),
    base_model=some("base model"),
    cohort=cohort_hash(COHORT),
    enclave=some("enclave"),
    rule=4,
    chain=encode_chain("trimmed-mean"),
    f=1,
    m=0,
    min_counted=3,
    exponent=-14,
    dimension=300,
    norm_bound=0,
    weight_cap=1000,
    optimizer=0,
    learning_rate=65536,
    decay=0,
    disclosure=0,
    budget=10**17,
    deadlines=(100, 200, 300, 400, 500),
)
UPDATE = Update(
    federation=SPEC.federation,
    round_id=SPEC.round_id,
    spec=SPEC.hash_struct(),
    enclave=SPEC.enclave,
    participant=PARTICIPANT,
    update_root=some("update root"),
    samples=60,
)
CLAIMS = Claims(
    federation=SPEC.federation,
    chain_id=31337,
    ledger=DOMAIN.ledger,
    operator=some("operator", 20),
    kem=0x647A,
    hpke_key=some("hpke key"),
    policy=some("charter"),
    nonce=some("block hash"),
    state_version=0,
    state_hash=bytes(32),
    protections=0,
)
