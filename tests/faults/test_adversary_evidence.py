"""Evidence that is not in any folder: forged from raw bytes, by a forger that shares nothing with the project's own.

Each test asks `veriflock quote verify`, as a person does; where dcap-qvl can judge, it is asked as well.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import cbor2
import dcap_qvl
import pytest
from typer.testing import CliRunner

from protocol.errors import UnavailableError
from tests.faults.evidence_forger import (
    AT,
    AWS,
    NAMES,
    NOW,
    SVNS,
    TDX_SVNS,
    World,
    certificate,
    document,
    enclave,
    guest,
    pem,
    platform,
    point,
    revocations,
    tdx,
)
from verifier.quote_cli import app

# What is asked


def run(*arguments: object) -> tuple[int, str, str]:
    """Exit code, output and complaints of `veriflock quote`."""
    found = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert found.exception is None or isinstance(found.exception, SystemExit | UnavailableError), found
    code = 2 if isinstance(found.exception, UnavailableError) else found.exit_code
    return code, found.stdout, found.stderr


@dataclass
class Desk:
    """A folder, and the command in it."""

    folder: Path

    def lay(self, name: str, data: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(data)
        return path

    def ask(self, world: World, *options: object) -> dict[str, Any]:
        """The JSON of `verify` under the world's own root, in a file."""
        quote = self.lay("quote", world.quote())
        collateral = self.lay("collateral", json.dumps(world.collateral()).encode())
        root = self.lay("root", world.certificates["root"])
        fixed = ("--collateral", collateral, "--root", root, "--at", AT, "--format", "json")
        code, out, _ = run("verify", quote, *fixed, *options)
        answer: dict[str, Any] = json.loads(out)
        assert code == {True: 0, False: 1, None: 2}[answer["acceptable"]]
        return answer


def theirs(world: World) -> str:
    """What dcap-qvl says: a status, or why it refuses."""
    try:
        collateral = dcap_qvl.QuoteCollateralV3.from_json(json.dumps(world.collateral()))
        report = dcap_qvl.verify_with_root_ca(world.quote(), collateral, world.certificates["root"], int(AT))
    except ValueError as error:
        return f"refused: {error}"
    return str(report.status)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def verdict(answer: dict[str, Any]) -> tuple[bool | None, bool | None, str | None]:
    return answer["authentic"], answer["acceptable"], answer["tcb_status"]


def refusal(answer: dict[str, Any]) -> tuple[int | None, str]:
    """Number of the step (None for the policy) and the reason."""
    assert answer["acceptable"] is False
    return answer["failed"]["step"], answer["failed"]["reason"]


AUTHENTIC = (True, True, "UpToDate")


# Genuine in shape, and in no folder


@pytest.mark.parametrize(
    "world",
    [
        World(),
        World(instance=False, names=NAMES | {"ca": "Intel SGX PCK Processor CA"}),
        World(version=4),
        World(version=5),
        World(auth=b""),
        World(auth=b"a" * 1000),
        World(high=True),
        World(high=False),
        World(body=enclave(flags=1, xfrm=3)),
        World(body=enclave(flags=0x85, patch={32: b"x" * 16, 192: b"c" * 64, 260: b"\1\0", 304: b"f" * 16})),
        World(info_change=lambda info: info["tcbLevels"].reverse()),
        World(identity_change=lambda identity: identity["tcbLevels"].reverse()),
        World(info_change=lambda info: info["tcbLevels"][0].update(advisoryIDs=[])),
        World(pck_revoked=tuple(range(1 << 150, (1 << 150) + 600))),
        tdx(),
        tdx(padding=3065),
        tdx(padding=20_000),
        tdx(version=5),
        tdx(version=5, body=guest(is_15=True)),
        tdx(body=guest(tee_tcb_svn=bytes(TDX_SVNS)), info_change=lambda info: info.pop("tdxModuleIdentities")),
        tdx(body=guest(attributes=1 << 28 | 1 << 30 | 1 << 31 | 1 << 63)),
    ],
)
def test_what_could_be_genuine_is_authentic_and_acceptable(desk: Desk, world: World) -> None:
    assert verdict(desk.ask(world)) == AUTHENTIC
    said = theirs(world)
    assert said == "UpToDate" or any(
        known in said for known in ("SGX TEE quote must have version 3", "Invalid QE auth data", "OutOfDate")
    )


