"""What every party must agree on: messages, trees, numbers, rules' names, seeds, evidence, money and errors.

Responsible for: the one meaning of every byte that is signed, hashed or put on the ledger.
Must not know:   files, sockets, clocks, randomness, or which party is running it.

Spec: docs/protocol.md.
"""
