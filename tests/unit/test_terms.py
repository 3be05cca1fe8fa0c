"""Terms are what abi.encode makes of the struct, and a spec follows from them."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from eth_abi.abi import encode as abi_encode
from protocol_examples import SPEC

from protocol import terms
from protocol.errors import MalformedError
from protocol.hashing import keccak256
from protocol.messages import Spec
from protocol.terms import Terms

TYPES = (
    "(uint8,bytes32,uint16,uint16,uint16,int8,uint32,uint64,uint32,uint8,uint32,uint32,uint8,uint256,uint16,uint64[5])"
)
NAMES = [item.name for item in dataclasses.fields(Spec)]
TERMS = Terms.of(SPEC, cohort_size=20, windows=(60, 1, 30, 60, 120))


def fields(value: Terms) -> tuple[Any, ...]:
    return tuple(getattr(value, item.name) for item in dataclasses.fields(value))


@pytest.mark.parametrize("exponent", [-128, -14, 0, 127])
def test_the_encoding_is_that_of_solidity(exponent: int) -> None:
    value = dataclasses.replace(TERMS, exponent=exponent)
    assert value.encode() == abi_encode([TYPES], [fields(value)])
    assert len(value.encode()) == 20 * 32
    assert value.hash() == keccak256(value.encode())


def test_a_spec_and_its_terms_say_the_same() -> None:
    rest = {name: getattr(SPEC, name) for name in NAMES if name not in terms.SHARED}
    assert TERMS.spec(**rest) == SPEC
    assert Terms.of(TERMS.spec(**rest), cohort_size=20, windows=TERMS.windows) == TERMS


def test_deadlines_are_the_windows_one_after_the_other() -> None:
    assert TERMS.deadlines(1000) == (1060, 1061, 1091, 1151, 1271)


@pytest.mark.parametrize("field", [item.name for item in dataclasses.fields(Terms)])
def test_a_change_of_any_field_is_other_terms(field: str) -> None:
    value = getattr(TERMS, field)
    if isinstance(value, bytes):
        other: Any = bytes([value[0] ^ 1]) + value[1:]
    else:
        other = value + 1 if isinstance(value, int) else (*value[:-1], value[-1] + 1)
    assert dataclasses.replace(TERMS, **{field: other}).hash() != TERMS.hash()


@pytest.mark.parametrize(
    ("field", "value"), [("cohort_size", 1 << 16), ("windows", (1, 2, 3, 4)), ("windows", (1, 2, 3, 4, -1)), ("f", -1)]
)
def test_terms_with_a_field_outside_its_type_can_not_be_built(field: str, value: Any) -> None:
    with pytest.raises(MalformedError):
        dataclasses.replace(TERMS, **{field: value})
