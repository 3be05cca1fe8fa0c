"""Rules have fixed names and numbers, and say how many updates they need."""

from __future__ import annotations

import dataclasses

import pytest
from protocol_examples import SPEC

from protocol import rulebook
from protocol.errors import LengthError, MalformedError, RangeError, SpecMismatchError, UnknownNameError
from protocol.rulebook import RULE_NAMES, Rule, encode_chain


def test_names_and_numbers_are_fixed() -> None:
    names = ["mean", "weighted-mean", "median", "trimmed-mean", "krum", "multi-krum"]
    assert {name: int(rule) for name, rule in RULE_NAMES.items()} == {name: i + 1 for i, name in enumerate(names)}
    assert Rule.REPLAY == 0


def test_an_unknown_name_lists_those_that_exist() -> None:
    known = ", ".join(sorted(rulebook.RULE_PARAMETERS))
    with pytest.raises(UnknownNameError, match=f"^unknown rule: expected one of {known}, got meen$"):
        rulebook.parse_rule("meen")
    with pytest.raises(UnknownNameError, match=r"^unknown stage before a rule: expected one of arc, bucketing, clip"):
        rulebook.parse_rule("mnn+krum")


@pytest.mark.parametrize(("name", "rule"), RULE_NAMES.items())
def test_a_spec_names_its_rule_by_number_and_text(name: str, rule: Rule) -> None:
    spec = dataclasses.replace(SPEC, rule=int(rule), chain=encode_chain(name))
    assert rulebook.rule_name(spec) == name
    assert rulebook.parse_rule(name) == rule
    with pytest.raises(SpecMismatchError, match="rule number of arc"):
        rulebook.rule_name(dataclasses.replace(spec, chain=encode_chain(f"arc+{name}")))


@pytest.mark.parametrize("number", [0, 7, 255])
def test_a_number_that_is_not_the_chains_is_refused(number: int) -> None:
    with pytest.raises(SpecMismatchError):
        rulebook.rule_name(dataclasses.replace(SPEC, rule=number))


CHAINS = [
    "nnm+krum",
    "arc+bucketing:2+trimmed-mean",
    "meamed",
    "clip:1+weighted-mean",
    "centred-clipping:2147483647:64",
]


@pytest.mark.parametrize("text", CHAINS)
def test_a_chain_is_read_and_written_as_the_same_text_and_has_number_0(text: str) -> None:
    chain = rulebook.parse_chain(text)
    assert str(chain) == text
    assert chain.number is Rule.REPLAY
    assert chain.encode() == text.encode().ljust(32, b"\0")
    assert rulebook.chain_of(dataclasses.replace(SPEC, rule=0, chain=chain.encode())) == chain


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "+",
            "krum+",
            "+krum",
            "nnm",
            "krum+nnm",
            "krum+krum",
            "nnm+nnm+krum",
            "Krum",
            " krum",
            "krum ",
            "krum:1",
        ),
        *("bucketing+krum", "bucketing:+krum", "bucketing:02+krum", "bucketing:1+krum", "bucketing:256+krum"),
        *("bucketing:2:2+krum", "bucketing:-2+krum", "bucketing:²+krum", "clip:0+mean", "clip:2147483648+mean"),
        *("clip:" + "9" * 5000 + "+mean", "centred-clipping", "centred-clipping:1:0", "centred-clipping:1:65"),
        *("nnm+weighted-mean", "bucketing:2+weighted-mean", "krum\0", "krum\n"),
    ],
)
def test_any_other_spelling_is_refused(text: str) -> None:
    with pytest.raises(MalformedError):
        rulebook.parse_chain(text)


def test_a_chain_that_has_no_room_in_a_spec_is_refused_there() -> None:
    assert rulebook.encode_chain("arc+bucketing:2+geometric-median").isascii()
    with pytest.raises(LengthError, match="at most 32"):
        rulebook.encode_chain("arc+bucketing:20+geometric-median")
    for junk in (b"krum\0x".ljust(32, b"\0"), b"\xff" * 32, bytes(32)):
        with pytest.raises(MalformedError):
            rulebook.chain_of(dataclasses.replace(SPEC, rule=5, chain=junk))


@pytest.mark.parametrize(
    ("text", "f", "m", "needed"),
    [
        ("bulyan", 2, 0, 11), ("mda", 2, 0, 5), ("meamed", 2, 0, 5), ("fltrust", 9, 0, 1),
        ("geometric-median", 0, 0, 1),
        ("nnm+mean", 3, 0, 7), ("arc+mean", 3, 0, 7), ("clip:9+mean", 3, 0, 1), ("nnm+krum", 3, 0, 9),
        ("bucketing:3+mean", 3, 0, 1), ("bucketing:3+median", 1, 0, 7), ("bucketing:2+krum", 1, 0, 9),
        ("nnm+bucketing:2+median", 2, 0, 9), ("bucketing:2+nnm+mean", 2, 0, 9), ("arc+multi-krum", 1, 6, 7),
    ],
)  # fmt: skip
def test_a_chain_needs_so_many_counted_updates(text: str, f: int, m: int, needed: int) -> None:
    assert rulebook.parse_chain(text).minimum_counted(f=f, m=m) == needed


def test_mda_has_a_largest_f() -> None:
    assert rulebook.parse_chain("mda").minimum_counted(f=32, m=0) == 65
    with pytest.raises(RangeError, match="at most 32"):
        rulebook.parse_chain("nnm+mda").minimum_counted(f=33, m=0)


@pytest.mark.parametrize(
    ("rule", "f", "m", "needed"),
    [
        (Rule.MEAN, 3, 0, 1),
        (Rule.WEIGHTED_MEAN, 3, 0, 1),
        (Rule.MEDIAN, 0, 0, 1),
        (Rule.MEDIAN, 3, 0, 7),
        (Rule.TRIMMED_MEAN, 2, 9, 5),
        (Rule.KRUM, 0, 0, 3),
        (Rule.KRUM, 2, 9, 7),
        (Rule.MULTI_KRUM, 2, 0, 7),
        (Rule.MULTI_KRUM, 2, 5, 7),
        (Rule.MULTI_KRUM, 2, 6, 8),
    ],
)
def test_each_rule_needs_so_many_counted_updates(rule: Rule, f: int, m: int, needed: int) -> None:
    assert rulebook.minimum_counted(rule, f=f, m=m) == needed


@pytest.mark.parametrize(("f", "m"), [(-1, 0), (0, -1)])
def test_negative_parameters_are_refused(f: int, m: int) -> None:
    with pytest.raises(RangeError):
        rulebook.minimum_counted(Rule.KRUM, f=f, m=m)


def test_krum_and_multi_krum_select_and_need_the_gram_tree() -> None:
    selecting = {rule for rule in Rule if rulebook.is_selecting(rule)}
    assert selecting == {Rule.KRUM, Rule.MULTI_KRUM} == {rule for rule in Rule if rulebook.needs_gram(rule)}


@pytest.mark.parametrize("name", RULE_NAMES)
def test_predicates_apply_where_number_and_name_of_the_rule_agree(name: str) -> None:
    spec = dataclasses.replace(SPEC, rule=int(RULE_NAMES[name]), chain=encode_chain(name))
    assert rulebook.is_refutable(spec)
    assert not rulebook.is_refutable(dataclasses.replace(spec, chain=encode_chain(f"arc+{name}")))
    assert not rulebook.is_refutable(dataclasses.replace(spec, rule=int(Rule.REPLAY)))
