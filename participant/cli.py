"""`veriflock participant`: the command line of whoever trains.

Responsible for: flags, signals, wiring; the only place that makes random numbers (a new key) and reads the environment.
Must not know:   how anything is done.
"""

from __future__ import annotations

import secrets
import signal
import time
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from participant import config as configuration
from participant.attacks import ATTACKS, parse_attack
from participant.chain import Chain
from participant.charters import charter_for
from participant.client import connect
from participant.config import RunConfig
from participant.data import Dataset, Samples, histogram, load, standardise
from participant.enclave_check import Terms, check_shown
from participant.export import genesis_from_safetensors
from participant.journal import Journal, new_key_file, read_key_file
from participant.models import MODELS
from participant.proposed import Commands
from participant.run import Runner, Settings
from participant.splits import Split, deal, parse_split
from participant.stop import SignalStop
from participant.trainers import DEFAULT_TRAINER, TrainerSetup, trainer_class
from protocol.attestation.collateral import MAX_COLLATERAL_BYTES
from protocol.charter import Charter, parse_charter
from protocol.enclaves import shown
from protocol.errors import (
    CommitmentMismatchError,
    LengthError,
    PolicyError,
    RangeError,
    UnknownNameError,
    VerificationError,
)
from protocol.fixedpoint import encode_model, model_from_floats
from protocol.keys import address, parse_address, to_hex
from protocol.sealing import KEM_NAMES
from protocol.trees import model_root

app = typer.Typer(no_args_is_help=True, help="Train, and check that what you send is counted.")

Rpc = Annotated[str, typer.Option(help="JSON-RPC address of the chain.")]
Ledger = Annotated[str, typer.Option(help="Address of the RoundLedger.")]
Key = Annotated[Path, typer.Option(help="File with the identity key (`participant keygen`).")]
Data = Annotated[Path | None, typer.Option(envvar="VERIFLOCK_DATA", help="Folder with mnist/ and fashion-mnist/.")]


@app.command()
def run(
    config: Annotated[Path | None, typer.Option(help="TOML file with any of these settings; flags win.")] = None,
    rpc: Annotated[str | None, typer.Option(help="JSON-RPC address of the chain.")] = None,
    ledger: Annotated[str | None, typer.Option(help="Address of the RoundLedger.")] = None,
    coordinator: Annotated[str | None, typer.Option(help="https:// address of the coordinator.")] = None,
    ca: Annotated[Path | None, typer.Option(help="PEM of the only authority to accept for it.")] = None,
    key: Annotated[Path | None, typer.Option(help="File with the identity key.")] = None,
    state: Annotated[Path | None, typer.Option(help="Folder for updates and receipts.")] = None,
    data: Data = None,
    dataset: Annotated[str | None, typer.Option(help="Data set; must be the charter's.")] = None,
    split: Annotated[str | None, typer.Option(help="iid, dirichlet[:ALPHA] or label-sorted.")] = None,
    index: Annotated[int | None, typer.Option(help="Which shard of the split, from 0.", min=0)] = None,
    participants: Annotated[int | None, typer.Option(help="How many shards the split has.", min=1)] = None,
    seed: Annotated[int | None, typer.Option(help="The federation's seed.", min=0)] = None,
    trainer: Annotated[str | None, typer.Option(help=f"package.module:Class; default {DEFAULT_TRAINER}.")] = None,
    attack: Annotated[str | None, typer.Option(help=f"Be Byzantine, NAME[:FACTOR]: {', '.join(ATTACKS)}.")] = None,
    allow_simulated: Annotated[
        bool | None, typer.Option(help="Accept an enclave whose quote is simulated: it says nothing about hardware.")
    ] = None,
    join: Annotated[bool | None, typer.Option(help="Pay the deposit and join if needed.")] = None,
    rounds: Annotated[int | None, typer.Option(help="Stop after so many rounds; 0: never.", min=0)] = None,
    poll_s: Annotated[float | None, typer.Option(help="Seconds between looks at the chain.", min=0.05)] = None,
    from_block: Annotated[int | None, typer.Option(help="Where the ledger's events start.", min=0)] = None,
) -> None:
    """Take part in every round until stopped (Ctrl-C or SIGTERM)."""
    flags = {name: value for name, value in locals().items() if name != "config"}
    _run(configuration.merge(config, flags))


