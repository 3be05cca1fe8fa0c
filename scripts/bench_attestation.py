"""How long it takes to verify evidence, once imported: genuine quotes with collateral, and a Nitro document.

Prints a table: median and slowest of many runs, and what one signature costs, which is what bounds it.

    python scripts/bench_attestation.py [--runs 300]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from protocol.attestation.certificates import parse_certificate, parse_pem_chain, verify_ecdsa
from protocol.attestation.collateral import parse_collateral
from protocol.attestation.nitro import verify_nitro
from protocol.attestation.trust import HARDWARE_TRUST_STORE
from protocol.attestation.verify import insecure_verify_quote

GENUINE = Path(__file__).resolve().parent.parent / "tests" / "vectors" / "quotes"
INTEL_NOW_S = 1_750_500_000
"""2025-06-21: inside the windows of both of Intel's quotes."""
NITRO_NOW_S = 1_766_668_537
"""2025-12-25T13:15:37Z, the document's own time."""


def times_ms(work: Callable[[], object], runs: int) -> list[float]:
    """Milliseconds of each run, after one that is not counted."""
    work()
    found = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        found.append(1000 * (time.perf_counter() - start))
    return found


def verify_intel(name: str) -> Callable[[], object]:
    """A run of steps 1 to 9 on a genuine quote, its collateral parsed anew each time."""
    quote = (GENUINE / name).read_bytes()
    text = (GENUINE / f"{name}_collateral.json").read_bytes()
    return lambda: insecure_verify_quote(
        quote,
        collateral=parse_collateral(text),
        report_data=None,
        trust_store=HARDWARE_TRUST_STORE,
        now_s=INTEL_NOW_S,
    )


def one_signature() -> Callable[[], object]:
    """The PCK leaf's signature by its CA."""
    quote = (GENUINE / "sgx_quote").read_bytes()
    leaf, authority, _ = map(parse_certificate, parse_pem_chain(quote[quote.index(b"-----BEGIN") :], count=3))
    return lambda: verify_ecdsa(authority.public_key, leaf.signature, leaf.tbs)


def main() -> None:
    """The table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=300)
    runs = parser.parse_args().runs
    document = (GENUINE / "nitro_attestation.bin").read_bytes()
    cases: dict[str, Callable[[], object]] = {
        "SGX quote v3 with collateral": verify_intel("sgx_quote"),
        "TDX quote v4 with collateral": verify_intel("tdx_quote"),
        "Nitro document": lambda: verify_nitro(
            document, trust_store=HARDWARE_TRUST_STORE, now_s=NITRO_NOW_S, nonce=None
        ),
        "one P-256 signature": one_signature(),
    }
    print("| what | median ms | slowest ms |\n| --- | ---: | ---: |")
    for name, work in cases.items():
        found = times_ms(work, runs)
        print(f"| {name} | {statistics.median(found):.2f} | {max(found):.2f} |")


if __name__ == "__main__":
    main()
