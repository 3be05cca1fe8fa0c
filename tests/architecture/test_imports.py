"""Who may import whom (docs/protocol.md is what they share), and what no file may do."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from repository import OURS, PACKAGES, ROOT, imports_of, is_under, modules, name_of, texts, tracked, tree_of

# What each may import of ours, itself apart.  contracts is the compiled artifacts as data, and their ABI.
MAY_IMPORT = {
    "protocol": (),
    "contracts": ("protocol",),
    "participant": ("protocol", "contracts"),
    "coordinator": ("protocol", "contracts"),
    "coordinator.enclave": ("protocol",),
    "verifier": ("protocol", "contracts"),
    "lab": ("participant", "coordinator.enclave.rules", "protocol"),
    "veriflock": ("protocol",),
}
NOT_PURE = {
    *("os", "io", "sys", "socket", "ssl", "select", "selectors", "asyncio", "threading", "multiprocessing", "signal"),
    *("subprocess", "pathlib", "tempfile", "shutil", "glob", "fcntl", "mmap", "logging", "argparse"),
    *("time", "datetime", "random", "secrets", "uuid", "importlib", "urllib", "http", "ftplib", "smtplib"),
}
HEAVY = ("torch", "fastapi", "uvicorn", "starlette", "web3", "sklearn", "safetensors", "matplotlib")


def ours(path: Path) -> set[str]:
    return {name for name in imports_of(path) if is_under(name, *OURS)}


@pytest.mark.parametrize("importer", MAY_IMPORT)
def test_a_part_imports_only_the_parts_that_it_may(importer: str) -> None:
    found = [path for path in modules(importer.split(".")[0]) if is_under(name_of(path), importer)]
    assert found
    allowed = (importer, *MAY_IMPORT[importer])
    wrong = {name_of(path): sorted(n for n in ours(path) if not is_under(n, *allowed)) for path in found}
    assert {name: names for name, names in wrong.items() if names} == {}


def test_protocol_does_no_input_or_output_and_asks_no_clock_and_no_chance() -> None:
    wrong = {name_of(p): sorted(n for n in imports_of(p) if is_under(n, *NOT_PURE)) for p in modules("protocol")}
    assert {name: names for name, names in wrong.items() if names} == {}


def test_protocol_imports_neither_torch_nor_a_web_framework() -> None:
    wrong = {name_of(p): sorted(n for n in imports_of(p) if is_under(n, *HEAVY, "httpx")) for p in modules("protocol")}
    assert {name: names for name, names in wrong.items() if names} == {}


def test_the_enclaves_own_files_import_nothing_heavier_than_numpy_and_cryptography() -> None:
    allowed = (*sys.stdlib_module_names, "numpy", "cryptography", "protocol", "coordinator")
    enclave = [path for path in modules("coordinator") if is_under(name_of(path), "coordinator.enclave")]
    wrong = {name_of(p): sorted(n for n in imports_of(p) if not is_under(n, *allowed)) for p in enclave}
    assert {name: names for name, names in wrong.items() if names} == {}


def test_only_the_enclaves_entry_touches_sockets_and_only_what_comes_before_it_files() -> None:
    before_it = ("coordinator.enclave.loader", "coordinator.enclave.protections")
    enclave = [path for path in modules("coordinator") if is_under(name_of(path), "coordinator.enclave")]
    enclave = [path for path in enclave if name_of(path) not in before_it]
    outside = ("os", "pathlib", "io", "tempfile", "shutil", "subprocess", "time", "datetime", "ssl", "http", "urllib")
    for path in enclave:
        assert not [name for name in imports_of(path) if is_under(name, *outside)], path
        if name_of(path) != "coordinator.enclave.__main__":
            assert not [name for name in imports_of(path) if is_under(name, "socket")], path


def test_torch_is_imported_only_by_trainers_and_the_lab() -> None:
    importers = {
        name_of(p) for p in modules(*PACKAGES, "veriflock") if any(is_under(n, "torch") for n in imports_of(p))
    }
    assert {name for name in importers if not is_under(name, "participant.trainers", "lab")} == set()


def test_the_verifier_needs_neither_torch_nor_fastapi_nor_web3() -> None:
    wrong = {name_of(p): sorted(n for n in imports_of(p) if is_under(n, *HEAVY)) for p in modules("verifier")}
    assert {name: names for name, names in wrong.items() if names} == {}


@pytest.mark.parametrize(("package", "home"), [("llvmlite", "protocol.native"), ("ray", "coordinator.shards.on_ray")])
def test_what_makes_code_or_sends_it_is_imported_in_one_place(package: str, home: str) -> None:
    importers = {
        name_of(p) for p in modules(*PACKAGES, "veriflock") if any(is_under(n, package) for n in imports_of(p))
    }
    assert {name for name in importers if not is_under(name, home)} == set()
    assert importers


def test_scripts_are_imported_by_nobody() -> None:
    parts = {path.stem if path.is_file() else path.name for path in (ROOT / "scripts").iterdir()} - {"solc"}
    own = ("scripts", *(part for part in parts if part not in sys.stdlib_module_names and part.isidentifier()))
    wrong = {name_of(p): sorted(n for n in imports_of(p) if is_under(n, *own)) for p in modules(*PACKAGES, "veriflock")}
    assert {name: names for name, names in wrong.items() if names} == {}


def test_every_module_says_what_it_is_for_and_what_it_must_not_know() -> None:
    silent = []
    for path in modules(*PACKAGES, "veriflock"):
        text = ast.get_docstring(tree_of(path)) or ""
        said = path.name == "__init__.py" or ("Responsible for:" in text and "Must not know:" in text)
        if len(text.partition("\n")[0]) < 20 or not said:
            silent.append(str(path.relative_to(ROOT)))
    assert silent == []


def test_every_script_and_test_says_what_it_is_for() -> None:
    silent = [p for p in modules("scripts", "tests") if len(ast.get_docstring(tree_of(p)) or "") < 20]
    assert [str(path.relative_to(ROOT)) for path in silent] == []


def test_no_file_is_longer_than_one_subject() -> None:
    long = {
        name_of(p): n
        for p in modules(*PACKAGES, "veriflock", "scripts")
        if (n := len(p.read_text().splitlines())) > 450
    }
    assert long == {}


# --- what no file may do ----------------------------------------------------------------------------------------------

# written in pieces, so that this file does not hold what it looks for
MACHINE_PATHS = re.compile(r"(?<![\w.$}/:-])/(?:" + "|".join(("work", "root", "home", "Users", "mnt")) + r")/[\w.-]+")
REGISTRIES = (
    "registry." + "npmjs",
    "registry." + "yarnpkg",
    "files.python" + "hosted",
    "pypi" + ".org",
    "npm" + "js.com",
)


def places(paths: list[Path], find: Callable[[Path], Iterable[object]]) -> list[str]:
    """file: what was found in it, for every file in which something was."""
    return [f"{path.relative_to(ROOT)}: {what}" for path in paths for what in find(path)]


def test_no_file_names_a_machine_path_or_a_registry() -> None:
    def find(path: Path) -> Iterator[str]:
        text = path.read_text(encoding="utf-8")
        yield from (match[0] for match in MACHINE_PATHS.finditer(text))
        yield from (name for name in REGISTRIES if name in text)

    assert places(texts(), find) == []


PYTHON = [path for path in tracked() if path.suffix == ".py"]
SHIPPED = [path for path in PYTHON if path.relative_to(ROOT).parts[0] != "tests"]
UNSAFE_MODULES = ("pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "joblib")
UNSAFE_CALLS = ("eval", "exec", "compile", "breakpoint")


def calls_of(path: Path) -> list[ast.Call]:
    return [node for node in ast.walk(tree_of(path)) if isinstance(node, ast.Call)]


def test_no_file_of_ours_uses_pickle() -> None:
    def allows_pickle(path: Path) -> Iterator[str]:
        for call in calls_of(path):
            allow = {keyword.arg: keyword.value for keyword in call.keywords}.get("allow_pickle")
            if allow is not None and not (isinstance(allow, ast.Constant) and allow.value is False):
                yield f"line {call.lineno}"

    assert places(PYTHON, lambda path: [n for n in imports_of(path) if is_under(n, *UNSAFE_MODULES)]) == []
    assert places(PYTHON, allows_pickle) == []


def test_only_the_enclaves_loader_runs_python_that_is_text() -> None:
    def find(path: Path) -> Iterator[str]:
        if path == ROOT / "coordinator" / "enclave" / "loader.py":
            return
        for call in calls_of(path):
            if isinstance(call.func, ast.Name) and call.func.id in UNSAFE_CALLS:
                yield f"line {call.lineno}: {call.func.id}"

    assert places(PYTHON, find) == []


def test_only_tests_check_by_assert() -> None:
    def find(path: Path) -> list[int]:
        return [node.lineno for node in ast.walk(tree_of(path)) if isinstance(node, ast.Assert)]

    assert places(SHIPPED, find) == []


def test_no_file_leaves_something_to_do() -> None:
    marks = ("TO" + "DO", "FIX" + "ME", "NotImplemented" + "Error", "XX" + "X")

    def find(path: Path) -> list[str]:
        text = path.read_text(encoding="utf-8")
        return [mark for mark in marks if mark in text]

    assert places(PYTHON, find) == []
