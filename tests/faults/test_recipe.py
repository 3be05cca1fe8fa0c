"""The whole recipe on an honest run folder, and on copies in which one thing was changed."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from protocol.errors import VeriflockError
from protocol.events import Action
from protocol.evidence import parse_evidence
from protocol.fixedpoint import encode_row
from protocol.hashing import sha256
from protocol.keys import address, to_hex
from protocol.outcomes import Reason
from protocol.platforms import certificate_id, revocation_data
from protocol.rulebook import RULE_NAMES
from tests.support.verified import app, bad_news, copied, flip, honest, named, new_world, run
from tests.support.world import RoundWorld, terms, write_sums
from verifier.checks.folder import check_32_sums
from verifier.report import Status

__all__ = ["honest"]


def test_an_honest_federation_holds_and_says_that_it_is_simulated(honest: RoundWorld) -> None:
    report = run(honest.folder)
    assert bad_news(report) == []
    assert report.exit_code == 0
    assert report.is_simulated
    assert len(report.checks) == 6 + 1 + 4 + 6 * 20 + 7  # the late round has no result
    assert {check.round_id for check in report.checks} == {None, *range(1, 8)}


def test_the_command_says_0_and_writes_the_same_report_twice(honest: RoundWorld, tmp_path: Path) -> None:
    arguments = ["--run", str(honest.folder), "--format", "json", "--report", str(tmp_path / "report.json")]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["status"] == "ok"
    assert (tmp_path / "report.json").read_text() == done.stdout
    text = CliRunner().invoke(app, ["--run", str(honest.folder), "--round", "4"])
    assert text.exit_code == 0
    assert text.stdout.count("SIMULATED quotes") == 2
    assert "\x1b[" not in text.stdout


def test_over_rpc_the_same_holds(honest: RoundWorld) -> None:
    arguments = ["--rpc", honest.rpc, "--ledger", to_hex(honest.domain.ledger)]
    done = CliRunner().invoke(app, [*arguments, "--artifacts", str(honest.folder / "artifacts")])
    assert done.exit_code == 0, done.output
    without = CliRunner().invoke(app, [*arguments, "--rounds", "1-2"])
    assert without.exit_code == 2
    assert "nobody said where the artifacts are" in without.stdout


def test_rounds_that_do_not_exist_are_not_passed(honest: RoundWorld) -> None:
    assert CliRunner().invoke(app, ["--run", str(honest.folder), "--round", "99"]).exit_code == 2
    assert CliRunner().invoke(app, ["--run", str(honest.folder), "--rounds", "3-x"]).exit_code == 2


def test_any_byte_of_any_file_is_under_the_sums(honest: RoundWorld, tmp_path: Path) -> None:
    folder = copied(honest, tmp_path)
    for number, path in enumerate(sorted(p for p in folder.rglob("*") if p.is_file())):
        before = path.read_bytes()
        flip(path, 7919 * number)
        with pytest.raises(VeriflockError):
            check_32_sums(folder)
        path.write_bytes(before)
    check_32_sums(folder)


@pytest.mark.parametrize(
    ("pattern", "noticed"),
    [
        ("artifacts/blobs/*", "blobs"),
        ("artifacts/rounds/1.cbor", "set"),
        ("federation.json", "charter"),
        ("record.json", "record"),
    ],
)
def test_with_the_sums_made_anew_another_check_notices(
    honest: RoundWorld, tmp_path: Path, pattern: str, noticed: str
) -> None:
    folder = copied(honest, tmp_path)
    paths = sorted(folder.glob(pattern))
    for at in (0, 20, 97, 333):
        path = paths[at % len(paths)]
        before = path.read_bytes()
        flip(path, at)
        write_sums(folder)
        report = run(folder, 1, 1)
        assert report.exit_code == 1
        assert noticed in named(report, Status.REFUTED)
        path.write_bytes(before)


@pytest.mark.parametrize(
    "needle", [b'"accounts":{"0x', b'"stateRoot":"0x', b'"data":"0x0', b'"input":"0x', b'"code":"0x6']
)
def test_a_changed_chain_is_noticed_by_the_chain_itself(honest: RoundWorld, tmp_path: Path, needle: bytes) -> None:
    folder = copied(honest, tmp_path)
    path = folder / "chain.json"
    raw = path.read_bytes()
    flip(path, raw.rindex(needle) + len(needle) + 1 if needle != b'"data":"0x0' else _data_of_a_log(raw))
    write_sums(folder)
    report = run(folder, 1, 1)
    assert named(report, Status.REFUTED) == {"chain"}
    assert report.exit_code == 1


def _data_of_a_log(raw: bytes) -> int:
    receipt = raw.rindex(b'"receipt":{', 0, raw.rindex(b'"logs":[{"address"'))
    return raw.index(b'"data":"0x', receipt) + 12


@pytest.mark.parametrize("name", ["chain.json", "record.json", "federation.json", "SHA256SUMS", "artifacts"])
def test_what_is_missing_is_not_passed(honest: RoundWorld, tmp_path: Path, name: str) -> None:
    folder = copied(honest, tmp_path)
    shutil.rmtree(folder / name) if (folder / name).is_dir() else (folder / name).unlink()
    done = CliRunner().invoke(app, ["--run", str(folder), "--round", "1"])
    assert done.exit_code in (1, 2)
    assert "could not tell" in done.stdout or "REFUTED" in done.stdout


def test_before_the_sums_are_written_their_check_can_be_left_out(honest: RoundWorld, tmp_path: Path) -> None:
    folder = copied(honest, tmp_path)
    (folder / "SHA256SUMS").unlink()
    done = CliRunner().invoke(app, ["--run", str(folder), "--round", "1", "--without-sums"])
    assert done.exit_code == 0
    assert "SHA256SUMS: not written yet" in done.stdout


def test_whose_federation_it_is_stands_in_the_report_and_can_be_pinned(honest: RoundWorld) -> None:
    arguments = ["--run", str(honest.folder), "--round", "1"]
    report = run(honest.folder, 1, 1)
    members = [to_hex(address(key)) for key in honest.members]
    [votes] = [check for check in report.checks if check.number == 4]
    for text in (*members, honest.federation.hex(), to_hex(honest.domain.ledger), honest.charter.sha256().hex()):
        assert text in " ".join(report.subject.values())
        assert text in votes.evidence
    assert "compare ledger, federation id, genesis hash and members" in " ".join(report.not_checked)
    assert "no EVM is run" in " ".join(report.not_checked)
    genesis = report.subject["genesis"]
    told = ["--federation", "0x" + honest.federation.hex(), "--genesis", genesis]
    assert CliRunner().invoke(app, [*arguments, *told]).exit_code == 0
    for option, number in (("--genesis", 1), ("--federation", 2)):
        done = CliRunner().invoke(app, [*arguments, option, "ab" * 32, "--format", "json"])
        assert done.exit_code == 1
        assert {c["number"] for c in json.loads(done.stdout)["checks"] if c["status"] == "refuted"} == {number}
        assert CliRunner().invoke(app, [*arguments, option, "12"]).exit_code == 2


@pytest.mark.parametrize("given", ["nothing", "other bytes"])
def test_without_the_collateral_nobody_can_tell_whether_the_quote_was_good(
    honest: RoundWorld, tmp_path: Path, given: str
) -> None:
    folder = copied(honest, tmp_path)
    collateral = folder / "artifacts" / "blobs" / honest.hardware.collateral_hash.hex()
    if given == "nothing":
        collateral.unlink()
    else:
        flip(collateral, 1000)
    write_sums(folder)
    report = run(folder, 1, 1)
    assert named(report, Status.UNKNOWN) == {"quote"}
    assert named(report, Status.REFUTED) == ({"blobs"} if given == "other bytes" else set())


@pytest.mark.parametrize("kind", ["pipe", "link", "linked folder", "link that leads nowhere"])
def test_what_is_no_file_is_refuted_in_a_run_folder(honest: RoundWorld, tmp_path: Path, kind: str) -> None:
    folder = copied(honest, tmp_path)
    place = folder / "artifacts" / "more"
    if kind == "pipe":
        os.mkfifo(place)
    else:
        names = {"link": "/dev/zero", "linked folder": str(honest.folder), "link that leads nowhere": "/nowhere/at/all"}
        place.symlink_to(names[kind])
    report = run(folder, 1, 1)
    assert named(report, Status.REFUTED) == {"sums"}
    assert "artifacts/more in the folder" in bad_news(report)[0]


def test_a_row_too_many_in_the_evidence_is_refused(honest: RoundWorld, tmp_path: Path) -> None:
    folder = copied(honest, tmp_path)
    path = folder / "artifacts" / "rounds" / "2.cbor"
    evidence = parse_evidence(path.read_bytes())
    row = encode_row(np.zeros(40, dtype=np.int16))
    path.write_bytes(replace(evidence, rows=(sha256(row), *evidence.rows[1:])).encode())
    report = run(folder, 2, 2)
    assert named(report, Status.REFUTED) == {"set", "sums"}


def test_members_who_change_their_mind_about_platforms_are_followed(tmp_path: Path) -> None:
    """Every vote about platforms, between two rounds that hold."""
    with new_world(tmp_path) as world:
        world.play(terms("median"))
        believed, stranger = world.hardware.vote, sha256(b"an authority that nobody trusts")
        world.vote(Action.REJECT_TCB, believed.row.tcb)
        world.vote(Action.ACCEPT_TCB, believed.row.tcb, believed.row.encode())
        for authority, serial in ((stranger, 7), (believed.row.authority, 8)):
            data = revocation_data(authority, serial)
            world.vote(Action.REVOKE_CERTIFICATE, certificate_id(authority, serial), data)
        world.vote(Action.DISTRUST_AUTHORITY, believed.row.authority)
        world.vote(Action.TRUST_AUTHORITY, believed.row.authority, believed.authority.encode())
        world.play(terms("median"))
        world.vote(Action.REJECT_TCB, believed.row.tcb)
        world.vote(Action.REVOKE_ENCLAVE, world.enclave)
        world.finish()
    report = run(tmp_path)
    assert bad_news(report) == []
    assert report.exit_code == 0


def test_random_honest_rounds_hold(tmp_path: Path) -> None:
    """Rules, absences, refusals, commitments and samples as they come; too few counted among them."""
    random = np.random.default_rng(3)
    with new_world(tmp_path) as world:
        for _ in range(14):
            rule = str(random.choice(sorted(RULE_NAMES)))
            slots = [int(slot) for slot in random.permutation(5)]
            absent, refused, committed = slots[: random.integers(0, 3)], slots[3:4], slots[4:]
            world.play(
                terms(rule, f=int(random.integers(0, 2)), cohort_size=int(random.choice([0, 5, 6]))),
                absent=absent,
                refused=dict.fromkeys(refused, Reason.RANGE) if random.random() < 0.5 else {},
                committed=dict.fromkeys(committed),
                samples=int(random.integers(0 if rule != "weighted-mean" else 1, 3) * 100),
            )
        world.finish()
    report = run(tmp_path)
    assert bad_news(report) == []
    assert report.exit_code == 0
