"""The enclave's session: receipts, refusals, restarts, forced inclusion and the one result of a round."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coordinator.enclave.identity import Launch
from coordinator.enclave.rounds import check_supported
from coordinator.enclave.rules import aggregate
from coordinator.enclave.session import Session
from coordinator.platform.counters import Counters
from coordinator.platform.keys import PlatformDirectory
from coordinator.platform.quoting import SimulatedAttester
from protocol import fixedpoint, keys, merkle, outcomes, sealing, trees
from protocol.attestation.protections import Protection
from protocol.charter import Charter
from protocol.encoding import decode_map, encode
from protocol.errors import PolicyError, VerificationError, VeriflockError
from protocol.hashing import sha256
from protocol.messages import ZERO, Receipt, RoundResult, Spec, Update, cohort_hash
from protocol.outcomes import Reason, Status
from protocol.rulebook import encode_chain, parse_chain
from protocol.sealing import Payload
from protocol.terms import Terms

D = 40
NOW_S = 1_750_000_000
MEASUREMENT = sha256(b"code")
PROTECTIONS = Protection.ENVIRONMENT | Protection.SYSTEM_CALL_FILTER
KEYS = [sha256(b"participant %d" % i) for i in range(6)]
COHORT = sorted(keys.address(key) for key in KEYS)
KEY_OF = {keys.address(key): key for key in KEYS}


class Hardware:
    """The simulated platform's own keys, in this process."""

    def __init__(self, folder: Path, measurement: bytes = MEASUREMENT) -> None:
        directory = PlatformDirectory(folder)
        self._keys = directory.keys(NOW_S)
        directory.close()
        self._measurement = measurement
        self.counters_path = folder / "counters.cbor"
        self.counters = Counters(self.counters_path)
        self.dies_at = ""

    def quote(self, report_data: bytes) -> bytes:
        attester = SimulatedAttester(
            pki=self._keys.pki, attestation_key=self._keys.attestation_key, measurement=self._measurement
        )
        return attester.quote(report_data)

    def key(self, purpose: str) -> bytes:
        return self._keys.sealing_key(self._measurement, purpose)

    def advance(self, *, version: int, previous: bytes, state: bytes) -> None:
        if self.dies_at == "count":
            raise EOFError("died before it was counted")
        try:
            self.counters.advance(INSTANCE, version=version, previous=previous, state=state)
        except VerificationError as error:
            raise EOFError(str(error)) from error
        if self.dies_at == "effect":
            raise EOFError("died when it was counted")

    def launch(self, *, fresh: bool) -> Launch:
        counter = self.counters.begin(INSTANCE, fresh=fresh)
        counted = {"epoch": counter.epoch, "state_version": counter.version, "state_hash": counter.state}
        return dataclasses.replace(LAUNCH, fresh=fresh, **counted)

    def roll_back(self) -> None:
        """What the simulated platform can't notice: its own counter put back to the epoch's beginning."""
        counted = decode_map(self.counters_path.read_bytes(), max_bytes=1 << 20)
        for counter in counted.values():
            counter |= {"version": 0, "state": ZERO}
        self.counters_path.write_bytes(encode(counted))


CHARTER = Charter(
    name="test",
    model="flat",
    dimension=D,
    model_exponent=-24,
    dataset="digits",
    classes=10,
    offsets_q16=(0,),
    scales_q16=(65536,),
    kem=sealing.KEM_HYBRID,
)
LAUNCH = Launch(
    charter=CHARTER,
    federation=sha256(b"federation"),
    chain_id=31337,
    ledger=bytes(19) + b"\x07",
    operator=bytes(19) + b"\x08",
    nonce=sha256(b"block"),
    epoch=1,
    fresh=True,
    state_version=0,
    state_hash=ZERO,
)
INSTANCE = sha256(b"instance")
BASE = np.arange(D, dtype=np.int32) * 1000


