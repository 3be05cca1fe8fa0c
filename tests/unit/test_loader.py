"""The enclave's loader: what was not measured does not run, and who changed a file is told which."""

from __future__ import annotations

import importlib.util
import json
import py_compile
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from coordinator.door import Door, EnclaveFaultError
from coordinator.enclave.loader import MeasuredCode, encode_frame, parse_manifest
from coordinator.platform import launch, manifest
from coordinator.platform.keys import PlatformDirectory
from coordinator.platform.launch import EnclaveProcess
from coordinator.platform.manifest import EnclaveImage, Installed, build_image, find_distribution
from coordinator.platform.serve import PlatformServer
from coordinator.platform.sockets import read_frame, write_frame
from protocol import framing
from protocol.hashing import sha256
from tests.unit.platform_world import CHARTER, LAUNCH, WAIT_S, copy_tree, look

REFUSED_STATUS = 3


@dataclass
class Enclave:
    """A telling enclave of this process, and what it says."""

    door: socket.socket
    process: EnclaveProcess

    def refusal(self) -> str:
        """What it tells the host; the platform is told the same, and then it ends."""
        answer = read_frame(self.door, max_bytes=1 << 20)
        assert answer is not None
        assert answer["error"] == "CodeRefused"
        told = read_frame(self.process.control, max_bytes=4096)
        assert told == {"op": "refused", "message": answer["message"]}
        self.door.close()
        assert self.process.reap(WAIT_S) == REFUSED_STATUS
        return str(answer["message"])

    def begin(self) -> None:
        write_frame(self.process.control, LAUNCH | {"epoch": 1, "state_version": 0, "state_hash": bytes(32)})


Starts = Callable[..., Enclave]


