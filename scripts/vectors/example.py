"""The example that docs/protocol.md begins with: one small round, every byte of what is hashed and signed.

Responsible for: the lines between the two markers of the page.
Must not know:   files.
"""

from __future__ import annotations

import numpy as np

from coordinator.enclave.rules import aggregate, totals
from protocol import encoding, fixedpoint, keys, messages, rulebook, sealing, trees
from protocol.messages import ZERO, Domain, Receipt, RoundResult, Spec, Update
from protocol.outcomes import Outcome, Status, bitmap, outcomes_hash
from protocol.payouts import payouts
from protocol.reputation import Standing
from protocol.sealing import Payload
from protocol.trees import SetLeaf
from vectors import some

BEGIN, END = "<!-- example: begin -->", "<!-- example: end -->"
ROWS = {0: [100, -3, 7, 0], 1: [90, 5, 8, 1], 2: [-400, 12, -28, 0]}
"""By slot; slot 3 sends nothing, slot 2 sends about -4 times what it has."""
SAMPLES = {0: 60, 1: 70, 2: 60}
MODEL_EXPONENT = -24
BASE = [0, 1 << 24, -(1 << 24), 5]


def splice(page: str) -> str:
    """The page with the example between its markers."""
    before, rest = page.split(BEGIN)
    after = rest.split(END)[1]
    return f"{before}{BEGIN}\n\n```text\n{render()}```\n\n{END}{after}"


def lines(title: str, *parts: bytes) -> str:
    """A title and bytes in hexadecimal, 32 a line; each part begins a line."""
    shown = [part[start : start + 32].hex() for part in parts for start in range(0, max(len(part), 1), 32)]
    return f"{title}\n" + "".join(f"    {line}\n" for line in shown)


def render() -> str:
    """The whole round."""
    secret = {keys.address(key): key for key in (some(f"example participant {i}") for i in range(4))}
    cohort = sorted(secret)
    domain = Domain(chain_id=31337, ledger=some("example ledger", 20))
    base = np.array(BASE, dtype=np.int32)
    spec = Spec(
        federation=some("example federation"),
        round_id=1,
        previous=ZERO,
        base_model=trees.model_root(base),
        cohort=messages.cohort_hash(cohort),
        enclave=some("example enclave"),
        rule=3,
        chain=rulebook.encode_chain("median"),
        f=1,
        m=0,
        min_counted=3,
        exponent=-14,
        dimension=4,
        norm_bound=0,
        weight_cap=1000,
        optimizer=0,
        learning_rate=1 << 16,
        decay=0,
        disclosure=0,
        budget=10**15,
        deadlines=(1000, 1060, 1120, 1180, 1480),
    )
    rows = {slot: np.array(row, dtype=np.int16) for slot, row in ROWS.items()}
    updates = {
        slot: Update(
            federation=spec.federation,
            round_id=1,
            spec=spec.hash_struct(),
            enclave=spec.enclave,
            participant=cohort[slot],
            update_root=trees.row_root(row),
            samples=SAMPLES[slot],
        )
        for slot, row in rows.items()
    }
    signatures = {slot: keys.sign(secret[cohort[slot]], update.digest(domain)) for slot, update in updates.items()}
    return _opening(spec, domain, cohort) + _update(spec, domain, updates[0], signatures[0], rows[0]) + _result(
        spec, domain, updates, signatures, rows, base
    )  # fmt: skip


def _opening(spec: Spec, domain: Domain, cohort: list[bytes]) -> str:
    return (
        "federation " + spec.federation.hex() + "\n"
        "chain id 31337, ledger " + keys.to_hex(domain.ledger) + "\n"
        "cohort, ascending: the index is the slot\n"
        + "".join(f"    {slot} {keys.to_hex(participant)}\n" for slot, participant in enumerate(cohort))
        + lines("domain separator (2.1)", domain.separator())
        + lines("Spec: type hash, then 21 words (2.2)", spec.type_hash(), *spec.words())
        + lines("hashStruct(Spec)", spec.hash_struct())
    )


