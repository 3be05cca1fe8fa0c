"""What a dispute says: proofs and their salts, what follows from them, reports, remedies, and exit codes."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import typer
from typer.testing import CliRunner

from contracts.abi import interfaces
from participant.journal import Journal, StoredReceipt
from protocol.disputes import Family, Verdict, proof_commitment
from protocol.errors import MalformedError, UnavailableError, VerificationError
from protocol.evidence import RoundEvidence
from protocol.hashing import keccak256, sha256
from protocol.keys import address, sign, to_hex
from protocol.openings import Leaves, Openings, RowChunk, Tree
from tests.support.drafts import ABSENT, REFUSED, UNDELIVERED, Draft
from tests.support.lies import LIES
from verifier.chain import ChainSource
from verifier.dispute.flow import nothing_found
from verifier.dispute.proofs import _describe, in_order, is_enclaves, openings_of, proof_of
from verifier.dispute.prospects import executable_from, prospect, signers_of
from verifier.dispute.reading import BLANK, Opened, check_receipts, fetch, parse_receipt, time_to_fetch
from verifier.dispute.report import Accusation, DisputeReport, moment, remedies
from verifier.dispute.steps import MAX_ASKED, Asked, Done, Gas, ask, refute
from verifier.dispute.story import Story, Subject, run
from verifier.dispute_cli import dispute
from verifier.node import Call, Mined, NodeError, RefusedError
from verifier.refutation import sets
from verifier.refutation.reconstruction import CannotOpen, Published, reconstruct
from verifier.refutation.search import search
from verifier.refutation.statement import Facts, SignedReceipt, Statement
from verifier.report import Status
from verifier.sender import MAX_GAS, Sender
from verifier.state import RoundState

KEY, OTHER_KEY = sha256(b"one prover"), sha256(b"another prover")
NAMED = {lie.name: lie for lie in LIES}
VERDICT = Verdict(
    round_id=7,
    predicate=2,
    result=sha256(b"result"),
    coordinator=sha256(b"coordinator")[:20],
    prover=address(KEY),
    committed_at=12,
    decided_at=1_000_000,
    slots=9,
    pot=10**18 + 3,
)


@cache
def drafted(name: str, rule: str = "krum") -> Draft:
    """A round with that lie in it; not to be changed."""
    return NAMED[name].draft(rule)


@cache
def found(name: str) -> tuple[Statement, ...]:
    """What is wrong with it."""
    draft = drafted(name)
    openings, _ = reconstruct(draft.facts(), Published(rows={}), draft.leaves())
    return tuple(search(draft.facts(), openings, receipts=draft.receipts, results=draft.results))


def statement(name: str) -> Statement:
    """What the lie is named for."""
    return next(one for one in found(name) if one.function == NAMED[name].function)


# -- proofs


def test_nobody_without_the_key_can_tell_a_salt_and_whoever_has_it_finds_it_again() -> None:
    one, other = proof_of(statement("a column in the first leaf")), proof_of(statement("who is flagged"))
    assert one.salt(KEY) == proof_of(statement("a column in the first leaf")).salt(KEY)
    assert len({one.salt(KEY), one.salt(OTHER_KEY), other.salt(KEY), bytes(32)}) == 4
    assert one.commitment(address(KEY), KEY) == proof_commitment(address(KEY), one.data, one.salt(KEY))
    assert one.data[:4] == keccak256(b"columnDiffers(" + SIGNATURE + b")")[:4]


SIGNATURE = (
    b"(bytes32,uint64,bytes32,bytes32,bytes32,bytes32,uint8,bytes32,uint16,uint16,uint16,int8,uint32,uint64,uint32,"
    b"uint8,uint32,uint32,uint8,uint256,uint64[5]),"
    b"(bytes32,uint64,bytes32,bytes32,bytes32,uint256,uint256,bytes32,bytes32,bytes32,bytes32,bytes32,bytes32),"
    b"(uint256,bytes,bytes32,bytes,bytes32[]),(uint256,uint256,bytes,bytes32[]),bytes,bytes32[]"
)
"""Spec, RoundResult, Column, SetLeaf, the row's leaf and its path."""


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a committed slot is absent", False),
        ("undelivered without a commitment", False),
        ("a receipt for another update", False),  # a host may have brought an honest enclave to that
        ("a receipt of an absent slot", True),
        ("a receipt of a refused slot", True),
        ("two receipts", True),
        ("somebody else's signature", True),
        ("a column in the first leaf", True),
    ],
)
def test_the_enclave_is_accused_of_what_no_host_can_cause(name: str, expected: bool) -> None:
    assert is_enclaves(statement(name)) is expected


