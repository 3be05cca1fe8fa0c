"""The first code that runs in an enclave's process: nothing is loaded but the bytes that were measured.

Responsible for: finding modules by the manifest, comparing each file with its hash, compiling those very bytes, and
                 ending the process where a file is not the one that was measured.
Must not know:   what the modules do.

The platform hands this source to the interpreter (`python -c`), with the manifest's path and SHA-256 as arguments.
Until `install` it imports only what is inside the interpreter.  A few files run before they are compared, because
nothing could compare them earlier: the interpreter and its library, its `encodings`, the shared object of its SHA-256.

There is no byte code: Python is told to look for it where nothing can be.  A shared object is hashed, loaded by the
system's linker, and must then still be the same file with the same times.  What the linker brings in from the system
(the C library) is not in the manifest and not measured.

Spec: docs/protocol.md section 4.3.
"""

from __future__ import annotations

import _frozen_importlib
import _imp
import _signal  # type: ignore[import-not-found]
import os
import sys

TYPE_CHECKING = False  # `typing` is a file, and no file is read before the finder is there
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import CodeType, ModuleType
    from typing import NoReturn

    Refuse = Callable[[str, str, str], NoReturn]

DOOR_FD, PLATFORM_FD = 3, 4
CODE, STDLIB, SITE, INTERPRETER = "code", "stdlib", "site", "interpreter"
"""What a path in the manifest begins with."""

NO_BYTE_CODE = "/dev/null"
"""Where byte code is looked for (`-X pycache_prefix`): beneath a device there is no file."""

REFUSED_STATUS = 3
MAX_TEXT = 2000
GOODBYE_S = 10
"""For the host to read why, before the process ends."""

_TOPS = (f"{CODE}/", f"{STDLIB}/", f"{STDLIB}/lib-dynload/", f"{SITE}/")
"""Where modules are looked for, in this order."""
_PACKAGE = "/__init__.py"
_SHARED_OBJECTS = (".so", ".dylib")


def parse_manifest(data: bytes) -> dict[str, tuple[str, int]]:
    """(SHA-256 in hexadecimal, size) by path, of every file that the manifest names.

    data: RFC 8785 JSON as `coordinator.platform.manifest` writes it.  `json` is a file too, so this takes the text
          apart at the few marks that can't be inside a string: a quotation mark in there has a backslash before it.
    Raises: ValueError.
    """
    body = data.decode().partition('"files":[{"path":"')[2].partition('}],"profile":"')[0]
    files = {}
    for entry in body.split('},{"path":"'):
        path, mark, rest = entry.partition('","sha256":"')
        digest, mark_of_size, size = rest.partition('","size":')
        if not (path and mark and mark_of_size and len(digest) == 64) or "\\" in path or path in files:
            raise ValueError(f"manifest: an entry that is none: {entry[:200]}")
        files[path] = (digest, int(size))
    return files


