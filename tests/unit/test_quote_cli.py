"""`veriflock quote` as a person types it: on genuine evidence, on simulated evidence, and on what is neither."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from lab.evidence.world import GUEST_MEASUREMENT, MEASUREMENT, NOW_S, REPORT_DATA, Plan, sgx_plan, tdx_plan
from protocol.attestation.layouts import FLAG_DEBUG, FLAG_INIT, FLAG_MODE64
from protocol.errors import UnavailableError
from verifier.quote_cli import MAX_EVIDENCE_BYTES, app

GENUINE = Path(__file__).parent.parent / "vectors" / "quotes"
SGX, TDX, NITRO = GENUINE / "sgx_quote", GENUINE / "tdx_quote", GENUINE / "nitro_attestation.bin"
AT = ("--at", "2025-06-21T10:00:00Z")
NITRO_AT = ("--at", "2025-12-25T13:16:00Z")
NONCE = b"nonce of ours"


def collateral_of(quote: Path) -> tuple[str, str]:
    return "--collateral", f"{quote}_collateral.json"


def run(*arguments: object, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin)


def verdict(*arguments: object, exit_code: int) -> dict[str, Any]:
    """The JSON of `verify`."""
    result = run("verify", *arguments, "--format", "json")
    assert result.exit_code == exit_code, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def outcomes(found: dict[str, Any]) -> dict[int, str]:
    return {check["step"]: check["outcome"] for check in found["checks"]}


@dataclass
class Desk:
    """A folder with the evidence of a plan."""

    folder: Path

    def lay(self, plan: Plan) -> tuple[object, ...]:
        """Files, and the arguments that name them."""
        evidence = plan.evidence()
        for name, data in (("quote", evidence.quote), ("collateral", evidence.collateral), ("root", evidence.root)):
            (self.folder / name).write_bytes(data)
        return self.folder / "quote", "--collateral", self.folder / "collateral", "--at", NOW_S

    def policy(self, **fields: object) -> tuple[object, ...]:
        (self.folder / "policy").write_text(json.dumps(fields))
        return "--policy", self.folder / "policy"


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(folder=tmp_path)


# Genuine evidence.


def test_a_genuine_tdx_quote_is_authentic_and_acceptable() -> None:
    found = verdict(TDX, *collateral_of(TDX), *AT, exit_code=0)
    assert (found["authentic"], found["acceptable"], found["failed"]) == (True, True, None)
    assert (found["format"], found["root_kind"], found["tcb_status"]) == ("tdx-v4", "intel", "UpToDate")
    assert (found["not_before"], found["not_after"]) == ("2025-06-19T10:32:27Z", "2025-07-19T10:00:35Z")
    assert outcomes(found) == {step: "not_done" if step == 10 else "held" for step in range(1, 11)}
    assert (len(found["measurement"]), len(found["report_data"]), len(found["measurements"]["rtmr3"])) == (96, 128, 96)


def test_a_genuine_sgx_quote_is_authentic_and_acceptable_only_to_whoever_says_so() -> None:
    found = verdict(SGX, *collateral_of(SGX), *AT, exit_code=1)
    assert (found["authentic"], found["acceptable"]) == (True, False)
    assert found["advisories"] == ["INTEL-SA-00289", "INTEL-SA-00615"]
    assert found["failed"]["step"] is None
    assert "TCB status of the platform: expected one of UpToDate" in found["failed"]["reason"]
    widened = ("--accept-status", "ConfigurationAndSWHardeningNeeded,SWHardeningNeeded")
    assert verdict(SGX, *collateral_of(SGX), *AT, *widened, exit_code=0)["acceptable"] is True


def test_a_genuine_nitro_document_needs_no_collateral() -> None:
    found = verdict(NITRO, *NITRO_AT, exit_code=0)
    assert (found["format"], found["root_kind"], found["tcb_status"], found["report_data"]) == (
        "nitro", "aws", None, None,
    )  # fmt: skip
    assert outcomes(found) == {1: "held", 2: "held", 6: "held", 9: "held", 10: "not_done"}
    assert found["measurement"] == found["measurements"]["pcr0"]


@pytest.mark.parametrize("quote", [SGX, TDX])
def test_without_collateral_one_could_not_tell(quote: Path) -> None:
    found = verdict(quote, *AT, exit_code=2)
    assert (found["authentic"], found["acceptable"], found["tcb_status"]) == (None, None, None)
    assert [step for step, outcome in outcomes(found).items() if outcome == "not_done"] == [3, 4, 7, 8, 10]
    assert found["measurement"] is not None
    assert "could not tell: no CRLs" in run("verify", quote, *AT).stdout.splitlines()[-1]


@pytest.mark.parametrize(
    ("quote", "more", "step"),
    [
        (TDX, ("--at", "2025-06-18T10:32:27Z"), 3),
        (TDX, ("--at", "2025-07-20T10:00:35Z"), 3),
        (TDX, ("--at", "1750500000", "--root", "aws"), 2),
        (TDX, ("--at", "1750500000", "--root", "simulated"), 2),
        (TDX, ("--at", "1750500000", "--nonce", "00"), 10),
        (NITRO, ("--at", "2025-12-26T13:16:00Z"), 2),
        (NITRO, (*NITRO_AT, "--root", "intel"), 2),
        (NITRO, (*NITRO_AT, "--nonce", "00"), 10),
    ],
)
def test_a_genuine_one_is_not_authentic_at_another_time_under_another_root_or_for_another_nonce(
    quote: Path, more: tuple[str, ...], step: int
) -> None:
    collateral = collateral_of(quote) if quote != NITRO else ()
    found = verdict(quote, *collateral, *more, exit_code=1)
    assert (found["authentic"], found["acceptable"], found["failed"]["step"]) == (False, False, step)
    assert outcomes(found)[step] == "failed"


def test_facts_that_came_to_light_stand_when_a_later_check_fails() -> None:
    found = verdict(TDX, *collateral_of(TDX), *AT, "--nonce", "aa", exit_code=1)
    assert (found["root_kind"], found["tcb_status"]) == ("intel", "UpToDate")
    early = verdict(TDX, *collateral_of(TDX), "--at", "0", exit_code=1)
    assert (early["format"], early["root_kind"], early["tcb_status"]) == ("tdx-v4", None, None)


def test_the_other_quotes_collateral_is_refused() -> None:
    assert verdict(SGX, *collateral_of(TDX), *AT, exit_code=1)["failed"]["step"] == 3


def test_intels_root_certificate_in_a_file_is_intels() -> None:
    root = ("--root", GENUINE / "IntelSGXRootCA.der")
    assert verdict(TDX, *collateral_of(TDX), *AT, *root, exit_code=0)["root_kind"] == "intel"


# Simulated evidence.


def test_simulated_evidence_is_believed_only_when_asked_for(desk: Desk) -> None:
    files = desk.lay(sgx_plan())
    assert verdict(*files, exit_code=1)["failed"]["step"] == 2
    found = verdict(*files, "--root", "simulated", exit_code=0)
    assert (found["root_kind"], found["note"]) == ("simulated", "SIMULATED: says nothing about hardware")
    text = run("verify", *files, "--root", "simulated").stdout.splitlines()
    assert text[-2:] == [
        "SIMULATED: says nothing about hardware",
        "authentic and acceptable: simulated, which says nothing about hardware, UpToDate; "
        "may be old, or made for somebody else (no --nonce)",
    ]


def test_simulated_roots_may_be_believed_beside_hardware(desk: Desk) -> None:
    assert verdict(*desk.lay(tdx_plan()), "--root", "simulated", "--root", "intel", exit_code=0)["acceptable"] is True
    assert verdict(TDX, *collateral_of(TDX), *AT, "--root", "simulated", "--root", "intel", exit_code=0)["note"] == ""


def test_a_root_in_a_file_is_simulated_and_believed_alone(desk: Desk) -> None:
    files = desk.lay(sgx_plan())
    assert verdict(*files, "--root", desk.folder / "root", exit_code=0)["root_kind"] == "simulated"
    (desk.folder / "pem").write_bytes(sgx_plan().chain("root"))
    assert verdict(*files, "--root", desk.folder / "pem", exit_code=0)["acceptable"] is True
    other = desk.lay(sgx_plan().but("root.key", "another root"))
    assert verdict(*other, "--root", desk.folder / "pem", exit_code=1)["failed"]["step"] == 2


def test_a_nonce_in_the_report_data_binds(desk: Desk) -> None:
    files = desk.lay(sgx_plan().but("body.report_data", NONCE.ljust(64, b"\0")))
    found = verdict(*files, "--root", "simulated", "--nonce", NONCE.hex(), exit_code=0)
    assert outcomes(found)[10] == "held"
    assert verdict(*files, "--root", "simulated", "--nonce", f"0x{NONCE.hex()}ff", exit_code=1)["failed"]["step"] == 10


@pytest.mark.parametrize(
    ("plan", "why"),
    [
        (sgx_plan().but("body.flags", FLAG_INIT | FLAG_MODE64 | FLAG_DEBUG), "debug flag"),
        (tdx_plan().but("body.td_attributes", 1 << 28 | 1), "debug flag"),
        (tdx_plan(5, 3).but("body.mrservicetd", b"\1" * 48), "service TD"),
        (sgx_plan().but("tcb_info.tcbLevels.0.tcbStatus", "Revoked"), "TCB status"),
        (sgx_plan().but("tcb_info.tcbLevels.0.tcbStatus", "OutOfDate"), "TCB status"),
    ],
)
def test_authentic_is_not_acceptable(desk: Desk, plan: Plan, why: str) -> None:
    found = verdict(*desk.lay(plan), "--root", "simulated", exit_code=1)
    assert (found["authentic"], found["acceptable"], found["failed"]["step"]) == (True, False, None)
    assert found["failed"]["reason"].startswith(f"policy: {why}")
    last = run("verify", *desk.lay(plan), "--root", "simulated").stdout.splitlines()[-1]
    assert last.startswith("authentic, but NOT ACCEPTABLE: policy: ")


def test_one_thing_wrong_is_named_by_its_step(desk: Desk) -> None:
    steps = {
        2: sgx_plan().but("leaf.signed_by", "root"),
        3: sgx_plan().but("pck_crl.end_s", NOW_S - 1),
        4: sgx_plan().but("tcb_info.id", "TDX"),
        5: sgx_plan().but("qe_report.mrsigner", bytes(32)),
        6: sgx_plan().but("quote_signed_by", "leaf"),
        7: sgx_plan().but("tcb_info.fmspc", "0053494D0001"),
        9: sgx_plan().but("body.flags", FLAG_MODE64),
    }
    found = {
        step: verdict(*desk.lay(plan), "--root", "simulated", exit_code=1)["failed"]["step"]
        for step, plan in steps.items()
    }
    assert found == {step: step for step in steps}


# Policies.


def test_a_policy_names_the_code_that_will_do(desk: Desk) -> None:
    files = (*desk.lay(sgx_plan()), "--root", "simulated")
    ours = {"measurements": [MEASUREMENT.hex()], "allow_simulated_quotes": True, "report_data": REPORT_DATA.hex()}
    assert verdict(*files, *desk.policy(**ours), exit_code=0)["acceptable"] is True
    other = ours | {"measurements": ["00" * 32]}
    assert "measurement of the enclave" in verdict(*files, *desk.policy(**other), exit_code=1)["failed"]["reason"]
    hardware = ours | {"allow_simulated_quotes": False}
    assert "says nothing about hardware" in verdict(*files, *desk.policy(**hardware), exit_code=1)["failed"]["reason"]


def test_a_nonce_stands_for_the_report_data_of_a_policy(desk: Desk) -> None:
    plan = tdx_plan().but("body.report_data", NONCE.ljust(64, b"\0"))
    files = (*desk.lay(plan), "--root", "simulated")
    policy = desk.policy(measurements=[GUEST_MEASUREMENT.hex()], allow_simulated_quotes=True)
    assert verdict(*files, *policy, "--nonce", NONCE.hex(), exit_code=0)["acceptable"] is True
    assert run("verify", *files, *policy).exit_code == 2


def test_a_nonce_binds_whatever_the_policy_says_of_binding(desk: Desk) -> None:
    plan = tdx_plan().but("body.report_data", NONCE.ljust(64, b"\0"))
    files = (*desk.lay(plan), "--root", "simulated")
    fields = {"measurements": [GUEST_MEASUREMENT.hex()], "allow_simulated_quotes": True}
    policy = desk.policy(**fields, insecure_without_binding=False)
    assert verdict(*files, *policy, "--nonce", NONCE.hex(), exit_code=0)["acceptable"] is True
    assert verdict(*files, *policy, "--nonce", "00", exit_code=1)["failed"]["step"] == 10
    assert run("verify", *files, *desk.policy(**fields, insecure_without_binding=0), "--nonce", "00").exit_code == 2


def test_statuses_on_the_command_line_are_accepted_beside_those_of_the_policy(desk: Desk) -> None:
    files = (*desk.lay(sgx_plan().but("tcb_info.tcbLevels.0.tcbStatus", "SWHardeningNeeded")), "--root", "simulated")
    policy = desk.policy(measurements=[MEASUREMENT.hex()], allow_simulated_quotes=True, report_data=REPORT_DATA.hex())
    assert verdict(*files, *policy, exit_code=1)["authentic"] is True
    assert verdict(*files, *policy, "--accept-status", "SWHardeningNeeded", exit_code=0)["acceptable"] is True


# What is no evidence, and what is mistyped.


@pytest.mark.parametrize(
    "data", [b"", b"\0", b"hello", b"{}", b"\x84" * 100, b"\3\0" * 700, b"\xff" * MAX_EVIDENCE_BYTES]
)
def test_what_is_no_evidence_is_not_authentic(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "file").write_bytes(data)
    assert verdict(tmp_path / "file", exit_code=1)["failed"]["step"] == 1
    assert run("inspect", tmp_path / "file").exit_code == 1


def test_a_file_without_end_is_not_read_to_its_end() -> None:
    assert verdict("/dev/zero", exit_code=1)["failed"]["step"] == 1
    assert verdict(TDX, "--collateral", "/dev/zero", *AT, exit_code=1)["failed"]["step"] == 4


def test_collateral_that_is_none_fails_its_step(tmp_path: Path) -> None:
    (tmp_path / "collateral").write_text("{}")
    assert verdict(TDX, "--collateral", tmp_path / "collateral", *AT, exit_code=1)["failed"]["step"] == 4


def assert_nobody_could_tell(found: dict[str, Any]) -> None:
    told = verdict(TDX, *collateral_of(TDX), *AT, exit_code=0)
    assert list(found) == list(told)
    assert (found["authentic"], found["acceptable"], found["failed"]["step"]) == (None, None, None)
    assert found["verdict"] == f"could not tell: {found['failed']['reason']}"


def test_a_file_that_is_not_there_is_no_verdict(tmp_path: Path) -> None:
    for arguments in ((tmp_path / "none",), (TDX, "--collateral", tmp_path / "none")):
        result = run("verify", *arguments, "--format", "json")
        assert isinstance(result.exception, UnavailableError)
        assert_nobody_could_tell(json.loads(result.stdout))


def test_hexadecimal_text_is_told_apart(tmp_path: Path) -> None:
    (tmp_path / "text").write_text(SGX.read_bytes().hex())
    assert "xxd -r -p" in run("verify", tmp_path / "text", *AT).stderr
    assert "xxd -r -p" in run("inspect", tmp_path / "text").stderr


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--at", "yesterday"), "YYYY-MM-DDThh:mm:ssZ"),
        (("--at", "2025-02-30T00:00:00Z"), "no such date"),
        (("--nonce", "abc"), "hexadecimal digits"),
        (("--nonce", ""), "hexadecimal digits"),
        (("--accept-status", "Revoked"), "'Revoked' is none of"),
        (("--accept-status", "uptodate"), "'uptodate' is none of"),
        (("--root", "inteL"), "intel, aws, simulated or a certificate's file"),
        (("--root", str(NITRO)), "is no certificate"),
        (("--policy", str(SGX)), "policy"),
        (("--format", "yaml"), "text or json"),
    ],
)
def test_what_is_mistyped_is_no_verdict(arguments: tuple[str, ...], why: str) -> None:
    result = run("verify", TDX, *arguments)
    assert result.exit_code == 2
    assert why in " ".join(result.stderr.replace("│", " ").split())
    if "--format" not in arguments:
        assert_nobody_could_tell(json.loads(run("verify", TDX, *arguments, "--format", "json").stdout))


def test_a_failure_of_the_verifier_itself_is_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("verifier.quote_cli.examine", fail)
    result = run("verify", TDX, "--format", "json")
    assert isinstance(result.exception, UnavailableError)
    assert json.loads(result.stdout)["failed"]["reason"] == "the verifier failed in itself: ZeroDivisionError: a bug"


# Output.


def test_evidence_may_come_from_standard_input() -> None:
    result = run("verify", "-", *collateral_of(SGX), *AT, "--format", "json", stdin=SGX.read_bytes())
    assert json.loads(result.stdout)["authentic"] is True


def test_text_has_no_colour_where_there_is_no_terminal() -> None:
    text = run("verify", TDX, *collateral_of(TDX), *AT).stdout
    assert "\x1b" not in text
    assert [line.split()[0] for line in text.splitlines() if line.startswith("  ")] == [str(n) for n in range(1, 11)]


@pytest.mark.parametrize("path", [SGX, TDX, NITRO])
def test_inspecting_shows_every_field_where_it_is(path: Path) -> None:
    data = path.read_bytes()
    found = json.loads(run("inspect", path, "--format", "json").stdout)
    for field in found["fields"]:
        raw = data[field["offset"] : field["offset"] + field["length"]]
        if isinstance(field["value"], str) and field["value"]:
            assert raw.hex() == field["value"], field["name"]
    ends = [(field["offset"], field["offset"] + field["length"]) for field in found["fields"]]
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(ends))
    assert "error" not in {name for certificate in found["certificates"] for name in certificate}


@pytest.mark.parametrize("path", [SGX, TDX])
def test_the_fields_of_a_quote_leave_no_gap(path: Path) -> None:
    fields = json.loads(run("inspect", path, "--format", "json").stdout)["fields"]
    assert sum(field["length"] for field in fields) == len(path.read_bytes())


def test_inspecting_names_platform_and_chain() -> None:
    leaf, authority, root = json.loads(run("inspect", TDX, "--format", "json").stdout)["certificates"]
    assert (leaf["fmspc"], leaf["pce_svn"], leaf["usage"]) == ("b0c06f000000", 11, "signs data")
    assert (authority["subject"], authority["usage"]) == ("Intel SGX PCK Platform CA", "CA, path length 0")
    assert root["not_after"] == "2049-12-31T23:59:59Z"


def test_inspecting_shows_a_quote_whose_certificates_are_not_there_or_broken(desk: Desk) -> None:
    desk.lay(sgx_plan().but("certification_type", 1))
    assert json.loads(run("inspect", desk.folder / "quote", "--format", "json").stdout)["certificates"] == []
    desk.lay(sgx_plan().but("certification_type", 4))
    assert len(json.loads(run("inspect", desk.folder / "quote", "--format", "json").stdout)["certificates"]) == 1


def test_inspecting_says_that_nothing_was_verified() -> None:
    text = run("inspect", NITRO).stdout
    assert text.splitlines()[-1] == "nothing of this was verified: veriflock quote verify does that"
    assert "aws.nitro-enclaves" in text


def test_names_in_certificates_do_not_reach_the_terminal_as_they_are(desk: Desk) -> None:
    desk.lay(sgx_plan().but("leaf.name", "\x1b[31mred[/]"))
    text = run("inspect", desk.folder / "quote").stdout
    assert "\x1b" not in text
    assert "\\x1b[31mred[/]" in text


def test_the_console_command_starts_without_what_it_does_not_need() -> None:
    heavy = ("torch", "web3", "fastapi", "httpx", "numpy", "eth_abi", "coordinator", "participant")
    program = (
        "import sys, veriflock\n"
        f"sys.argv = ['veriflock', 'quote', 'verify', *{(str(TDX), *collateral_of(TDX), *AT)!r}]\n"
        "code = veriflock.run(veriflock.build('quote'))\n"
        f"print([name for name in {heavy!r} if name in sys.modules], code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=GENUINE.parent.parent.parent
    )
    assert done.stdout.splitlines()[-1] == "[] 0"


@pytest.mark.parametrize("spoil", [lambda data: data[:-1], lambda data: data + b"\1", lambda data: data[:1000]])
def test_a_quote_that_is_cut_or_longer_fails_its_first_step(desk: Desk, spoil: Callable[[bytes], bytes]) -> None:
    found = verdict(*desk.lay(sgx_plan().edit("quote", spoil)), "--root", "simulated", exit_code=1)
    assert found["failed"]["step"] == 1