class Host:
    """What a host keeps: the sealed blobs, and all that the enclave ever sent it."""

    def __init__(
        self,
        folder: Path,
        *,
        blobs: dict[str, bytes] | None = None,
        hardware: Hardware | None = None,
        fresh: bool | None = None,
        protections: Protection = PROTECTIONS,
    ) -> None:
        self.blobs = dict(blobs or {})
        self.seen: list[Any] = []
        self.hardware = hardware or Hardware(folder)
        launch = self.hardware.launch(fresh=not self.blobs if fresh is None else fresh)
        self.session = Session(launch, platform=self.hardware, store=self.store, protections=protections)
        self.hello = self.ask(op="start", sealed=dict(self.blobs))

    def store(self, name: str, blob: bytes) -> None:
        if self.hardware.dies_at == "store":
            raise EOFError("died before it was stored")
        self.seen.append(blob)
        self.blobs[name] = blob

    def ask(self, **request: Any) -> dict[str, Any]:
        reply = self.session.handle(request)
        self.seen.append(reply)
        return reply

    def spec(self, rule: str = "trimmed-mean", **changes: Any) -> Spec:
        numbers = {"mean": 1, "weighted-mean": 2, "median": 3, "trimmed-mean": 4, "krum": 5, "multi-krum": 6}
        spec = Spec(
            federation=LAUNCH.federation,
            round_id=1,
            previous=ZERO,
            base_model=trees.model_root(BASE),
            cohort=cohort_hash(COHORT),
            enclave=self.hello["enclave"],
            rule=numbers[rule],
            chain=encode_chain(rule),
            f=1,
            m=0,
            min_counted=1,
            exponent=-14,
            dimension=D,
            norm_bound=0,
            weight_cap=1000,
            optimizer=0,
            learning_rate=65536,
            decay=0,
            disclosure=0,
            budget=10**15,
            deadlines=(10, 20, 30, 40, 50),
        )
        return dataclasses.replace(spec, **changes)

    def open(self, spec: Spec) -> dict[str, Any]:
        return self.ask(op="open", spec=spec.to_map(), cohort=COHORT, base=fixedpoint.encode_model(BASE))

    def submit(self, participant: bytes, sealed: bytes) -> dict[str, Any]:
        return self.ask(op="submit", participant=participant, sealed=sealed)

    def close(self, commitments: dict[str, bytes] | None = None, blobs: dict[str, Any] | None = None) -> dict[str, Any]:
        return self.ask(op="close", commitments=commitments or {}, undelivered=blobs or {})


def row_of(slot: int) -> fixedpoint.Int16:
    return np.random.default_rng(slot).integers(-300, 300, D).astype(np.int16)


def payload_of(opened: Spec, slot: int, /, row: fixedpoint.Int16 | None = None, **changes: Any) -> Payload:
    row = row_of(slot) if row is None else row
    update = Update(
        federation=opened.federation,
        round_id=opened.round_id,
        spec=opened.hash_struct(),
        enclave=opened.enclave,
        participant=COHORT[slot],
        update_root=trees.row_root(row),
        samples=100 + slot,
    )
    update = dataclasses.replace(update, **changes)
    signature = keys.sign(KEY_OF[COHORT[slot]], update.digest(LAUNCH.domain))
    return Payload(update=update, signature=signature, row=fixedpoint.encode_row(row))


def seal(host: Host, spec: Spec, slot: int, payload: bytes, *, round_id: int | None = None) -> bytes:
    info = sealing.info(
        federation=spec.federation,
        ledger=LAUNCH.ledger,
        round_id=spec.round_id if round_id is None else round_id,
        participant=COHORT[slot],
        enclave=spec.enclave,
    )
    key = sealing.parse_public_key(CHARTER.kem, host.hello["hpke_key"])
    return sealing.suite(CHARTER.kem).encrypt(payload, key, info=info)