class MeasuredCode:
    """The files of a manifest and where they lie."""

    def __init__(
        self, files: dict[str, tuple[str, int]], places: dict[str, str], sha256: Callable[[bytes], str], refuse: Refuse
    ) -> None:
        """
        files:  SHA-256 and size by path.
        places: directory of `code`, `stdlib` and `site`; `interpreter/NAME`: path of a file.
        sha256: hexadecimal.
        refuse: told path, what was expected and what was there; does not return.
        """
        self.files = files
        self.refuse = refuse
        self._places = places
        self._sha256 = sha256
        self._times: dict[str, tuple[int, ...]] = {}
        """Of the shared objects that were hashed."""
        self._tops: set[str] = set()
        """Packages whose shared objects were hashed."""

    def place(self, path: str) -> str:
        """Where the file lies."""
        if path in self._places:
            return self._places[path]
        top, _, rest = path.partition("/")
        return f"{self._places[top]}/{rest}"

    def find(self, name: str) -> str | None:
        """The manifest's path of a module; None where it names none, whatever lies there."""
        parent, _, last = name.rpartition(".")
        if parent:
            package = self.find(parent)
            if package is None or not package.endswith(_PACKAGE):
                return None
            tops: tuple[str, ...] = (package.removesuffix("__init__.py"),)
        else:
            tops = _TOPS
        for top in tops:
            for tail in (_PACKAGE, *_imp.extension_suffixes(), ".py"):
                if (path := top + last + tail) in self.files:
                    return path
        return None

    def read(self, path: str) -> bytes:
        """The file's bytes, which are those that were measured."""
        return self._read(path)[0]

    def check_top(self, path: str) -> None:
        """Hashes the shared objects beside the module at `path`, once: a package may hand one to the linker itself, and
        one brings others along, of which the linker does not ask us."""
        top = path.split("/")[1]
        if not path.startswith(f"{SITE}/") or top in self._tops:
            return
        self._tops.add(top)
        for other in self.files:
            directory = other.split("/")[1]
            is_near = directory == top or directory.endswith((".libs", ".dylibs"))
            if is_near and other.startswith(f"{SITE}/") and _is_shared_object(other):
                self.check(other)

    def check(self, path: str) -> None:
        """Hashes a shared object, or sees that it is still the file that was hashed."""
        if path in self._times:
            self.check_unchanged(path)
        else:
            self._times[path] = self._read(path)[1]

    def check_unchanged(self, path: str) -> None:
        """Whether a shared object that was loaded is the file that was hashed."""
        now = _times(os.stat(self.place(path)))  # noqa: PTH116
        if self._times.get(path) != now:
            self.refuse(path, "the file that was hashed", f"one with other times: {now}")

    def check_mapped(self, mapped: Sequence[str]) -> None:
        """Whether what the process has mapped of our directories was hashed.

        mapped: absolute paths.
        """
        named = {os.path.realpath(self.place(path)): path for path in self.files if _is_shared_object(path)}
        directories = {os.path.realpath(self._places[CODE]), os.path.realpath(self._places[STDLIB])}
        for top in {path.split("/")[1] for path in self.files if path.startswith(f"{SITE}/")}:
            directories.add(os.path.realpath(self.place(f"{SITE}/{top}")).rpartition("/")[0])
        for found in mapped:
            if found in named:
                self.check(named[found])
            elif any(found.startswith(f"{directory}/") for directory in directories):
                self.refuse(found, "a file that the manifest names", "none")

    def _read(self, path: str) -> tuple[bytes, tuple[int, ...]]:
        digest, size = self.files[path]
        try:
            with open(self.place(path), "rb") as file:  # noqa: PTH123 (pathlib is a file that this would read)
                content = file.read(size + 1)
                times = _times(os.fstat(file.fileno()))
        except OSError as error:
            self.refuse(path, f"sha256 {digest}", str(error))
        if len(content) != size:
            self.refuse(path, f"{size} bytes", "more" if len(content) > size else f"{len(content)} bytes")
        if (actual := self._sha256(content)) != digest:
            self.refuse(path, f"sha256 {digest}", f"sha256 {actual}")
        return content, times


class Source:
    """Loads a module from its measured source."""

    def __init__(self, code: MeasuredCode, path: str) -> None:
        self._code = code
        self._path = path

    def create_module(self, spec: _frozen_importlib.ModuleSpec) -> ModuleType | None:
        """Python's own way."""
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Runs what was read and compared, not what lies there a moment later."""
        content: CodeType = compile(
            self._code.read(self._path), self._code.place(self._path), "exec", dont_inherit=True
        )
        exec(content, module.__dict__)  # noqa: S102


class SharedObject:
    """Loads a module from a measured shared object."""

    def __init__(self, code: MeasuredCode, path: str) -> None:
        self._code = code
        self._path = path

    def create_module(self, spec: _frozen_importlib.ModuleSpec) -> ModuleType:
        """Hashed before the linker sees it; afterwards the same file."""
        self._code.check(self._path)
        module: ModuleType = _imp.create_dynamic(spec)
        self._code.check_unchanged(self._path)
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Runs its initialisation."""
        _imp.exec_dynamic(module)


class Finder:
    """In the place of Python's path: a module is in the manifest, or there is none."""

    def __init__(self, code: MeasuredCode) -> None:
        self._code = code

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> _frozen_importlib.ModuleSpec | None:
        """The module's spec.  None, and so ModuleNotFoundError with its name, where the manifest does not name it."""
        found = self._code.find(name)
        if found is None:
            return None
        is_package = found.endswith(_PACKAGE)
        self._code.check_top(found)
        loader = SharedObject(self._code, found) if _is_shared_object(found) else Source(self._code, found)
        spec = _frozen_importlib.ModuleSpec(name, loader, origin=self._code.place(found), is_package=is_package)  # type: ignore[arg-type]
        spec.has_location = True  # so that the module has a __file__
        if is_package:
            spec.submodule_search_locations = [self._code.place(found).removesuffix(_PACKAGE)]
        return spec


def install(code: MeasuredCode) -> None:
    """From here on every import is of measured code; what was imported before is checked now."""
    flags = (sys.flags.isolated, sys.flags.no_site, sys.dont_write_bytecode, sys.pycache_prefix)
    if flags != (1, 1, True, NO_BYTE_CODE):
        code.refuse("interpreter", "flags -I -S -B and no byte code", str(flags))
    inside = [
        finder for finder in sys.meta_path if getattr(finder, "__name__", "") in ("BuiltinImporter", "FrozenImporter")
    ]
    sys.meta_path[:] = [*inside, Finder(code)]
    sys.path[:] = []
    sys.path_hooks[:] = []
    sys.path_importer_cache.clear()
    for path in code.files:
        if path.startswith(f"{INTERPRETER}/"):
            code.read(path)
    for name, module in list(sys.modules.items()):
        origin = getattr(getattr(module, "__spec__", None), "origin", None)
        if origin in (None, "built-in", "frozen"):
            continue
        found = code.find(name)
        if found is None or os.path.realpath(code.place(found)) != os.path.realpath(origin):
            code.refuse(origin, "a file that the manifest names", f"module {name}, imported by the interpreter")
        code.read(found)


