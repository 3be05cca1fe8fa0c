"""An enclave that lies and signs it: each lie is refuted by its check, and by no other."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from protocol.hashing import sha256
from protocol.keys import address, sign
from protocol.outcomes import Reason
from protocol.trees import SetLeaf, model_root
from tests.support.verified import named, new_world
from tests.support.world import PARTICIPANTS, Play, RoundWorld, key_of, terms
from verifier.evidence import FolderArtifacts
from verifier.recipe import Subject, verify_federation
from verifier.report import Report, Status
from verifier.rpc import RpcChain


def another(play: Play, **changes: object) -> None:
    play.sign_as(**changes)


def lie_aggregate(play: Play) -> None:
    wrong = play.computed.aggregate.copy()
    wrong[17] += 1
    play.computed = replace(play.computed, aggregate=wrong)


def lie_model(play: Play) -> None:
    wrong = play.computed.model.copy()
    wrong[0] -= 1
    play.computed = replace(play.computed, model=wrong)
    play.sign_as(new_model=model_root(wrong))


def lie_selected(play: Play) -> None:
    chosen = play.computed.result.selected
    play.sign_as(selected=chosen << 1 if chosen.bit_length() < len(play.cohort) else chosen >> 1)


def lie_signature(play: Play) -> None:
    entry = play.state.entries[2]
    forged = sign(key_of("somebody else"), entry.update.digest(play.domain))
    leaf = SetLeaf(update_root=entry.update.update_root, samples=entry.update.samples, signature=forged)
    play.leaf(2, leaf.encode())


def lie_row(play: Play) -> None:
    play.state.rows[3] = play.state.rows[3] + np.int16(1)


def lie_reason(play: Play) -> None:
    play.leaf(0, SetLeaf(reason=Reason.NORM).encode())


def lie_samples(play: Play) -> None:
    """Weight 0, rightly signed: what the enclave must refuse under the weighted mean."""
    keys = {address(key): key for key in (key_of(f"participant {i}") for i in range(PARTICIPANTS))}
    update = replace(play.state.entries[2].update, samples=0)
    signature = sign(keys[play.cohort[2]], update.digest(play.domain))
    play.leaf(2, SetLeaf(update_root=update.update_root, signature=signature).encode())


def tells(lie: Callable[[Play], None], rule: str = "median", **options: object) -> Callable[[RoundWorld], int]:
    changes = options.pop("changes", {})
    return lambda world: world.play(terms(rule, **changes), lie=lie, **options)  # type: ignore[arg-type]


def nothing(play: Play) -> None:
    """No lie: what is wrong is what was admitted."""


LIES: dict[str, tuple[Callable[[RoundWorld], int], set[str]]] = {
    "aggregate": (tells(lie_aggregate), {"aggregate"}),
    "model": (tells(lie_model), {"model"}),
    "column root": (tells(partial(another, column_root=sha256(b"c"))), {"columns"}),
    "gram root": (tells(partial(another, gram_root=sha256(b"g")), "krum"), {"gram"}),
    "selected": (tells(lie_selected, "krum"), {"selection"}),
    "kept": (tells(lambda play: play.outcome(2, kept=3)), {"outcomes"}),
    "deviation": (tells(lambda play: play.outcome(2, deviation=1)), {"outcomes"}),
    "flag": (tells(lambda play: play.outcome(1, alignment=0, flagged=False)), {"outcomes"}),
    "weight": (tells(lambda play: play.outcome(2, weight=99), "weighted-mean"), {"outcomes"}),
    "set root": (tells(partial(another, set_root=sha256(b"s"))), {"set"}),
    "reason": (tells(lie_reason, absent=[0]), {"set"}),
    "signature": (tells(lie_signature), {"signatures"}),
    "row": (tells(lie_row), {"rows"}),
    "norm": (tells(nothing, changes={"norm_bound": 1}), {"admission"}),
    "samples": (tells(lie_samples, "weighted-mean"), {"admission", "aggregate", "model", "columns", "outcomes"}),
    "commitment": (tells(nothing, committed={3: sha256(b"another update")}), {"commitments"}),
}
"""A lie and the checks that must refute it."""


@pytest.fixture(scope="module")
def liars(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RoundWorld, dict[str, int]]]:
    """One round for each lie, all with a right signature of the enclave, all settled."""
    with new_world(tmp_path_factory.mktemp("liars")) as world:
        yield world, {name: tell(world) for name, (tell, _) in LIES.items()}


@pytest.mark.parametrize("name", LIES)
def test_each_lie_is_refuted_by_its_check(liars: tuple[RoundWorld, dict[str, int]], name: str) -> None:
    world, rounds = liars
    report = rounds_of(world, rounds[name])
    assert named(report, Status.REFUTED) == LIES[name][1]
    assert report.exit_code == 1
    assert report.status is Status.REFUTED


def rounds_of(world: RoundWorld, round_id: int) -> Report:
    """One round over RPC."""
    report = Report()
    subject = Subject(
        open_chain=partial(RpcChain, world.rpc),
        ledger=world.domain.ledger,
        artifacts=FolderArtifacts(world.folder / "artifacts"),
        first_round=round_id,
        last_round=round_id,
    )
    return verify_federation(subject, report)


def test_members_only_means_could_not_tell(liars: tuple[RoundWorld, dict[str, int]]) -> None:
    world, _ = liars
    report = rounds_of(world, world.play(terms("krum", disclosure=1)))
    rest = {"rows", "admission", "aggregate", "selection", "model", "columns", "gram", "outcomes"}
    assert named(report, Status.UNKNOWN) == rest
    assert named(report, Status.REFUTED) == set()
    assert report.exit_code == 2
