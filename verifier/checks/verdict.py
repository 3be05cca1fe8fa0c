"""Check 27: a round that was refuted on the ledger, judged again.

Responsible for: whether the result was wrong, whether the measurement had to be suspended, who was paid what.
Must not know:   how a proof is found; no EVM is run: results are replayed, and receipts and signatures are looked at.

A wrong result is no fault of the federation once it is refuted: what counts then is that the verdict is right.  So the
result's own checks are made here, and what they refute is what upholds the verdict.

Twin: contracts/src/Disputes.sol.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from protocol import events as e
from protocol.disputes import CLAIM_WINDOW_S, LEAVES_WINDOW_S, Predicate, Verdict, proof_commitment
from protocol.errors import UnavailableError, VerificationError, VeriflockError
from protocol.keys import Address, to_hex
from protocol.signed_leaves import is_signed
from protocol.trees import set_root
from verifier.checks.opening import expect
from verifier.checks.proofs import is_enclaves, repeat_proof
from verifier.checks.replaying import PublishedError
from verifier.state import Entry, Refutation
from verifier.world import Case

NOT_ENCLAVES = (13, 18, 25)
"""Checks of a result whose failing upholds no proof that a replay repeats: of signature and payouts no predicate knows
anything, and a commitment that was not honoured is the host's doing, with a proof of its own."""

CaseCheck = Callable[[Case], tuple[Any, str]]


def check_27_verdict(case: Case, checks: Iterable[tuple[int, str, CaseCheck]]) -> tuple[None, str]:
    """The verdict is right: a check of the result refutes it too, or receipts, commitments and signatures do.

    checks: those of the result.  What only contradicts published bytes counts for nothing: anybody can publish those.
    """
    known = case.world.state.ledger.verdicts.get(case.spec.round_id)
    if known is None:
        raise VerificationError("verdict on a refuted round", expected="one", actual="none")
    replayed = _repeat(case, checks) if case.round.proposal is not None else Replayed(refuting={}, unknown={})
    why = _judge(case, known, replayed)
    _check_suspended(case, known.entry, is_enclaves=is_enclaves(case, known.entry, known.value.predicate))
    for place, entry in enumerate((known.entry, *known.replacements)):
        _check_prover(case, known, place, entry)
        if place:
            _check_shown(case, entry, replayed)
    for entry in case.world.entries:
        if isinstance(entry.event, e.EnclaveAccused) and entry.event.round_id == case.spec.round_id:
            _check_accused(case, known, entry, entry.event, replayed)
    return None, f"F{known.value.predicate} by {to_hex(known.value.prover)}: {why}; {_check_executed(case, known)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What the checks of the result say, by their numbers."""

    refuting: Mapping[int, str]
    unknown: Mapping[int, str]
    """Why they could not tell."""


def _judge(case: Case, known: Refutation, replayed: Replayed) -> str:
    """Why the verdict is right."""
    refuting, unknown = list(replayed.refuting.values()), list(replayed.unknown.values())
    wrong: VeriflockError | None = None
    if known.value.predicate in (Predicate.PROMISE, Predicate.FORM, Predicate.TWICE):
        try:
            shown = repeat_proof(case, known.entry, known.value.predicate)
            refuting = [shown, *refuting] if shown else refuting
        except VeriflockError as error:
            wrong = error
        except UnavailableError as error:
            unknown.append(str(error))
    if refuting:
        return "; ".join(refuting)
    if wrong is not None:
        raise wrong
    if unknown:
        raise UnavailableError(f"nothing that can be seen refutes the result, and {unknown[0]}")
    what = f"verdict F{known.value.predicate} against {to_hex(known.value.coordinator)}"
    raise VerificationError(what, expected="something wrong with the result", actual="every check of it holds")


def _repeat(case: Case, checks: Iterable[tuple[int, str, CaseCheck]]) -> Replayed:
    refuting, unknown = {}, {}
    for number, name, check in checks:
        try:
            check(case)
        except PublishedError as error:
            unknown[number] = f"what is published is not what was signed (check {number}: {error})"
        except VeriflockError as error:
            refuting[number] = f"check {number} {name} refutes the result too: {error}"
        except (UnavailableError, OSError) as error:
            unknown[number] = f"check {number} could not tell: {error}"
        except Exception as error:  # as in Report.run: a hostile artifact must not decide
            unknown[number] = f"check {number} failed in itself: {type(error).__name__}: {error}"
    return Replayed(refuting=refuting, unknown=unknown)


def _check_shown(case: Case, shown: Entry, replayed: Replayed, predicate: int | None = None) -> None:
    """A proof after the first one holds too: by its own facts, or because a replay refutes what it is about."""
    if repeat_proof(case, shown, predicate):
        return
    numbers = (set(replayed.refuting) | set(replayed.unknown)) - set(NOT_ENCLAVES)
    if numbers & set(replayed.refuting):
        return
    what = f"proof of {type(shown.event).__name__}"
    if numbers:
        raise UnavailableError(f"{what}: nothing that can be seen upholds it, and {replayed.unknown[min(numbers)]}")
    raise VerificationError(what, expected="something wrong with the result", actual="every check of it holds")


def _check_accused(case: Case, known: Refutation, entry: Entry, event: e.EnclaveAccused, replayed: Replayed) -> None:
    """While the verdict waited, somebody showed what no host can have caused; its measurement was suspended."""
    case.world.calls.hold(entry.log, event)
    expect("verdict of an accusation", _subject(known.value), _subject(_verdict_of(case, entry)))
    waits_until = None if known.executed is None else known.executed.log.place
    if entry.log.place < known.entry.log.place or (waits_until is not None and entry.log.place > waits_until):
        raise VerificationError("place of an accusation", expected="while the verdict waits", actual=entry.log.place)
    _check_shown(case, entry, replayed, event.predicate)
    if not is_enclaves(case, entry, event.predicate):
        raise VerificationError("an accusation of the enclave", expected="of what no host can cause", actual=event)
    _check_suspended(case, entry, is_enclaves=True)


