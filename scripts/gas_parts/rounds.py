"""Gas of rounds that go well, and of what happens once: joining, registering, voting's consequences, withdrawing.

Responsible for: one federation's transactions without a dispute.
Must not know:   what is promised about them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from contracts import NAMES
from gas_parts.disputes import Line, signed_by
from ledger_world import LedgerWorld, counted
from protocol.messages import Checkpoint

ROUND = ("openRound", "propose", "settle")
LABELS = ("first round", "later round")
CHECKPOINT_SIGNERS = 3
"""Of the world's four members."""


def founding(world: LedgerWorld) -> Iterator[Line]:
    """What it took to get there."""
    yield from ({"operation": name, "n": 1, "gas": world.gas[name]} for name in ("join", "register"))
    yield from ({"operation": f"deploy {name}", "n": 1, "gas": world.gas[f"deploy {name}"]} for name in NAMES)


def measure(world: LedgerWorld) -> Iterator[Line]:
    """Two rounds; one in ten slots is flagged."""
    n = len(world.participants)
    for label in LABELS:
        round_ = world.open()
        round_ = world.finish(round_, [counted(flagged=slot % 10 == 9) for slot in range(n)])
        world.propose(round_)
        world.settle(round_)
        yield from ({"operation": f"{name}, {label}", "n": n, "gas": world.gas[name]} for name in ROUND)
        yield {"operation": f"whole, {label}", "n": n, "gas": sum(world.gas[name] for name in ROUND)}


def others(world: LedgerWorld) -> Iterator[Line]:
    """What a participant and members do besides, after rounds that settled."""
    participant = world.participants[0]
    world.send("RoundLedger", "withdraw", sender=participant)
    world.send("RoundLedger", "anchor", bytes([7]) * 32, sender=participant)
    _post_checkpoint(world)
    round_ = world.open()
    world.send("RoundLedger", "commit", round_.spec.round_id, bytes([1]) * 32, sender=participant)
    round_ = world.finish(round_, [counted() for _ in round_.cohort])
    world.move_to(round_.spec.deadlines[3] + 1)
    world.send("RoundLedger", "voidRound", round_.spec, round_.result, b"", sender=participant)
    world.send("Participants", "leave", sender=participant)
    names = ("commit", "withdraw", "anchor", "postCheckpoint", "voidRound", "leave")
    yield from ({"operation": name, "n": 1, "gas": world.gas[name]} for name in names)


def _post_checkpoint(world: LedgerWorld) -> None:
    (round_id,) = world.read("RoundLedger", "currentRound")
    (result,) = world.read("RoundLedger", "resultOf", round_id)
    block: Any = world.ask("eth_getBlockByNumber", "latest", False)
    checkpoint = Checkpoint(
        federation=world.federation, round_id=round_id, result=result, block_hash=bytes.fromhex(block["hash"][2:])
    )
    signatures = signed_by(world, checkpoint.digest(world.domain), CHECKPOINT_SIGNERS)
    world.send("Consortium", "postCheckpoint", checkpoint, signatures, sender=world.members[0])
