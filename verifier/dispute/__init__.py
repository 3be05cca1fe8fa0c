"""From what the search found to a verdict on the ledger, and what becomes of its pot.

`reading` is what the chain and the coordinator say, `proofs` what goes to the ledger, `prospects` what follows, `steps`
the transactions in their order, `flow` and `sharing` one run of the command, `story` what it starts from and its
report as it grows, `report` what people see.
"""
