"""An environment of its own with ByzFL, byzpy and Flower, for scripts/bench_rules.py only: build/peers.

Responsible for: build/peers, with the versions of scripts/bench_parts/peers.txt and constraints.txt.

The three come without their dependencies: byzpy wants an old NumPy and PyTorch, Flower a web server, ByzFL torchvision
(for data that its rules never touch).  What the rules import is named here; a measurement says which versions ran.
"""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / "build" / "peers"
PINS = ROOT / "scripts" / "bench_parts" / "peers.txt"
ALONE = ("byzfl", "byzpy", "flwr")
NEEDED = ("torch", "numpy", "scipy", "cloudpickle", "threadpoolctl", "grpcio", "protobuf", "iterators", "httpx")
INSTALL_TIMEOUT_S = 1800


def pip(*words: str) -> None:
    """Install with both lists of pins; exit with what pip said when it fails."""
    python = str(PEERS / "bin" / "python")
    pins = ("-c", str(ROOT / "constraints.txt"), "-c", str(PINS))
    command = [python, "-m", "pip", "--quiet", "--disable-pip-version-check", "install", *pins, *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, check=False)
    if done.returncode:
        sys.exit(f"the peers could not be installed\n{done.stderr}")


def main() -> None:
    """Make the environment, or bring it up to date."""
    if not (PEERS / "bin" / "python").exists():
        print("setting up: ByzFL, byzpy and Flower, to measure against (a minute or two)", file=sys.stderr)
        venv.create(PEERS, with_pip=True)
    pip("-e", ".[fast]", *NEEDED)
    pip("--no-deps", *ALONE)


if __name__ == "__main__":
    main()
