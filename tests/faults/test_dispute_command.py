"""`veriflock dispute` as a person types it, on a real ledger: each kind of lie is refuted and its pot shared out."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from coordinator import anvil
from protocol.disputes import PROVER_PARTS, Family
from protocol.encoding import encode
from protocol.events import Action
from protocol.evidence import RoundEvidence
from protocol.hashing import sha256
from protocol.keys import address, to_hex
from protocol.openings import Openings, Tree
from tests.support.disputed import COPYIST, DisputedWorld
from tests.support.drafts import ABSENT, Draft, honest, some_rows
from tests.support.lies import LIES
from tests.support.world import BOND, DIMENSION, MEASUREMENT, MODEL_EXPONENT, key_of, terms
from verifier.dispute.flow import dispute as look
from verifier.dispute.proofs import proof_of
from verifier.dispute.report import DisputeReport
from verifier.dispute.story import Subject
from verifier.dispute_cli import dispute
from verifier.evidence import FolderArtifacts
from verifier.node import Node
from verifier.refutation.reconstruction import reconstruct
from verifier.refutation.search import search
from verifier.rpc import RpcChain

COMMAND = Path(sys.executable).with_name("veriflock")
PROVER = key_of("somebody who looks")
NAMED = {lie.name: lie for lie in LIES}
SHOWN = {
    "the aggregate in the first leaf, up": ("F2", "aggregateDiffers"),
    "kept in an outcome": ("F4", "outcomeDiffers"),
    "the first coordinate of the new model": ("F6", "modelDiffers"),
    "somebody else's signature": ("F7", "signatureWrong"),
    "a receipt of an absent slot": ("F3", "receiptBroken"),
}
"""A lie of the table, and the predicate that refutes it on the ledger."""


app = typer.Typer()
app.command()(dispute)

Run = Callable[..., tuple[int, dict[str, Any]]]


def typed(*words: str) -> tuple[int, dict[str, Any]]:
    """Exit code and report of the command, in a process of its own."""
    command = [str(COMMAND), "dispute", *words, "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout, done.stderr
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)


def inside(*words: str) -> tuple[int, dict[str, Any]]:
    """The same in this process, which is quicker."""
    done = CliRunner().invoke(app, [*words, "--format", "json"], catch_exceptions=False)
    return done.exit_code, json.loads(done.stdout)


class Court(DisputedWorld):
    """A federation in which a lie of the table can be proposed, and somebody types."""

    def __init__(self, rpc: str, folder: Path) -> None:
        super().__init__(rpc, folder)
        self.key = folder / "prover.key"
        self.key.write_text(f"0x{self.purse(PROVER).hex()}\n")
        self.key.chmod(0o600)

    def draft(self, lie: str | None = None) -> Draft:
        """A round of a median with one slot absent, opened on the ledger, and a lie in it."""
        self.set_terms(terms("median"))
        spec, cohort = self.open()
        keys = {address(key): key for key in self.participants}
        found = honest(
            spec,
            cohort,
            {slot: keys[participant] for slot, participant in enumerate(cohort)},
            some_rows(set(range(len(cohort))) - {ABSENT}, DIMENSION),
            self.model,
            enclave_key=self.enclave_key,
            domain=self.domain,
            model_exponent=MODEL_EXPONENT,
        )
        if lie is not None:
            NAMED[lie].tell(found)
        return found

    def propose_draft(self, draft: Draft) -> None:
        """Publishes what a coordinator publishes of it, and proposes it."""
        published, signed, spec = draft.published(), draft.signed(), draft.spec
        evidence = RoundEvidence(
            round_id=spec.round_id,
            result=signed.result.hash_struct(),
            base=self.blob(published.base or b""),
            set_leaves=tuple(draft.set_leaves),
            rows=tuple(
                self.blob(published.rows[slot]) if slot in published.rows else None for slot in range(len(draft.cohort))
            ),
            aggregate=self.blob(published.aggregate or b""),
            model=self.blob(published.model or b""),
        )
        (self.folder / "artifacts" / "rounds" / f"{spec.round_id}.cbor").write_bytes(evidence.encode())
        self.move(spec.deadlines[2] + 1)
        arguments = (spec, signed.result, b"".join(draft.outcomes), signed.signature)
        self.call(self.coordinator, "RoundLedger", "propose", *arguments)

    def lies(self, lie: str | None = None) -> Draft:
        """A proposed round with that lie in it."""
        draft = self.draft(lie)
        self.propose_draft(draft)
        return draft

    def settles(self, draft: Draft) -> None:
        """Nobody refuted it."""
        self.move(draft.spec.deadlines[4] + 1)
        arguments = (draft.spec, draft.result(), b"".join(draft.outcomes), list(draft.cohort))
        self.call(self.coordinator, "RoundLedger", "settle", *arguments)
        self.previous = draft.result().hash_struct()
        self.model = np.frombuffer(b"".join(draft.model), "<i4")[:DIMENSION].astype(np.int32)

    def types(
        self, *arguments: object, artifacts: bool = True, key: bool = True, run: Run = inside
    ) -> tuple[int, dict[str, Any]]:
        """Exit code and report of a `veriflock dispute`."""
        words = ["--rpc", self.rpc, "--ledger", to_hex(self.domain.ledger), *map(str, arguments)]
        words += ["--artifacts", str(self.folder / "artifacts")] if artifacts else []
        words += ["--key", str(self.key)] if key else []
        return run(*words)

    def over(self, number: int, report: dict[str, Any]) -> None:
        """The command shares out the pot, an hour later; then coordinator and measurement may go on."""
        self.move(report["verdict"]["decided_at"] + 3601)
        self.ask("evm_mine")
        code, executed = self.types("--execute", "--round", number)
        assert (code, executed["status"], [mined["what"] for mined in executed["sent"]]) == (
            0,
            "ok",
            ["executeVerdict"],
        )
        assert self.bond() == 0
        self.call(self.coordinator, "RoundLedger", "addBond", value=BOND)
        if report["prospect"]["suspended"] is not None:
            self.vote(Action.ALLOW_MEASUREMENT, MEASUREMENT)

    def bond(self) -> int:
        """The coordinator's, in wei."""
        return self.number("bondOf", address(self.coordinator))

    def credit(self) -> int:
        """The prover's, in wei."""
        return int.from_bytes(self.view("standingOf", address(PROVER))[64:96])

    def nonce(self) -> int:
        """How many transactions the prover has sent."""
        return int(self.ask("eth_getTransactionCount", to_hex(address(PROVER)), "latest"), 16)

    def number(self, function: str, *arguments: Any) -> int:
        """A number that the RoundLedger says."""
        return int.from_bytes(self.view(function, *arguments))

    def view(self, function: str, *arguments: Any) -> bytes:
        """What the RoundLedger says."""
        data = self.contracts["RoundLedger"].call_data(function, *arguments)
        found = self.ask("eth_call", {"to": to_hex(self.domain.ledger), "data": "0x" + data.hex()}, "latest")
        return bytes.fromhex(found[2:])


