"""`veriflock measure`: the number that a platform will state, and what makes another number another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from coordinator.platform import manifest as manifests
from coordinator.platform.compare import compare_manifests
from coordinator.platform.manifest import Installed, build_image
from coordinator.platform.measure_cli import measure
from protocol import canonical_json
from protocol.attestation.measurement import measure_manifest, measure_td
from protocol.errors import EncodingError, LengthError
from tests.unit.platform_world import CHARTER, copy_tree


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree to measure, with a standard library and an interpreter of a few bytes: the real ones have 150 MB."""
    library = tmp_path / "libraries"
    (library / "site").mkdir(parents=True)
    (library / "os.py").write_text("os")
    (library / "site" / "numpy.py").write_text("numpy")
    numpy = Installed(name="numpy", version="2", site=library / "site", entries=("numpy.py",))
    monkeypatch.setattr(manifests, "stdlib", lambda: library)
    monkeypatch.setattr(manifests, "interpreter_files", lambda: (library / "os.py",))
    monkeypatch.setattr(manifests, "find_distribution", lambda name: numpy)
    monkeypatch.setattr(manifests, "DISTRIBUTIONS", ("numpy",))
    (tmp_path / "federation.json").write_bytes(CHARTER)
    return copy_tree(tmp_path / "source")


def run(source: Path, *more: str | Path) -> tuple[int, list[str]]:
    """Exit code and lines."""
    app = typer.Typer()
    app.command()(measure)
    arguments = ["--charter", str(source.parent / "federation.json"), "--source", str(source), *map(str, more)]
    result = CliRunner().invoke(app, arguments)
    return result.exit_code, result.output.splitlines()


def test_it_prints_what_an_enclave_will_have_and_writes_its_manifest(source: Path) -> None:
    path = source.parent / "manifest.json"
    image = build_image(CHARTER, source=source)
    assert run(source, "--manifest", path) == (0, [image.measurement.hex()])
    assert path.read_bytes() == image.manifest
    assert measure_manifest(image.manifest) == image.measurement


def test_it_prints_what_a_trust_domain_will_have(source: Path) -> None:
    image = build_image(CHARTER, source=source)
    assert run(source, "--platform", "tdx") == (0, [measure_td(image.manifest).hex()])


def test_the_same_tree_has_no_difference(source: Path) -> None:
    path = source.parent / "manifest.json"
    path.write_bytes(build_image(CHARTER, source=source).manifest)
    code, lines = run(source, "--diff", path)
    assert (code, len(lines)) == (0, 1)


def test_it_names_the_files_that_make_another_measurement(source: Path) -> None:
    path = source.parent / "manifest.json"
    before = build_image(CHARTER, source=source)
    path.write_bytes(before.manifest)
    (source / "protocol" / "hashing.py").write_text("pass\n")
    (source / "protocol" / "more.py").write_text("")
    (source / "protocol" / "framing.py").unlink()
    code, lines = run(source, "--diff", path)
    assert code == 1
    assert lines[0] == build_image(CHARTER, source=source).measurement.hex()
    assert lines[-1] == f"theirs has {before.measurement.hex()}"
    assert [line.split(": ours")[0] for line in lines[1:-1]] == [
        "only theirs: code/protocol/framing.py",
        "differs: code/protocol/hashing.py",
        "only ours: code/protocol/more.py",
    ]


def changed(manifest: bytes, **changes: Any) -> bytes:
    return canonical_json.encode(json.loads(manifest) | changes)


def test_other_parts_than_files_are_named_too(source: Path) -> None:
    ours = build_image(CHARTER, source=source).manifest
    theirs = changed(ours, python="cpython-4.0.0", more=[])
    assert compare_manifests(ours, theirs) == [
        "more: ours nothing, theirs []",
        f'python: ours "{json.loads(ours)["python"]}", theirs "cpython-4.0.0"',
    ]


ENTRY = {"path": "a", "sha256": "00", "size": 1}


@pytest.mark.parametrize(
    ("theirs", "match"),
    [
        (b"{", "a JSON text"),
        (b"[]", "a manifest: expected a map"),
        (b"{}", "files of a manifest"),
        (b'{"files":[1]}', "a file of a manifest"),
        (canonical_json.encode({"files": [ENTRY, ENTRY]}), "a file of a manifest"),
        (canonical_json.encode({"files": [ENTRY | {"path": 1}]}), "a file of a manifest"),
    ],
)
def test_what_is_no_manifest_is_refused(theirs: bytes, match: str) -> None:
    with pytest.raises(EncodingError, match=match):
        compare_manifests(canonical_json.encode({"files": []}), theirs)


def test_a_charter_that_is_too_long_is_refused_unread(source: Path) -> None:
    (source.parent / "federation.json").write_bytes(CHARTER + b" " * (1 << 24))
    app = typer.Typer()
    app.command()(measure)
    arguments = ["--charter", str(source.parent / "federation.json"), "--source", str(source)]
    result = CliRunner().invoke(app, arguments)
    assert isinstance(result.exception, LengthError)
