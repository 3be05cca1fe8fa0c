"""Fuzzing everything that reads evidence: quotes, certificates, CRLs, collateral, Nitro documents.

Responsible for: one function for each reader, the promise that each must keep, and a fuzzer's run with its corpus.
Must not know:   what any input means.

The promise: whatever the bytes, a reader returns or raises an error of ours (those that verify: VerificationError and
nothing else), within a second of processor time, without growing by more than 50 MB.

    python scripts/fuzz_evidence.py --seconds 3600        (needs: pip install atheris)

The first byte of an input chooses the reader, the rest is what it reads.  New inputs that reach new code are kept in
tests/vectors/fuzz/, minimised at the end; a test reads all of them again, without the fuzzer.
"""

from __future__ import annotations

import contextlib
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from protocol.attestation.certificates import Suite, parse_certificate, parse_pem_chain
from protocol.attestation.collateral import parse_collateral
from protocol.attestation.crls import parse_crl
from protocol.attestation.nitro import verify_nitro
from protocol.attestation.pck import parse_pck_extension
from protocol.attestation.policy import parse_policy
from protocol.attestation.quote import quote_fields
from protocol.attestation.tcb import parse_qe_identity, parse_tcb_info
from protocol.attestation.trust import HARDWARE_TRUST_STORE
from protocol.attestation.verify import examine, insecure_verify_quote
from protocol.errors import VerificationError, VeriflockError
from protocol.hashing import sha256

ROOT = Path(__file__).resolve().parent.parent
CORPUS = ROOT / "tests" / "vectors" / "fuzz"
GENUINE = ROOT / "tests" / "vectors" / "quotes"

MAX_INPUT_BYTES = 1 << 16
MAX_SECONDS = 1.0
MAX_GROWTH_KIB = 50 * 1024
NOW_S = 1_750_500_000
"""2025-06-21: inside the windows of the genuine SGX and TDX evidence, so that nothing stops at a date."""


def _examine_quote(data: bytes) -> None:
    examine(data, collateral_json=None, nonce=None, trust_store=HARDWARE_TRUST_STORE, now_s=NOW_S)


def _examine_with_collateral(name: str) -> Callable[[bytes], object]:
    """A genuine quote with any collateral: the steps behind the signatures of the quote."""
    quote = (GENUINE / name).read_bytes()
    return lambda data: examine(quote, collateral_json=data, nonce=None, trust_store=HARDWARE_TRUST_STORE, now_s=NOW_S)


def _verify_quote(data: bytes) -> None:
    insecure_verify_quote(data, collateral=None, report_data=None, trust_store=HARDWARE_TRUST_STORE, now_s=NOW_S)


def _verify_nitro(data: bytes) -> None:
    verify_nitro(data, trust_store=HARDWARE_TRUST_STORE, now_s=NOW_S, nonce=None)


READERS: tuple[tuple[str, Callable[[bytes], object], type[VeriflockError]], ...] = (
    ("quote", _verify_quote, VerificationError),
    ("nitro", _verify_nitro, VerificationError),
    ("examine", _examine_quote, VerificationError),
    ("sgx-collateral", _examine_with_collateral("sgx_quote"), VerificationError),
    ("tdx-collateral", _examine_with_collateral("tdx_quote"), VerificationError),
    ("inspect", quote_fields, VeriflockError),
    ("certificate", parse_certificate, VeriflockError),
    ("certificate-p384", lambda data: parse_certificate(data, Suite.P384_SHA384), VeriflockError),
    ("pem", lambda data: parse_pem_chain(data, count=3), VeriflockError),
    ("crl", parse_crl, VeriflockError),
    ("pck", parse_pck_extension, VeriflockError),
    ("collateral", parse_collateral, VeriflockError),
    ("tcb-info", parse_tcb_info, VeriflockError),
    ("qe-identity", parse_qe_identity, VeriflockError),
    ("policy", parse_policy, VeriflockError),
)
"""Name, reader, and the only errors that it may raise; the index is an input's first byte (modulo their number)."""


def read_one(data: bytes) -> None:
    """Reads one input and holds the reader to the promise.

    Raises: whatever else than its errors the reader raised; RuntimeError when it was slow or large.
    """
    if not data:
        return
    name, reader, allowed = READERS[data[0] % len(READERS)]
    before, start = _peak_kib(), time.process_time()
    with contextlib.suppress(allowed):
        reader(data[1:])
    seconds, growth = time.process_time() - start, _peak_kib() - before
    if seconds > MAX_SECONDS:
        raise RuntimeError(f"{name} took {seconds:.2f} s for {len(data)} bytes")
    if growth > MAX_GROWTH_KIB:
        raise RuntimeError(f"{name} grew by {growth} KiB for {len(data)} bytes")


