"""A verdict is what abi.encode makes of it, and the events of disputes have one accepted encoding."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from eth_abi.abi import encode as abi_encode
from protocol_examples import PARTICIPANT, SPEC, some

from protocol import events as e
from protocol.disputes import Verdict, proof_commitment
from protocol.errors import EncodingError
from protocol.event_coding import decode_event, encode_struct
from protocol.hashing import keccak256
from protocol.openings import Answer, SetLeaf, Tree
from protocol.terms import Terms

VERDICT = Verdict(
    round_id=7,
    predicate=2,
    result=some("result"),
    coordinator=some("coordinator", 20),
    prover=PARTICIPANT,
    committed_at=41,
    decided_at=1_800_000_000,
    slots=20,
    pot=10**18,
)
VERDICT_TYPE = "(uint64,uint8,bytes32,address,address,uint64,uint64,uint16,uint256)"
ANSWER = Answer(
    data=b"a leaf",
    path=(some("one"), some("two")),
    columns=b"columns",
    set=SetLeaf(slot=3, slots=5, data=b"a set leaf", path=(some("three"),)),
)
ANSWER_TYPE = "(bytes,bytes32[],bytes,bytes,(uint256,uint256,bytes,bytes32[]))"


def fields(value: Any) -> tuple[Any, ...]:
    return tuple(getattr(value, item.name) for item in dataclasses.fields(value))


def word(value: int | bytes) -> bytes:
    return value.to_bytes(32) if isinstance(value, int) else value.rjust(32, b"\0")


def decoded(kind: type[e.Event], topics: tuple[int | bytes, ...], data: bytes) -> e.Event:
    return decode_event(kind, (e.topic_of(kind), *map(word, topics)), data, e.ENUMS)


def test_a_verdict_is_encoded_as_solidity_does() -> None:
    assert VERDICT.encode() == abi_encode([VERDICT_TYPE], [fields(VERDICT)])
    assert len(VERDICT.encode()) == 9 * 32
    assert VERDICT.tag() == int.from_bytes(keccak256(VERDICT.encode())[-17:])


@pytest.mark.parametrize("field", [item.name for item in dataclasses.fields(Verdict)])
def test_a_change_of_any_field_is_another_verdict(field: str) -> None:
    value = getattr(VERDICT, field)
    other: Any = value - 1 if isinstance(value, int) else bytes([value[0] ^ 1]) + value[1:]
    assert dataclasses.replace(VERDICT, **{field: other}).tag() != VERDICT.tag()


@pytest.mark.parametrize(("pot", "signers"), [(0, 0), (1, 1), (7, 3), (10**18, 0), (10**18, 7), (10**18 + 3, 256)])
def test_a_pot_is_shared_out_to_the_last_wei_and_half_of_it_is_burnt(pot: int, signers: int) -> None:
    reward, share, burnt = dataclasses.replace(VERDICT, pot=pot).split(signers)
    assert reward + share * signers + burnt == pot
    assert reward == pot // 4
    assert share * signers <= pot // 4
    assert 2 * burnt >= pot


def test_a_pre_commitment_is_prover_hash_of_the_proof_and_salt() -> None:
    salt = some("salt")
    encoded = abi_encode(["address", "bytes32", "bytes32"], [PARTICIPANT, keccak256(b"a proof"), salt])
    assert proof_commitment(PARTICIPANT, b"a proof", salt) == keccak256(encoded)


def test_structs_are_encoded_as_calls_and_votes_have_them() -> None:
    terms = Terms.of(SPEC, cohort_size=20, windows=(60, 1, 30, 60, 120))
    assert encode_struct(terms) == terms.encode()
    assert encode_struct(VERDICT) == VERDICT.encode()
    assert len(encode_struct(SPEC)) == 25 * 32  # what an outvoted result's proposal carries


def test_a_verdict_in_an_event_is_the_verdict() -> None:
    event = decoded(e.RoundRefuted, (7, 2, PARTICIPANT), VERDICT.encode())
    assert event == e.RoundRefuted(round_id=7, predicate=2, prover=PARTICIPANT, verdict=VERDICT)


def test_an_answer_in_an_event_is_the_answer() -> None:
    answer = (*fields(ANSWER)[:4], fields(ANSWER.set))
    event = decoded(e.LeafAnswered, (7, PARTICIPANT, VERDICT.coordinator), abi_encode([ANSWER_TYPE], [answer]))
    assert event == e.LeafAnswered(round_id=7, member=PARTICIPANT, answerer=VERDICT.coordinator, answer=ANSWER)


def test_a_request_names_its_tree() -> None:
    data = abi_encode(["uint8", "uint16", "uint32", "uint64"], [3, 1, 2, 100])
    event = decoded(e.LeafRequested, (7, PARTICIPANT), data)
    assert event == e.LeafRequested(round_id=7, member=PARTICIPANT, tree=Tree.COLUMN, slot=1, index=2, answer_by=100)


def request(tree: int) -> bytes:
    return abi_encode(["uint8", "uint16", "uint32", "uint64"], [tree, 1, 2, 100])


@pytest.mark.parametrize(
    ("kind", "topics", "data"),
    [
        (e.RoundRefuted, (7, 2, PARTICIPANT), VERDICT.encode()[:-32]),
        (e.RoundRefuted, (7, 2, PARTICIPANT), VERDICT.encode() + bytes(32)),
        (e.RoundRefuted, (7, 256, PARTICIPANT), VERDICT.encode()),
        (e.RoundRefuted, (7, 2), VERDICT.encode()),
        (e.RoundRefuted, (7, 2, b"\x01" * 21), VERDICT.encode()),
        (e.LeafRequested, (7, PARTICIPANT), request(len(Tree))),
        (e.LeafAnswered, (7, PARTICIPANT, PARTICIPANT), abi_encode(["bytes"], [b"a leaf"])),
        (e.VerdictExecuted, (7, PARTICIPANT, PARTICIPANT), bytes(4 * 32)),
    ],
)
def test_any_other_spelling_is_refused(kind: type[e.Event], topics: tuple[int | bytes, ...], data: bytes) -> None:
    with pytest.raises(EncodingError):
        decoded(kind, topics, data)


@pytest.mark.parametrize("place", [0, 1, 2, 3, 4, 5, 6, 8, 11])
def test_an_answer_with_another_offset_or_length_is_refused(place: int) -> None:
    """Decoders may follow other offsets; the contract writes them in one way."""
    data = bytearray(abi_encode([ANSWER_TYPE], [(*fields(ANSWER)[:4], fields(ANSWER.set))]))
    data[32 * place + 31] ^= 32
    with pytest.raises(EncodingError):
        decoded(e.LeafAnswered, (7, PARTICIPANT, PARTICIPANT), bytes(data))
