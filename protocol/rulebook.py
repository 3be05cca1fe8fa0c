"""The rules by name and number, chains of stages before a rule, and how many counted updates each needs.

Responsible for: what a spec means by `rule`, `chain`, `f` and `m`.
Must not know:   how a rule is computed (coordinator/enclave/rules, verifier/replay.py).

Spec: docs/rules.md; docs/protocol.md section 6.  Twin of the rules with a number: contracts/src/libraries/Rulebook.sol.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

from protocol.errors import EncodingError, LengthError, RangeError, SpecMismatchError, UnknownNameError
from protocol.messages import Spec
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
"""The rules that the ledger can refute, each alone."""

_RADIUS = (1, (1 << 31) - 1)

RULE_PARAMETERS: dict[str, tuple[tuple[int, int], ...]] = {
    **dict.fromkeys(RULE_NAMES, ()),
    **dict.fromkeys(("meamed", "bulyan", "mda", "geometric-median", "fltrust"), ()),
    "centred-clipping": (_RADIUS, (1, 64)),
}
"""Every rule, and the bounds of the numbers after its name."""

STAGE_PARAMETERS: dict[str, tuple[tuple[int, int], ...]] = {
    "clip": (_RADIUS,),
    "arc": (),
    "bucketing": ((2, 255),),
    "nnm": (),
}
"""Every stage before a rule, likewise."""

OPTIONAL_PARAMETERS = {"centred-clipping": 1}
"""How many of them may be left out, from the end."""

SELECTING = frozenset({"krum", "multi-krum", "bulyan", "mda"})
"""Rules that choose whole rows."""

MIXING = frozenset({"bucketing", "nnm"})
"""Stages that make one row of several."""

MAX_MDA_F = 32
"""mda is exact, and its cost grows as 1.47**f."""

MAX_WEIGHT_CAP = (1 << 24) - 1
"""A larger one is refused: 2**15 * sum(samples * q) over 256 slots must fit int64 with room."""

CHAIN_BYTES = 32
"""Room for a chain in a spec."""

_NUMBER = re.compile(r"[1-9][0-9]*")


@dataclass(frozen=True, slots=True)
class Step:
    """A stage or a rule with its numbers, as it stands in a chain: `bucketing:2`."""

    name: str
    numbers: tuple[int, ...] = ()

    def __str__(self) -> str:
        return ":".join([self.name, *map(str, self.numbers)])


@dataclass(frozen=True, slots=True)
class Chain:
    """Stages and the rule after them."""

    stages: tuple[Step, ...]
    rule: Step

    def __str__(self) -> str:
        return "+".join(map(str, (*self.stages, self.rule)))

    @property
    def number(self) -> Rule:
        """The number that goes with it in a spec."""
        return Rule.REPLAY if self.stages else RULE_NAMES.get(self.rule.name, Rule.REPLAY)

    @property
    def is_weighted(self) -> bool:
        """Whether it weighs rows by their samples."""
        return self.rule.name == "weighted-mean"

    @property
    def is_mixing(self) -> bool:
        """Whether rows are mixed before the rule."""
        return any(stage.name in MIXING for stage in self.stages)

    def encode(self) -> bytes:
        """The text in the 32 bytes of a spec.  Raises LengthError."""
        return encode_chain(str(self))

    def minimum_counted(self, *, f: int, m: int) -> int:
        """Fewest counted updates k with which the chain is defined.

        Raises: RangeError (f or m that no k would do for).
        """
        if f < 0 or m < 0:
            raise RangeError("f and m", expected="not negative", actual=(f, m))
        if self.rule.name == "mda" and f > MAX_MDA_F:
            raise RangeError("f of mda, which is exact", expected=f"at most {MAX_MDA_F}", actual=f)
        needed = _needed_by_rule(self.rule.name, f, m)
        for stage in reversed(self.stages):
            if stage.name == "bucketing":
                needed = (needed - 1) * stage.numbers[0] + 1
            elif stage.name in ("arc", "nnm"):
                needed = max(needed, 2 * f + 1)
        return needed


def parse_chain(text: str) -> Chain:
    """The chain that a text spells.

    Raises: UnknownNameError (lists the names that there are), EncodingError (the form), RangeError (a number).
    """
    *before, last = text.split("+")
    stages = tuple(_parse_step(part, STAGE_PARAMETERS, RULE_PARAMETERS, "stage before a rule") for part in before)
    rule = _parse_step(last, RULE_PARAMETERS, STAGE_PARAMETERS, "rule")
    names = [stage.name for stage in stages]
    if len(set(names)) != len(names):
        raise EncodingError("a chain", expected="every stage at most once", actual=text)
    chain = Chain(stages, rule)
    if chain.is_weighted and chain.is_mixing:
        raise EncodingError(
            "a chain", expected="weighted-mean behind no stage that mixes rows (bucketing, nnm)", actual=text
        )
    return chain


def encode_chain(text: str) -> bytes:
    """A chain's text as in a spec: ASCII, padded with zero bytes to 32.  Raises LengthError, EncodingError."""
    if not text.isascii() or "\0" in text:
        raise EncodingError("a chain", expected="ASCII", actual=text)
    if len(text) > CHAIN_BYTES:
        raise LengthError("characters of a chain in a spec", expected=f"at most {CHAIN_BYTES}", actual=len(text))
    return text.encode().ljust(CHAIN_BYTES, b"\0")


