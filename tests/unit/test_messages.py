"""Messages hash as EIP-712 says, travel without loss, and mean nothing anywhere else."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from eth_abi.abi import encode as abi_encode
from eth_account.messages import _hash_eip191_message, encode_typed_data
from protocol_examples import CLAIMS, COHORT, DOMAIN, KEY, PARTICIPANT, SPEC, UPDATE, raw, some, vectors

from protocol import encoding, errors, keys, messages
from protocol.errors import EncodingError, LengthError, RangeError, SignatureError
from protocol.hashing import keccak256, sha256
from protocol.messages import Domain, Receipt, RoundResult, Struct

STRUCTS: dict[str, type[Struct]] = {
    "Spec": messages.Spec,
    "Update": messages.Update,
    "Receipt": messages.Receipt,
    "RoundResult": messages.RoundResult,
    "Checkpoint": messages.Checkpoint,
    "Unavailable": messages.Unavailable,
}

TYPES = {
    "Spec": "Spec(bytes32 federation,uint64 round,bytes32 previous,bytes32 baseModel,bytes32 cohort,bytes32 enclave,"
    "uint8 rule,bytes32 chain,uint16 f,uint16 m,uint16 minCounted,int8 exponent,uint32 dimension,uint64 normBound,"
    "uint32 weightCap,uint8 optimizer,uint32 learningRate,uint32 decay,uint8 disclosure,uint256 budget,"
    "uint64[5] deadlines)",
    "Update": "Update(bytes32 federation,uint64 round,bytes32 spec,bytes32 enclave,address participant,"
    "bytes32 updateRoot,uint32 samples)",
    "Receipt": "Receipt(bytes32 federation,uint64 round,uint16 slot,bytes32 update,bytes32 enclave)",
    "RoundResult": "RoundResult(bytes32 federation,uint64 round,bytes32 spec,bytes32 previous,bytes32 setRoot,"
    "uint256 counted,uint256 selected,bytes32 columnRoot,bytes32 gramRoot,bytes32 outcomes,bytes32 newModel,"
    "bytes32 state,bytes32 enclave)",
    "Checkpoint": "Checkpoint(bytes32 federation,uint64 round,bytes32 result,bytes32 blockHash)",
    "Unavailable": "Unavailable(bytes32 federation,uint64 round,bytes32 result)",
}


def of_vector(vector: dict[str, Any]) -> Struct:
    struct = STRUCTS[vector["struct"]]
    values = {}
    for item, value in zip(dataclasses.fields(struct), vector["fields"].values(), strict=True):  # type: ignore[arg-type]
        values[item.name] = raw(value) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value
    return struct(**values)


def domain_of(vector: dict[str, Any]) -> Domain:
    domain = vector["domain"]
    return Domain(chain_id=domain["chainId"], ledger=raw(domain["verifyingContract"]))


@pytest.mark.parametrize("name", STRUCTS)
def test_the_type_is_the_one_of_the_design(name: str) -> None:
    assert STRUCTS[name].type_string() == TYPES[name]


@pytest.mark.parametrize("vector", vectors("messages/hashes.json"), ids=lambda v: v["comment"])
def test_a_message_hashes_as_its_vector_and_as_eth_account(vector: dict[str, Any]) -> None:
    value, domain = of_vector(vector), domain_of(vector)
    assert value.hash_struct() == raw(vector["hashStruct"])
    assert value.digest(domain) == raw(vector["digest"])
    members = TYPES[value.NAME][len(value.NAME) + 1 : -1].split(",")
    fields = {name: raw(v) if isinstance(v, str) else v for name, v in vector["fields"].items()}
    if "participant" in fields:
        fields["participant"] = vector["fields"]["participant"]
    typed = encode_typed_data(
        domain_data={"name": "Veriflock", "version": "1", **vector["domain"]},
        message_types={value.NAME: [dict(zip(("type", "name"), m.split(" "), strict=True)) for m in members]},
        message_data=fields,
    )
    assert bytes(typed.body) == value.hash_struct()
    assert bytes(_hash_eip191_message(typed)) == value.digest(domain)


@pytest.mark.parametrize("vector", vectors("messages/hashes.json"), ids=lambda v: v["comment"])
def test_a_message_comes_out_of_its_envelope_as_it_went_in(vector: dict[str, Any]) -> None:
    value = of_vector(vector)
    data = encoding.encode(value.to_map())
    assert type(value).from_map(encoding.decode_map(data, max_bytes=len(data))) == value
    assert list(value.to_map()) == [member.split(" ")[1] for member in TYPES[value.NAME].split("(")[1][:-1].split(",")]


@pytest.mark.parametrize("vector", vectors("messages/refused.json"), ids=lambda v: f"{v['struct']} {v['defect']}")
def test_an_envelope_with_one_defect_is_refused(vector: dict[str, Any]) -> None:
    with pytest.raises(getattr(errors, vector["error"])):
        STRUCTS[vector["struct"]].from_map(encoding.decode_map(raw(vector["envelope"]), max_bytes=1 << 16))


@pytest.mark.parametrize("field", [item.name for item in dataclasses.fields(messages.Update)])
def test_a_change_of_any_field_is_another_message(field: str) -> None:
    value = getattr(UPDATE, field)
    other = value + 1 if isinstance(value, int) else bytes([value[0] ^ 1]) + value[1:]
    changed = dataclasses.replace(UPDATE, **{field: other})
    assert changed.hash_struct() != UPDATE.hash_struct()
    with pytest.raises(SignatureError):
        keys.verify(changed.digest(DOMAIN), keys.sign(KEY, UPDATE.digest(DOMAIN)), PARTICIPANT)


@pytest.mark.parametrize(
    "elsewhere", [dataclasses.replace(DOMAIN, chain_id=1), dataclasses.replace(DOMAIN, ledger=some("other", 20))]
)
def test_a_signature_counts_on_one_chain_for_one_ledger(elsewhere: Domain) -> None:
    signature = keys.sign(KEY, UPDATE.digest(DOMAIN))
    with pytest.raises(SignatureError):
        keys.verify(UPDATE.digest(elsewhere), signature, PARTICIPANT)


def test_messages_of_different_types_with_the_same_words_have_different_digests() -> None:
    words = {"federation": some("federation"), "round_id": 7, "result": some("result")}
    checkpoint = messages.Checkpoint(**words, block_hash=bytes(32))
    unavailable = messages.Unavailable(**words)
    assert checkpoint.words()[:3] == unavailable.words()
    assert checkpoint.digest(DOMAIN) != unavailable.digest(DOMAIN)


def test_digests_of_every_vector_differ() -> None:
    digests = {vector["comment"]: vector["digest"] for vector in vectors("messages/hashes.json")}
    differing = {v for k, v in digests.items() if not k.endswith("low")}
    assert len(differing) == sum(not k.endswith("low") for k in digests)


@pytest.mark.parametrize(
    ("field", "value", "error"),
    [
        ("federation", "text", EncodingError),
        ("federation", bytearray(32), EncodingError),
        ("federation", bytes(31), LengthError),
        ("round_id", -1, RangeError),
        ("round_id", 1 << 64, RangeError),
        ("round_id", True, EncodingError),
        ("round_id", 1.0, EncodingError),
        ("exponent", -129, RangeError),
        ("exponent", 128, RangeError),
        ("budget", 1 << 256, RangeError),
        ("deadlines", [1, 2, 3, 4, 5], EncodingError),
        ("deadlines", (1, 2, 3, 4), EncodingError),
        ("deadlines", (1, 2, 3, 4, -5), RangeError),
        ("deadlines", (1, 2, 3, 4, True), EncodingError),
    ],
)
def test_a_message_with_a_field_outside_its_type_can_not_be_built(field: str, value: Any, error: type) -> None:
    with pytest.raises(error):
        dataclasses.replace(SPEC, **{field: value})


@pytest.mark.parametrize("fields", [{"chain_id": -1}, {"chain_id": 1 << 256}, {"ledger": bytes(19)}, {"ledger": ""}])
def test_a_domain_outside_its_types_can_not_be_built(fields: dict[str, Any]) -> None:
    with pytest.raises(errors.MalformedError):
        dataclasses.replace(DOMAIN, **fields)


def test_the_cohort_is_hashed_packed_and_ascending() -> None:
    assert messages.cohort_hash(COHORT) == keccak256(b"".join(COHORT))
    for bad in (COHORT[::-1], [COHORT[0], COHORT[0]]):
        with pytest.raises(EncodingError):
            messages.cohort_hash(bad)


def test_a_cohort_has_at_most_256_slots() -> None:
    many = [i.to_bytes(20) for i in range(257)]
    assert messages.cohort_hash(many[:256]) == keccak256(b"".join(many[:256]))
    with pytest.raises(LengthError):
        messages.cohort_hash(many)


def test_an_enclave_is_named_by_432_bytes() -> None:
    assert messages.enclave_id(bytes(432)) == keccak256(bytes(432))
    for length in (0, 431, 433):
        with pytest.raises(LengthError):
            messages.enclave_id(bytes(length))


@pytest.mark.parametrize("vector", vectors("messages/claims.json"), ids=lambda v: str(v["epoch"]))
def test_claims_and_report_data_are_those_of_the_vector(vector: dict[str, Any]) -> None:
    names = (item.name for item in dataclasses.fields(messages.Claims))
    values = (raw(v) if isinstance(v, str) else v for v in vector["fields"].values())
    claims = messages.Claims(**dict(zip(names, values, strict=True)))
    kinds = [item.metadata["type"] for item in dataclasses.fields(messages.Claims)]
    assert claims.encode() == raw(vector["encoded"]) == abi_encode(kinds, list(dataclasses.astuple(claims)))
    assert claims.sha256() == raw(vector["sha256"]) == sha256(claims.encode())
    data = messages.report_data(signer=raw(vector["signer"]), claims=claims.sha256(), epoch=vector["epoch"])
    assert data == raw(vector["reportData"])
    assert messages.parse_report_data(data) == (raw(vector["signer"]), claims.sha256(), vector["epoch"])


@pytest.mark.parametrize("data", [bytes(64), bytes(60) + b"VFL2", bytes(60) + b"VFL", bytes(61) + b"VFL1", b""])
def test_report_data_of_another_form_is_refused(data: bytes) -> None:
    with pytest.raises(errors.MalformedError):
        messages.parse_report_data(data)


@pytest.mark.parametrize("broken", [{"signer": bytes(19)}, {"claims": bytes(31)}, {"epoch": 1 << 64}, {"epoch": -1}])
def test_report_data_is_made_of_fields_of_their_sizes(broken: dict[str, Any]) -> None:
    good: dict[str, Any] = {"signer": bytes(20), "claims": CLAIMS.sha256(), "epoch": 1}
    with pytest.raises(errors.MalformedError):
        messages.report_data(**{**good, **broken})


def test_integers_are_big_endian_words_and_addresses_are_padded_on_the_left() -> None:
    receipt = Receipt(federation=bytes(32), round_id=258, slot=3, update=bytes(32), enclave=bytes(32))
    assert receipt.words()[1:3] == [bytes(30) + b"\x01\x02", bytes(31) + b"\x03"]
    assert UPDATE.words()[4] == bytes(12) + PARTICIPANT
    assert SPEC.words()[11] == b"\xff" * 31 + b"\xf2"  # exponent -14
    assert SPEC.words()[-1] == keccak256(*(value.to_bytes(32) for value in SPEC.deadlines))


def test_bitmaps_travel_as_32_bytes() -> None:
    names = [item.name for item in dataclasses.fields(RoundResult)]
    result = RoundResult(**{n: 1 if n in ("round_id", "counted", "selected") else some(n) for n in names})
    assert result.to_map()["counted"] == bytes(31) + b"\x01"
