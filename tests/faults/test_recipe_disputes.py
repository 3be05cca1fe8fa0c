"""Results that were refuted, withheld, complained about or outvoted: what the whole recipe says of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from contracts import artifact
from coordinator import anvil
from protocol import events as e
from protocol.checkpoints import SignedCheckpoint, encode_checkpoints
from protocol.disputes import Family, proof_commitment
from protocol.errors import UnavailableError, VerificationError, VeriflockError
from protocol.evidence import parse_evidence
from protocol.hashing import sha256
from protocol.keys import address, sign, to_hex
from protocol.messages import Unavailable
from protocol.openings import Tree
from protocol.trees import SetLeaf, model_root
from tests.support.disputed import COPYIST, PROVER, SALT, DisputedWorld
from tests.support.verified import app, bad_news, copied, named, run
from tests.support.world import BOND, MEASUREMENT, Play, terms
from verifier.apply import apply_all
from verifier.calls import ACTORS, Call, Calls
from verifier.chain import Log
from verifier.checks import proofs, result, storage, verdict, votes
from verifier.checks.chain import check_2_code, check_3_streams
from verifier.checks.checkpoints import check_28_checkpoints
from verifier.deployment import Deployment
from verifier.dump import DumpChain
from verifier.evidence import FolderArtifacts
from verifier.recipe import RESULT_CHECKS
from verifier.report import Check, Report, Status
from verifier.state import Entry
from verifier.world import Case, World


def lie_model(play: Play) -> None:
    """The last coordinate of the new model is another."""
    wrong = play.computed.model.copy()
    wrong[-1] += 1
    play.computed = replace(play.computed, model=wrong)
    play.sign_as(new_model=model_root(wrong))


def refuted_model(world: DisputedWorld) -> int:
    """F6, shown by a copyist and claimed by who had committed to it; shared out with the set leaves."""
    number = world.play(terms("median"), lie=lie_model, settle=False)
    proof = world.model_proof(world.played, 39)
    world.commit_proof(proof)
    verdict = world.refute(Family.COLUMN, proof, COPYIST)
    verdict = world.claim(verdict, Family.COLUMN, proof)
    world.execute(verdict, world.played)
    world.allow_again()
    return number


def broken_commitment(world: DisputedWorld) -> int:
    """F3 by commitment: the host's doing, so nothing is suspended; shared out after a week without set leaves."""
    number = world.play(terms("median"), committed={3: sha256(b"another update")}, settle=False)
    verdict = world.refute(Family.SET, world.commitment_proof(world.played, 3))
    world.execute(verdict, world.played, with_leaves=False)
    return number


def accused(world: DisputedWorld) -> int:
    """A liar refutes itself by what a host can cause; somebody else shows that its enclave lied too."""
    commitments = {3: sha256(b"another update")}
    number = world.play(terms("median"), lie=lie_model, committed=commitments, settle=False)
    verdict = world.refute(Family.SET, world.commitment_proof(world.played, 3))
    world.suspend(verdict, Family.COLUMN, world.model_proof(world.played, 39))
    world.execute(verdict, world.played)
    world.allow_again()
    return number


def broken_receipt(world: DisputedWorld) -> int:
    """F3 by receipt: the set tree says that nothing came."""
    number = world.play(terms("trimmed-mean"), absent=[2], settle=False)
    verdict = world.refute(Family.SET, world.receipt_proof(world.played, 2))
    world.execute(verdict, world.played)
    world.allow_again()
    return number


def two_results(world: DisputedWorld) -> int:
    """F8 although what was proposed is right; with a pre-commitment of the prover's own."""
    number = world.play(terms("median"), settle=False)
    proof = world.results_proof(world.played)
    world.commit_proof(proof)
    verdict = world.refute(Family.SET, proof, salt=SALT)
    world.execute(verdict, world.played)
    world.allow_again()
    return number


def two_receipts(world: DisputedWorld) -> int:
    """F8 while nothing was proposed yet."""
    spec, cohort = world.open()
    play = replace(world.played, spec=spec, cohort=cohort)
    verdict = world.refute(Family.SET, world.receipts_proof(play, 1))
    world.execute(verdict, play)
    world.allow_again()
    return spec.round_id


