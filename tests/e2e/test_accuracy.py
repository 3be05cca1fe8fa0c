"""What the documentation claims about learning under attack, measured: ten participants, two of them at -4 times.

Ten seeds under each robust rule, fewer for the comparisons; one process, about a minute and a half.
"""

from __future__ import annotations

import functools

import numpy as np
import pytest

from lab.accuracy import Course, Experiment, float_aggregate, run
from participant.attacks import parse_attack
from protocol.errors import UnknownNameError

SEEDS = range(10)
COMPARED = range(2)


@functools.cache
def course(rule: str, seed: int, floats: bool = False) -> Course:
    return run(Experiment(rule=rule, seed=seed, floats=floats))


@pytest.mark.timeout(600)  # 40 seconds on a machine that does nothing else
@pytest.mark.parametrize("rule", ["trimmed-mean", "multi-krum"])
def test_robust_rules_reach_90_percent_in_ten_seeds_of_ten(rule: str) -> None:
    accuracies = {seed: course(rule, seed).accuracy for seed in SEEDS}
    assert {seed: accuracy for seed, accuracy in accuracies.items() if accuracy < 0.90} == {}


@pytest.mark.parametrize("rule", ["trimmed-mean", "multi-krum"])
def test_fixed_point_is_within_a_percentage_point_of_floats(rule: str) -> None:
    fixed = np.mean([course(rule, seed).accuracy for seed in COMPARED])
    floats = np.mean([course(rule, seed, floats=True).accuracy for seed in COMPARED])
    assert abs(fixed - floats) <= 0.01


@pytest.mark.parametrize("seed", COMPARED)
def test_the_mean_under_the_same_attack_stays_below_one_half(seed: int) -> None:
    assert course("mean", seed).accuracy < 0.50


def test_two_runs_with_one_seed_are_the_same_to_the_last_bit() -> None:
    quick = Experiment(seed=3, rounds=2, participants=6, byzantine=1)
    assert run(quick) == run(quick)


def test_without_attackers_every_rule_learns_the_table_too() -> None:
    table = {"dataset": "breast-cancer", "model": "mlp-30", "split": "iid", "participants": 6, "rounds": 3}
    for rule in ("mean", "trimmed-mean"):
        assert run(Experiment(seed=0, rule=rule, byzantine=0, **table)).accuracy > 0.9  # type: ignore[arg-type]


def test_the_softmax_trainer_learns_under_attack() -> None:
    softmax = Experiment(
        seed=0,
        model="softmax-8x8",
        trainer="participant.trainers.softmax:SoftmaxTrainer",
        attack="label-flip",
        rounds=4,
    )
    assert run(softmax).accuracy > 0.85


def test_float_rules_agree_with_their_definitions_on_a_small_example() -> None:
    rows = np.array([[0.0, 1.0], [1.0, 2.0], [2.0, 3.0], [3.0, 4.0], [100.0, -100.0]])
    assert float_aggregate("mean", rows, 1).tolist() == [21.2, -18.0]
    assert float_aggregate("trimmed-mean", rows, 1).tolist() == [2.0, 2.0]
    assert float_aggregate("multi-krum", rows, 1).tolist() == [1.5, 2.5]
    with pytest.raises(UnknownNameError, match="rule in floats"):
        float_aggregate("median", rows, 1)
    assert parse_attack("sign-flip").vector(rows[0], np.random.default_rng(0)).tolist() == [0.0, -4.0]
