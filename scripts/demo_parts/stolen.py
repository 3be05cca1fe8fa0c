"""The act of the demo in which the coordinator has copied the attestation key.

Responsible for: the rogue enclave and its quote, the false result that it signs, the proof by somebody who trusts
                 nobody, what it costs; and that a stranger with the same key gets nowhere.
Must not know:   how it is shown.

No quote tells this enclave from an honest one.  What tells is the result: it is wrong, whoever signed it.
"""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from coordinator.chain import Call, RevertedError
from coordinator.keyfile import new_key
from coordinator.ledger import LedgerState, blank_result
from coordinator.platform.keys import KEYS_FILE, read_keys
from coordinator.platform.manifest import build_image
from coordinator.platform.quoting import SimulatedAttester
from demo_parts.federation import Federation, wait_for
from demo_parts.observe import registered_enclaves
from demo_parts.tamper import copy_code
from protocol.disputes import CLAIM_WINDOW_S
from protocol.enclaves import Evidence, shown
from protocol.errors import UnavailableError
from protocol.hashing import sha256
from protocol.keys import address, sign, to_hex
from protocol.messages import Claims, Receipt, report_data
from protocol.openings import SetLeaf
from protocol.sealing import KEM_HYBRID

DISPUTE_TIMEOUT_S = 180.0
SET_FAMILY = 0
HPKE_KEY_BYTES = 1216

LIE_IN = "coordinator/enclave/rounds.py"
RECHECK = "    plain.recheck(rows, aggregation, spec.f, spec.m, found.at)\n"
"""The enclave's own second look, which would notice."""
AGGREGATED = "    found = account(rows, aggregation, leaves=recheck)\n"
LIE = "    aggregation.aggregate[:] *= -1  # the model walks backwards\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusals:
    """What a stranger with the same key is told."""

    registration: str
    """The ledger's error when it registers its own enclave."""
    proposal: str
    """The ledger's error when its enclave's result is proposed."""
    receipt: str
    """The error when a receipt of its enclave is shown as broken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Theft:
    """The whole act."""

    round: int
    """The round that the rogue enclave signed."""
    enclave: str
    """Its id; the ledger registered it."""
    measurement: str
    """The one that members voted for, which its quote says."""
    actual: str
    """The measurement of the code that ran."""
    counted: int
    """Updates that participants sealed to it: its quote convinced them."""
    stranger: Refusals
    """What the same key is worth to somebody else."""
    proof: dict[str, Any]
    """What `veriflock dispute` said."""
    execution: dict[str, Any]
    """What `veriflock dispute --execute` said."""
    state: str
    """Of the round, afterwards."""
    model_stands: bool
    """Whether the ledger's model is that of before."""
    suspended: bool
    """Whether the measurement may not aggregate any more."""
    bond_before_wei: int
    """The coordinator's, before the proof."""
    bond_after_wei: int
    """After the verdict was executed."""

    def to_map(self) -> dict[str, Any]:
        """For record.json: amounts are texts."""
        values = asdict(self)
        wei = {name: str(value) for name, value in values.items() if name.endswith("_wei")}
        return {**values, **wei, "refuted": self.is_refuted}

    @property
    def is_refuted(self) -> bool:
        """Whether the lie had no effect, and a price."""
        paid = self.bond_before_wei > self.bond_after_wei == 0
        return self.state == "void" and self.model_stands and self.suspended and paid


def perform(federation: Federation, collect: Callable[[int], None]) -> Theft:
    """The act, on a federation whose coordinator and participants have stopped.

    collect: waits until participants have their receipts of a round.
    """
    ledger, host = federation.ledger, address(federation.coordinator_key)
    known, model, round_id = len(registered_enclaves(ledger)), ledger.model(), ledger.current_round() + 1
    socket_path, actual = _start_rogue(federation)
    federation.top_up_bond()
    federation.change_platform(socket_path)
    federation.start_coordinator(last_round=round_id)
    federation.resume_participants()
    processes = federation.processes
    wait_for("the rogue enclave's registration", lambda: len(registered_enclaves(ledger)) > known, processes)
    wait_for(f"round {round_id}", lambda: ledger.current_round() >= round_id, processes)
    stranger = _stranger(federation, round_id)
    collect(round_id)
    federation.move_clock(ledger.opened(round_id).value.deadlines[2] + 1)
    wait_for("the false result", lambda: ledger.state_of(round_id) is LedgerState.PROPOSED, processes)
    proposed, bond = ledger.proposed(round_id), ledger.bond(host)
    prover = federation.work / "prover.key"
    federation.new_account(prover)
    proof = _dispute(federation, round_id, prover)
    federation.stop_participants()
    federation.move_clock(federation.chain.now() + CLAIM_WINDOW_S + 1)
    execution = _dispute(federation, round_id, prover, "--execute")
    federation.stop_coordinator()
    allowed = _read(federation, "Consortium", ledger.consortium, "isMeasurementAllowed", federation.measurement)
    return Theft(
        round=round_id,
        enclave="0x" + proposed.value.enclave.hex(),
        measurement="0x" + federation.measurement.hex(),
        actual="0x" + actual.hex(),
        counted=proposed.value.counted.bit_count(),
        stranger=stranger,
        proof=proof,
        execution=execution,
        state=ledger.state_of(round_id).name.lower(),
        model_stands=ledger.model() == model,
        suspended=not allowed,
        bond_before_wei=bond,
        bond_after_wei=ledger.bond(host),
    )


