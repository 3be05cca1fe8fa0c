"""The repository as its tests of architecture see it: tracked files, modules and what they import."""

from __future__ import annotations

import ast
import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGES = ("protocol", "participant", "coordinator", "verifier", "contracts", "lab")
OURS = (*PACKAGES, "veriflock", "scripts", "tests")


@cache
def tracked() -> tuple[Path, ...]:
    """Files that git tracks, or would: what .gitignore names is left out."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, timeout=60).stdout.decode()
    return tuple(sorted(path for name in set(listed.split("\0")) if name and (path := ROOT / name).is_file()))


def texts() -> list[Path]:
    """Tracked files that are text; what a fuzzer found is bytes, whatever it looks like."""
    found = ROOT / "tests" / "vectors" / "fuzz"
    return [path for path in tracked() if found not in path.parents and b"\0" not in path.read_bytes()[:8192]]


def modules(*folders: str) -> list[Path]:
    """Tracked Python files under folders, or named themselves."""
    return [path for path in tracked() if path.suffix == ".py" and name_of(path).split(".")[0] in folders]


def name_of(path: Path) -> str:
    """The dotted name of a module."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def tree_of(path: Path) -> ast.Module:
    """A module's syntax tree."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imports_of(path: Path) -> set[str]:
    """Full names of everything that a module imports, anywhere in it: `from a.b import c` is a.b.c."""
    found: set[str] = set()
    package = name_of(path) if path.name == "__init__.py" else name_of(path).rpartition(".")[0]
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, base] if base else above)
            found.update(f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and isinstance(node.args[0] if node.args else None, ast.Constant):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            argument = node.args[0]
            if called in ("import_module", "__import__") and isinstance(argument, ast.Constant):
                found.add(str(argument.value))
    return found


def is_under(name: str, *packages: str) -> bool:
    """Whether a dotted name is one of the packages or in one."""
    return any(name == package or name.startswith(package + ".") for package in packages)
