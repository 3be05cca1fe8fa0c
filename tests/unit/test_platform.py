"""The simulated platform as hosts and enclaves see it: a real process, real sockets, a real enclave process."""

from __future__ import annotations

import signal
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from typer.testing import CliRunner

from coordinator.platform.cli import app
from coordinator.platform.keys import PlatformDirectory, read_keys
from coordinator.platform.manifest import build_image
from coordinator.platform.serve import listen
from coordinator.platform.sockets import read_frame, write_frame
from protocol.attestation.policy import Policy, accept_quote
from protocol.attestation.trust import RootKind, TrustedRoot, TrustStore
from protocol.errors import UnavailableError
from tests.unit.platform_world import (
    CHARTER,
    LAUNCH,
    WAIT_S,
    Platform,
    ask_platform,
    copy_tree,
    eventually,
    is_alive,
    look,
    start,
)


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    base = tmp_path_factory.mktemp("p")
    running = start(base / "dir", base / "s", copy_tree(base / "source"))
    try:
        yield running
    finally:
        running.process.terminate()
        assert running.process.wait(WAIT_S) == 0
        assert running.process.stdout is not None
        running.process.stdout.close()


# What an enclave gets


def test_an_enclave_sees_its_launch_and_nothing_else(platform: Platform) -> None:
    with platform.launch(fresh=True) as door:
        seen = look(door, "numpy", "cbor2", "cryptography", "coincurve", "Crypto.Hash.keccak", "typer", "pytest", "lab")
    assert seen["launch"] == LAUNCH | {"epoch": seen["launch"]["epoch"], "state_version": 0, "state_hash": bytes(32)}
    assert seen["environment"] == []
    assert seen["path"] == []
    assert seen["descriptors"] == [0, 1, 2, 3, 4]
    assert len(seen["arguments"]) == 1
    assert seen["blocking"] is True
    assert seen["module"].startswith(str(platform.directory / "staged"))
    assert seen["importable"] == ["numpy", "cbor2", "cryptography", "coincurve", "Crypto.Hash.keccak"]


def test_a_quote_is_about_the_enclave_that_asks(platform: Platform) -> None:
    report_data = bytes(range(64))
    with platform.launch() as door:
        quote = ask_platform(door, {"op": "quote", "report_data": report_data})["quote"]
    measurement = build_image(CHARTER, source=platform.source).measurement
    verified = accept_quote(
        quote,
        policy=Policy(
            measurements=frozenset({measurement}),
            report_data=report_data,
            allow_simulated_quotes=True,
            insecure_without_collateral=True,
        ),
        trust_store=TrustStore(roots=(TrustedRoot(key_hash=platform.root(), kind=RootKind.SIMULATED),)),
        now_s=int(time.time()),
    )
    assert verified.measurement == measurement


def test_a_sealing_key_is_the_measurements_and_the_purposes(platform: Platform) -> None:
    with platform.launch() as door:
        keys = [ask_platform(door, {"op": "key", "purpose": purpose})["key"] for purpose in ("keys", "state", "keys")]
    assert keys[0] == keys[2] != keys[1]
    secrets = read_keys(platform.directory)
    assert secrets is not None
    info = b"seal" + build_image(CHARTER, source=platform.source).measurement + b"keys"
    assert keys[0] == HKDF(hashes.SHA256(), 32, None, info).derive(secrets.fuse_secret)


@pytest.mark.parametrize(
    ("request_", "match"),
    [
        ({"op": "quote", "report_data": bytes(63)}, "length of request.report_data"),
        ({"op": "quote", "report_data": bytes(64), "measurement": bytes(32)}, "unknown fields measurement"),
        ({"op": "quote"}, "without field report_data"),
        ({"op": "key", "purpose": "x" * 65}, "request.purpose"),
        ({"op": "key", "purpose": "keys", "measurement": bytes(32)}, "unknown fields measurement"),
        ({"op": "launch"}, "unknown request to the platform"),
        ({}, "without field op"),
    ],
)
def test_a_request_that_is_none_is_answered_with_why(
    telling: socket.socket, request_: dict[str, Any], match: str
) -> None:
    assert match in ask_platform(telling, request_)["error"]


@pytest.fixture(scope="module")
def telling(platform: Platform) -> Iterator[socket.socket]:
    with platform.launch(federation=b"g" * 32) as door:
        yield door


def test_an_enclave_that_sends_no_frames_is_ended(platform: Platform) -> None:
    with platform.launch() as door:
        pid = look(door)["pid"]
        write_frame(door, {"op": "flood"})
        eventually(lambda: not is_alive(pid))


# Epochs and lives


def test_fresh_keys_have_a_new_epoch_and_resuming_has_the_same(platform: Platform) -> None:
    ledger = b"epochs".ljust(20)
    seen = []
    for fresh in (True, False, True):
        with platform.launch(ledger=ledger, fresh=fresh) as door:
            seen.append(look(door)["launch"]["epoch"])
    assert seen == [1, 1, 2]


def test_an_enclaves_state_is_counted_and_told_to_its_successor(platform: Platform) -> None:
    ledger = b"states".ljust(20)
    first, second = b"1" * 32, b"2" * 32
    with platform.launch(ledger=ledger) as door:
        for version, previous, state in ((1, bytes(32), first), (2, first, second)):
            request = {"op": "advance", "version": version, "previous": previous, "state": state}
            assert ask_platform(door, request) == {"version": version}
        assert "version of sealed state" in ask_platform(door, request)["error"]
    seen = []
    for fresh in (False, True):
        with platform.launch(ledger=ledger, fresh=fresh) as door:
            launch = look(door)["launch"]
            seen.append((launch["epoch"], launch["state_version"], launch["state_hash"]))
    assert seen == [(1, 2, second), (2, 0, bytes(32))]