@pytest.fixture(scope="module")
def court(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Court]:
    """One federation for all; each test leaves it with a bond, and ready for the next round."""
    with anvil.start() as running:
        yield Court(running.rpc, tmp_path_factory.mktemp("court"))


@pytest.mark.parametrize("lie", SHOWN)
def test_a_lie_is_refuted_its_bond_frozen_and_its_pot_shared_out(court: Court, lie: str, tmp_path: Path) -> None:
    draft, credit = court.lies(lie), court.credit()
    code, report = court.types(*kept(draft, tmp_path), run=typed)
    number = draft.spec.round_id
    accusation = report["accusation"]
    assert (code, report["status"]) == (1, "refuted"), report["summary"]
    assert (accusation["predicate"], accusation["function"]) == SHOWN[lie]
    assert "expected" in accusation["text"]
    assert [mined["what"] for mined in report["sent"]] == ["commitProof", "refute"]
    assert report["round_state"] == "void (refuted)"
    assert report["verdict"]["prover"] == to_hex(address(PROVER))
    assert report["verdict"]["committed_at"] == report["sent"][0]["block"]
    assert report["prospect"]["suspended"] == "0x" + MEASUREMENT.hex()
    assert len(report["prospect"]["signers"]) == (5 if lie == "somebody else's signature" else 6)
    assert court.number("verdictOf", address(court.coordinator)) != 0
    assert court.bond() == BOND
    estimate, used = report["gas"]["refute"], report["sent"][1]["gas_used"]
    assert used <= estimate * 5 // 4

    court.over(number, report)
    assert court.credit() - credit == int(report["prospect"]["reward_wei"]) == BOND // PROVER_PARTS


def test_of_an_honest_round_nothing_is_sent(court: Court) -> None:
    draft, nonce = court.lies(), court.nonce()
    code, report = court.types()
    assert (code, report["status"], report["sent"], report["accusation"]) == (0, "ok", [], None)
    assert report["summary"] == f"nothing is wrong with the result of round {draft.spec.round_id}"
    assert court.nonce() == nonce
    court.settles(draft)
    assert court.types(artifacts=True)[0] == 0


