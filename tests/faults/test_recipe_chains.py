"""Rounds whose chain the ledger has no number for: every check holds them all the same."""

from __future__ import annotations

from pathlib import Path

from protocol.rulebook import parse_chain
from protocol.terms import Terms
from tests.support.verified import bad_news, named, new_world, run
from tests.support.world import Play, terms
from verifier.report import Status

CHAINS = ("nnm+krum", "bucketing:2+median", "arc+weighted-mean", "meamed", "geometric-median", "clip:900+mda")


def chained(text: str) -> Terms:
    """As few updates as the chain needs with f = 1."""
    return terms(text, min_counted=parse_chain(text).minimum_counted(f=1, m=0))


def test_a_round_of_any_chain_holds(tmp_path: Path) -> None:
    """One of each, in which slot 3 is absent, so that slots and places differ; and one with too few counted."""
    with new_world(tmp_path) as world:
        for text in CHAINS:
            world.play(chained(text), absent=[3])
        world.play(chained("bulyan"), absent=[3])
        world.finish()
    report = run(tmp_path)
    assert bad_news(report) == []
    said = [check.evidence for check in report.checks if check.name == "aggregate"]
    assert [text.split(" of ")[0] for text in said[:-1]] == list(CHAINS)
    assert said[-1].startswith("too few counted")


def lie_selected(play: Play) -> None:
    play.sign_as(selected=play.computed.result.counted)


def lie_gram(play: Play) -> None:
    play.sign_as(gram_root=bytes(31) + b"\1")


def lie_state(play: Play) -> None:
    play.sign_as(state=bytes(31) + b"\1")


def test_a_lie_about_a_chain_is_found_by_its_check(tmp_path: Path) -> None:
    with new_world(tmp_path) as world:
        for lie in (lie_selected, lie_gram, lie_state):
            world.play(chained("nnm+krum"), lie=lie)
        world.finish()
    assert named(run(tmp_path, 1, 1), Status.REFUTED) == {"selection"}
    assert named(run(tmp_path, 2, 2), Status.REFUTED) == {"gram"}
    assert named(run(tmp_path, 3, 3), Status.REFUTED) == {"result"}
