"""Run forge, the contract test runner, as the project pins it: `scripts/forge.py test -vv`.

Responsible for: finding the native binary that npm brought, and handing on its exit code.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """Forge's own exit code; 2 when it is not there."""
    found = sorted(ROOT.glob("node_modules/@foundry-rs/forge-*/bin/forge*"))
    if not found:
        print("error: forge was not found; `make setup` installs it (npm, @foundry-rs/forge)", file=sys.stderr)
        return 2
    return subprocess.run([str(found[0]), *sys.argv[1:]], cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
