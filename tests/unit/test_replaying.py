"""What check 19 replays, what it can't tell, and what no enclave may have signed."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from protocol_examples import SPEC

from protocol.errors import RangeError, SpecMismatchError, UnavailableError, UnknownNameError, VerificationError
from protocol.fixedpoint import encode_model
from protocol.hashing import sha256
from protocol.outcomes import bitmap
from protocol.rulebook import encode_chain, parse_chain
from verifier.checks.replaying import check_19_aggregate, check_20_selection

ONE = 1 << 15
SLOTS = [0, 2, 5]
ROWS = np.array([[0, 7], [3, 7], [9, 7]], dtype=np.int16)


def case(chain: str, aggregate: tuple[int, int] = (0, 0), /, **changes: Any) -> Any:
    """Three counted rows, and an aggregate that was published: all that these checks look at of a round."""
    raw = encode_model(np.array(aggregate, dtype=np.int32))
    parsed = {"rule": int(parse_chain(chain).number), "chain": encode_chain(chain)}
    values = {**parsed, "f": 1, "m": 0, "min_counted": 3, "optimizer": 0, "dimension": 2, **changes}
    return SimpleNamespace(
        spec=dataclasses.replace(SPEC, **values),
        result=SimpleNamespace(set_root=bytes(32), selected=bitmap(SLOTS)),
        is_enough=True,
        counted=SLOTS,
        weight=lambda slot: 1 + slot,
        rows=ROWS,
        evidence=SimpleNamespace(aggregate=sha256(raw)),
        world=SimpleNamespace(artifacts=SimpleNamespace(blob=lambda digest, size: {sha256(raw): raw}[digest])),
        replay=None,
    )


@pytest.mark.parametrize(
    ("chain", "aggregate"),
    [
        ("nnm+median", (3 * ONE // 2, 7 * ONE)),  # the nearest are 0 3, 3 0, 9 3
        ("arc+weighted-mean", (39 * ONE // 10, 52 * ONE // 10)),  # 9 7 has length 11, clipped to 7: 5 4; weights 1 3 6
    ],
)
def test_a_chain_is_replayed(chain: str, aggregate: tuple[int, int]) -> None:
    held = case(chain, aggregate)
    assert check_19_aggregate(held) == (None, f"{chain} of 3 rows, bit for bit")
    assert check_20_selection(held) == (None, "slots 0, 2, 5")
    with pytest.raises(VerificationError):
        check_19_aggregate(case(chain, (aggregate[0] + 1, aggregate[1])))


def test_buckets_are_drawn_by_federation_round_set_root_and_slot() -> None:
    seed = sha256(SPEC.federation, bytes([0] * 7 + [7]), bytes(32))
    order = sorted(range(3), key=lambda place: sha256(seed, bytes([0, SLOTS[place]])))
    first, second, last = (int(ROWS[place, 0]) for place in order)
    mean = ONE * (first + second + 2 * last) // 4
    check_19_aggregate(case("bucketing:2+mean", (mean, 7 * ONE)))


@pytest.mark.parametrize(
    ("chain", "changes"),
    [
        ("nnm+median", {"optimizer": 1}),
        ("nnm+median", {"chain": encode_chain("nnm+krumm")}),
        ("nnm+median", {"chain": bytes([200]) * 32}),
        ("nnm+median", {"chain": bytes(32)}),
        ("fltrust", {}),
    ],
)
def test_what_this_verifier_cannot_replay_it_cannot_tell(chain: str, changes: dict[str, Any]) -> None:
    with pytest.raises(UnavailableError):
        check_19_aggregate(case(chain, **changes))


@pytest.mark.parametrize(
    ("chain", "changes", "error"),
    [
        ("median", {"rule": 0}, SpecMismatchError),
        ("nnm+median", {"rule": 3}, SpecMismatchError),
        ("median", {"chain": encode_chain("krumm")}, UnknownNameError),
        ("nnm+median", {"min_counted": 2}, VerificationError),
        ("mda", {"f": 33, "min_counted": 67}, RangeError),
    ],
)
def test_what_no_enclave_takes_does_not_hold(chain: str, changes: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        check_19_aggregate(case(chain, **changes))


def test_the_ledger_knows_how_many_a_rule_with_a_number_needs() -> None:
    check_19_aggregate(case("median", (3 * ONE, 7 * ONE), min_counted=1))