def answered(world: DisputedWorld) -> int:
    """Two leaves are asked for, a stranger answers one of them and a participant the other; then it settles."""
    number = world.play(terms("median"), settle=False)
    play = world.played
    one = world.request(play, Tree.ROW, 4, 0)
    other = world.request(play, Tree.COLUMN, 0, 2, member=1)
    world.answer(play, one, world.purse(PROVER))
    world.answer(play, other, world.participants[0])
    world.settle(play, world.now + 60)
    return number


def withheld(world: DisputedWorld) -> int:
    """Nobody answers two requests: one voids the round, the other deposit is fetched later."""
    number = world.play(terms("median"), settle=False)
    asked = world.request(world.played, Tree.SET, 0, 1)
    other = world.request(world.played, Tree.MODEL, 0, 0, member=1)
    world.move(asked.answer_by + 1)
    world.call(PROVER, "Disputes", "voidWithheld", number, asked.member)
    world.call(world.members[1], "Disputes", "closeRequest", number, other.member)
    world.call(world.coordinator, "RoundLedger", "addBond", value=10**18)
    return number


def unavailable(world: DisputedWorld) -> int:
    """Two of three members complain."""
    number = world.play(terms("median"), settle=False)
    world.complain(world.played)
    return number


STORIES = {
    "model": refuted_model,
    "commitment": broken_commitment,
    "accused": accused,
    "receipt": broken_receipt,
    "results": two_results,
    "receipts": two_receipts,
    "answered": answered,
    "withheld": withheld,
    "unavailable": unavailable,
    "outvoted": DisputedWorld.outvoted,
}


@pytest.fixture(scope="module")
def disputed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[DisputedWorld, dict[str, int]]]:
    """Every story once, between rounds that settle; a posted checkpoint, and credits that were withdrawn."""
    with anvil.start() as running:
        world = DisputedWorld(running.rpc, tmp_path_factory.mktemp("disputed"))
        first = world.play(terms("median"))
        rounds = {"honest": first} | {name: tell(world) for name, tell in STORIES.items()}
        world.play(terms("median"))
        checkpoint = world.checkpoint(first)
        world.call(PROVER, "Consortium", "postCheckpoint", checkpoint, world.signatures(checkpoint, 2))
        for key in (PROVER, world.members[0], world.participants[0]):
            world.call(key, "RoundLedger", "withdraw")
        world.finish()
        yield world, rounds


Disputed = tuple[DisputedWorld, dict[str, int]]
Read = tuple[World, tuple[Entry, ...], dict[str, int]]


@pytest.fixture(scope="module")
def read(disputed: Disputed) -> Read:
    world, rounds = disputed
    chain = DumpChain.read(world.folder / "chain.json")
    deployment, _ = check_2_code(chain, world.domain.ledger)
    found, _ = check_3_streams(chain, deployment)
    return as_told(chain, deployment, found, world.folder / "artifacts"), found, rounds


def as_told(chain: DumpChain, deployment: Deployment, found: Sequence[Entry], artifacts: Path) -> World:
    entries = tuple(found)
    return World(
        chain=chain,
        deployment=deployment,
        entries=entries,
        calls=Calls(chain, deployment, entries),
        state=apply_all(entries),
        artifacts=FolderArtifacts(artifacts),
    )


def with_entries(world: World, found: Sequence[Entry]) -> World:
    """The same chain, whose events say something else; its transactions stay what they are."""
    return replace(world, entries=tuple(found), state=apply_all(found))


def of_round(read: Read, story: str, edit: Callable[[Entry], Entry | None] = lambda entry: entry) -> Case:
    """The round of a story, after a change of the events that are about it or happened in its transactions."""
    world, found, rounds = read
    number = rounds[story]
    mine = {entry.log.transaction for entry in found if getattr(entry.event, "round_id", 0) == number}
    edited = [edit(entry) if entry.log.transaction in mine else entry for entry in found]
    world = with_entries(world, [entry for entry in edited if entry is not None])
    return Case(world=world, round=world.state.ledger.rounds[number])


def having(kind: type[e.Event], **changes: Any) -> Callable[[Entry], Entry]:
    """Every event of that kind with other values."""

    def edit(entry: Entry) -> Entry:
        return replace(entry, event=replace(entry.event, **changes)) if isinstance(entry.event, kind) else entry

    return edit


def in_verdict(kind: type[e.RoundRefuted | e.ProverReplaced], **changes: Any) -> Callable[[Entry], Entry]:
    def edit(entry: Entry) -> Entry:
        event = entry.event
        if not isinstance(event, kind):
            return entry
        return replace(entry, event=replace(event, verdict=replace(event.verdict, **changes)))

    return edit