def send(host: Host, opened: Spec, slot: int, /, **changes: Any) -> dict[str, Any]:
    payload = payload_of(opened, slot, **changes)
    return host.submit(COHORT[slot], seal(host, opened, slot, sealing.encode_payload(payload)))


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path / "platform")


def test_a_receipt_is_signed_by_the_key_in_the_quote(host: Host) -> None:
    spec = host.spec()
    assert host.open(spec) == {"round": 1}
    reply = send(host, spec, 2)
    receipt = Receipt.from_map(reply["receipt"])
    assert receipt.slot == reply["slot"] == 2
    assert receipt.update == payload_of(spec, 2).update.hash_struct()
    assert keys.recover(receipt.digest(LAUNCH.domain), reply["signature"]) == host.hello["signer"]
    assert host.hello["quote"][48 + 320 :][:20] == host.hello["signer"]


def test_the_result_is_the_rules_over_the_rows_whatever_the_order_of_arrival(host: Host, tmp_path: Path) -> None:
    spec = host.spec()
    host.open(spec)
    for slot in (4, 0, 5, 1, 3):
        assert "receipt" in send(host, spec, slot)
    reply = host.close()
    result = RoundResult.from_map(reply["result"])
    assert keys.recover(result.digest(LAUNCH.domain), reply["signature"]) == host.hello["signer"]
    rows = np.stack([row_of(slot) for slot in (0, 1, 3, 4, 5)])
    expected = aggregate("trimmed-mean", rows, f=1, m=0, weights=None).aggregate
    assert reply["aggregate"] == fixedpoint.encode_model(expected)
    model = fixedpoint.model_step(BASE, expected, learning_rate=65536, decay=0, exponent=-14, model_exponent=-24)
    assert result.new_model == trees.model_root(model)
    assert reply["model"] == fixedpoint.encode_model(model)
    assert (result.counted, result.selected, result.gram_root, result.state) == (0b111011, 0b111011, ZERO, ZERO)
    said = outcomes.parse_outcomes(reply["outcomes"])
    assert [outcome.status for outcome in said] == [Status.COUNTED] * 2 + [Status.ABSENT] + [Status.COUNTED] * 3
    assert result.set_root == trees.set_root(reply["set"])

    host.hardware.roll_back()  # for once, so that the same keys sign the same round again
    again = Host(tmp_path / "platform", blobs={"keys": host.blobs["keys"]}, hardware=host.hardware)
    again.open(spec)
    for slot in (5, 3, 1, 4, 0):
        send(again, spec, slot)
    assert again.close() == reply


@pytest.mark.parametrize(
    ("changes", "reason", "names"),
    [
        ({"round_id": 2}, Reason.SPEC, "round of the update: expected 1, got 2"),
        ({"spec": sha256(b"other")}, Reason.SPEC, "spec of the update"),
        ({"federation": sha256(b"other")}, Reason.SPEC, "federation of the update"),
        ({"enclave": sha256(b"other")}, Reason.ENCLAVE, "enclave of the update"),
        ({"update_root": sha256(b"other")}, Reason.ROOT, "root of the row"),
        ({"row": np.zeros(D - 1, np.int16)}, Reason.LENGTH, f"expected {2 * D}, got {2 * D - 2}"),
        ({"row": np.zeros(D + 1, np.int16)}, Reason.LENGTH, f"expected {2 * D}, got {2 * D + 2}"),
        ({"row": np.full(D, -32768, np.int16)}, Reason.RANGE, "coordinate 0 of a row"),
        ({"row": np.full(D, 32767, np.int16)}, Reason.NORM, "squared norm of the row: expected at most 5000000"),
    ],
)
def test_a_signed_update_that_is_refused_stands_in_the_outcome(
    host: Host, changes: dict[str, Any], reason: Reason, names: str
) -> None:
    spec = host.spec(norm_bound=5_000_000)
    host.open(spec)
    for slot in range(5):
        send(host, spec, slot)
    reply = send(host, spec, 5, **changes)
    assert reply["reason"] == reason
    assert names in reply["refused"]
    closed = host.close()
    assert outcomes.parse_outcomes(closed["outcomes"])[5] == outcomes.Outcome(status=Status.REFUSED, reason=reason)
    assert closed["set"][5] == bytes(32) + bytes([reason])