@pytest.fixture
def cbor2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of a package with source and a shared object, which the enclave takes instead of the installed one."""
    installed = find_distribution("cbor2")
    site = tmp_path / "site"
    for entry in installed.entries:
        source = installed.site / entry
        shutil.copytree(source, site / entry) if source.is_dir() else shutil.copy(source, site / entry)
    shutil.rmtree(site / "cbor2" / "__pycache__", ignore_errors=True)
    mine = replace(installed, site=site)

    def find(name: str) -> Installed:
        return mine if name == "cbor2" else find_distribution(name)

    monkeypatch.setattr(manifest, "find_distribution", find)
    return site / "cbor2"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return copy_tree(tmp_path / "source")


@pytest.fixture
def starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Starts]:
    """Starts the enclave of an image, after `meddle` had its way with the staged directory."""
    staged = tmp_path / "staged"
    staged.mkdir()
    running: list[Enclave] = []

    def begin(image: EnclaveImage, meddle: Callable[[Path], None] | None = None) -> Enclave:
        stage = launch._stage

        def stage_and_meddle(image: EnclaveImage, directory: Path) -> list[str]:
            arguments = stage(image, directory)
            if meddle is not None:
                meddle(directory)
            return arguments

        with monkeypatch.context() as patch:
            patch.setattr(launch, "_stage", stage_and_meddle)
            ours, theirs = socket.socketpair()
            ours.settimeout(WAIT_S)
            with theirs:
                enclave = Enclave(ours, EnclaveProcess(image, theirs, staged))
        enclave.process.control.settimeout(WAIT_S)
        running.append(enclave)
        return enclave

    yield begin
    for enclave in running:
        enclave.door.close()
        enclave.process.kill()
        enclave.process.reap(WAIT_S)


def flip(path: Path) -> str:
    """Changes the last byte; SHA-256 of what is there now."""
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.chmod(0o600)
    path.write_bytes(content)
    return sha256(bytes(content)).hex()


def hash_in(image: EnclaveImage, path: str) -> str:
    return next(str(entry["sha256"]) for entry in json.loads(image.manifest)["files"] if entry["path"] == path)


# Between measuring and loading


def test_a_changed_byte_of_a_librarys_source_is_refused_and_named(source: Path, cbor2: Path, starts: Starts) -> None:
    image = build_image(CHARTER, source=source)
    expected, actual = hash_in(image, "site/cbor2/__init__.py"), flip(cbor2 / "__init__.py")
    refusal = starts(image).refusal()
    assert refusal == (
        f"site/cbor2/__init__.py is not what was measured: expected sha256 {expected}, got sha256 {actual}"
    )


def test_a_changed_byte_of_a_shared_object_is_refused_and_named(source: Path, cbor2: Path, starts: Starts) -> None:
    [shared] = [path for path in cbor2.iterdir() if path.suffix == ".so"]
    image = build_image(CHARTER, source=source)
    flip(shared)
    assert starts(image).refusal().startswith(f"site/cbor2/{shared.name} is not what was measured")


@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("code/protocol/framing.py", "code/protocol/framing.py"),
        ("code/coordinator/enclave/__main__.py", "code/coordinator/enclave/__main__.py"),
        ("code/coordinator/enclave/protections.py", "code/coordinator/enclave/protections.py"),
        ("manifest.json", "the manifest"),
    ],
)
def test_a_changed_byte_of_what_is_staged_is_refused_and_named(
    source: Path, starts: Starts, name: str, named: str
) -> None:
    def meddle(staged: Path) -> None:
        flip(staged / name)

    refusal = starts(build_image(CHARTER, source=source), meddle).refusal()
    assert refusal.startswith(f"{named} is not what was measured: expected sha256")


@pytest.mark.parametrize(
    ("size", "got"),
    [(1, "more"), (-1, "bytes"), (None, "No such file or directory")],
    ids=["longer", "shorter", "gone"],
)
def test_a_file_of_another_size_or_none_is_refused(
    source: Path, cbor2: Path, starts: Starts, size: int | None, got: str
) -> None:
    image = build_image(CHARTER, source=source)
    file = cbor2 / "__init__.py"
    content = file.read_bytes()
    file.unlink()
    if size is not None:
        file.write_bytes((content + b"\n")[: len(content) + size])
    refusal = starts(image).refusal()
    assert refusal.startswith("site/cbor2/__init__.py is not what was measured")
    assert got in refusal.rpartition("got ")[2]


def test_code_that_is_loaded_late_is_compared_late(source: Path, cbor2: Path, starts: Starts) -> None:
    image = build_image(CHARTER, source=source)
    enclave = starts(image)
    enclave.begin()
    assert look(enclave.door)["importable"] == []
    flip(cbor2 / "tool.py")
    write_frame(enclave.door, {"op": "import", "module": "cbor2.tool"})
    assert enclave.refusal().startswith("site/cbor2/tool.py is not what was measured")


def test_the_platforms_log_and_the_hosts_error_name_the_file(
    tmp_path: Path, source: Path, cbor2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = launch._stage

    def stage_and_meddle(image: EnclaveImage, directory: Path) -> list[str]:
        flip(cbor2 / "__init__.py")
        return stage(image, directory)

    monkeypatch.setattr(launch, "_stage", stage_and_meddle)
    lines: list[str] = []
    directory = PlatformDirectory(tmp_path / "platform")
    server = PlatformServer(directory, tmp_path / "s", source=source, clock=lambda: 1_760_000_000, log=lines.append)
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        door = Door(tmp_path / "s", LAUNCH, timeout_s=WAIT_S, store=lambda name, blob: None)
        with pytest.raises(EnclaveFaultError, match=r"CodeRefused: site/cbor2/__init__\.py is not what was measured"):
            door.start({})
        door.close()
    finally:
        server.stop()
        thread.join(WAIT_S)
    assert [line for line in lines if "refused to go on: site/cbor2/__init__.py is not what was measured" in line]


# What lies beside the measured files


def plant_byte_code(directory: Path) -> None:
    """For every module of ours byte code that Python would take without looking at the source."""
    planted = directory / "planted"
    planted.write_text("raise SystemExit('planted')\n")
    unchecked = py_compile.PycInvalidationMode.UNCHECKED_HASH
    for file in directory.glob("code/**/*.py"):
        cached = importlib.util.cache_from_source(str(file))
        py_compile.compile(str(planted), cached, doraise=True, invalidation_mode=unchecked)


def plant_modules(directory: Path) -> None:
    """Modules that nobody named, among them those that Python runs or prefers unasked."""
    for place in ("code", "code/protocol", "site", "."):
        for name in ("sitecustomize", "usercustomize", "unnamed", "numpy", "json", "_sha256"):
            (directory / place / f"{name}.py").write_text("raise SystemExit('planted')\n")
    (directory / "code" / "protocol" / "hashing").mkdir()
    (directory / "code" / "protocol" / "hashing" / "__init__.py").write_text("raise SystemExit('planted')\n")


@pytest.mark.parametrize("plant", [plant_byte_code, plant_modules])
def test_what_the_manifest_does_not_name_has_no_effect(
    source: Path, starts: Starts, plant: Callable[[Path], None]
) -> None:
    enclave = starts(build_image(CHARTER, source=source), plant)
    enclave.begin()
    seen = look(enclave.door, "unnamed", "protocol.unnamed", "sitecustomize", "numpy", "json", "protocol.hashing")
    assert seen["importable"] == ["numpy", "json", "protocol.hashing"]


def test_the_platforms_environment_has_no_effect(
    tmp_path: Path, source: Path, starts: Starts, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted = tmp_path / "planted"
    planted.mkdir()
    for name in ("sitecustomize", "unnamed", "protocol"):
        (planted / f"{name}.py").write_text("raise SystemExit('planted')\n")
    for name in (
        "PYTHONPATH",
        "PYTHONHOME",
        "PYTHONSTARTUP",
        "PYTHONPYCACHEPREFIX",
        "PYTHONUSERBASE",
        "LD_LIBRARY_PATH",
    ):
        monkeypatch.setenv(name, str(planted))
    for name in ("PYTHONINSPECT", "PYTHONDONTWRITEBYTECODE", "PYTHONDEVMODE"):
        monkeypatch.setenv(name, "1")
    enclave = starts(build_image(CHARTER, source=source))
    enclave.begin()
    seen = look(enclave.door, "unnamed", "sitecustomize")
    assert (seen["environment"], seen["path"], seen["importable"]) == ([], [], [])


# The parts


def test_the_loader_reads_the_manifest_as_json_does(source: Path) -> None:
    image = build_image(CHARTER, source=source)
    expected = {str(e["path"]): (str(e["sha256"]), int(e["size"])) for e in json.loads(image.manifest)["files"]}
    assert parse_manifest(image.manifest) == expected


@pytest.mark.parametrize(
    "files",
    ['[{"path":"a","sha256":"00","size":1}]', '[{"sha256":"' + "0" * 64 + '","size":1}]', "[]", '[{"path":"a\\\\n"}]'],
)
def test_a_manifest_that_is_none_is_refused(files: str) -> None:
    with pytest.raises(ValueError, match="an entry that is none"):
        parse_manifest(f'{{"files":{files},"profile":""}}'.encode())


class Refused(Exception):
    pass


def code_of(tmp_path: Path, *paths: str) -> MeasuredCode:
    def refuse(path: str, expected: str, actual: str) -> Any:
        raise Refused(f"{path}: {actual}")

    files = {}
    for path in paths:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(path)
        files[path] = (sha256(path.encode()).hex(), len(path))
    places = {top: str(tmp_path / top) for top in ("code", "stdlib", "site")}
    return MeasuredCode(files, places, lambda data: sha256(data).hex(), refuse)


def test_ours_come_first_and_a_package_before_a_module(tmp_path: Path) -> None:
    code = code_of(
        tmp_path, "site/x.py", "stdlib/x.py", "code/x.py", "site/y.py", "site/y/__init__.py", "site/y/z.abi3.so"
    )
    assert [code.find(name) for name in ("x", "y", "y.z")] == ["code/x.py", "site/y/__init__.py", "site/y/z.abi3.so"]
    assert [code.find(name) for name in ("x.z", "z", "y.z.a", "")] == [None] * 4


def test_a_shared_object_that_was_put_in_the_hashed_ones_place_is_refused(tmp_path: Path) -> None:
    code = code_of(tmp_path, "site/p/a.so")
    code.check("site/p/a.so")
    file = tmp_path / "site" / "p" / "a.so"
    content = file.read_bytes()
    file.unlink()
    file.write_bytes(b"hostile")
    file.write_bytes(content)  # back again when it was loaded
    with pytest.raises(Refused, match="with other times"):
        code.check_unchanged("site/p/a.so")


def test_what_a_package_brings_along_is_hashed_with_its_first_module(tmp_path: Path) -> None:
    for changed in ("site/p/deep/a.so", "site/q.libs/libblas.so.3"):
        code = code_of(tmp_path, "site/p/__init__.py", "site/p/deep/a.so", "site/q.libs/libblas.so.3", "site/r/b.so")
        (tmp_path / changed).write_text("x")
        with pytest.raises(Refused, match=changed):
            code.check_top("site/p/__init__.py")


def test_what_is_mapped_of_our_directories_is_named_and_hashed(tmp_path: Path) -> None:
    code = code_of(tmp_path, "site/p/a.so", "stdlib/b.so")
    code.check_mapped([str(tmp_path / "site/p/a.so"), "/usr/lib/libc.so.6"])
    for mapped in ("site/p/unnamed.so", "site/p/a.so (deleted)", "stdlib/lib-dynload/evil.so", "site/evil.so"):
        with pytest.raises(Refused, match="none"):
            code.check_mapped([str(tmp_path / mapped)])
    (tmp_path / "stdlib/b.so").write_text("x")
    with pytest.raises(Refused, match=r"stdlib/b\.so"):
        code.check_mapped([str(tmp_path / "stdlib/b.so")])


@pytest.mark.parametrize("length", [0, 23, 24, 255, 256, 2000])
def test_the_loaders_frame_is_a_frame(length: int) -> None:
    frame = encode_frame(("op", "refused"), ("message", "é" + "x" * length))
    body = frame[framing.HEADER_BYTES :]
    assert framing.parse_header(frame[: framing.HEADER_BYTES]) == len(body)
    assert framing.parse_body(body) == {"op": "refused", "message": "é" + "x" * length}