def without(kind: type[e.Event]) -> Callable[[Entry], Entry | None]:
    return lambda entry: None if isinstance(entry.event, kind) else entry


def moved(kind: type[e.Event], by_s: int, **and_by: int) -> Callable[[Entry], Entry]:
    """Every event of that kind at another time, and numbers in it moved too."""

    def edit(entry: Entry) -> Entry:
        if not isinstance(entry.event, kind):
            return entry
        changes = {name: getattr(entry.event, name) + by for name, by in and_by.items()}
        return replace(entry, time_s=entry.time_s + by_s, event=replace(entry.event, **changes))

    return edit


def in_block(kind: type[e.Event], block: int) -> Callable[[Entry], Entry]:
    """Every event of that kind at another place."""

    def edit(entry: Entry) -> Entry:
        return replace(entry, log=replace(entry.log, block_number=block)) if isinstance(entry.event, kind) else entry

    return edit


class OtherProofs(Calls):
    """Everybody says what happened; but the proofs in their calls of one function are others."""

    def __init__(self, world: World, function: str, proof: Callable[[bytes], bytes], **arguments: object) -> None:
        super().__init__(world.chain, world.deployment, world.entries)
        self._function, self._proof, self._more = function, proof, arguments

    def call(self, log: Log) -> Call:
        found = super().call(log)
        if found.name != self._function:
            return found
        proof = self._proof(found.arguments["proof"])
        return replace(found, arguments={**found.arguments, "proof": proof, **self._more})

    def hold(self, log: Log, event: e.Event) -> None:
        """What it holds is not what is tested."""


JUNK: list[tuple[str, Callable[[bytes], bytes], dict[str, object], str]] = [
    ("junk", lambda proof: b"\xff" * 100, {}, "function of ColumnPredicates that was called"),
    ("nothing", lambda proof: b"", {}, "function of ColumnPredicates that was called"),
    ("no arguments", lambda proof: proof[:4], {}, "arguments of ColumnPredicates.modelDiffers"),
    ("another spec", lambda proof: proof[:4] + sha256(b"f") + proof[36:], {}, "spec of the proof"),  # 25 words
    ("another result", lambda proof: proof[:804] + sha256(b"f") + proof[836:], {}, "result of the proof"),
    ("another leaf", lambda proof: proof[:-33] + bytes([proof[-33] ^ 1]) + proof[-32:], {}, "root of a Merkle path"),
    ("another contract", lambda proof: proof, {"family": 0}, "function of SetPredicates"),
    ("another family", lambda proof: proof, {"family": 3}, "family of a proof"),
]


@pytest.mark.parametrize("function", ["Disputes.claim", "Disputes.suspend"])
@pytest.mark.parametrize("junk", JUNK, ids=[junk[0] for junk in JUNK])
def test_a_later_proof_is_looked_at_too(
    read: Read, function: str, junk: tuple[str, Callable[[bytes], bytes], dict[str, object], str]
) -> None:
    world, _, rounds = read
    _, change, more, noticed = junk
    story = "model" if function == "Disputes.claim" else "accused"
    found = judged(_of_other_proofs(world, rounds[story], OtherProofs(world, function, change, **more)), 27)
    assert found.status is Status.REFUTED
    assert noticed in found.evidence


def _of_other_proofs(world: World, number: int, calls: OtherProofs) -> Case:
    """The round, where whoever claimed had committed to what it shows then."""
    committed = dict(world.state.disputes.commitments)
    for replacement in world.state.ledger.verdicts[number].replacements:
        if isinstance(replacement.event, e.ProverReplaced):
            arguments, event = calls.call(replacement.log).arguments, replacement.event
            commitment = proof_commitment(event.prover, arguments["proof"], arguments["salt"])
            committed[commitment] = event.verdict.committed_at
    state = replace(world.state, disputes=replace(world.state.disputes, commitments=committed))
    return Case(world=replace(world, state=state, calls=calls), round=world.state.ledger.rounds[number])


def test_a_claim_of_what_a_replay_does_not_refute_is_none(read: Read) -> None:
    """The enclave signed two results, and what it proposed is right: then nobody can have a proof about its model."""
    world, _, rounds = read
    case = Case(world=world, round=world.state.ledger.rounds[rounds["model"]])
    shown = case.world.state.ledger.verdicts[rounds["model"]].replacements[0]
    nothing = verdict.Replayed(refuting={18: "a commitment"}, unknown={})
    with pytest.raises(VerificationError, match="every check of it holds"):
        verdict._check_shown(case, shown, nothing)
    with pytest.raises(UnavailableError, match="gone"):
        verdict._check_shown(case, shown, replace(nothing, unknown={21: "gone"}))
    verdict._check_shown(case, shown, replace(nothing, refuting={21: "the model"}))