def test_a_refusal_does_not_use_up_the_slot(host: Host) -> None:
    spec = host.spec()
    host.open(spec)
    assert send(host, spec, 0, round_id=9)["reason"] == Reason.SPEC
    assert send(host, spec, 0)["slot"] == 0
    for slot in (1, 2):
        send(host, spec, slot)
    assert outcomes.parse_outcomes(host.close()["outcomes"])[0].status == Status.COUNTED


@pytest.mark.parametrize(
    "defect", ["signature", "garbage", "truncated", "other round's info", "not CBOR", "other sender"]
)
def test_what_no_signature_ties_to_a_slot_leaves_no_trace(host: Host, defect: str) -> None:
    spec = host.spec()
    host.open(spec)
    payload = payload_of(spec, 1)
    if defect == "signature":
        sealed = seal(host, spec, 1, sealing.encode_payload(dataclasses.replace(payload, signature=bytes(65))))
    elif defect == "garbage":
        sealed = bytes(2000)
    elif defect == "truncated":
        sealed = seal(host, spec, 1, sealing.encode_payload(payload))[:-1]
    elif defect == "other round's info":
        sealed = seal(host, spec, 1, sealing.encode_payload(payload), round_id=7)
    elif defect == "not CBOR":
        sealed = seal(host, spec, 1, b"\xff" + sealing.encode_payload(payload))
    else:
        sealed = seal(host, spec, 1, sealing.encode_payload(payload_of(spec, 2)))
    assert "refused" in host.submit(COHORT[1], sealed)
    for slot in (0, 2, 3):
        send(host, spec, slot)
    assert outcomes.parse_outcomes(host.close()["outcomes"])[1].status == Status.ABSENT


def test_somebody_outside_the_cohort_is_refused(host: Host) -> None:
    spec = host.spec()
    host.open(spec)
    assert "cohort" in host.submit(bytes(20), b"anything")["refused"]


def test_the_same_update_gets_the_same_receipt_and_a_different_one_none(host: Host) -> None:
    spec = host.spec()
    host.open(spec)
    first = send(host, spec, 3)
    assert send(host, spec, 3) == first
    second = send(host, spec, 3, row=row_of(4))
    assert "second update" in second["refused"]
    assert send(host, spec, 3) == first


def test_too_few_counted_signs_the_real_set_and_the_base_model(host: Host) -> None:
    spec = host.spec("krum")
    host.open(spec)
    for slot in range(4):
        send(host, spec, slot)
    result = RoundResult.from_map(host.close()["result"])
    assert (result.column_root, result.gram_root, result.new_model) == (ZERO, ZERO, spec.base_model)
    assert result.counted == 0b1111


@pytest.mark.parametrize("rule", ["mean", "weighted-mean", "median", "trimmed-mean", "krum", "multi-krum"])
def test_every_rule_ends_with_a_result(host: Host, rule: str) -> None:
    spec = host.spec(rule)
    host.open(spec)
    for slot in range(6):
        send(host, spec, slot)
    reply = host.close()
    result = RoundResult.from_map(reply["result"])
    assert (result.gram_root != ZERO) == (rule in ("krum", "multi-krum"))
    assert result.selected.bit_count() == {"krum": 1, "multi-krum": 5}.get(rule, 6)
    weights = [outcome.weight for outcome in outcomes.parse_outcomes(reply["outcomes"])]
    assert weights == ([100 + slot for slot in range(6)] if rule == "weighted-mean" else [0] * 6)


