"""What the model trees show: F6, and lengths of F7.

Responsible for: finding a coordinate of the new model that is not base plus aggregate.
Must not know:   rows, rules.

Spec: docs/protocol.md section 1.4.  Twin: contracts/src/predicates/ColumnPredicates.sol.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from protocol.disputes import Family, Predicate
from protocol.errors import RangeError
from protocol.fixedpoint import step_shift
from protocol.openings import Openings
from protocol.trees import COLUMN_LEAF, ROW_LEAF
from verifier.refutation.statement import Facts, Statement
from verifier.refutation.tables import MODEL_LEAF_BYTES, Tables, first
from verifier.replay import step


def lengths(facts: Facts, openings: Openings, tables: Tables) -> Iterator[Statement]:
    """F7: a leaf of the new model that is not 1024 bytes."""
    bad = tables.model.first_bad()
    if bad is not None:
        leaf = openings.model_leaf(bad)
        text = f"leaf {bad} of the new model: expected {MODEL_LEAF_BYTES} bytes, got {len(leaf.data)}"
        yield facts.statement(Family.COLUMN, Predicate.FORM, "modelMalformed", leaf, text=text)


def padding(facts: Facts, openings: Openings, tables: Tables) -> Iterator[Statement]:
    """F6: past the dimension the new model is not zero."""
    dimension, flat = facts.spec.dimension, tables.model.values.reshape(-1)
    past = first(flat[dimension:] != 0)
    if past is not None:
        at = dimension + past
        text = f"coordinate {at} of the new model: expected 0, past the dimension, got {int(flat[at])}"
        arguments = (openings.model_leaf(at // ROW_LEAF), at % ROW_LEAF)
        yield facts.statement(Family.COLUMN, Predicate.MODEL, "modelPaddingDiffers", *arguments, text=text)


def model(facts: Facts, openings: Openings, tables: Tables) -> Iterator[Statement]:
    """F6: the first coordinate of the new model that is not base plus aggregate."""
    spec, d = facts.spec, facts.spec.dimension
    try:
        step_shift(spec.exponent, facts.model_exponent)
    except RangeError:
        return  # no enclave computes such a step, and no predicate either
    base, aggregate = tables.base.values.reshape(-1)[:d], tables.aggregate.values.reshape(-1)[:d]
    expected = step(
        base.astype(np.int32),
        aggregate.astype(np.int32),
        learning_rate=spec.learning_rate,
        decay=spec.decay,
        exponent=spec.exponent,
        model_exponent=facts.model_exponent,
    )
    actual = tables.model.values.reshape(-1)[:d]
    is_open = np.repeat(tables.base.is_good & tables.model.is_good, ROW_LEAF)[:d]
    is_open &= np.repeat(tables.aggregate.is_good, COLUMN_LEAF)[:d]
    at = first((actual != expected) & is_open)
    if at is not None:
        text = f"coordinate {at} of the new model: expected {int(expected[at])}, got {int(actual[at])}"
        index = at // ROW_LEAF
        arguments = (openings.column_leaf(at // COLUMN_LEAF), at % COLUMN_LEAF)
        both = (openings.base_leaf(index), openings.model_leaf(index))
        yield facts.statement(Family.COLUMN, Predicate.MODEL, "modelDiffers", *arguments, *both, text=text)
