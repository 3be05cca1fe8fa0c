"""The recipe: what a stranger does to find out whether a federation was honest, numbered.

Responsible for: the order of the checks, and that each is run and reported.
Must not know:   how any of them is done (checks/).

    of the federation, once
     1 chain        the source answers and does not contradict itself; of a dump every hash and signer is right
     2 code         the contracts run the committed code and refer to each other
     3 streams      no event is missing: each contract's rolling hash
     4 votes        every decision of the consortium, counted again; founding and votes by who signed them
     5 storage      the events, replayed, are what is stored: reputations and credits among it
     6 money        what is owed is there
    of every round
     7 opened       next in order, on the ledger's model, by an admitted and bonded coordinator
     8 enclave      registered by that coordinator, claims made for here, nonce fresh
     9 quote        authentic and acceptable when registered, by what was voted for and its collateral
    10 measurement  voted for, enclave trusted from opening to settling
    11 spec         the terms in force, deadlines within their windows
    12 cohort       everybody active, or the sample that the chain's seed draws
    13 result       signed by that enclave, about this round, in time
    14 set          the published set leaves lead to the signed root
    15 signatures   every counted update is signed by its participant
    16 rows         every counted row opens its update root
    17 admission    what must be refused is not counted
    18 commitments  forced inclusion was honoured
    19 aggregate    the rule, applied once more, bit for bit
    20 selection    the slots that the rule selects
    21 model        base plus aggregate is the new model
    22 columns      the column tree has the signed root
    23 gram         the Gram tree has the signed root
    24 outcomes     kept, deviation, alignment, flag, weight of every slot
    25 payouts      reputations and payouts recomputed
    26 end          settled after its window and every wait for a leaf, or void for a reason that holds
    27 verdict      of a refuted round: the result was wrong, and the pot went where it must
    of the federation, at last
    28 checkpoints  what members remember, posted or brought, is what this chain says
    of a run folder
    29 charter      federation.json is what the ledger names
    30 record       record.json is anchored on this chain
    31 blobs        every blob is what its name says
    32 sums         every file is what SHA256SUMS says, and nothing there is anything else

A result that came to nothing since it was refuted is no fault of the federation any more: of such a round checks 13 to
25 are made by check 27.  Of a round that is void because its data can't be had, or by vote, only check 13 is.

Checks 4, 6 to 8, 12, 13, 18, 26, 27 and 30 hold each event against the transaction that it stands under (calls.py).

Spec: docs/protocol.md section 8.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from protocol.checkpoints import SignedCheckpoint
from protocol.errors import UnavailableError, VeriflockError
from protocol.events import VoidReason
from protocol.keys import Address, to_hex
from verifier.apply import apply_all
from verifier.calls import Calls
from verifier.chain import ChainSource
from verifier.checks import chain as chain_checks
from verifier.checks import checkpoints, opening, replaying, result, storage, verdict, votes
from verifier.checks import folder as folder_checks
from verifier.checks.folder import Record
from verifier.evidence import ArtifactSource
from verifier.report import Report, Status
from verifier.world import Case, World

NOT_CHECKED = (
    "whose federation this is: compare ledger, federation id, genesis hash and members with what your consortium told"
    " you (--federation and --genesis pin them)",
    "execution: no EVM is run; receipts, logs and storage of a dump are held to their hashes, to their signers and to"
    " the replay of events, so a call that failed and is shown as one that succeeded is not noticed by that alone",
    "consensus: that this chain is the one that others see, but for what checkpoints say that are posted or that you"
    " bring (--checkpoint)",
    "a node's word: over RPC, storage and logs are not proven against the state root; give a dump or a node you trust",
    "quotes: what became known of a platform after the collateral that its TCB row names; collateral of today says"
    " (veriflock quote verify)",
    "measurement: that the measured code is the source you read (veriflock measure)",
    "refusals: why a slot was refused or does not open; only the enclave saw it",
    "receipts: promises that were broken are known to who holds the receipt",
    "withheld data: results of rounds that were void because their data could not be had, or by vote; nothing rests on"
    " them",
    "withdrawals: that deposits and credits left at their time and to the right address; only that the sums hold",
    "accuracy, and whatever else record.json says of the training: unattested",
    "call traces in a dump: neither read nor relied upon",
)
"""What a green report does not say."""

NO_SUMS = "SHA256SUMS: not written yet when this was verified"

CaseCheck = tuple[int, str, Callable[[Case], tuple[Any, str]]]

CASE_CHECKS: tuple[CaseCheck, ...] = (
    (7, "opened", opening.check_7_opened),
    (8, "enclave", opening.check_8_enclave),
    (9, "quote", opening.check_9_quote),
    (10, "measurement", opening.check_10_measurement),
    (11, "spec", opening.check_11_spec),
    (12, "cohort", opening.check_12_cohort),
)
RESULT_CHECKS: tuple[CaseCheck, ...] = (
    (13, "result", result.check_13_result),
    (14, "set", replaying.check_14_set),
    (15, "signatures", replaying.check_15_signatures),
    (16, "rows", replaying.check_16_rows),
    (17, "admission", replaying.check_17_admission),
    (18, "commitments", replaying.check_18_commitments),
    (19, "aggregate", replaying.check_19_aggregate),
    (20, "selection", replaying.check_20_selection),
    (21, "model", replaying.check_21_model),
    (22, "columns", replaying.check_22_columns),
    (23, "gram", replaying.check_23_gram),
    (24, "outcomes", replaying.check_24_outcomes),
    (25, "payouts", result.check_25_payouts),
)
END_CHECK: CaseCheck = (26, "end", result.check_26_end)
VERDICT_CHECK: CaseCheck = (27, "verdict", partial(verdict.check_27_verdict, checks=RESULT_CHECKS))

WITHOUT_DATA = (VoidReason.WITHHELD, VoidReason.UNAVAILABLE, VoidReason.OUTVOTED)
"""Reasons for which a round is void that leave nothing to replay, or nothing that a replay would be asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is to be verified."""

    open_chain: Callable[[], ChainSource]
    """Opens the chain; what goes wrong there is check 1's."""
    ledger: Address | None
    """None: the one that the folder's record names."""
    artifacts: ArtifactSource | None = None
    first_round: int = 1
    last_round: int | None = None
    """None: up to the newest."""
    folder: Path | None = None
    """A run folder whose charter, record and sums are to be checked too."""
    federation: bytes | None = None
    """The federation id that the reader was told; None: any."""
    genesis: bytes | None = None
    """The genesis hash that the reader was told; None: any."""
    checkpoints: tuple[SignedCheckpoint, ...] = ()
    """What members gave the reader."""
    without_sums: bool = False
    """SHA256SUMS is not written yet; a report without that check says so."""