def test_what_suspends_the_measurement_is_shown_first() -> None:
    hosts, enclaves = statement("a committed slot is absent"), statement("who is flagged")
    assert in_order([hosts, enclaves, hosts]) == [enclaves, hosts, hosts]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("two receipts", ["one: receipt of slot 0", "oneSignature: 65 bytes", "other: receipt of slot 0"]),
        ("a committed slot is absent", ["cohort: 9 addresses", "set: set leaf of slot 2 of 9, 33 bytes, path of 4"]),
        ("kept from the first leaf on", ["before: none, before the first leaf"]),
        ("an inner product in the first chunk", ["before: none, before the first chunk", "left: row of slot 1, 8192"]),
        ("the first coordinate of the new model", ["column: leaf 0, 128 bytes", "base: leaf 0, 1024 bytes, path of 5"]),
        ("a column in the first leaf", ["column: leaf 0 of the column tree with its columns", "rowPath: path of 5"]),
    ],
)
def test_it_is_said_what_a_proof_opens(name: str, expected: list[str]) -> None:
    lines = [f"{what}: {how}" for what, how in openings_of(statement(name))]
    assert [part for part in expected if not any(line.startswith(part) for line in lines)] == []
    assert all(0 < len(line) < 200 for line in lines)


def test_a_list_of_anything_is_described_by_what_is_in_it() -> None:
    chunk = next(
        part for part in statement("an inner product in the first chunk").arguments if isinstance(part, RowChunk)
    )
    assert _describe([7, 9]) == "7; 9"
    assert _describe([chunk, chunk]).count("row of slot 1, 8192 bytes") == 2
    assert (_describe(()), _describe((bytes(32),) * 3), _describe((bytes(20),))) == (
        "path of 0",
        "path of 3",
        "1 addresses",
    )


# -- asking the ledger


class Ledger:
    """A node and the predicates behind it: what they make of each function."""

    def __init__(self, **answers: object) -> None:
        self.contracts = interfaces()
        self._answers = answers
        self.asked: list[str] = []

    def call(self, call: Call, sender: bytes, *, gas: int | None = None) -> bytes:
        """A finding, or whatever is to be raised."""
        assert gas == MAX_GAS
        function = call.what.split(".")[1]
        self.asked.append(function)
        answer = self._answers.get(function)
        if isinstance(answer, Exception):
            raise answer
        return (2).to_bytes(32) + (1).to_bytes(32) + bytes(32 * 5)

    def estimate(self, call: Call, sender: bytes, *, gas: int | None = None) -> int:
        """Gas, or whatever is to be raised."""
        assert gas == MAX_GAS
        answer = self._answers.get(f"refute {call.what}", 140_000)
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, int)
        return answer


PLACES: Any = SimpleNamespace(predicates=dict.fromkeys(Family, SimpleNamespace(address=bytes(20))))
OUT_OF_GAS = NodeError("http://node", "eth_call", "EVM error OutOfGas")


def asked_of(ledger: Ledger, *statements: Statement) -> Asked:
    """What comes of trying these in turn."""
    node: Any = ledger
    return ask(node, PLACES, statements, address(KEY), show=lambda proof: showing(proof.statement.function))


def showing(function: str) -> Call:
    """The call that shows a proof."""
    return Call(what=function, to=bytes(20), data=b"")


DECOY = "a norm over the bound in one chunk"
LIE = "the aggregate in the first leaf, up"


@pytest.mark.parametrize(
    "answers",
    [
        {"rowOverBound": OUT_OF_GAS},
        {"rowOverBound": RefusedError("rowOverBound", "no reason given", {})},
        {"refute rowOverBound": OUT_OF_GAS},
        {"refute rowOverBound": RefusedError("refute", "FailedCall", {})},
        {"refute rowOverBound": RefusedError("refute", "OtherCount", {"expected": 9, "actual": 8})},
        {"refute rowOverBound": MAX_GAS + 1},
    ],
)
def test_a_decoy_that_does_not_fit_a_transaction_does_not_keep_us_from_the_lie(answers: dict[str, object]) -> None:
    ledger = Ledger(**answers)
    asked = asked_of(ledger, statement(DECOY), statement(LIE))
    assert ledger.asked == ["rowOverBound", "aggregateDiffers"]
    assert (asked.proof.statement, asked.is_enclaves, asked.gas) == (statement(LIE), True, 140_000)
    [note] = asked.notes
    assert note.startswith(statement(DECOY).text)


