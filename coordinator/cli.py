"""`veriflock coordinator`: the coordinator on the command line.

Responsible for: arguments, signals, and lines for people.
Must not know:   how anything is done.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from coordinator import log
from coordinator.chain import Chain
from coordinator.config import Config, read_config, render_config
from coordinator.deploy import Deployment, deploy
from coordinator.founding import EXAMPLE, read_founding
from coordinator.keyfile import make_certificate, new_key, read_key, write_key, write_private
from coordinator.ledger import Ledger
from coordinator.outbox import Outbox
from coordinator.server import Coordinator, open_coordinator
from coordinator.store import Store
from protocol.charter import parse_charter
from protocol.keys import address, parse_address, to_hex

app = typer.Typer(no_args_is_help=True, help="Collect updates, propose results, and stake a bond on them.")

ConfigOption = Annotated[Path, typer.Option("--config", help="The coordinator's TOML file.")]
RpcOption = Annotated[str, typer.Option("--rpc", help="JSON-RPC address of the chain.")]
LOCAL_RPC = "http://127.0.0.1:8545"
SECOND_SIGNAL_EXIT = 130
LOOK_S = 0.2
"""How often the main thread, which only takes signals, looks whether it is time to go."""


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="Folder to make the coordinator in.")],
    ledger: Annotated[str, typer.Option("--ledger", help="Address of the RoundLedger.")],
    charter: Annotated[Path, typer.Option("--charter", help="The federation's charter (federation.json).")],
    genesis_model: Annotated[Path, typer.Option("--genesis-model", help="The model of round 0, int32 little-endian.")],
    rpc: RpcOption = LOCAL_RPC,
    from_block: Annotated[int, typer.Option("--from-block", help="Block of the ledger's deployment.")] = 0,
    port: Annotated[int, typer.Option("--port", help="TCP port; 0 takes a free one.")] = 8443,
    names: Annotated[
        str, typer.Option("--names", help="Names and addresses in the TLS certificate, with commas.")
    ] = "localhost,127.0.0.1,::1",
) -> None:
    """Make a coordinator's folder: identity key, self-signed TLS certificate, configuration, copies of both files."""
    parse_charter(charter.read_bytes())
    text = render_config(rpc=rpc, ledger=to_hex(parse_address(ledger)), from_block=from_block, port=port)
    key = new_key()
    certificate, private = make_certificate(names.split(","), datetime.now(UTC))
    write_key(folder / "coordinator.key", key)
    write_private(folder / "certificate.key", private)
    for name, data in (("certificate.pem", certificate), ("coordinator.toml", text.encode())):
        write_private(folder / name, data)
        (folder / name).chmod(0o644)
    for source, name in ((charter, "federation.json"), (genesis_model, "genesis.model")):
        if source.resolve() != (folder / name).resolve():
            shutil.copyfile(source, folder / name)
    typer.echo(f"address {to_hex(address(key))}")
    typer.echo(f"configuration {folder / 'coordinator.toml'}")


@app.command("deploy")
def deploy_command(
    founding: Annotated[Path | None, typer.Argument(help="Founding file, TOML.")] = None,
    key: Annotated[Path | None, typer.Option("--key", help="Key file of the account that pays.")] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder for the outcome and for going on after a crash.")] = Path(
        "deployment"
    ),
    rpc: RpcOption = LOCAL_RPC,
    timeout_s: Annotated[float, typer.Option("--timeout", help="Seconds until a transaction must be mined.")] = 300,
    example: Annotated[bool, typer.Option("--example", help="Print an example of a founding file and exit.")] = False,
) -> None:
    """Found a federation: deploy its four contracts and write deployment.json."""
    if example:
        typer.echo(EXAMPLE, nl=False)
        return
    if founding is None or key is None:
        raise typer.BadParameter("a founding file and --key are needed (or --example)")
    log.configure(None)
    wanted = read_founding(founding)
    chain = Chain(rpc, timeout_s=10)
    with Store(out) as store:
        outbox = Outbox(store, chain, read_key(key), timeout_s=timeout_s)
        done = deploy(chain, outbox, store, wanted, federation=secrets.token_bytes(32))
        text = render_deployment(done, chain)
        (out / "deployment.json").write_text(text, encoding="utf-8")
    typer.echo(text, nl=False)