def verify_federation(subject: Subject, report: Report) -> Report:
    """Runs the whole recipe; returns the report that it was given, filled."""
    report.not_checked = (*NOT_CHECKED, NO_SUMS) if subject.without_sums else NOT_CHECKED
    report.is_simulated = True  # until the roots are known: unknown fails closed
    if subject.artifacts is not None:
        report.subject["artifacts"] = subject.artifacts.describe()
    with contextlib.ExitStack() as stack:
        _run(subject, report, lambda: stack.enter_context(contextlib.closing(subject.open_chain())))
    return report


def _run(subject: Subject, report: Report, open_chain: Callable[[], ChainSource]) -> None:
    record = _read_record(subject, report)
    ledger = subject.ledger or (None if record is None else record.ledger)
    world = None if ledger is None else _read_world(subject, open_chain, ledger, report)
    if world is None:
        report.skip(5, "the rest", None, "rests on the checks before, of which one did not hold")
    else:
        deployment, state = world.deployment, world.state
        report.run(5, "storage", None, partial(storage.check_5_storage, world.chain, deployment, state))
        money = partial(storage.check_6_money, world.chain, deployment, state, world.entries, world.calls)
        report.run(6, "money", None, money)
        _check_rounds(subject, world, report)
        remembered = partial(checkpoints.check_28_checkpoints, world, subject.checkpoints)
        report.run(28, "checkpoints", None, remembered)
        if subject.folder is not None:
            report.run(29, "charter", None, partial(folder_checks.check_29_charter, subject.folder, world))
        if record is not None:
            report.run(30, "record", None, partial(folder_checks.check_30_record, record, world))
    if subject.folder is not None:
        report.run(31, "blobs", None, partial(folder_checks.check_31_blobs, subject.folder))
        if not subject.without_sums:
            report.run(32, "sums", None, partial(folder_checks.check_32_sums, subject.folder))


