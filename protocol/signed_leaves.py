"""The signed Update that a counted set leaf stands for.

Responsible for: the Update of a leaf, all else of which follows from the opened spec; whether its signature is there.
Must not know:   which slots count, or what follows where a signature is wrong.

Spec: docs/protocol.md section 3.3.  Twin: contracts/src/libraries/SignedLeaves.sol.
"""

from __future__ import annotations

from protocol.errors import SignatureError
from protocol.keys import Address, recover
from protocol.messages import Domain, Spec, Update
from protocol.trees import SET_LEAF_COUNTED_BYTES, parse_set_leaf


def update_of(spec: Spec, participant: Address, *, root: bytes, samples: int) -> Update:
    """What a participant signs: of the round that was opened with this spec, for its enclave."""
    return Update(
        federation=spec.federation,
        round_id=spec.round_id,
        spec=spec.hash_struct(),
        enclave=spec.enclave,
        participant=participant,
        update_root=root,
        samples=samples,
    )


def is_signed(spec: Spec, domain: Domain, participant: Address, data: bytes) -> bool:
    """Whether a set leaf is a counted one (101 bytes) and has the participant's signature of its Update, low s."""
    if len(data) != SET_LEAF_COUNTED_BYTES:
        return False
    leaf = parse_set_leaf(data)
    update = update_of(spec, participant, root=leaf.update_root, samples=leaf.samples)
    try:
        return recover(update.digest(domain), leaf.signature) == participant
    except SignatureError:
        return False
