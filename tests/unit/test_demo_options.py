"""What a user asks of the demo is checked before anything is started."""

from __future__ import annotations

import pytest

from protocol.errors import LengthError, PolicyError, VeriflockError
from scripts.demo_parts.options import SOFTMAX_TRAINER, Options


def options(rule: str) -> Options:
    return Options(
        participants=10,
        byzantine=2,
        attack="sign-flip:4",
        rule=rule,
        dataset="digits",
        split="iid",
        rounds=2,
        seed=0,
        trainer=SOFTMAX_TRAINER,
    )


def test_a_rule_behind_stages_may_be_asked_for() -> None:
    assert options("nnm+trimmed-mean").rule == "nnm+trimmed-mean"


@pytest.mark.parametrize(
    ("rule", "error", "says"),
    [
        ("fltrust", PolicyError, "--rule: expected a rule without a trusted row, which no round has, got fltrust"),
        (
            "arc+bucketing:2+nnm+geometric-median",
            LengthError,
            "characters of a chain in a spec: expected at most 32, got 36",
        ),
    ],
)
def test_a_rule_that_no_round_has_is_refused_at_once(rule: str, error: type[VeriflockError], says: str) -> None:
    with pytest.raises(error) as refused:
        options(rule)
    assert str(refused.value) == says
