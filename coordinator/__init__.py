"""The coordinator: it moves bytes between participants, the enclave and the ledger, and is trusted for liveness only.

Responsible for: the service, its store, its transactions, and (in folders of their own) the platform and the enclave.
Must not know:   what is in a sealed update before the enclave has signed.
"""
