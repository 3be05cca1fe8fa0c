"""Which code an enclave is: every file that it may load, with its SHA-256.

Responsible for: reading the enclave's files, and the manifest from which its measurement follows.
Must not know:   keys, sockets, or which measurements are allowed.

The manifest is RFC 8785 JSON: {profile, entrypoint, python, charter, attributes, distributions, files}; files are
sorted by path, bytewise.  A path begins with what it lies in: `code/` (ours: protocol/ and coordinator/enclave/),
`stdlib/`, `site/` (the distributions that the enclave needs), `interpreter/`.  Only what an interpreter can load is
named: sources and shared objects; byte code is never loaded.  Not measured: the kernel, the C library, and whatever
else the system's linker brings in.

Our own files are kept in memory as they were hashed and staged from there.  The libraries are hashed in place: the
enclave's loader compares every file with the manifest again when it loads it.
"""

from __future__ import annotations

import os
import platform
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from coordinator.enclave.loader import NO_BYTE_CODE
from coordinator.platform.quoting import ENCLAVE_FLAGS, ENCLAVE_XFRM
from protocol import canonical_json
from protocol.attestation.measurement import measure_manifest
from protocol.errors import UnavailableError
from protocol.hashing import sha256

PROFILE = "veriflock-simulated-sgx-2"

DISTRIBUTIONS = ("cbor2", "cffi", "coincurve", "cryptography", "llvmlite", "numpy", "pycparser", "pycryptodome")
"""All that the enclave needs beyond Python; nothing else of the environment is on its path."""

LOADER = "coordinator/enclave/loader.py"
"""The first code that runs in the enclave's process; it loads the rest."""

INTERPRETER_FLAGS = ("-I", "-S", "-B", "-X", f"pycache_prefix={NO_BYTE_CODE}")
"""Isolated from environment and user, without site-packages and its start-up hooks, without byte code."""

_CODE = ("protocol", "coordinator/enclave")
_PARENT_PACKAGES = ("coordinator/__init__.py",)
"""Executed on the way to the enclave's package."""
_SKIPPED_DIRECTORIES = frozenset({"__pycache__", "site-packages", "dist-packages"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """One distribution as it is installed."""

    name: str
    version: str
    site: Path
    """The directory that is on a normal interpreter's path."""
    entries: tuple[str, ...]
    """Its packages and modules in there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnclaveImage:
    """What the platform would start, and its measurement."""

    manifest: bytes
    """RFC 8785 JSON."""
    measurement: bytes
    """MRENCLAVE; 32 bytes."""
    code: tuple[tuple[str, bytes], ...]
    """Our own files, path and content."""
    distributions: tuple[Installed, ...]


def build_image(charter: bytes, *, source: Path) -> EnclaveImage:
    """Reads every file of the enclave and measures it.

    charter: the federation's parameters as they are hashed; JSON.
    source:  the directory with `protocol/` and `coordinator/`.
    Raises: UnavailableError (a distribution or the code is missing), OSError.
    """
    code = tuple(_read_code(source))
    if not {LOADER, "coordinator/enclave/__main__.py"} <= {path for path, _ in code}:
        raise UnavailableError(f"no enclave's code in {source}", "install veriflock with its coordinator extra")
    distributions = tuple(find_distribution(name) for name in DISTRIBUTIONS)
    files = [_entry(f"code/{path}", content) for path, content in code]
    files += [_entry(f"stdlib/{path}", content) for path, content in _read_tree(stdlib())]
    for distribution in distributions:
        for name in distribution.entries:
            files += [_entry(f"site/{path}", content) for path, content in _read_tree(distribution.site, name)]
    files += [_entry(f"interpreter/{path.name}", path.read_bytes()) for path in interpreter_files()]
    files.sort(key=lambda entry: str(entry["path"]).encode())
    manifest = canonical_json.encode(
        {
            "profile": PROFILE,
            "entrypoint": {"flags": list(INTERPRETER_FLAGS), "file": f"code/{LOADER}"},
            "python": f"{sys.implementation.name}-{platform.python_version()}",
            "charter": sha256(charter).hex(),
            "attributes": {"flags": ENCLAVE_FLAGS, "xfrm": ENCLAVE_XFRM},
            "distributions": [{"name": entry.name, "version": entry.version} for entry in distributions],
            "files": files,
        }
    )
    return EnclaveImage(
        manifest=manifest, measurement=measure_manifest(manifest), code=code, distributions=distributions
    )


def stdlib() -> Path:
    """The standard library's directory."""
    return Path(sysconfig.get_path("stdlib"))


def interpreter_files() -> tuple[Path, ...]:
    """The executable, and libpython where it is a library of its own."""
    files = [Path(sys.executable).resolve()]
    directory, name = sysconfig.get_config_var("LIBDIR"), sysconfig.get_config_var("INSTSONAME")
    if sysconfig.get_config_var("Py_ENABLE_SHARED") and directory and name and (Path(directory) / name).is_file():
        files.append((Path(directory) / name).resolve())
    return tuple(files)


def find_distribution(name: str) -> Installed:
    """Where a distribution is.  Raises UnavailableError."""
    try:
        found = metadata.distribution(name)
    except metadata.PackageNotFoundError as error:
        raise UnavailableError(f"package {name} is not installed", f"pip install {name}") from error
    tops = {file.parts[0] for file in found.files or ()}
    entries = sorted(top for top in tops if top not in ("..", "__pycache__") and not top.endswith(".dist-info"))
    if not entries:
        raise UnavailableError(f"package {name} has no list of its files", f"pip install --force-reinstall {name}")
    return Installed(name=name, version=found.version, site=Path(str(found.locate_file(""))), entries=tuple(entries))


def _read_code(source: Path) -> Iterator[tuple[str, bytes]]:
    """Our own files, by path."""
    for path in _PARENT_PACKAGES:
        yield path, (source / path).read_bytes()
    for top in _CODE:
        for path, content in _read_tree(source, top):
            if path.endswith(".py"):
                yield path, content


def _read_tree(root: Path, top: str = "") -> Iterator[tuple[str, bytes]]:
    """Path (relative to root, with slashes) and content of every loadable file in or at `top`."""
    if (root / top).is_file():
        yield top, (root / top).read_bytes()
        return
    for directory, names, files in os.walk(root / top):
        names[:] = sorted(name for name in names if name not in _SKIPPED_DIRECTORIES)
        for name in sorted(files):
            if name.endswith((".py", ".so", ".dylib")) or ".so." in name:
                path = Path(directory) / name
                yield path.relative_to(root).as_posix(), path.read_bytes()


def _entry(path: str, content: bytes) -> dict[str, str | int]:
    return {"path": path, "sha256": sha256(content).hex(), "size": len(content)}
