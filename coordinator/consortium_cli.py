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

from coordinator import member_cli
from coordinator.consortium import (
    ACTIONS,
    ADDRESS_ACTIONS,
    Member,
    Motion,
    Proposal,
    about,
    accept_tcb,
    parse_action,
    revoke_certificate,
    set_terms,
    trust_authority,
)
from coordinator.founding import parse_hex, read_terms
from coordinator.keyfile import new_key, read_key, write_key
from coordinator.member_options import LOCAL_RPC, BlockOption, KeyOption, LedgerOption, RpcOption, open_ledger
from coordinator.platform_votes import PlatformVote, read_platform
from protocol.attestation.collateral import MAX_COLLATERAL_BYTES
from protocol.attestation.tcb import TcbStatus
from protocol.attestation.trust import RootKind, TrustedRoot
from protocol.charter import parse_charter
from protocol.errors import UnavailableError, UnknownNameError
from protocol.events import Action
from protocol.keys import address, parse_address, to_hex

app = typer.Typer(no_args_is_help=True, help="Propose, vote and execute as a member of a consortium.")
app.add_typer(member_cli.app)

SimulatedOption = Annotated[
    bool,
    typer.Option("--allow-simulated-quotes", help="Accept a simulated quote: says nothing about hardware."),
]
SIMULATED = "simulated: says nothing about hardware"
ROOT_KINDS = {kind.name.lower(): kind for kind in RootKind}
ACTION_HELP = f"One of {', '.join(ACTIONS)}."
PLATFORM_ACTIONS = (Action.TRUST_AUTHORITY, Action.ACCEPT_TCB)
"""What follows from a platform's collateral, and is proposed and voted for only when it was verified."""
SUBJECT_HELP = (
    "Address, measurement, TCB row or enclave.  For trust-authority and accept-tcb the root: SHA-256 of its key.  For "
    "revoke-certificate and distrust-authority the authority.  For set-terms the TOML file of the terms."
)
CollateralOption = Annotated[
    Path | None, typer.Option("--collateral", help="The platform's collateral (veriflock platform collateral).")
]
KindOption = Annotated[str, typer.Option("--kind", help=f"What the root stands for: {', '.join(ROOT_KINDS)}.")]
StatusOption = Annotated[
    str, typer.Option("--accept-status", help="TCB statuses that will do beside UpToDate, with commas between.")
]


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
    kind: KindOption = "",
    collateral: CollateralOption = None,
    accept_status: StatusOption = "",
    serial: Annotated[str, typer.Option("--serial", help="revoke-certificate: the serial number, 0x...")] = "",
    hpke_key: Annotated[str, typer.Option("--hpke-key", help="admit-member: the member's HPKE key, 0x...")] = "",
    from_round: Annotated[int, typer.Option("--from-round", help="set-terms: first round of the terms.")] = 0,
    charter: Annotated[Path | None, typer.Option("--charter", help="set-terms: federation.json.")] = None,
) -> None:
    """Put an action to the vote, with one's own vote for it.

    trust-authority and accept-tcb propose what follows from a platform's collateral, verified under the root named.
    """
    member = _member(rpc, ledger, from_block, key)
    chosen = parse_action(action)
    if chosen is Action.SET_TERMS:
        if charter is None or from_round < 1:
            raise typer.BadParameter("set-terms needs --charter and --from-round")
        dimension = parse_charter(charter.read_bytes()).dimension
        motion = set_terms(read_terms(Path(subject), dimension), from_round)
    elif chosen in PLATFORM_ACTIONS:
        motion = _platform_motion(chosen, _verified_platform(subject, kind, collateral, accept_status))
    elif chosen is Action.OUTVOTE_RESULT:
        raise typer.BadParameter("`veriflock consortium outvote` proposes it, with what the ledger has of the round")
    elif chosen is Action.REVOKE_CERTIFICATE:
        motion = revoke_certificate(parse_hex(subject, 32), int.from_bytes(parse_hex(serial)))
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
    root: Annotated[str, typer.Option("--root", help="For a platform: the root, as proposed.")] = "",
    kind: KindOption = "",
    collateral: CollateralOption = None,
    accept_status: StatusOption = "",
) -> None:
    """Vote for a proposal.  One about a platform has to be what follows from its collateral, verified here first."""
    member = _member(rpc, ledger, from_block, key)
    motion = member.proposal(number).motion
    if motion.action in PLATFORM_ACTIONS:
        ours = _platform_motion(motion.action, _verified_platform(root, kind, collateral, accept_status))
        if ours != motion:
            what = f"proposal {number} is not what follows from this collateral under root {root}"
            raise UnavailableError(what, "do not vote for it, or ask for the collateral that it was made from")
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
    collateral: CollateralOption = None,
    rpc: RpcOption = LOCAL_RPC,
    from_block: BlockOption = 0,
    allow_simulated: SimulatedOption = False,
) -> None:
    """Verify a registered enclave's evidence again, against what the consortium allows and believes."""
    member = _member(rpc, ledger, from_block, None)
    verified = member.check_enclave(
        parse_hex(enclave, 32),
        collateral=_read_collateral(collateral),
        now_s=int(time.time()),
        allow_simulated=allow_simulated,
    )
    if verified.is_simulated:
        typer.echo(SIMULATED, err=True)
    typer.echo(f"acceptable; root {verified.root_key_hash.hex()}, TCB {verified.tcb_status}")


def _member(rpc: str, ledger: str, from_block: int, key: Path | None) -> Member:
    secret = None if key is None else read_key(key)
    return Member(open_ledger(rpc, ledger, from_block), secret)


def _verified_platform(root: str, kind: str, collateral: Path | None, accept_status: str) -> PlatformVote:
    """What follows from a platform's collateral under the root that the member named."""
    if kind not in ROOT_KINDS:
        raise UnknownNameError("kind of root", known=ROOT_KINDS, actual=kind)
    trusted = TrustedRoot(key_hash=parse_hex(root, 32), kind=ROOT_KINDS[kind])
    vote = read_platform(_read_collateral(collateral), root=trusted, now_s=int(time.time()))
    accepted = [TcbStatus.UP_TO_DATE, *(_status(name) for name in accept_status.split(",") if name)]
    vote.check_status(frozenset(accepted))
    if trusted.kind is RootKind.SIMULATED:
        typer.echo(SIMULATED, err=True)
    typer.echo(vote.describe(), err=True)
    return vote


def _status(name: str) -> TcbStatus:
    known = {status.value: status for status in TcbStatus}
    if name not in known:
        raise UnknownNameError("TCB status", known=known, actual=name)
    return known[name]


def _platform_motion(action: Action, vote: PlatformVote) -> Motion:
    return trust_authority(vote.authority) if action is Action.TRUST_AUTHORITY else accept_tcb(vote.row)


def _read_collateral(path: Path | None) -> bytes:
    """The file, one byte more than it may have at most: what is too long is then refused by whoever parses it."""
    if path is None:
        raise typer.BadParameter("give the platform's collateral", param_hint="--collateral")
    try:
        with path.open("rb") as file:
            return file.read(MAX_COLLATERAL_BYTES + 1)
    except OSError as error:
        next_step = "`veriflock platform collateral --output FILE` writes one"
        raise UnavailableError(f"{path} can't be read ({error.strerror})", next_step) from error


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
