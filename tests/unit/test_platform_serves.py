"""Collateral over the platform's socket and command line, and enclaves quoted as trust domains: real processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dcap_qvl
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from typer.testing import CliRunner

from coordinator.platform.cli import app
from coordinator.platform.keys import FORMAT, KEYS_FILE, PlatformDirectory, read_keys
from coordinator.platform.manifest import build_image
from coordinator.platform.sockets import read_frame, write_frame
from protocol.attestation.measurement import measure_td
from protocol.encoding import decode_map, encode
from protocol.errors import UnavailableError
from tests.unit.platform_world import CHARTER, WAIT_S, Platform, ask, ask_platform, copy_tree, start

NOW_S = 1_760_000_000
REPORT_DATA = bytes(range(64))


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """One in the shape of TDX."""
    base = tmp_path_factory.mktemp("t")
    running = start(base / "dir", base / "s", copy_tree(base / "source"), "--platform", "tdx")
    try:
        yield running
    finally:
        running.process.terminate()
        assert running.process.wait(WAIT_S) == 0
        assert running.process.stdout is not None
        running.process.stdout.close()


def collateral(platform: Platform, tee: str) -> bytes:
    with platform.connect() as door:
        answer = ask(door, {"op": "collateral", "tee": tee})
        assert read_frame(door, max_bytes=1) is None  # the platform closes
    text = answer["collateral"]
    assert isinstance(text, bytes)
    return text


def test_an_enclave_is_quoted_as_a_trust_domain_that_others_find_authentic(platform: Platform) -> None:
    with platform.launch() as door:
        quote = ask_platform(door, {"op": "quote", "report_data": REPORT_DATA})["quote"]
    keys = read_keys(platform.directory)
    assert keys is not None
    root = x509.load_pem_x509_certificates(keys.pki.chain)[2]
    assert (parsed := dcap_qvl.parse_quote(quote)).is_tdx()
    assert isinstance(parsed.report, dcap_qvl.TdReport10)
    assert parsed.report.mr_td == measure_td(build_image(CHARTER, source=platform.source).manifest)
    assert parsed.report.report_data == REPORT_DATA
    evidence = dcap_qvl.QuoteCollateralV3.from_json(collateral(platform, "tdx").decode())
    now_s = int(root.not_valid_before_utc.timestamp()) + 3700
    report = dcap_qvl.verify_with_root_ca(quote, evidence, root.public_bytes(Encoding.DER), now_s)
    assert report.advisory_ids == ["SIMULATED-NOT-HARDWARE"]


@pytest.mark.parametrize("tee", ["sgx", "tdx"])
def test_the_socket_and_the_command_line_give_the_same_bytes(platform: Platform, tmp_path: Path, tee: str) -> None:
    text = collateral(platform, tee)
    assert collateral(platform, tee) == text
    arguments = ["collateral", "--dir", str(platform.directory), "--tee", tee]
    assert CliRunner().invoke(app, arguments).output.rstrip("\n").encode() == text
    result = CliRunner().invoke(app, [*arguments, "--output", str(tmp_path / "file.json")])
    assert (result.exit_code, result.output) == (0, "")
    assert (tmp_path / "file.json").read_bytes() == text


@pytest.mark.parametrize(
    ("request_", "match"),
    [
        ({"op": "collateral"}, "without field tee"),
        ({"op": "collateral", "tee": "nitro"}, "unknown kind of platform: expected one of sgx, tdx, got nitro"),
        ({"op": "collateral", "tee": b"sgx"}, "request.tee"),
        ({"op": "collateral", "tee": "sgx", "measurement": bytes(32)}, "unknown fields measurement"),
    ],
)
def test_a_request_for_collateral_that_is_none_is_answered_with_why(
    platform: Platform, request_: dict[str, Any], match: str
) -> None:
    with platform.connect() as door:
        write_frame(door, request_)
        answer = read_frame(door, max_bytes=1 << 20)
    assert answer is not None
    assert match in answer["error"]


def test_keys_are_read_back_as_they_were_made(tmp_path: Path) -> None:
    directory = PlatformDirectory(tmp_path / "dir")
    try:
        made = directory.keys(NOW_S)
    finally:
        directory.close()
    found = read_keys(tmp_path / "dir")
    assert found is not None
    assert (found.pki.chain, found.pki.tcb_chain) == (made.pki.chain, made.pki.tcb_chain)
    for name in ("attestation_key", "td_attestation_key"):
        assert getattr(found, name).private_numbers() == getattr(made, name).private_numbers()
    for name in ("root_key", "authority_key", "leaf_key", "tcb_key"):
        assert getattr(found.pki, name).private_numbers() == getattr(made.pki, name).private_numbers()


def test_keys_of_an_older_platform_are_refused_and_kept(tmp_path: Path) -> None:
    directory = PlatformDirectory(tmp_path / "dir")
    try:
        directory.keys(NOW_S)
        path = tmp_path / "dir" / KEYS_FILE
        old = encode(decode_map(path.read_bytes(), max_bytes=1 << 20) | {"format": 1})
        path.write_bytes(old)
        with pytest.raises(
            UnavailableError, match=rf"has format 1, this platform knows {FORMAT}; start a new platform"
        ):
            directory.keys(NOW_S)
        assert path.read_bytes() == old
    finally:
        directory.close()
