"""Experiments on the parts themselves, without chain, enclave or network.

Responsible for: measuring what the documentation claims about learning; evidence with one thing wrong (evidence/).
Must not know:   verifier, coordinator's service; it may import participant/, coordinator/enclave/rules/ and protocol/.
"""
