"""The rules by name and number, and how many counted updates each needs.

Responsible for: what a spec means by `rule`, `chain`, `f` and `m`.
Must not know:   how a rule is computed (coordinator/enclave/rules, verifier/replay.py).

Spec: docs/protocol.md section 6.  Twin: contracts/src/libraries/Rulebook.sol.
"""

from __future__ import annotations

from enum import IntEnum

from protocol.errors import RangeError, SpecMismatchError, UnknownNameError
from protocol.messages import Spec, chain_hash
from protocol.terms import Terms


class Rule(IntEnum):
    """The number in a spec: which predicates of the ledger apply."""

    REPLAY = 0
    MEAN = 1
    WEIGHTED_MEAN = 2
    MEDIAN = 3
    TRIMMED_MEAN = 4
    KRUM = 5
    MULTI_KRUM = 6


RULE_NAMES: dict[str, Rule] = {
    "mean": Rule.MEAN,
    "weighted-mean": Rule.WEIGHTED_MEAN,
    "median": Rule.MEDIAN,
    "trimmed-mean": Rule.TRIMMED_MEAN,
    "krum": Rule.KRUM,
    "multi-krum": Rule.MULTI_KRUM,
}

MAX_WEIGHT_CAP = (1 << 24) - 1
"""A larger one is refused: 2**15 * sum(samples * q) over 256 slots must fit int64 with room."""


def parse_rule(name: str) -> Rule:
    """The rule of a name; an unknown one lists those that exist."""
    if name not in RULE_NAMES:
        raise UnknownNameError("rule", known=RULE_NAMES, actual=name)
    return RULE_NAMES[name]


def rule_name(spec: Spec | Terms) -> str:
    """The name of the rule of a spec, or of terms; its `chain` must be that name's hash."""
    for name, rule in RULE_NAMES.items():
        if spec.rule == rule:
            if spec.chain != chain_hash(name):
                raise SpecMismatchError("chain of the spec", expected=chain_hash(name), actual=spec.chain)
            return name
    raise UnknownNameError("rule number", known=[f"{rule.value}" for rule in RULE_NAMES.values()], actual=spec.rule)


def is_refutable(spec: Spec) -> bool:
    """Whether the ledger's predicates apply: the number names a rule, and the string the same."""
    return any(spec.rule == rule and spec.chain == chain_hash(name) for name, rule in RULE_NAMES.items())


def minimum_counted(rule: Rule, *, f: int, m: int) -> int:
    """Fewest counted updates k with which a rule is defined.

    Mean and weighted mean 1; median and trimmed mean 2f + 1 (Yin 2018); Krum 2f + 3 (Blanchard 2017); Multi-Krum
    that and m + f, since with more than k - f selected a liar is certain to be among them.
    """
    if f < 0 or m < 0:
        raise RangeError("f and m", expected="not negative", actual=(f, m))
    if rule in (Rule.MEDIAN, Rule.TRIMMED_MEAN):
        return 2 * f + 1
    if rule == Rule.KRUM:
        return 2 * f + 3
    if rule == Rule.MULTI_KRUM:
        return max(2 * f + 3, m + f)
    return 1


def is_selecting(rule: Rule) -> bool:
    """Whether the rule keeps whole rows."""
    return rule in (Rule.KRUM, Rule.MULTI_KRUM)


def needs_gram(rule: Rule) -> bool:
    """Whether a round of the rule has a Gram tree."""
    return rule in (Rule.KRUM, Rule.MULTI_KRUM)
