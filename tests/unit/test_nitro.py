"""A Nitro document is authentic when nothing in it is wrong; each test breaks one thing and names the step."""

from __future__ import annotations

from pathlib import Path

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.attestation.nitro import (
    MAX_AHEAD_S,
    UNBOUND,
    check_1_structure,
    verify_nitro,
)
from protocol.attestation.result import Facts, Format, Verified
from protocol.attestation.trust import (
    AWS_NITRO_ROOT_KEY_HASH,
    HARDWARE_TRUST_STORE,
    INTEL_TRUST_STORE,
    SIMULATED_TRUST_STORE,
    RootKind,
    TrustStore,
)
from protocol.errors import SignatureError, VerificationError
from protocol.hashing import sha256
from tests.unit.certificate_world import public_bytes
from tests.unit.nitro_world import (
    KEYS,
    NOW_S,
    P384,
    PCRS,
    ROOT,
    Message,
    document,
    encode,
    fields,
    indefinite,
    nsm_response,
    trust,
)

GENUINE = (Path(__file__).parents[1] / "vectors" / "quotes" / "nitro_attestation.bin").read_bytes()
GENUINE_S = 1_766_668_537  # 2025-12-25T13:15:37Z, the document's own time
GENUINE_START_S, GENUINE_END_S = 1_766_668_534, 1_766_679_337  # of its leaf
MESSAGE = GENUINE[4:4531]
DOCUMENT = document()


def verify(
    data: bytes, *, trust_store: TrustStore | None = None, now_s: int = NOW_S, nonce: bytes | None = None
) -> Verified:
    return verify_nitro(data, trust_store=trust_store or trust(), now_s=now_s, nonce=nonce)


def verify_genuine(
    data: bytes = GENUINE, trust_store: TrustStore = HARDWARE_TRUST_STORE, now_s: int = GENUINE_S
) -> Verified:
    return verify_nitro(data, trust_store=trust_store, now_s=now_s, nonce=None)


def refused_at(step: int, data: bytes, match: str, **arguments: object) -> None:
    with pytest.raises(VerificationError, match=match) as caught:
        verify(data, **arguments)
    assert caught.value.check == f"quote {step}"


# What holds


@pytest.mark.parametrize("data", [GENUINE, MESSAGE, b"\xd2" + MESSAGE, nsm_response(MESSAGE)])
def test_the_genuine_document_is_authentic_at_its_own_time(data: bytes) -> None:
    verified = verify_genuine(data)
    assert (verified.format, verified.root_kind) == (Format.NITRO, RootKind.AWS)
    assert verified.root_key_hash == AWS_NITRO_ROOT_KEY_HASH
    assert verified.measurement.hex().startswith("5cb702954321826d7939d6da829a940d")
    assert sorted(verified.measurements) == sorted(f"pcr{number}" for number in range(16))
    assert verified.measurements["pcr4"].hex().startswith("7b3574ad9b7e88ec")
    assert verified.said == {"public_key": None, "user_data": bytes(64), "nonce": None}
    assert (verified.not_before_s, verified.not_after_s) == (GENUINE_START_S, GENUINE_END_S)
    assert (verified.is_debug, verified.is_privileged, verified.is_simulated) == (False, False, False)
    assert (verified.report_data, verified.tcb_status, verified.advisories) == (None, None, ())
    assert [check.step for check in verified.checks] == [1, 2, 6, 9]
    assert verified.not_checked == (UNBOUND,)


def test_the_genuine_root_is_the_one_that_aws_publishes() -> None:
    root = check_1_structure(GENUINE)[0].cabundle[0]
    assert sha256(root).hex() == "641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b"


@pytest.mark.parametrize("now_s", [GENUINE_START_S, GENUINE_END_S])
def test_the_genuine_document_is_authentic_through_both_ends_of_its_window(now_s: int) -> None:
    assert verify_genuine(now_s=now_s).root_kind is RootKind.AWS


