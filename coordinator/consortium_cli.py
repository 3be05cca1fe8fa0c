"""`veriflock consortium`: what a member does on the command line.

Responsible for: arguments and lines for people.
Must not know:   how anything is done.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated

import typer

from coordinator.chain import Chain
from coordinator.consortium import (
    ACTIONS,
    ADDRESS_ACTIONS,
    Member,
    Motion,
    Proposal,
    about,
    admit_enclave,
    parse_action,
    set_terms,
    trust_root,
)
from coordinator.founding import parse_hex, read_terms
from coordinator.keyfile import new_key, read_key, write_key
from coordinator.ledger import Ledger
from coordinator.platform.cli import installed
from coordinator.platform.manifest import build_image
from protocol.attestation.trust import RootKind
from protocol.charter import parse_charter
from protocol.errors import UnavailableError, UnknownNameError
from protocol.events import Action
from protocol.keys import address, parse_address, to_hex

app = typer.Typer(no_args_is_help=True, help="Propose, vote and execute as a member of a consortium.")

RpcOption = Annotated[str, typer.Option("--rpc", help="JSON-RPC address of the chain.")]
LedgerOption = Annotated[str, typer.Option("--ledger", help="Address of the RoundLedger.")]
BlockOption = Annotated[int, typer.Option("--from-block", help="Block of the ledger's deployment.")]
KeyOption = Annotated[Path, typer.Option("--key", help="The member's key file.")]
SimulatedOption = Annotated[
    bool,
    typer.Option("--allow-simulated-quotes", help="Accept a simulated quote: says nothing about hardware."),
]
LOCAL_RPC = "http://127.0.0.1:8545"
ROOT_KINDS = {kind.name.lower(): kind for kind in RootKind}
ACTION_HELP = f"One of {', '.join(ACTIONS)}."
SUBJECT_HELP = "Address, measurement, root key hash or enclave; for set-terms the TOML file of the terms."


@app.command("key")
def make_key(path: Annotated[Path, typer.Argument(help="File to write; never replaced.")]) -> None:
    """Make an identity key in a file of mode 0600 and print its address."""
    key = new_key()
    write_key(path, key)
    typer.echo(to_hex(address(key)))


@app.command()
def propose(
    action: Annotated[str, typer.Argument(help=ACTION_HELP)],
    subject: Annotated[str, typer.Argument(help=SUBJECT_HELP)],
    ledger: LedgerOption,
    key: KeyOption,
    rpc: RpcOption = LOCAL_RPC,
    from_block: BlockOption = 0,
    kind: Annotated[str, typer.Option("--kind", help=f"trust-root: one of {', '.join(ROOT_KINDS)}.")] = "",
    hpke_key: Annotated[str, typer.Option("--hpke-key", help="admit-member: the member's HPKE key, 0x...")] = "",
    from_round: Annotated[int, typer.Option("--from-round", help="set-terms: first round of the terms.")] = 0,
    charter: Annotated[Path | None, typer.Option("--charter", help="set-terms: federation.json.")] = None,
    allow_simulated: SimulatedOption = False,
) -> None:
    """Put an action to the vote, with one's own vote for it.  admit-enclave verifies the enclave's quote first."""
    member = _member(rpc, ledger, from_block, key)
    chosen = parse_action(action)
    if chosen is Action.SET_TERMS:
        if charter is None or from_round < 1:
            raise typer.BadParameter("set-terms needs --charter and --from-round")
        dimension = parse_charter(charter.read_bytes()).dimension
        motion = set_terms(read_terms(Path(subject), dimension), from_round)
    elif chosen is Action.ADMIT_ENCLAVE:
        enclave = parse_hex(subject, 32)
        motion = admit_enclave(enclave, _verified_root(member, enclave, allow_simulated))
    elif chosen is Action.TRUST_ROOT:
        if kind not in ROOT_KINDS:
            raise UnknownNameError("kind of root", known=ROOT_KINDS, actual=kind)
        motion = trust_root(parse_hex(subject, 32), ROOT_KINDS[kind])
    else:
        named = parse_address(subject) if chosen in ADDRESS_ACTIONS else parse_hex(subject, 32)
        data = parse_hex(hpke_key) if chosen is Action.ADMIT_MEMBER else b""
        motion = about(chosen, named, data)
    typer.echo(f"proposal {member.propose(motion)}")


@app.command()
def vote(
    number: Annotated[int, typer.Argument(help="The proposal.")],
    ledger: LedgerOption,
    key: KeyOption,
    rpc: RpcOption = LOCAL_RPC,
    from_block: BlockOption = 0,
    allow_simulated: SimulatedOption = False,
) -> None:
    """Vote for a proposal.  For an enclave, its quote is verified first."""
    member = _member(rpc, ledger, from_block, key)
    motion = member.proposal(number).motion
    if motion.action is Action.ADMIT_ENCLAVE:
        _check_motion(member, motion, allow_simulated)
    member.vote(number)
    typer.echo(_line(member.proposal(number)))


@app.command()
def execute(
    number: Annotated[int, typer.Argument(help="The proposal.")],
    ledger: LedgerOption,
    key: KeyOption,
    rpc: RpcOption = LOCAL_RPC,
    from_block: BlockOption = 0,
) -> None:
    """Make a proposal take effect that has its votes and has waited."""
    member = _member(rpc, ledger, from_block, key)
    member.execute(number)
    typer.echo(_line(member.proposal(number)))


@app.command()
def show(
    ledger: LedgerOption,
    rpc: RpcOption = LOCAL_RPC,
    from_block: BlockOption = 0,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """List all proposals with their votes."""
    proposals = _member(rpc, ledger, from_block, None).proposals()
    if as_json:
        typer.echo(json.dumps([_values(proposal) for proposal in proposals], indent=2))
        return
    for proposal in proposals:
        typer.echo(_line(proposal))


@app.command("check-enclave")
def check_enclave(
    enclave: Annotated[str, typer.Argument(help="Id of a registered enclave.")],
    ledger: LedgerOption,
    rpc: RpcOption = LOCAL_RPC,
    from_block: BlockOption = 0,
    allow_simulated: SimulatedOption = False,
) -> None:
    """Verify a registered enclave's quote against what the consortium allows and trusts."""
    member = _member(rpc, ledger, from_block, None)
    root = _verified_root(member, parse_hex(enclave, 32), allow_simulated)
    typer.echo(f"acceptable; root {root.hex()}")