def test_every_predicate_of_the_contracts_is_known() -> None:
    compiled = {
        item["name"] for family in Family for item in artifact(family.contract)["abi"] if item["type"] == "function"
    }
    assert compiled - set(proofs.SHOWS) <= {"ledger"}
    assert set(proofs.SHOWS) <= compiled


def test_a_pre_commitment_is_held_against_its_transaction(read: Read) -> None:
    world, found, rounds = read
    held = []

    class Holding(Calls):
        def hold(self, log: Log, event: e.Event) -> None:
            held.append(event)
            super().hold(log, event)

    calls = Holding(world.chain, world.deployment, found)
    case = Case(world=replace(world, calls=calls), round=world.state.ledger.rounds[rounds["model"]])
    assert judged(case, 27).status is Status.OK
    assert [type(event) for event in held].count(e.ProofCommitted) == 1


def judged(case: Case, number: int) -> Check:
    """What check 26 or 27 says."""
    report = Report()
    check = result.check_26_end if number == 26 else partial(verdict.check_27_verdict, checks=RESULT_CHECKS)
    report.run(number, "judged", case.spec.round_id, partial(check, case))
    return report.checks[0]


def test_whatever_was_rightly_voided_holds(disputed: Disputed) -> None:
    world, _ = disputed
    report = run(world.folder)
    assert bad_news(report) == []
    assert report.exit_code == 0


def test_over_rpc_the_same_holds(disputed: Disputed) -> None:
    world, _ = disputed
    arguments = ["--rpc", world.rpc, "--ledger", to_hex(world.domain.ledger)]
    done = CliRunner().invoke(app, [*arguments, "--artifacts", str(world.folder / "artifacts")])
    assert done.exit_code == 0, done.output


def test_a_proof_that_a_contract_showed_could_not_be_told(disputed: Disputed, read: Read) -> None:
    """Replay and events say that it is right; who gets the prover's part does not follow from a call of ours."""
    world, _, rounds = read

    class Relayed(Calls):
        def call(self, log: Log) -> Call:
            raise UnavailableError("a call of a contract that is not ours")

    calls = Relayed(world.chain, world.deployment, world.entries)
    for story in ("model", "commitment", "results"):
        case = Case(world=replace(world, calls=calls), round=world.state.ledger.rounds[rounds[story]])
        assert judged(case, 27).status is Status.UNKNOWN


def test_of_a_refuted_result_only_the_verdict_is_judged(disputed: Disputed) -> None:
    world, rounds = disputed
    report = run(world.folder, rounds["model"], rounds["model"])
    of_round = [check.number for check in report.checks if check.round_id is not None]
    assert of_round == [7, 8, 9, 10, 11, 12, 26, 27]
    [found] = [check.evidence for check in report.checks if check.number == 27]
    assert "F6 by " + to_hex(address(PROVER)) in found
    assert "check 21 model refutes the result too: coordinate 39 of the new model" in found


@pytest.mark.parametrize("story", ["withheld", "unavailable", "outvoted"])
def test_of_a_result_without_data_only_what_the_ledger_has_is_checked(disputed: Disputed, story: str) -> None:
    world, rounds = disputed
    report = run(world.folder, rounds[story], rounds[story])
    assert [check.number for check in report.checks if check.round_id is not None] == [7, 8, 9, 10, 11, 12, 13, 26]


def test_a_refuted_round_whose_data_are_gone_could_not_be_told(disputed: Disputed, tmp_path: Path) -> None:
    world, rounds = disputed
    folder = copied(world, tmp_path)
    (folder / "artifacts" / "rounds" / f"{rounds['model']}.cbor").unlink()
    report = run(folder, rounds["model"], rounds["model"])
    assert named(report, Status.UNKNOWN) == {"verdict"}
    assert named(report, Status.REFUTED) == {"sums"}


