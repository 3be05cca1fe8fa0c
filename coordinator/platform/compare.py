"""What differs between two manifests, in lines for people.

Responsible for: naming every file, and every other part, that makes one measurement another.
Must not know:   how a manifest comes about, and which of the two is right.
"""

from __future__ import annotations

from typing import Any

from protocol import canonical_json
from protocol.attestation.measurement import MAX_MANIFEST_BYTES
from protocol.errors import EncodingError

FILES = "files"


def compare_manifests(ours: bytes, theirs: bytes) -> list[str]:
    """One line for each difference, files last and by path; none where the measurements are equal.

    Raises: MalformedError (one of them is no manifest).
    """
    mine, other = _parse(ours), _parse(theirs)
    lines = [
        f"{name}: ours {_show(mine.get(name))}, theirs {_show(other.get(name))}"
        for name in sorted({*mine, *other} - {FILES})
        if mine.get(name) != other.get(name)
    ]
    here, there = _files(mine), _files(other)
    for path in sorted({*here, *there}, key=str.encode):
        if path not in there:
            lines.append(f"only ours: {path}")
        elif path not in here:
            lines.append(f"only theirs: {path}")
        elif here[path] != there[path]:
            lines.append(f"differs: {path}: ours {_show(here[path])}, theirs {_show(there[path])}")
    return lines


def _parse(manifest: bytes) -> dict[str, Any]:
    value = canonical_json.decode(manifest, max_bytes=MAX_MANIFEST_BYTES)
    if not isinstance(value, dict):
        raise EncodingError("a manifest", expected="a map", actual=type(value).__name__)
    return value


def _files(manifest: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What is said of each file, by its path."""
    entries = manifest.get(FILES)
    if not isinstance(entries, list):
        raise EncodingError("files of a manifest", expected="a list", actual=type(entries).__name__)
    files: dict[str, dict[str, Any]] = {}
    for entry in entries:
        path = entry.get("path") if isinstance(entry, dict) else None
        if not isinstance(path, str) or path in files:
            raise EncodingError("a file of a manifest", expected="a map with a path of its own", actual=entry)
        files[path] = {name: value for name, value in entry.items() if name != "path"}
    return files


def _show(value: object) -> str:
    """A part as it is in the manifest, cut where it is long."""
    text = "nothing" if value is None else canonical_json.encode(value).decode()
    return text if len(text) <= 200 else text[:200] + "..."
