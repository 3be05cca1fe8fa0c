"""Softmax regression in NumPy: a trainer that is fast enough for protocol tests, and convex.

Responsible for: local training of the `softmax-*` models.
Must not know:   anything but the trainer protocol.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from participant.data import Samples
from participant.models import FloatVector, check_base_model, model_named
from participant.trainers import Metrics, TrainerSetup, random_seed
from protocol.charter import Charter
from protocol.errors import LengthError

BATCH = 16
EPOCHS = 5
LEARNING_RATE = 0.05
"""Plain SGD; batch and epochs as the PyTorch trainer's, so that their rounds compare."""


class SoftmaxTrainer:
    """Multinomial logistic regression; vector = weight (classes, p) row by row, then bias (classes,)."""

    def __init__(self, setup: TrainerSetup) -> None:
        self._setup = setup
        self._shape = _weight_shape(setup.charter)

    @classmethod
    def initial(cls, charter: Charter, seed: int) -> FloatVector:
        """All zeros: the loss is convex, so the seed has nothing to choose."""
        classes, inputs = _weight_shape(charter)
        return np.zeros(classes * inputs + classes)

    def fit(self, model: FloatVector, round_id: int) -> tuple[FloatVector, Metrics]:
        """EPOCHS passes over the shard in batches, shuffled by (seed, index, round)."""
        check_base_model(model)
        samples = self._setup.samples
        generator = np.random.Generator(
            np.random.PCG64(random_seed("softmax", self._setup.seed, self._setup.index, round_id))
        )
        trained = model.copy()
        weight, bias = self._views(trained)
        for _ in range(EPOCHS):
            order = generator.permutation(len(samples))
            for start in range(0, len(order), BATCH):
                batch = samples.take(order[start : start + BATCH])
                error = _probabilities(weight, bias, batch.features)  # (b, classes)
                error[np.arange(len(batch)), batch.labels] -= 1.0
                error *= LEARNING_RATE / len(batch)
                weight -= np.einsum("bc,bp->cp", error, batch.features)  # no BLAS: the same bits on one machine
                bias -= error.sum(axis=0)
        return trained - model, self.evaluate(trained, samples)

    def evaluate(self, model: FloatVector, samples: Samples) -> Metrics:
        """Accuracy and mean cross-entropy."""
        probabilities = _probabilities(*self._views(model), samples.features)
        of_label = probabilities[np.arange(len(samples)), samples.labels]
        return {
            "accuracy": float(np.mean(probabilities.argmax(axis=1) == samples.labels)),
            "loss": float(-np.mean(np.log(np.maximum(of_label, 1e-12)))),
        }

    def _views(self, vector: FloatVector) -> tuple[FloatVector, FloatVector]:
        classes, inputs = self._shape
        if vector.shape != (classes * inputs + classes,):
            raise LengthError("vector of a softmax model", expected=classes * inputs + classes, actual=vector.shape)
        return vector[: classes * inputs].reshape(classes, inputs), vector[classes * inputs :]


def _weight_shape(charter: Charter) -> tuple[int, int]:
    """(classes, p) of the charter's model.  Raises LengthError when it is not a softmax model."""
    tensors = model_named(charter.model).tensors
    if len(tensors) != 2 or len(tensors[0].shape) != 2:
        raise LengthError(f"tensors of model {charter.model} for SoftmaxTrainer", expected=2, actual=len(tensors))
    classes, inputs = tensors[0].shape
    return classes, inputs


def _probabilities(weight: FloatVector, bias: FloatVector, features: NDArray[np.float32]) -> FloatVector:
    logits = np.einsum("bp,cp->bc", features.astype(np.float64), weight) + bias
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True), dtype=np.float64)