@app.command("check")
def check_coordinator(
    rpc: Rpc,
    ledger: Ledger,
    coordinator: Annotated[str, typer.Option(help="https:// address of the coordinator.")],
    ca: Annotated[Path | None, typer.Option(help="PEM of the only authority to accept for it.")] = None,
    allow_simulated: Annotated[
        bool, typer.Option(help="Accept an enclave whose quote is simulated: it says nothing about hardware.")
    ] = False,
    from_block: Annotated[int, typer.Option(help="Where the ledger's events start.", min=0)] = 0,
) -> None:
    """Would I seal to the enclave that this coordinator runs?  The check of `run`, for what it shows directly."""
    chain = Chain(rpc, parse_address(ledger), from_block=from_block)
    with connect(coordinator, ca=ca) as site:
        evidence, authority = shown(*site.enclave())
        checked = check_shown(
            chain,
            evidence,
            authority,
            terms=Terms(charter_hash=chain.charter_hash(), allow_simulated=allow_simulated),
            fetch=lambda digest: site.blob(digest, MAX_COLLATERAL_BYTES),
            now_s=int(time.time()),
        )
    registered = chain.enclave(checked.enclave)
    typer.echo(f"the evidence would do: {checked.describe()}")
    if registered is None or not registered.is_active:
        raise PolicyError("enclave on the ledger", expected="registered and active", actual="not, or not any more")
    typer.echo("registered and active: I would seal to it")


@app.command()
def keygen(out: Annotated[Path, typer.Argument(help="The file to make; never replaced.")]) -> None:
    """Make an identity key and print its address."""
    key = secrets.token_bytes(32)
    new_key_file(out, key)
    typer.echo(to_hex(address(key)))


@app.command()
def withdraw(rpc: Rpc, ledger: Ledger, key: Key) -> None:
    """Take the credit out, to the payout address."""
    secret = read_key_file(key)
    chain = Chain(rpc, parse_address(ledger), key=secret)
    credit = chain.credit_wei(address(secret))
    if not credit:
        typer.echo("nothing to withdraw: the credit is 0 wei")
        return
    chain.withdraw()
    typer.echo(f"withdrew {credit} wei")


@app.command()
def leave(rpc: Rpc, ledger: Ledger, key: Key) -> None:
    """Take part in no further round; the deposit comes back with `reclaim`."""
    Chain(rpc, parse_address(ledger), key=read_key_file(key)).leave()
    typer.echo("left; `veriflock participant reclaim` returns the deposit once the open round is over")


@app.command()
def reclaim(rpc: Rpc, ledger: Ledger, key: Key) -> None:
    """Take the deposit back after leaving."""
    Chain(rpc, parse_address(ledger), key=read_key_file(key)).reclaim()
    typer.echo("deposit returned")


@app.command()
def charter(
    out: Annotated[Path, typer.Argument(help="The charter to write (federation.json).")],
    dataset: Annotated[str, typer.Option(help="Data set.")],
    model: Annotated[str, typer.Option(help=f"{', '.join(MODELS)}.")],
    name: Annotated[str, typer.Option(help="Name of the federation, for people.")],
    kem: Annotated[str, typer.Option(help=f"How updates are sealed: {', '.join(KEM_NAMES)}.")] = "mlkem768-x25519",
    data: Data = None,
) -> None:
    """Make the charter that a new federation is founded with (`veriflock coordinator deploy`); print its SHA-256."""
    if kem not in KEM_NAMES:
        raise UnknownNameError("KEM", known=KEM_NAMES, actual=kem)
    made = charter_for(name, load(dataset, data), model=model, kem=KEM_NAMES[kem])
    out.write_bytes(made.encode())
    typer.echo(f"charter {made.sha256().hex()}")


@app.command()
def genesis(
    out: Annotated[Path, typer.Argument(help="The model file to write: int32, little-endian.")],
    charter: Annotated[Path, typer.Option(help="The federation's charter (federation.json).")],
    start: Annotated[Path | None, typer.Option("--from", help="Start from this safetensors file.")] = None,
    seed: Annotated[int, typer.Option(help="Without --from: seed of the trainer's initial model.", min=0)] = 0,
    trainer: Annotated[str, typer.Option(help="Without --from: package.module:Class.")] = DEFAULT_TRAINER,
) -> None:
    """Make the model that a new federation is founded with (`veriflock coordinator deploy`), and print its root."""
    terms = parse_charter(charter.read_bytes())
    vector = genesis_from_safetensors(start, terms.model) if start else trainer_class(trainer).initial(terms, seed)
    if vector.shape != (terms.dimension,):
        raise LengthError("coordinates of the model", expected=terms.dimension, actual=vector.shape)
    model = model_from_floats(vector, terms.model_exponent)
    out.write_bytes(encode_model(model))
    typer.echo(f"root {model_root(model).hex()}")


