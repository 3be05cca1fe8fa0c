"""A platform in a process of its own, with an enclave that tells what it sees."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coordinator.platform.sockets import read_frame, write_frame
from protocol.charter import Charter

ROOT = Path(__file__).parents[2]
CHARTER = Charter(
    name="test",
    model="none",
    dimension=4,
    model_exponent=-24,
    dataset="none",
    classes=2,
    offsets_q16=(0,),
    scales_q16=(1,),
    kem=0x0020,
).encode()
LAUNCH: dict[str, Any] = {
    "charter": CHARTER,
    "federation": b"f" * 32,
    "chain_id": 31337,
    "ledger": b"l" * 20,
    "operator": b"o" * 20,
    "nonce": b"n" * 32,
    "fresh": True,
}
WAIT_S = 20.0
"""Longer than anything takes on a busy machine; reached only by a failing test."""


def copy_tree(target: Path) -> Path:
    """protocol/ as it is, and the telling enclave in the place of ours."""
    shutil.copytree(ROOT / "protocol", target / "protocol", ignore=shutil.ignore_patterns("__pycache__"))
    (target / "coordinator" / "enclave").mkdir(parents=True)
    (target / "coordinator" / "__init__.py").write_text('"""Coordinator."""\n')
    (target / "coordinator" / "enclave" / "__init__.py").write_text('"""Enclave."""\n')
    for name in ("loader", "protections", "syscall_filter"):
        shutil.copy(ROOT / "coordinator" / "enclave" / f"{name}.py", target / "coordinator" / "enclave")
    main = Path(__file__).with_name("enclave_that_tells.py")
    shutil.copy(main, target / "coordinator" / "enclave" / "__main__.py")
    return target


@dataclass
class Platform:
    process: subprocess.Popen[str]
    directory: Path
    socket_path: Path
    source: Path
    lines: list[str]

    def connect(self) -> socket.socket:
        door = socket.socket(socket.AF_UNIX)
        door.settimeout(WAIT_S)
        door.connect(str(self.socket_path))
        return door

    @contextlib.contextmanager
    def launch(self, **changes: object) -> Iterator[socket.socket]:
        with self.connect() as door:
            write_frame(door, LAUNCH | changes)
            yield door

    def root(self) -> bytes:
        return bytes.fromhex(self.lines[0].split()[1])


def start(directory: Path, socket_path: Path, source: Path, *more: str) -> Platform:
    arguments = ["serve", "--dir", str(directory), "--socket", str(socket_path), "--source", str(source), *more]
    command = "import sys; from coordinator.platform.cli import app; app(sys.argv[1:])"
    process = subprocess.Popen(
        [sys.executable, "-c", command, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=ROOT,
    )
    assert process.stdout is not None
    lines = [process.stdout.readline().strip(), process.stdout.readline().strip()]
    return Platform(process, directory, socket_path, source, lines)


def ask(door: socket.socket, request: dict[str, Any]) -> dict[str, Any]:
    write_frame(door, request)
    answer = read_frame(door, max_bytes=1 << 20)
    assert answer is not None
    return answer


def ask_platform(door: socket.socket, request: dict[str, Any]) -> dict[str, Any]:
    return ask(door, {"op": "platform", "request": request})


def look(door: socket.socket, *modules: str) -> dict[str, Any]:
    return ask(door, {"op": "look", "modules": list(modules)})


def eventually(what: Callable[[], bool]) -> None:
    """Waits until it holds; at most WAIT_S."""
    end = time.monotonic() + WAIT_S
    while not what():
        assert time.monotonic() < end
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"
