"""A round's numbers from its rows, computed in parts that may lie on many machines.

Responsible for: what a chain makes of rows in files, with the roots over it, the same bits however it is split.
Must not know:   messages, signatures, the ledger.

    rows = open_rows(Path("rows.npy"))
    found = recompute(rows, parse_chain("nnm+krum"), f=2)                      # in this process
    with ray_runner(workers=8, timeout_s=3600) as runner:
        same = recompute(rows, parse_chain("nnm+krum"), f=2, runner=runner)    # on Ray's workers

A part is a run of consecutive coordinates of all rows; whoever works on one reads it from the files itself.  Whole rows
are looked at through sums (inner products, totals), and sums of integers don't depend on how they are added up; roots
come of subtrees (subtrees.py).

Spec: docs/rules.md; docs/protocol.md section 3.
"""

from __future__ import annotations

from coordinator.shards.on_ray import ray_runner
from coordinator.shards.passes import LocalRunner, Recomputed, Runner, recompute
from coordinator.shards.rows import RowFiles, open_round, open_rows

__all__ = ["recompute", "Recomputed", "Runner", "LocalRunner", "ray_runner", "RowFiles", "open_rows", "open_round"]
