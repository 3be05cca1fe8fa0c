"""The platform's collateral, asked for on its socket.

Responsible for: one request and its answer.
Must not know:   what is in collateral; where it is kept.
"""

from __future__ import annotations

import socket
from pathlib import Path

from coordinator.platform.sockets import read_frame, write_frame
from protocol.attestation.collateral import MAX_COLLATERAL_BYTES
from protocol.encoding import Fields
from protocol.errors import MalformedError, UnavailableError

TIMEOUT_S = 10.0
FRAME_BYTES = 1024
"""What an answer has besides the collateral."""


def ask_collateral(path: Path, tee: str = "sgx") -> bytes:
    """What a verifier needs beside this platform's quotes; JSON.

    path: the platform's socket.
    Raises: UnavailableError when nothing listens there or it gives none.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
        try:
            door.settimeout(TIMEOUT_S)
            door.connect(str(path))
            write_frame(door, {"op": "collateral", "tee": tee})
            answer = read_frame(door, max_bytes=MAX_COLLATERAL_BYTES + FRAME_BYTES)
            fields = Fields(answer, "collateral")
            collateral = fields.bytes("collateral", max_length=MAX_COLLATERAL_BYTES)
            fields.done()
        except OSError as error:
            raise UnavailableError(
                f"no platform listens on {path} ({error.strerror or error})",
                "start `veriflock platform serve`, or correct [paths] platform",
            ) from error
        except MalformedError as error:
            raise UnavailableError(f"the platform gives no collateral ({error})", "see the platform's log") from error
    return collateral
