"""How often the platform's enclaves took new keys and new state: numbers that only go up.

Responsible for: epoch, version and hash of every instance's newest sealed state, durable before anybody acts on them.
Must not know:   what is sealed, sockets, processes.

An instance is one measurement for one federation, ledger and operator.  An enclave counts up before an effect of its
new state leaves it, so the platform always knows the newest state of which something may have left.  Sealed state with
another hash is older, or the next one, of which nothing left yet.

A host that puts back an older copy of this very file rolls the platform back with it: hardware would have the numbers
where no file system is.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from coordinator.platform.files import write_durable
from protocol.encoding import Fields, decode_map, encode
from protocol.errors import UnavailableError, VerificationError, VeriflockError

COUNTERS_FILE = "counters.cbor"
MAX_FILE_BYTES = 1 << 24
"""About a hundred thousand instances."""

NOTHING = bytes(32)
"""Hash of the state of an epoch that has sealed none yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counter:
    """What is counted of one instance."""

    epoch: int
    """Which pair of keys, from 1."""
    version: int
    """How many states were sealed in this epoch."""
    state: bytes
    """SHA-256 of the sealed blob of that version; zeros for version 0."""


class Counters:
    """The file of all counters.  Not for two threads at once."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def begin(self, instance: bytes, *, fresh: bool) -> Counter:
        """The counter with which an enclave starts; a fresh epoch is counted durably before anybody can use it.

        instance: 32 bytes that say which enclave for whom.
        Raises: UnavailableError (nothing to resume; the file is damaged), OSError.
        """
        counters = self._read()
        counter = counters.get(instance)
        if fresh:
            epoch = 1 if counter is None else counter.epoch + 1
            counter = Counter(epoch=epoch, version=0, state=NOTHING)
            self._write({**counters, instance: counter})
            # If we die here: the epoch is used up without keys, and the next fresh start takes the next one.
        if counter is None:
            raise UnavailableError("no keys of this enclave to resume with", "start it with fresh keys")
        return counter

    def advance(self, instance: bytes, *, version: int, previous: bytes, state: bytes) -> Counter:
        """Counts one state up, if it follows the newest one: compare and set.

        version:  of the new state; one more than the newest one's.
        previous: SHA-256 of the newest sealed blob; state: of the new one.
        Raises: VerificationError (it does not follow), UnavailableError (damaged), OSError.
        """
        counters = self._read()
        counter = counters.get(instance)
        if counter is None or (version, previous) != (counter.version + 1, counter.state):
            expected = "none" if counter is None else f"{counter.version + 1} after {counter.state.hex()}"
            raise VerificationError(
                "version of sealed state", expected=expected, actual=f"{version} after {previous.hex()}"
            )
        counter = Counter(epoch=counter.epoch, version=version, state=state)
        self._write({**counters, instance: counter})
        # If we die here: the enclave dies with us, nothing left it, and the host has this very state to resume from.
        return counter

    def _read(self) -> dict[bytes, Counter]:
        if not self._path.exists():
            return {}
        with self._path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
        try:
            entries = decode_map(data, max_bytes=MAX_FILE_BYTES)
            return {bytes.fromhex(name): _parse(value) for name, value in entries.items()}
        except (VeriflockError, ValueError) as error:
            # Counting from the beginning would let a host roll back what the file was there to hold.
            advice = "restore it, or start a new platform in another directory"
            raise UnavailableError(f"{self._path} is damaged ({error})", advice) from error

    def _write(self, counters: dict[bytes, Counter]) -> None:
        entries = {
            name.hex(): {"epoch": c.epoch, "version": c.version, "state": c.state} for name, c in counters.items()
        }
        write_durable(self._path, encode(entries))


def _parse(value: object) -> Counter:
    fields = Fields(value, "counter")
    counter = Counter(epoch=fields.uint("epoch"), version=fields.uint("version"), state=fields.bytes("state", 32))
    fields.done()
    return counter