# Authentic, and what it says is not good enough


@pytest.mark.parametrize("debug", [0, 3, 7])
def test_any_debug_bit_of_a_guest_is_seen(desk: Desk, debug: int) -> None:
    answer = desk.ask(tdx(body=guest(attributes=1 << 28 | 1 << debug)))
    assert (answer["authentic"], answer["debug"]) == (True, True)
    assert refusal(answer) == (None, "policy: debug flag of the enclave: expected clear, got set")


@pytest.mark.parametrize(
    ("world", "why"),
    [
        (World(body=enclave(flags=7)), "debug flag"),
        (World(body=enclave(flags=0x15)), "provisioning and launch keys"),
        (World(body=enclave(flags=0x25)), "provisioning and launch keys"),
        (tdx(body=guest(attributes=0)), "SEPT_VE_DISABLE"),
        (tdx(version=5, body=guest(is_15=True, mrservicetd=b"V" * 48)), "service TD"),
    ],
)
def test_authentic_is_not_acceptable(desk: Desk, world: World, why: str) -> None:
    answer = desk.ask(world)
    assert answer["authentic"] is True
    assert why in refusal(answer)[1]


STATUSES = {
    "OutOfDate": "OutOfDate",
    "ConfigurationNeeded": "ConfigurationNeeded",
    "SWHardeningNeeded": "SWHardeningNeeded",
    "ConfigurationAndSWHardeningNeeded": "ConfigurationAndSWHardeningNeeded",
    "OutOfDateConfigurationNeeded": "OutOfDateConfigurationNeeded",
    "Revoked": "Revoked",
}


@pytest.mark.parametrize("status", STATUSES)
def test_a_platform_has_the_status_of_its_level(desk: Desk, status: str) -> None:
    world = tdx(status=status)
    assert verdict(desk.ask(world)) == (True, False, status)
    assert theirs(world) == status or "TCB status is invalid: Revoked" in theirs(world)


@pytest.mark.parametrize("part", ["module", "qe"])
@pytest.mark.parametrize("status", ["OutOfDate", "Revoked"])
def test_one_old_part_makes_all_of_it_old(desk: Desk, part: str, status: str) -> None:
    assert verdict(desk.ask(tdx(**{part: status}))) == (True, False, status)


@pytest.mark.parametrize("part", ["status", "module", "qe"])
def test_no_option_accepts_a_revoked_part(desk: Desk, part: str) -> None:
    every = ",".join(status for status in STATUSES if status != "Revoked")
    answer = desk.ask(tdx(**{part: "Revoked"}), "--accept-status", every)
    assert "Revoked" in refusal(answer)[1]


# Forged


def with_chain(key: str, *names: str, **more: Any) -> World:
    world = World(**more)
    world.chains[key] = pem(*(world.certificates[name] for name in names))
    return world


def with_certificate(name: str, *arguments: str, **more: Any) -> World:
    world = World()
    world.certificates[name] = certificate(*arguments, **more)
    return world


ROOT, CA, PCK, TCB = NAMES.values()
PLATFORM = platform(SVNS, 11, instance=True)
PAST = {"start": NOW - timedelta(days=40), "end": NOW - timedelta(seconds=1)}
SIGNED_BY_PCK: Any = {"text_signers": ("pck", "tcb")}


