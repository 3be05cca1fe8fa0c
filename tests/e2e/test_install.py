"""An auditor's install: the verifier's extra alone, in a bare environment, brings an auditor's commands and no more."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
INSTALL_TIMEOUT_S = 300


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of a fresh environment with `veriflock[verifier]`, built from a wheel of this tree."""
    folder = tmp_path_factory.mktemp("bare")
    subprocess.run([sys.executable, "-m", "venv", str(folder / "env")], check=True, timeout=120)
    bin_ = folder / "env" / "bin"
    # a copy of what git tracks or would track: building in the tree would leave build/ behind
    names = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        timeout=60,
    ).stdout
    source = folder / "source"
    for name in filter(None, names.decode().split("\0")):
        if (ROOT / name).is_file() and not name.startswith(("tests/", "docs/")):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    pip = [str(bin_ / "python"), "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    constraints = ["-c", str(ROOT / "constraints.txt")]
    done = subprocess.run(
        [*pip, *constraints, f"{source}[verifier]"],
        capture_output=True,
        text=True,
        timeout=INSTALL_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return bin_


def output(bin_: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(bin_ / arguments[0]), *arguments[1:]], capture_output=True, text=True, timeout=60, check=False, cwd=bin_
    )


@pytest.mark.timeout(400)
def test_an_auditors_install_has_neither_torch_nor_fastapi_nor_web3(bare: Path) -> None:
    listed = output(bare, "python", "-m", "pip", "list", "--format=freeze").stdout.lower()
    names = {line.split("==")[0] for line in listed.splitlines()}
    assert "veriflock" in names
    assert names & {"torch", "fastapi", "uvicorn", "web3", "scikit-learn", "matplotlib", "py-solc-x"} == set()


@pytest.mark.timeout(400)
def test_an_auditors_install_shows_an_auditors_commands(bare: Path) -> None:
    done = output(bare, "veriflock", "--help")
    assert done.returncode == 0
    words = set(done.stdout.split())
    assert {"verify", "doctor", "version"} <= words
    assert words & {"coordinator", "participant", "platform", "consortium", "export"} == set()


@pytest.mark.timeout(400)
def test_an_auditors_install_verifies_without_the_rest(bare: Path, tmp_path: Path) -> None:
    done = output(bare, "veriflock", "verify", "--run", str(tmp_path / "nowhere"))
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "nowhere" in done.stderr + done.stdout


@pytest.mark.timeout(400)
def test_an_auditors_install_says_that_an_honest_run_holds(
    bare: Path, demo: tuple[list[dict[str, object]], Path]
) -> None:
    done = output(bare, "veriflock", "verify", "--run", str(demo[1]))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "says nothing about hardware" in done.stdout


@pytest.mark.timeout(400)
def test_every_module_of_the_verifier_imports_there(bare: Path) -> None:
    modules = [
        path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
        for folder in ("protocol", "verifier")
        for path in sorted((ROOT / folder).rglob("*.py"))
        if path.name != "__init__.py"
    ]
    code = f"import importlib\nfor name in {modules!r}: importlib.import_module(name)"
    done = output(bare, "python", "-c", code)
    assert (done.returncode, done.stderr) == (0, "")
