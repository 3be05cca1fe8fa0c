"""The configuration: one strict form, and a line that says what is wrong with any other."""

from __future__ import annotations

from pathlib import Path

import pytest

from coordinator.config import parse_config, read_config, render_config
from coordinator.founding import EXAMPLE, read_founding
from coordinator.keyfile import make_certificate, new_key, read_key, write_key
from protocol.errors import EncodingError, PolicyError, RangeError, UnavailableError, UnknownNameError, VeriflockError
from protocol.keys import parse_address
from tests.support.federation import charter

LEDGER = "0x5FbDB2315678afecb367f032d93F642f64180aa3"
TEXT = render_config(rpc="http://127.0.0.1:8545", ledger=LEDGER, from_block=3, port=9000)
FOLDER = Path("somewhere")


def test_what_init_writes_is_what_serve_reads() -> None:
    config = parse_config(TEXT, FOLDER)
    assert (config.chain.rpc, config.chain.ledger, config.chain.from_block) == (
        "http://127.0.0.1:8545",
        parse_address(LEDGER),
        3,
    )
    assert (config.server.host, config.server.port) == ("127.0.0.1", 9000)
    assert config.paths.key == FOLDER / "coordinator.key"


@pytest.mark.parametrize(
    ("old", "new", "kind", "says"),
    [
        (
            "from_block = 3",
            "from_blocks = 3",
            UnknownNameError,
            "unknown field in \\[chain\\]: expected one of from_block",
        ),
        ("[server]", "[http]", UnknownNameError, "expected one of chain, limits, paths, server, got http"),
        ("port = 9000", "port = 90000", RangeError, "expected 0 to 65535, got 90000"),
        ("port = 9000", 'port = "9000"', EncodingError, "expected an integer, got 9000"),
        ("port = 9000", "port = true", EncodingError, "expected an integer, got True"),
        ('data = "data"', "", EncodingError, "\\[paths\\] has no field data"),
        ("http://127.0.0.1:8545", "ftp://127.0.0.1", EncodingError, "expected http://HOST:PORT"),
        (LEDGER, LEDGER[:-1], EncodingError, "an address"),
        ("[chain]", "[chain", EncodingError, "is not TOML"),
        ("[server]", "[limits]\nupload_s = nan\n[server]", RangeError, "upload_s"),
    ],
)
def test_a_changed_line_is_refused_with_what_was_expected(
    old: str, new: str, kind: type[VeriflockError], says: str
) -> None:
    with pytest.raises(kind, match=says):
        parse_config(TEXT.replace(old, new, 1), FOLDER)


def test_a_missing_file_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="`veriflock coordinator init` writes one"):
        read_config(tmp_path / "coordinator.toml")


def test_a_key_file_is_private_and_never_replaced(tmp_path: Path) -> None:
    path, key = tmp_path / "keys" / "coordinator.key", new_key()
    write_key(path, key)
    assert read_key(path) == key
    with pytest.raises(UnavailableError, match="exists already"):
        write_key(path, new_key())
    path.chmod(0o640)
    with pytest.raises(PolicyError, match=r"expected 0o600 \(chmod 600\), got 0o640"):
        read_key(path)


def test_a_damaged_key_file_is_refused_without_showing_it(tmp_path: Path) -> None:
    path = tmp_path / "coordinator.key"
    write_key(path, new_key())
    secret = path.read_text()[:-3]
    path.write_text(secret)
    with pytest.raises(EncodingError) as caught:
        read_key(path)
    assert secret[2:] not in str(caught.value)


def test_a_founding_file_is_read_and_an_unknown_rule_lists_the_known(tmp_path: Path) -> None:
    (tmp_path / "federation.json").write_bytes(charter(4).encode())
    (tmp_path / "genesis.model").write_bytes(bytes(16))
    (tmp_path / "founding.toml").write_text(EXAMPLE)
    assert read_founding(tmp_path / "founding.toml").terms.windows == (600, 60, 60, 600, 3600)
    (tmp_path / "founding.toml").write_text(EXAMPLE.replace('"trimmed-mean" ', '"trimmed"'))
    with pytest.raises(UnknownNameError, match=r"expected one of bulyan, centred-clipping, fltrust, .*, got trimmed$"):
        read_founding(tmp_path / "founding.toml")


def test_a_certificate_is_for_the_names_that_it_was_made_for() -> None:
    from datetime import UTC, datetime

    from cryptography import x509

    pem, private = make_certificate(["localhost", "127.0.0.1"], datetime(2026, 1, 1, tzinfo=UTC))
    certificate = x509.load_pem_x509_certificate(pem)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert [str(at) for at in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]
    assert b"PRIVATE KEY" in private
