"""Where members keep what they signed, and how a checkpoint reaches a coordinator.

Responsible for: files of checkpoints and complaints, and one HTTP request.
Must not know:   the chain, or who is a member.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import requests

from protocol.checkpoints import MAX_BYTES, SignedCheckpoint, encode_checkpoints, parse_checkpoints
from protocol.complaints import MAX_BYTES as MAX_COMPLAINT_BYTES
from protocol.complaints import SignedComplaint, parse_complaint
from protocol.encoding import Fields, decode_map, encode
from protocol.errors import CommitmentMismatchError, PolicyError, UnavailableError, VeriflockError
from protocol.keys import Address

TIMEOUT_S = 60.0
MAX_REPLY_BYTES = 1 << 16
OK, SERVER_ERROR = 200, 500


def remember(path: Path, signed: SignedCheckpoint) -> int:
    """Adds a checkpoint to a member's file, which is made where there is none; returns how many are in it.

    Raises CommitmentMismatchError where the file has another memory of this round: then the chain was rewritten.
    """
    known = parse_checkpoints(_read(path, MAX_BYTES)) if path.exists() else ()
    for item in known:
        same = (item.checkpoint.federation, item.checkpoint.round_id)
        if same == (signed.checkpoint.federation, signed.checkpoint.round_id) and item.checkpoint != signed.checkpoint:
            expected, actual = item.checkpoint.hash_struct(), signed.checkpoint.hash_struct()
            what = f"the chain tells round {signed.checkpoint.round_id} otherwise than {path}; its checkpoint"
            raise CommitmentMismatchError(what, expected=expected, actual=actual)
    if signed not in known:
        known = (*known, signed)
        _write(path, encode_checkpoints(known))
    return len(known)


def keep_complaint(path: Path, complaint: SignedComplaint) -> None:
    """Writes a complaint; a file that is there is replaced."""
    _write(path, complaint.encode())


def read_complaints(paths: Sequence[Path]) -> list[SignedComplaint]:
    """The complaint in each of these files."""
    return [parse_complaint(_read(path, MAX_COMPLAINT_BYTES)) for path in paths]


def send_checkpoint(url: str, ca: Path | None, signed: SignedCheckpoint) -> Address:
    """Hands a checkpoint to a coordinator; returns whom it took for its signer.

    ca: PEM of the only authority to accept; None: those of the system.
    Raises: UnavailableError (no answer, or not now), PolicyError (it refuses).
    """
    if not url.startswith("https://"):
        raise PolicyError("coordinator", expected="an https:// address", actual=url)
    address = f"{url.rstrip('/')}/v1/rounds/{signed.checkpoint.round_id}/checkpoints"
    verify, body = True if ca is None else str(ca), encode(signed.to_map())
    try:
        with requests.Session() as session:
            session.trust_env = False
            reply = session.post(
                address, data=body, verify=verify, timeout=TIMEOUT_S, stream=True, allow_redirects=False
            )
            found: bytes = next(reply.iter_content(MAX_REPLY_BYTES), b"")
    except (requests.RequestException, OSError) as error:
        what = f"the coordinator at {url} does not answer ({type(error).__name__})"
        raise UnavailableError(what, "check --coordinator and --ca") from error
    return _signer(url, reply.status_code, found)


def _signer(url: str, status: int, body: bytes) -> Address:
    try:
        fields = Fields(decode_map(body, max_bytes=MAX_REPLY_BYTES), "the answer to a checkpoint")
        if status == OK:
            return fields.bytes("member", 20)
        message = fields.text("message")
    except VeriflockError as error:
        raise UnavailableError(f"{url} answers {status} and no envelope", "is it a coordinator?") from error
    if status >= SERVER_ERROR:
        raise UnavailableError(f"the coordinator at {url} can't take it now ({message})", "send it again later")
    raise PolicyError(f"the coordinator at {url} refuses the checkpoint ({status}: {message})")


def _read(path: Path, limit: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(limit + 1)  # one more than it may have: whoever parses it refuses that
    except OSError as error:
        raise UnavailableError(f"{path} can't be read ({error.strerror})", "correct its name") from error


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all, and durable."""
    temporary = path.with_name(f".{path.name}.new")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise UnavailableError(f"{path} can't be written ({error.strerror})", "give another file with --out") from error