def test_other_bytes_than_were_signed_uphold_no_verdict(disputed: Disputed, tmp_path: Path) -> None:
    """Who publishes rubbish about an honest result must not make a verdict against it look right."""
    world, rounds = disputed
    folder = copied(world, tmp_path)
    path = folder / "artifacts" / "rounds" / f"{rounds['model']}.cbor"
    evidence = parse_evidence(path.read_bytes())
    path.write_bytes(replace(evidence, set_leaves=(SetLeaf().encode(), *evidence.set_leaves[1:])).encode())
    report = run(folder, rounds["model"], rounds["model"])
    assert named(report, Status.UNKNOWN) == {"verdict"}
    assert "what is published is not what was signed" in bad_news(report)[0]


def test_a_verdict_by_signatures_needs_no_data(read: Read) -> None:
    world, _, rounds = read
    for story in ("commitment", "receipt", "results", "receipts"):
        case = Case(world=replace(world, artifacts=None), round=world.state.ledger.rounds[rounds[story]])
        assert judged(case, 27).status is Status.OK


END_EDITS: list[tuple[str, str, Callable[[Entry], Entry | None], str]] = [
    ("pot", "model", in_verdict(e.RoundRefuted, pot=1), "verdict: expected"),
    ("coordinator", "model", in_verdict(e.RoundRefuted, coordinator=b"\x11" * 20), "verdict: expected"),
    ("result", "model", in_verdict(e.RoundRefuted, result=sha256(b"r")), "verdict: expected"),
    ("time of the verdict", "model", in_verdict(e.RoundRefuted, decided_at=5), "verdict: expected"),
    ("result where there is none", "receipts", in_verdict(e.RoundRefuted, result=sha256(b"r")), "verdict: expected"),
    ("predicate", "model", having(e.RoundRefuted, predicate=9), "predicate of the verdict"),
    ("size of the cohort", "model", in_verdict(e.RoundRefuted, slots=3), "verdict: expected"),
    ("fee of a verdict", "model", having(e.RoundVoided, fee=1), "verdict: expected"),
    ("refuted by nobody", "unavailable", having(e.RoundVoided, reason=e.VoidReason.REFUTED), "reason to void"),
    ("voided too early", "withheld", moved(e.RoundVoided, -5), "reason to void"),
    ("withheld for nothing", "unavailable", having(e.RoundVoided, reason=e.VoidReason.WITHHELD), "reason to void"),
    ("fee of what is withheld", "withheld", having(e.RoundVoided, fee=0), "fee in wei"),
    ("less time to answer", "withheld", having(e.LeafRequested, answer_by=5), "time to answer"),
    ("asked too late", "withheld", moved(e.LeafRequested, 100, answer_by=100), "time of a request"),
    ("no complaint", "unavailable", without(e.DataUnavailable), "reason to void"),
    ("complaint about another result", "unavailable", having(e.DataUnavailable, result=sha256(b"r")), "unavailable"),
    ("fee of a complaint", "unavailable", having(e.RoundVoided, fee=1), "fee in wei"),
    ("outvoted by nobody", "unavailable", having(e.RoundVoided, reason=e.VoidReason.OUTVOTED), "reason to void"),
    ("outvoted too late", "outvoted", moved(e.RoundVoided, 3600), "reason to void"),
    ("settled while somebody waits", "answered", without(e.LeafAnswered), "time of settling"),
    ("settled before an answer could be used", "answered", moved(e.RoundSettled, -58), "time of settling"),
    ("answered too late", "answered", moved(e.LeafAnswered, 200), "time of an answer"),
]


@pytest.mark.parametrize("edit", END_EDITS, ids=[edit[0] for edit in END_EDITS])
def test_a_reason_that_does_not_hold_is_refuted(
    read: Read, edit: tuple[str, str, Callable[[Entry], Entry | None], str]
) -> None:
    _, story, change, noticed = edit
    found = judged(of_round(read, story, change), 26)
    assert found.status is Status.REFUTED
    assert noticed in found.evidence


@pytest.mark.parametrize(("story", "kind"), [("model", e.RoundRefuted), ("withheld", e.LeafRequested)])
def test_what_nothing_came_before_can_not_even_be_replayed(read: Read, story: str, kind: type[e.Event]) -> None:
    with pytest.raises(VerificationError, match="that no earlier event names"):
        of_round(read, story, without(kind))


