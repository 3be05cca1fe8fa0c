"""The contracts' interfaces: arguments to call data, return data and errors to values (events: protocol.events).

Responsible for: Solidity's ABI by the names in the committed artifacts; addresses are 20 bytes on this side, and a
                 struct is a dataclass with its fields under their Python names.
Must not know:   the network, or what a call is for.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from eth_abi.abi import decode as abi_decode
from eth_abi.abi import encode as abi_encode
from eth_abi.exceptions import DecodingError
from eth_utils.abi import collapse_if_tuple

from contracts import NAMES, artifact
from protocol.errors import EncodingError
from protocol.hashing import keccak256
from protocol.messages import solidity_name

_PANICS = {0x01: "assertion", 0x11: "arithmetic overflow", 0x12: "division by zero", 0x32: "index out of bounds"}


class Interface:
    """One contract's ABI and creation code; `loaded` is its artifact where that is not a committed one."""

    def __init__(self, name: str, loaded: Mapping[str, Any] | None = None) -> None:
        loaded = artifact(name) if loaded is None else loaded
        self.name = name
        self._bytecode = bytes.fromhex(str(loaded["bytecode"]).removeprefix("0x"))
        abi: list[dict[str, Any]] = loaded["abi"]
        self._functions = {item["name"]: item for item in abi if item["type"] == "function"}
        self.errors = {_signature_hash(item)[:4]: item for item in abi if item["type"] == "error"}
        constructors = [item["inputs"] for item in abi if item["type"] == "constructor"]
        self._constructor: list[dict[str, Any]] = constructors[0] if constructors else []

    def creation(self, *arguments: Any) -> bytes:
        """The data of the transaction that creates the contract."""
        return self._bytecode + _encode(self._constructor, arguments)

    def call_data(self, function: str, *arguments: Any) -> bytes:
        """The data of a call."""
        item = self._functions[function]
        return _signature_hash(item)[:4] + _encode(item["inputs"], arguments)

    def returned(self, function: str, data: bytes) -> list[Any]:
        """The values that a call returned.  Raises EncodingError when the data are not such values."""
        return _decode(self._functions[function]["outputs"], data, f"{self.name}.{function}")


def interfaces() -> dict[str, Interface]:
    """All contracts by name."""
    return {name: Interface(name) for name in NAMES}


def decode_error(known: Mapping[str, Interface], data: bytes) -> tuple[str, dict[str, Any]]:
    """Name and arguments of a revert's data; an unknown one is named by its selector."""
    if not data:
        return "no reason given", {}
    if data[:4] == keccak256(b"Error(string)")[:4]:
        return str(_decode([{"type": "string"}], data[4:], "Error(string)")[0]), {}
    if data[:4] == keccak256(b"Panic(uint256)")[:4]:
        code = int.from_bytes(data[4:36])
        return f"panic {code:#04x} ({_PANICS.get(code, 'see the Solidity manual')})", {}
    for interface in known.values():
        item = interface.errors.get(data[:4])
        if item is not None:
            values = _decode(item["inputs"], data[4:], item["name"])
            return item["name"], dict(zip([field["name"] for field in item["inputs"]], values, strict=True))
    return f"unknown error 0x{data[:4].hex()}", {}


def _signature_hash(item: Mapping[str, Any]) -> bytes:
    types = ",".join(collapse_if_tuple(dict(field)) for field in item["inputs"])
    return keccak256(f"{item['name']}({types})".encode())


def _encode(fields: Sequence[Mapping[str, Any]], arguments: Sequence[Any]) -> bytes:
    values = [_to_abi(field, value) for field, value in zip(fields, arguments, strict=True)]
    return abi_encode([collapse_if_tuple(dict(field)) for field in fields], values)


def _decode(fields: Sequence[Mapping[str, Any]], data: bytes, what: str) -> list[Any]:
    types = [collapse_if_tuple(dict(field)) for field in fields]
    try:
        values = abi_decode(types, data)
    except (DecodingError, OverflowError, UnicodeDecodeError) as error:
        raise EncodingError(f"what the chain says of {what}", expected=",".join(types), actual=data) from error
    return [_from_abi(field, value) for field, value in zip(fields, values, strict=True)]


def _to_abi(field: Mapping[str, Any], value: Any) -> Any:
    kind: str = field["type"]
    if not kind.startswith("tuple"):
        return list(value) if isinstance(value, tuple) else value
    if kind != "tuple":
        inner = {**field, "type": kind[: kind.rindex("[")]}
        return [_to_abi(inner, item) for item in value]
    parts = field["components"]
    if dataclasses.is_dataclass(value):
        names = {solidity_name(item): item.name for item in dataclasses.fields(value)}
        return tuple(_to_abi(part, getattr(value, names[part["name"]])) for part in parts)
    return tuple(_to_abi(part, item) for part, item in zip(parts, value, strict=True))


def _from_abi(field: Mapping[str, Any], value: Any) -> Any:
    kind: str = field["type"]
    if kind.endswith("]"):
        inner = {**field, "type": kind[: kind.rindex("[")]}
        return [_from_abi(inner, item) for item in value]
    if kind == "tuple":
        parts = field["components"]
        return {part["name"]: _from_abi(part, item) for part, item in zip(parts, value, strict=True)}
    return bytes.fromhex(value[2:]) if kind == "address" else value
