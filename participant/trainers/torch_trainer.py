"""PyTorch: the participant's only file that imports it.

Responsible for: local training of the `cnn-*` and `mlp-*` models, and vectors to and from a state_dict.
Must not know:   anything but the trainer protocol.

One thread and deterministic algorithms: same setup, model and round give the same bits on one machine.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from participant.data import Samples
from participant.models import FloatVector, Model, check_base_model, model_named
from participant.trainers import Metrics, TrainerSetup, random_seed
from protocol.charter import Charter
from protocol.errors import LengthError, UnknownNameError

BATCH = 16
EPOCHS = 5
LEARNING_RATE = 0.05
MOMENTUM = 0.9


class TorchTrainer:
    """SGD with momentum; integer buffers (counters of batch normalisation) stay here and are never sent."""

    def __init__(self, setup: TrainerSetup) -> None:
        # Process-wide and on purpose: ten participants share two cores, and results must not depend on threads.
        torch.set_num_threads(1)
        torch.use_deterministic_algorithms(True)
        self._setup = setup
        self._model = model_named(setup.charter.model)
        self._network = build(self._model)
        self._features = self._images(setup.samples)
        self._labels = torch.from_numpy(setup.samples.labels)

    @classmethod
    def initial(cls, charter: Charter, seed: int) -> FloatVector:
        """PyTorch's default initialisation, drawn from the seed."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(random_seed("initial", seed))
            return vector_of(build(model_named(charter.model)))

    def fit(self, model: FloatVector, round_id: int) -> tuple[FloatVector, Metrics]:
        """EPOCHS passes over the shard in batches, shuffled by (seed, index, round)."""
        check_base_model(model)
        load_vector(self._network, model)
        base = vector_of(self._network)  # after rounding to float32: what did not move is exactly zero in the update
        self._network.train()
        optimizer = torch.optim.SGD(self._network.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM)
        losses = []
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(random_seed("torch", self._setup.seed, self._setup.index, round_id))
            for batch in self._batches():
                optimizer.zero_grad()
                loss = nn.functional.cross_entropy(self._network(self._features[batch]), self._labels[batch])
                loss.backward()  # type: ignore[no-untyped-call]  # torch does not annotate it
                optimizer.step()
                losses.append(loss.detach())
        update = vector_of(self._network) - base
        return update, {"loss": float(torch.stack(losses).mean()), "steps": float(len(losses))}

    def evaluate(self, model: FloatVector, samples: Samples) -> Metrics:
        """Accuracy and mean cross-entropy."""
        load_vector(self._network, model)
        self._network.eval()
        labels = torch.from_numpy(samples.labels)
        with torch.no_grad():
            logits = self._network(self._images(samples))
            loss = nn.functional.cross_entropy(logits, labels)
        return {"accuracy": float((logits.argmax(dim=1) == labels).double().mean()), "loss": float(loss)}

    def _images(self, samples: Samples) -> torch.Tensor:
        inputs = self._model.inputs
        shape = (len(samples), 1, *inputs) if len(inputs) == 2 else (len(samples), *inputs)  # one channel
        return torch.from_numpy(samples.features.astype(np.float32, copy=False)).reshape(shape)

    def _batches(self) -> Iterator[torch.Tensor]:
        for _ in range(EPOCHS):
            order = torch.randperm(len(self._labels))
            for start in range(0, len(order), BATCH):
                yield order[start : start + BATCH]


def build(model: Model) -> nn.Module:
    """The network of a model; its state_dict is what `participant.models` says.

    Raises: UnknownNameError when there is none; LengthError when names or shapes differ.
    """
    if model.name.startswith("cnn-"):
        network: nn.Module = Cnn(model)
    elif model.name.startswith("mlp-"):
        network = Mlp(model)
    else:
        raise UnknownNameError("model for TorchTrainer", known="cnn-* and mlp-*", actual=model.name)
    found = [(name, tuple(tensor.shape)) for name, tensor in _floating(network)]
    expected = [(tensor.name, tensor.shape) for tensor in model.tensors]
    if found != expected:
        raise LengthError(f"tensors of model {model.name}", expected=expected, actual=found)
    return network


class Cnn(nn.Module):
    """conv 16, conv 32, linear.  Pooling before ReLU: the same values as after it, on a quarter of the numbers."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.linear = nn.Linear(32 * (model.inputs[0] // 4) * (model.inputs[1] // 4), model.classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(b, 1, side, side) -> (b, classes) logits."""
        pool, relu = nn.functional.max_pool2d, nn.functional.relu
        hidden = relu(pool(self.conv1(images), 2))
        hidden = relu(pool(self.conv2(hidden), 2))
        return torch.as_tensor(self.linear(hidden.flatten(1)))


class Mlp(nn.Module):
    """One hidden layer of 32 with ReLU."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.hidden = nn.Linear(model.inputs[0], 32)
        self.linear = nn.Linear(32, model.classes)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """(b, p) -> (b, classes) logits."""
        return torch.as_tensor(self.linear(nn.functional.relu(self.hidden(rows))))


def vector_of(network: nn.Module) -> FloatVector:
    """Floating-point parameters and buffers in state_dict order, as one (d,) float64 vector."""
    parts = [tensor.detach().double().reshape(-1).numpy() for _, tensor in _floating(network)]
    return np.concatenate(parts)


def load_vector(network: nn.Module, vector: FloatVector) -> None:
    """Write a (d,) vector into the floating-point parameters and buffers; running variances are clamped at zero.

    A running variance can fall below zero by averaging or rounding, and its square root would then be NaN.

    Raises: LengthError.
    """
    tensors = _floating(network)
    dimension = sum(tensor.numel() for _, tensor in tensors)
    if vector.shape != (dimension,):
        raise LengthError("vector of a network", expected=dimension, actual=len(vector))
    start = 0
    with torch.no_grad():
        for name, tensor in tensors:
            part = torch.from_numpy(vector[start : start + tensor.numel()].copy()).reshape(tensor.shape)
            tensor.copy_(part.clamp(min=0.0) if name.endswith("running_var") else part)
            start += tensor.numel()


def _floating(network: nn.Module) -> list[tuple[str, torch.Tensor]]:
    return [(name, tensor) for name, tensor in network.state_dict().items() if tensor.is_floating_point()]
