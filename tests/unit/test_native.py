"""Machine code where there is some, and none where the system or the installation has none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from protocol import native

ROOT = Path(__file__).parents[2]

COMPUTE = """
import numpy as np
from coordinator.enclave.rules import account, aggregate, machine
from protocol import native
machine.WORTH_IT = 1
rows = np.random.default_rng(0).integers(-300, 300, (10, 9000)).astype(np.int16)
found = aggregate("nnm+trimmed-mean", rows, f=2)
print(native.is_available(), account(rows, found).root.hex())
"""
WITHOUT_LLVM = "import sys\nsys.modules['llvmlite'] = None\n"
WITHOUT_NEW_CODE = "import ctypes\nassert ctypes.CDLL(None).prctl(65, 1, 0, 0, 0) == 0\n"  # PR_SET_MDWE


def computed(before: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", before + COMPUTE], capture_output=True, text=True, timeout=60, check=False, cwd=ROOT
    )
    if before == WITHOUT_NEW_CODE and "AssertionError" in done.stderr:
        pytest.skip("this kernel can't forbid that written memory is executed")
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.skipif(not native.is_available(), reason="no machine code here")
@pytest.mark.parametrize("before", [WITHOUT_LLVM, WITHOUT_NEW_CODE])
def test_without_machine_code_the_same_bits_come_from_numpy_and_hashlib(before: str) -> None:
    is_available, root = computed("")
    assert is_available == "True"
    assert computed(before) == ["False", root]
