"""A local chain: Anvil, found, started on a free port, and surely stopped.

Responsible for: the process, its readiness, its end.
Must not know:   contracts, or what is sent to it.

Anvil comes from npm as a native binary; Node is not needed to run it.
"""

from __future__ import annotations

import contextlib
import ctypes
import gzip
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from protocol.errors import UnavailableError

CHAIN_ID = 31337
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 5.0
HARDFORK = "osaka"
"""The first with P256VERIFY at 0x100 (EIP-7951)."""

PR_SET_PDEATHSIG = 1
_PRCTL = ctypes.CDLL(None).prctl if sys.platform == "linux" else None
"""Found before the fork: nothing may be loaded between fork and exec."""

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Anvil:
    """A running local chain."""

    rpc: str
    """http://127.0.0.1:port"""
    process: subprocess.Popen[bytes]
    """The server."""


def find_anvil() -> Path:
    """The native binary: $VERIFLOCK_ANVIL, the project's node_modules, or the path.

    Raises: UnavailableError with how to get it.
    """
    named = os.environ.get("VERIFLOCK_ANVIL")
    candidates = [Path(named)] if named else sorted(ROOT.glob("node_modules/@foundry-rs/anvil-*/bin/anvil*"))
    on_path = shutil.which("anvil")
    candidates += [Path(on_path)] if on_path and not named else []
    for candidate in candidates:
        if candidate.is_file() and os.access(candidate, os.X_OK):
            return candidate
    raise UnavailableError("anvil, the local chain, was not found", "`make setup` installs it (npm, @foundry-rs/anvil)")


def free_port() -> int:
    """A TCP port of the loopback interface that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def start(
    *, port: int | None = None, log: Path | None = None, hardfork: str = HARDFORK, genesis_s: int | None = None
) -> Iterator[Anvil]:
    """A fresh chain for as long as the block runs; on Linux it ends even when this process is killed.

    port:      a free one where not given.
    log:       where its output goes; nowhere by default.
    genesis_s: when it begins, seconds since 1970; now by default.
    Raises: UnavailableError when there is no Anvil or it does not answer in time.
    """
    binary, port = find_anvil(), port or free_port()
    rpc = f"http://127.0.0.1:{port}"
    command = [str(binary), "--host", "127.0.0.1", "--port", str(port), "--hardfork", hardfork]
    command += ["--chain-id", str(CHAIN_ID), "--accounts", "10", "--balance", "1000000"]
    command += [] if genesis_s is None else ["--timestamp", str(genesis_s)]
    with contextlib.ExitStack() as stack:
        output = stack.enter_context(log.open("wb")) if log else subprocess.DEVNULL
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True, preexec_fn=die_with_parent
        )
        try:
            _wait_until_ready(rpc, process)
            yield Anvil(rpc=rpc, process=process)
        finally:
            stop(process)


def die_with_parent() -> None:
    """For `preexec_fn`: on Linux the child gets SIGTERM when the thread that started it is gone, however it went."""
    if _PRCTL is not None:
        _PRCTL(PR_SET_PDEATHSIG, signal.SIGTERM)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ends a process that was started in a session of its own, with its children."""
    for signum in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signum)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_TIMEOUT_S)


def call(rpc: str, method: str, *params: object, timeout_s: float = 10.0) -> object:
    """One JSON-RPC call.  Raises UnavailableError for whatever is not a result."""
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}).encode()
    request = urllib.request.Request(rpc, body, {"Content-Type": "application/json"})  # noqa: S310 - the user's own URL
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as reply:  # noqa: S310
            answer = json.loads(reply.read())
    except (OSError, ValueError) as error:
        raise UnavailableError(f"the chain at {rpc} does not answer ({error})", "is it running?") from error
    if not isinstance(answer, dict) or "result" not in answer:
        raise UnavailableError(f"the chain at {rpc} refused {method}: {answer}")
    return answer["result"]


def dump_state(rpc: str) -> bytes:
    """The chain's whole state as JSON: accounts, blocks, transactions, receipts."""
    answer = call(rpc, "anvil_dumpState", timeout_s=60.0)
    if not isinstance(answer, str):
        raise UnavailableError("anvil gave no state", "is it Anvil?")
    return gzip.decompress(bytes.fromhex(answer.removeprefix("0x")))


def _wait_until_ready(rpc: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise UnavailableError(f"anvil ended at once with code {process.returncode}", "is the port in use?")
        with contextlib.suppress(UnavailableError):
            call(rpc, "eth_chainId", timeout_s=1.0)
            return
        time.sleep(0.05)
    raise UnavailableError(f"anvil did not answer within {START_TIMEOUT_S:g} s")
