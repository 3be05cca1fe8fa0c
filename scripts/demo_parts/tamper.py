"""The act of the demo in which somebody changed one byte of the code that the enclave runs.

Responsible for: a copy of the source with that byte, what ledger and participant say of the enclave that starts from
                 it, and which file makes the difference.
Must not know:   how it is shown.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from coordinator.chain import RevertedError
from coordinator.platform.compare import compare_manifests
from coordinator.platform.manifest import build_image
from demo_parts.federation import ROOT, Federation, wait_for
from demo_parts.observe import Site, registered_enclaves
from protocol.enclaves import shown
from protocol.errors import RangeError, UnavailableError
from protocol.keys import address, to_hex

CODE = ("protocol", "coordinator/__init__.py", "coordinator/enclave")
"""What is measured of our own files."""
EXAMPLE = "coordinator/enclave/rules/coordinatewise.py"
CHECK_TIMEOUT_S = 60.0
NONCE_BLOCKS = 256
DOCSTRING = b'"""'
HEAD_BYTES = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Tampering:
    """What became of an enclave whose code nobody voted for."""

    file: str
    """Which file, in the copy."""
    offset: int
    """Which byte of it."""
    expected: str
    """The measurement that members voted for, hexadecimal."""
    actual: str
    """That of the enclave that started."""
    differences: list[str]
    """What the manifests say is different."""
    ledger: str
    """The contract's error on registration; empty where it registered the enclave."""
    participant: str
    """What a participant said that was shown the quote directly."""
    participant_code: int
    """Exit code of its check: 1 is a refusal."""
    registered: int
    """Enclaves on the ledger."""

    @property
    def is_refused(self) -> bool:
        """Whether ledger and participant both refused it, for its measurement."""
        by_ledger = "MeasurementNotAllowed" in self.ledger and self.registered == 0
        return by_ledger and self.participant_code == 1 and "measurement of the enclave" in self.participant


def byte_to_change(file: str) -> int:
    """Which byte of a measured file is changed: the first letter of the text at its head, whose case means nothing.

    So the enclave starts, and only its measurement tells.
    Raises: RangeError where this is no measured file of ours.
    """
    path = (ROOT / file).resolve()
    measured = [(ROOT / name).resolve() for name in CODE]
    if not any(path.is_relative_to(place) for place in measured) or path.suffix != ".py" or not path.is_file():
        raise RangeError("--tamper", expected=f"a measured file of ours, such as {EXAMPLE}", actual=file)
    content = path.read_bytes()
    letters = [at for at, byte in enumerate(content[:HEAD_BYTES]) if bytes([byte]).isalpha()]
    if not content.startswith(DOCSTRING) or not letters:
        raise RangeError("--tamper", expected="a file that begins with its docstring", actual=file)
    return letters[0]


def copy_tampered(file: str, target: Path) -> int:
    """The measured code in a new folder, with one byte of `file` changed; returns which.  Raises: RangeError."""
    offset = byte_to_change(file)
    copy_code(target)
    path = target / (ROOT / file).resolve().relative_to(ROOT)
    content = bytearray(path.read_bytes())
    content[offset] ^= 0x20  # upper case to lower, or the other way
    path.write_bytes(content)
    return offset


def copy_code(target: Path) -> None:
    """The measured code in a new folder."""
    for name in CODE:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target / name)


def observe_refusal(federation: Federation, file: str, offset: int) -> Tampering:
    """Waits for the enclave, has it registered and shown to a participant, and finds out what differs."""
    site = federation.site()
    try:
        wait_for("the enclave", lambda: site.enclave() is not None, federation.processes)
        refusal = _ledger_refusal(federation, site)
    finally:
        site.close()
    code, said = _participant_refusal(federation)
    charter = federation.charter.encode()
    ours, theirs = build_image(charter, source=ROOT), build_image(charter, source=federation.source)
    return Tampering(
        file=file,
        offset=offset,
        expected=federation.measurement.hex(),
        actual=theirs.measurement.hex(),
        differences=compare_manifests(ours.manifest, theirs.manifest),
        ledger=refusal,
        participant=said,
        participant_code=code,
        registered=len(registered_enclaves(federation.ledger)),
    )


def _ledger_refusal(federation: Federation, site: Site) -> str:
    """The contract's error on the registration that the coordinator tries too."""
    found, ledger = site.enclave(), federation.ledger
    if found is None:
        raise UnavailableError("the enclave is gone again", "look into the logs")
    quote, claims, hpke_key = found
    evidence, authority = shown(quote, claims, hpke_key)
    newest = ledger.chain.block("latest").number
    for number in range(newest, max(newest - NONCE_BLOCKS, -1), -1):
        if ledger.chain.block(number).hash == claims.nonce:
            call = ledger.register_call(evidence, authority, number)
            try:
                ledger.chain.simulate(call, address(federation.coordinator_key))
            except RevertedError as error:
                return str(error)
            return ""
    raise UnavailableError("the claims' nonce is no recent block's hash", "look into the logs")


def _participant_refusal(federation: Federation) -> tuple[int, str]:
    """(exit code, what it said) of a participant's own check of what the coordinator shows, in a process of its own."""
    command = [str(Path(sys.executable).with_name("veriflock")), "participant", "check", "--rpc", federation.rpc]
    command += ["--ledger", to_hex(federation.ledger.address), "--coordinator", federation.coordinator_url]
    command += ["--ca", str(federation.certificate), "--allow-simulated"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=CHECK_TIMEOUT_S, check=False)
    return done.returncode, " ".join((done.stderr or done.stdout).split())
