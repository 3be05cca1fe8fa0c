"""Call data of functions that take structs: nested ones, with bytes and lists, from our dataclasses."""

from __future__ import annotations

from eth_abi.abi import encode

from contracts.abi import Interface
from protocol.hashing import keccak256
from protocol.messages import Receipt
from protocol.openings import RowChunk, SetLeaf


def field(kind: str, name: str, *components: dict[str, object]) -> dict[str, object]:
    return {"type": kind, "name": name} | ({"components": list(components)} if components else {})


SET = field(
    "tuple",
    "set",
    field("uint256", "slot"),
    field("uint16", "slots"),
    field("bytes", "data"),
    field("bytes32[]", "path"),
)  # the order is Solidity's
CHUNK = field("tuple", "left", field("bytes32[]", "path"), SET, field("bytes", "data"))
RECEIPT = field(
    "tuple",
    "receipt",
    *(field("bytes32", "federation"), field("uint64", "round"), field("uint16", "slot")),
    *(field("bytes32", "update"), field("bytes32", "enclave")),
)
FUNCTION = {
    "type": "function",
    "name": "show",
    "inputs": [RECEIPT, CHUNK, field("address[]", "cohort")],
    "outputs": [field("tuple", "", field("uint8", "predicate"), field("address[]", "who"))],
}
WHOSE = Interface("Example", {"bytecode": "0x", "abi": [FUNCTION]})
TYPES = [
    "(bytes32,uint64,uint16,bytes32,bytes32)",
    "(bytes32[],(uint256,uint16,bytes,bytes32[]),bytes)",
    "address[]",
]


def test_a_struct_is_encoded_by_the_names_of_its_fields_however_deep() -> None:
    receipt = Receipt(federation=b"f" * 32, round_id=7, slot=3, update=b"u" * 32, enclave=b"e" * 32)
    leaf = SetLeaf(slot=3, slots=5, data=b"some bytes", path=(b"1" * 32, b"2" * 32))
    chunk = RowChunk(set=leaf, data=b"row", path=(b"3" * 32,))
    cohort = (b"a" * 20, b"b" * 20)
    expected = (
        (b"f" * 32, 7, 3, b"u" * 32, b"e" * 32),
        ([b"3" * 32], (3, 5, b"some bytes", [b"1" * 32, b"2" * 32]), b"row"),
        list(cohort),
    )
    data = WHOSE.call_data("show", receipt, chunk, cohort)
    assert data[:4] == keccak256(f"show({','.join(TYPES)})".encode())[:4]
    assert data[4:] == encode(TYPES, expected)


def test_a_struct_that_is_returned_has_its_names() -> None:
    data = encode(["(uint8,address[])"], [(4, [b"a" * 20])])
    assert WHOSE.returned("show", data) == [{"predicate": 4, "who": [b"a" * 20]}]
