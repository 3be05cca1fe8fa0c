"""What the simulated platform reads and keeps: the tree that it measures, its keys, its socket."""

from __future__ import annotations

import json
import shutil
import socket
from pathlib import Path

import pytest

from coordinator.platform import manifest
from coordinator.platform.keys import PlatformDirectory
from coordinator.platform.launch import EnclaveProcess
from coordinator.platform.manifest import DISTRIBUTIONS, Installed, build_image, find_distribution
from coordinator.platform.serve import listen
from coordinator.platform.sockets import read_frame, write_frame
from protocol import canonical_json
from protocol.errors import LengthError, UnavailableError
from protocol.hashing import sha256
from tests.unit.platform_world import CHARTER, LAUNCH, WAIT_S, copy_tree, look

# Measurement of a tree


@pytest.fixture
def libraries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A standard library, a site and an interpreter of a few bytes: the real ones have 150 MB."""
    base = tmp_path / "libraries"
    files = (
        "stdlib/os.py",
        "stdlib/lib-dynload/math.so",
        "site/numpy/core.py",
        "site/numpy.libs/libblas.so.3",
        "python",
    )
    for name in files:
        (base / name).parent.mkdir(parents=True, exist_ok=True)
        (base / name).write_text(name)
    numpy = Installed(name="numpy", version="2", site=base / "site", entries=("numpy", "numpy.libs"))
    monkeypatch.setattr(manifest, "stdlib", lambda: base / "stdlib")
    monkeypatch.setattr(manifest, "interpreter_files", lambda: (base / "python",))
    monkeypatch.setattr(manifest, "find_distribution", lambda name: numpy)
    monkeypatch.setattr(manifest, "DISTRIBUTIONS", ("numpy",))
    return base


def test_the_manifest_of_a_tree_names_its_files(tmp_path: Path, libraries: Path) -> None:
    image = build_image(CHARTER, source=copy_tree(tmp_path / "source"))
    paths = [entry["path"] for entry in json.loads(image.manifest)["files"]]
    assert [path for path in paths if not path.startswith("code/protocol/")] == [
        "code/coordinator/__init__.py",
        "code/coordinator/enclave/__init__.py",
        "code/coordinator/enclave/__main__.py",
        "code/coordinator/enclave/loader.py",
        "code/coordinator/enclave/protections.py",
        "code/coordinator/enclave/syscall_filter.py",
        "interpreter/python",
        "site/numpy.libs/libblas.so.3",
        "site/numpy/core.py",
        "stdlib/lib-dynload/math.so",
        "stdlib/os.py",
    ]
    assert {f"code/{path}" for path, _ in image.code} == {path for path in paths if path.startswith("code/")}


@pytest.mark.parametrize(
    "name",
    [
        "source/protocol/hashing.py",
        "source/protocol/attestation/verify.py",
        "source/coordinator/__init__.py",
        "source/coordinator/enclave/__main__.py",
        "libraries/stdlib/os.py",
        "libraries/stdlib/lib-dynload/math.so",
        "libraries/site/numpy/core.py",
        "libraries/site/numpy.libs/libblas.so.3",
        "libraries/python",
    ],
)
def test_one_changed_byte_of_any_file_changes_the_measurement(tmp_path: Path, libraries: Path, name: str) -> None:
    source = copy_tree(tmp_path / "source")
    before = build_image(CHARTER, source=source)
    content = bytearray((tmp_path / name).read_bytes())
    content[-1] ^= 1
    (tmp_path / name).write_bytes(content)
    after = build_image(CHARTER, source=source)
    assert after.measurement != before.measurement
    assert len(after.manifest) == len(before.manifest)


def test_a_file_more_or_under_another_name_or_another_charter_changes_the_measurement(
    tmp_path: Path, libraries: Path
) -> None:
    source = copy_tree(tmp_path / "source")
    seen = {build_image(CHARTER, source=source).measurement}
    assert build_image(CHARTER, source=source).measurement in seen
    (source / "protocol" / "more.py").write_text("")
    seen.add(build_image(CHARTER, source=source).measurement)
    (source / "protocol" / "more.py").rename(source / "protocol" / "most.py")
    seen.add(build_image(CHARTER, source=source).measurement)
    seen.add(build_image(CHARTER + b" ", source=source).measurement)
    (libraries / "stdlib" / "zipimport.py").write_text("")
    seen.add(build_image(CHARTER, source=source).measurement)
    assert len(seen) == 5


def test_where_a_tree_lies_does_not_change_the_measurement(tmp_path: Path, libraries: Path) -> None:
    here, there = copy_tree(tmp_path / "here"), copy_tree(tmp_path / "there")
    assert build_image(CHARTER, source=here).manifest == build_image(CHARTER, source=there).manifest


def test_what_an_enclave_cant_load_does_not_change_the_measurement(tmp_path: Path, libraries: Path) -> None:
    source = copy_tree(tmp_path / "source")
    before = build_image(CHARTER, source=source).measurement
    (source / "protocol" / "__pycache__").mkdir()
    (source / "protocol" / "__pycache__" / "hashing.cpython-311.pyc").write_bytes(b"x")
    (source / "protocol" / "notes.txt").write_text("x")
    (libraries / "stdlib" / "site-packages").mkdir()
    (libraries / "stdlib" / "site-packages" / "evil.py").write_text("x")
    (libraries / "site" / "unnamed.py").write_text("x")
    (source / "verifier").mkdir()
    (source / "verifier" / "__init__.py").write_text("x")
    assert build_image(CHARTER, source=source).measurement == before


def test_the_manifest_names_everything_once_and_in_order(tmp_path: Path) -> None:
    source = copy_tree(tmp_path / "source")
    image = build_image(CHARTER, source=source)
    parsed = json.loads(image.manifest)
    assert canonical_json.encode(parsed) == image.manifest
    paths = [entry["path"] for entry in parsed["files"]]
    assert paths == sorted(set(paths), key=str.encode)
    assert {path.split("/")[0] for path in paths} == {"code", "interpreter", "site", "stdlib"}
    assert not any("__pycache__" in path or path.endswith(".pyc") for path in paths)
    assert [entry["name"] for entry in parsed["distributions"]] == list(DISTRIBUTIONS)
    assert parsed["charter"] == sha256(CHARTER).hex()
    for name in ("stdlib/os.py", "site/numpy/__init__.py", "code/protocol/hashing.py", "code/coordinator/__init__.py"):
        assert name in paths
    entry = next(entry for entry in parsed["files"] if entry["path"] == "code/protocol/hashing.py")
    content = (source / "protocol" / "hashing.py").read_bytes()
    assert entry == {"path": "code/protocol/hashing.py", "sha256": sha256(content).hex(), "size": len(content)}


def test_an_enclave_runs_what_was_measured_whatever_happens_to_the_tree(tmp_path: Path) -> None:
    source, staged = copy_tree(tmp_path / "source"), tmp_path / "staged"
    staged.mkdir()
    image = build_image(CHARTER, source=source)
    shutil.rmtree(source)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(WAIT_S)
        enclave = EnclaveProcess(image, theirs, staged)
        theirs.close()
        write_frame(enclave.control, LAUNCH | {"epoch": 1, "state_version": 0, "state_hash": bytes(32)})
        assert look(ours)["pid"] == enclave.pid
        ours.close()
        assert enclave.reap(WAIT_S) == 0
    assert list(staged.iterdir()) == []


# Keys and sockets


def test_damaged_keys_are_named(tmp_path: Path) -> None:
    directory = PlatformDirectory(tmp_path / "dir")
    try:
        directory.keys(1_760_000_000)
        path = tmp_path / "dir" / "keys.cbor"
        path.write_bytes(path.read_bytes()[:-1])
        with pytest.raises(UnavailableError, match=r"keys\.cbor is damaged"):
            directory.keys(1_760_000_000)
    finally:
        directory.close()


def test_a_socket_path_that_cant_be_is_refused(tmp_path: Path) -> None:
    taken = tmp_path / "file"
    taken.write_text("not a socket")
    with pytest.raises(UnavailableError, match="is there and is no socket"):
        listen(taken)
    assert taken.read_text() == "not a socket"
    with pytest.raises(UnavailableError, match="use one of at most 107 bytes"):
        listen(tmp_path / ("x" * 120))


@pytest.mark.parametrize("missing", ["__main__.py", "loader.py"])
def test_a_tree_without_an_enclave_is_refused(tmp_path: Path, missing: str) -> None:
    source = copy_tree(tmp_path / "source")
    (source / "coordinator" / "enclave" / missing).unlink()
    with pytest.raises(UnavailableError, match="no enclave's code"):
        build_image(CHARTER, source=source)
    with pytest.raises(UnavailableError, match="package no-such-package is not installed"):
        find_distribution("no-such-package")


def test_a_frame_that_ends_early_is_refused() -> None:
    left, right = socket.socketpair()
    with left, right:
        right.sendall(b"\0\0\0\x05\xa1")
        right.shutdown(socket.SHUT_WR)
        with pytest.raises(LengthError, match="ended early"):
            read_frame(left, max_bytes=100)
        left.sendall(b"\0\0\0\x65")
        with pytest.raises(LengthError, match="at most 100"):
            read_frame(right, max_bytes=100)
        left.shutdown(socket.SHUT_WR)
        assert read_frame(right, max_bytes=100) is None
