"""`make demo`: a federation under attack on one machine, and what an independent verifier says of it.

Responsible for: the order of the acts, and that nothing that was started survives.
Must not know:   what any party does inside.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import platform
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

import veriflock
from coordinator import anvil
from demo_parts import record
from demo_parts.acts import Acts, Lie, copy_public
from demo_parts.federation import Federation, founded, running
from demo_parts.options import Options, attack_names
from demo_parts.show import SIMULATED, JsonShow, Show
from demo_parts.stolen import Theft
from demo_parts.tamper import EXAMPLE, byte_to_change, copy_tampered, observe_refusal
from participant import data
from participant.trainers import DEFAULT_TRAINER
from protocol.errors import UnavailableError
from protocol.keys import address, to_hex
from protocol.rulebook import Rule, parse_rule

RUNS = Path(__file__).resolve().parent.parent / "runs"
VERIFY_TIMEOUT_S = 300.0
VERSIONS = ("veriflock", "numpy", "torch", "web3", "cryptography", "cbor2", "fastapi")


def main(
    participants: Annotated[int, typer.Option(help="Participant processes.")] = 10,
    byzantine: Annotated[int, typer.Option(help="How many of them attack; the f of the rule.")] = 2,
    attack: Annotated[str, typer.Option(help=f"NAME[:FACTOR]: {attack_names()}.")] = "sign-flip:4",
    rule: Annotated[str, typer.Option(help="A rule or stages and a rule, see docs/rules.md.")] = "trimmed-mean",
    dataset: Annotated[str, typer.Option(help=f"{', '.join(data.names())}.")] = "digits",
    split: Annotated[str, typer.Option(help="iid, dirichlet[:ALPHA] or label-sorted.")] = "dirichlet:1",
    rounds: Annotated[int, typer.Option(help="Rounds.")] = 8,
    seed: Annotated[int, typer.Option(help="Of data, model and training; identities are always fresh.")] = 0,
    trainer: Annotated[str, typer.Option(help="package.module:Class of every participant.")] = DEFAULT_TRAINER,
    json_: Annotated[bool, typer.Option("--json", help="One JSON object a line, for machines.")] = False,
    tamper: Annotated[
        str,
        typer.Option(help=f"Instead: change one byte of this measured file, such as {EXAMPLE}, and see who notices."),
    ] = "",
    keep_serving: Annotated[bool, typer.Option(help="Leave chain and coordinator running until Ctrl-C.")] = False,
) -> None:
    """Train a model with real processes, a real chain and real data, under attack, and verify what happened."""
    options = Options(
        participants=participants,
        byzantine=byzantine,
        attack=attack,
        rule=rule,
        dataset=dataset,
        split=split,
        rounds=rounds,
        seed=seed,
        trainer=trainer,
    )
    if tamper:
        byte_to_change(tamper)
    anvil.find_anvil()
    run = RUNS / f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    run.mkdir(parents=True)
    show = JsonShow() if json_ else Show()
    if tamper:
        raise typer.Exit(perform_tampered(options, show, run, tamper))
    raise typer.Exit(perform(options, show, run, keep_serving=keep_serving))


def perform(options: Options, show: Show | JsonShow, run: Path, *, keep_serving: bool) -> int:
    """All acts; returns the verifier's exit code, or 1 where a lie had its way."""
    began = time.monotonic()
    show.step(SIMULATED)
    with running(options, run, show.step) as federation, contextlib.closing(Acts(federation)) as acts:
        everybody = f"{options.participants} participants on {options.dataset} ({options.split})"
        show.step(f"{everybody}, {options.byzantine} of them Byzantine ({options.attack})")
        show.step(f"rule {options.rule}, model of {federation.charter.dimension:,} coordinates")
        metrics: list[record.RoundMetrics] = []
        with show.rounds():
            for done in acts.rounds(show.progress):
                metrics.append(done)
                show.round(done)
        federation.stop_participants()
        federation.stop_coordinator()
        lie = acts.lie()
        show.lie(lie)
        theft = steal(acts, show, options.rule)
        standings = acts.standings()
        show.standings(standings)
        write_down(federation, metrics, standings, lie, theft, run)
        code, report = verify(run)
        record.write_sums(run)
        link_latest(run)
        show.report(report)
        names = {"run": ".", "record": "record.json", "report": "report.json", "figure": "rounds.png"}
        relative = run.relative_to(Path.cwd()) if run.is_relative_to(Path.cwd()) else run
        show.end({name: str(relative / file) for name, file in names.items()}, time.monotonic() - began)
        if keep_serving:
            federation.start_coordinator()
            show.step(f"chain {federation.rpc} and coordinator {federation.coordinator_url} serve until Ctrl-C")
            signal.pause()
    return code if theft is None or theft.is_refuted else code or 1


def steal(acts: Acts, show: Show | JsonShow, rule: str) -> Theft | None:
    """The act with the copied key; None where the ledger has no proof for the rule, and the act would have no end."""
    if parse_rule(rule) is Rule.REPLAY:
        show.step(f"left out: a stolen attestation key.  No proof on the ledger refutes {rule}, members outvote it")
        return None
    show.step("the coordinator copies the attestation key, and starts an enclave of its own")
    with show.rounds(is_theft=True):
        theft = acts.theft(show.progress)
    show.theft(theft)
    return theft