def test_nothing_is_asked_about_a_proof_whose_data_alone_are_too_dear() -> None:
    one = statement(DECOY)
    chunks: Any = next(part for part in one.arguments if isinstance(part, list) and isinstance(part[0], RowChunk))
    large = replace(chunks[0], data=b"\1" * 450_000)
    arguments = tuple([large] if part is chunks else part for part in one.arguments)
    ledger = Ledger()
    asked = asked_of(ledger, replace(one, arguments=arguments), statement(LIE))
    assert ledger.asked == ["aggregateDiffers"]
    assert "does not fit a transaction" in asked.notes[0]


def test_slots_of_friends_do_not_use_up_what_is_tried_about_the_aggregate() -> None:
    ledger = Ledger(rowOverBound=OUT_OF_GAS)
    asked = asked_of(ledger, *[statement(DECOY)] * (MAX_ASKED + 100), statement(LIE))
    assert ledger.asked == ["rowOverBound"] * MAX_ASKED + ["aggregateDiffers"]
    assert asked.proof.statement == statement(LIE)


def test_where_the_ledger_takes_none_it_is_said_why() -> None:
    over = RefusedError("refute", "WrongState", {"expected": 2, "actual": 4})
    with pytest.raises(RefusedError, match="WrongState"):
        asked_of(
            Ledger(**{"rowOverBound": OUT_OF_GAS, "refute aggregateDiffers": over}), statement(DECOY), statement(LIE)
        )
    with pytest.raises(UnavailableError, match=r"none of 1 proofs will do; .*OutOfGas"):
        asked_of(Ledger(rowOverBound=OUT_OF_GAS), statement(DECOY))


def test_norms_come_last_and_of_those_that_fit_no_transaction_only_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [one.function for one in found(DECOY)][-1] == "rowOverBound"
    draft = replace_norms(drafted(DECOY))
    several = [one.text for one in search(*draft) if one.function == "rowOverBound"]
    assert len(several) > 1
    monkeypatch.setattr(sets, "MAX_CHUNKS", 0)
    assert [one.text for one in search(*draft) if one.function == "rowOverBound"] == several[:1]


def replace_norms(draft: Draft) -> tuple[Facts, Openings]:
    """The round under a bound that every row is over."""
    facts = draft.facts()
    openings, _ = reconstruct(facts, Published(rows={}), draft.leaves())
    return replace(facts, spec=replace(facts.spec, norm_bound=1)), openings


def test_whoever_copies_our_pre_commitment_has_made_it_for_us() -> None:
    proof, sent = proof_of(statement(LIE)), []
    commitment = proof.commitment(address(KEY), KEY)
    state = SimpleNamespace(disputes=SimpleNamespace(commitments={}))
    reading: Any = SimpleNamespace(state=state, deployment=SimpleNamespace(disputes=SimpleNamespace(address=bytes(20))))
    copied = SimpleNamespace(state=SimpleNamespace(disputes=SimpleNamespace(commitments={commitment: 12})))
    reads = iter([reading, copied, copied])

    class Overtaken(Sender):
        def send(self, call: Call) -> Mined:
            """Somebody sent the first one already."""
            sent.append(call.what)
            if call.what == "commitProof":
                raise RefusedError("commitProof", "AlreadyCommitted", {"blockNumber": 12})
            return Mined(what="refute", transaction=bytes(32), block=13, gas_used=1, fee_wei=1, is_success=True)

    node: Any = Ledger()
    sender = Overtaken(node, KEY, chain_id=1, cap_wei=1, wait_s=9.0, sleep=lambda _: None)
    done = refute(sender, node, reading, proof, KEY, pre_commit=True, reread=lambda: cast(Any, next(reads)))
    assert (sent, done) == (["commitProof", "refute"], Done(reading=cast(Any, copied)))


# -- what follows