@pytest.mark.parametrize(
    "now_s", [GENUINE_START_S - 1, GENUINE_END_S + 1, GENUINE_S - 86400, GENUINE_S + 86400, 0, 1 << 40]
)
def test_the_genuine_document_is_refused_outside_its_window(now_s: int) -> None:
    with pytest.raises(VerificationError, match="validity of the") as caught:
        verify_genuine(now_s=now_s)
    assert caught.value.check == "quote 2"


@pytest.mark.parametrize("trust_store", [INTEL_TRUST_STORE, SIMULATED_TRUST_STORE, trust()])
def test_the_genuine_document_is_refused_under_another_root(trust_store: TrustStore) -> None:
    with pytest.raises(VerificationError, match="key of the root") as caught:
        verify_genuine(trust_store=trust_store)
    assert caught.value.check == "quote 2"


def test_a_document_of_our_own_is_authentic_and_says_nothing_about_hardware() -> None:
    verified = verify(DOCUMENT)
    assert (verified.root_kind, verified.is_simulated) == (RootKind.SIMULATED, True)
    assert verified.root_key_hash == sha256(public_bytes(KEYS[ROOT]))
    assert verified.measurement == PCRS[0]
    assert verify(DOCUMENT, trust_store=SIMULATED_TRUST_STORE).root_kind is RootKind.SIMULATED
    refused_at(2, DOCUMENT, "key of the root", trust_store=HARDWARE_TRUST_STORE)


def test_a_root_of_another_kind_of_hardware_is_no_nitro_root() -> None:
    assert verify(DOCUMENT, trust_store=trust(kind=RootKind.AWS)).root_kind is RootKind.AWS
    refused_at(2, DOCUMENT, "key of the root", trust_store=trust(kind=RootKind.INTEL))


@pytest.mark.parametrize(
    "payload",
    [
        indefinite(fields()),
        encode(dict(reversed(fields().items()))),
        encode(fields(public_key=b"k", user_data=b"", nonce=b"")),
        encode(fields(public_key=b"k" * 1024, user_data=b"u" * 512, nonce=b"n" * 512)),
        encode(fields(public_key=..., user_data=..., nonce=...)),
        encode(fields(pcrs={0: PCRS[0], 1: PCRS[1], 2: PCRS[2], 31: b"x" * 48})),
        encode(fields(pcrs=dict(reversed(PCRS.items())))),
        encode(fields(pcrs={number: bytes([number + 1]) * 48 for number in range(32)})),
    ],
    ids=["indefinite", "other order", "short", "long", "left out", "sparse", "registers in other order", "all"],
)
def test_every_shape_that_genuine_documents_have_is_read(payload: bytes) -> None:
    expected = cbor2.loads(payload)
    verified = verify(Message(payload=payload).encode())
    assert dict(verified.measurements) == {f"pcr{number}": value for number, value in expected["pcrs"].items()}
    assert dict(verified.said) == {name: expected.get(name) for name in ("public_key", "user_data", "nonce")}


def test_signatures_of_both_halves_are_signatures() -> None:
    def twin(signature: bytes) -> bytes:
        return signature[:48] + (P384.value.order - int.from_bytes(signature[48:])).to_bytes(48)

    assert verify(Message(signature=twin).encode()).measurement == PCRS[0]


def test_what_a_document_says_is_known_before_it_is_authentic() -> None:
    facts = check_1_structure(document(nonce=b"nonce"))[0].facts
    assert isinstance(facts, Facts)
    assert (facts.format, facts.measurement, facts.is_debug) == (Format.NITRO, PCRS[0], False)
    assert facts.said["nonce"] == b"nonce"
    assert (facts.root_kind, facts.not_after_s) == (None, None)


# Debug


def test_a_debug_enclave_is_one_whose_image_registers_are_all_zero() -> None:
    verified = verify(document(pcrs=PCRS | {0: bytes(48), 1: bytes(48), 2: bytes(48)}))
    assert verified.is_debug
    assert verified.measurements["pcr4"] == PCRS[4]


@pytest.mark.parametrize("number", [0, 1, 2])
def test_one_image_register_that_nobody_measured_is_enough(number: int) -> None:
    assert verify(document(pcrs=PCRS | {number: bytes(48)})).is_debug