def perform_tampered(options: Options, show: Show | JsonShow, run: Path, file: str) -> int:
    """The act with one changed byte; returns 0 where it was refused by everyone who should, else 1."""
    began = time.monotonic()
    show.step(SIMULATED)
    with tempfile.TemporaryDirectory(prefix="veriflock-tampered-") as folder:
        offset = copy_tampered(file, Path(folder))
        with founded(options, run, show.step, source=Path(folder)) as federation:
            tampering = observe_refusal(federation, file, offset)
    show.tampering(tampering)
    text = json.dumps({**asdict(tampering), "refused": tampering.is_refused}, indent=1, sort_keys=True)
    (run / "tampering.json").write_text(text + "\n", encoding="utf-8")
    relative = run.relative_to(Path.cwd()) if run.is_relative_to(Path.cwd()) else run
    show.end({"run": str(relative), "record": str(relative / "tampering.json")}, time.monotonic() - began)
    return 0 if tampering.is_refused else 1


def write_down(
    federation: Federation,
    metrics: list[record.RoundMetrics],
    standings: list[tuple[bytes, bool, int, int]],
    lie: Lie,
    theft: Theft | None,
    run: Path,
) -> None:
    """Artifacts, record, its digest on the ledger, the chain's dump, numbers and figure: in this order."""
    options = federation.options
    copy_public(federation.data / "artifacts", run / "artifacts")
    (run / "federation.json").write_bytes(federation.charter.encode())
    described = describe(federation, metrics, standings, lie, theft, run.name)
    digest = record.write_record(run / "record.json", described)
    # from here on the record can't change unnoticed: its digest is in an event of the ledger
    federation.anchor(digest)
    (run / "chain.json").write_bytes(anvil.dump_state(federation.rpc))
    record.write_csv(run / "metrics.csv", metrics)
    byzantine = [to_hex(trainee.account) for trainee in federation.trainees if trainee.is_byzantine]
    liars = f"{options.byzantine} of {options.participants} Byzantine ({options.attack})"
    record.write_figure(run / "rounds.png", metrics, byzantine, f"{options.rule}, {liars}, {options.split}")


def describe(
    federation: Federation,
    metrics: list[record.RoundMetrics],
    standings: list[tuple[bytes, bool, int, int]],
    lie: Lie,
    theft: Theft | None,
    name: str,
) -> dict[str, Any]:
    """The values of record.json.  Accuracies are the demo's own and unattested; everything else can be checked."""
    deployment, ledger, terms = federation.deployment, federation.ledger, federation.terms
    if deployment is None:
        raise UnavailableError("the contracts are not deployed")
    return {
        "version": 1,
        "id": name,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "simulated": True,
        "options": asdict(federation.options),
        "terms": {**asdict(terms), "chain": "0x" + terms.chain.hex(), "budget": str(terms.budget)},
        "versions": {
            "python": platform.python_version(),
            **{package: importlib.metadata.version(package) for package in VERSIONS},
        },
        "chain": {
            "chain_id": ledger.identity.chain_id,
            "genesis_hash": "0x" + federation.chain.genesis().hex(),
            "ledger": to_hex(deployment.ledger),
            "from_block": deployment.from_block,
            "contracts": {contract: to_hex(at) for contract, at in deployment.contracts.items()},
        },
        "federation": "0x" + deployment.federation.hex(),
        "coordinator": to_hex(address(federation.coordinator_key)),
        "measurement": "0x" + federation.measurement.hex(),
        "root": "0x" + federation.root.hex(),
        "participants": [
            {
                "address": to_hex(account),
                "byzantine": is_byzantine,
                "reputation_ppb": reputation_ppb,
                "credit_wei": str(credit_wei),
            }
            for account, is_byzantine, reputation_ppb, credit_wei in standings
        ],
        "rounds": [asdict(item) for item in metrics],
        "lie": {**asdict(lie), "fee_wei": str(lie.fee_wei)},
        "theft": theft and theft.to_map(),
    }


def verify(run: Path) -> tuple[int, dict[str, Any]]:
    """(exit code, report) of `veriflock verify --run`, a process that shares nothing with us but the folder."""
    command = [str(Path(sys.executable).with_name("veriflock")), "verify", "--run", run.name, "--without-sums"]
    command += ["--report", f"{run.name}/report.json", "--format", "json"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=VERIFY_TIMEOUT_S, check=False, cwd=run.parent
    )
    if not done.stdout:
        raise UnavailableError(f"the verifier said nothing: {done.stderr.strip()}")
    return done.returncode, json.loads(done.stdout)


def link_latest(run: Path) -> None:
    """runs/latest points at the newest run."""
    latest = run.parent / "latest"
    latest.unlink(missing_ok=True)
    latest.symlink_to(run.name)


def stop(number: int, _frame: object) -> None:
    """SIGTERM ends the demo as Ctrl-C does: through the exit stack."""
    raise KeyboardInterrupt(number)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, stop)
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    code = veriflock.run(app)
    if code == veriflock.INTERRUPTED:
        Console(stderr=True).print("stopped; nothing is left running")
    sys.exit(code)
