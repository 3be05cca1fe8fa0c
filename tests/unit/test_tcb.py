"""TCB info and QE identity: what is read, what is refused, and which status follows from which versions."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest
from collateral_world import GENUINE, rate

from lab.evidence.world import Plan, PlatformPlan, sgx_plan, tcb_level, tdx_plan
from protocol.attestation.strict_json import parse_time_s
from protocol.attestation.tcb import (
    PLATFORM_STATUSES,
    QeIdentity,
    TcbInfo,
    TcbStatus,
    Tee,
    parse_qe_identity,
    parse_tcb_info,
)
from protocol.attestation.tcb_levels import converge
from protocol.errors import MalformedError, VerificationError

SVNS = PlatformPlan.cpu_svn
UP_TO_DATE, OUT_OF_DATE, REVOKED = TcbStatus.UP_TO_DATE, TcbStatus.OUT_OF_DATE, TcbStatus.REVOKED


def refusal(plan: Plan) -> VerificationError:
    with pytest.raises(VerificationError) as caught:
        rate(plan)
    return caught.value


def genuine_text(name: str, part: str) -> bytes:
    text: str = json.loads((GENUINE / f"{name}_quote_collateral.json").read_bytes())[part]
    return text.encode()


def with_levels(plan: Plan, *levels: dict[str, Any]) -> Plan:
    return plan.but("tcb_info.tcbLevels", list(levels))


def td_level(status: str, **how: Any) -> dict[str, Any]:
    return tcb_level(status, is_tdx=True, **how)


# Reading.


def test_genuine_tcb_info_is_read() -> None:
    info = parse_tcb_info(genuine_text("sgx", "tcb_info"))
    assert (info.tee, info.fmspc.hex(), info.pce_id.hex(), info.evaluation_number) == (
        Tee.SGX, "00a067110000", "0000", 17,
    )  # fmt: skip
    assert [level.status.value for level in info.levels[:2]] == [
        "SWHardeningNeeded",
        "ConfigurationAndSWHardeningNeeded",
    ]
    assert (len(info.levels), info.module, info.modules) == (11, None, ())


def test_genuine_tcb_info_for_tdx_is_read() -> None:
    info = parse_tcb_info(genuine_text("tdx", "tcb_info"))
    assert info.module is not None
    assert info.module.levels == ()
    assert [(major, [level.svn for level in module.levels]) for major, module in info.modules] == [
        (3, [3]),
        (1, [4, 2]),
    ]
    assert info.levels[0].tdx_components == (5, 0, 2, *bytes(13))


def test_genuine_qe_identities_are_read() -> None:
    sgx, tdx = (parse_qe_identity(genuine_text(name, "qe_identity")) for name in ("sgx", "tdx"))
    assert [(level.svn, level.status.value) for level in sgx.levels[:2]] == [(8, "UpToDate"), (6, "OutOfDate")]
    assert (sgx.tee, tdx.tee, sgx.isv_prod_id, tdx.isv_prod_id) == (Tee.SGX, Tee.TDX, 1, 2)


@pytest.mark.parametrize("name", ["sgx", "tdx"])
def test_the_order_of_levels_in_the_text_means_nothing(name: str) -> None:
    text = json.loads(genuine_text(name, "tcb_info"))
    expected = parse_tcb_info(json.dumps(text).encode())
    text["tcbLevels"].reverse()
    assert parse_tcb_info(json.dumps(text).encode()) == expected


Spoil = Callable[[dict[str, Any]], object]

SPOILED_INFO: dict[str, Spoil] = {
    "id of something else": lambda info: info.update(id="QE"),
    "id in small letters": lambda info: info.update(id="tdx"),
    "no id": lambda info: info.pop("id"),
    "version 2": lambda info: info.update(version=2),
    "version that is true": lambda info: info.update(version=True),
    "version in text": lambda info: info.update(version="3"),
    "tcbType 1": lambda info: info.update(tcbType=1),
    "fmspc too short": lambda info: info.update(fmspc="00A0671100"),
    "fmspc that is no hexadecimal": lambda info: info.update(fmspc="00A06711000G"),
    "fmspc with a sign": lambda info: info.update(fmspc="-0A067110000"),
    "date without Z": lambda info: info.update(issueDate="2025-06-19T10:56:11"),
    "date with a fraction": lambda info: info.update(issueDate="2025-06-19T10:56:11.0Z"),
    "date that does not exist": lambda info: info.update(nextUpdate="2025-02-29T10:56:11Z"),
    "hour 24": lambda info: info.update(nextUpdate="2025-02-28T24:00:00Z"),
    "evaluation number below zero": lambda info: info.update(tcbEvaluationDataNumber=-1),
    "no levels": lambda info: info.update(tcbLevels=[]),
    "levels that are a map": lambda info: info.update(tcbLevels={}),
    "level that is a text": lambda info: info["tcbLevels"].append("UpToDate"),
    "empty components": lambda info: info["tcbLevels"][0]["tcb"].update(sgxtcbcomponents=[]),
    "four components": lambda info: info["tcbLevels"][0]["tcb"].update(sgxtcbcomponents=[{"svn": 1}] * 4),
    "seventeen components": lambda info: info["tcbLevels"][0]["tcb"].update(sgxtcbcomponents=[{"svn": 1}] * 17),
    "component without svn": lambda info: info["tcbLevels"][0]["tcb"].update(sgxtcbcomponents=[{}] * 16),
    "component of 256": lambda info: info["tcbLevels"][0]["tcb"]["sgxtcbcomponents"][3].update(svn=256),
    "component below zero": lambda info: info["tcbLevels"][0]["tcb"]["sgxtcbcomponents"][3].update(svn=-1),
    "component that is true": lambda info: info["tcbLevels"][0]["tcb"]["sgxtcbcomponents"][3].update(svn=True),
    "empty components of TDX": lambda info: info["tcbLevels"][0]["tcb"].update(tdxtcbcomponents=[]),
    "no components of TDX": lambda info: info["tcbLevels"][0]["tcb"].pop("tdxtcbcomponents"),
    "pcesvn of 65536": lambda info: info["tcbLevels"][0]["tcb"].update(pcesvn=65536),
    "status of no level": lambda info: info["tcbLevels"][0].update(tcbStatus="TDRelaunchAdvised"),
    "unknown status": lambda info: info["tcbLevels"][0].update(tcbStatus="uptodate"),
    "advisories that are a text": lambda info: info["tcbLevels"][0].update(advisoryIDs="INTEL-SA-1"),
    "advisory that moves the cursor": lambda info: info["tcbLevels"][0].update(advisoryIDs=["\x1b[2J"]),
    "two levels that contradict": lambda info: info["tcbLevels"].append(
        info["tcbLevels"][0] | {"tcbStatus": "SWHardeningNeeded"}
    ),
    "no module": lambda info: info.pop("tdxModule"),
    "module's signer too short": lambda info: info["tdxModule"].update(mrsigner="00" * 32),
    "module identity twice": lambda info: info["tdxModuleIdentities"].append(info["tdxModuleIdentities"][0]),
    "module identity of another form": lambda info: info["tdxModuleIdentities"][0].update(id="TDX_1"),
    "module identity without levels": lambda info: info["tdxModuleIdentities"][0].update(tcbLevels=[]),
    "module that needs configuring": lambda info: info["tdxModuleIdentities"][0]["tcbLevels"][0].update(
        tcbStatus="ConfigurationNeeded"
    ),
}


@pytest.mark.parametrize("name", SPOILED_INFO)
def test_tcb_info_with_one_thing_wrong_is_refused(name: str) -> None:
    info = json.loads(genuine_text("tdx", "tcb_info"))
    SPOILED_INFO[name](info)
    with pytest.raises(MalformedError):
        parse_tcb_info(json.dumps(info).encode())


SPOILED_IDENTITY: dict[str, Spoil] = {
    "id of the quote verification enclave": lambda identity: identity.update(id="QVE"),
    "version 1": lambda identity: identity.update(version=1),
    "attributes too short": lambda identity: identity.update(attributes="11"),
    "no mask": lambda identity: identity.pop("miscselectMask"),
    "product that is a text": lambda identity: identity.update(isvprodid="1"),
    "no levels": lambda identity: identity.update(tcbLevels=[]),
    "level without version": lambda identity: identity["tcbLevels"][0].update(tcb={}),
    "status of a platform": lambda identity: identity["tcbLevels"][0].update(tcbStatus="SWHardeningNeeded"),
}


@pytest.mark.parametrize("name", SPOILED_IDENTITY)
def test_a_qe_identity_with_one_thing_wrong_is_refused(name: str) -> None:
    identity = json.loads(genuine_text("sgx", "qe_identity"))
    SPOILED_IDENTITY[name](identity)
    with pytest.raises(MalformedError):
        parse_qe_identity(json.dumps(identity).encode())


def test_a_key_that_comes_twice_is_refused_wherever_it_is() -> None:
    text = genuine_text("sgx", "tcb_info")
    for twice in (
        text.replace(b'"id":', b'"id":"TDX","id":', 1),
        text.replace(b'"pcesvn":13', b'"pcesvn":0,"pcesvn":13', 1),
    ):
        with pytest.raises(MalformedError, match="comes twice"):
            parse_tcb_info(twice)


def rewritten(part: str, change: Spoil) -> TcbInfo | QeIdentity:
    text = json.loads(genuine_text("tdx" if "info" in part else "sgx", part))
    change(text)
    parse = parse_tcb_info if part == "tcb_info" else parse_qe_identity
    return parse(json.dumps(text).encode())


def test_what_other_texts_of_intel_have_otherwise_is_read() -> None:
    """Other case of digits, no advisories, other numbers, no module identities yet, keys that nobody knows."""
    assert rewritten("tcb_info", lambda info: info.update(fmspc="b0c06f000000")) == rewritten("tcb_info", dict)
    without = rewritten("tcb_info", lambda info: info.pop("tdxModuleIdentities"))
    assert isinstance(without, TcbInfo)
    assert without.modules == ()
    newer = rewritten(
        "qe_identity", lambda identity: identity.update(tcbEvaluationDataNumber=99, comment={"a": [None]})
    )
    assert newer.evaluation_number == 99
    empty = rewritten("tcb_info", lambda info: info["tcbLevels"][0].update(advisoryIDs=[]))
    assert empty == rewritten("tcb_info", dict)


def test_a_level_that_is_repeated_word_for_word_is_one_level() -> None:
    again = rewritten("tcb_info", lambda info: info["tcbLevels"].append(info["tcbLevels"][0]))
    assert again == rewritten("tcb_info", dict)


def test_times_are_those_of_the_calendar() -> None:
    assert parse_time_s("1970-01-01T00:00:00Z") == 0
    assert parse_time_s("2024-02-29T23:59:59Z") == 1_709_251_199
    for wrong in ("1969-12-31T23:59:59Z", "2023-02-29T00:00:00Z", "2024-01-01T00:00:60Z", "2024-1-01T00:00:00Z"):
        with pytest.raises(ValueError, match=r"expected|no such"):
            parse_time_s(wrong)


# Step 7: levels.


@pytest.mark.parametrize("plan", [sgx_plan(), tdx_plan(), tdx_plan(5, 3)])
def test_a_platform_that_is_up_to_date_is(plan: Plan) -> None:
    assert rate(plan) == (UP_TO_DATE, ())


@pytest.mark.parametrize("index", range(16))
def test_each_component_below_the_level_counts(index: int) -> None:
    above = bytes(svn + (place == index) if svn < 255 else svn for place, svn in enumerate(SVNS))
    plan = with_levels(sgx_plan(), tcb_level("UpToDate", svns=above), tcb_level("OutOfDate", svns=bytes(16)))
    expected = UP_TO_DATE if SVNS[index] == 255 else OUT_OF_DATE
    assert rate(plan)[0] is expected


def test_the_provisioning_enclaves_version_counts() -> None:
    plan = with_levels(sgx_plan(), tcb_level("UpToDate", pce_svn=14), tcb_level("OutOfDate", pce_svn=13))
    assert rate(plan) == (OUT_OF_DATE, ("SIMULATED-OutOfDate",))


def test_levels_are_searched_from_the_highest_whatever_their_order() -> None:
    levels = [
        tcb_level("UpToDate"),
        tcb_level("SWHardeningNeeded", pce_svn=12),
        tcb_level("OutOfDate", pce_svn=5),
        tcb_level("Revoked", svns=bytes(16), pce_svn=0),
    ]
    found = {rate(with_levels(sgx_plan(), *order)) for order in itertools.permutations(levels)}
    assert found == {(UP_TO_DATE, ())}


def test_a_platform_below_all_levels_is_refused() -> None:
    error = refusal(with_levels(sgx_plan(), tcb_level("OutOfDate", pce_svn=14)))
    assert (error.check, error.what) == ("quote 7", "TCB level of the platform")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("tcb_info.fmspc", "0053494D0001"),
        ("tcb_info.pceId", "0001"),
        ("platform.component_svns", (6, *SVNS[1:])),
    ],
)
def test_versions_and_texts_of_another_platform_are_refused(path: str, value: object) -> None:
    assert refusal(sgx_plan().but(path, value)).check == "quote 7"


def test_without_a_major_version_every_tdx_component_counts() -> None:
    old = tdx_plan().but("body.tee_tcb_svn", bytes([5, 0, 2, *bytes(13)]))
    level = td_level("UpToDate")
    level["tcb"]["tdxtcbcomponents"][0] = {"svn": 5}
    assert rate(with_levels(old, level)) == (UP_TO_DATE, ())
    level["tcb"]["tdxtcbcomponents"][0] = {"svn": 6}
    assert refusal(with_levels(old, level)).what == "TCB level of the platform"


def test_with_a_major_version_the_modules_own_levels_count_instead() -> None:
    level = td_level("UpToDate")
    level["tcb"]["tdxtcbcomponents"][:2] = [{"svn": 200}, {"svn": 200}]
    assert rate(with_levels(tdx_plan(), level)) == (UP_TO_DATE, ())


def test_the_third_tdx_component_counts_either_way() -> None:
    assert refusal(tdx_plan().but("body.tee_tcb_svn", bytes([5, 1, 1, *bytes(13)]))).check == "quote 7"


@pytest.mark.parametrize(
    ("path", "value", "what"),
    [
        ("body.tee_tcb_svn", bytes([5, 2, 2, *bytes(13)]), "identity of the TDX module"),
        ("body.tee_tcb_svn", bytes([1, 1, 2, *bytes(13)]), "version of TDX module 1"),
        ("body.mrsignerseam", b"\1" * 48, "MRSIGNERSEAM of the TDX module"),
        ("body.seam_attributes", b"\1" + bytes(7), "SEAMATTRIBUTES of the TDX module"),
        ("tcb_info.tdxModuleIdentities.0.mrsigner", "01" * 48, "MRSIGNERSEAM of the TDX module"),
        ("tcb_info.tdxModuleIdentities.0.attributes", "01" * 8, "SEAMATTRIBUTES of the TDX module"),
        ("tcb_info.tdxModuleIdentities", [], "identity of the TDX module"),
    ],
)
def test_a_module_that_is_not_in_the_text_is_refused(path: str, value: object, what: str) -> None:
    error = refusal(tdx_plan().but(path, value))
    assert (error.check, error.what) == ("quote 7", what)


def test_attributes_of_the_module_outside_of_the_mask_do_not_count() -> None:
    plan = tdx_plan().but("body.seam_attributes", b"\1" + bytes(7))
    assert rate(plan.but("tcb_info.tdxModuleIdentities.0.attributesMask", "FE" + "FF" * 7)) == (UP_TO_DATE, ())


def test_the_module_without_a_major_version_has_an_identity_too() -> None:
    old = tdx_plan().but("body.tee_tcb_svn", bytes([5, 0, 2, *bytes(13)]))
    assert refusal(old.but("tcb_info.tdxModule.mrsigner", "01" * 48)).what == "MRSIGNERSEAM of the TDX module"


def test_a_qe_below_all_levels_is_refused() -> None:
    error = refusal(sgx_plan().but("qe_report.isv_svn", 5))
    assert (error.check, error.what) == ("quote 5", "ISVSVN of the QE")


# Step 8: one status.


@pytest.mark.parametrize(
    ("path", "plan"),
    [
        ("tcb_info.tcbLevels.0.tcbStatus", sgx_plan()),
        ("qe_identity.tcbLevels.0.tcbStatus", sgx_plan()),
        ("tcb_info.tcbLevels.0.tcbStatus", tdx_plan()),
        ("qe_identity.tcbLevels.0.tcbStatus", tdx_plan()),
        ("tcb_info.tdxModuleIdentities.0.tcbLevels.0.tcbStatus", tdx_plan()),
    ],
)
@pytest.mark.parametrize("status", [OUT_OF_DATE, REVOKED])
def test_what_one_part_alone_is_all_of_it_is(path: str, plan: Plan, status: TcbStatus) -> None:
    assert rate(plan.but(path, status.value)) == (status, ())


def test_a_module_that_is_up_to_date_does_not_hide_an_old_platform() -> None:
    plan = with_levels(tdx_plan(), td_level("UpToDate", pce_svn=14), td_level("OutOfDate", pce_svn=13))
    assert rate(plan) == (OUT_OF_DATE, ("SIMULATED-OutOfDate",))


def test_advisories_of_all_parts_come_together_once_each_in_order() -> None:
    plan = tdx_plan().but("tcb_info.tcbLevels.0.advisoryIDs", ["C", "A"])
    plan = plan.but("qe_identity.tcbLevels.0.advisoryIDs", ["B", "A"])
    plan = plan.but("tcb_info.tdxModuleIdentities.0.tcbLevels.0.advisoryIDs", ["D"])
    assert rate(plan) == (UP_TO_DATE, ("A", "B", "C", "D"))


CONVERGED = {
    "UpToDate": "OutOfDate",
    "SWHardeningNeeded": "OutOfDate",
    "ConfigurationNeeded": "OutOfDateConfigurationNeeded",
    "ConfigurationAndSWHardeningNeeded": "OutOfDateConfigurationNeeded",
    "OutOfDate": "OutOfDate",
    "OutOfDateConfigurationNeeded": "OutOfDateConfigurationNeeded",
    "Revoked": "Revoked",
}
"""Each status of a platform with a component that is out of date."""


@pytest.mark.parametrize("platform", sorted(PLATFORM_STATUSES))
def test_statuses_converge_as_in_intels_verifier(platform: TcbStatus) -> None:
    assert converge(platform, UP_TO_DATE, UP_TO_DATE) is platform
    assert converge(platform, UP_TO_DATE, OUT_OF_DATE) == CONVERGED[platform]
    assert converge(platform, OUT_OF_DATE, UP_TO_DATE) == CONVERGED[platform]
    assert converge(platform, REVOKED, UP_TO_DATE) is REVOKED
    assert converge(platform, UP_TO_DATE, REVOKED) is REVOKED


# TD report 1.5: the module may be replaced under a running guest.

OLD_MODULE, NEW_MODULE = bytes([3, 1, 2, *bytes(13)]), bytes([5, 1, 2, *bytes(13)])


def replaced(launched: bytes, current: bytes) -> Plan:
    return tdx_plan(5, 3).but("body.tee_tcb_svn", launched).but("body.tee_tcb_svn2", current)


def test_a_guest_on_a_new_module_that_was_started_on_an_old_one_should_be_started_again() -> None:
    assert rate(replaced(OLD_MODULE, NEW_MODULE))[0] is TcbStatus.TD_RELAUNCH_ADVISED
    plan = replaced(OLD_MODULE, NEW_MODULE).but("tcb_info.tcbLevels.0.tcbStatus", "ConfigurationNeeded")
    assert rate(plan)[0] is TcbStatus.TD_RELAUNCH_ADVISED_CONFIGURATION_NEEDED


def test_relaunching_helps_nobody_whose_platform_or_qe_is_old() -> None:
    plan = replaced(OLD_MODULE, NEW_MODULE)
    assert rate(plan.but("tcb_info.tcbLevels.0.tcbStatus", "OutOfDate"))[0] is OUT_OF_DATE
    assert rate(plan.but("qe_identity.tcbLevels.0.tcbStatus", "OutOfDate"))[0] is OUT_OF_DATE


def test_an_old_module_now_is_old_whatever_the_guest_was_started_on() -> None:
    assert rate(replaced(OLD_MODULE, OLD_MODULE))[0] is OUT_OF_DATE
    assert rate(replaced(NEW_MODULE, OLD_MODULE))[0] is OUT_OF_DATE


def test_a_module_that_is_revoked_at_either_time_is_revoked() -> None:
    for launched, current in ((OLD_MODULE, NEW_MODULE), (NEW_MODULE, OLD_MODULE)):
        plan = replaced(launched, current).but("tcb_info.tdxModuleIdentities.0.tcbLevels.1.tcbStatus", "Revoked")
        assert rate(plan)[0] is REVOKED


def test_a_module_now_that_is_not_in_the_text_is_refused() -> None:
    assert refusal(replaced(NEW_MODULE, bytes([5, 2, 2, *bytes(13)]))).what == "identity of the TDX module"
