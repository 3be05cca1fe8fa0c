"""Numeric kernels: the loops over all coordinates of all rows that decide what a large round costs, as machine code.

Responsible for: the functions that rules call for large rounds, each over a range of columns, on the caller's thread.
Must not know:   rules, slots, when a round is large.

Every function gives the integers that its docstring defines, on every processor.  Without llvmlite
(protocol.native.is_available) there is none but `totals.account`, which has NumPy; rules have NumPy too.  Rows are read
where they lie and never written.

Spec: docs/decisions/0019-kernels.md.
"""
