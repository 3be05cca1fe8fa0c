"""Writes the fault library as files, for demos and for other people's verifiers.

Responsible for: one folder for each piece of evidence.
Must not know:   what is in it.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from lab.evidence.certificates import NOW_S
from lab.evidence.faults import FAULTS, LOOK_ALIKE, POLICY, VALID
from lab.evidence.world import GUEST_MEASUREMENT, MEASUREMENT, REPORT_DATA, Plan, time_text
from protocol.attestation.layouts import ReportBody


def write(directory: Path, name: str, plan: Plan, expected: dict[str, object]) -> None:
    """One folder: what a verifier is handed, what it wants, and what it must say."""
    folder = directory / name
    folder.mkdir(parents=True, exist_ok=True)
    evidence = plan.evidence()
    (folder / "quote").write_bytes(evidence.quote)
    (folder / "collateral.json").write_bytes(evidence.collateral)
    (folder / "root.der").write_bytes(evidence.root)
    measurement = MEASUREMENT if isinstance(plan.body, ReportBody) else GUEST_MEASUREMENT
    wanted = {"at": time_text(NOW_S), "report_data": REPORT_DATA.hex(), "measurement": measurement.hex()}
    expected = {**wanted, **expected}
    (folder / "expected.json").write_text(json.dumps(expected, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """All of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    directory = parser.parse_args().directory
    for name, plan in VALID.items():
        write(directory, f"valid/{name}", plan, {"authentic": True, "notices": None})
    for fault in FAULTS:
        is_policy = fault.step == POLICY
        notices = "policy" if is_policy else f"step {fault.step}"
        write(directory, f"faults/{fault.name}", fault.plan, {"authentic": is_policy, "notices": notices})
    write(
        directory, "faults/look-alike-root", LOOK_ALIKE, {"authentic": "only under its own root", "notices": "step 2"}
    )
    counts = f"{len(VALID)} valid, {len(FAULTS) + 1} with one thing wrong"
    print(f"{counts}, in {directory}; simulated, says nothing about hardware")


if __name__ == "__main__":
    main()