def test_a_lie_in_a_tree_that_nobody_can_rebuild_is_refuted_once_a_leaf_of_it_was_answered(court: Court) -> None:
    draft = court.lies("a column in the first leaf")
    number, spec = draft.spec.round_id, draft.spec
    code, report = court.types()
    assert (code, report["status"], report["sent"]) == (2, "unknown", [])
    assert ["can't open the column tree" in tree for tree in report["cannot_open"]] == [True]
    assert any("veriflock consortium request-leaf column INDEX" in step for step in report["next_steps"])
    assert any("veriflock consortium unavailable" in step for step in report["next_steps"])

    asked = (spec, draft.result(), int(Tree.COLUMN), 0, 0)
    court.call(court.members[0], "Disputes", "requestLeaf", *asked, value=BOND // 100)
    answer = Openings(draft.leaves(), counted=draft.counted).answer(Tree.COLUMN, slot=0, index=0)
    answering = (spec, draft.result(), address(court.members[0]), answer)
    court.call(court.coordinator, "Disputes", "answerLeaf", *answering)

    code, report = court.types()
    assert (code, report["accusation"]["predicate"], report["accusation"]["function"]) == (1, "F1", "columnDiffers")
    assert [mined["what"] for mined in report["sent"]] == ["commitProof", "refute"]
    court.over(number, report)


def test_who_copies_a_proof_loses_it_to_the_older_pre_commitment(court: Court) -> None:
    draft = court.lies("the first coordinate of the new model")

    class Overtaken(Node):
        """A node behind which somebody sees our proof and is faster."""

        def send(self, raw: bytes) -> None:
            """The second transaction is the proof."""
            if court.nonce() == nonce + 1:
                court.refute(Family.COLUMN, model_proof(draft), COPYIST)
            super().send(raw)

    nonce = court.nonce()
    report = looked(court, Overtaken(court.rpc))
    assert [(mined.what, mined.is_success) for mined in report.sent] == [
        ("commitProof", True),
        ("refute", False),
        ("claim", True),
    ]
    assert "somebody else refuted the round first" in report.race
    assert "your older pre-commitment took its place" in report.race
    assert (report.exit_code, report.verdict and report.verdict.prover) == (1, address(PROVER))
    court.over(draft.spec.round_id, report.to_map())


def test_who_is_started_again_claims_with_the_pre_commitment_of_before(court: Court) -> None:
    draft = court.lies("the first coordinate of the new model")
    again = proof_of(first_of(draft))
    court.nonces[address(PROVER)] = court.nonce()
    court.call(PROVER, "Disputes", "commitProof", again.commitment(address(PROVER), PROVER))
    court.refute(Family.COLUMN, model_proof(draft), COPYIST)
    code, report = court.types()
    assert (code, [mined["what"] for mined in report["sent"]]) == (1, ["claim"])
    assert report["verdict"]["prover"] == to_hex(address(PROVER))

    code, late = court.types()  # and a third time there is nothing left to do
    assert (code, late["sent"], late["race"]) == (1, [], "")
    court.over(draft.spec.round_id, report)


def test_who_comes_later_than_somebody_else_is_told_so(court: Court) -> None:
    draft = court.lies("the first coordinate of the new model")
    court.refute(Family.COLUMN, model_proof(draft), COPYIST)
    code, report = court.types()
    assert (code, report["sent"]) == (1, [])
    assert "you have no pre-commitment before block" in report["race"]
    assert report["verdict"]["prover"] == to_hex(address(COPYIST))

    early = court.types("--execute", "--round", draft.spec.round_id)
    assert (early[0], early[1]["summary"][:15]) == (2, "it is too early")
    court.move(report["verdict"]["decided_at"] + 3601)
    court.ask("evm_mine")
    code, without = court.types("--execute", "--round", draft.spec.round_id, artifacts=False)
    assert (code, without["sent"]) == (2, [])
    assert "needs the set leaves" in without["summary"]
    assert "give --artifacts" in without["next_steps"][0]
    court.over(draft.spec.round_id, report)


def two_lies(court: Court) -> tuple[Draft, bytes]:
    """A round with a wrong model and a broken commitment, and the proof of the smaller lie, which a host can cause."""
    draft = court.draft("the first coordinate of the new model")
    keys = {address(key): key for key in court.participants}
    court.call(keys[draft.cohort[0]], "RoundLedger", "commit", draft.spec.round_id, sha256(b"another update"))
    court.propose_draft(draft)
    leaf = Openings(draft.leaves(), counted=draft.counted).set_leaf(0)
    return draft, court.proof(Family.SET, "commitmentBroken", draft.spec, draft.result(), list(draft.cohort), leaf)


def test_who_refutes_itself_by_a_smaller_lie_does_not_get_its_enclave_away(court: Court) -> None:
    draft, smaller = two_lies(court)
    court.refute(Family.SET, smaller, COPYIST)
    code, report = court.types("--dry-run", key=False)
    assert (code, report["sent"], report["prospect"]["suspended"]) == (1, [], None)
    assert report["suspension"].endswith("was not sent (--dry-run)")
    assert report["next_steps"][0].startswith("before the pot is shared out, suspend the measurement")
    assert report["gas"]["suspend"] > 100_000

    code, report = court.types()
    assert (code, [mined["what"] for mined in report["sent"]]) == (1, ["suspend"])
    assert report["verdict"]["prover"] == to_hex(address(COPYIST))
    assert report["accusation"]["function"] == "modelDiffers"
    assert report["suspension"].endswith("which the one that refuted the round did not, and was sent")
    assert report["prospect"]["suspended"] == "0x" + MEASUREMENT.hex()
    assert report["sent"][0]["gas_used"] <= report["gas"]["suspend"] * 5 // 4

    code, again = court.types()  # and then there is nothing left to do
    assert (code, again["sent"], again["suspension"]) == (1, [], "")
    court.over(draft.spec.round_id, report)


def test_who_is_overtaken_by_a_smaller_lie_claims_and_suspends(court: Court) -> None:
    draft, smaller = two_lies(court)

    class Overtaken(Node):
        """A node behind which the liar sees our proof coming, and refutes itself."""

        def send(self, raw: bytes) -> None:
            """The second transaction is the proof."""
            if court.nonce() == nonce + 1:
                court.refute(Family.SET, smaller, COPYIST)
            super().send(raw)

    nonce = court.nonce()
    report = looked(court, Overtaken(court.rpc))
    assert [mined.what for mined in report.sent] == ["commitProof", "refute", "claim", "suspend"]
    assert report.verdict is not None
    assert (report.verdict.prover, report.verdict.predicate) == (address(PROVER), 3)
    assert "and was sent" in report.to_text()
    court.over(draft.spec.round_id, report.to_map())


def test_who_is_overtaken_twice_suspends_all_the_same(court: Court) -> None:
    draft, smaller = two_lies(court)
    third = court.purse(key_of("somebody still faster"))
    court.commit_proof(model_proof(draft), third)
    verdicts = []

    class Overtaken(Node):
        """A node behind which the liar refutes itself, and somebody claims who had committed before us."""

        def send(self, raw: bytes) -> None:
            """The second transaction is the proof, the third our claim."""
            if court.nonce() == nonce + 1:
                verdicts.append(court.refute(Family.SET, smaller, COPYIST))
            if court.nonce() == nonce + 2:
                verdicts.append(court.claim(verdicts[0], Family.COLUMN, model_proof(draft), third))
            super().send(raw)

    nonce = court.nonce()
    report = looked(court, Overtaken(court.rpc))
    assert [(mined.what, mined.is_success) for mined in report.sent] == [
        ("commitProof", True),
        ("refute", False),
        ("claim", False),
        ("suspend", True),
    ]
    assert (report.exit_code, report.suspension.endswith("and was sent")) == (2, True)
    code, again = court.types()
    assert (code, again["sent"], again["prospect"]["suspended"]) == (1, [], "0x" + MEASUREMENT.hex())
    court.over(draft.spec.round_id, again)


def test_a_dry_run_says_what_would_happen_and_needs_no_key(court: Court) -> None:
    draft, nonce = court.lies("kept in an outcome"), court.nonce()
    code, report = court.types("--dry-run", key=False)
    foreseen = report["prospect"]
    assert (code, report["status"], report["sent"], report["verdict"]) == (1, "refuted", [], None)
    assert report["gas"]["refute"] > report["gas"]["commitProof"] > 21_000
    assert foreseen["pot_wei"] == str(BOND)
    assert foreseen["reward_wei"] == str(BOND // 4)
    parts = int(foreseen["reward_wei"]) + len(foreseen["signers"]) * int(foreseen["share_wei"])
    assert parts + int(foreseen["burnt_wei"]) == BOND
    assert [opened["name"] for opened in report["accusation"]["opens"]] == ["last", "outcomes", "slot"]
    assert court.nonce() == nonce

    code, sent = court.types("--no-pre-commit")
    assert (code, [mined["what"] for mined in sent["sent"]]) == (1, ["refute"])
    assert sent["prospect"] == {**foreseen, "prover": to_hex(address(PROVER))}
    court.over(draft.spec.round_id, sent)


def test_whoever_has_nothing_of_a_round_can_not_tell(court: Court, tmp_path: Path) -> None:
    draft = court.lies()
    code, report = court.types("--artifacts", tmp_path, artifacts=False)
    assert (code, report["status"], report["sent"]) == (2, "unknown", [])
    assert len(report["cannot_open"]) == 4  # set, columns, base and new model
    assert "evidence" in report["notes"][0]
    court.settles(draft)


def test_a_run_folder_is_looked_at_without_a_node(court: Court) -> None:
    lying = court.lies("the first coordinate of the new model")
    court.finish()
    code, report = inside("--run", str(court.folder), "--round", str(lying.spec.round_id))
    assert (code, report["accusation"]["predicate"], report["gas"]["refute"], report["sent"]) == (1, "F6", None, [])
    assert "offline" in report["summary"]

    words = ["--rpc", court.rpc, "--ledger", to_hex(court.domain.ledger), "--key", str(court.key)]
    shown = CliRunner().invoke(app, [*words, "--artifacts", str(court.folder / "artifacts")])
    lines = shown.stdout.splitlines()
    assert (shown.exit_code, len(lines)) == (1, len(set(lines)))  # what was said before sending is not said again
    assert lines.index("sent:") > lines.index("what follows from a verdict:")
    assert lines[-1].startswith("REFUTED: round ")
    court.over(lying.spec.round_id, court.types()[1])


def test_two_receipts_refute_a_round_before_anything_is_proposed(court: Court, tmp_path: Path) -> None:
    draft = court.draft("two receipts")
    receipts = kept(draft, tmp_path)
    code, report = court.types(*receipts[:2])
    assert (code, report["round_state"], report["sent"]) == (0, "open", [])
    code, report = court.types(*receipts)
    assert (code, report["accusation"]["function"]) == (1, "twoReceipts")
    assert [mined["what"] for mined in report["sent"]] == ["commitProof", "refute"]
    assert (report["result"], report["prospect"]["signers"]) == (None, [])
    court.over(draft.spec.round_id, report)

    other = court.lies()
    code, report = court.types(*receipts)
    assert (code, report["sent"]) == (2, [])
    what = f"the receipt is of round {draft.spec.round_id}, and this is about round {other.spec.round_id}"
    assert report["summary"].startswith(what)
    court.settles(other)


def test_what_is_settled_can_not_be_refuted_any_more(court: Court) -> None:
    draft = court.lies("the first coordinate of the new model")
    court.settles(draft)
    code, report = court.types()
    assert (code, report["status"], report["sent"]) == (1, "refuted", [])
    assert report["accusation"]["predicate"] == "F6"
    assert report["summary"].endswith("but the round is settled, so nothing can be refuted any more")


def test_a_key_that_others_may_read_is_refused_before_anything_is_sent(court: Court, tmp_path: Path) -> None:
    loose = tmp_path / "loose.key"
    loose.write_text(f"0x{PROVER.hex()}\n")
    loose.chmod(0o644)
    code, report = court.types("--key", loose, key=False)
    assert (code, report["summary"]) == (2, f"mode of key file {loose}: expected 0o600 (chmod 600), got 0o644")


def kept(draft: Draft, folder: Path) -> list[object]:
    """Options with the files in which participants keep the receipts of a round."""
    words: list[object] = []
    for place, held in enumerate(draft.receipts):
        path = folder / f"{place}.cbor"
        path.write_bytes(encode({"receipt": held.receipt.to_map(), "signature": held.signature}))
        words += ["--receipt", path]
    return words


def looked(court: Court, node: Node) -> DisputeReport:
    """The command's own program, with another node behind it."""
    subject = Subject(
        open_chain=partial(RpcChain, court.rpc),
        ledger=court.domain.ledger,
        artifacts=FolderArtifacts(court.folder / "artifacts"),
        round_id=None,
        node=node,
        key=PROVER,
        sends=True,
        cap_wei=10**12,
        wait_s=30.0,
    )
    try:
        return look(subject)
    finally:
        node.close()


def first_of(draft: Draft) -> Any:
    """What the search finds first."""
    openings, _ = reconstruct(draft.facts(), draft.published())
    return next(search(draft.facts(), openings))


def model_proof(draft: Draft) -> bytes:
    """The proof that somebody else sends."""
    return proof_of(first_of(draft)).data
