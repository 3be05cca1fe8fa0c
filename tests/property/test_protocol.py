"""What must hold for every message and all bytes: one form both ways, and nothing but our errors for the rest."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cache
from typing import Any

import cbor2
import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from protocol import canonical_json, encoding, fixedpoint, framing, keys, merkle, messages, outcomes, sealing, trees
from protocol.charter import Charter, parse_charter
from protocol.checkpoints import SignedCheckpoint, encode_checkpoints, parse_checkpoints
from protocol.disputes import Verdict
from protocol.errors import VeriflockError
from protocol.evidence import RoundEvidence, parse_evidence
from protocol.messages import Domain, Struct, Update
from protocol.outcomes import Outcome, Reason, Status
from protocol.payouts import payouts
from protocol.reputation import Standing
from protocol.sealing import Payload
from protocol.seeds import cut, draw, sample_cohort
from protocol.terms import Terms
from protocol.trees import SetLeaf

CAP = 1 << 16
HASHES = st.binary(min_size=32, max_size=32)
ADDRESSES = st.binary(min_size=20, max_size=20)
STRUCTS: list[type[Struct]] = [
    messages.Spec, messages.Update, messages.Receipt, messages.RoundResult, messages.Checkpoint, messages.Unavailable,
    messages.Claims, Terms, Verdict,
]  # fmt: skip


@cache
def of_type(kind: str) -> st.SearchStrategy[Any]:
    """Every value of a Solidity type, its ends often."""
    if kind.endswith("]"):
        inner, count = kind[:-1].split("[")
        return st.tuples(*[of_type(inner)] * int(count))
    if kind in ("bytes32", "address"):
        return HASHES if kind == "bytes32" else ADDRESSES
    bits = int(kind.removeprefix("u").removeprefix("int"))
    low, high = (0, (1 << bits) - 1) if kind[0] == "u" else (-(1 << (bits - 1)), (1 << (bits - 1)) - 1)
    return st.sampled_from([low, high]) | st.integers(low, high)


@cache
def of_struct(struct: type[Struct]) -> st.SearchStrategy[Any]:
    items = dataclasses.fields(struct)  # type: ignore[arg-type]
    return st.builds(struct, **{item.name: of_type(item.metadata["type"]) for item in items})


MESSAGES = st.sampled_from(STRUCTS).flatmap(of_struct)
DOMAINS = st.builds(Domain, chain_id=of_type("uint256"), ledger=ADDRESSES)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 64), (1 << 64) - 1) | st.binary(max_size=40) | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=30), inner, max_size=4),
    max_leaves=12,
)
OUTCOMES = st.one_of(
    st.just(Outcome(status=Status.ABSENT)),
    st.sampled_from([Outcome(status=Status.REFUSED, reason=reason) for reason in Reason if reason]),
    st.tuples(of_type("uint32"), of_type("uint64"), of_type("int64"), of_type("uint32")).map(
        lambda v: Outcome(
            status=Status.COUNTED, flagged=v[2] < 0, kept=v[0], deviation=v[1], alignment=v[2], weight=v[3]
        )
    ),
)
SET_LEAVES = st.sampled_from([SetLeaf(reason=reason) for reason in Reason]) | st.builds(
    SetLeaf, update_root=HASHES, samples=of_type("uint32"), signature=st.binary(min_size=65, max_size=65)
)
SLOTS = st.tuples(st.binary(max_size=101), st.none() | HASHES)
EVIDENCE = st.lists(SLOTS, max_size=5).flatmap(
    lambda slots: st.builds(
        RoundEvidence,
        round_id=of_type("uint64"),
        result=HASHES,
        base=HASHES,
        set_leaves=st.just(tuple(leaf for leaf, _ in slots)),
        rows=st.just(tuple(row for _, row in slots)),
        aggregate=st.none() | HASHES,
        model=HASHES,
    )
)
PAYLOADS = st.builds(
    Payload,
    update=of_struct(Update),
    signature=st.binary(min_size=65, max_size=65),
    row=st.binary(max_size=600),
)
CHECKPOINTS = st.lists(
    st.builds(
        SignedCheckpoint, checkpoint=of_struct(messages.Checkpoint), signature=st.binary(min_size=65, max_size=65)
    ),
    max_size=3,
).map(tuple)
Q16 = st.integers(-(1 << 48) + 1, (1 << 48) - 1)
CHARTERS = st.lists(st.tuples(Q16, Q16), min_size=1, max_size=4).flatmap(
    lambda pairs: st.builds(
        Charter,
        name=st.text(max_size=20),
        model=st.text(max_size=20),
        dimension=st.integers(1, 1 << 26),
        model_exponent=st.integers(-30, -8),
        dataset=st.text(max_size=20),
        classes=of_type("uint16"),
        offsets_q16=st.just(tuple(offset for offset, _ in pairs)),
        scales_q16=st.just(tuple(scale for _, scale in pairs)),
        kem=st.sampled_from(list(sealing.KEMS)),
    )
)

PARSERS: dict[str, tuple[st.SearchStrategy[Any], Callable[[Any], bytes], Callable[[bytes], Any]]] = {
    "envelope": (VALUES, encoding.encode, lambda data: encoding.decode(data, max_bytes=CAP)),
    "evidence": (EVIDENCE, RoundEvidence.encode, parse_evidence),
    "payload": (PAYLOADS, sealing.encode_payload, lambda data: sealing.parse_payload(data, max_bytes=CAP)),
    "charter": (CHARTERS, Charter.encode, parse_charter),
    "checkpoints": (CHECKPOINTS, encode_checkpoints, parse_checkpoints),
    "outcome": (OUTCOMES, Outcome.word, outcomes.parse_outcome),
    "outcomes": (st.lists(OUTCOMES, max_size=4), outcomes.encode_outcomes, outcomes.parse_outcomes),
    "set leaf": (SET_LEAVES, SetLeaf.encode, trees.parse_set_leaf),
    "row": (
        st.lists(st.integers(-32767, 32767), min_size=3, max_size=3),
        lambda row: fixedpoint.encode_row(np.array(row, dtype=np.int16)),
        lambda data: fixedpoint.decode_row(data, 3).tolist(),
    ),
    "model": (
        st.lists(of_type("int32"), min_size=3, max_size=3),
        lambda model: fixedpoint.encode_model(np.array(model, dtype=np.int32)),
        lambda data: fixedpoint.decode_model(data, 3).tolist(),
    ),
    "report data": (
        st.tuples(ADDRESSES, HASHES, of_type("uint64")),
        lambda value: messages.report_data(signer=value[0], claims=value[1], epoch=value[2]),
        messages.parse_report_data,
    ),
}
for _struct in STRUCTS:
    PARSERS[_struct.NAME] = (
        of_struct(_struct),
        lambda value: encoding.encode(value.to_map()),
        lambda data, struct=_struct: struct.from_map(encoding.decode_map(data, max_bytes=CAP)),  # type: ignore[misc]
    )
NAMES = st.sampled_from(sorted(PARSERS))


@settings(max_examples=150, deadline=None)
@given(name=NAMES, data=st.data())
def test_what_is_encoded_parses_to_itself(name: str, data: st.DataObject) -> None:
    values, encode, parse = PARSERS[name]
    value = data.draw(values)
    assert parse(encode(value)) == value


@settings(max_examples=300, deadline=None)
@given(name=NAMES, data=st.data())
def test_bytes_near_good_ones_are_refused_by_our_errors_or_re_encode_to_themselves(
    name: str, data: st.DataObject
) -> None:
    values, encode, parse = PARSERS[name]
    near = bytearray(encode(data.draw(values)))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(near)))
        kind = data.draw(st.sampled_from(["flip", "insert", "delete", "cut"]))
        if kind == "flip" and at < len(near):
            near[at] ^= 1 << data.draw(st.integers(0, 7))
        elif kind == "insert":
            near[at:at] = data.draw(st.binary(min_size=1, max_size=3))
        elif kind == "delete":
            del near[at : at + 1]
        else:
            del near[at:]
    check_one_form(encode, parse, bytes(near))


@settings(max_examples=300, deadline=None)
@given(name=NAMES, junk=st.binary(max_size=150))
def test_any_bytes_are_refused_by_our_errors_or_re_encode_to_themselves(name: str, junk: bytes) -> None:
    _, encode, parse = PARSERS[name]
    check_one_form(encode, parse, junk)


def check_one_form(encode: Callable[[Any], bytes], parse: Callable[[bytes], Any], data: bytes) -> None:
    try:
        value = parse(data)
    except VeriflockError:
        return
    assert encode(value) == data


@settings(max_examples=300, deadline=None)
@given(junk=st.binary(max_size=40))
def test_what_our_cbor_accepts_another_decoder_reads_the_same(junk: bytes) -> None:
    try:
        value = encoding.decode(junk, max_bytes=CAP)
    except VeriflockError:
        return
    assert cbor2.loads(junk) == value
    assert cbor2.dumps(value, canonical=True) == junk


@settings(max_examples=150, deadline=None)
@given(value=VALUES)
def test_our_encoding_is_what_another_calls_canonical(value: Any) -> None:
    data = encoding.encode(value)
    assert cbor2.loads(data) == value
    assert encoding.decode(data, max_bytes=len(data)) == value


@settings(max_examples=100, deadline=None)
@given(junk=st.binary(max_size=80))
def test_json_of_any_bytes_is_refused_or_re_encodes_to_itself(junk: bytes) -> None:
    check_one_form(canonical_json.encode, lambda data: canonical_json.decode(data, max_bytes=CAP), junk)


@settings(max_examples=100, deadline=None)
@given(junk=st.binary(max_size=8))
def test_any_header_of_a_frame_is_refused_or_within_the_cap(junk: bytes) -> None:
    try:
        length = framing.parse_header(junk)
    except VeriflockError:
        return
    assert length.to_bytes(4) == junk
    assert length <= framing.MAX_FRAME_BYTES


@settings(max_examples=50, deadline=None)
@given(message=MESSAGES, one=DOMAINS, other=DOMAINS)
def test_a_digest_is_of_one_domain(message: Struct, one: Domain, other: Domain) -> None:
    assume(one != other)
    assert message.digest(one) != message.digest(other)


@settings(max_examples=50, deadline=None)
@given(struct=st.sampled_from(STRUCTS), data=st.data())
def test_messages_that_differ_hash_differently(struct: type[Struct], data: st.DataObject) -> None:
    one, other = data.draw(of_struct(struct)), data.draw(of_struct(struct))
    assert (one == other) == (one.hash_struct() == other.hash_struct())


@settings(max_examples=60, deadline=None)
@given(key=st.integers(1, keys.ORDER - 1).map(lambda n: n.to_bytes(32)), digest=HASHES)
def test_a_signature_recovers_its_signer_and_nothing_near_it_does(key: bytes, digest: bytes) -> None:
    signature = keys.sign(key, digest)
    assert keys.recover(digest, signature) == keys.address(key)
    s = int.from_bytes(signature[32:64])
    malleable = signature[:32] + (keys.ORDER - s).to_bytes(32) + bytes([55 - signature[64]])
    for other in (malleable, signature[:64] + bytes([55 - signature[64]])):
        try:
            assert keys.recover(digest, other) != keys.address(key)
        except VeriflockError:
            continue


@settings(max_examples=100, deadline=None)
@given(digest=HASHES, junk=st.binary(min_size=64, max_size=66), v=st.sampled_from([b"", b"\x1b", b"\x1c"]))
def test_any_signature_is_refused_by_our_errors_or_leads_to_an_address(digest: bytes, junk: bytes, v: bytes) -> None:
    try:
        assert len(keys.recover(digest, junk + v)) == 20
    except VeriflockError:
        return


@settings(max_examples=100, deadline=None)
@given(text=st.text(max_size=45) | st.text("0123456789abcdefABCDEFx \n", max_size=45))
def test_any_text_is_no_address_or_one_that_is_written_as_it_came(text: str) -> None:
    try:
        value = keys.parse_address(text)
    except VeriflockError:
        return
    assert keys.to_hex(value).lower() == "0x" + text.removeprefix("0x").lower()


@settings(max_examples=100, deadline=None)
@given(leaves=st.lists(HASHES, min_size=1, max_size=40), data=st.data())
def test_every_path_verifies_and_no_changed_one_does(leaves: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    root, path = merkle.root(leaves), merkle.proof(leaves, index)
    merkle.verify(root, index=index, size=len(leaves), leaf=leaves[index], path=path)
    other = data.draw(HASHES)
    assume(other != leaves[index])
    for leaf, nodes in (
        (other, path),
        *((leaves[index], [*path[:i], other, *path[i + 1 :]]) for i in range(len(path))),
    ):
        try:
            merkle.verify(root, index=index, size=len(leaves), leaf=leaf, path=nodes)
        except VeriflockError:
            continue
        assert nodes == path
        assert leaf == leaves[index]


@settings(max_examples=100, deadline=None)
@given(data=st.data(), exponent=st.integers(-24, -8))
def test_quantising_is_within_half_a_unit_or_saturates(data: st.DataObject, exponent: int) -> None:
    values = data.draw(st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=6))
    done = fixedpoint.quantise(np.array(values), exponent)
    saturated = 0
    for value, q in zip(values, done.row.tolist(), strict=True):
        scaled = value * 2.0**-exponent
        if abs(q) == 32767 and abs(scaled) >= 32767.5:
            saturated += 1
        else:
            assert abs(scaled - q) <= 0.5
            assert abs(scaled - q) < 0.5 or q % 2 == 0
    assert done.saturated == saturated
    assert 0.0 <= done.error <= 1.0


@settings(max_examples=100, deadline=None)
@given(history=st.lists(st.booleans(), max_size=80))
def test_reputation_stays_between_zero_and_one_and_good_is_better_than_bad(history: list[bool]) -> None:
    standing = Standing()
    for flagged in history:
        standing = standing.after(flagged=flagged)
    assert 0 < standing.reputation_ppb < 10**9
    assert standing.after(flagged=False).reputation_ppb > standing.after(flagged=True).reputation_ppb


@settings(max_examples=100, deadline=None)
@given(budget=of_type("uint64"), others=st.integers(0, 200), data=st.data())
def test_payouts_never_exceed_the_budget_and_lose_at_most_a_wei_each(
    budget: int, others: int, data: st.DataObject
) -> None:
    shares = data.draw(st.dictionaries(st.integers(0, 255), st.integers(1, 10**9), max_size=12))
    n = len(shares) + others
    paid = payouts(budget_wei=budget, cohort_size=n, reputations_ppb=shares)
    assert paid.keys() == shares.keys()
    assert sum(paid.values()) <= budget
    if shares:
        fair = budget * len(shares) // n
        assert fair - len(shares) <= sum(paid.values()) <= fair
    for a, e in shares.items():
        for b, g in shares.items():
            assert e < g or paid[a] >= paid[b]


@settings(max_examples=60, deadline=None)
@given(registered=st.lists(ADDRESSES, min_size=1, max_size=30, unique=True), seed=HASHES, size=st.integers(1, 30))
def test_a_cohort_is_everybody_under_its_cut(registered: list[bytes], seed: bytes, size: int) -> None:
    cohort = sample_cohort(seed, registered, size)
    assert len(cohort) == min(size, len(registered))
    limit = cut(seed, cohort)
    assert cohort == sorted(p for p in registered if draw(seed, p) <= limit)
    assert sample_cohort(seed, registered[::-1], size) == cohort


@settings(max_examples=100, deadline=None)
@given(slots=st.sets(st.integers(0, 255)))
def test_bitmaps_hold_their_slots(slots: set[int]) -> None:
    assert outcomes.slots_of(outcomes.bitmap(slots)) == sorted(slots)