@pytest.mark.parametrize(
    ("world", "step"),
    [
        (with_chain("tcb_info_issuer_chain", "pck", "root", **SIGNED_BY_PCK), 4),
        (with_chain("tcb_info_issuer_chain", "pck", "ca", "root", **SIGNED_BY_PCK), 4),
        (with_chain("tcb_info_issuer_chain", "ca", "root", text_signers=("ca", "tcb")), 4),
        (with_chain("tcb_info_issuer_chain", "root", "root", text_signers=("root", "tcb")), 4),
        (with_chain("qe_identity_issuer_chain", "ca", "root", text_signers=("tcb", "ca")), 4),
        (with_chain("pck_crl_issuer_chain", "tcb", "root"), 3),
        (with_certificate("tcb", TCB, "tcb", ROOT, "root", sgx=PLATFORM), 4),
        (with_certificate("tcb", TCB, "tcb", ROOT, "ca"), 4),
        (with_certificate("tcb", TCB, "tcb", ROOT, "root", ca=0), 4),
        (with_certificate("tcb", TCB, "tcb", ROOT, "root", **PAST), 4),
        (with_certificate("pck", TCB, "pck", ROOT, "root"), 2),
        (with_certificate("pck", PCK, "pck", CA, "ca"), 2),
        (with_certificate("pck", PCK, "pck", ROOT, "root", sgx=PLATFORM), 2),
        (with_certificate("pck", PCK, "pck", CA, "other", sgx=PLATFORM), 2),
        (with_certificate("pck", PCK, "pck", CA, "ca", sgx=PLATFORM, ca=0), 2),
        (with_certificate("root", ROOT, "other", ROOT, "other", ca=1), 2),
        (World(root_revoked=(11,)), 3),
        (World(root_revoked=(12,)), 3),
        (World(root_revoked=(14,)), 3),
        (World(pck_revoked=(13,)), 3),
        (World(crls={"pck_crl": revocations(ROOT, "root")}), 3),
        (World(crls={"pck_crl": revocations(CA, "other")}), 3),
        (World(crls={"pck_crl": revocations(CA, "ca", **PAST)}), 3),
        (World(crls={"root_ca_crl": revocations(ROOT, "root", **PAST)}), 3),
        (World(crls={"root_ca_crl": revocations(CA, "ca")}), 3),
        (World(crls={"pck_crl": revocations(CA, "ca", extensions=["1.2.3.4"])}), 3),
    ],
)
def test_a_role_or_a_list_that_is_not_right_is_refused(desk: Desk, world: World, step: int) -> None:
    answer = desk.ask(world)
    assert (answer["authentic"], refusal(answer)[0]) == (False, step)


@pytest.mark.parametrize("root", ["intel", "aws", "simulated"])
def test_intels_names_on_another_key_are_nobodys(desk: Desk, root: str) -> None:
    world = World()
    quote = desk.lay("quote", world.quote())
    collateral = desk.lay("collateral", json.dumps(world.collateral()).encode())
    code, out, _ = run("verify", quote, "--collateral", collateral, "--at", AT, "--root", root, "--format", "json")
    assert (code, refusal(json.loads(out))[0]) == (1, 2)


def test_a_root_in_a_file_is_never_hardware(desk: Desk) -> None:
    world = World()
    policy = desk.lay("policy", b'{"insecure_without_reference_values":true,"insecure_without_binding":true}')
    answer = desk.ask(world, "--policy", policy)
    assert (answer["authentic"], answer["root_kind"]) == (True, "simulated")
    assert "says nothing about hardware" in refusal(answer)[1]


def first(info: dict[str, Any], **fields: object) -> None:
    info["tcbLevels"][0]["tcb"].update(fields)


