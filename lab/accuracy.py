"""A federation in one process: participants' training, the enclave's rules, the ledger's model step, nothing else.

Responsible for: the accuracy that a federation reaches, in exact fixed point or in plain floats for comparison.
Must not know:   signatures, sealing, chain, processes; those change no number.

Source of the rules: Yin et al. 2018 (trimmed mean), Blanchard et al. 2017 (Krum, Multi-Krum).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from coordinator.enclave.rules import aggregate, flagged, totals
from participant.attacks import Attack, parse_attack
from participant.charters import charter_for
from participant.data import Dataset, Samples, load, standardise
from participant.models import FloatVector
from participant.splits import deal, parse_split
from participant.trainers import DEFAULT_TRAINER, Trainer, TrainerSetup, random_seed, trainer_class
from protocol.charter import Charter
from protocol.errors import RangeError, UnknownNameError
from protocol.fixedpoint import Int32, model_from_floats, model_step, model_to_floats, quantise
from protocol.sealing import KEM_X25519

ONE_Q16 = 1 << 16
"""Server learning rate 1: the new model is the base plus the aggregate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """One federation, from its seed to its last round."""

    seed: int
    rule: str = "trimmed-mean"
    dataset: str = "digits"
    model: str = "cnn-8x8"
    trainer: str = DEFAULT_TRAINER
    split: str = "dirichlet:1"
    participants: int = 10
    byzantine: int = 2
    """How many attack (the last indices); also the rule's f."""

    attack: str | None = "sign-flip"
    """None: everybody is honest, and f is what the rule tolerates all the same."""
    rounds: int = 8
    exponent: int = -14
    model_exponent: int = -24
    floats: bool = False
    """Plain binary64 instead of fixed point: what the fixed point is compared with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """What came of an experiment."""

    accuracies: tuple[float, ...]
    """On the held-out samples after every round, 0 to 1."""

    saturated: int
    """Coordinates of honest updates cut to +/-32767, over all rounds."""

    error: float
    """Largest quantisation error of an honest update: norm of what was lost over norm of the update."""

    flagged: tuple[tuple[bool, ...], ...] = ()
    """Which participants every round flagged, by index; empty in floats."""

    @property
    def accuracy(self) -> float:
        """After the last round."""
        return self.accuracies[-1]


def run(experiment: Experiment, folder: Path | None = None) -> Course:
    """All rounds of one federation.  folder: where IDX files are, for the data sets that need them."""
    world = _World(experiment, load(experiment.dataset, folder))
    return world.run_floats() if experiment.floats else world.run_fixed()


class _World:
    """Participants with their shards; the attackers are the last ones."""

    def __init__(self, experiment: Experiment, dataset: Dataset) -> None:
        if not 0 <= experiment.byzantine < experiment.participants:
            raise RangeError("byzantine", expected=f"below {experiment.participants}", actual=experiment.byzantine)
        self._experiment = experiment
        charter = charter_for(
            "accuracy", dataset, model=experiment.model, kem=KEM_X25519, model_exponent=experiment.model_exponent
        )
        self._held_out = _standardised(dataset.held_out, charter)
        trainer = trainer_class(experiment.trainer)
        self._initial = trainer.initial(charter, experiment.seed)
        shards = deal(
            parse_split(experiment.split),
            dataset.train.labels,
            participants=experiment.participants,
            seed=experiment.seed,
        )
        honest = experiment.participants - experiment.byzantine
        self._members: list[tuple[Trainer, Attack]] = []
        for index, shard in enumerate(shards):
            attack = parse_attack(experiment.attack if index >= honest else None)
            samples = attack.samples(_standardised(dataset.train.take(shard), charter), charter.classes)
            setup = TrainerSetup(charter=charter, samples=samples, seed=experiment.seed, index=index)
            self._members.append((trainer(setup), attack))

    def run_fixed(self) -> Course:
        """int16 rows, the enclave's rule, the ledger's model step."""
        e = self._experiment
        model: Int32 = model_from_floats(self._initial, e.model_exponent)
        accuracies, flags, saturated, error = [], [], 0, 0.0
        for round_id in range(1, e.rounds + 1):
            quantised = [
                quantise(u, e.exponent) for u in self._updates(model_to_floats(model, e.model_exponent), round_id)
            ]
            rows = np.stack([q.row for q in quantised])  # (n, d)
            aggregation = aggregate(e.rule, rows, f=e.byzantine)
            a = aggregation.aggregate
            flags.append(tuple(flagged(totals(rows, aggregation)).tolist()))
            model = model_step(
                model, a, learning_rate=ONE_Q16, decay=0, exponent=e.exponent, model_exponent=e.model_exponent
            )
            for q in quantised[: e.participants - e.byzantine]:
                saturated, error = saturated + q.saturated, max(error, q.error)
            accuracies.append(self._accuracy(model_to_floats(model, e.model_exponent)))
        return Course(accuracies=tuple(accuracies), saturated=saturated, error=error, flagged=tuple(flags))

    def run_floats(self) -> Course:
        """The same in binary64 without rounding anything."""
        model, accuracies = self._initial.copy(), []
        for round_id in range(1, self._experiment.rounds + 1):
            rows = np.stack(self._updates(model, round_id))  # (n, d)
            model = model + float_aggregate(self._experiment.rule, rows, self._experiment.byzantine)
            accuracies.append(self._accuracy(model))
        return Course(accuracies=tuple(accuracies), saturated=0, error=0.0)

    def _updates(self, base: FloatVector, round_id: int) -> list[FloatVector]:
        updates = []
        for index, (trainer, attack) in enumerate(self._members):
            update, _ = trainer.fit(base, round_id)
            stream = random_seed("attack", self._experiment.seed, index, round_id)
            updates.append(attack.vector(update, np.random.Generator(np.random.PCG64(stream))))
        return updates

    def _accuracy(self, model: FloatVector) -> float:
        return self._members[0][0].evaluate(model, self._held_out)["accuracy"]


def float_aggregate(rule: str, rows: FloatVector, f: int) -> FloatVector:
    """The rules in floats, straight from their definitions; (n, d) -> (d,).  Raises UnknownNameError."""
    if rule not in _FLOAT_RULES:
        raise UnknownNameError("rule in floats", known=list(_FLOAT_RULES), actual=rule)
    return _FLOAT_RULES[rule](rows, f)


def _mean(rows: FloatVector, _f: int) -> FloatVector:
    return np.asarray(rows.mean(axis=0))


def _trimmed_mean(rows: FloatVector, f: int) -> FloatVector:
    return np.asarray(np.sort(rows, axis=0)[f : len(rows) - f].mean(axis=0))


def _multi_krum(rows: FloatVector, f: int) -> FloatVector:
    n = len(rows)
    distances = np.square(rows[:, None, :] - rows[None, :, :]).sum(axis=2)  # (n, n)
    scores = np.sort(distances, axis=1)[:, 1 : n - f - 1].sum(axis=1)  # without itself, the n - f - 2 nearest
    best = np.argsort(scores, kind="stable")[: n - f]
    return np.asarray(rows[best].mean(axis=0))


_FLOAT_RULES: dict[str, Callable[[FloatVector, int], FloatVector]] = {
    "mean": _mean,
    "trimmed-mean": _trimmed_mean,
    "multi-krum": _multi_krum,
}


def _standardised(samples: Samples, charter: Charter) -> Samples:
    features = standardise(samples.features, charter.offsets_q16, charter.scales_q16)
    return Samples(features=features, labels=samples.labels)
