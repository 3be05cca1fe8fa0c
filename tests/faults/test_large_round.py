"""A round so large that machine code does it: a real enclave in its own process, shut off as it always is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from coordinator.door import Door
from coordinator.enclave.rounds import Entry, Round, compute
from coordinator.enclave.rules import machine
from protocol import fixedpoint, keys, sealing, trees
from protocol.attestation.protections import Protection
from protocol.charter import Charter
from protocol.hashing import sha256
from protocol.messages import ZERO, Domain, Spec, Update, cohort_hash
from protocol.rulebook import parse_chain
from protocol.sealing import Payload
from tests.unit.platform_world import LAUNCH, ROOT, WAIT_S, start

D = 860_007
SECRETS = {keys.address(key): key for key in (sha256(b"large", bytes([i])) for i in range(5))}
COHORT = sorted(SECRETS)
CHARTER = Charter(
    name="large", model="flat", dimension=D, model_exponent=-24, dataset="none", classes=2, offsets_q16=(0,),
    scales_q16=(1,), kem=sealing.KEM_HYBRID,
)  # fmt: skip
DOMAIN = Domain(chain_id=LAUNCH["chain_id"], ledger=LAUNCH["ledger"])


def spec_for(text: str, enclave: bytes, base: fixedpoint.Int32) -> Spec:
    chain = parse_chain(text)
    return Spec(
        federation=LAUNCH["federation"], round_id=1, previous=ZERO, base_model=trees.model_root(base),
        cohort=cohort_hash(COHORT), enclave=enclave, rule=int(chain.number), chain=chain.encode(), f=1, m=0,
        min_counted=5, exponent=-14, dimension=D, norm_bound=0, weight_cap=1000, optimizer=0, learning_rate=65536,
        decay=0, disclosure=0, budget=0, deadlines=(10, 20, 30, 40, 50),
    )  # fmt: skip


def payload_of(spec: Spec, slot: int, row: fixedpoint.Int16) -> Payload:
    update = Update(
        federation=spec.federation, round_id=1, spec=spec.hash_struct(), enclave=spec.enclave,
        participant=COHORT[slot], update_root=trees.row_root(row), samples=100,
    )  # fmt: skip
    signature = keys.sign(SECRETS[COHORT[slot]], update.digest(DOMAIN))
    return Payload(update=update, signature=signature, row=fixedpoint.encode_row(row))


def test_an_enclave_makes_machine_code_and_signs_what_numpy_gets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = np.random.default_rng(1).integers(-3000, 3001, (5, D)).astype(np.int16)
    base = np.arange(D, dtype=np.int32)
    assert machine.is_worth_it(tuple(rows), slice(0, D))
    platform = start(tmp_path / "platform", tmp_path / "socket", ROOT)
    launch = LAUNCH | {"charter": CHARTER.encode()}
    door = Door(platform.socket_path, launch, timeout_s=3 * WAIT_S, store=lambda name, blob: None)
    try:
        started = door.start({})
        spec = spec_for("nnm+trimmed-mean", started.enclave, base)
        door.open(spec, COHORT, fixedpoint.encode_model(base))
        suite = sealing.suite(CHARTER.kem)
        key = sealing.parse_public_key(CHARTER.kem, started.hpke_key)
        payloads = [payload_of(spec, slot, row) for slot, row in enumerate(rows)]
        for participant, payload in zip(COHORT, payloads, strict=True):
            info = sealing.info(
                federation=spec.federation, ledger=LAUNCH["ledger"], round_id=1, participant=participant,
                enclave=spec.enclave,
            )  # fmt: skip
            door.submit(participant, suite.encrypt(sealing.encode_payload(payload), key, info=info))
        closed = door.close_round({}, {})
        assert [door.row(slot) for slot in range(5)] == [payload.row for payload in payloads]
    finally:
        door.close()
        platform.process.terminate()
        platform.process.wait(WAIT_S)
        assert platform.process.stdout is not None
        platform.process.stdout.close()
    assert Protection(started.claims.protections) & Protection.NO_CORE_DUMPS
    monkeypatch.setattr(machine, "WORTH_IT", 1 << 60)
    state = Round(spec=spec, cohort=tuple(COHORT), base=base)
    for slot, payload in enumerate(payloads):
        state.entries[slot] = Entry(update=payload.update, signature=payload.signature)
        state.rows[slot] = rows[slot]
    assert compute(state, model_exponent=-24, recheck=[0, 7, -(-D // 16) - 1]).result == closed.result
