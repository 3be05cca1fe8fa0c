"""Every way to hash many messages gives what FIPS 180-4 and hashlib give, on this processor and on older ones."""

from __future__ import annotations

import platform
from functools import cache
from hashlib import sha256

import numpy as np
import pytest

from protocol import native
from protocol.native import sha256_text
from protocol.native.sha256 import HASHLIB, WORTH_BYTES, Bytes, Hasher, Lines, Machine, has_instructions, hasher

RANDOM = np.random.default_rng(256)

# FIPS 180-4's examples, and the first of NIST's SHA256ShortMsg.rsp
KNOWN = {
    b"": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    b"abc": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq": (
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
    ),
    bytes.fromhex("d3"): "28969cdfa74a12c82f3bad960b0b000aca2ac329deea5c2328ebc6f2ba9802c1",
    bytes.fromhex("11af"): "5ca7133fa735326081558ac312c620eeca9970d1e70a4b95533d956f072d1f98",
    bytes.fromhex("b4190e"): "dff2e73091f6c05e528896c4c831b9448653dc2ff043528f6769437bc7b975c2",
    bytes.fromhex("74ba2521"): "b16aa56be3880d18cd41e68384cf1ec8c17680c45a02b1575dc1518923ae8b0e",
}

WAYS = {
    "hashlib": None,
    "streams": (sha256_text.streams, None),
    "lanes": (sha256_text.lanes, None),
    "lanes for x86-64": (sha256_text.lanes, "x86-64"),
    "lanes for x86-64-v3": (sha256_text.lanes, "x86-64-v3"),
}


@cache
def hasher_of(name: str) -> Hasher:
    way = WAYS[name]
    if way is None:
        return HASHLIB
    text, cpu = way
    return Machine(text(), cpu=cpu)


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> Hasher:
    name = request.param
    if name != "hashlib":
        if not native.is_available():
            pytest.skip("no llvmlite")
        if name == "streams" and not has_instructions():
            pytest.skip("a processor without SHA instructions")
        if "x86" in name and platform.machine() != "x86_64":
            pytest.skip("another kind of processor")
    return hasher_of(name)


def random_bytes(*shape: int) -> Bytes:
    return RANDOM.integers(0, 256, shape, dtype=np.uint8)


def digests(found: Bytes) -> list[bytes]:
    return [digest.tobytes() for digest in found]


@pytest.mark.parametrize("message", KNOWN, ids=lambda m: f"{len(m)} bytes")
def test_known_messages_have_their_known_digests(way: Hasher, message: bytes) -> None:
    data = np.frombuffer(message, dtype=np.uint8)[None]
    assert digests(way.joined([data])) == [bytes.fromhex(KNOWN[message])]


def test_messages_of_every_length_have_hashlibs_digests(way: Hasher) -> None:
    for size in range(301):
        data, prefix = random_bytes(5, size), bytes(random_bytes(size % 3))
        assert digests(way.joined([data], prefix)) == [sha256(prefix + m.tobytes()).digest() for m in data], size


@pytest.mark.parametrize("prefix", [b"", b"\x01", b"\x00\x03"])
def test_any_number_of_messages_is_hashed(way: Hasher, prefix: bytes) -> None:
    for count in range(41):
        data = random_bytes(count, 70)
        assert digests(way.joined([data], prefix)) == [sha256(prefix + m.tobytes()).digest() for m in data], count


@pytest.mark.parametrize("sizes", [(32, 32, 64), (32, 33), (33, 32), (1, 2, 3), (0, 64), (64, 0), (96, 20)])
def test_parts_are_hashed_one_after_the_other(way: Hasher, sizes: tuple[int, ...]) -> None:
    parts = [random_bytes(7, size) for size in sizes]
    expected = [sha256(b"\0\3" + b"".join(part[i].tobytes() for part in parts)).digest() for i in range(7)]
    assert digests(way.joined(parts, b"\0\3")) == expected


def test_the_rows_of_a_part_need_not_follow_one_another(way: Hasher) -> None:
    data = random_bytes(9, 200)
    for part in (data[::2], data[::-1], data[:, 3:99], data.T, data[:, ::2]):
        assert digests(way.joined([part])) == [sha256(m.tobytes()).digest() for m in part]


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5, 20, 21])
def test_a_column_is_a_piece_of_every_line(way: Hasher, k: int) -> None:
    arrays = [random_bytes(40 * 32).view(np.int16) for _ in range(k)]
    pieces = [array.tobytes() for array in arrays]
    for first, count in ((0, 40), (3, 1), (5, 17), (39, 1), (2, 0)):
        expected = [
            sha256(b"".join(piece[32 * i : 32 * i + 32] for piece in pieces)).digest()
            for i in range(first, first + count)
        ]
        assert digests(way.columns(Lines(arrays), first, count)) == expected


def recursive_root(nodes: list[bytes]) -> bytes:
    """RFC 9162, section 2.1.1, over leaf hashes."""
    if len(nodes) == 1:
        return nodes[0]
    k = 1
    while 2 * k < len(nodes):
        k *= 2
    return sha256(b"\x01" + recursive_root(nodes[:k]) + recursive_root(nodes[k:])).digest()


def test_the_root_over_any_number_of_nodes_is_the_recursive_one(way: Hasher) -> None:
    for count in (*range(1, 70), 127, 128, 129, 1000):
        nodes = random_bytes(count, 32)
        expected = recursive_root(digests(nodes))
        assert way.root(nodes) == expected, count


def test_little_is_hashed_by_hashlib_and_much_by_machine_code_where_there_is_any() -> None:
    assert hasher(WORTH_BYTES - 1).name == "hashlib"
    assert hasher(WORTH_BYTES).name == ("llvm" if native.is_available() else "hashlib")


def test_constants_are_those_of_the_standard() -> None:
    # FIPS 180-4, 4.2.2 and 5.3.3, first and last
    assert (sha256_text.K[0], sha256_text.K[63]) == (0x428A2F98, 0xC67178F2)
    assert (sha256_text.H[0], sha256_text.H[7]) == (0x6A09E667, 0x5BE0CD19)