@app.command()
def measurement(
    charter: Annotated[Path, typer.Option("--charter", help="The federation's charter (federation.json).")],
    source: Annotated[Path | None, typer.Option("--source", help="Source tree to measure; default: this one.")] = None,
) -> None:
    """Print the measurement that an enclave of this code has, for `propose allow-measurement`."""
    text = charter.read_bytes()
    parse_charter(text)
    typer.echo(build_image(text, source=source or installed()).measurement.hex())


def _member(rpc: str, ledger: str, from_block: int, key: Path | None) -> Member:
    secret = None if key is None else read_key(key)
    found = Ledger(Chain(rpc, timeout_s=10), parse_address(ledger), from_block=from_block)
    return Member(found, secret)


def _verified_root(member: Member, enclave: bytes, allow_simulated: bool) -> bytes:
    verified = member.check_enclave(enclave, now_s=int(time.time()), allow_simulated=allow_simulated)
    if verified.is_simulated:
        typer.echo("simulated: says nothing about hardware", err=True)
    return verified.root_key_hash


def _check_motion(member: Member, motion: Motion, allow_simulated: bool) -> None:
    root = _verified_root(member, motion.subject, allow_simulated)
    if motion.data != root:
        raise UnavailableError(
            f"the proposal names root 0x{motion.data.hex()}, the quote leads to 0x{root.hex()}", "do not vote for it"
        )


def _subject(motion: Motion) -> str:
    return to_hex(motion.subject[12:]) if motion.action in ADDRESS_ACTIONS else "0x" + motion.subject.hex()


def _values(proposal: Proposal) -> dict[str, object]:
    motion = proposal.motion
    return {
        "proposal": proposal.number,
        "action": motion.action.name.lower().replace("_", "-"),
        "subject": _subject(motion),
        "data": "0x" + motion.data.hex(),
        "proposer": to_hex(proposal.proposer),
        "votes": [to_hex(voter) for voter in proposal.votes],
        "executed": proposal.is_executed,
    }


def _line(proposal: Proposal) -> str:
    values = _values(proposal)
    state = "executed" if proposal.is_executed else "open"
    return f"{proposal.number}  {values['action']}  {values['subject']}  votes {len(proposal.votes)}  {state}"
