"""Who trains: data that never leaves, a model, and an update that is signed, sealed, sent and followed to its end.

Responsible for: one participant, honest or (attacks/) not.
Must not know:   the coordinator's and the verifier's code; it meets them in protocol/, on the wire and on the chain.
"""
