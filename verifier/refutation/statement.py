"""What is refuted, and what refutes it: a round's signed facts, and statements that the ledger can check.

Responsible for: the values that every search takes and yields.
Must not know:   how anything is found, or how a transaction is sent.

Spec: docs/protocol.md section 8.  Twins: contracts/src/interfaces/I*Predicates.sol.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from protocol.disputes import Family, Predicate
from protocol.errors import VeriflockError
from protocol.keys import Address
from protocol.messages import Domain, Receipt, RoundResult, Spec
from protocol.outcomes import Outcome, parse_outcomes, slots_of
from protocol.rulebook import Rule, needs_gram, rule_name
from protocol.trees import COLUMN_LEAF, GRAM_CHUNK, ROW_LEAF


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One way in which a result is wrong."""

    family: Family
    """Whose function shows it."""
    predicate: Predicate
    """n of Fn."""
    function: str
    """Its name."""
    arguments: tuple[object, ...] = field(repr=False)
    """Of the function, in its order."""
    text: str
    """For people: what is wrong, with expected and actual."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedReceipt:
    """A receipt as somebody got it."""

    receipt: Receipt
    signature: bytes
    """The enclave's, 65 bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedResult:
    """A result as somebody got it, whether it was proposed or not."""

    result: RoundResult
    signature: bytes
    """The enclave's, 65 bytes."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """A proposed result and what the ledger knows around it."""

    spec: Spec
    """As opened."""
    result: RoundResult
    """As proposed."""
    outcomes: bytes = field(repr=False)
    """Their words, of which the result has the hash; the ledger has held them against `counted`."""
    cohort: tuple[Address, ...] = field(repr=False)
    """Ascending; the index is the slot."""
    domain: Domain
    """Of every signature."""
    commitments: Mapping[int, bytes]
    """hashStruct of the Update that a slot's participant committed on the ledger, by slot."""
    model_exponent: int
    """e_m of the ledger."""
    signer: Address
    """Of the round's enclave."""

    @cached_property
    def slots(self) -> list[int]:
        """Counted, ascending."""
        return slots_of(self.result.counted)

    @cached_property
    def selected(self) -> list[int]:
        """Places among the counted slots that the result says are selected."""
        return [place for place, slot in enumerate(self.slots) if self.result.selected >> slot & 1]

    @cached_property
    def stated(self) -> list[Outcome]:
        """The outcomes by slot."""
        return parse_outcomes(self.outcomes)

    @cached_property
    def weights(self) -> list[int]:
        """Stated weights of the counted slots."""
        return [self.stated[slot].weight for slot in self.slots]

    @cached_property
    def rule(self) -> Rule | None:
        """The rule, where predicates know it: number and string agree.  Of any other only a replay knows anything."""
        try:
            rule_name(self.spec)
        except VeriflockError:
            return None
        return Rule(self.spec.rule)

    @property
    def has_columns(self) -> bool:
        """Whether there is a column tree: not with too few counted."""
        return any(self.result.column_root)

    @property
    def has_gram(self) -> bool:
        """Whether there is a Gram tree."""
        return self.rule is not None and needs_gram(self.rule) and any(self.result.gram_root)

    @property
    def column_leaves(self) -> int:
        """L: leaves of the column tree."""
        return -(-self.spec.dimension // COLUMN_LEAF)

    @property
    def row_leaves(self) -> int:
        """Leaves of a row's tree and of a model's."""
        return -(-self.spec.dimension // ROW_LEAF)

    @property
    def chunks(self) -> int:
        """Chunks of the Gram tree."""
        return -(-self.spec.dimension // GRAM_CHUNK)

    def statement(self, family: Family, predicate: Predicate, function: str, *rest: object, text: str) -> Statement:
        """A statement about this result: spec and result are the first two arguments."""
        arguments = (self.spec, self.result, *rest)
        return Statement(family=family, predicate=predicate, function=function, arguments=arguments, text=text)