def _peak_kib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def seeds() -> list[bytes]:
    """Genuine evidence, whole and in its parts, each with the byte of every reader that it is for."""
    sgx, tdx, nitro = ((GENUINE / name).read_bytes() for name in ("sgx_quote", "tdx_quote", "nitro_attestation.bin"))
    found = [_for("quote", sgx), _for("quote", tdx), _for("examine", sgx), _for("inspect", sgx), _for("inspect", tdx)]
    found += [_for("nitro", nitro), _for("nitro", nitro[4:]), _for("examine", nitro)]
    for name in ("sgx", "tdx"):
        text = (GENUINE / f"{name}_quote_collateral.json").read_bytes()
        value = json.loads(text)
        found += [_for("collateral", text), _for(f"{name}-collateral", text)]
        found += [_for("crl", bytes.fromhex(value[key])) for key in ("pck_crl", "root_ca_crl")]
        found += [_for("tcb-info", value["tcb_info"].encode()), _for("qe-identity", value["qe_identity"].encode())]
    pem = sgx[sgx.index(b"-----BEGIN") :]
    found.append(_for("pem", pem))
    leaf, *others = parse_pem_chain(pem, count=3)
    found += [_for("certificate", der) for der in (leaf, *others)]
    extension = parse_certificate(leaf).sgx_extension
    if extension is not None:
        found.append(_for("pck", extension))
    found += [_for("certificate-p384", der) for der in _nitro_certificates(nitro)]
    found.append(_for("policy", b'{"accept_statuses": ["UpToDate"]}'))
    return found


def _nitro_certificates(document: bytes) -> list[bytes]:
    """The P-384 certificates in a Nitro document: DER of up to 1024 bytes behind a CBOR byte string's head."""
    parts = document.split(b"\x59")
    found = [part[2 : 2 + int.from_bytes(part[:2])] for part in parts if part[2:4] == b"\x30\x82"]
    return [der for der in found if len(der) == int.from_bytes(der[2:4]) + 4]


def _for(name: str, data: bytes) -> bytes:
    (index,) = (index for index, reader in enumerate(READERS) if reader[0] == name)
    return bytes([index]) + data


def _libfuzzer(arguments: list[str]) -> None:
    """The fuzzer's own process, as `PROGRAM ARGUMENTS...`: never returns."""
    import atheris  # here, because nothing else of the project needs it

    atheris.instrument_all()
    atheris.Setup(arguments, read_one)
    atheris.Fuzz()


def _program(folder: Path) -> Path:
    """What libFuzzer starts again for each part of its work."""
    program = folder / "fuzz.sh"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{Path(__file__).resolve()}" --libfuzzer "$0" "$@"\n')
    program.chmod(0o700)
    return program


def main(
    seconds: Annotated[int, typer.Option(help="How long to fuzz.")] = 60,
    work: Annotated[Path | None, typer.Option(help="Where inputs are collected; default: a temporary folder.")] = None,
) -> None:
    """Fuzz all readers, then keep the fewest inputs that reach all that was reached."""
    folder = (work or Path(tempfile.mkdtemp(prefix="veriflock-fuzz-"))).resolve()
    found, kept = folder / "found", folder / "kept"
    found.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir()
    CORPUS.mkdir(parents=True, exist_ok=True)
    for data in [*seeds(), *(path.read_bytes() for path in CORPUS.iterdir())]:
        (found / sha256(data).hex()[:32]).write_bytes(data)
    program = _program(folder)
    limits = [f"-max_total_time={seconds}", f"-max_len={MAX_INPUT_BYTES}", "-timeout=120", "-print_final_stats=1"]
    subprocess.run([program, *limits, found], check=True, cwd=folder)
    subprocess.run([program, "-merge=1", kept, found], check=True, cwd=folder)
    shutil.rmtree(CORPUS)
    CORPUS.mkdir()
    for path in kept.iterdir():
        data = path.read_bytes()
        (CORPUS / sha256(data).hex()[:32]).write_bytes(data)
    typer.echo(f"{len(list(CORPUS.iterdir()))} inputs kept")
    if work is None:
        shutil.rmtree(folder)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--libfuzzer"]:
        _libfuzzer(sys.argv[2:])
    else:
        typer.run(main)