def _verdict_of(case: Case, entry: Entry) -> Verdict:
    """That a claim or an accusation names."""
    verdict: Verdict = case.world.calls.call(entry.log).arguments["verdict"]
    return verdict


def _check_suspended(case: Case, shown: Entry, *, is_enclaves: bool) -> None:
    """The measurement was suspended exactly where an enclave, and no host, can be at fault."""
    enclave = case.round.before.enclaves.get(case.spec.enclave)
    if enclave is None:
        return  # check 8 says so
    must = [enclave.event.measurement] if is_enclaves else []
    suspended = [
        entry.event.measurement
        for entry in case.world.entries
        if isinstance(entry.event, e.MeasurementSuspended) and entry.log.transaction == shown.log.transaction
    ]
    expect("measurements suspended", must, suspended)


def _check_prover(case: Case, known: Refutation, place: int, entry: Entry) -> None:
    """Who leads is who sent it, by a pre-commitment that is older than the leading one; nothing else changed."""
    verdict, event = known.value, entry.event
    if not isinstance(event, e.RoundRefuted | e.ProverReplaced):
        raise VerificationError("an event about a verdict", actual=type(event).__name__)
    case.world.calls.hold(entry.log, event)
    call = case.world.calls.call(entry.log)
    salt = call.arguments["salt"]  # zero: there is none
    commitment = proof_commitment(event.prover, call.arguments["proof"], salt)
    block = case.world.state.disputes.commitments.get(commitment) if any(salt) else None
    is_older = block is not None and block < entry.log.block_number  # in the same block it may be a copy
    since = block if is_older else entry.log.block_number
    expect("pre-commitment of the prover", since, event.verdict.committed_at)
    expect("prover of the verdict", to_hex(event.prover), to_hex(event.verdict.prover))
    expect("what the verdict is about", _subject(verdict), _subject(event.verdict))
    if is_older:
        _hold_commitment(case, commitment)
    if place == 0:
        return
    last = (known.entry, *known.replacements)[place - 1].event
    leading = last.verdict.committed_at if isinstance(last, e.RoundRefuted | e.ProverReplaced) else 0
    expect("verdict of a claim", _subject(verdict), _subject(_verdict_of(case, entry)))
    if event.verdict.committed_at >= leading:
        raise VerificationError("older pre-commitment", expected=f"before {leading}", actual=event.verdict.committed_at)
    if entry.time_s > verdict.decided_at + CLAIM_WINDOW_S:
        latest = verdict.decided_at + CLAIM_WINDOW_S
        raise VerificationError("time of a claim", expected=f"up to {latest}", actual=entry.time_s)


def _hold_commitment(case: Case, commitment: bytes) -> None:
    """Somebody sent it.  Whoever did, it names its prover; so it is as good where a contract that is not ours did."""
    for entry in case.world.entries:
        if isinstance(entry.event, e.ProofCommitted) and entry.event.commitment == commitment:
            with contextlib.suppress(UnavailableError):
                case.world.calls.hold(entry.log, entry.event)


def _subject(verdict: Verdict) -> Verdict:
    """All but who leads."""
    return replace(verdict, prover=bytes(20), committed_at=0)


def _check_executed(case: Case, known: Refutation) -> str:
    """The pot was shared out as it must be, and not before anybody could claim it."""
    if known.executed is None:
        return f"pot {known.value.pot} wei, not shared out yet"
    event, verdict = known.executed.event, known.value
    if not isinstance(event, e.VerdictExecuted):
        raise VerificationError("an event about a verdict", actual=type(event).__name__)
    leaves = _shown_leaves(case, known.executed)
    is_without = not leaves and any(verdict.result)
    earliest = verdict.decided_at + (LEAVES_WINDOW_S if is_without else CLAIM_WINDOW_S) + 1
    if known.executed.time_s < earliest:
        raise VerificationError("time of sharing out", expected=f"from {earliest}", actual=known.executed.time_s)
    signers = _signers(case, leaves)
    reward, share, burnt = verdict.split(len(signers))
    expected = e.VerdictExecuted(
        round_id=verdict.round_id,
        prover=verdict.prover,
        coordinator=verdict.coordinator,
        reward=reward,
        signers=tuple(signers),
        share=share,
        burnt=burnt,
    )
    expect("what became of the pot", expected, event)
    return f"pot {verdict.pot} wei: {reward} to the prover, {share} to each of {len(signers)} signers, {burnt} burnt"


def _shown_leaves(case: Case, executed: Entry) -> Sequence[bytes]:
    """The set leaves that were shown on sharing out, those of the refuted result; none where none had to be."""
    call = case.world.calls.call(executed.log)
    leaves: Sequence[bytes] = call.arguments["setLeaves"]
    if leaves:
        expect("set root of the leaves shown", case.result.set_root, set_root(leaves))
        expect("number of leaves shown", len(case.opening.cohort), len(leaves))
    return leaves


def _signers(case: Case, leaves: Sequence[bytes]) -> list[Address]:
    """Slots whose leaf carries their signature, ascending."""
    spec, domain, cohort = case.spec, case.world.deployment.domain, case.opening.cohort
    return [cohort[slot] for slot, data in enumerate(leaves) if is_signed(spec, domain, cohort[slot], data)]
