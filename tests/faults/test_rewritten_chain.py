"""A chain that was rewritten behind a checkpoint: every other check holds, and a member's file says no."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from typer.testing import CliRunner

import veriflock
from coordinator import anvil
from protocol.checkpoints import encode_checkpoints
from protocol.keys import to_hex
from tests.support.disputed import DisputedWorld
from tests.support.world import terms


def verify(world: DisputedWorld, *options: str) -> tuple[int, dict[str, str]]:
    """(exit code, status by name of the check) of the command, over RPC."""
    arguments = ["verify", "--rpc", world.rpc, "--ledger", to_hex(world.domain.ledger), "--format", "json"]
    arguments += ["--artifacts", str(world.folder / "artifacts"), *options]
    done = CliRunner().invoke(veriflock.build(None), arguments)
    return done.exit_code, {check["name"]: check["status"] for check in json.loads(done.stdout)["checks"]}


def test_a_rewritten_chain_is_noticed_by_who_remembers(tmp_path: Path) -> None:
    with anvil.start() as running:
        world = DisputedWorld(running.rpc, tmp_path)
        world.play(terms("median"))
        before = world.ask("anvil_dumpState")
        nonces, model, previous, at = dict(world.nonces), np.copy(world.model), world.previous, world.now
        second = world.play(terms("median"), samples=20)
        memory = tmp_path / "memory.cbor"
        memory.write_bytes(encode_checkpoints([world.signed(world.checkpoint(second), world.members[0])]))
        assert verify(world, "--checkpoint", str(memory))[0] == 0
    with anvil.start() as running:  # whoever runs the chain goes back to the first round, and tells the second anew
        world.rpc = running.rpc
        world.ask("anvil_loadState", before)
        world.nonces, world.model, world.previous, world.round_id, world.now = nonces, model, previous, second - 1, at
        assert world.play(terms("median"), samples=30) == second
        code, checks = verify(world)
        assert (code, set(checks.values())) == (0, {"ok"})  # it is as good a chain as any
        code, checks = verify(world, "--checkpoint", str(memory))
        assert (code, [name for name, status in checks.items() if status != "ok"]) == (1, ["checkpoints"])
