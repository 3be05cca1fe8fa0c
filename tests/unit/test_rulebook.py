"""Rules have fixed names and numbers, and say how many updates they need."""

from __future__ import annotations

import dataclasses

import pytest
from protocol_examples import SPEC

from protocol import rulebook
from protocol.errors import RangeError, SpecMismatchError, UnknownNameError
from protocol.messages import chain_hash
from protocol.rulebook import RULE_NAMES, Rule


def test_names_and_numbers_are_fixed() -> None:
    names = ["mean", "weighted-mean", "median", "trimmed-mean", "krum", "multi-krum"]
    assert {name: int(rule) for name, rule in RULE_NAMES.items()} == {name: i + 1 for i, name in enumerate(names)}
    assert Rule.REPLAY == 0


def test_an_unknown_name_lists_those_that_exist() -> None:
    message = "unknown rule: expected one of krum, mean, median, multi-krum, trimmed-mean, weighted-mean, got meen"
    with pytest.raises(UnknownNameError, match=f"^{message}$"):
        rulebook.parse_rule("meen")


@pytest.mark.parametrize(("name", "rule"), RULE_NAMES.items())
def test_a_spec_names_its_rule_by_number_and_hash(name: str, rule: Rule) -> None:
    spec = dataclasses.replace(SPEC, rule=int(rule), chain=chain_hash(name))
    assert rulebook.rule_name(spec) == name
    assert rulebook.parse_rule(name) == rule
    with pytest.raises(SpecMismatchError, match="chain of the spec"):
        rulebook.rule_name(dataclasses.replace(spec, chain=chain_hash(f"nnm+{name}")))


@pytest.mark.parametrize("number", [0, 7, 255])
def test_a_number_without_a_rule_of_ours_is_refused(number: int) -> None:
    with pytest.raises(UnknownNameError):
        rulebook.rule_name(dataclasses.replace(SPEC, rule=number))


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
    spec = dataclasses.replace(SPEC, rule=int(RULE_NAMES[name]), chain=chain_hash(name))
    assert rulebook.is_refutable(spec)
    assert not rulebook.is_refutable(dataclasses.replace(spec, chain=chain_hash(f"nnm+{name}")))
    assert not rulebook.is_refutable(dataclasses.replace(spec, rule=int(Rule.REPLAY)))