def _start_rogue(federation: Federation) -> tuple[Path, bytes]:
    """(socket, measurement of what really runs) of a platform with the copied key and code that lies."""
    folder, source = federation.work / "stolen", federation.work / "rogue-code"
    folder.mkdir(mode=0o700)
    shutil.copy(federation.work / "platform" / KEYS_FILE, folder / KEYS_FILE)  # the theft
    copy_code(source)
    path = source / LIE_IN
    code = path.read_text(encoding="utf-8")
    if code.count(RECHECK) != 1 or code.count(AGGREGATED) != 1:
        raise UnavailableError(f"{LIE_IN} is not what this act changes", "bring demo_parts/stolen.py up to date")
    path.write_text(code.replace(RECHECK, "").replace(AGGREGATED, LIE + AGGREGATED), encoding="utf-8")
    socket_path = federation.work / "rogue.sock"
    at = ("--dir", str(folder), "--socket", str(socket_path), "--source", str(source))
    script = Path(__file__).with_name("rogue_platform.py")
    federation.processes.start("rogue-platform", *at, "--measurement", federation.measurement.hex(), script=script)
    wait_for("the rogue platform", socket_path.exists, federation.processes)
    return socket_path, build_image(federation.charter.encode(), source=source).measurement


def _stranger(federation: Federation, round_id: int) -> Refusals:
    """Somebody who is no coordinator has the key too, and makes an enclave with a perfect quote."""
    ledger, key = federation.ledger, new_key()
    stranger = federation.new_account(federation.work / "stranger.key")
    evidence, authority, block = _perfect_quote(federation, key, operator=stranger)
    registration = _refusal(federation, ledger.register_call(evidence, authority, block), stranger)
    opened, domain = ledger.opened(round_id), ledger.domain
    spec = opened.value
    own = blank_result(spec)
    call = ledger.propose_call(spec, own, bytes(32 * len(opened.cohort)), sign(key, own.digest(domain)))
    proposal = _refusal(federation, call, stranger)
    receipt = Receipt(
        federation=spec.federation, round_id=round_id, slot=0, update=bytes([1]) * 32, enclave=spec.enclave
    )
    signature = sign(key, receipt.digest(domain))
    unopened = SetLeaf(slot=0, slots=len(opened.cohort), data=b"", path=())
    arguments = (spec, own, list(opened.cohort), receipt, signature, unopened)
    proof = federation.chain.contracts["SetPredicates"].call_data("receiptBroken", *arguments)
    shown_as_broken = federation.chain.contracts["Disputes"].call_data("refute", SET_FAMILY, proof, bytes(32))
    call = Call(what="dispute", to=ledger.disputes, data=shown_as_broken)
    return Refusals(registration=registration, proposal=proposal, receipt=_refusal(federation, call, stranger))


def _perfect_quote(federation: Federation, key: bytes, *, operator: bytes) -> tuple[Evidence, bytes, int]:
    """(evidence, its authority, block of its nonce) of an enclave that does not even run."""
    keys, ledger = read_keys(federation.work / "stolen"), federation.ledger
    if keys is None:
        raise UnavailableError("the copied key is gone")
    newest, hpke_key = federation.chain.block("latest"), secrets.token_bytes(HPKE_KEY_BYTES)
    claims = Claims(
        federation=ledger.federation,
        chain_id=ledger.identity.chain_id,
        ledger=ledger.address,
        operator=operator,
        kem=KEM_HYBRID,
        hpke_key=sha256(hpke_key),
        policy=sha256(federation.charter.encode()),
        nonce=newest.hash,
        state_version=0,
        state_hash=bytes(32),
        protections=0xFF,
    )
    attester = SimulatedAttester(pki=keys.pki, attestation_key=keys.attestation_key, measurement=federation.measurement)
    quote = attester.quote(report_data(signer=address(key), claims=claims.sha256(), epoch=1))
    return *shown(quote, claims, hpke_key), newest.number


def _refusal(federation: Federation, call: Call, sender: bytes) -> str:
    try:
        federation.chain.simulate(call, sender)
    except RevertedError as error:
        return str(error)
    raise UnavailableError(f"{call.what} by a stranger went through", "this must never be seen")


def _read(federation: Federation, contract: str, at: bytes, function: str, *arguments: object) -> Any:
    (value,) = federation.chain.call(contract, at, function, *arguments)
    return value


def _dispute(federation: Federation, round_id: int, key: Path, *more: str) -> dict[str, Any]:
    """What `veriflock dispute` says, a process that knows the chain's address and the public artifacts."""
    command = [str(Path(sys.executable).with_name("veriflock")), "dispute", "--rpc", federation.rpc]
    command += ["--ledger", to_hex(federation.ledger.address), "--coordinator", federation.coordinator_url]
    command += ["--ca", str(federation.certificate), "--round", str(round_id), "--key", str(key), "--format", "json"]
    done = subprocess.run([*command, *more], capture_output=True, text=True, timeout=DISPUTE_TIMEOUT_S, check=False)
    try:
        said: dict[str, Any] = json.loads(done.stdout)
    except ValueError as error:
        raise UnavailableError(f"veriflock dispute said nothing: {done.stderr.strip()}") from error
    return said
