"""ECDSA on P-256: the contracts with the chain's precompile, without it, and Python say what Wycheproof says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import decode, encode

from coordinator import anvil
from protocol.attestation import der as strict
from protocol.attestation.certificates import verify_ecdsa
from protocol.errors import MalformedError
from protocol.hashing import keccak256, sha256

VECTORS = Path(__file__).resolve().parents[1] / "vectors" / "p256"
HARNESS = f"0x{0xBEEF:040x}"
WITHOUT_PRECOMPILE = "cancun"
"""A hardfork before P256VERIFY, the one that the contracts are compiled for."""

Answer = tuple[Any, ...] | None
"""What a call returns; None where it reverts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One vector, its verdict by the strict reading: what is only acceptable is refused."""

    name: str
    message: bytes
    public_key: bytes
    signature: bytes
    is_valid: bool


def cases(file: str) -> list[Case]:
    """All of a file."""
    groups = json.loads((VECTORS / file).read_text(encoding="utf-8"))["testGroups"]
    return [
        Case(
            name=f"{test['tcId']} {test['comment']}",
            message=bytes.fromhex(test["msg"]),
            public_key=bytes.fromhex(group["key"]["uncompressed"])[1:],
            signature=bytes.fromhex(test["sig"]),
            is_valid=test["result"] == "valid",
        )
        for group in groups
        for test in group["tests"]
    ]


RAW = [case for case in cases("ecdsa_secp256r1_sha256_p1363_test.json") if len(case.signature) == 64]
"""The contracts take 64 bytes out of fields of that length; others can't reach them."""
DER = cases("ecdsa_secp256r1_sha256_test.json")


@pytest.fixture(scope="module", params=[anvil.HARDFORK, WITHOUT_PRECOMPILE])
def rpc(request: pytest.FixtureRequest, compiled: dict[str, dict[str, Any]]) -> Iterator[str]:
    """A chain with the precompile, then one without, and the harness on it."""
    with anvil.start(hardfork=request.param) as running:
        anvil.call(running.rpc, "anvil_setCode", HARNESS, compiled["SignaturesHarness"]["deployedBytecode"])
        yield running.rpc


def ask(rpc: str, function: str, returned: list[str], *arguments: bytes) -> Answer:
    """Calls a function whose arguments are all words, or one string of bytes."""
    kinds = ["bytes"] if function == "parseSignature" else ["bytes32"] * len(arguments)
    selector = keccak256(f"{function}({','.join(kinds)})".encode())[:4]
    data = "0x" + (selector + encode(kinds, arguments)).hex()
    try:
        answer = anvil.call(rpc, "eth_call", {"to": HARNESS, "data": data}, "latest")
    except Exception as error:
        if "revert" not in str(error):
            raise
        return None
    return decode(returned, bytes.fromhex(str(answer)[2:]))


def is_signed(rpc: str, case: Case, r: bytes, s: bytes, function: str = "isSigned") -> bool:
    """The contract's verdict."""
    answer = ask(rpc, function, ["bool"], sha256(case.message), r, s, case.public_key[:32], case.public_key[32:])
    assert answer is not None
    return bool(answer[0])


def test_raw_signatures_have_wycheproofs_verdict(rpc: str) -> None:
    verdicts = {case.name: is_signed(rpc, case, case.signature[:32], case.signature[32:]) for case in RAW}

    assert verdicts == {case.name: case.is_valid for case in RAW}
    assert sum(verdicts.values()) > 100


def test_der_signatures_have_wycheproofs_verdict(rpc: str) -> None:
    verdicts = {}
    for case in DER:
        parsed = ask(rpc, "parseSignature", ["bytes32", "bytes32"], case.signature)
        verdicts[case.name] = parsed is not None and is_signed(rpc, case, *parsed)

    assert verdicts == {case.name: case.is_valid for case in DER}
    assert sum(verdicts.values()) > 100


def test_the_chain_has_the_precompile_exactly_from_its_hardfork_on(rpc: str, request: pytest.FixtureRequest) -> None:
    case = next(case for case in RAW if case.is_valid)
    has_it = is_signed(rpc, case, case.signature[:32], case.signature[32:], "isSignedByPrecompile")

    assert has_it == (request.node.callspec.params["rpc"] == anvil.HARDFORK)


def test_python_has_the_same_verdict() -> None:
    raw = cases("ecdsa_secp256r1_sha256_p1363_test.json")
    verdicts = {case.name: verify_ecdsa(case.public_key, case.signature, case.message) for case in raw}

    assert verdicts == {case.name: case.is_valid for case in raw}


def test_python_has_the_same_verdict_on_der() -> None:
    verdicts = {}
    for case in DER:
        try:
            raw = _parse(case.signature)
        except MalformedError:
            verdicts[case.name] = False
        else:
            verdicts[case.name] = verify_ecdsa(case.public_key, raw, case.message)

    assert verdicts == {case.name: case.is_valid for case in DER}


def _parse(data: bytes) -> bytes:
    """r || s of a signature as certificates have it, as `certificates.parse_signed` reads it."""
    content = strict.only(data, strict.SEQUENCE, "signature")
    first, second = strict.split(content, strict.INTEGER, "signature")
    numbers = (strict.only(part, strict.INTEGER, "signature") for part in (first, second))
    return b"".join(
        strict.integer(number, "signature", least=0, most=(1 << 256) - 1).to_bytes(32) for number in numbers
    )
