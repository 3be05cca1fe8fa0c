"""A process that wants one transaction and kills itself at a named point; started by test_outbox.py.

Arguments: RPC address, folder of the store, key in hexadecimal, recipient, where to die
(intent, signed, sent, or never).
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from coordinator.chain import Call, Chain
from coordinator.outbox import Outbox
from coordinator.store import Store


def main() -> None:
    """Send 5 wei under the name `gift/1`, or die on the way."""
    rpc, folder, key, recipient, point = sys.argv[1:]

    class DyingChain(Chain):
        def sign(self, *arguments: object, **named: object) -> tuple[bytes, bytes]:
            if point == "intent":
                os.kill(os.getpid(), signal.SIGKILL)
            return super().sign(*arguments, **named)  # type: ignore[arg-type]

        def send_raw(self, raw: bytes) -> None:
            if point == "signed":
                os.kill(os.getpid(), signal.SIGKILL)
            super().send_raw(raw)
            if point == "sent":
                os.kill(os.getpid(), signal.SIGKILL)

    with Store(Path(folder)) as store:
        outbox = Outbox(store, DyingChain(rpc, timeout_s=10), bytes.fromhex(key), timeout_s=20)
        outbox.resume()
        outbox.send("gift/1", Call(what="a gift", to=bytes.fromhex(recipient), data=b"", value=5))


if __name__ == "__main__":
    main()
