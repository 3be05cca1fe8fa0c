"""What an enclave's process was shut off from, as it says in its claims.

Responsible for: the bits of `Claims.protections` and their names.
Must not know:   how a protection is set or checked (`coordinator/enclave/protections.py`).

A bit says that the enclave set the protection and found it set.  Measured code says so of its own process; a kernel
that lies to it makes it say what is not.  Bits that are not named here are not in use and zero.

Spec: docs/protocol.md section 4.3.
"""

from __future__ import annotations

from enum import IntFlag


class Protection(IntFlag):
    """`Claims.protections`; bit i has the value 2**i."""

    ENVIRONMENT = 1 << 0
    """No variable of the environment."""
    DESCRIPTORS = 1 << 1
    """No open descriptor but 0 to 4: nothing, nothing, the platform's log, the door, the platform."""
    NO_CORE_DUMPS = 1 << 2
    """No core file, and no reading of its memory by processes of the same user."""
    NO_NEW_PRIVILEGES = 1 << 3
    """No set-user-ID program gives it more rights than it has."""
    DIES_WITH_PARENT = 1 << 4
    """The kernel kills it when the platform dies."""
    OWN_NETWORK = 1 << 5
    """A network namespace of its own, with nothing in it that is connected to anything."""
    OWN_MOUNTS = 1 << 6
    """A mount namespace of its own in which everything is read-only."""
    SYSTEM_CALL_FILTER = 1 << 7
    """No sockets, programs, processes, debugging, mounts or files opened for writing: the kernel answers EPERM."""


_NAMES = {
    Protection.ENVIRONMENT: "empty environment",
    Protection.DESCRIPTORS: "no other descriptors",
    Protection.NO_CORE_DUMPS: "no core dumps",
    Protection.NO_NEW_PRIVILEGES: "no new privileges",
    Protection.DIES_WITH_PARENT: "dies with the platform",
    Protection.OWN_NETWORK: "own network namespace",
    Protection.OWN_MOUNTS: "own read-only mount namespace",
    Protection.SYSTEM_CALL_FILTER: "system call filter",
}


def describe(protections: int) -> tuple[list[str], list[str]]:
    """For people: the protections that the bits name, and those that they don't; each in the order of the bits."""
    held = [name for bit, name in _NAMES.items() if protections & bit]
    return held, [name for bit, name in _NAMES.items() if not protections & bit]
