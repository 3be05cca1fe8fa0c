"""Terms in a founding file: what no enclave would take is refused before it is deployed."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from coordinator.founding import EXAMPLE, parse_terms
from protocol.errors import LengthError, PolicyError, RangeError, VeriflockError
from protocol.rulebook import encode_chain
from protocol.terms import Terms


def terms(**changed: Any) -> Terms:
    """The example's, but for these."""
    return parse_terms(tomllib.loads(EXAMPLE)["terms"] | changed, dimension=4)


def test_terms_of_a_rule_that_only_a_replay_refutes_ask_for_as_many_as_it_needs() -> None:
    found = terms(rule="nnm+krum", f=2, min_counted=7)
    assert (found.rule, found.chain, found.f, found.min_counted) == (0, encode_chain("nnm+krum"), 2, 7)


def test_the_ledger_itself_looks_after_the_rules_that_it_knows() -> None:
    assert terms(rule="krum", f=2, min_counted=1).min_counted == 1


@pytest.mark.parametrize(
    ("changed", "error", "says"),
    [
        (
            {"rule": "nnm+krum", "f": 2, "min_counted": 6},
            RangeError,
            "terms.min_counted for nnm+krum with f = 2: expected at least 7, got 6",
        ),
        (
            {"rule": "mda", "f": 33, "min_counted": 200},
            RangeError,
            "f of mda, which is exact: expected at most 32, got 33",
        ),
        (
            {"rule": "fltrust"},
            PolicyError,
            "terms.rule: expected a rule without a trusted row, which no round has, got fltrust",
        ),
        (
            {"rule": "arc+bucketing:2+nnm+geometric-median"},
            LengthError,
            "characters of a chain in a spec: expected at most 32, got 36",
        ),
    ],
)
def test_terms_that_no_enclave_takes_are_refused(
    changed: dict[str, Any], error: type[VeriflockError], says: str
) -> None:
    with pytest.raises(error) as refused:
        terms(**changed)
    assert str(refused.value) == says
