"""`veriflock coordinator` and `veriflock consortium` as a person types them, from nothing to a bonded coordinator."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from coordinator.chain import RevertedError
from coordinator.cli import app as coordinator_app
from coordinator.consortium_cli import app as consortium_app
from coordinator.founding import EXAMPLE
from coordinator.keyfile import read_key
from coordinator.platform.cli import app as platform_app
from protocol.errors import PolicyError, UnavailableError, UnknownNameError, VerificationError
from protocol.keys import address, parse_address, to_hex
from tests.support.anvil import TestChain
from tests.support.federation import charter

DIMENSION = 4


@dataclass
class Desk:
    """A folder, a chain, and somebody who types."""

    chain: TestChain
    folder: Path

    def run(self, app: typer.Typer, *arguments: object) -> str:
        """What a command prints; its error is raised."""
        result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.stdout

    def key(self, name: str) -> Path:
        """A key file of a new account with money."""
        path = self.folder / f"{name}.key"
        account = self.run(consortium_app, "key", path).strip()
        self.chain.ask("anvil_setBalance", account, hex(10**21))
        return path

    def member(self, *arguments: object) -> str:
        """A member's command on the deployed ledger."""
        deployment = json.loads((self.folder / "out" / "deployment.json").read_text())
        tail = ("--ledger", deployment["ledger"], "--rpc", self.chain.rpc, "--from-block", deployment["from_block"])
        return self.run(consortium_app, *arguments, *tail)


@pytest.fixture
def desk(test_chain: TestChain, tmp_path: Path) -> Desk:
    return Desk(chain=test_chain, folder=tmp_path)


def test_from_nothing_to_a_bonded_coordinator(desk: Desk) -> None:
    folder = desk.folder
    member, founder = desk.key("member"), desk.key("founder")
    (folder / "federation.json").write_bytes(charter(DIMENSION).encode())
    (folder / "genesis.model").write_bytes(bytes(4 * DIMENSION))
    example = desk.run(coordinator_app, "deploy", "--example")
    assert example == EXAMPLE
    text = example.replace(to_hex(bytes(19) + b"\1"), to_hex(address(read_key(member)))).replace("86400", "0")
    (folder / "founding.toml").write_text(text)
    deploy = ("deploy", folder / "founding.toml", "--key", founder, "--out", folder / "out", "--rpc", desk.chain.rpc)
    first = desk.run(coordinator_app, *deploy)
    assert desk.run(coordinator_app, *deploy) == first  # again is the same federation
    deployment = json.loads(first)

    home = folder / "home"
    desk.run(
        *(coordinator_app, "init", home, "--ledger", deployment["ledger"], "--rpc", desk.chain.rpc),
        *("--charter", folder / "federation.json", "--genesis-model", folder / "genesis.model"),
    )
    account = to_hex(address(read_key(home / "coordinator.key")))
    desk.chain.ask("anvil_setBalance", account, hex(10**22))
    config = ("--config", home / "coordinator.toml")
    wanted = str(2 * 10**18)
    assert desk.run(coordinator_app, "bond", *config, "--at-least", wanted) == f"bond of {account}: {wanted} wei\n"
    assert desk.run(coordinator_app, "bond", *config, "--at-least", wanted) == f"bond of {account}: {wanted} wei\n"
    assert desk.run(coordinator_app, "fund", *config, "--at-least", "77") == "treasury: 77 wei\n"

    key = ("--key", member)
    assert desk.member("propose", "admit-coordinator", account, *key) == "proposal 1\n"
    assert desk.member("execute", 1, *key) == f"1  admit-coordinator  {account}  votes 1  executed\n"
    status = json.loads(desk.run(coordinator_app, "status", *config))
    assert (status["is_coordinator"], status["bond_wei"], status["treasury_wei"]) == (True, wanted, "77")
    assert parse_address(status["account"]) == address(read_key(home / "coordinator.key"))

    measurement = "0x" + "11" * 32
    desk.member("propose", "allow-measurement", measurement, *key)
    terms = text.split("[terms]")[1].split("\n", 1)[1].split("[[members]]")[0].replace("f = 2 ", "f = 1 ")
    (folder / "terms.toml").write_text(terms)
    charter_option = ("--charter", folder / "federation.json")
    desk.member("propose", "set-terms", folder / "terms.toml", "--from-round", 5, *charter_option, *key)
    desk.member("execute", 3, *key)
    shown = json.loads(desk.member("show", "--json"))
    assert [(item["action"], item["executed"]) for item in shown] == [
        ("admit-coordinator", True),
        ("allow-measurement", False),
        ("set-terms", True),
    ]
    assert shown[1]["subject"] == measurement

    with pytest.raises(RevertedError, match="AlreadyVoted"):
        desk.member("vote", 2, *key)
    with pytest.raises(UnknownNameError, match="unknown action: expected one of accept-tcb, admit-coordinator"):
        desk.member("propose", "admit-everybody", account, *key)
    with pytest.raises(UnknownNameError, match="unknown proposal: expected one of 1, 2, 3, got 9"):
        desk.member("execute", 9, *key)
    vote_on_a_platform(desk, key)