def test_a_killed_enclave_comes_back_to_the_same_round_and_keys(host: Host, tmp_path: Path) -> None:
    spec = host.spec()
    host.open(spec)
    sealed = {slot: seal(host, spec, slot, sealing.encode_payload(payload_of(spec, slot))) for slot in range(5)}
    receipts = {slot: host.submit(COHORT[slot], sealed[slot]) for slot in (0, 1, 2)}

    back = Host(tmp_path, blobs=host.blobs, hardware=host.hardware)
    assert {**back.hello, "round": None, "phase": "idle", "missing": []} == host.hello
    assert (back.hello["round"], back.hello["phase"], back.hello["missing"]) == (1, "collecting", [0, 1, 2])
    assert back.open(spec) == {"round": 1}
    assert "error" in back.close()
    for slot in (0, 1, 2):
        assert back.ask(op="restore", slot=slot, sealed=sealed[slot]) == {"slot": slot}
        assert back.submit(COHORT[slot], sealed[slot]) == receipts[slot]
    back.submit(COHORT[3], sealed[3])
    closed = back.close()
    assert RoundResult.from_map(closed["result"]).counted == 0b1111

    late = Host(tmp_path, blobs=back.blobs, hardware=host.hardware)
    assert late.hello["phase"] == "signed"
    late.open(spec)
    for slot in late.hello["missing"]:
        late.ask(op="restore", slot=slot, sealed=sealed[slot])
    assert late.close({"4": payload_of(spec, 4).update.hash_struct()}, {"4": sealed[4]}) == closed


def test_a_row_fed_again_must_be_the_very_update(host: Host, tmp_path: Path) -> None:
    spec = host.spec()
    host.open(spec)
    send(host, spec, 0)
    back = Host(tmp_path, blobs=host.blobs, hardware=host.hardware)
    back.open(spec)
    other = seal(host, spec, 0, sealing.encode_payload(payload_of(spec, 0, row=row_of(5))))
    assert back.ask(op="restore", slot=0, sealed=other)["error"] == "SpecMismatch"


def test_a_round_is_opened_once_and_never_again_with_another_spec(host: Host) -> None:
    spec = host.spec()
    host.open(spec)
    assert host.open(host.spec("median"))["error"] == "SpecMismatch"
    assert host.ask(op="finish", round=1) == {}
    assert host.open(spec)["error"] == "SpecMismatch"
    assert host.open(host.spec(round_id=2)) == {"round": 2}


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"optimizer": 1}, "Policy"),
        ({"optimizer": 2}, "Policy"),
        ({"rule": 0}, "SpecMismatch"),
        ({"rule": 7}, "SpecMismatch"),
        ({"chain": bytes(32)}, "UnknownName"),
        ({"rule": 0, "chain": encode_chain("fltrust")}, "Policy"),
        ({"rule": 0, "chain": encode_chain("nnm+krum"), "f": 1, "min_counted": 4}, "Policy"),
        ({"rule": 3}, "SpecMismatch"),
        ({"dimension": D + 1}, "SpecMismatch"),
        ({"exponent": 120}, "Range"),
        ({"weight_cap": 1 << 24}, "Policy"),
        ({"rule": 2, "chain": encode_chain("weighted-mean"), "weight_cap": 0}, "Policy"),
    ],
)
def test_what_this_version_does_not_do_is_refused_before_anything_is_sealed(
    host: Host, changes: dict[str, Any], error: str
) -> None:
    sealed = dict(host.blobs)
    spec = dataclasses.replace(host.spec(), **changes)
    assert host.open(spec)["error"] == error
    assert host.blobs == sealed
    terms = Terms.of(spec, cohort_size=0, windows=(1, 1, 1, 1, 1))
    with pytest.raises(VeriflockError) as raised:  # and whoever opens rounds can know it from the terms
        check_supported(terms, CHARTER)
    assert type(raised.value).__name__ == f"{error}Error"