def _read_record(subject: Subject, report: Report) -> Record | None:
    """The folder's record; what is wrong with reading it is check 30's."""
    if subject.folder is None:
        return None
    try:
        return folder_checks.open_folder(subject.folder)
    except (VeriflockError, UnavailableError, OSError) as error:
        report.run(30, "record", None, partial(_raise, error))
        return None


def _raise(error: Exception) -> tuple[None, str]:
    raise error


def _read_world(
    subject: Subject, open_chain: Callable[[], ChainSource], ledger: Address, report: Report
) -> World | None:
    """Checks 1 to 4: without them no event means anything."""
    report.subject["ledger"] = to_hex(ledger)
    chain = report.run(1, "chain", None, partial(chain_checks.check_1_chain, open_chain, subject.genesis))
    if chain is None:
        return None
    report.subject["chain"] = chain.describe()
    code = partial(chain_checks.check_2_code, chain, ledger, subject.federation)
    deployment = report.run(2, "code", None, code)
    if deployment is None:
        return None
    report.subject["federation"] = deployment.federation.hex()
    entries = report.run(3, "streams", None, partial(chain_checks.check_3_streams, chain, deployment))
    if entries is None:
        return None
    calls = Calls(chain, deployment, entries)
    state = report.run(4, "votes", None, partial(votes.check_4_votes, chain, deployment, entries, calls))
    if state is None and report.checks[-1].status is Status.UNKNOWN:
        state = apply_all(entries)  # who voted could not be told: the rest is still worth looking at
    if state is None:
        return None
    report.subject |= votes.identity(chain, deployment, state)
    return World(
        chain=chain, deployment=deployment, entries=entries, calls=calls, state=state, artifacts=subject.artifacts
    )


def _check_rounds(subject: Subject, world: World, report: Report) -> None:
    rounds = world.state.ledger.rounds
    last = world.state.ledger.current if subject.last_round is None else subject.last_round
    cases = []
    for round_id in range(subject.first_round, last + 1):
        if round_id not in rounds:
            report.skip(7, "opened", round_id, f"the ledger has no round {round_id}; the newest is {len(rounds)}")
            break
        cases.append(Case(world=world, round=rounds[round_id]))
    known = world.state.enclaves.values()
    report.is_simulated = any(e.event.simulated for e in known) or any(opening.is_simulated(case) for case in cases)
    for case in cases:
        round_id = case.spec.round_id
        for number, name, check in _checks_of(case):
            report.run(number, name, round_id, partial(check, case))


def _checks_of(case: Case) -> list[CaseCheck]:
    if case.round.void_reason is VoidReason.REFUTED:
        return [*CASE_CHECKS, END_CHECK, VERDICT_CHECK]
    if case.round.proposal is None:
        return [*CASE_CHECKS, END_CHECK]
    of_result = RESULT_CHECKS[:1] if case.round.void_reason in WITHOUT_DATA else RESULT_CHECKS
    return [*CASE_CHECKS, *of_result, END_CHECK]


def parse_rounds(text: str) -> tuple[int, int]:
    """`A-B` or `N`, rounds from 1.  Raises UnavailableError for anything else: nothing was checked."""
    first, _, last = text.partition("-")
    if not first.isdecimal() or (last and not last.isdecimal()):
        raise UnavailableError(f"rounds {text!r}", "give a number, or two with a dash: 3-7")
    low, high = int(first), int(last or first)
    if not 1 <= low <= high:
        raise UnavailableError(f"rounds {text!r}", "rounds are numbered from 1, the smaller first")
    return low, high
