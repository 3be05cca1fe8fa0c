"""A model leaves as safetensors only after its root was compared, and comes back as the start of a federation."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from eth_abi.abi import encode as abi_encode
from safetensors.numpy import load, save_file
from typer import Typer
from typer.testing import CliRunner

from participant.cli import app as participant_app
from participant.export import export, genesis_from_safetensors, model_of_run, to_safetensors
from participant.models import model_named
from protocol.errors import (
    CommitmentMismatchError,
    EncodingError,
    LengthError,
    RangeError,
    RoundError,
    UnavailableError,
)
from protocol.events import RoundSettled, topic_of
from protocol.evidence import RoundEvidence
from protocol.fixedpoint import encode_model, model_from_floats, model_to_floats
from protocol.hashing import sha256
from protocol.keys import to_hex
from protocol.trees import model_root
from tests.unit.participant_world import DOMAIN, SOFTMAX

MODEL = model_from_floats(np.linspace(-2, 2, SOFTMAX.dimension), -24)


def write_run(folder: Path, *, root: bytes | None = None) -> Path:
    """A run folder with one settled round, number 3."""
    blob, rounds = folder / "artifacts" / "blobs", folder / "artifacts" / "rounds"
    blob.mkdir(parents=True)
    rounds.mkdir()
    data = encode_model(MODEL)
    (blob / sha256(data).hex()).write_bytes(data)
    evidence = RoundEvidence(
        round_id=3, result=bytes(32), base=bytes(32), set_leaves=(), rows=(), aggregate=None, model=sha256(data)
    )
    (rounds / "3.cbor").write_bytes(evidence.encode())
    (folder / "federation.json").write_bytes(SOFTMAX.encode())
    log = {
        "address": to_hex(DOMAIN.ledger),
        "topics": ["0x" + word.hex() for word in (topic_of(RoundSettled), (3).to_bytes(32), bytes(32))],
        "data": "0x" + abi_encode(["bool", "bytes32", "uint256"], [True, root or model_root(MODEL), 0]).hex(),
    }
    other = {**log, "address": to_hex(bytes(20))}  # another contract that says the same
    dump = {"transactions": [{"receipt": {"logs": [other]}}, {"receipt": {"logs": [log]}}, {"receipt": {"logs": []}}]}
    (folder / "chain.json").write_text(json.dumps(dump))
    (folder / "record.json").write_text(json.dumps({"chain": {"ledger": to_hex(DOMAIN.ledger)}}))
    return folder


def test_a_settled_model_is_written_with_named_tensors(tmp_path: Path) -> None:
    app = Typer()
    app.command()(export)
    folder, out = write_run(tmp_path / "run"), tmp_path / "model.safetensors"
    done = CliRunner().invoke(app, ["--run", str(folder), "--out", str(out)])
    assert done.exit_code == 0, done.output
    tensors = load(out.read_bytes())
    floats = model_to_floats(MODEL, -24).astype(np.float32)
    assert {name: tensor.shape for name, tensor in tensors.items()} == {"linear.weight": (10, 64), "linear.bias": (10,)}
    assert np.array_equal(np.concatenate([tensors["linear.weight"].ravel(), tensors["linear.bias"]]), floats)
    assert model_root(MODEL).hex() in done.output


def test_an_unknown_architecture_is_one_flat_tensor() -> None:
    tensors = load(to_safetensors(replace(SOFTMAX, model="of-our-own"), MODEL, {}))
    assert {name: tensor.shape for name, tensor in tensors.items()} == {"vector": (650,)}


def test_a_model_whose_root_is_not_the_ledgers_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(CommitmentMismatchError, match="root of the model"):
        model_of_run(write_run(tmp_path, root=bytes(32)), 0)


def test_a_blob_that_was_changed_is_not_written(tmp_path: Path) -> None:
    folder = write_run(tmp_path)
    blob = next((folder / "artifacts" / "blobs").iterdir())
    blob.write_bytes(bytes([blob.read_bytes()[0] ^ 1]) + blob.read_bytes()[1:])
    with pytest.raises(CommitmentMismatchError, match="SHA-256 of the model"):
        model_of_run(folder, 3)


def test_a_round_that_did_not_settle_names_those_that_did(tmp_path: Path) -> None:
    with pytest.raises(RoundError, match=r"round to export: expected one of \[3\], got 2"):
        model_of_run(write_run(tmp_path), 2)


def test_a_folder_that_is_no_run_is_could_not_tell(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError):
        model_of_run(tmp_path, 0)


def test_an_exported_model_can_start_a_federation(tmp_path: Path) -> None:
    path = tmp_path / "start.safetensors"
    path.write_bytes(to_safetensors(SOFTMAX, MODEL, {}))
    start = genesis_from_safetensors(path, SOFTMAX.model)
    assert start.tolist() == model_to_floats(MODEL, -24).astype(np.float32).astype(np.float64).tolist()


def test_a_start_must_be_exactly_the_models_tensors(tmp_path: Path) -> None:
    path, shapes = tmp_path / "x.safetensors", {t.name: t.shape for t in model_named("softmax-30").tensors}
    right = {name: np.zeros(shape, dtype=np.float32) for name, shape in shapes.items()}
    save_file(right, path)
    assert genesis_from_safetensors(path, "softmax-30").shape == (62,)
    save_file({**right, "more": np.zeros(1, dtype=np.float32)}, path)
    with pytest.raises(EncodingError, match="tensors of"):
        genesis_from_safetensors(path, "softmax-30")
    save_file({**right, "linear.bias": np.zeros(3, dtype=np.float32)}, path)
    with pytest.raises(LengthError, match=r"shape of linear\.bias"):
        genesis_from_safetensors(path, "softmax-30")
    save_file({**right, "linear.bias": np.full(2, np.nan, dtype=np.float32)}, path)
    with pytest.raises(RangeError, match="a finite number"):
        genesis_from_safetensors(path, "softmax-30")
    path.write_bytes(b"no safetensors at all")
    with pytest.raises(EncodingError, match="is not safetensors"):
        genesis_from_safetensors(path, "softmax-30")


def test_a_federation_can_start_from_an_exported_model(tmp_path: Path) -> None:
    (tmp_path / "federation.json").write_bytes(SOFTMAX.encode())
    model = model_from_floats(np.linspace(-0.9, 0.9, SOFTMAX.dimension), -24)
    (tmp_path / "model.safetensors").write_bytes(to_safetensors(SOFTMAX, model, {}))
    arguments = [str(tmp_path / "genesis.model"), "--charter", str(tmp_path / "federation.json")]
    arguments += ["--from", str(tmp_path / "model.safetensors")]
    done = CliRunner().invoke(participant_app, ["genesis", *arguments])
    assert done.exit_code == 0, done.output
    # float32 keeps 24 bits, as many as these coordinates have
    assert (tmp_path / "genesis.model").read_bytes() == encode_model(model)
    assert model_root(model).hex() in done.output


def test_without_a_file_the_start_is_the_trainers(tmp_path: Path) -> None:
    (tmp_path / "federation.json").write_bytes(SOFTMAX.encode())
    arguments = [str(tmp_path / "genesis.model"), "--charter", str(tmp_path / "federation.json")]
    arguments += ["--trainer", "participant.trainers.softmax:SoftmaxTrainer"]
    assert CliRunner().invoke(participant_app, ["genesis", *arguments]).exit_code == 0
    assert (tmp_path / "genesis.model").read_bytes() == bytes(4 * SOFTMAX.dimension)
