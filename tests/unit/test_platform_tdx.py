"""The TDX shape of the simulated platform: a quote of the genuine layout, read here by offsets and by dcap-qvl."""

from __future__ import annotations

import dcap_qvl
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from coordinator.platform.pki import create_pki, public_bytes
from coordinator.platform.quoting import SimulatedAttester
from coordinator.platform.tdx import SimulatedTdAttester
from protocol.attestation.certificates import verify_ecdsa
from protocol.attestation.quote import parse_quote
from protocol.errors import LengthError
from protocol.hashing import sha256

NOW_S = 1_760_000_000
PKI = create_pki(NOW_S)
KEY = ec.generate_private_key(ec.SECP256R1())
MRTD = bytes(range(48))
REPORT_DATA = bytes(range(64))
QUOTE = SimulatedTdAttester(pki=PKI, attestation_key=KEY, measurement=MRTD).quote(REPORT_DATA)


def test_a_quote_is_what_others_read_in_it() -> None:
    quote = dcap_qvl.parse_quote(QUOTE)
    header, report = quote.header, quote.report
    assert isinstance(report, dcap_qvl.TdReport10)
    assert (quote.quote_type(), header.version, header.tee_type, quote.ca()) == ("TDX", 4, 0x81, "platform")
    assert (report.mr_td, report.report_data) == (MRTD, REPORT_DATA)
    assert [report.rt_mr0, report.rt_mr1, report.rt_mr2, report.rt_mr3] == [bytes(48)] * 4
    assert report.td_attributes == (1 << 28).to_bytes(8, "little")  # SEPT_VE_DISABLE and no DEBUG
    assert report.mr_signer_seam == bytes(48)
    assert quote.fmspc() == b"\0SIM\0\0".hex().upper()


def test_it_says_simulated_where_a_genuine_one_names_its_platform() -> None:
    quote = parse_quote(QUOTE)
    assert quote.header.user_data.rstrip(b"\0") == b"SIMULATED-TEE-QE"
    assert quote.qe_auth == b"SIMULATED: SAYS NOTHING ABOUT HW"
    assert (quote.qe_report.mrsigner, quote.qe_report.isv_prod_id) == (sha256(b"simulated qe"), 2)


def test_every_part_lies_where_genuine_quotes_have_it() -> None:
    assert QUOTE[4:12] == b"\x81\0\0\0\0\0\0\0"
    assert QUOTE[184:232] == MRTD
    assert QUOTE[568:632] == REPORT_DATA
    length = int.from_bytes(QUOTE[632:636], "little")
    signature, key = QUOTE[636:700], QUOTE[700:764]
    assert key == public_bytes(KEY)
    assert verify_ecdsa(key, signature, QUOTE[:632])
    assert QUOTE[764:766] == b"\x06\0"
    assert int.from_bytes(QUOTE[766:770], "little") == length - 134
    assert verify_ecdsa(public_bytes(PKI.leaf_key), QUOTE[1154:1218], QUOTE[770:1154])
    assert QUOTE[770 + 320 : 1154] == sha256(key, QUOTE[1220:1252]) + bytes(32)
    assert QUOTE[1252:1254] == b"\x05\0"
    chain = int.from_bytes(QUOTE[1254:1258], "little")
    assert QUOTE[1258 : 1258 + chain] == PKI.chain
    assert QUOTE[1258 + chain :] == bytes(70)
    assert 1258 + chain == 636 + length


def test_it_is_read_back_byte_for_byte() -> None:
    assert parse_quote(QUOTE).encode() == QUOTE


def test_the_two_shapes_have_quoting_enclaves_of_their_own() -> None:
    sgx = parse_quote(SimulatedAttester(pki=PKI, attestation_key=KEY, measurement=bytes(32)).quote(REPORT_DATA))
    tdx = parse_quote(QUOTE)
    assert (sgx.qe_report.isv_prod_id, tdx.qe_report.isv_prod_id) == (1, 2)
    assert (sgx.format, tdx.format) == ("sgx-v3", "tdx-v4")


@pytest.mark.parametrize(("measurement", "report_data"), [(bytes(47), bytes(64)), (bytes(48), bytes(63))])
def test_a_part_of_another_length_is_refused(measurement: bytes, report_data: bytes) -> None:
    with pytest.raises(LengthError, match="length of TD report"):
        SimulatedTdAttester(pki=PKI, attestation_key=KEY, measurement=measurement).quote(report_data)
