"""What a user may ask of the demo.

Responsible for: names and bounds, checked before anything is started.
Must not know:   how any of it is done.
"""

from __future__ import annotations

from dataclasses import dataclass

from participant import data
from participant.attacks import ATTACKS, parse_attack
from participant.splits import parse_split
from participant.trainers import DEFAULT_TRAINER, trainer_class
from protocol import rulebook
from protocol.errors import PolicyError, RangeError, UnknownNameError

SOFTMAX_TRAINER = "participant.trainers.softmax:SoftmaxTrainer"

MODELS = {"digits": "cnn-8x8", "breast-cancer": "mlp-30", "mnist": "cnn-28x28", "fashion-mnist": "cnn-28x28"}
"""What each data set is trained with by PyTorch."""
SOFTMAX_MODELS = {
    "digits": "softmax-8x8",
    "breast-cancer": "softmax-30",
    "mnist": "softmax-28x28",
    "fashion-mnist": "softmax-28x28",
}
"""And by the NumPy softmax regression."""

REFUSED_ATTACKS = ("replay", "malformed", "nan")
"""Attacks that never get a receipt, at least not in every round."""

MAX_PARTICIPANTS = 64
"""Each is a process with PyTorch in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """One run."""

    participants: int
    """Processes."""
    byzantine: int
    """How many of them attack; also the f of the rule."""
    attack: str
    """NAME or NAME:FACTOR."""
    rule: str
    """Aggregation rule."""
    dataset: str
    """Which data."""
    split: str
    """How it is dealt."""
    rounds: int
    """How many."""
    seed: int
    """Of data, model and training; identities are always fresh."""
    trainer: str = DEFAULT_TRAINER
    """package.module:Class of every participant."""

    def __post_init__(self) -> None:
        if not 2 <= self.participants <= MAX_PARTICIPANTS:
            raise RangeError("--participants", expected=f"2 to {MAX_PARTICIPANTS}", actual=self.participants)
        if not 0 <= self.byzantine <= self.participants:
            raise RangeError("--byzantine", expected=f"0 to {self.participants}", actual=self.byzantine)
        if not 1 <= self.rounds <= 1000:
            raise RangeError("--rounds", expected="1 to 1000", actual=self.rounds)
        if not 0 <= self.seed < 1 << 32:
            raise RangeError("--seed", expected="0 to 2**32 - 1", actual=self.seed)
        if self.dataset not in data.names():
            raise UnknownNameError("dataset", known=data.names(), actual=self.dataset)
        chain = rulebook.parse_chain(self.rule)
        chain.encode()
        if chain.rule.name == "fltrust":
            raise PolicyError("--rule", expected="a rule without a trusted row, which no round has", actual=self.rule)
        needed = chain.minimum_counted(f=self.byzantine, m=0)
        if self.participants < needed:
            what = f"--participants for {self.rule} with --byzantine {self.byzantine}"
            raise RangeError(what, expected=f"at least {needed}", actual=self.participants)
        parse_attack(self.attack)
        parse_split(self.split)
        trainer_class(self.trainer)

    @property
    def model(self) -> str:
        """Name of the architecture."""
        return (SOFTMAX_MODELS if self.trainer == SOFTMAX_TRAINER else MODELS)[self.dataset]

    @property
    def receipts_expected(self) -> int:
        """How many participants will get a receipt in a round."""
        name = self.attack.split(":")[0]
        return self.participants - (self.byzantine if name in REFUSED_ATTACKS else 0)


def attack_names() -> str:
    """For help texts."""
    return ", ".join(ATTACKS)