@pytest.mark.parametrize(
    "world",
    [
        World(info_change=lambda info: info.update(id="TDX")),
        tdx(info_change=lambda info: info.update(id="SGX")),
        World(identity_change=lambda identity: identity.update(id="TD_QE")),
        tdx(identity_change=lambda identity: identity.update(id="QE")),
        World(info_change=lambda info: info.update(tcbType=1)),
        World(info_change=lambda info: first(info, sgxtcbcomponents=[])),
        World(info_change=lambda info: first(info, sgxtcbcomponents=[{"svn": 0}] * 4)),
        World(info_change=lambda info: first(info, pcesvn=True)),
        World(info_change=lambda info: first(info, pcesvn=-1)),
        World(info_change=lambda info: first(info, pcesvn=10**3000)),
        World(info_text=lambda text: text.replace('"UpToDate"', '"OutOfDate","tcbStatus":"UpToDate"', 1)),
        World(info_text=lambda text: text.replace('"UpToDate"', r'"OutOfDate","tcbStatu\u0073":"UpToDate"', 1)),
        World(info_text=lambda text: text.replace("{", '{"x":NaN,', 1)),
        World(info_text=lambda text: text.replace("{", '{"x":' + "[" * 9000 + "]" * 9000 + ",", 1)),
        World(info_text=lambda text: text.replace("UpToDate", r"\ud800", 1)),
        World(info_change=lambda info: info.update(nextUpdate="2027-03-01T11:59:59Z")),
        World(identity_change=lambda identity: identity.update(issueDate="2027-03-01T12:00:01Z")),
    ],
)
def test_a_signed_text_that_means_nothing_here_fails_step_4(desk: Desk, world: World) -> None:
    assert refusal(desk.ask(world))[0] == 4


@pytest.mark.parametrize(
    ("world", "step"),
    [
        *((World(body=enclave(patch={offset: b"\1"})), 9) for offset in (20, 96, 160, 262)),
        (World(body=enclave(flags=4)), 9),
        (World(body=enclave(flags=0xD)), 9),
        (World(body=enclave(xfrm=0)), 9),
        (World(body=enclave(xfrm=1 << 63 | 0xE7)), 9),
        (tdx(body=guest(xfam=1 << 20 | 0xE7)), 9),
        (tdx(body=guest(attributes=1 << 28 | 1 << 29)), 9),
        (tdx(body=guest(patch={112: b"\1"})), 7),
        (tdx(body=guest(patch={64: b"\1"})), 7),
        (World(qe_report={"flags": 0x17}), 5),
        (World(qe_report={"mrsigner": b"z" * 32}), 5),
        (World(qe_report={"product": 2}), 5),
        (World(qe_report={"svn": 3}), 5),
        (World(qe_report={"report_data": sha256(point("ak") + bytes(range(32))).digest() + b"\1" + bytes(31)}), 5),
        (World(key_data=0x81), 1),
        (tdx(version=5, key_data=0), 1),
    ],
)
def test_a_body_that_can_not_be_is_refused(desk: Desk, world: World, step: int) -> None:
    assert refusal(desk.ask(world))[0] == step


def test_intel_says_by_a_mask_which_attributes_of_its_module_count(desk: Desk) -> None:
    def unmask(info: dict[str, Any]) -> None:
        for module in (info["tdxModule"], *info["tdxModuleIdentities"]):
            module["attributesMask"] = "00" * 8

    world = tdx(body=guest(patch={112: b"\1"}), info_change=unmask)
    assert verdict(desk.ask(world)) == AUTHENTIC
    # They want zeros outside of it as well; Intel's own verifier, like us, does not look there.
    assert "SEAMATTRIBUTES has bits set outside mask" in theirs(world)


# AWS


def ask_nitro(desk: Desk, data: bytes, *options: object) -> dict[str, Any]:
    root, path = desk.lay("aws", AWS[0]), desk.lay("document", data)
    _, out, _ = run("verify", path, "--root", root, "--at", AT, "--format", "json", *options)
    answer: dict[str, Any] = json.loads(out)
    return answer


@pytest.mark.parametrize(
    "data",
    [
        document(),
        b"\xd2" + document(),
        cbor2.dumps({"Attestation": {"document": document()}}),
        document(pcrs=dict.fromkeys(range(32), b"p" * 48)),
        document(pcrs=dict.fromkeys(range(3), b"p" * 48)),
        document(public_key=b"k" * 1024, user_data=b"u" * 512, nonce=b"n" * 512),
        document(public_key=None, user_data=b"", nonce=b""),
    ],
)
def test_documents_of_other_shapes_are_authentic(desk: Desk, data: bytes) -> None:
    answer = ask_nitro(desk, data)
    assert (answer["authentic"], answer["acceptable"]) == (True, True)


