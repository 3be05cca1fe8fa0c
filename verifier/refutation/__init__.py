"""What is wrong with a result, as calls of the ledger's predicates: `search` goes through everything that is open.

One file for each kind of opening: `sets` (F3, F7, F8), `columns` (F1, F2, F4, F5, F7), `grams` (F4, F5, F7), `models`
(F6, F7).
"""
