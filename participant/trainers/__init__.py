"""The trainer protocol, and finding a trainer by `package.module:Class`.

Responsible for: what a trainer is given and what it must answer.
Must not know:   any framework; quantisation, signatures, the network.

A trainer of your own is a class with this constructor and these methods, importable from where `veriflock participant`
runs.  It works on plain float vectors: the base model comes in, the change that local training made goes out.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, cast, runtime_checkable

from participant.data import Samples
from participant.models import FloatVector
from protocol.charter import Charter
from protocol.errors import EncodingError, UnavailableError
from protocol.hashing import sha256

Metrics = Mapping[str, float]
"""Numbers about local training for the participant's own log (`loss`, `accuracy`, `steps`); never sent to anybody."""

DEFAULT_TRAINER = "participant.trainers.torch_trainer:TorchTrainer"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainerSetup:
    """Everything that a trainer is made from."""

    charter: Charter
    """The federation's parameters: model, dimension, classes."""

    samples: Samples
    """This participant's shard: features (n, p) float32, standardised; labels (n,)."""

    seed: int
    """The federation's seed."""

    index: int
    """The participant's index (which shard), not its address: a new key changes no random number."""


@runtime_checkable
class Trainer(Protocol):
    """Local training.  Same setup, model and round: same answer, bit for bit, on one machine."""

    def __init__(self, setup: TrainerSetup) -> None: ...

    @classmethod
    def initial(cls, charter: Charter, seed: int) -> FloatVector:
        """The model that a new federation starts from: (d,) float64, a function of the charter and the seed alone."""
        ...

    def fit(self, model: FloatVector, round_id: int) -> tuple[FloatVector, Metrics]:
        """Train from the base model on the own samples.

        model:    (d,) float64, the round's base model.
        returns:  the update, (d,) float64: trained minus base, before quantisation; and metrics.
        """
        ...

    def evaluate(self, model: FloatVector, samples: Samples) -> Metrics:
        """`accuracy` (0 to 1) and `loss` of a model on samples; changes nothing."""
        ...


def trainer_class(path: str) -> type[Trainer]:
    """The class named by `package.module:Class`.

    The only place where a name from the command line is imported: the participant runs its own code by choice.

    Raises: EncodingError when it is not of that form or not a trainer; UnavailableError when it can't be imported.
    """
    module_name, colon, class_name = path.partition(":")
    if not colon or not all(part.isidentifier() for part in [*module_name.split("."), class_name]):
        raise EncodingError("a trainer", expected="package.module:Class", actual=path)
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise UnavailableError(f"trainer {path} can't be imported ({error})", "install what it needs") from error
    found = vars(module).get(class_name)
    missing = [name for name in ("initial", "fit", "evaluate") if not callable(getattr(found, name, None))]
    if not isinstance(found, type) or missing:
        raise EncodingError(f"trainer {path}", expected="a class with initial, fit and evaluate", actual=found)
    return cast("type[Trainer]", found)


def random_seed(purpose: str, *numbers: int) -> int:
    """A 63-bit seed for one purpose: SHA-256(purpose || 8 bytes of each number), so that no two purposes share one."""
    digest = sha256(purpose.encode(), *(number.to_bytes(8) for number in numbers))
    return int.from_bytes(digest[:8]) >> 1
