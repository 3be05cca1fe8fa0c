"""Compiles the contracts through py-solc-x into contracts/artifacts/, or says whether those are still right.

Responsible for: the compiler's input (sources, settings) and the committed form of its output.
Must not know:   a chain.

    scripts/compile_contracts.py            writes contracts/artifacts/<Name>.json
    scripts/compile_contracts.py --check    writes nothing; exit 1 if one of them would change

The compiler is an installed native solc of the right version if there is one, else scripts/solc around the npm package.
Both are the same program, and nothing of the machine gets into the output: source names are relative to the
repository and the bytecode carries no metadata.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import solcx
from solcx.exceptions import SolcError

from contracts import NAMES

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "contracts" / "src"
ARTIFACTS = ROOT / "contracts" / "artifacts"
LIBRARY = "@openzeppelin/contracts/"
VERSION = "0.8.37"

STEPS = (
    "dfDvulfnTUtnIfxa[r]EscLMVcul [j]Trpeulxa[r]cLvifMCTUca[r]LSsTOtfDnca[r]IulcscCTUtvifMx[scCTUt] "
    "TOntnfDIulvifMjmul[jul] VcTOcul jmul:fDnTOcmuO"
)
"""The compiler's own optimizer steps less F, which clones every function for every constant that it is called with: the
reader of certificates has many, and with their clones Enclaves would not fit the chain (EIP-170)."""

SETTINGS: dict[str, Any] = {
    "evmVersion": "cancun",  # OpenZeppelin's Bytes needs MCOPY
    "optimizer": {
        "enabled": True,
        "runs": 1000,
        "details": {"yul": True, "yulDetails": {"stackAllocation": True, "optimizerSteps": STEPS}},
    },
    "viaIR": True,  # the older pipeline runs out of stack, and needs a fifth more code and gas
    "metadata": {"bytecodeHash": "none", "appendCBOR": False},
}
OUTPUT = [
    *("abi", "storageLayout", "evm.bytecode.object"),
    *("evm.deployedBytecode.object", "evm.deployedBytecode.immutableReferences"),
]
IMPORT = re.compile(r'import\s+(?:\{[^}]*\}\s+from\s+)?"([^"]+)"')


def sources(extra: tuple[Path, ...] = ()) -> dict[str, dict[str, str]]:
    """Every source that is needed, by its name: ours relative to the repository, the library's as it is imported."""
    found: dict[str, dict[str, str]] = {}
    pending = [path.relative_to(ROOT).as_posix() for path in (*sorted(SOURCES.rglob("*.sol")), *extra)]
    while pending:
        name = pending.pop()
        if name in found:
            continue
        path = ROOT / "node_modules" / name if name.startswith("@") else ROOT / name
        content = path.read_text(encoding="utf-8")
        found[name] = {"content": content}
        for imported in IMPORT.findall(content):
            pending.append(_resolve(name, imported))
    return dict(sorted(found.items()))


def compile_all(extra: tuple[Path, ...] = ()) -> dict[str, dict[str, Any]]:
    """Artifacts by contract name; `extra` are sources outside contracts/src, all of whose contracts come back too."""
    binary = compiler()
    settings = SETTINGS | {"outputSelection": {"*": {"*": OUTPUT, "": ["ast"]}}}
    request = {"language": "Solidity", "sources": sources(extra), "settings": settings}
    try:
        output = solcx.compile_standard(request, solc_binary=binary)
    except SolcError as error:
        raise SystemExit(f"error: solc refuses the sources\n{_complaints(error)}") from None
    wanted = {_unit(name): [name] for name in NAMES}
    for path in extra:
        unit = path.relative_to(ROOT).as_posix()
        wanted[unit] = sorted(output["contracts"][unit])
    version = str(solcx.wrapper.get_solc_version(binary, with_commit_hash=True))
    names: dict[str, str] = {}
    for source in output["sources"].values():
        names.update(_variables(source["ast"]))
    return {
        name: _artifact(name, output["contracts"][unit][name], names, version)
        for unit in wanted
        for name in wanted[unit]
    }


def compiler() -> Path:
    """A native solc of the right version, else the wrapper around the npm package."""
    native = shutil.which("solc")
    for path in (Path(native) if native else None, _installed()):
        if path is not None and str(solcx.wrapper.get_solc_version(path)) == VERSION:
            return path
    return ROOT / "scripts" / "solc"


def render(value: dict[str, Any]) -> str:
    """The committed form: keys sorted, one line a leaf, a newline at the end."""
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=True) + "\n"


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="compile the contracts into contracts/artifacts")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if an artifact would change")
    arguments = parser.parse_args()
    different = []
    for name, value in compile_all().items():
        path, text = ARTIFACTS / f"{name}.json", render(value)
        size = len(value["deployedBytecode"]) // 2 - 1
        print(f"{name}: {size} bytes deployed")
        if arguments.check:
            if not path.is_file() or path.read_text(encoding="utf-8") != text:
                different.append(name)
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
    if different:
        print(f"error: artifacts differ from the sources: {', '.join(different)}", file=sys.stderr)
    return 1 if different else 0


def _unit(name: str) -> str:
    """The source of a contract, which has its name."""
    (path,) = SOURCES.rglob(f"{name}.sol")
    return path.relative_to(ROOT).as_posix()


def _complaints(error: SolcError) -> str:
    try:
        errors = json.loads(error.stdout_data or "")["errors"]
    except (ValueError, KeyError, TypeError):
        return str(error.stderr_data or error.stdout_data)
    return "\n".join(item["formattedMessage"] for item in errors if item["severity"] == "error")


def _artifact(name: str, output: dict[str, Any], names: dict[str, str], version: str) -> dict[str, Any]:
    places = output["evm"]["deployedBytecode"]["immutableReferences"]
    return {
        "contractName": name,
        "abi": output["abi"],
        "bytecode": "0x" + output["evm"]["bytecode"]["object"],
        "deployedBytecode": "0x" + output["evm"]["deployedBytecode"]["object"],
        "immutables": {
            names[node]: [[place["start"], place["length"]] for place in found] for node, found in places.items()
        },
        "storageLayout": _without_ids(output["storageLayout"]),
        "compiler": {"name": "solc", "version": version, "settings": SETTINGS},
    }


def _variables(node: Any) -> dict[str, str]:
    """Names of all variables by the number of their declaration; immutables are known by that number only."""
    found: dict[str, str] = {}
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        found.update(_variables(child))
    if isinstance(node, dict) and node.get("nodeType") == "VariableDeclaration":
        found[str(node["id"])] = node["name"]
    return found


def _without_ids(layout: dict[str, Any]) -> dict[str, Any]:
    """The compiler numbers its syntax tree; those numbers change with every source that is added."""
    text = json.dumps(layout)
    text = re.sub(r"(t_(?:struct|enum|contract)\([A-Za-z0-9_.]+\))\d+", r"\1", text)
    cleaned: dict[str, Any] = json.loads(re.sub(r'"astId": \d+, ', "", text))
    return cleaned


def _installed() -> Path | None:
    for version in solcx.get_installed_solc_versions():
        if str(version) == VERSION:
            return Path(solcx.install.get_executable(version))
    return None


def _resolve(importer: str, imported: str) -> str:
    if imported.startswith(LIBRARY):
        return imported
    parts: list[str] = importer.split("/")[:-1]
    for part in imported.split("/"):
        if part == "..":
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "/".join(parts)


if __name__ == "__main__":
    sys.exit(main())
