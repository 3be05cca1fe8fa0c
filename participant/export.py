"""`veriflock export`: any settled model as safetensors, and reading safetensors as the start of a federation.

Responsible for: finding a settled model's bytes, checking them against its root, and naming its tensors.
Must not know:   training, keys.

A model's root is read from the ledger's events, on a live chain or in a run folder's dump of one; its bytes come from a
coordinator or from that folder.  Nothing is written before the bytes were compared with the root.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from participant.chain import Chain
from participant.client import Coordinator, connect
from participant.models import MODELS, model_named
from protocol.charter import Charter, parse_charter
from protocol.errors import (
    CommitmentMismatchError,
    EncodingError,
    LengthError,
    RangeError,
    RoundError,
    UnavailableError,
)
from protocol.events import RoundSettled, parse_event, topic_of
from protocol.evidence import RoundEvidence, parse_evidence
from protocol.fixedpoint import Float64, Int32, decode_model, model_to_floats
from protocol.hashing import sha256
from protocol.keys import parse_address
from protocol.trees import model_root

MAX_START_BYTES = 1 << 30
"""Largest safetensors file that is read as a start."""


def export(
    out: Annotated[Path, typer.Option(help="The safetensors file to write.")],
    round_id: Annotated[int, typer.Option("--round", help="Settled round; 0: the last one.", min=0)] = 0,
    run: Annotated[Path | None, typer.Option(help="A run folder, such as runs/latest.")] = None,
    rpc: Annotated[str | None, typer.Option(help="Chain, with --ledger and --coordinator.")] = None,
    ledger: Annotated[str | None, typer.Option(help="Address of the RoundLedger.")] = None,
    coordinator: Annotated[str | None, typer.Option(help="URL of a coordinator that has the bytes.")] = None,
    ca: Annotated[Path | None, typer.Option(help="PEM of the coordinator's certificate authority.")] = None,
) -> None:
    """Write a settled round's model as safetensors, after checking it against its root."""
    if run is not None:
        charter, number, model, root = model_of_run(run, round_id)
    elif rpc and ledger and coordinator:
        chain = Chain(rpc, parse_address(ledger))
        with connect(coordinator, ca=ca) as client:
            charter, number, model, root = model_of_chain(chain, client, round_id)
    else:
        raise typer.BadParameter("give --run, or all of --rpc, --ledger and --coordinator")
    metadata = {"federation": charter.name, "model": charter.model, "model_root": root.hex(), "round": str(number)}
    out.write_bytes(to_safetensors(charter, model, metadata))
    typer.echo(f"round {number}: model of {charter.dimension} coordinates, root {root.hex()}, written to {out}")


def model_of_run(folder: Path, round_id: int) -> tuple[Charter, int, Int32, bytes]:
    """Charter, round, model and its root from a run folder.

    The root is in the ledger's event in the chain's dump; whether that chain is right in itself is what
    `veriflock verify --run` answers.

    round_id: 0 for the last settled round.
    Raises: RoundError when the round did not settle; UnavailableError when a file is missing.
    """
    charter = parse_charter(_file(folder / "federation.json"))
    settled = _settled_roots(folder)
    number = round_id or max(settled, default=0)
    if number not in settled:
        raise RoundError("round to export", expected=f"one of {sorted(settled)}", actual=number)
    evidence = parse_evidence(_file(folder / "artifacts" / "rounds" / f"{number}.cbor"))
    _check_round(evidence, number)
    data = _file(folder / "artifacts" / "blobs" / evidence.model.hex())
    if sha256(data) != evidence.model:
        raise CommitmentMismatchError("SHA-256 of the model", expected=evidence.model, actual=sha256(data))
    return charter, number, *_checked(charter, data, settled[number])


