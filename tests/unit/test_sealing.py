"""A sealed update opens for one enclave, round, participant and ledger, and is no longer than the bound says."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.hpke import MLKEM768X25519PrivateKey
from protocol_examples import DOMAIN, KEY, PARTICIPANT, SPEC, UPDATE, some

from protocol import encoding, keys, sealing
from protocol.errors import EncodingError, LengthError, MalformedError, UnknownNameError
from protocol.sealing import Payload

X25519 = X25519PrivateKey.from_private_bytes(some("x25519"))
HYBRID = MLKEM768X25519PrivateKey(MLKEM768PrivateKey.from_seed_bytes(some("a") + some("b")), X25519)
SECRETS: dict[int, Any] = {sealing.KEM_X25519: X25519, sealing.KEM_HYBRID: HYBRID}
PUBLIC = {
    sealing.KEM_X25519: X25519.public_key().public_bytes_raw(),
    sealing.KEM_HYBRID: MLKEM768PrivateKey.from_seed_bytes(some("a") + some("b")).public_key().public_bytes_raw()
    + X25519.public_key().public_bytes_raw(),
}
PLACE: dict[str, Any] = {
    "federation": SPEC.federation,
    "ledger": DOMAIN.ledger,
    "round_id": SPEC.round_id,
    "participant": PARTICIPANT,
    "enclave": SPEC.enclave,
}
INFO = sealing.info(**PLACE)
PAYLOAD = Payload(update=UPDATE, signature=keys.sign(KEY, UPDATE.digest(DOMAIN)), row=bytes(600))


def sealed(kem: int, plain: bytes) -> bytes:
    return sealing.suite(kem).encrypt(plain, sealing.parse_public_key(kem, PUBLIC[kem]), info=INFO)


def test_the_info_is_116_bytes_that_name_the_place() -> None:
    assert b"VFL1" + SPEC.federation + DOMAIN.ledger + bytes([0] * 7 + [7]) + PARTICIPANT + SPEC.enclave == INFO
    assert len(INFO) == 116


@pytest.mark.parametrize("field", ["federation", "ledger", "participant", "enclave"])
def test_an_info_of_parts_of_other_lengths_is_refused(field: str) -> None:
    with pytest.raises(LengthError):
        sealing.info(**{**PLACE, field: PLACE[field][:-1]})


@pytest.mark.parametrize("kem", SECRETS)
def test_what_is_sealed_opens_under_its_own_info(kem: int) -> None:
    blob = sealed(kem, sealing.encode_payload(PAYLOAD))
    plain = sealing.suite(kem).decrypt(blob, SECRETS[kem], info=INFO)
    assert sealing.parse_payload(bytes(plain), max_bytes=len(plain)) == PAYLOAD


@pytest.mark.parametrize("kem", SECRETS)
@pytest.mark.parametrize("field", PLACE)
def test_what_is_sealed_opens_nowhere_else(kem: int, field: str) -> None:
    blob = sealed(kem, b"an update")
    value = PLACE[field]
    other = value + 1 if isinstance(value, int) else bytes([value[0] ^ 1]) + value[1:]
    with pytest.raises(InvalidTag):
        sealing.suite(kem).decrypt(blob, SECRETS[kem], info=sealing.info(**{**PLACE, field: other}))


@pytest.mark.parametrize("kem", SECRETS)
def test_a_blob_with_one_bit_changed_does_not_open(kem: int) -> None:
    blob = sealed(kem, b"an update")
    for at in (0, sealing.ENCAPSULATION_BYTES[kem], len(blob) - 1):
        changed = blob[:at] + bytes([blob[at] ^ 1]) + blob[at + 1 :]
        with pytest.raises((InvalidTag, ValueError)):
            sealing.suite(kem).decrypt(changed, SECRETS[kem], info=INFO)


@pytest.mark.parametrize("kem", SECRETS)
@pytest.mark.parametrize("dimension", [1, 11, 12, 127, 128, 300, 32767, 32768, 40000])
def test_the_largest_update_is_sealed_within_the_bound_and_near_it(kem: int, dimension: int) -> None:
    widest = dataclasses.replace(UPDATE, round_id=(1 << 64) - 1, samples=(1 << 32) - 1)
    payload = dataclasses.replace(PAYLOAD, update=widest, row=b"\xff" * (2 * dimension))
    size, bound = len(sealed(kem, sealing.encode_payload(payload))), sealing.max_sealed_bytes(kem, dimension)
    assert bound - 4 <= size <= bound


def test_sealing_twice_gives_two_blobs() -> None:
    assert sealed(sealing.KEM_X25519, b"an update") != sealed(sealing.KEM_X25519, b"an update")


@pytest.mark.parametrize("kem", [0, 0x21, 0x10000])
def test_a_kem_without_a_suite_is_refused_by_name(kem: int) -> None:
    with pytest.raises(UnknownNameError, match="mlkem768-x25519"):
        sealing.suite(kem)
    with pytest.raises(LengthError):
        sealing.parse_public_key(kem, bytes(32))
    with pytest.raises(UnknownNameError):
        sealing.max_sealed_bytes(kem, 1)


@pytest.mark.parametrize("kem", SECRETS)
@pytest.mark.parametrize("change", [-1, 1])
def test_a_public_key_of_another_length_is_refused(kem: int, change: int) -> None:
    key = PUBLIC[kem]
    with pytest.raises(LengthError):
        sealing.parse_public_key(kem, key[:change] if change < 0 else key + b"\0")


def test_an_ml_kem_key_that_is_not_reduced_is_refused() -> None:
    with pytest.raises(EncodingError):
        sealing.parse_public_key(sealing.KEM_HYBRID, b"\xff" * 1216)


@pytest.mark.parametrize(
    ("defect", "change"),
    [
        ("without a row", lambda v: {k: x for k, x in v.items() if k != "row"}),
        ("without a signature", lambda v: {k: x for k, x in v.items() if k != "signature"}),
        ("without an update", lambda v: {k: x for k, x in v.items() if k != "update"}),
        ("a field left over", lambda v: {**v, "note": 1}),
        ("a row that is text", lambda v: {**v, "row": "00"}),
        ("a signature of 64 bytes", lambda v: {**v, "signature": v["signature"][:-1]}),
        ("an update that is a list", lambda v: {**v, "update": list(v["update"].values())}),
        ("an update with a field left over", lambda v: {**v, "update": {**v["update"], "note": 1}}),
    ],
)
def test_a_payload_with_one_defect_is_refused(defect: str, change: Any) -> None:
    value = encoding.decode_map(sealing.encode_payload(PAYLOAD), max_bytes=10_000)
    with pytest.raises(MalformedError):
        sealing.parse_payload(encoding.encode(change(value)), max_bytes=10_000)


def test_a_payload_longer_than_the_cap_is_refused_unread() -> None:
    with pytest.raises(LengthError):
        sealing.parse_payload(bytes(11), max_bytes=10)
