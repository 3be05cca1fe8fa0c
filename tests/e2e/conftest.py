"""The demo as the end-to-end tests run it: small enough to be quick, real in every part."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
QUICK = ("--participants", "6", "--byzantine", "1", "--rounds", "2", "--seed", "3")
QUICK += ("--trainer", "participant.trainers.softmax:SoftmaxTrainer", "--rule", "multi-krum")


def run_demo(*arguments: str, timeout_s: float = 150) -> subprocess.CompletedProcess[str]:
    """`scripts/demo.py` with every warning an error."""
    command = [sys.executable, "-W", "error", str(ROOT / "scripts" / "demo.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False, cwd=ROOT)


@pytest.fixture(scope="session")
def demo() -> tuple[list[dict[str, Any]], Path]:
    """(events, run folder) of one quick demo."""
    done = run_demo("--json", *QUICK)
    assert (done.returncode, done.stderr) == (0, "")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    return events, ROOT / events[-1]["run"]