@app.command(name="histogram")
def show_histogram(
    dataset: Annotated[str, typer.Option(help="Data set.")] = "digits",
    split: Annotated[str, typer.Option(help="iid, dirichlet[:ALPHA] or label-sorted.")] = "dirichlet:1",
    participants: Annotated[int, typer.Option(help="How many shards.", min=1)] = 10,
    seed: Annotated[int, typer.Option(help="The federation's seed.", min=0)] = 0,
    data: Data = None,
) -> None:
    """Print how many samples of each label every participant gets."""
    loaded = load(dataset, data)
    shards = deal(parse_split(split), loaded.train.labels, participants=participants, seed=seed)
    width = max(5, len(str(len(loaded.train))) + 1)
    labels = "".join(f"{label:>{width}}" for label in range(loaded.classes))
    typer.echo(f"participant{'samples':>9}{labels}")
    for number, shard in enumerate(shards):
        counts = "".join(f"{n:>{width}}" for n in histogram(loaded.train.labels[shard], loaded.classes))
        typer.echo(f"{number:>11}{len(shard):>9}{counts}")
    counts = "".join(f"{n:>{width}}" for n in histogram(loaded.held_out.labels, loaded.classes))
    typer.echo(f"{'held out':>11}{len(loaded.held_out):>9}{counts}")


def _run(config: RunConfig) -> None:
    stop = SignalStop()
    attack = parse_attack(config.attack)  # names are checked before anything is started
    split = parse_split(config.split)
    make_trainer = trainer_class(config.trainer)
    key = read_key_file(config.key)
    _stop_on_signals(stop)
    chain = Chain(config.rpc, parse_address(config.ledger), key=key, from_block=config.from_block)
    with connect(config.coordinator, ca=config.ca, stop=stop) as coordinator:
        charter = _checked_charter(coordinator.charter(), chain)
        dataset = _dataset(config, charter)
        shard = _shard(config, dataset, split, charter)
        counts = histogram(shard.labels, dataset.classes)
        typer.echo(f"{to_hex(address(key))}: {dataset.name}, {len(shard)} samples, labels {counts}")
        if config.attack is not None:
            typer.echo(f"BYZANTINE: {config.attack}")
        samples = attack.samples(shard, charter.classes)
        setup = TrainerSetup(charter=charter, samples=samples, seed=config.seed, index=config.index)
        runner = Runner(
            chain=chain,
            coordinator=coordinator,
            charter=charter,
            trainer=make_trainer(setup),
            samples=len(shard),
            attack=attack,
            journal=Journal(config.state, chain.federation),
            key=key,
            settings=Settings(
                seed=config.seed,
                index=config.index,
                allow_simulated=config.allow_simulated,
                join=config.join,
                rounds=config.rounds,
                poll_s=config.poll_s,
            ),
            commands=Commands(
                rpc=config.rpc,
                ledger=chain.domain.ledger,
                coordinator=config.coordinator,
                ca=config.ca,
                key=config.key,
                has_dispute=find_spec("verifier") is not None,
            ),
            stop=stop,
            say=typer.echo,
        )
        runner.run()
    if runner.broken:
        raise VerificationError("receipts that were not honoured", check="promise", expected=0, actual=runner.broken)
    typer.echo("stopped")


def _checked_charter(data: bytes, chain: Chain) -> Charter:
    charter = parse_charter(data)
    if charter.sha256() != chain.charter_hash():
        raise CommitmentMismatchError("charter", expected=chain.charter_hash(), actual=charter.sha256())
    return charter


def _dataset(config: RunConfig, charter: Charter) -> Dataset:
    name = config.dataset or charter.dataset
    if name != charter.dataset:
        raise PolicyError("dataset", expected=f"the charter's, {charter.dataset}", actual=name)
    return load(name, config.data)


def _shard(config: RunConfig, dataset: Dataset, split: Split, charter: Charter) -> Samples:
    if not 0 <= config.index < config.participants:
        raise RangeError("index", expected=f"0 to {config.participants - 1}", actual=config.index)
    shards = deal(split, dataset.train.labels, participants=config.participants, seed=config.seed)
    raw = dataset.train.take(shards[config.index])
    return Samples(features=standardise(raw.features, charter.offsets_q16, charter.scales_q16), labels=raw.labels)


def _stop_on_signals(stop: SignalStop) -> None:
    """SIGTERM and Ctrl-C end the loop after the step that it is in; a receipt on its way is still kept."""

    def handle(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handle)
