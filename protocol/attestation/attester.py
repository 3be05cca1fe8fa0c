"""The one door to whatever can state what code is running.

Responsible for: the interface that code which wants to be believed asks for evidence.
Must not know:   what is behind it: the simulated platform here; Gramine, configfs-tsm and Nitro have the same shape.
"""

from __future__ import annotations

from typing import Protocol

REPORT_DATA_BYTES = 64


class Attester(Protocol):
    """Something that makes evidence about the very code that calls it."""

    def quote(self, report_data: bytes) -> bytes:
        """Evidence that this code asked for these 64 bytes to be bound to it.

        report_data: 64 bytes, the only part of the evidence that the caller chooses.
        returns:     the evidence in its wire format (SGX DCAP quote v3 for the simulated platform).
        """
