"""Check 28: what members remember of settled rounds is what this chain says.

Responsible for: checkpoints that were posted, and those that the reader brings.
Must not know:   how a round is checked, or where the reader has a checkpoint from.

A chain of few operators can be rewritten by them, and then replays as well as any other.  A member's signature on the
result and the hash of the block in which a round settled can't be taken back.
"""

from __future__ import annotations

from collections.abc import Iterable

from protocol import events as e
from protocol.checkpoints import SignedCheckpoint
from protocol.errors import UnavailableError, VerificationError
from protocol.keys import Address, recover_all, to_hex
from protocol.messages import Checkpoint
from verifier.checks.opening import expect
from verifier.checks.result import check_members
from verifier.state import RoundState
from verifier.world import World

REWRITTEN = "the chain was rewritten behind a checkpoint, or its signers lie"


def check_28_checkpoints(world: World, brought: Iterable[SignedCheckpoint] = ()) -> tuple[None, str]:
    """Each is signed by members, and about this chain's result and block.

    A checkpoint of a round that this chain has not got to yet says nothing against it: it could not be told.  What no
    more than a third of the members say in a posted one against this chain is said, and no more: one member alone could
    else spoil the chain for everybody, and what is posted stays there for ever.
    """
    newest, posted, given, unknown = 0, 0, 0, 0
    otherwise: list[str] = []
    for signed in world.state.consortium.checkpoints:
        event = signed.entry.event
        if not isinstance(event, e.CheckpointPosted):
            continue
        checkpoint = Checkpoint(
            federation=world.deployment.federation,
            round_id=event.round_id,
            result=event.result,
            block_hash=event.block_hash,
        )
        signers = recover_all(checkpoint.digest(world.deployment.domain), event.signatures)
        check_members("signers of a checkpoint", signers, signed.members)
        try:
            if not _is_as_remembered(world, checkpoint):
                raise VerificationError("a posted checkpoint", expected="of a settled round", actual=event.round_id)
        except VerificationError as error:
            if 3 * len(signers) > len(signed.members):
                raise
            who = f"{'members' if len(signers) > 1 else 'member'} {', '.join(map(to_hex, signers))}"
            otherwise.append(f"{who} signed otherwise: {error}")
            continue
        newest, posted = max(newest, event.round_id), posted + 1
    for item in brought:
        expect("federation of a checkpoint", world.deployment.federation, item.checkpoint.federation)
        check_members("signer of a checkpoint", [item.signer(world.deployment.domain)], _members(world))
        if _is_as_remembered(world, item.checkpoint):
            newest, given = max(newest, item.checkpoint.round_id), given + 1
        else:
            unknown += 1
    if unknown:
        what = f"{unknown} of the checkpoints are about rounds that have not settled on this chain"
        raise UnavailableError(what, "verify a newer copy of the chain")
    seen = f", the newest of round {newest}" if newest else ""
    held = f"{posted} posted and {given} brought{seen}: each as this chain has it"
    return None, "; ".join([held, *otherwise])


def _is_as_remembered(world: World, checkpoint: Checkpoint) -> bool:
    """Whether the round has settled here; raises VerificationError where it ended in any other way."""
    known = world.state.ledger.rounds.get(checkpoint.round_id)
    if known is None or known.closed is None:
        return False
    what = f"round {checkpoint.round_id} ({REWRITTEN})"
    expect(f"end of {what}", RoundState.SETTLED.name, known.state.name)
    expect(f"result of {what}", checkpoint.result, known.proposal.result if known.proposal else None)
    expect(f"block of {what}", checkpoint.block_hash, world.chain.header(known.closed.log.block_number).hash)
    return True


def _members(world: World) -> set[Address]:
    """Whoever was one at any time: a checkpoint has no date."""
    return {entry.event.member for entry in world.entries if isinstance(entry.event, e.MemberAdmitted)}