@pytest.mark.parametrize(
    ("case", "noticed"),
    [("one of three", "reason to void"), ("a stranger", "signers of a complaint"), ("twice", "order")],
)
def test_a_complaint_needs_more_than_a_third_of_the_members(
    disputed: Disputed, read: Read, case: str, noticed: str
) -> None:
    world, rounds = disputed
    [posted] = [entry.event for entry in read[1] if isinstance(entry.event, e.DataUnavailable)]
    complaint = Unavailable(federation=world.federation, round_id=rounds["unavailable"], result=posted.result)
    signatures = {
        "one of three": world.signatures(complaint, 1),
        "a stranger": b"".join(
            sign(key, complaint.digest(world.domain)) for key in sorted((world.members[0], PROVER), key=address)
        ),
        "twice": 2 * world.signatures(complaint, 1),
    }
    found = judged(of_round(read, "unavailable", having(e.DataUnavailable, signatures=signatures[case])), 26)
    assert found.status is Status.REFUTED
    assert noticed in found.evidence


def outvoted_otherwise(**changes: Any) -> Callable[[Entry], Entry]:
    return having(e.Proposed, **changes)


@pytest.mark.parametrize("change", [{"subject": sha256(b"r")}, {"data": b""}, {"action": e.Action.REVOKE_MEASUREMENT}])
def test_an_outvoted_result_is_the_one_that_was_voted_on(read: Read, change: dict[str, Any]) -> None:
    world, found, rounds = read
    edited = [
        replace(entry, event=replace(entry.event, **change))
        if isinstance(entry.event, e.Proposed) and entry.event.action is e.Action.OUTVOTE_RESULT
        else entry
        for entry in found
    ]
    world = with_entries(world, edited)
    found_ = judged(Case(world=world, round=world.state.ledger.rounds[rounds["outvoted"]]), 26)
    assert found_.status is Status.REFUTED


def as_another_predicate(predicate: int) -> Callable[[Entry], Entry]:
    def edit(entry: Entry) -> Entry:
        return in_verdict(e.RoundRefuted, predicate=predicate)(having(e.RoundRefuted, predicate=predicate)(entry))

    return edit


VERDICT_EDITS: list[tuple[str, str, Callable[[Entry], Entry | None], str]] = [
    ("an honest result", "results", as_another_predicate(2), "every check of it holds"),
    ("another predicate than the proof's", "receipt", as_another_predicate(8), "predicate of the proof"),
    ("a commitment that was never made", "commitment", without(e.UpdateCommitted), "a broken one"),
    ("not suspended", "model", without(e.MeasurementSuspended), "measurements suspended"),
    ("not suspended by a receipt", "receipt", without(e.MeasurementSuspended), "measurements suspended"),
    ("another pre-commitment", "results", in_verdict(e.RoundRefuted, committed_at=1), "pre-commitment of the prover"),
    ("another prover", "receipts", having(e.RoundRefuted, prover=b"\x11" * 20), "prover of the verdict"),
    ("another claim", "model", in_verdict(e.ProverReplaced, pot=1), "what the verdict is about"),
    ("accused by another predicate", "accused", having(e.EnclaveAccused, predicate=1), "predicate of the proof"),
    ("accused too late", "accused", in_block(e.EnclaveAccused, 10**9), "place of an accusation"),
    ("accused too early", "accused", in_block(e.EnclaveAccused, 1), "place of an accusation"),
    ("accused and not suspended", "accused", without(e.MeasurementSuspended), "measurements suspended"),
    ("claimed too late", "model", moved(e.ProverReplaced, 3601), "time of a claim"),
    ("shared out too early", "model", moved(e.VerdictExecuted, -1), "time of sharing out"),
    ("without leaves too early", "commitment", moved(e.VerdictExecuted, -1), "time of sharing out"),
    ("reward", "model", having(e.VerdictExecuted, reward=5), "what became of the pot"),
    ("share", "model", having(e.VerdictExecuted, share=5), "what became of the pot"),
    ("a signer left out", "model", having(e.VerdictExecuted, signers=()), "what became of the pot"),
    ("burnt", "receipts", having(e.VerdictExecuted, burnt=5), "what became of the pot"),
    ("another coordinator", "receipts", having(e.VerdictExecuted, coordinator=PROVER[:20]), "what became of the pot"),
]


@pytest.mark.parametrize("edit", VERDICT_EDITS, ids=[edit[0] for edit in VERDICT_EDITS])
def test_a_verdict_that_is_not_right_is_refuted(
    read: Read, edit: tuple[str, str, Callable[[Entry], Entry | None], str]
) -> None:
    _, story, change, noticed = edit
    found = judged(of_round(read, story, change), 27)
    assert found.status is Status.REFUTED, found.evidence
    assert noticed in found.evidence


