"""What the verifier's tests share: an honest federation, and short ways to verify and to read a report."""

import contextlib
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import typer

from coordinator import anvil
from protocol.outcomes import Reason
from tests.support.world import RoundWorld, terms
from verifier.cli import verify
from verifier.dump import DumpChain
from verifier.evidence import FolderArtifacts
from verifier.recipe import Subject, verify_federation
from verifier.report import Report, Status

app = typer.Typer()
app.command()(verify)


@contextlib.contextmanager
def new_world(folder: Path) -> Iterator[RoundWorld]:
    """A founded federation on a fresh Anvil, for as long as the block runs."""
    with anvil.start() as running:
        yield RoundWorld(running.rpc, folder)


def play_honestly(world: RoundWorld) -> None:
    """Every rule, and every way in which a round can come to nothing without anybody lying."""
    world.play(terms("median"))
    world.play(terms("trimmed-mean", norm_bound=10**9), absent=[0], refused={2: Reason.NORM})
    world.play(terms("weighted-mean"), committed={3: None, 4: None})
    world.play(terms("krum"))
    world.be_late()
    world.play(terms("multi-krum", cohort_size=6, m=2))
    world.play(terms("mean"), absent=range(5))
    world.finish()


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RoundWorld]:
    """Every rule once, nobody lies; the chain still runs."""
    with new_world(tmp_path_factory.mktemp("honest")) as world:
        play_honestly(world)
        yield world


def run(folder: Path, first: int = 1, last: int | None = None) -> Report:
    """The whole recipe on a run folder."""
    report = Report()
    subject = Subject(
        open_chain=partial(DumpChain.read, folder / "chain.json"),
        ledger=None,
        artifacts=FolderArtifacts(folder / "artifacts"),
        first_round=first,
        last_round=last,
        folder=folder,
    )
    return verify_federation(subject, report)


def named(report: Report, status: Status) -> set[str]:
    """Names of the checks that came to that."""
    return {check.name for check in report.checks if check.status is status}


def bad_news(report: Report) -> list[str]:
    """What does not hold, for a failing test to print."""
    return [f"{c.number} {c.name} {c.round_id}: {c.evidence}" for c in report.checks if c.status is not Status.OK]


def copied(world: RoundWorld, tmp_path: Path) -> Path:
    return Path(shutil.copytree(world.folder, tmp_path / "run"))


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at % len(data)] ^= 1
    path.write_bytes(bytes(data))
