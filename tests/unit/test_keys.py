"""Addresses and signatures have one accepted form each."""

from __future__ import annotations

from typing import Any

import pytest
from eth_account import Account
from protocol_examples import KEY, PARTICIPANT, raw, some, vectors

from protocol import errors, keys
from protocol.errors import EncodingError, LengthError, SignatureError


@pytest.mark.parametrize("vector", vectors("messages/signatures.json"), ids=lambda v: v["address"])
def test_a_signature_is_the_vectors_and_eth_accounts(vector: dict[str, Any]) -> None:
    key, digest, signature = raw(vector["key"]), raw(vector["digest"]), raw(vector["signature"])
    assert keys.sign(key, digest) == signature
    assert keys.recover(digest, signature) == raw(vector["address"]) == keys.address(key)
    assert Account.unsafe_sign_hash(digest, key).signature == signature
    assert Account.from_key(key).address == keys.to_hex(keys.address(key))


@pytest.mark.parametrize("vector", vectors("messages/refused_signatures.json"), ids=lambda v: v["defect"])
def test_a_signature_with_one_defect_is_refused(vector: dict[str, Any]) -> None:
    with pytest.raises(getattr(errors, vector["error"])):
        keys.recover(raw(vector["digest"]), raw(vector["signature"]))


def test_both_values_of_v_occur_and_recover() -> None:
    made = {keys.sign(KEY, some(f"digest {i}"))[64] for i in range(20)}
    assert made == {27, 28}
    for i in range(20):
        digest = some(f"digest {i}")
        assert keys.recover(digest, keys.sign(KEY, digest)) == PARTICIPANT


def test_every_signature_has_low_s() -> None:
    for i in range(50):
        signature = keys.sign(KEY, some(f"digest {i}"))
        assert 0 < int.from_bytes(signature[32:64]) <= keys.ORDER // 2


def test_the_other_v_recovers_somebody_else() -> None:
    digest = some("digest")
    signature = keys.sign(KEY, digest)
    with pytest.raises(SignatureError, match="signer: expected 0x"):
        keys.verify(digest, signature[:64] + bytes([55 - signature[64]]), PARTICIPANT)


def test_a_signature_over_another_digest_is_not_the_participants() -> None:
    with pytest.raises(SignatureError, match="signer"):
        keys.verify(some("another digest"), keys.sign(KEY, some("digest")), PARTICIPANT)


@pytest.mark.parametrize("digest", [b"", bytes(31), bytes(33)])
def test_a_digest_has_32_bytes(digest: bytes) -> None:
    with pytest.raises(LengthError):
        keys.sign(KEY, digest)
    with pytest.raises(LengthError):
        keys.recover(digest, bytes(65))


@pytest.mark.parametrize("key", [bytes(32), keys.ORDER.to_bytes(32), b"\xff" * 32])
def test_a_private_key_is_between_0_and_the_order(key: bytes) -> None:
    with pytest.raises(EncodingError):
        keys.address(key)


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_private_key_has_32_bytes(length: int) -> None:
    with pytest.raises(LengthError):
        keys.sign(b"\x01" * length, bytes(32))


def test_the_address_of_a_public_key_of_another_length_is_refused() -> None:
    with pytest.raises(LengthError):
        keys.address_of_public(b"\x04" + keys.public_key(KEY))


# the four mixed-case examples of ERC-55
CHECKSUMMED = (
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
    "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
    "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
    "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
)


@pytest.mark.parametrize("text", CHECKSUMMED)
def test_addresses_are_written_with_the_checksum_of_erc_55(text: str) -> None:
    value = bytes.fromhex(text[2:])
    assert keys.to_hex(value) == text
    for accepted in (text, text[2:], text.lower(), "0x" + text[2:].upper()):
        assert keys.parse_address(accepted) == value


@pytest.mark.parametrize(
    ("defect", "text"),
    [
        ("a wrong checksum", "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1Beaed"),
        ("39 digits", "0x" + "a" * 39),
        ("41 digits", "0x" + "a" * 41),
        ("no digits", "0x"),
        ("nothing", ""),
        ("0X", "0X" + "a" * 40),
        ("a letter that is no digit", "0x" + "g" * 40),
        ("spaces, which bytes.fromhex skips", "0x" + "ab" * 12 + " " * 16),
        ("a line feed at the end", "0x" + "a" * 39 + "\n"),
        ("a line feed after the end", "0x" + "a" * 40 + "\n"),
        ("digits of another script", "0x" + "\u0661" * 40),
    ],
)
def test_an_address_in_another_form_is_refused(defect: str, text: str) -> None:
    with pytest.raises(EncodingError):
        keys.parse_address(text)


@pytest.mark.parametrize("length", [0, 19, 21, 32])
def test_only_20_bytes_are_written_as_an_address(length: int) -> None:
    with pytest.raises(LengthError):
        keys.to_hex(bytes(length))