def test_sealed_state_of_another_measurement_or_changed_is_refused(host: Host, tmp_path: Path) -> None:
    host.open(host.spec())
    other = Hardware(tmp_path / "platform2", sha256(b"other code"))
    other.launch(fresh=True)
    assert Host(tmp_path, blobs=host.blobs, hardware=other).hello["error"] == "Verification"
    changed = {**host.blobs, "keys": host.blobs["keys"][:-1] + bytes([host.blobs["keys"][-1] ^ 1])}
    assert Host(tmp_path, blobs=changed, hardware=host.hardware).hello["error"] == "Verification"


def test_keys_are_born_once_an_epoch(host: Host, tmp_path: Path) -> None:
    again = Host(tmp_path, hardware=host.hardware, fresh=False)
    assert again.hello["error"] == "Verification"
    assert "keys of the epoch that is resumed" in again.hello["message"]
    replaced = Host(tmp_path, blobs=host.blobs, hardware=host.hardware, fresh=True)
    assert replaced.hello["error"] == "Verification"


class TestForcedInclusion:
    """A commitment on the ledger outranks what was received."""

    @pytest.fixture
    def spec(self, host: Host) -> Spec:
        spec = host.spec()
        host.open(spec)
        for slot in range(5):
            send(host, spec, slot)
        return spec

    def closed(self, host: Host, slot: int, commitment: bytes, sealed: bytes | None) -> outcomes.Outcome:
        return outcomes.parse_outcomes(host.close({str(slot): commitment}, {str(slot): sealed})["outcomes"])[slot]

    def test_a_delivered_commitment_is_counted(self, host: Host, spec: Spec) -> None:
        payload = payload_of(spec, 5)
        sealed = seal(host, spec, 5, sealing.encode_payload(payload))
        assert self.closed(host, 5, payload.update.hash_struct(), sealed).status == Status.COUNTED

    def test_a_receipt_gives_way_to_another_commitment(self, host: Host, spec: Spec) -> None:
        payload = payload_of(spec, 2, row=row_of(9))
        sealed = seal(host, spec, 2, sealing.encode_payload(payload))
        reply = host.close({"2": payload.update.hash_struct()}, {"2": sealed})
        assert trees.parse_set_leaf(reply["set"][2]).update_root == payload.update.update_root

    def test_the_same_as_the_receipt_needs_no_delivery(self, host: Host, spec: Spec) -> None:
        assert self.closed(host, 2, payload_of(spec, 2).update.hash_struct(), None).status == Status.COUNTED

    def test_an_undelivered_one_says_so(self, host: Host, spec: Spec) -> None:
        assert self.closed(host, 2, sha256(b"never sent"), None).reason == Reason.UNDELIVERED

    def test_one_that_does_not_open_says_so(self, host: Host, spec: Spec) -> None:
        assert self.closed(host, 5, sha256(b"x"), bytes(1500)).reason == Reason.UNOPENED

    def test_one_that_is_not_admissible_does_not_open_to_an_update(self, host: Host, spec: Spec) -> None:
        payload = payload_of(spec, 5, row=np.zeros(D + 1, np.int16))
        sealed = seal(host, spec, 5, sealing.encode_payload(payload))
        assert self.closed(host, 5, payload.update.hash_struct(), sealed).reason == Reason.UNOPENED

    def test_one_whose_row_has_another_root_says_so(self, host: Host, spec: Spec) -> None:
        payload = payload_of(spec, 5, update_root=sha256(b"other"))
        sealed = seal(host, spec, 5, sealing.encode_payload(payload))
        assert self.closed(host, 5, payload.update.hash_struct(), sealed).reason == Reason.ROOT