ZERO = {number: bytes(48) for number in range(16)}


MEASURED = dict.fromkeys(range(16), b"m" * 48)


@pytest.mark.parametrize(
    "pcrs", [ZERO, ZERO | {3: b"r" * 48, 4: b"i" * 48}, *(MEASURED | {number: bytes(48)} for number in range(3))]
)
def test_an_image_that_hashes_to_zeros_is_not_acceptable(desk: Desk, pcrs: dict[int, bytes]) -> None:
    answer = ask_nitro(desk, document(pcrs=pcrs))
    assert (answer["authentic"], answer["acceptable"], answer["debug"]) == (True, False, True)


@pytest.mark.parametrize(
    ("data", "step"),
    [
        (document() + b"\0", 1),
        (document(cabundle=[]), 1),
        (document(cabundle=AWS[1:3]), 2),
        (document(cabundle=AWS[2::-1]), 2),
        (document(cabundle=AWS), 2),
        (document(cabundle=AWS[:2], certificate=AWS[2]), 2),
        (document(timestamp=int(AT) * 1000 + 301_000), 2),
        (document(pcrs={number: bytes([1]) * 48 for number in range(33)}), 1),
    ],
)
def test_documents_that_aws_did_not_make_are_refused(desk: Desk, data: bytes, step: int) -> None:
    assert refusal(ask_nitro(desk, data))[0] == step


@pytest.mark.parametrize("nonce", ["6162", "61626300", "00"])
def test_a_nonce_that_is_only_partly_repeated_is_not(desk: Desk, nonce: str) -> None:
    assert refusal(ask_nitro(desk, document(nonce=b"abc"), "--nonce", nonce))[0] == 10


def test_no_kind_of_root_stands_for_the_other(desk: Desk) -> None:
    world = World()
    root = desk.lay("aws", AWS[0])
    code, _, _ = run("verify", desk.lay("quote", world.quote()), "--root", root, "--at", AT)
    assert code == 1
    path = desk.lay("document", document())
    assert {run("verify", path, "--root", name, "--at", AT)[0] for name in ("intel", "aws", "simulated")} == {1}


# Whoever asks wrongly


@pytest.mark.parametrize(
    "policy",
    [
        b"",
        b"{}",
        b"[]",
        b'{"mesurements":[]}',
        b'{"measurements":["0"]}',
        b'{"measurements":null}',
        b'{"measurements":[],"measurements":[]}',
        b'{"\\ud800":1}',
        b'{"\\u001b[31m":1}',
        b'{"accept_statuses":["uptodate"],"insecure_without_reference_values":true}',
        b'{"accept_statuses":["Revoked"],"insecure_without_reference_values":true,"insecure_without_binding":true}',
        b'{"root_kinds":["simulated"],"insecure_without_reference_values":true,"insecure_without_binding":true}',
        b'{"insecure_without_reference_values":1,"insecure_without_binding":true}',
    ],
)
def test_a_policy_that_is_not_understood_decides_nothing(desk: Desk, policy: bytes) -> None:
    path = desk.lay("policy", policy)
    code, _, complaint = run("verify", desk.lay("quote", b""), "--policy", path, "--at", AT)
    assert code == 2
    assert "\x1b" not in complaint


def test_a_register_that_does_not_exist_has_no_value(desk: Desk) -> None:
    fields = {"insecure_without_reference_values": True, "insecure_without_binding": True}
    fields |= {"allow_simulated_quotes": True}
    path = desk.lay("policy", json.dumps({**fields, "registers": {"mrsingner": ["53" * 32]}}).encode())
    assert refusal(desk.ask(World(), "--policy", path))[1].startswith("policy: mrsingner of the enclave")
