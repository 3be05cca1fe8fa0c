"""The simulated platform: what an SGX processor with its quoting enclave would be, as a process of its own.

Responsible for: measuring an enclave, starting it, sealing keys for it, and stating in Intel's wire format what runs.
Must not know:   what the enclave computes, and what passes through its door.

Simulated: says nothing about hardware.  Whoever controls this process's user controls the enclave; what is real here
is the protocol, so that only the trusted root changes with real hardware.  It alone holds the attestation key and the
fuse secret, and the host has no door at which it could ask for a quote.
"""