@pytest.mark.parametrize("number", [0, 1, 2])
def test_an_image_register_that_is_missing_is_refused(number: int) -> None:
    pcrs = {key: value for key, value in PCRS.items() if key != number}
    refused_at(9, document(pcrs=pcrs), "registers of the image")


# Nonce


def test_a_nonce_is_compared_whole() -> None:
    verified = verify(document(nonce=b"nonce"), nonce=b"nonce")
    assert [check.step for check in verified.checks] == [1, 2, 6, 9, 10]
    assert verified.not_checked == ()


@pytest.mark.parametrize(
    ("said", "asked"),
    [(b"another", b"nonce"), (b"nonce\0", b"nonce"), (b"", b"nonce"), (None, b"nonce"), (None, b""), (b"nonce", b"")],
)
def test_another_nonce_is_refused(said: bytes | None, asked: bytes) -> None:
    refused_at(10, document(nonce=said), "nonce of the document", nonce=asked)


def test_user_data_is_no_nonce() -> None:
    refused_at(10, document(user_data=b"nonce"), "nonce of the document", nonce=b"nonce")


# Signature


@pytest.mark.parametrize(
    "changes",
    [
        {"key": KEYS[3]},
        {"signature": lambda signature: signature[:-1] + bytes([signature[-1] ^ 1])},
        {"signature": lambda signature: bytes(96)},
        {"signature": lambda signature: signature[:48] + P384.value.order.to_bytes(48)},
        {"signed_header": b""},
        {"signed_header": bytes.fromhex("a1013826")},
    ],
    ids=["issuer's", "changed", "zero", "too big", "without header", "other header"],
)
def test_a_signature_that_is_not_the_leafs_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(SignatureError, match="signature of the document, by its leaf") as caught:
        verify(Message(**changes).encode())
    assert caught.value.check == "quote 6"


@pytest.mark.parametrize("field", ["module_id", "timestamp", "user_data", "nonce", "public_key", "pcrs"])
def test_a_field_that_changed_after_signing_is_refused(field: str) -> None:
    others = {"module_id": "i-other", "timestamp": NOW_S * 1000, "pcrs": PCRS | {1: b"x" * 48}}
    signature = cbor2.loads(DOCUMENT)[3]
    changed = Message(payload=encode(fields(**{field: others.get(field, b"x")})), signature=lambda _: signature)
    refused_at(6, changed.encode(), "signature of the document")


# Time


def test_a_document_from_the_future_is_refused() -> None:
    late = document(timestamp=(NOW_S + MAX_AHEAD_S + 1) * 1000)
    refused_at(2, late, "time of the document")
    assert verify(late, now_s=NOW_S + 1).not_checked == (UNBOUND,)


@pytest.mark.parametrize("made_s", [NOW_S - 3601, NOW_S - 3600 + 86401])
def test_a_document_made_outside_its_certificates_time_is_refused(made_s: int) -> None:
    refused_at(2, document(timestamp=made_s * 1000), "when the document was made")


# Total


@pytest.mark.parametrize("change", [0x01, 0x80])
def test_any_byte_of_the_genuine_file_that_changes_is_noticed(change: int) -> None:
    # Everything around the payload, and every seventh byte of it.
    for place in [*range(20), *range(20, 4432, 7), *range(4432, len(GENUINE))]:
        changed = GENUINE[:place] + bytes([GENUINE[place] ^ change]) + GENUINE[place + 1 :]
        with pytest.raises(VerificationError):
            verify_genuine(changed)


@given(st.binary(max_size=100) | st.binary(max_size=100).map(lambda data: MESSAGE[:9] + data))
def test_any_bytes_are_refused_by_step_1(data: bytes) -> None:
    refused_at(1, data, "of a|in the|of the")


@given(st.binary(max_size=60), st.integers(min_value=0, max_value=len(MESSAGE)), st.integers(min_value=0, max_value=60))
def test_any_splice_is_refused(data: bytes, place: int, cut: int) -> None:
    spliced = MESSAGE[:place] + data + MESSAGE[place + cut :]
    if spliced != MESSAGE:
        with pytest.raises(VerificationError):
            verify_genuine(spliced)
