"""The collateral that a platform has issued, kept so that everybody who asks gets the same bytes.

Responsible for: issuing anew when the kept one has become old, once, however many ask.
Must not know:   what is in collateral, beyond when it was issued and by whom; who asks.

Beside the platform's keys: `collateral-sgx.json`, `collateral-tdx.json`, and `collateral.lock`, which is held while one
of them is looked at and replaced; files 0600.
"""

from __future__ import annotations

import fcntl
import json
import os
from datetime import UTC, datetime
from pathlib import Path

from coordinator.platform.collateral import ISSUE_FORM, issue_collateral
from coordinator.platform.files import write_durable
from coordinator.platform.pki import Pki
from protocol.attestation.collateral import MAX_COLLATERAL_BYTES, encode_collateral, parse_collateral
from protocol.attestation.tcb import Tee
from protocol.errors import VeriflockError

RENEWED_AFTER_S = 7 * 86_400
"""Long before the 30 days for which it is valid, so that what anybody keeps stays good for weeks."""


def current_collateral(directory: Path, pki: Pki, tee: Tee, now_s: int) -> bytes:
    """The kept collateral of this platform, issued anew when it is older than 7 days; JSON.

    directory: the platform's, which has to exist.
    now_s:     seconds since 1970.
    Raises: OSError.
    """
    path = directory / f"collateral-{tee.value}.json"
    lock = os.open(directory / "collateral.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        kept = _read(path)
        if kept is not None and _is_current(kept, pki, now_s):
            return kept
        issued = encode_collateral(issue_collateral(pki, tee, now_s))
        # If we die here: the old file or the new one is there, and whoever asks next gets it or a newer one.
        write_durable(path, issued)
        return issued
    finally:
        os.close(lock)


def _read(path: Path) -> bytes | None:
    if not path.exists():
        return None
    with path.open("rb") as file:
        return file.read(MAX_COLLATERAL_BYTES + 1)


def _is_current(kept: bytes, pki: Pki, now_s: int) -> bool:
    """Whether it is this platform's and young.  A damaged file is neither: nothing is lost with it."""
    try:
        collateral = parse_collateral(kept)
        issued = datetime.strptime(json.loads(collateral.tcb_info)["issueDate"], ISSUE_FORM).replace(tzinfo=UTC)
    except (VeriflockError, ValueError, KeyError, TypeError):
        return False
    return collateral.pck_certificate_chain == pki.chain and 0 <= now_s - int(issued.timestamp()) <= RENEWED_AFTER_S
