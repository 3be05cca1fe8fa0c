"""RLP and trie roots against published examples (Yellow Paper; ethereum/tests trieanyorder.json)."""

import pytest

from verifier.trie import EMPTY_ROOT, integer, list_root, rlp, secure_root, trie_root


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (b"", "80"),
        (b"\x00", "00"),
        (b"\x7f", "7f"),
        (b"\x80", "8180"),
        (b"dog", "83646f67"),
        ([b"cat", b"dog"], "c88363617483646f67"),
        ([], "c0"),
        ([[], [[]], [[], [[]]]], "c7c0c1c0c3c0c1c0"),
        (b"a" * 55, "b7" + "61" * 55),
        (b"a" * 56, "b838" + "61" * 56),
        ([b"a" * 60], "f83eb83c" + "61" * 60),
        (integer(0), "80"),
        (integer(1024), "820400"),
    ],
)
def test_rlp_is_as_the_yellow_paper_says(value: object, encoded: str) -> None:
    assert rlp(value).hex() == encoded  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("items", "root"),
    [
        ({}, "56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421"),
        ({b"A": b"a" * 50}, "d23786fb4a010da3ce639d66d5e904a11dbc02746d1ce25029e53290cabf28ab"),
        (
            {b"doe": b"reindeer", b"dog": b"puppy", b"dogglesworth": b"cat"},
            "8aad789dff2f538bca5d8ea56e8abe10f4c7ba3a5dea95fea4cd6e7c3a1168d3",
        ),
        (
            {b"do": b"verb", b"horse": b"stallion", b"doge": b"coin", b"dog": b"puppy"},
            "5991bb8c6514148a29db676a14ac506cd2cd5775ace63c30a4fe457715e9ac84",
        ),
        ({b"foo": b"bar", b"food": b"bass"}, "17beaa1648bafa633cda809c90c04af50fc8aed3cb40d16efbddee6fdf63c4c3"),
        (
            {b"be": b"e", b"dog": b"puppy", b"bed": b"d"},
            "3f67c7a47520f79faa29255d2d3c084a7a6df0453116ed7232ff10277a8be68b",
        ),
    ],
)
def test_trie_roots_are_those_of_the_published_tests(items: dict[bytes, bytes], root: str) -> None:
    assert trie_root(items).hex() == root


def test_secure_root_is_that_of_the_published_test() -> None:
    items = {b"do": b"verb", b"horse": b"stallion", b"doge": b"coin", b"dog": b"puppy"}
    assert secure_root(items).hex() == "29b235a58c3c25ab83010c327d5932bcf05324b7d6b1185e650798034783ca9d"


def test_the_order_of_insertion_changes_nothing() -> None:
    items = {bytes([n, 7 * n % 256]): bytes([n]) * (n % 40 + 1) for n in range(200)}
    assert trie_root(items) == trie_root(dict(reversed(items.items())))


def test_an_empty_list_has_the_empty_root() -> None:
    assert list_root([]) == EMPTY_ROOT