def test_the_parts_of_a_pot_are_the_pot() -> None:
    signers = tuple(sha256(bytes([place]))[:20] for place in range(7))
    shared = prospect(VERDICT, signers, None)
    assert shared.reward_wei + 7 * shared.share_wei + shared.burnt_wei == VERDICT.pot
    assert shared.burnt_wei >= VERDICT.pot // 2
    unseen = prospect(VERDICT, None, sha256(b"measurement"))
    assert (unseen.signers, unseen.share_wei, unseen.reward_wei) == (None, 0, VERDICT.pot // 4)


def test_a_pot_waits_an_hour_or_a_week_for_set_leaves_that_are_withheld() -> None:
    assert executable_from(VERDICT, with_leaves=True) == 1_000_000 + 3600 + 1
    assert executable_from(VERDICT, with_leaves=False) == 1_000_000 + 7 * 86_400 + 1
    assert executable_from(replace(VERDICT, result=bytes(32)), with_leaves=False) == 1_000_000 + 3600 + 1


def test_who_signed_what_was_counted_has_a_share() -> None:
    draft = drafted("somebody else's signature")
    missing = {0, ABSENT, REFUSED, UNDELIVERED}
    expected = tuple(who for slot, who in enumerate(draft.cohort) if slot not in missing)
    assert signers_of(draft.facts(), draft.set_leaves) == expected
    assert signers_of(draft.facts(), None) is None
    assert signers_of(draft.facts(), [*draft.set_leaves[:-1], None]) is None


# -- what is fetched


class Slow:
    """A source that has only what is quick."""

    def __init__(self, evidence: RoundEvidence, quick: set[bytes], clock: list[float]) -> None:
        self._evidence, self._quick, self._clock = evidence, quick, clock
        self.given: list[float | None] = []

    def describe(self) -> str:
        return "a slow coordinator"

    def evidence(self, round_id: int, *, within_s: float | None = None) -> bytes:
        self.given.append(within_s)
        self._clock[0] += 10
        return self._evidence.encode()

    def blob(self, digest: bytes, size: int) -> bytes:
        raise AssertionError("one after another")

    def blobs(self, wanted: Sequence[tuple[bytes, int]], *, within_s: float) -> list[bytes | Exception]:
        self.given.append(within_s)
        late = UnavailableError("does not answer (TimeoutError)")
        return [digest if digest in self._quick else late for digest, _ in wanted]

    def collateral(self, digest: bytes) -> bytes:
        raise AssertionError("not asked for")


def test_what_does_not_come_in_time_is_named_and_the_rest_is_there() -> None:
    names = {what: sha256(what.encode()) for what in ("base", "model", "aggregate", "row 0", "row 2")}
    evidence = RoundEvidence(
        round_id=7,
        result=bytes(32),
        base=names["base"],
        set_leaves=(bytes(33),) * 3,
        rows=(names["row 0"], None, names["row 2"]),
        aggregate=names["aggregate"],
        model=names["model"],
    )
    clock = [100.0]
    source = Slow(evidence, set(names.values()) - {names["base"], names["row 2"]}, clock)
    facts = drafted(LIE).facts()
    published, notes = fetch(facts, source, within_s=30.0, monotonic=lambda: clock[0])
    assert source.given == [30.0, 20.0]  # one deadline for all
    assert (set(published.rows), published.base, published.model) == ({0}, None, names["model"])
    assert notes[0] == "2 of 5 blobs did not come in 30 s: base model, row of slot 2"
    assert len(notes) == 3


@pytest.mark.parametrize(
    ("now_s", "not_before_s", "expected"), [(900, 0, 50.5), (990, 0, 20.0), (900, 1101, 100.5), (0, 10**6, 600.0)]
)
def test_time_to_fetch_is_half_of_what_is_left(now_s: int, not_before_s: int, expected: float) -> None:
    hold = SimpleNamespace(round_id=7, not_before_s=not_before_s)
    state = SimpleNamespace(disputes=SimpleNamespace(hold=hold))
    opening = SimpleNamespace(round_id=7, value=SimpleNamespace(deadlines=(1, 2, 3, 4, 1000)))
    known: Any = SimpleNamespace(state=RoundState.PROPOSED, opening=opening)
    assert time_to_fetch(cast(Any, SimpleNamespace(state=state, time_s=now_s)), known) == expected


# -- receipts


def test_a_receipt_must_be_of_this_round_and_its_enclave() -> None:
    draft = drafted("a receipt of an absent slot")
    facts, [held] = draft.facts(), draft.receipts
    check_receipts(facts, [held])
    later = replace(held.receipt, round_id=held.receipt.round_id + 1)
    with pytest.raises(UnavailableError, match="is of round 8, and this is about round 7; give --round"):
        check_receipts(facts, [replace(held, receipt=later)])
    forged = SignedReceipt(receipt=held.receipt, signature=sign(KEY, held.receipt.digest(facts.domain)))
    with pytest.raises(UnavailableError, match="not signed by the round's enclave"):
        check_receipts(facts, [forged])
    with pytest.raises(MalformedError):
        parse_receipt(b"\xa0")


def test_a_receipt_is_read_from_where_a_participant_keeps_it(tmp_path: Path) -> None:
    [held] = drafted("a receipt of an absent slot").receipts
    journal = Journal(tmp_path, held.receipt.federation)
    journal.record_receipt(7, StoredReceipt(receipt=held.receipt, signature=held.signature))
    [path] = tmp_path.rglob("receipt.cbor")
    assert parse_receipt(path.read_bytes()) == held


# -- what is not found


def test_of_a_rule_that_only_a_replay_knows_nobody_says_that_nothing_is_wrong() -> None:
    facts = drafted("two receipts").facts()
    known = replace(facts, spec=replace(facts.spec, rule=0))
    momentum = replace(facts, spec=replace(facts.spec, optimizer=1))
    assert [_nothing(one).status for one in (facts, known, momentum)] == [Status.OK, Status.UNKNOWN, Status.UNKNOWN]
    assert "veriflock consortium outvote" in _nothing(known).next_steps[1]


def _nothing(facts: Facts) -> DisputeReport:
    subject = Subject(open_chain=refuse, ledger=bytes(20), artifacts=None, round_id=None)
    opened = Opened(openings=Openings(Leaves(rows={}), counted=0), missing=(), notes=())
    return nothing_found(Story(subject), facts, opened)


def refuse() -> ChainSource:
    """There is no chain here."""
    raise UnavailableError("no chain", "start one")


def test_whatever_is_raised_could_not_tell() -> None:
    def fail(error: Exception) -> DisputeReport:
        def tell(story: Story) -> DisputeReport:
            story.add(round_id=7)
            raise error

        return run(Subject(open_chain=refuse, ledger=bytes(20), artifacts=None, round_id=None), tell)

    refused = RefusedError("refute", "WrongState", {"expected": 2, "actual": 4})
    for error in (refused, VerificationError("code"), UnavailableError("node"), OSError("disk"), ValueError("a bug")):
        report = fail(error)
        assert (report.status, report.exit_code, report.round_id) == (Status.UNKNOWN, 2, 7)
        assert str(error) in report.summary


# -- reports

FULL = DisputeReport(
    status=Status.REFUTED,
    summary="round 7 is void by F2",
    subject={"chain": "node at http://node"},
    round_id=7,
    round_state="void (refuted)",
    result=VERDICT.result,
    gas=Gas(commit=50_000, refute=140_000, suspend=150_000),
    prospect=prospect(VERDICT, (address(OTHER_KEY),), sha256(b"measurement")),
    sent=(Mined(what="refute", transaction=sha256(b"t"), block=13, gas_used=1, fee_wei=2, is_success=True),),
    verdict=VERDICT,
    executable_from_s=1_003_601,
    race="somebody else refuted the round",
    suspension="this proof suspends the measurement",
    notes=tuple(f"row of slot {slot}: not there" for slot in range(9)),
    next_steps=("wait",),
)


def keys_of(value: object) -> object:
    """The keys of a map and of what is in it."""
    return {key: keys_of(part) for key, part in value.items()} if isinstance(value, dict) else None


def test_a_report_has_the_same_keys_whatever_happened() -> None:
    report, nothing = json.loads(FULL.to_json()), json.loads(DisputeReport().to_json())
    assert set(report) == set(nothing)
    assert keys_of(report["gas"]) == keys_of(nothing["gas"])
    assert report["prospect"]["pot_wei"] == str(VERDICT.pot)
    assert (report["verdict"]["prover"], report["executable_from"]) == (to_hex(VERDICT.prover), 1_003_601)
    assert nothing["status"] == "unknown"


def test_a_text_says_everything_once_and_the_end_last() -> None:
    text = FULL.to_text()
    assert text.splitlines()[-1] == "REFUTED: round 7 is void by F2"
    for line in (
        "gas, estimated: commitProof 50000, refute 140000, suspend 150000",
        "this proof suspends the measurement",
        "  250000000000000000 wei to " + to_hex(address(KEY)),
        "  250000000000000000 wei to each of 1 whose signed update was in the round",
        "  500000000000000003 wei are burnt",
        "  an older pre-commitment can be claimed until 1003600 (1970-01-12 14:46:40 UTC)",
        "and 4 more (--format json has all)",
        "next: wait",
    ):
        assert line in text.splitlines(), line
    assert FULL.to_text(said=list(FULL.lines())) == "REFUTED: round 7 is void by F2\n"


def test_what_others_wrote_does_not_reach_the_terminal() -> None:
    hostile = replace(FULL, notes=("\x1b[2J\u202e",), summary="\x07")
    assert "\x1b" not in hostile.to_text() + hostile.to_json()
    assert "\u202e" not in hostile.to_text()
    assert "\x07" not in hostile.to_text()


def test_an_accusation_says_predicate_function_and_both_values() -> None:
    one = statement("who is flagged")
    accusation = Accusation(statement=one, is_enclaves=True, opens=openings_of(one), proof_bytes=900)
    lines = list(replace(FULL, accusation=accusation).lines())
    assert f"F4 outcomeDiffers: {one.text}" in lines
    assert "expected" in one.text
    assert "opens, in 900 bytes of ColumnPredicates.outcomeDiffers:" in lines


def test_each_status_has_its_exit_code() -> None:
    assert [DisputeReport(status=status).exit_code for status in Status] == [0, 1, 2]


def test_a_remedy_is_one_that_the_ledger_takes() -> None:
    row = CannotOpen(tree=Tree.ROW, slot=3, expected=bytes(32), actual=None)
    base = CannotOpen(tree=Tree.MODEL, is_base=True, expected=bytes(32), actual=None)
    model, columns = replace(base, is_base=False), replace(row, tree=Tree.COLUMN, slot=None)
    last = "or more than a third of the members sign that it can't be had: veriflock consortium unavailable"
    asking = "a member asks for a leaf: veriflock consortium request-leaf"
    assert remedies((row, columns, base), disclosure=0) == (
        f"{asking} row INDEX --slot 3",
        f"{asking} column INDEX",
        last,
    )
    assert remedies((row, columns, model), disclosure=1) == (f"{asking} model INDEX", last)
    assert remedies((base,), disclosure=0) == (last,)


def test_any_number_is_a_moment() -> None:
    assert moment(0) == "0 (1970-01-01 00:00:00 UTC)"
    assert moment(1 << 63) == str(1 << 63)


def test_a_blank_result_names_nothing() -> None:
    assert {getattr(BLANK, item.name) for item in dataclasses.fields(BLANK)} == {0, bytes(32)}


# -- the command line

app = typer.Typer()
app.command()(dispute)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--rpc", "http://node"], "--rpc needs --ledger"),
        ([], "give either --run, or --rpc"),
        (["--run", "x", "--rpc", "y", "--ledger", "z"], "give either --run, or --rpc"),
        (["--rpc", "http://node", "--ledger", "0x00"], "give --key, or --dry-run"),
        (["--run", "x", "--execute", "--round", "1"], "--execute needs --rpc"),
        (["--run", "x", "--format", "xml"], "expected text or json"),
        (["--run", "x", "--artifacts", "a", "--coordinator", "b"], "not both"),
    ],
)
def test_options_that_make_no_sense_are_a_usage_error(words: list[str], why: str) -> None:
    done = CliRunner().invoke(app, words, env={"COLUMNS": "300", "TERMINAL_WIDTH": "300"})
    assert done.exit_code == 2
    assert why in " ".join((done.stdout + done.stderr).split())


def test_a_folder_that_is_not_there_could_not_tell() -> None:
    done = CliRunner().invoke(app, ["--run", "nowhere", "--format", "json"])
    report = json.loads(done.stdout)
    assert (done.exit_code, report["status"]) == (2, "unknown")
    assert report["summary"] == "nowhere is no folder; give --run the folder that a demo wrote"
