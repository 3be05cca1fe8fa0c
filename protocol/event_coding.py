"""How an event lies in a log: its topic, its types, its values.

Responsible for: (topics, data) of a log to an event of a given kind, strictly.
Must not know:   which events there are (`events.py`), chains, blocks.

Spec: docs/protocol.md section 7.  Source: Solidity's contract ABI specification.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, TypeVar

from eth_abi.abi import decode as abi_decode
from eth_abi.abi import encode as abi_encode
from eth_abi.exceptions import DecodingError
from eth_abi.exceptions import EncodingError as AbiEncodingError

from protocol.disputes import Verdict
from protocol.errors import EncodingError
from protocol.hashing import keccak256
from protocol.messages import Checkpoint, Claims, Receipt, RoundResult, Spec, Struct, Unavailable
from protocol.openings import Answer, SetLeaf
from protocol.platforms import QeIdentity, Tcb
from protocol.terms import Terms

STRUCTS: dict[str, type[Any]] = {
    **{kind.NAME: kind for kind in (Spec, Receipt, RoundResult, Claims, Terms, QeIdentity, Tcb, Verdict)},
    **{kind.NAME: kind for kind in (Checkpoint, Unavailable)},
    **{kind.__name__: kind for kind in (SetLeaf, Answer)},
}
"""What an event or a call can carry besides plain values; a field of a struct may be another one."""

OPENING_TYPES = {
    **{"slot": "uint256", "slots": "uint256", "set": "SetLeaf"},
    **{"data": "bytes", "path": "bytes32[]", "columns": "bytes", "totals": "bytes"},
}
"""The Solidity types of the fields of openings: these structs are not signed, so they don't carry them themselves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that a contract said; the fields are the ABI's, in its order, an `indexed` one is a topic."""


EventT = TypeVar("EventT", bound=Event)


def topic_of(kind: type[Event]) -> bytes:
    """The first topic of an event: keccak256 of its name and types."""
    types = ",".join(_types(kind))
    return keccak256(f"{kind.__name__}({types})".encode())


def decode_event(
    kind: type[EventT], topics: Sequence[bytes], data: bytes, enums: Mapping[str, type[IntEnum]]
) -> EventT:
    """The event of that kind in a log whose first topic is its own.

    enums: the enumerations that fields may have, by their names.
    Raises: EncodingError for any other spelling of its values than Solidity's.
    """
    items = dataclasses.fields(kind)
    marked = [item for item in items if _is_indexed(item)]
    others = [item for item in items if not _is_indexed(item)]
    if len(topics) != 1 + len(marked):
        raise EncodingError(f"topics of {kind.__name__}", expected=1 + len(marked), actual=len(topics))
    values = dict(zip([item.name for item in others], _decode(kind, others, data), strict=True))
    for item, topic in zip(marked, topics[1:], strict=True):
        (values[item.name],) = _decode(kind, [item], topic)
    return kind(**{item.name: _value(item, values[item.name], enums) for item in items})


def _is_indexed(item: dataclasses.Field[Any]) -> bool:
    return str(item.metadata["type"]).startswith("indexed ")


def encode_struct(value: Struct) -> bytes:
    """abi.encode of a struct, as a proposal's data or a call has it."""
    return abi_encode([_abi_type(value.NAME)], [_plain(value)])


def _plain(value: Any) -> Any:
    """As eth_abi takes it: a struct is the tuple of its members."""
    if not dataclasses.is_dataclass(value):
        return value
    return tuple(_plain(getattr(value, item.name)) for item in dataclasses.fields(value))


def _types(kind: type[Any]) -> list[str]:
    return [_abi_type(_kind_of(item)) for item in dataclasses.fields(kind)]


def _kind_of(item: dataclasses.Field[Any]) -> str:
    """Its Solidity type, without `indexed`."""
    kind = item.metadata.get("type") or OPENING_TYPES[item.name]
    return str(kind).removeprefix("indexed ")


def _abi_type(kind: str) -> str:
    """The canonical ABI type: a struct is the tuple of its members."""
    return f"({','.join(_types(STRUCTS[kind]))})" if kind in STRUCTS else kind


def _decode(event: type[Event], items: Sequence[dataclasses.Field[Any]], data: bytes) -> tuple[Any, ...]:
    types = [_abi_type(_kind_of(item)) for item in items]
    try:
        values = abi_decode(types, data)
        again = abi_encode(types, values)
    except (DecodingError, AbiEncodingError, OverflowError, ValueError) as error:
        raise EncodingError(f"data of {event.__name__} ({error})") from error
    if again != data:
        raise EncodingError(f"data of {event.__name__}", expected="the ABI's one encoding", actual=data)
    return tuple(values)


def _value(item: dataclasses.Field[Any], value: Any, enums: Mapping[str, type[IntEnum]]) -> Any:
    """A decoded value as we spell it: addresses as bytes, structs and enums as ours."""
    kind = _kind_of(item)
    if kind in STRUCTS:
        members = zip(dataclasses.fields(STRUCTS[kind]), value, strict=True)
        return STRUCTS[kind](**{member.name: _value(member, part, enums) for member, part in members})
    if item.type in enums:
        try:
            return enums[str(item.type)](value)
        except ValueError as error:
            raise EncodingError(item.name, expected=f"a value of {item.type}", actual=value) from error
    if kind == "address":
        return bytes.fromhex(value[2:])
    if kind == "address[]":
        return tuple(bytes.fromhex(address[2:]) for address in value)
    return tuple(value) if kind.endswith("]") else value
