"""Commitments on the ledger: when a round's are complete, and which of them a signed result breaks.

Responsible for: reading them at a block after which none can come, and keeping back what breaks one.
Must not know:   the enclave, the store, or how a result is proposed.

Spec: docs/protocol.md section 5.2.  Twin: `commitmentBroken` in contracts/src/predicates/SetPredicates.sol.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from coordinator.ledger import Ledger
from coordinator.log import log_event
from coordinator.readiness import ENDS_LATE, NotYetError
from protocol.errors import UnavailableError
from protocol.events import RoundOpened
from protocol.messages import Update
from protocol.outcomes import ATTESTED_ONLY, Reason
from protocol.trees import SetLeaf, parse_set_leaf

NEED_COMMITMENT = (Reason.UNDELIVERED, Reason.UNOPENED)
"""Reasons that speak of a commitment: without one they are a lie."""


class Commitments:
    """The commitments of one coordinator's rounds."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._kept_back = 0
        """The last round whose result was signed and must not be proposed."""

    def read(self, opened: RoundOpened) -> dict[int, bytes]:
        """A round's by slot, as of the newest block.

        Raises: UnavailableError while a block with another one in it can still come.
        """
        block, commit = self._ledger.chain.block("latest"), opened.value.deadlines[2]
        if block.timestamp <= commit:
            what = f"the newest block is of {block.timestamp}, commitments are complete after {commit}"
            raise UnavailableError(what, "the next block is waited for")
        return self._ledger.commitments(opened.round_id, opened.cohort, block.number)

    def check(self, opened: RoundOpened, set_leaves: Sequence[bytes]) -> None:
        """The last look before a result is proposed: one that breaks a commitment costs the bond, a late one a tenth.

        It can be one when the chain was reorganised after the enclave had signed.
        Raises: NotYetError when it is, and says so once, loudly; UnavailableError.
        """
        broken = broken_slots(opened, set_leaves, self.read(opened))
        if not broken:
            return
        if self._kept_back != opened.round_id:
            self._kept_back = opened.round_id
            log_event(
                "result_kept_back",
                level=logging.ERROR,
                round=opened.round_id,
                slots=broken,
                reason="the signed result is not what these participants have committed on the ledger by now",
                follows="the round is voided when it is late, and a tenth of the bond goes to the treasury",
            )
        slots = ", ".join(map(str, broken))
        raise NotYetError(f"the signed result breaks the commitments of slots {slots} and is not proposed", ENDS_LATE)


def broken_slots(opened: RoundOpened, set_leaves: Sequence[bytes], commitments: Mapping[int, bytes]) -> list[int]:
    """The slots for which anybody could take the bond, were a result with these set leaves proposed."""
    leaves = map(parse_set_leaf, set_leaves)
    return [slot for slot, leaf in enumerate(leaves) if _is_broken(opened, slot, leaf, commitments.get(slot))]


def _is_broken(opened: RoundOpened, slot: int, leaf: SetLeaf, commitment: bytes | None) -> bool:
    if not leaf.is_counted:
        return leaf.reason in NEED_COMMITMENT if commitment is None else leaf.reason not in ATTESTED_ONLY
    update = Update(
        federation=opened.value.federation,
        round_id=opened.round_id,
        spec=opened.spec,
        enclave=opened.enclave,
        participant=opened.cohort[slot],
        update_root=leaf.update_root,
        samples=leaf.samples,
    )
    return commitment is not None and update.hash_struct() != commitment
