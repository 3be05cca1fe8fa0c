"""The measured code: what runs inside the enclave, and nothing else.

Responsible for: keys born inside, admission, aggregation, receipts and results.
Must not know:   files, network, clocks, the chain; every answer of the host is treated as hostile.

Imports protocol/ and nothing else of ours.  Spec: docs/protocol.md sections 4 to 6.
"""
