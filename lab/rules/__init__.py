"""The aggregation rules for whoever has floats: NumPy arrays or PyTorch tensors in, the same out.

    from lab import rules
    rules.trimmed_mean(matrix, f=2)                                # matrix (n, d), or a list of n vectors
    rules.krum(matrix, f=2, before="nnm")
    rules.explain("nnm+krum", matrix, f=2).bound                   # what quantisation can have changed

The floats become integers (floats.py), the engine of coordinator/enclave/rules/ combines these exactly, and the result
becomes floats again (aggregating.py); functions.py has a function for every rule.

Spec: docs/arrays.md.
"""

from __future__ import annotations

from lab.rules.aggregating import Explained, aggregate, explain
from lab.rules.functions import (
    bulyan,
    centred_clipping,
    fltrust,
    geometric_median,
    krum,
    mda,
    meamed,
    mean,
    median,
    multi_krum,
    trimmed_mean,
    weighted_mean,
)

__all__ = [
    "aggregate",
    "explain",
    "Explained",
    "mean",
    "weighted_mean",
    "median",
    "trimmed_mean",
    "meamed",
    "krum",
    "multi_krum",
    "bulyan",
    "mda",
    "geometric_median",
    "centred_clipping",
    "fltrust",
]
