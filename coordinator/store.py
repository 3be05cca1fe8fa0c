"""Everything that must survive a SIGKILL, in one folder.

Responsible for: durable writes (temporary file, fsync, rename, fsync of the folder), names of files, file modes,
                 and the lock that keeps a second coordinator out.
Must not know:   the chain, the enclave, or when something is written.

    lock                              held while a coordinator runs
    chain.cbor                        which chain and ledger this folder belongs to
    launch.cbor                       the nonce of the enclave's launch
    sealed/<name>                     the enclave's sealed state, by the enclave's names        (0600)
    uploads/<round>/<slot>-<sha256>   sealed updates as they came                               (0600)
    receipts/<round>/<slot>.cbor      receipts that left                                        (0600)
    results/<round>.cbor              signed results, until the round is final and after        (0600)
    checkpoints/<round>/<signer>.cbor what members signed of settled rounds                     (0600)
    outbox/<number>.cbor              transactions, see outbox.py                               (0600)
    models/<model root>               SHA-256 of the model with that root
    artifacts/blobs/<sha256>          public bytes: models, aggregates, rows after signing
    artifacts/rounds/<round>.cbor     public evidence of a round (protocol.evidence)
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
from pathlib import Path
from types import TracebackType
from typing import Any

from protocol.encoding import decode_map, encode
from protocol.errors import EncodingError, LengthError, UnavailableError
from protocol.hashing import sha256

PRIVATE, PUBLIC = 0o600, 0o644
_TEMPORARY = ".tmp-"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_MAX_RECORD_BYTES = 1 << 28


class Store:
    """The folder.  Every `write_` and `delete_` is durable when it returns; safe for several threads."""

    def __init__(self, root: Path) -> None:
        """Opens or makes the folder and takes its lock.

        Raises: UnavailableError when another process holds the lock.
        """
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        root.chmod(0o700)
        self.root = root
        self._lock = os.open(root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._lock)
            raise UnavailableError(
                f"{root} is in use by another coordinator", "stop that one, or give this one a folder of its own"
            ) from error
        for name in ("sealed", "uploads", "receipts", "results", "checkpoints", "outbox", "models", "artifacts"):
            (root / name).mkdir(mode=0o700, exist_ok=True)
        for name in ("artifacts/blobs", "artifacts/rounds"):
            (root / name).mkdir(mode=0o755, exist_ok=True)
        for path in root.rglob(f"{_TEMPORARY}*"):  # a write that died before its rename: nobody was told of it
            path.unlink()

    def close(self) -> None:
        """Gives the lock back."""
        os.close(self._lock)

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- records: small deterministic CBOR maps -------------------------------------------------------------------

    def write_record(self, name: str, value: dict[str, Any]) -> None:
        """Writes or replaces a record, whole or not at all."""
        self._write(self.root / name, encode(value), PRIVATE)
        # If we die here the new record is there, whole; if we died before, the old one was.

    def read_record(self, name: str) -> dict[str, Any] | None:
        """A record, or None when it was never written."""
        data = _read(self.root / name)
        return None if data is None else decode_map(data, max_bytes=_MAX_RECORD_BYTES)

    def record_names(self, folder: str) -> list[str]:
        """The records of a folder, ascending."""
        path = self.root / folder
        names = (item.name for item in path.iterdir()) if path.is_dir() else iter(())
        return sorted(f"{folder}/{name}" for name in names if not name.startswith(_TEMPORARY))

    def delete_record(self, name: str) -> None:
        """Removes a record if it is there."""
        _delete(self.root / name)
        # If we die here the record is gone; if we died before, it is there and whoever reads it deletes it again.

    # -- the enclave's sealed state --------------------------------------------------------------------------------

    def write_sealed(self, name: str, blob: bytes) -> None:
        """Writes one sealed blob under the enclave's name for it.  The enclave is answered only after this returned."""
        self._write(self.root / "sealed" / checked_name(name), blob, PRIVATE)
        # If we die here the enclave has not been told: it comes back to this state and says what it would have said.

    def has_sealed(self, name: str) -> bool:
        """Whether there is a sealed blob of that name."""
        return (self.root / "sealed" / checked_name(name)).exists()

    def read_sealed(self) -> dict[str, bytes]:
        """All sealed blobs by name."""
        return {path.name: path.read_bytes() for path in sorted((self.root / "sealed").iterdir())}

    def delete_sealed(self) -> None:
        """Forgets an enclave, for a fresh one.  Only when no round is open that names it."""
        for path in sorted((self.root / "sealed").iterdir()):
            _delete(path)
        # If we die here or in between, the next start deletes the rest: a launch is fresh until its first blob.

    # -- uploads ----------------------------------------------------------------------------------------------------

    def write_upload(self, round_id: int, slot: int, sealed: bytes) -> str:
        """Writes a sealed update before the enclave sees it; returns its name.

        The name carries the digest, so that a later upload never replaces one that has a receipt.
        """
        name = f"{slot}-{sha256(sealed).hex()}"
        self._write(self.root / "uploads" / str(round_id) / name, sealed, PRIVATE)
        # If we die here nobody was told anything: at the next start the enclave says whether it misses this slot.
        return name

    def delete_upload(self, round_id: int, name: str) -> None:
        """Removes a sealed update that the enclave refused, or one too many."""
        _delete(self.root / "uploads" / str(round_id) / checked_name(name))
        # If we die here the upload is gone and its sender was not told: it sends again.

    def uploads(self, round_id: int) -> dict[int, list[str]]:
        """Names of the stored uploads of a round, by slot."""
        folder = self.root / "uploads" / str(round_id)
        names: dict[int, list[str]] = {}
        for path in sorted(folder.iterdir()) if folder.is_dir() else []:
            names.setdefault(int(path.name.split("-")[0]), []).append(path.name)
        return names

    def read_upload(self, round_id: int, name: str) -> bytes:
        """One sealed update."""
        return (self.root / "uploads" / str(round_id) / checked_name(name)).read_bytes()

    def delete_uploads(self, round_id: int) -> None:
        """Removes the sealed updates of a round that is final."""
        folder = self.root / "uploads" / str(round_id)
        if not folder.is_dir():
            return
        for path in sorted(folder.iterdir()):
            _delete(path)
        folder.rmdir()
        # If we die here or in between, the next final round's clean-up finds what is left.

    def upload_rounds(self) -> list[int]:
        """Rounds that still have stored uploads, ascending."""
        return sorted(int(path.name) for path in (self.root / "uploads").iterdir())

    # -- public bytes -----------------------------------------------------------------------------------------------

    def write_blob(self, data: bytes) -> bytes:
        """Writes public bytes under their SHA-256, which it returns."""
        digest = sha256(data)
        path = self.root / "artifacts" / "blobs" / digest.hex()
        if not path.exists():
            self._write(path, data, PUBLIC)
        # If we die here the blob is there and nothing names it yet: the same bytes get the same name again.
        return digest

    def read_blob(self, digest: bytes) -> bytes | None:
        """The bytes with that SHA-256, or None.  Raises UnavailableError when the file is not those bytes any more."""
        data = _read(self.root / "artifacts" / "blobs" / digest.hex())
        if data is not None and sha256(data) != digest:
            raise UnavailableError(
                f"blob {digest.hex()} on disk has SHA-256 {sha256(data).hex()}", "the disk changed it: restore a copy"
            )
        return data

    def write_evidence(self, round_id: int, data: bytes) -> None:
        """Publishes the evidence of a round.  The blobs that it names are written before."""
        if self.read_evidence(round_id) != data:
            self._write(self.root / "artifacts" / "rounds" / f"{round_id}.cbor", data, PUBLIC)
        # If we die here the evidence is public and not proposed yet: the same signed result is proposed later.

    def read_evidence(self, round_id: int) -> bytes | None:
        """The evidence of a round, or None."""
        return _read(self.root / "artifacts" / "rounds" / f"{round_id}.cbor")

    def write_model(self, model_root: bytes, model: bytes) -> bytes:
        """Writes a model as a blob and remembers it by its root; returns its SHA-256."""
        digest = self.write_blob(model)
        if not self.has_model(model_root):
            self._write(self.root / "models" / model_root.hex(), digest.hex().encode(), PRIVATE)
        # If we die here the model can be found by its root; before, the same call writes both again.
        return digest

    def has_model(self, model_root: bytes) -> bool:
        """Whether the model with that root was written."""
        return (self.root / "models" / model_root.hex()).exists()

    def read_model(self, model_root: bytes) -> bytes | None:
        """The model with that root, or None."""
        digest = self.model_blob(model_root)
        return None if digest is None else self.read_blob(digest)

    def model_blob(self, model_root: bytes) -> bytes | None:
        """SHA-256 of the model with that root, or None."""
        name = _read(self.root / "models" / model_root.hex())
        return None if name is None else bytes.fromhex(name.decode())

    def _write(self, path: Path, data: bytes, mode: int) -> None:
        if not path.parent.is_dir():
            path.parent.mkdir(mode=0o700, exist_ok=True)  # another thread may be as far
            _sync_folder(path.parent.parent)
        temporary = path.parent / f"{_TEMPORARY}{secrets.token_hex(8)}"
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        # If we die here the new bytes are in the folder or the old ones are: never a mixture, never a part.
        _sync_folder(path.parent)
        # If we die here the new bytes are there, also after a power cut.


def checked_name(name: str) -> str:
    """A file name that stays in its folder.  Raises EncodingError otherwise (names come from the enclave too)."""
    if not _NAME.fullmatch(name):
        raise EncodingError("name of a stored file", expected="1 to 100 of A-Z a-z 0-9 . _ -", actual=name)
    return name


def parse_digest(text: str) -> bytes:
    """A SHA-256 in lower-case hexadecimal."""
    if len(text) != 64:
        raise LengthError("length of a digest in hexadecimal", expected=64, actual=len(text))
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        raise EncodingError("a digest", expected="64 lower-case hexadecimal digits", actual=text)
    return bytes.fromhex(text)


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _delete(path: Path) -> None:
    path.unlink(missing_ok=True)
    _sync_folder(path.parent)


def _sync_folder(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
