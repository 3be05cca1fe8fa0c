"""Transactions: the bytes that were signed, and who signed them.

Responsible for: JSON fields to signed bytes, hash and sender, strictly (types 0, 1 and 2).
Must not know:   blocks, contracts, or what a transaction was for.

Spec: EIP-155 and its predecessor (type 0), EIP-2930 (1), EIP-1559 (2), EIP-2 (low s).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from protocol.errors import EncodingError, SignatureError, UnavailableError
from protocol.hashing import keccak256
from protocol.keys import Address, recover
from verifier.trie import Rlp, integer, rlp
from verifier.values import data, quantity


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """A signed transaction whose signer was recovered from its signature."""

    raw: bytes
    """The signed bytes, as the transactions trie has them."""
    hash: bytes
    chain_id: int | None
    """None: signed for any chain, as before EIP-155."""
    sender: Address
    nonce: int
    to: Address | None
    """None: creates a contract."""
    value_wei: int
    input: bytes

    @property
    def created(self) -> Address:
        """The contract that it creates where `to` is None."""
        return keccak256(rlp([self.sender, integer(self.nonce)]))[12:]


def parse_transaction(fields: Mapping[str, Any]) -> Transaction:
    """The transaction in its JSON form; what the JSON says of hash and sender is not read.

    Raises: EncodingError, SignatureError, UnavailableError (a type that this verifier does not know).
    """
    try:
        unsigned, raw, parity = encode_transaction(fields)
        r, s = quantity(fields["r"], "r"), quantity(fields["s"], "s")
        chain_id = fields.get("chainId")
        to = fields["to"]
        if parity not in (0, 1) or max(r, s) >> 256:
            raise SignatureError("signature of a transaction", actual=(parity, r, s))
        return Transaction(
            raw=raw,
            hash=keccak256(raw),
            chain_id=None if chain_id is None else quantity(chain_id, "chainId"),
            sender=recover(keccak256(unsigned), r.to_bytes(32) + s.to_bytes(32) + bytes([27 + parity])),
            nonce=quantity(fields["nonce"], "nonce"),
            to=None if to is None else data(to, "to", 20),
            value_wei=quantity(fields["value"], "value"),
            input=data(fields["input"], "input"),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise EncodingError(f"a transaction lacks a field, or has one of another type ({error})") from error


def encode_transaction(fields: Mapping[str, Any]) -> tuple[bytes, bytes, int]:
    """(what is signed, the signed bytes, parity of the signature's point) of a transaction in its JSON form."""

    def number(name: str) -> bytes:
        return integer(quantity(fields[name], name))

    kind = quantity(fields.get("type", "0x0"), "type of a transaction")
    to = b"" if fields["to"] is None else data(fields["to"], "to", 20)
    call: list[Rlp] = [number("gas"), to, number("value"), data(fields["input"], "input")]
    signature = [number("r"), number("s")]
    if kind == 0:
        v, chain_id = quantity(fields["v"], "v"), fields.get("chainId")
        legacy = [number("nonce"), number("gasPrice"), *call]
        if chain_id is None and v in (27, 28):
            return rlp(legacy), rlp([*legacy, integer(v), *signature]), v - 27
        if v < 35 or (v - 35) // 2 != quantity(chain_id, "chainId"):
            raise EncodingError("v of a transaction", expected=f"of chain {chain_id}", actual=v)
        return rlp([*legacy, number("chainId"), b"", b""]), rlp([*legacy, integer(v), *signature]), (v - 35) % 2
    if kind not in (1, 2):
        raise UnavailableError(f"a transaction of type {kind}, which this verifier does not know", "use a newer one")
    parity = quantity(fields.get("yParity", fields.get("v")), "yParity")
    if "v" in fields and quantity(fields["v"], "v") != parity:
        raise EncodingError("v of a transaction", expected=parity, actual=fields["v"])
    prices = ["gasPrice"] if kind == 1 else ["maxPriorityFeePerGas", "maxFeePerGas"]
    access: list[Rlp] = [
        [data(item["address"], "address", 20), [data(key, "storage key", 32) for key in item["storageKeys"]]]
        for item in fields["accessList"]
    ]
    typed: list[Rlp] = [*(number(name) for name in ("chainId", "nonce", *prices)), *call, access]
    head = bytes([kind])
    return head + rlp(typed), head + rlp([*typed, integer(parity), *signature]), parity