def parse_rule(text: str) -> Rule:
    """The number of a chain's text; what `parse_chain` raises."""
    return parse_chain(text).number


def chain_of(spec: Spec | Terms) -> Chain:
    """The chain of a spec, or of terms; its number must be the one that goes with it.

    Raises: SpecMismatchError (another number), EncodingError, UnknownNameError, RangeError.
    """
    try:
        text = spec.chain.rstrip(b"\0").decode("ascii")
    except UnicodeDecodeError as error:
        raise EncodingError("chain of the spec", expected="ASCII", actual=spec.chain) from error
    chain = parse_chain(text)
    if spec.rule != chain.number:
        raise SpecMismatchError(f"rule number of {chain} in the spec", expected=int(chain.number), actual=spec.rule)
    return chain


def rule_name(spec: Spec | Terms) -> str:
    """The text of `chain_of`."""
    return str(chain_of(spec))


def is_refutable(spec: Spec) -> bool:
    """Whether the ledger's predicates apply: the number names a rule, and the text the same."""
    return any(spec.rule == rule and spec.chain == encode_chain(name) for name, rule in RULE_NAMES.items())


def minimum_counted(rule: Rule, *, f: int, m: int) -> int:
    """Fewest counted updates with which a rule of the ledger is defined, as the ledger knows it: of number 0 one.

    Mean and weighted mean 1; median and trimmed mean 2f + 1 (Yin 2018); Krum 2f + 3 (Blanchard 2017); Multi-Krum
    that and m + f, since with more than k - f selected a liar is certain to be among them.
    """
    if f < 0 or m < 0:
        raise RangeError("f and m", expected="not negative", actual=(f, m))
    for name, number in RULE_NAMES.items():
        if number == rule:
            return _needed_by_rule(name, f, m)
    return 1


def is_selecting(rule: Rule) -> bool:
    """Whether the rule keeps whole rows, of those with a number."""
    return rule in (Rule.KRUM, Rule.MULTI_KRUM)


def needs_gram(rule: Rule) -> bool:
    """Whether a round of the rule has a Gram tree: those whose choice the ledger can refute by inner products."""
    return is_selecting(rule)


def _needed_by_rule(name: str, f: int, m: int) -> int:
    if name in ("mean", "weighted-mean", "fltrust"):
        return 1
    if name == "krum":
        return 2 * f + 3
    if name == "multi-krum":
        return max(2 * f + 3, m + f)
    if name == "bulyan":
        return 4 * f + 3
    return 2 * f + 1


Parameters = Mapping[str, tuple[tuple[int, int], ...]]


def _parse_step(text: str, known: Parameters, others: Parameters, what: str) -> Step:
    name, *numbers = text.split(":")
    if name not in known:
        if name in others:
            expected = "stages first and one rule last, joined by +"
            raise EncodingError("a chain", expected=expected, actual=f"{name} as a {what}")
        raise UnknownNameError(what, known=known, actual=name if name.split() == [name] else repr(name))
    bounds = known[name]
    least = len(bounds) - OPTIONAL_PARAMETERS.get(name, 0)
    if not least <= len(numbers) <= len(bounds):
        wanted = f"{least}" if least == len(bounds) else f"{least} to {len(bounds)}"
        raise EncodingError(f"numbers after {name}", expected=wanted, actual=len(numbers))
    values = []
    for number, (low, high) in zip(numbers, bounds, strict=False):
        if not _NUMBER.fullmatch(number):
            unit = ", in units of 2^exponent," if (low, high) == _RADIUS else ""
            expected = f"an integer from {low} to {high}{unit} without leading zeros"
            raise EncodingError(f"number after {name}", expected=expected, actual=repr(number))
        if len(number) > 10 or not low <= int(number) <= high:
            raise RangeError(f"number after {name}", expected=f"{low} to {high}", actual=number)
        values.append(int(number))
    return Step(name, tuple(values))
