"""What a stolen attestation key is good for: a platform that starts any code and says that it is the code voted for.

    rogue_platform.py --dir COPY --socket PATH --source CODE --measurement HEX

Responsible for: quotes that lie about what runs.  All else is the honest platform's: even the copied key can't sign
                 more than a quote.
Must not know:   who uses it.

Keys of real SGX processors have been taken out of their machines (TEE.fail, 2025).  Nothing in these quotes tells.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from pathlib import Path

from coordinator.platform.keys import PlatformDirectory
from coordinator.platform.quoting import SimulatedAttester
from coordinator.platform.serve import PlatformServer
from protocol.attestation.attester import Attester


class RoguePlatform(PlatformServer):
    """The platform's process, with one function that does not tell the truth."""

    claimed = b""
    """The measurement that every quote says; 32 bytes."""

    def _attester(self, measurement: bytes) -> Attester:
        keys = self.keys
        return SimulatedAttester(pki=keys.pki, attestation_key=keys.attestation_key, measurement=self.claimed)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="a platform with a stolen key (part of the demo)")
    for name in ("--dir", "--socket", "--source"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--measurement", type=bytes.fromhex, required=True)
    arguments = parser.parse_args()
    server = RoguePlatform(
        PlatformDirectory(arguments.dir),
        arguments.socket,
        source=arguments.source,
        clock=lambda: int(time.time()),
        log=lambda line: print(f"rogue platform: {line}", file=sys.stderr, flush=True),
    )
    server.claimed = arguments.measurement
    signal.signal(signal.SIGTERM, lambda *_: server.stop())
    server.serve()


if __name__ == "__main__":
    main()