@app.command()
def serve(
    config: ConfigOption,
    rounds: Annotated[
        int | None, typer.Option("--rounds", min=1, help="Open no round after this number; without it, until stopped.")
    ] = None,
    keep_serving: Annotated[
        bool, typer.Option("--keep-serving", help="After the last round, go on answering until stopped.")
    ] = False,
    log_file: Annotated[Path | None, typer.Option("--log", help="Append events there, not to standard error.")] = None,
) -> None:
    """Run: open rounds, collect updates, propose results, settle.  SIGTERM or Ctrl-C stops after the step at hand."""
    log.configure(log_file)
    with open_coordinator(read_config(config)) as running:

        def on_signal(*_: object) -> None:
            if running.stop.is_set():
                os._exit(SECOND_SIGNAL_EXIT)  # a second one: everything is durable at any point
            running.stop.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, on_signal)
        typer.echo(f"listening on {running.url}")
        _work(running, rounds)
        if keep_serving and not running.stop.is_set():
            typer.echo("all rounds are final; still serving")
            while not running.stop.is_set():
                time.sleep(LOOK_S)
    log.log_event("stopped")


def _work(running: Coordinator, last_round: int | None) -> None:
    """Runs the service in a thread of its own: a signal handler that sets `stop` in the thread that waits for it could
    wait for the event's lock for ever."""
    failures: list[BaseException] = []

    def work() -> None:
        try:
            running.service.run(running.stop, last_round=last_round)
        except BaseException as error:
            failures.append(error)

    worker = threading.Thread(target=work, name="service", daemon=True)
    worker.start()
    while worker.is_alive():
        worker.join(LOOK_S)
    if failures:
        raise failures[0]


@app.command()
def bond(
    config: ConfigOption,
    at_least: Annotated[str, typer.Option("--at-least", help="Wei that the bond has afterwards, at least.")],
) -> None:
    """Add to the coordinator's bond up to an amount.  The coordinator must not be running: it uses the same key."""
    target = _wei(at_least)
    with _offline(read_config(config)) as (ledger, outbox):
        now = ledger.bond(outbox.sender)
        if now < target:
            outbox.send(f"bond/{target}-{now}", ledger.bond_call(target - now))
        typer.echo(f"bond of {to_hex(outbox.sender)}: {ledger.bond(outbox.sender)} wei")


@app.command()
def fund(
    config: ConfigOption,
    at_least: Annotated[str, typer.Option("--at-least", help="Wei that the treasury has afterwards, at least.")],
) -> None:
    """Add to the treasury up to an amount.  The coordinator must not be running: it uses the same key."""
    target = _wei(at_least)
    with _offline(read_config(config)) as (ledger, outbox):
        now = ledger.treasury()
        if now < target:
            outbox.send(f"fund/{target}-{now}", ledger.fund_call(target - now))
        typer.echo(f"treasury: {ledger.treasury()} wei")


@app.command()
def status(config: ConfigOption) -> None:
    """Print what the ledger says of the federation and of this coordinator, as JSON."""
    settings = read_config(config)
    account = address(read_key(settings.paths.key))
    chain = Chain(settings.chain.rpc, timeout_s=settings.chain.timeout_s)
    ledger = Ledger(chain, settings.chain.ledger, from_block=settings.chain.from_block)
    round_id = ledger.current_round()
    found = {
        "account": to_hex(account),
        "balance_wei": str(chain.balance(account)),
        "bond_wei": str(ledger.bond(account)),
        "is_coordinator": ledger.is_coordinator(account),
        "federation": "0x" + ledger.federation.hex(),
        "ledger": to_hex(ledger.address),
        "model": "0x" + ledger.model().hex(),
        "now": chain.now(),
        "participants": len(ledger.active_participants()),
        "round": round_id,
        "state": ledger.state_of(round_id).name.lower() if round_id else "none",
        "treasury_wei": str(ledger.treasury()),
    }
    typer.echo(json.dumps(found, indent=2))


def render_deployment(done: Deployment, chain: Chain) -> str:
    """The text of deployment.json."""
    values = {
        "chain_id": chain.chain_id(),
        "contracts": {name: to_hex(at) for name, at in sorted(done.contracts.items())},
        "federation": "0x" + done.federation.hex(),
        "from_block": done.from_block,
        "genesis": "0x" + chain.genesis().hex(),
        "ledger": to_hex(done.ledger),
        "transactions": ["0x" + found.hex() for found in done.transactions],
    }
    return json.dumps(values, indent=2, sort_keys=True) + "\n"


@contextmanager
def _offline(config: Config) -> Iterator[tuple[Ledger, Outbox]]:
    """Ledger and outbox of a coordinator that is not running."""
    key, settings = read_key(config.paths.key), config.chain
    chain = Chain(settings.rpc, timeout_s=settings.timeout_s)
    ledger = Ledger(chain, settings.ledger, from_block=settings.from_block)
    with Store(config.paths.data) as store:
        outbox = Outbox(store, chain, key, timeout_s=settings.transaction_s)
        outbox.resume()
        yield ledger, outbox


def _wei(text: str) -> int:
    if not text.isdecimal():
        raise typer.BadParameter(f"expected decimal digits of wei, got {text}")
    return int(text)
