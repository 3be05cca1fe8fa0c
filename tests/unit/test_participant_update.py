"""An update says what quantisation cost, is refused here before the enclave would, and opens only where it should."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from cryptography.exceptions import InvalidTag

from participant.attacks import parse_attack
from participant.update import Prepared, check_admissible, prepare, seal, verify_receipt
from protocol import keys, sealing
from protocol.errors import (
    CommitmentMismatchError,
    EnclaveMismatchError,
    LengthError,
    RangeError,
    SignatureError,
    SpecMismatchError,
)
from protocol.sealing import KEM_HYBRID, KEM_X25519, encode_payload, parse_payload
from tests.unit.participant_world import (
    ADDRESS,
    DOMAIN,
    ENCLAVE,
    FEDERATION,
    KEY,
    OTHER_KEY,
    SIGNER,
    SLOT,
    SPEC,
    hpke_hybrid,
    hpke_x25519,
    receipt,
)

VECTOR = np.linspace(-1, 1, SPEC.dimension)


def prepared(vector: np.ndarray = VECTOR, attack: str | None = None) -> Prepared:
    return prepare(vector, spec=SPEC, samples=64, key=KEY, domain=DOMAIN, attack=parse_attack(attack))


def test_an_update_names_its_round_and_is_signed_by_its_participant() -> None:
    update = prepared().payload.update
    assert (update.federation, update.round_id, update.spec) == (FEDERATION, 1, SPEC.hash_struct())
    assert (update.enclave, update.participant, update.samples) == (ENCLAVE, ADDRESS, 64)
    assert keys.recover(update.digest(DOMAIN), prepared().payload.signature) == ADDRESS


def test_the_quantisation_error_is_always_said_and_warned_of_above_one_percent() -> None:
    fine, coarse = prepared(), prepared(VECTOR * 2.0**-13)
    assert fine.describe() == [f"quantisation error {fine.error:.4%}, 0 of 650 coordinates saturated"]
    assert fine.error < 0.01 < coarse.error
    assert len(coarse.describe()) == 2
    assert coarse.describe()[1].startswith("warning: quantisation lost")


def test_saturation_is_counted_and_warned_of() -> None:
    assert prepared(VECTOR * 4).saturated > 0
    assert "warning" in prepared(VECTOR * 4).describe()[1]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_number_is_refused_before_it_is_signed(value: float) -> None:
    vector = VECTOR.copy()
    vector[7] = value
    with pytest.raises(RangeError, match="coordinate 7"):
        prepared(vector)


def test_another_dimension_is_refused() -> None:
    with pytest.raises(LengthError, match="length of the update"):
        prepared(VECTOR[:-1])


def test_an_honest_update_is_admissible() -> None:
    check_admissible(prepared().payload, spec=SPEC, domain=DOMAIN)


def test_the_nan_attack_is_what_the_enclave_refuses_as_out_of_range() -> None:
    with pytest.raises(RangeError, match="-32768"):
        check_admissible(prepared(attack="nan").payload, spec=SPEC, domain=DOMAIN)


def test_each_defect_of_an_update_is_noticed() -> None:
    payload = prepared().payload
    other = replace(SPEC, round_id=2)
    with pytest.raises(SpecMismatchError):
        check_admissible(payload, spec=other, domain=DOMAIN)
    with pytest.raises(SpecMismatchError):
        check_admissible(payload, spec=replace(SPEC, base_model=bytes(32)), domain=DOMAIN)
    with pytest.raises(SignatureError):
        check_admissible(
            replace(payload, signature=keys.sign(OTHER_KEY, payload.update.digest(DOMAIN))), spec=SPEC, domain=DOMAIN
        )
    with pytest.raises(LengthError):
        check_admissible(replace(payload, row=payload.row[:-2]), spec=SPEC, domain=DOMAIN)
    with pytest.raises(CommitmentMismatchError):
        check_admissible(replace(payload, row=bytes(len(payload.row))), spec=SPEC, domain=DOMAIN)


def test_an_update_for_another_enclave_is_noticed() -> None:
    update = replace(prepared().payload.update, enclave=bytes(32))
    payload = replace(prepared().payload, update=update, signature=keys.sign(KEY, update.digest(DOMAIN)))
    with pytest.raises(EnclaveMismatchError):
        check_admissible(payload, spec=SPEC, domain=DOMAIN)


def test_a_norm_over_the_bound_is_noticed_before_it_is_sent() -> None:
    spec = replace(SPEC, norm_bound=1000)
    payload = prepare(VECTOR, spec=spec, samples=1, key=KEY, domain=DOMAIN).payload
    with pytest.raises(RangeError, match="squared norm"):
        check_admissible(payload, spec=spec, domain=DOMAIN)


def test_no_samples_are_noticed() -> None:
    payload = prepare(VECTOR, spec=SPEC, samples=0, key=KEY, domain=DOMAIN).payload
    with pytest.raises(RangeError, match="samples"):
        check_admissible(payload, spec=SPEC, domain=DOMAIN)


@pytest.mark.parametrize(("kem", "make"), [(KEM_X25519, hpke_x25519), (KEM_HYBRID, hpke_hybrid)])
def test_a_sealed_update_opens_for_its_round_and_for_no_other(kem: int, make: object) -> None:
    private, public = make()  # type: ignore[operator]
    payload = prepared().payload
    sealed = seal(encode_payload(payload), update=payload.update, ledger=DOMAIN.ledger, kem=kem, hpke_key=public)
    context = {
        "federation": FEDERATION,
        "ledger": DOMAIN.ledger,
        "round_id": 1,
        "participant": ADDRESS,
        "enclave": ENCLAVE,
    }
    opened = sealing.suite(kem).decrypt(sealed, private, sealing.info(**context))
    assert parse_payload(opened, max_bytes=1 << 20) == payload
    assert len(sealed) <= sealing.max_sealed_bytes(kem, SPEC.dimension)
    for change in ({"round_id": 2}, {"participant": bytes(20)}, {"federation": bytes(32)}, {"enclave": bytes(32)}):
        with pytest.raises(InvalidTag):
            sealing.suite(kem).decrypt(sealed, private, sealing.info(**{**context, **change}))


def test_a_key_of_another_length_is_refused() -> None:
    payload = prepared().payload
    with pytest.raises(LengthError, match="length of an HPKE public key"):
        seal(b"", update=payload.update, ledger=DOMAIN.ledger, kem=KEM_HYBRID, hpke_key=bytes(32))


def test_only_the_enclaves_receipt_for_this_very_update_counts() -> None:
    update = prepared().payload.update
    made, signature = receipt(update.hash_struct())
    verify_receipt(made, signature, update=update, slot=SLOT, signer=SIGNER, domain=DOMAIN)

    forged, theirs = receipt(update.hash_struct(), key=OTHER_KEY)
    with pytest.raises(SignatureError, match="signer of the receipt"):
        verify_receipt(forged, theirs, update=update, slot=SLOT, signer=SIGNER, domain=DOMAIN)
    for wrong in (receipt(bytes(32)), receipt(update.hash_struct(), slot=1 - SLOT)):
        with pytest.raises(CommitmentMismatchError):
            verify_receipt(*wrong, update=update, slot=SLOT, signer=SIGNER, domain=DOMAIN)