def vote_on_a_platform(desk: Desk, key: tuple[str, Path]) -> None:
    """Only what follows from collateral under the root that the member names is proposed, and voted for."""
    platform, file = ("--dir", desk.folder / "platform"), desk.folder / "collateral.json"
    root = desk.run(platform_app, "root", *platform).strip()
    desk.run(platform_app, "collateral", *platform, "--output", file)
    named = ("--kind", "simulated", "--collateral", file)
    accepted = ("--accept-status", "SWHardeningNeeded")
    with pytest.raises(PolicyError, match=r"TCB status of the platform: expected one of UpToDate, got SWHardening"):
        desk.member("propose", "trust-authority", root, *named, *key)
    with pytest.raises(VerificationError, match="key of the root"):
        desk.member("propose", "trust-authority", "11" * 32, *named, *accepted, *key)
    with pytest.raises(UnknownNameError, match="unknown kind of root: expected one of aws, intel, simulated"):
        desk.member("propose", "trust-authority", root, "--kind", "real", "--collateral", file, *key)
    with pytest.raises(UnavailableError, match="can't be read"):
        desk.member("propose", "trust-authority", root, "--kind", "simulated", "--collateral", desk.folder / "no", *key)

    assert desk.member("propose", "trust-authority", root, *named, *accepted, *key) == "proposal 4\n"
    assert "executed" in desk.member("execute", 4, *key)
    assert desk.member("propose", "accept-tcb", root, *named, *accepted, *key) == "proposal 5\n"
    other = desk.folder / "other.json"
    desk.run(platform_app, "collateral", "--dir", desk.folder / "another", "--output", other)
    another = desk.run(platform_app, "root", "--dir", desk.folder / "another").strip()
    with pytest.raises(UnavailableError, match="proposal 5 is not what follows from this collateral"):
        desk.member("vote", 5, "--root", another, "--kind", "simulated", "--collateral", other, *accepted, *key)
    with pytest.raises(RevertedError, match="AlreadyVoted"):  # the same as was proposed: only that it is cast already
        desk.member("vote", 5, "--root", root, *named, *accepted, *key)
    assert "executed" in desk.member("execute", 5, *key)
    with pytest.raises(UnavailableError, match="is not registered"):
        desk.member("check-enclave", "11" * 32, "--collateral", file)


def test_init_never_replaces_a_coordinator(desk: Desk) -> None:
    folder = desk.folder
    (folder / "federation.json").write_bytes(charter(DIMENSION).encode())
    (folder / "genesis.model").write_bytes(bytes(4 * DIMENSION))
    arguments = (
        *("init", folder / "home", "--ledger", to_hex(b"\1" * 20), "--charter", folder / "federation.json"),
        *("--genesis-model", folder / "genesis.model"),
    )
    desk.run(coordinator_app, *arguments)
    before = (folder / "home" / "coordinator.key").read_bytes()
    with pytest.raises(UnavailableError, match=r"coordinator.key exists already"):
        desk.run(coordinator_app, *arguments)
    assert (folder / "home" / "coordinator.key").read_bytes() == before
