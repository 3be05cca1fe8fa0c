"""RLP and the root of a Merkle-Patricia trie: what an Ethereum block header commits to.

Responsible for: encoding (never decoding) and roots of whole tries, from the Yellow Paper's definitions.
Must not know:   what the keys and values are.

Spec: Yellow Paper, appendices B (RLP), C (hex-prefix) and D (trie).  Vectors: tests/unit/test_trie.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from protocol.hashing import keccak256

Rlp: TypeAlias = "bytes | Sequence[Rlp]"
"""Something that RLP encodes: bytes, or a list of such."""

Nibbles = tuple[int, ...]

EMPTY_ROOT = keccak256(b"\x80")
"""Root of the trie without a key: the hash of the RLP of the empty string."""


def rlp(value: Rlp) -> bytes:
    """RLP of bytes or of a (nested) list of bytes."""
    if isinstance(value, bytes):
        return value if len(value) == 1 and value[0] < 0x80 else _prefix(0x80, len(value)) + value
    body = b"".join(rlp(item) for item in value)
    return _prefix(0xC0, len(body)) + body


def integer(value: int) -> bytes:
    """Big-endian without leading zeros; zero is the empty string."""
    return value.to_bytes((value.bit_length() + 7) // 8)


def trie_root(items: Mapping[bytes, bytes]) -> bytes:
    """Root of the trie that holds exactly these keys and (non-empty) values."""
    if not items:
        return EMPTY_ROOT
    return keccak256(rlp(_node(sorted((_nibbles(key), value) for key, value in items.items()), 0)))


def secure_root(items: Mapping[bytes, bytes]) -> bytes:
    """As `trie_root`, each key replaced by its hash: how accounts and storage are kept."""
    return trie_root({keccak256(key): value for key, value in items.items()})


def list_root(values: Sequence[bytes]) -> bytes:
    """Root of the trie of a block's transactions or receipts: keys are the RLP of the index."""
    return trie_root({rlp(integer(index)): value for index, value in enumerate(values)})


def storage_root(slots: Mapping[bytes, bytes]) -> bytes:
    """Root of an account's storage: 32-byte slot to 32-byte word; Ethereum has no zero words in it."""
    return secure_root({slot: rlp(word.lstrip(b"\0")) for slot, word in slots.items()})


def account(nonce: int, balance: int, root: bytes, code: bytes) -> bytes:
    """The value under which the state trie keeps an account."""
    return rlp([integer(nonce), integer(balance), root, keccak256(code)])


def _node(items: list[tuple[Nibbles, bytes]], depth: int) -> list[Rlp]:
    """The node that holds these (sorted, distinct) keys from nibble `depth` on."""
    if len(items) == 1:
        key, value = items[0]
        return [_hex_prefix(key[depth:], leaf=True), value]
    first, last = items[0][0], items[-1][0]
    shared = depth
    while shared < len(first) and first[shared] == last[shared]:  # sorted: what the ends share, all share
        shared += 1
    if shared > depth:
        return [_hex_prefix(first[depth:shared], leaf=False), _reference(_node(items, shared))]
    branch: list[Rlp] = [b""] * 17
    if len(first) == depth:
        branch[16] = items[0][1]
        items = items[1:]
    for nibble in range(16):
        below = [item for item in items if item[0][depth] == nibble]
        if below:
            branch[nibble] = _reference(_node(below, depth + 1))
    return branch


def _reference(node: list[Rlp]) -> Rlp:
    """How a parent names a node: by its hash, or by itself where that is shorter."""
    encoded = rlp(node)
    return node if len(encoded) < 32 else keccak256(encoded)


def _hex_prefix(nibbles: Nibbles, *, leaf: bool) -> bytes:
    flag = 2 * leaf + len(nibbles) % 2
    padded = ((flag,) if len(nibbles) % 2 else (flag, 0)) + nibbles
    return bytes(16 * high + low for high, low in zip(padded[::2], padded[1::2], strict=True))


def _nibbles(key: bytes) -> Nibbles:
    return tuple(nibble for byte in key for nibble in divmod(byte, 16))


def _prefix(base: int, length: int) -> bytes:
    if length <= 55:
        return bytes([base + length])
    size = integer(length)
    return bytes([base + 55 + len(size)]) + size