def mapped_files() -> list[str]:
    """Files that are mapped into this process; none where the system does not say."""
    try:
        with open("/proc/self/maps") as lines:  # noqa: PTH123
            return sorted({line.rstrip("\n").split(None, 5)[5] for line in lines if "/" in line})
    except OSError:
        return []


def refuse(path: str, expected: str, actual: str) -> NoReturn:
    """Tells the platform and the host which file it was, and ends the process: nothing goes on without it."""
    text = f"{path} is not what was measured: expected {expected}, got {actual}"[:MAX_TEXT]
    try:
        os.write(PLATFORM_FD, encode_frame(("op", "refused"), ("message", text)))
        os.write(DOOR_FD, encode_frame(("error", "CodeRefused"), ("message", text)))
        # The host may be about to send its first request: it must find somebody there, or it would not read on.
        _signal.alarm(GOODBYE_S)
        while os.read(DOOR_FD, 1 << 16):
            pass
    except OSError:
        pass
    os._exit(REFUSED_STATUS)


def encode_frame(*pairs: tuple[str, str]) -> bytes:
    """A frame of docs/protocol.md section 9.1 with a map of short texts; keys are given in CBOR's order."""
    body = bytes([0xA0 + len(pairs)]) + b"".join(_text(part) for pair in pairs for part in pair)
    return len(body).to_bytes(4) + body


def _text(value: str) -> bytes:
    data = value.encode()[:0xFFFF]
    if len(data) < 24:
        return bytes([0x60 + len(data)]) + data
    width = 1 if len(data) < 0x100 else 2
    return bytes([0x77 + width]) + len(data).to_bytes(width) + data


def _is_shared_object(path: str) -> bool:
    return path.endswith(_SHARED_OBJECTS) or ".so." in path


def _times(stat: os.stat_result) -> tuple[int, ...]:
    return (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


def _load_sha256(
    files: dict[str, tuple[str, int]], places: dict[str, str]
) -> tuple[Callable[[bytes], str], str | None]:
    """Python's own SHA-256, and the path of its shared object where it has one: loaded unread, checked afterwards."""
    name = "_sha2" if sys.version_info >= (3, 12) else "_sha256"
    path = None
    if name in sys.builtin_module_names:
        module = __import__(name)
    else:
        unread = MeasuredCode(files, places, lambda _: "", refuse)
        path = unread.find(name)
        if path is None:
            refuse(name, "a module that the manifest names", "none")
        module = _imp.create_dynamic(_frozen_importlib.ModuleSpec(name, None, origin=unread.place(path)))
        _imp.exec_dynamic(module)

    def sha256(data: bytes) -> str:
        return str(module.sha256(data).hexdigest())

    return sha256, path


def measured_code(manifest: str, digest: str, places: dict[str, str]) -> MeasuredCode:
    """The code that the platform measured, checked and installed as the only code there is.

    manifest: path of the manifest's copy; digest: its SHA-256 as the platform says; places: as in `MeasuredCode`.
    """
    with open(manifest, "rb") as file:  # noqa: PTH123
        data = file.read()
    files = parse_manifest(data)
    sha256, path = _load_sha256(files, places)
    if (actual := sha256(data)) != digest:
        refuse("the manifest", f"sha256 {digest}", f"sha256 {actual}")
    code = MeasuredCode(files, places, sha256, refuse)
    if path is not None:
        code.check(path)
    install(code)
    return code


def start(arguments: Sequence[str]) -> None:
    """The enclave's process, from its first line on.

    arguments: process id of the platform; descriptors of the door and of the platform's socket; path and SHA-256 of the
               manifest; directories of code, standard library and packages; files of the interpreter.
    """
    parent, door, control, manifest, digest, code, stdlib, site, *interpreter = arguments
    os.dup2(int(door), DOOR_FD, False)
    os.dup2(int(control), PLATFORM_FD, False)
    os.close(int(door))
    os.close(int(control))
    places = {CODE: code, STDLIB: stdlib, SITE: site}
    places |= {f"{INTERPRETER}/{path.rpartition('/')[2]}": path for path in interpreter}
    measured = measured_code(manifest, digest, places)
    measured.check_mapped(mapped_files())
    sys.argv = ["enclave"]
    from coordinator.enclave.protections import protect

    held = protect(int(parent))
    from coordinator.enclave.__main__ import main

    measured.check_mapped(mapped_files())
    main(held)


if __name__ == "__main__":
    start(sys.argv[1:])