def model_of_chain(chain: Chain, coordinator: Coordinator, round_id: int) -> tuple[Charter, int, Int32, bytes]:
    """As `model_of_run`, the root from the ledger's events and the bytes from a coordinator."""
    charter = parse_charter(coordinator.charter())
    if charter.sha256() != chain.charter_hash():
        raise CommitmentMismatchError("charter", expected=chain.charter_hash(), actual=charter.sha256())
    settled = dict(chain.settled_rounds())
    number = round_id or max(settled, default=0)
    if number not in settled:
        raise RoundError("round to export", expected=f"one of {sorted(settled)}", actual=number)
    evidence = coordinator.evidence(number)
    _check_round(evidence, number)
    data = coordinator.blob(evidence.model, 4 * charter.dimension)
    return charter, number, *_checked(charter, data, settled[number])


def to_safetensors(charter: Charter, model: Int32, metadata: dict[str, str]) -> bytes:
    """The model's floats (float32): named tensors where the architecture is known, else one tensor `vector`."""
    vector = model_to_floats(model, charter.model_exponent)
    tensors: dict[str, NDArray[np.float32]] = {"vector": vector.astype(np.float32)}
    if charter.model in MODELS:
        parts = model_named(charter.model).split(vector)
        tensors = {name: np.ascontiguousarray(part, dtype=np.float32) for name, part in parts.items()}
    return save_tensors(tensors, metadata=metadata)


def genesis_from_safetensors(path: Path, model: str) -> Float64:
    """The vector of a safetensors file, for a federation that starts from it: (d,) float64.

    The file holds exactly the model's tensors, floating point, of their shapes; or for a model that is not known here
    one flat tensor `vector`.

    Raises: EncodingError (not safetensors, other names), LengthError (other shapes), RangeError (not finite).
    """
    data = _file(path)
    if len(data) > MAX_START_BYTES:
        raise LengthError(f"bytes of {path.name}", expected=f"at most {MAX_START_BYTES}", actual=len(data))
    try:
        tensors = load_tensors(data)
    except SafetensorError as error:
        raise EncodingError(f"{path.name} is not safetensors ({error})") from error
    names = [tensor.name for tensor in model_named(model).tensors] if model in MODELS else ["vector"]
    if sorted(tensors) != sorted(names):
        raise EncodingError(f"tensors of {path.name}", expected=sorted(names), actual=sorted(tensors))
    if model in MODELS:
        for tensor in model_named(model).tensors:
            if tensors[tensor.name].shape != tensor.shape:
                found = tensors[tensor.name].shape
                raise LengthError(f"shape of {tensor.name}", expected=tensor.shape, actual=found)
    vector = np.concatenate([tensors[name].astype(np.float64).reshape(-1) for name in names])
    if not np.isfinite(vector).all():
        raise RangeError(f"a coordinate of {path.name}", expected="a finite number")
    return vector


def _settled_roots(folder: Path) -> dict[int, bytes]:
    """Model roots of the settled rounds in a run folder: the ledger's events in the dump of its chain."""
    topic = topic_of(RoundSettled)
    try:
        ledger = parse_address(json.loads(_file(folder / "record.json"))["chain"]["ledger"])
        dump = json.loads(_file(folder / "chain.json"))
        logs = [log for transaction in dump["transactions"] for log in transaction["receipt"]["logs"]]
        events = [
            parse_event("RoundLedger", [_bytes(text) for text in log["topics"]], _bytes(log["data"]))
            for log in logs
            if _bytes(log["address"]) == ledger and log["topics"] and _bytes(log["topics"][0]) == topic
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise EncodingError("record.json and chain.json of the run", expected="a ledger and its chain") from error
    return {event.round_id: event.new_model for event in events if isinstance(event, RoundSettled)}


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def _checked(charter: Charter, data: bytes, root: bytes) -> tuple[Int32, bytes]:
    model = decode_model(data, charter.dimension)
    if model_root(model) != root:
        raise CommitmentMismatchError("root of the model", expected=root, actual=model_root(model))
    return model, root


def _check_round(evidence: RoundEvidence, number: int) -> None:
    if evidence.round_id != number:
        raise RoundError("round of the evidence", expected=number, actual=evidence.round_id)


def _file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UnavailableError(f"{path} can't be read ({error.strerror})", "is that the right folder?") from error
