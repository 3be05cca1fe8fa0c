"""`veriflock consortium`, second half: what members remember, ask for, and object to.

Responsible for: arguments and lines for people.
Must not know:   how anything is done.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from coordinator.chain import Call
from coordinator.consortium import Member
from coordinator.keyfile import read_key
from coordinator.ledger import Ledger
from coordinator.member_acts import (
    TREES,
    close_call,
    complaint_call,
    outvote,
    parse_tree,
    proposed_round,
    request_call,
    sign_checkpoint,
    sign_complaint,
)
from coordinator.member_files import keep_complaint, read_complaints, remember, send_checkpoint
from coordinator.member_options import LOCAL_RPC, BlockOption, KeyOption, LedgerOption, RpcOption, open_ledger
from coordinator.outbox import MemoryRecords, Outbox
from protocol.keys import address, to_hex

TIMEOUT_S = 60.0
"""Until a transaction must be mined."""

app = typer.Typer()

ProposedOption = Annotated[
    int | None, typer.Option("--round", min=1, help="The round whose result is proposed; any other is refused.")
]


@app.command()
def checkpoint(
    ledger: LedgerOption,
    key: KeyOption,
    rpc: RpcOption = LOCAL_RPC,
    from_block: BlockOption = 0,
    round_id: Annotated[
        int | None, typer.Option("--round", min=1, help="A settled round; without it, the newest.")
    ] = None,
    coordinator: Annotated[str, typer.Option("--coordinator", help="Send it to this coordinator: https://...")] = "",
    ca: Annotated[Path | None, typer.Option("--ca", help="The only authority to accept for the coordinator.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Keep it in this file, beside those of before.")] = None,
) -> None:
    """Sign what the chain says now of a settled round, so that a rewritten chain is noticed.

    Fails where the file has another memory of that round.
    """
    if not coordinator and out is None:
        raise typer.BadParameter("give --out, --coordinator, or both")
    signed = sign_checkpoint(open_ledger(rpc, ledger, from_block), read_key(key), round_id)
    found = signed.checkpoint
    typer.echo(f"round {found.round_id}  result 0x{found.result.hex()}  block 0x{found.block_hash.hex()}")
    if out is not None:
        count = remember(out, signed)
        typer.echo(f"{out}: {count} {'checkpoint' if count == 1 else 'checkpoints'}")
    if coordinator:
        member = send_checkpoint(coordinator, ca, signed)
        typer.echo(f"taken by {coordinator} as {to_hex(member)}'s; it is posted with the next opening")


@app.command()
def unavailable(
    ledger: LedgerOption,
    key: KeyOption,
    out: Annotated[Path, typer.Option("--out", help="File for the signed complaint.")],
    rpc: RpcOption = LOCAL_RPC,
    from_block: BlockOption = 0,
    round_id: ProposedOption = None,
) -> None:
    """Sign that the data of the proposed result can't be had; more than a third of the members void the round."""
    complaint = sign_complaint(open_ledger(rpc, ledger, from_block), read_key(key), round_id)
    keep_complaint(out, complaint)
    message = complaint.unavailable
    typer.echo(f"round {message.round_id}  result 0x{message.result.hex()}  in {out}")


@app.command("post-unavailable")
def post_unavailable(
    files: Annotated[list[Path], typer.Argument(help="Complaints of `unavailable`, of different members.")],
    ledger: LedgerOption,
    key: Annotated[Path, typer.Option("--key", help="Key file of whoever pays the gas; it need not be a member's.")],
    rpc: RpcOption = LOCAL_RPC,
    from_block: BlockOption = 0,
) -> None:
    """Void the proposed round with complaints of more than a third of the members; nobody pays for it."""
    at = open_ledger(rpc, ledger, from_block)
    round_id = proposed_round(at)
    _send(at, read_key(key), complaint_call(at, read_complaints(files)))
    typer.echo(_state(at, round_id))


@app.command("request-leaf")
def request_leaf(
    tree: Annotated[str, typer.Argument(help=f"One of {', '.join(TREES)}.")],
    index: Annotated[int, typer.Argument(min=0, max=(1 << 32) - 1, help="Which leaf; of the set tree: whose.")],
    ledger: LedgerOption,
    key: KeyOption,
    rpc: RpcOption = LOCAL_RPC,
    from_block: BlockOption = 0,
    slot: Annotated[int, typer.Option("--slot", min=0, max=255, help="row: whose.")] = 0,
    round_id: ProposedOption = None,
) -> None:
    """Ask on the ledger for a leaf of the proposed result that one did not get; takes a deposit, once a round.

    The round does not settle before it is answered, and is void if it is not.
    """
    at, secret = open_ledger(rpc, ledger, from_block), read_key(key)
    member, current = address(secret), proposed_round(at, round_id)
    call = request_call(at, member, current, parse_tree(tree), slot, index)
    _send(at, secret, call)
    answer_by = next(request.answer_by for request in at.requests(current) if request.member == member)
    typer.echo(f"round {current}: {tree} leaf {index} is asked for, with {call.value} wei; answer by {answer_by}")


@app.command("close-request")
def close_request(
    round_id: Annotated[int, typer.Argument(min=1, help="The round.")],
    ledger: LedgerOption,
    key: KeyOption,
    rpc: RpcOption = LOCAL_RPC,
    from_block: BlockOption = 0,
) -> None:
    """End one's own request that nobody answered: voids the round if that is due; the deposit is one's credit."""
    at, secret = open_ledger(rpc, ledger, from_block), read_key(key)
    _send(at, secret, close_call(at, address(secret), round_id))
    typer.echo(f"{_state(at, round_id)}; `veriflock consortium withdraw` takes the deposit")


@app.command()
def withdraw(
    ledger: LedgerOption,
    key: KeyOption,
    rpc: RpcOption = LOCAL_RPC,
    from_block: BlockOption = 0,
) -> None:
    """Take one's credit out of the ledger: deposits that came back."""
    at, secret = open_ledger(rpc, ledger, from_block), read_key(key)
    credit = at.credit(address(secret))
    if credit:
        _send(at, secret, at.withdraw_call())
    typer.echo(f"withdrew {credit} wei")


@app.command("outvote")
def outvote_command(
    ledger: LedgerOption,
    key: KeyOption,
    rpc: RpcOption = LOCAL_RPC,
    from_block: BlockOption = 0,
) -> None:
    """Vote that the proposed result is wrong, where only a replay can tell; proposes it where nobody has.

    Two thirds of the members void the round within its challenge window, by `veriflock consortium execute`.
    """
    member = Member(open_ledger(rpc, ledger, from_block), read_key(key))
    motion = outvote(member.ledger)
    number = next((found.number for found in member.proposals() if found.motion == motion), None)
    if number is None:
        number = member.propose(motion)
    else:
        member.vote(number)
    votes, members = len(member.proposal(number).votes), member.ledger.member_count()
    needed = -(-2 * members // 3)
    next_step = f"`veriflock consortium execute {number}`" if votes >= needed else "more members run this command"
    typer.echo(f"proposal {number}  votes {votes} of {needed} needed; next: {next_step}")


def _send(at: Ledger, key: bytes, call: Call) -> None:
    Outbox(MemoryRecords(), at.chain, key, timeout_s=TIMEOUT_S).send(call.what, call)


def _state(at: Ledger, round_id: int) -> str:
    return f"round {round_id} is {at.state_of(round_id).name.lower()}"