def test_before_the_result_nothing_that_reaches_the_host_holds_a_row(host: Host) -> None:
    spec = host.spec()
    host.open(spec)
    for slot in range(5):
        send(host, spec, slot)
    rows = [fixedpoint.encode_row(row_of(slot)) for slot in range(5)]
    before = repr(host.seen).encode() + b"".join(item for item in host.seen if isinstance(item, bytes))
    for row in rows:
        assert row[:8] not in before
        assert repr(row[:8])[2:-1].encode() not in before
    assert host.ask(op="row", slot=0)["error"] == "Round"
    host.close()
    assert [host.ask(op="row", slot=slot)["row"] for slot in range(6)] == [*rows, None]
    assert host.ask(op="row", slot=6)["error"] == "Range"


def test_rows_stay_inside_where_they_are_not_public(host: Host) -> None:
    spec = host.spec(disclosure=1)
    host.open(spec)
    for slot in range(5):
        send(host, spec, slot)
    host.close()
    assert [host.ask(op="row", slot=slot)["row"] for slot in range(6)] == [None] * 6


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"op": 7},
        {"op": "nonsense"},
        {"op": "submit"},
        {"op": "submit", "participant": b"", "sealed": b""},
        {"op": "open", "spec": {}, "cohort": [], "base": b""},
        {"op": "close", "commitments": {}, "undelivered": {}, "more": 1},
        {"op": "close", "commitments": {"99": bytes(32)}, "undelivered": {}},
        {"op": "close", "commitments": {"0": b"short"}, "undelivered": {}},
        {"op": "restore", "slot": 3, "sealed": b""},
        {"op": "start", "sealed": {}},
    ],
)
def test_a_hostile_host_gets_an_error_and_the_round_goes_on(host: Host, request_: dict[str, Any]) -> None:
    spec = host.spec()
    host.open(spec)
    for slot in range(4):
        send(host, spec, slot)
    reply = host.ask(**request_)
    assert reply.keys() & {"error", "refused"}
    assert RoundResult.from_map(host.close()["result"]).counted == 0b1111


def test_the_column_root_opens_to_every_leaf(host: Host) -> None:
    spec = host.spec("multi-krum")
    host.open(spec)
    for slot in range(6):
        send(host, spec, slot)
    reply = host.close()
    leaves = trees.gram_leaves(np.stack([row_of(slot) for slot in range(6)]))
    hashes = [merkle.leaf_hash(trees.KIND_GRAM, leaf) for leaf in leaves]
    root = RoundResult.from_map(reply["result"]).gram_root
    for index, leaf in enumerate(hashes):
        merkle.verify(root, index=index, size=len(hashes), leaf=leaf, path=merkle.proof(hashes, index))


@pytest.mark.parametrize("chain", ["weighted-mean", "clip:900+weighted-mean", "arc+weighted-mean"])
def test_an_update_without_samples_is_no_update_where_rows_are_weighed(host: Host, chain: str) -> None:
    parsed = parse_chain(chain)
    spec = host.spec(rule="weighted-mean", chain=parsed.encode(), min_counted=3)
    spec = dataclasses.replace(spec, rule=int(parsed.number))
    assert host.open(spec) == {"round": 1}
    assert send(host, spec, 5, samples=0)["reason"] == int(Reason.RANGE)
    for slot in range(5):
        send(host, spec, slot)
    assert RoundResult.from_map(host.close()["result"]).counted == 0b11111


def test_terms_whose_cohorts_are_too_small_for_their_rule_are_refused(host: Host) -> None:
    spec = host.spec(f=1, min_counted=3)
    check_supported(Terms.of(spec, cohort_size=3, windows=(1, 1, 1, 1, 1)), CHARTER)
    for changes, size in (({"f": 2}, 4), ({"min_counted": 5}, 4)):
        terms = Terms.of(dataclasses.replace(spec, **changes), cohort_size=size, windows=(1, 1, 1, 1, 1))
        with pytest.raises(PolicyError, match=r"slots of a round for trimmed-mean .* expected at least 5, got 4"):
            check_supported(terms, CHARTER)