def _update(spec: Spec, domain: Domain, update: Update, signature: bytes, row: fixedpoint.Int16) -> str:
    data = fixedpoint.encode_row(row)
    receipt = Receipt(
        federation=spec.federation, round_id=1, slot=0, update=update.hash_struct(), enclave=spec.enclave
    )  # fmt: skip
    info = sealing.info(
        federation=spec.federation,
        ledger=domain.ledger,
        round_id=1,
        participant=update.participant,
        enclave=spec.enclave,
    )
    payload = sealing.encode_payload(Payload(update=update, signature=signature, row=data))
    return (
        f"\nslot 0 sends {row.tolist()}, from {update.samples} samples\n"
        + lines("row, int16 little-endian (1.2)", data)
        + lines("update root: SHA-256(00 01 || row || 504 zero bytes), one leaf (3.2)", update.update_root)
        + lines("hashStruct(Update)", update.hash_struct())
        + lines("its digest in the domain", update.digest(domain))
        + lines("signature r, s, v (4.1)", signature)
        + lines("payload to be sealed, deterministic CBOR (4.2)", payload)
        + lines("info of the sealing (4.2)", info)
        + lines("hashStruct(Receipt)", receipt.hash_struct())
        + lines("envelope of the Receipt, deterministic CBOR (2.3)", encoding.encode(receipt.to_map()))
    )


def _result(
    spec: Spec,
    domain: Domain,
    updates: dict[int, Update],
    signatures: dict[int, bytes],
    rows: dict[int, fixedpoint.Int16],
    base: fixedpoint.Int32,
) -> str:
    leaves = [
        SetLeaf(
            update_root=updates[slot].update_root, samples=updates[slot].samples, signature=signatures[slot]
        ).encode()
        if slot in updates
        else SetLeaf().encode()
        for slot in range(4)
    ]
    matrix = np.stack([rows[slot] for slot in sorted(rows)])
    done = aggregate("median", matrix, f=1, m=0, weights=None)
    sums = totals(matrix, done)
    model = fixedpoint.model_step(
        base, done.aggregate, learning_rate=1 << 16, decay=0, exponent=-14, model_exponent=MODEL_EXPONENT
    )
    outcomes = [Outcome(status=Status.ABSENT)] * 4
    for i, slot in enumerate(sorted(rows)):
        alignment = int(sums.alignment[-1, i])
        outcomes[slot] = Outcome(
            status=Status.COUNTED,
            flagged=alignment < 0,
            kept=int(sums.kept[-1, i]),
            deviation=int(sums.deviation[-1, i]),
            alignment=alignment,
        )
    columns = trees.column_leaves(matrix, done.aggregate, sums)
    result = RoundResult(
        federation=spec.federation,
        round_id=1,
        spec=spec.hash_struct(),
        previous=ZERO,
        set_root=trees.set_root(leaves),
        counted=bitmap(rows),
        selected=bitmap(rows),
        column_root=trees.column_root(matrix, done.aggregate, sums),
        gram_root=ZERO,
        outcomes=outcomes_hash(outcomes),
        new_model=trees.model_root(model),
        state=ZERO,
        enclave=spec.enclave,
    )
    signature = keys.sign(some("example enclave key"), result.digest(domain))
    paid = {s: Standing().reputation_ppb for s, o in enumerate(outcomes) if o.status == 2 and not o.flagged}
    after = [Standing().after(flagged=o.flagged).reputation_ppb if o.status == 2 else 300_000_000 for o in outcomes]
    return (
        f"\nslot 1 sends {ROWS[1]}, slot 2 {ROWS[2]}, slot 3 nothing; the enclave closes the round\n"
        + "".join(lines(f"set leaf {slot} (3.3)", leaf) for slot, leaf in enumerate(leaves))
        + lines("set root", result.set_root)
        + f"median, int32 in units of 2^-29: {done.aggregate.tolist()}\n"
        + f"r, in int16 units: {fixedpoint.aggregate_to_int16(done.aggregate).tolist()}\n"
        + lines("column leaf 0: columns, totals, aggregate (3.4)", columns[0][:32], columns[0][32:64], columns[0][64:])
        + f"model, int32 in units of 2^-24: {base.tolist()} -> {model.tolist()}\n"
        + lines("model root", result.new_model)
        + lines("outcome words, one a slot (5.3)", *(outcome.word() for outcome in outcomes))
        + lines("RoundResult: 13 words", *result.words())
        + lines("hashStruct(RoundResult)", result.hash_struct())
        + lines("its digest in the domain", result.digest(domain))
        + lines("the enclave's signature", signature)
        + f"payouts in wei (7.3): {payouts(budget_wei=spec.budget, cohort_size=4, reputations_ppb=paid)}\n"
        + f"reputations afterwards (7.2): {after}\n"
    )