@pytest.mark.parametrize(
    "kind",
    [
        *(e.RoundRefuted, e.VerdictExecuted, e.ProofCommitted, e.LeafRequested, e.LeafAnswered),
        *(e.RequestClosed, e.Credited, e.MeasurementSuspended),
    ],
)
def test_an_event_that_is_left_out_is_noticed_by_storage(read: Read, kind: type[e.Event]) -> None:
    world, found, _ = read
    last = [entry for entry in found if isinstance(entry.event, kind)][-1]
    with pytest.raises(VeriflockError):
        storage.check_5_storage(
            world.chain, world.deployment, apply_all([entry for entry in found if entry is not last])
        )


def test_a_credit_that_nobody_paid_for_is_noticed(read: Read) -> None:
    world, found, _ = read
    paid = next(entry for entry in found if isinstance(entry.event, e.Credited))
    more = (*found, replace(paid, event=e.Credited(account=address(COPYIST), amount=BOND // 100)))
    with pytest.raises(VerificationError, match="paid out, burnt and held in wei"):
        storage.check_6_money(world.chain, world.deployment, apply_all(more), more, world.calls)


def test_a_credit_is_one_deposit_even_where_the_sum_is_right(read: Read) -> None:
    world, found, _ = read
    changes = iter((1, -1))
    moved_ = [
        replace(entry, event=replace(entry.event, amount=entry.event.amount + next(changes, 0)))
        if isinstance(entry.event, e.Credited)
        else entry
        for entry in found
    ]
    with pytest.raises(VerificationError, match="amount of a credit"):
        storage.check_6_money(world.chain, world.deployment, apply_all(moved_), moved_, world.calls)


def test_what_only_a_vote_or_a_proof_may_bring_about_is_neither(read: Read) -> None:
    world, found, _ = read
    votes.count_votes(found, world.deployment)
    outvoting = [
        entry for entry in found if isinstance(entry.event, e.Executed) and _is_outvoting(world, entry.event.proposal)
    ]
    refuting = [entry for entry in found if isinstance(entry.event, e.RoundRefuted)]
    for left_out in (outvoting[0], refuting[0]):
        with pytest.raises(VeriflockError, match=r"without a vote|a suspension"):
            votes.count_votes(tuple(entry for entry in found if entry is not left_out), world.deployment)


def _is_outvoting(world: World, proposal: int) -> bool:
    return world.state.consortium.proposals[proposal].event.action is e.Action.OUTVOTE_RESULT


def test_a_vote_from_before_a_suspension_does_not_allow_the_measurement_again(read: Read) -> None:
    world, found, _ = read
    place = next(i for i, entry in enumerate(found) if isinstance(entry.event, e.MeasurementSuspended))
    again = next(
        entry.event.proposal
        for entry in found[place:]
        if isinstance(entry.event, e.Proposed) and entry.event.action is e.Action.ALLOW_MEASUREMENT
    )
    suspended = world.state.consortium.suspensions
    assert set(suspended) == {MEASUREMENT}
    assert suspended[MEASUREMENT] >= again  # the measurement was suspended again after that
    state = apply_all(found[: place + 1])
    assert state.consortium.suspensions[MEASUREMENT] == again - 1
    assert not state.consortium.measurements


def test_every_kind_of_event_is_tied_to_whoever_caused_it(read: Read) -> None:
    world, found, _ = read
    seen = set()
    for place, entry in enumerate(found):
        kind = type(entry.event)
        if kind not in (e.RoundRefuted, e.ProverReplaced, e.EnclaveAccused, e.LeafRequested, e.LeafAnswered):
            continue
        lie = replace(entry, event=replace(entry.event, **{ACTORS[kind]: b"\x77" * 20}))
        with pytest.raises(VerificationError):
            Calls(world.chain, world.deployment, [*found[:place], lie, *found[place + 1 :]]).hold(lie.log, lie.event)
        seen.add(kind)
    assert len(seen) == 5


# -- checkpoints


def brought(disputed: Disputed, read: Read, *checkpoints: SignedCheckpoint) -> Check:
    report = Report()
    report.run(28, "checkpoints", None, partial(check_28_checkpoints, read[0], checkpoints))
    return report.checks[0]


def test_a_checkpoint_that_a_member_gave_is_compared(disputed: Disputed, read: Read) -> None:
    world, rounds = disputed
    checkpoint = world.checkpoint(rounds["honest"])
    found = brought(disputed, read, world.signed(checkpoint, world.members[0]))
    assert (found.status, found.evidence) == (
        Status.OK,
        f"1 posted and 1 brought, the newest of round {rounds['honest']}: each as this chain has it",
    )


@pytest.mark.parametrize(
    ("changes", "noticed"),
    [
        ({"result": sha256(b"another result")}, "result of round 1 (the chain was rewritten behind a checkpoint"),
        ({"block_hash": sha256(b"another block")}, "block of round 1 (the chain was rewritten behind a checkpoint"),
        ({"round_id": 2}, "end of round 2 (the chain was rewritten behind a checkpoint"),
        ({"federation": sha256(b"another federation")}, "federation of a checkpoint"),
    ],
)
def test_a_checkpoint_that_this_chain_contradicts_refutes_it(
    disputed: Disputed, read: Read, changes: dict[str, Any], noticed: str
) -> None:
    world, rounds = disputed
    checkpoint = replace(world.checkpoint(rounds["honest"]), **changes)
    found = brought(disputed, read, world.signed(checkpoint, world.members[0]))
    assert found.status is Status.REFUTED
    assert noticed in found.evidence


def test_a_checkpoint_of_a_stranger_is_none(disputed: Disputed, read: Read) -> None:
    world, rounds = disputed
    found = brought(disputed, read, world.signed(world.checkpoint(rounds["honest"]), PROVER))
    assert found.status is Status.REFUTED
    assert to_hex(address(PROVER)) in found.evidence


def test_a_checkpoint_of_a_later_round_could_not_be_told(disputed: Disputed, read: Read) -> None:
    world, rounds = disputed
    checkpoint = replace(world.checkpoint(rounds["honest"]), round_id=1000)
    found = brought(disputed, read, world.signed(checkpoint, world.members[0]))
    assert found.status is Status.UNKNOWN


@pytest.mark.parametrize("change", ["block", "signature", "nobody"])
def test_a_posted_checkpoint_is_held_to_its_signatures_and_block(read: Read, change: str) -> None:
    world, found, _ = read
    [posted] = [entry.event for entry in found if isinstance(entry.event, e.CheckpointPosted)]
    changed = {
        "block": {"block_hash": sha256(b"another block")},
        "signature": {"signatures": posted.signatures[:64] + b"\0" + posted.signatures[65:]},
        "nobody": {"signatures": b""},
    }
    edit = having(e.CheckpointPosted, **changed[change])
    report = Report()
    report.run(
        28, "checkpoints", None, partial(check_28_checkpoints, with_entries(world, [edit(entry) for entry in found]))
    )
    assert report.checks[0].status is Status.REFUTED


def test_one_member_alone_does_not_refute_a_chain_by_what_it_posts(disputed: Disputed, read: Read) -> None:
    world, found, _ = read
    lie = replace(disputed[0].checkpoint(1), block_hash=sha256(b"another block"))
    edit = having(e.CheckpointPosted, block_hash=lie.block_hash, signatures=disputed[0].signatures(lie, 1))
    report = Report()
    edited = with_entries(world, [edit(entry) for entry in found])
    report.run(28, "checkpoints", None, partial(check_28_checkpoints, edited))
    assert report.checks[0].status is Status.OK
    who = to_hex(address(disputed[0].members[0]))
    start = f"0 posted and 0 brought: each as this chain has it; member {who} signed otherwise: block of round 1"
    assert report.checks[0].evidence.startswith(start)


def test_the_command_reads_files_of_checkpoints(disputed: Disputed, tmp_path: Path) -> None:
    world, rounds = disputed
    honest = world.checkpoint(rounds["honest"])
    files = {}
    for name, checkpoint in {"right": honest, "wrong": replace(honest, block_hash=sha256(b"b"))}.items():
        files[name] = tmp_path / name
        files[name].write_bytes(encode_checkpoints([world.signed(checkpoint, world.members[1])]))
    files["no"] = tmp_path / "no"
    files["no"].write_bytes(b"\x81\xa0")
    arguments = ["--run", str(world.folder), "--round", "1"]
    for names, code in ((["right"], 0), (["right", "wrong"], 1), (["no"], 2), (["missing"], 2)):
        options = [text for name in names for text in ("--checkpoint", str(files.get(name, tmp_path / name)))]
        done = CliRunner().invoke(app, [*arguments, *options])
        assert done.exit_code == code, done.output
