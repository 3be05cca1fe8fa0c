"""How a rule is spelled: in results (`clip+mean`), in tables (`clip:C+mean`), in a spec (`clip:57000+mean`).

Responsible for: the numbers that the benchmark gives a stage or a rule, and names that were typed.
Must not know:   rows, peers, clocks.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from protocol.errors import VeriflockError
from protocol.rulebook import parse_chain

BUCKET = 2
"""Rows in a bucket."""

WITH_NUMBERS: Mapping[str, str] = {
    "centred-clipping": "centred-clipping:{T}:1",
    "clip": "clip:{C}",
    "bucketing": f"bucketing:{BUCKET}",
}
"""C and T are a radius, from the rows; centred clipping takes one step, which is the peers' default."""


def with_radius(rule: str, radius: int) -> str:
    """A chain as in a spec; what has its numbers keeps them."""
    return _filled(rule, {"C": str(radius), "T": str(radius)})


def as_typed(rule: str) -> str:
    """The same for people, with letters where the rows decide: `clip:C+mean`."""
    return _filled(rule, {"C": "C", "T": "T"})


def parse_rules(text: str) -> list[str]:
    """The type of an argument: rules separated by commas, spelled in any of the three ways, each as results have it.

    Raises: ArgumentTypeError (lists the names that there are).
    """
    rules = [_as_in_results(rule) for rule in text.split(",")]
    for rule in rules:
        try:
            parse_chain(with_radius(rule, 1))
        except VeriflockError as error:
            raise argparse.ArgumentTypeError(str(error)) from error
    return rules


def _as_in_results(rule: str) -> str:
    names = {as_typed(name): name for name in WITH_NUMBERS}
    return "+".join(names.get(step, step) for step in rule.split("+"))


def _filled(rule: str, radius: Mapping[str, str]) -> str:
    steps = rule.split("+")
    return "+".join(WITH_NUMBERS[step].format(**radius) if step in WITH_NUMBERS else step for step in steps)
