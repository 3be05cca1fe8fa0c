"""A round in a coordinator's store, without the coordinator."""

from __future__ import annotations

from coordinator.store import Store
from protocol.evidence import RoundEvidence
from tests.support.drafts import Draft


def publish(store: Store, draft: Draft, *, are_rows_public: bool = True) -> RoundEvidence:
    """What a coordinator keeps of a signed round."""
    published = draft.published()
    rows = {slot: store.write_blob(row) for slot, row in published.rows.items() if are_rows_public}
    evidence = RoundEvidence(
        round_id=draft.spec.round_id,
        result=draft.result().hash_struct(),
        base=store.write_blob(published.base or b""),
        set_leaves=tuple(draft.set_leaves),
        rows=tuple(rows.get(slot) for slot in range(len(draft.cohort))),
        aggregate=store.write_blob(published.aggregate or b""),
        model=store.write_blob(published.model or b""),
    )
    store.write_evidence(draft.spec.round_id, evidence.encode())
    return evidence
