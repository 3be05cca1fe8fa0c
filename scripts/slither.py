"""Runs Slither over the contracts and holds what it finds against contracts/slither.toml.

    scripts/slither.py    exit 1 on a finding of high or medium impact that is not explained there, or an explanation
                          of something that is no longer found; needs the package slither-analyzer (`make slither`)

Responsible for: Slither's input (the compiler's, as compile_contracts.py makes it) and the comparison.
Must not know:   whether an explanation is right; that is for who reads it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import tomllib
from collections import defaultdict
from pathlib import Path
from typing import Any

from compile_contracts import LIBRARY, ROOT, SETTINGS, compiler, sources

EXPLAINED = ROOT / "contracts" / "slither.toml"
SLITHER = ROOT / "build" / "slither" / "bin" / "slither"
"""In an environment of its own, which must not be on the path: it brings a `solc` that downloads compilers."""
TIMEOUT_S = 1200
IMPACTS = ("High", "Medium")
WANTED = ("abi", "evm.bytecode", "evm.deployedBytecode", "evm.methodIdentifiers", "userdoc", "devdoc")


def find() -> list[dict[str, Any]]:
    """What Slither finds in sources of ours and of the library."""
    request = {
        "language": "Solidity",
        "sources": sources(),
        "settings": SETTINGS | {"outputSelection": {"*": {"*": list(WANTED), "": ["ast"]}}},
    }
    with tempfile.TemporaryDirectory(prefix="veriflock-slither-") as name:
        folder = Path(name)
        for source, value in request["sources"].items():  # Slither opens them by name to quote lines
            path = folder / source
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(value["content"], encoding="utf-8")
        (folder / "input.json").write_text(json.dumps(request), encoding="utf-8")
        command = [str(SLITHER), "input.json", "--compile-force-framework", "solc-json", "--solc", str(compiler())]
        command += ["--json", "found.json", "--disable-color"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
        if not (folder / "found.json").is_file():
            raise SystemExit(f"error: slither found nothing to say\n{done.stderr[-2000:]}")
        answer = json.loads((folder / "found.json").read_text(encoding="utf-8"))
    if not answer["success"]:
        raise SystemExit(f"error: slither failed: {answer['error']}")
    found: list[dict[str, Any]] = answer["results"].get("detectors", [])
    return found


def place_of(finding: dict[str, Any]) -> str:
    """Where it was found: `Contract.function`, or a variable's function with its name."""
    element = finding["elements"][0]
    parent = element.get("type_specific_fields", {}).get("parent", {})
    if element["type"] in ("function", "contract"):
        owner = parent.get("name", "")
        return f"{owner}.{element['name']}" if owner else str(element["name"])
    owner = parent.get("type_specific_fields", {}).get("parent", {}).get("name", "")
    return f"{owner}.{parent.get('name', '')}"


def main() -> int:
    """The command line."""
    argparse.ArgumentParser(description="run Slither, compare with contracts/slither.toml").parse_args()
    if not SLITHER.is_file():
        print(f"error: no {SLITHER.relative_to(ROOT)}; `make slither` installs it", file=sys.stderr)
        return 2
    explained: dict[str, dict[str, str]] = tomllib.loads(EXPLAINED.read_text(encoding="utf-8"))
    library = explained.pop("library")
    seen: dict[str, set[str]] = defaultdict(set)
    unexplained = []
    counts: dict[str, int] = defaultdict(int)
    for finding in find():
        counts[finding["impact"]] += 1
        if finding["impact"] not in IMPACTS:
            continue
        detector, place = str(finding["check"]), place_of(finding)
        files = {str(item["source_mapping"]["filename_relative"]) for item in finding["elements"]}
        if all(name.startswith(LIBRARY) for name in files):
            place, known = detector, library
            seen["library"].add(detector)
        else:
            known = explained.get(detector, {})
            seen[detector].add(place)
        if place not in known:
            unexplained.append(f"{finding['impact']} {detector} at {place}: {finding['description'].splitlines()[0]}")
    explained["library"] = library
    stale = [f"{d}: {p}" for d, places in explained.items() for p in places if p not in seen[d]]
    for line in unexplained:
        print(f"error: not explained in {EXPLAINED.name}: {line}", file=sys.stderr)
    for line in stale:
        print(f"error: explained in {EXPLAINED.name} and not found any more: {line}", file=sys.stderr)
    total = sum(len(places) for places in seen.values())
    print(f"slither: {dict(counts)}; {total} places of high or medium impact, {len(unexplained)} unexplained")
    return 1 if unexplained or stale else 0


if __name__ == "__main__":
    sys.exit(main())
