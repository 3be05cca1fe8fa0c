"""A contract's storage by the names of its variables, from the compiler's storage layout.

Responsible for: names and keys to slots, slots to values; which slots were looked at.
Must not know:   what the values should be (checks/storage.py), or where words come from.

Source: Solidity's "Layout of State Variables in Storage".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from protocol.errors import MalformedError, UnavailableError
from protocol.hashing import keccak256

Key = bytes | int
MAX_BYTES = 1 << 16
"""Longest `bytes` that we read from storage; the contracts keep none that comes near."""


class Storage:
    """One contract's storage.

    layout: the compiler's storageLayout.
    read:   slot to 32-byte word.
    """

    def __init__(self, layout: Mapping[str, Any], read: Callable[[int], bytes]) -> None:
        self._variables = {item["label"]: item for item in layout["storage"]}
        self._types: Mapping[str, Any] = layout["types"] or {}
        self._read = read
        self.seen: set[int] = set()
        """Every slot that was read."""

    def value(self, name: str, *keys: Key) -> Any:
        """The value of a variable, or of an entry of a mapping under its keys, outermost first.

        returns: int, bool, bytes (fixed, dynamic, or an address), a list, or a map for a struct.
        """
        if name not in self._variables:
            raise UnavailableError(f"the storage layout has no variable {name}", "the artifact and the verifier differ")
        item = self._variables[name]
        slot, kind = int(item["slot"]), item["type"]
        for key in keys:
            entry = self._types[kind]
            if entry["encoding"] != "mapping":
                raise MalformedError(f"{name} in storage", expected="a mapping", actual=entry["label"])
            word = key.to_bytes(32) if isinstance(key, int) else _padded(key)
            slot, kind = int.from_bytes(keccak256(word, slot.to_bytes(32))), entry["value"]
        return self._value(kind, slot, int(item["offset"]) if not keys else 0)

    def _value(self, kind: str, slot: int, offset: int) -> Any:
        entry = self._types[kind]
        if entry["encoding"] == "bytes":
            return self._bytes(slot)
        if entry["encoding"] == "dynamic_array":
            count = int.from_bytes(self._word(slot))
            return self._array(entry["base"], int.from_bytes(keccak256(slot.to_bytes(32))), count)
        if "members" in entry:
            return {
                member["label"]: self._value(member["type"], slot + int(member["slot"]), int(member["offset"]))
                for member in entry["members"]
                if self._types[member["type"]]["encoding"] != "mapping"
            }
        if "base" in entry:
            size = int(self._types[entry["base"]]["numberOfBytes"])
            per_word = 32 // size
            total = int(entry["numberOfBytes"]) // 32
            count = int(kind[kind.rindex(")") + 1 : kind.rindex("_")]) if ")" in kind else total * per_word
            return self._array(entry["base"], slot, count)
        size = int(entry["numberOfBytes"])
        word = self._word(slot)
        return _scalar(kind, word[32 - offset - size : 32 - offset])

    def _array(self, base: str, slot: int, count: int) -> list[Any]:
        size = int(self._types[base]["numberOfBytes"])
        if size >= 32:
            return [self._value(base, slot + index * (size // 32), 0) for index in range(count)]
        per_word = 32 // size
        return [self._value(base, slot + index // per_word, index % per_word * size) for index in range(count)]

    def _bytes(self, slot: int) -> bytes:
        word = self._word(slot)
        if not word[31] & 1:
            return word[: word[31] // 2]
        length = int.from_bytes(word) // 2
        if length > MAX_BYTES:
            raise MalformedError("length of bytes in storage", expected=f"at most {MAX_BYTES}", actual=length)
        first = int.from_bytes(keccak256(slot.to_bytes(32)))
        return b"".join(self._word(first + index) for index in range(-(-length // 32)))[:length]

    def _word(self, slot: int) -> bytes:
        self.seen.add(slot)
        return self._read(slot)


def _padded(key: bytes) -> bytes:
    """Addresses are padded on the left; bytes32 fill the word."""
    return key.rjust(32, b"\0")


def _scalar(kind: str, raw: bytes) -> Any:
    if kind.startswith("t_bool"):
        return raw != b"\0"
    if kind.startswith(("t_uint", "t_enum")):
        return int.from_bytes(raw)
    if kind.startswith("t_int"):
        return int.from_bytes(raw, signed=True)
    return raw
