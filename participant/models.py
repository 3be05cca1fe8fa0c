"""Models by name: the tensors that a federation's vector is made of, in their order.

Responsible for: names, shapes and order of the tensors, so that a vector can be cut up without a framework.
Must not know:   how a model computes; trainers do (`trainers/`).

The vector is the floating-point parameters and buffers in state_dict order (docs/protocol.md section 1).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from protocol.errors import LengthError, RangeError, UnknownNameError
from protocol.fixedpoint import MODEL_LIMIT

FloatVector = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """One floating-point tensor of a model."""

    name: str
    """Its key in the state_dict."""

    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Number of its coordinates."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A named architecture."""

    name: str
    inputs: tuple[int, ...]
    """Shape of one sample."""

    classes: int
    tensors: tuple[Tensor, ...]

    @property
    def dimension(self) -> int:
        """d, the length of the vector."""
        return sum(tensor.size for tensor in self.tensors)

    def split(self, vector: NDArray[np.floating]) -> dict[str, NDArray[np.floating]]:
        """The vector's tensors by name, as views of it.  Raises LengthError."""
        if vector.shape != (self.dimension,):
            raise LengthError(f"vector of model {self.name}", expected=(self.dimension,), actual=vector.shape)
        ends = np.cumsum([tensor.size for tensor in self.tensors])[:-1]
        parts = np.split(vector, ends)
        return {tensor.name: part.reshape(tensor.shape) for tensor, part in zip(self.tensors, parts, strict=True)}


def model_named(name: str) -> Model:
    """The model of that name.  Raises UnknownNameError, which lists those that are."""
    if name not in MODELS:
        raise UnknownNameError("model", known=list(MODELS), actual=name)
    return MODELS[name]


def check_base_model(vector: NDArray[np.floating]) -> None:
    """Raises RangeError when a coordinate is not finite or outside +/-128."""
    largest = float(np.max(np.abs(vector), initial=0.0))
    if not largest <= MODEL_LIMIT:
        raise RangeError("a coordinate of the base model", expected=f"at most {MODEL_LIMIT:g} in size", actual=largest)


def _cnn(name: str, side: int) -> Model:
    """Two 3x3 convolutions (16 and 32 channels), each followed by 2x2 pooling, then a linear layer to 10 classes."""
    pooled = side // 4
    tensors = (
        Tensor(name="conv1.weight", shape=(16, 1, 3, 3)),
        Tensor(name="conv1.bias", shape=(16,)),
        Tensor(name="conv2.weight", shape=(32, 16, 3, 3)),
        Tensor(name="conv2.bias", shape=(32,)),
        Tensor(name="linear.weight", shape=(10, 32 * pooled * pooled)),
        Tensor(name="linear.bias", shape=(10,)),
    )
    return Model(name=name, inputs=(side, side), classes=10, tensors=tensors)


def _mlp(name: str, inputs: int, hidden: int, classes: int) -> Model:
    tensors = (
        Tensor(name="hidden.weight", shape=(hidden, inputs)),
        Tensor(name="hidden.bias", shape=(hidden,)),
        Tensor(name="linear.weight", shape=(classes, hidden)),
        Tensor(name="linear.bias", shape=(classes,)),
    )
    return Model(name=name, inputs=(inputs,), classes=classes, tensors=tensors)


def _softmax(name: str, inputs: tuple[int, ...], classes: int) -> Model:
    tensors = (
        Tensor(name="linear.weight", shape=(classes, math.prod(inputs))),
        Tensor(name="linear.bias", shape=(classes,)),
    )
    return Model(name=name, inputs=inputs, classes=classes, tensors=tensors)


MODELS: dict[str, Model] = {
    model.name: model
    for model in (
        _cnn("cnn-8x8", 8),  # d = 6,090
        _cnn("cnn-28x28", 28),  # d = 20,490
        _mlp("mlp-30", 30, 32, 2),  # d = 1,058
        _softmax("softmax-8x8", (8, 8), 10),  # d = 650
        _softmax("softmax-28x28", (28, 28), 10),  # d = 7,850
        _softmax("softmax-30", (30,), 2),  # d = 62
    )
}