def test_there_is_nothing_to_resume_without_fresh_keys_before(platform: Platform) -> None:
    with platform.launch(ledger=b"never seen".ljust(20), fresh=False) as door:
        answer = read_frame(door, max_bytes=1 << 20)
    assert answer is not None
    assert "no keys of this enclave to resume with" in answer["error"]


def test_an_enclave_ends_when_its_host_goes(platform: Platform) -> None:
    with platform.launch() as door:
        pid = look(door)["pid"]
    eventually(lambda: not is_alive(pid))


def test_two_enclaves_never_live_with_the_same_keys(platform: Platform) -> None:
    ledger = b"twice".ljust(20)
    with platform.launch(ledger=ledger) as first:
        older = look(first)
        with platform.launch(ledger=ledger, fresh=False) as second:
            newer = look(second)
            assert newer["launch"]["epoch"] == older["launch"]["epoch"]
            assert not is_alive(older["pid"])
            assert first.recv(1) == b""


def test_enclaves_of_two_ledgers_live_side_by_side(platform: Platform) -> None:
    with platform.launch(ledger=b"1" * 20) as first, platform.launch(ledger=b"2" * 20) as second:
        assert look(first)["pid"] != look(second)["pid"]


# What hosts can't do


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"measurement": bytes(32)}, "unknown fields measurement"),
        ({"federation": bytes(31)}, "length of launch.federation"),
        ({"operator": bytes(21)}, "length of launch.operator"),
        ({"chain_id": -1}, "launch.chain_id"),
        ({"fresh": 1}, "launch.fresh"),
        ({"charter": b"{}"}, "charter without field version"),
        ({"charter": CHARTER + b" "}, "canonical form of RFC 8785"),
        ({"charter": "text"}, "launch.charter"),
        ({"op": "quote", "report_data": bytes(64)}, "unknown fields op, report_data"),
    ],
)
def test_a_launch_that_is_none_is_answered_with_why(platform: Platform, changes: dict[str, Any], match: str) -> None:
    with platform.launch(**changes) as door:
        answer = read_frame(door, max_bytes=1 << 20)
    assert answer is not None
    assert match in answer["error"]


@pytest.mark.parametrize(
    "data", [b"\xff" * 8, b"\0\0\0\x01\xff", b"\0\0\0\x05\xa0", b"GET / HTTP/1.1\r\n\r\n", (1 << 25).to_bytes(4)]
)
def test_a_host_that_sends_no_frame_is_answered_with_why_and_nobody_else_notices(
    platform: Platform, data: bytes
) -> None:
    with platform.connect() as door:
        door.sendall(data)
        door.shutdown(socket.SHUT_WR)
        answer = read_frame(door, max_bytes=1 << 20)
    assert answer is not None
    assert list(answer) == ["error"]
    assert platform.process.poll() is None


# The process and its files


def test_keys_and_socket_are_their_owners_alone(platform: Platform) -> None:
    with platform.launch() as door:
        look(door)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in platform.directory.iterdir() if path.is_file()}
    assert modes == {"keys.cbor": 0o600, "counters.cbor": 0o600, "lock": 0o600}
    assert stat.S_IMODE(platform.directory.stat().st_mode) == 0o700
    assert stat.S_IMODE(platform.socket_path.stat().st_mode) == 0o600


def test_the_command_line_says_simulated_and_knows_the_root(platform: Platform) -> None:
    assert platform.lines[0].endswith("(simulated: says nothing about hardware)")
    assert platform.lines[1] == f"listening on {platform.socket_path}"
    result = CliRunner().invoke(app, ["root", "--dir", str(platform.directory)])
    assert (result.exit_code, result.output.strip()) == (0, platform.root().hex())


def test_a_second_platform_is_refused(platform: Platform, tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="in use by another platform"):
        PlatformDirectory(platform.directory)
    with pytest.raises(UnavailableError, match="somebody listens at"):
        listen(platform.socket_path)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_enclaves_die_with_their_platform_and_keys_outlive_it(tmp_path: Path, number: signal.Signals) -> None:
    source, socket_path = copy_tree(tmp_path / "source"), tmp_path / "s"
    first = start(tmp_path / "dir", socket_path, source)
    with first.launch() as door:
        before = look(door)
        key = ask_platform(door, {"op": "key", "purpose": "state"})
        first.process.send_signal(number)
        first.process.wait(WAIT_S)
        eventually(lambda: not is_alive(before["pid"]))
    # A clean stop takes its socket along; after a kill the next platform replaces what nobody listens at.
    assert socket_path.exists() is (number == signal.SIGKILL)
    second = start(tmp_path / "dir", socket_path, source)
    try:
        assert second.root() == first.root()
        with second.launch(fresh=False) as door:
            assert look(door)["launch"]["epoch"] == before["launch"]["epoch"]
            assert ask_platform(door, {"op": "key", "purpose": "state"}) == key
    finally:
        second.process.terminate()
        second.process.wait(WAIT_S)
        for running in (first, second):
            assert running.process.stdout is not None
            running.process.stdout.close()
