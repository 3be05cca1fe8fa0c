"""A transaction of one's own: what is offered for it, and its signature.

Responsible for: EIP-1559 transactions from their fields to signed bytes, and the fees that they offer.
Must not know:   nodes, contracts, or what a transaction is for.

Spec: EIP-1559.  The encoding is that of `transactions.py`, which reads every transaction that it signs.
"""

from __future__ import annotations

from dataclasses import dataclass

from protocol.errors import UnavailableError
from protocol.hashing import keccak256
from protocol.keys import Address, sign
from verifier.transactions import Transaction, encode_transaction, parse_transaction

FEE_MARGIN = 4
"""Times the base fee that is offered: minable through eleven full blocks, after each of which it rises by an eighth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fees:
    """What is offered for a unit of gas."""

    tip_wei: int
    """To whoever mines it."""
    most_wei: int
    """All in all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsigned:
    """A call of a contract before it is signed."""

    chain_id: int
    nonce: int
    fees: Fees
    gas: int
    """At most."""
    to: Address
    value_wei: int = 0
    input: bytes


def sign_transaction(wanted: Unsigned, key: bytes) -> Transaction:
    """The signed transaction; the same bytes every time (RFC 6979)."""
    fields = {
        "type": "0x2",
        "chainId": hex(wanted.chain_id),
        "nonce": hex(wanted.nonce),
        "maxPriorityFeePerGas": hex(wanted.fees.tip_wei),
        "maxFeePerGas": hex(wanted.fees.most_wei),
        "gas": hex(wanted.gas),
        "to": "0x" + wanted.to.hex(),
        "value": hex(wanted.value_wei),
        "input": "0x" + wanted.input.hex(),
        "accessList": [],
    }
    unsigned, _, _ = encode_transaction({**fields, "r": "0x0", "s": "0x0", "yParity": "0x0"})
    signature = sign(key, keccak256(unsigned))
    r, s, parity = int.from_bytes(signature[:32]), int.from_bytes(signature[32:64]), signature[64] - 27
    return parse_transaction({**fields, "r": hex(r), "s": hex(s), "yParity": hex(parity)})


def offer(*, base_fee_wei: int, tip_wei: int, cap_wei: int) -> Fees:
    """What to offer, never more than `cap_wei` for a unit of gas.

    Raises: UnavailableError when the base fee alone is more.
    """
    if base_fee_wei > cap_wei:
        what = f"a unit of gas costs {base_fee_wei} wei now, and at most {cap_wei} may be paid"
        raise UnavailableError(what, "wait until it is cheaper, or raise --max-fee-gwei")
    most = min(cap_wei, FEE_MARGIN * base_fee_wei + tip_wei)
    return Fees(tip_wei=min(tip_wei, most - base_fee_wei), most_wei=most)
