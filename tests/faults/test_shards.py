"""Parts on Ray's workers: the bits of one process, also when workers die, and nobody else gets at them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest

import veriflock
from coordinator import aggregate_cli
from coordinator.shards import Recomputed, RowFiles, open_rows, ray_runner, recompute
from coordinator.shards.on_ray import RETRIES, RayRunner
from protocol.errors import RangeError, UnavailableError
from protocol.fixedpoint import Int16
from protocol.rulebook import parse_chain
from tests.support.dying_workers import always_dying, dying, slow

# Not by importing it: Ray is told where to listen before that.
pytestmark = pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: pip install '.[ray]'")

P = TypeVar("P")
R = TypeVar("R")
K, D = 11, 4096 * 21 + 77
"""More parts than any number of workers tried here has at a time, and a ragged end."""


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    """Ray itself, started as the command starts it, once for all tests."""
    with ray_runner(workers=2, timeout_s=120) as runner:
        yield runner._ray


@pytest.fixture
def files(tmp_path: Path) -> RowFiles:
    return save(tmp_path, np.random.default_rng(7).integers(-3000, 3001, (K, D)).astype(np.int16))


def save(folder: Path, rows: Int16) -> RowFiles:
    np.save(folder / "rows.npy", rows)
    return open_rows(folder / "rows.npy")


def values(found: Recomputed) -> list[Any]:
    totals = (found.selected, found.kept, found.deviation, found.alignment, found.aggregate)
    return [found.column_root, found.gram_root, *(array.tolist() for array in totals)]


# --- the same bits ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chain", ["trimmed-mean", "multi-krum", "arc+bucketing:2+meamed", "nnm+clip:90000+krum"])
def test_any_number_of_workers_computes_the_bits_of_one_process(ray: Any, files: RowFiles, chain: str) -> None:
    expected = values(recompute(files, parse_chain(chain), f=2))
    for workers in (1, 2, 3, 5):
        runner = RayRunner(ray, workers=workers, timeout_s=120)
        assert values(recompute(files, parse_chain(chain), f=2, runner=runner)) == expected


def test_the_command_says_the_same_with_ray(
    ray: Any, files: RowFiles, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(*words: str) -> dict[str, Any]:
        monkeypatch.setattr(
            "sys.argv", ["veriflock", "aggregate", str(files.paths[0]), "--rule", "nnm+krum", "--f", "2", *words]
        )
        assert veriflock.run(veriflock.build("aggregate")) == 0
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return {name: value for name, value in found.items() if name not in ("engine", "workers", "seconds")}

    monkeypatch.setattr(
        aggregate_cli, "ray_runner", lambda *, workers, **_: nullcontext(RayRunner(ray, workers=workers, timeout_s=120))
    )
    assert said("--format", "json", "--engine", "ray", "--workers", "3") == said("--format", "json")


def test_the_command_uses_a_cluster_that_is_there(ray: Any, files: RowFiles) -> None:
    words = ["aggregate", str(files.paths[0]), "--rule", "nnm+krum", "--f", "2", "--format", "json"]
    cluster = ["--engine", "ray", "--workers", "2", "--cluster", ray.get_runtime_context().gcs_address]

    def said(*more: str) -> dict[str, Any]:
        command = [sys.executable, "-m", "veriflock", *words, *more]
        done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        found: dict[str, Any] = json.loads(done.stdout)
        return {name: value for name, value in found.items() if name not in ("engine", "workers", "seconds")}

    assert said(*cluster) == said()


# --- workers that die -------------------------------------------------------------------------------------------------


class Dying:
    """A runner whose every pass loses a worker in the middle of its second part."""

    def __init__(self, runner: RayRunner, marker: Path) -> None:
        self.workers = runner.workers
        self.deaths = 0
        self._runner = runner
        self._marker = marker

    def each(self, work: Callable[[P], R], parts: Sequence[P]) -> Iterator[R]:
        self.deaths += 1
        marker = self._marker.with_suffix(f".{self.deaths}")
        yield from self._runner.each(partial(dying, work, marker, 1), list(enumerate(parts)))
        assert marker.exists()


def test_the_part_of_a_killed_worker_is_done_again(ray: Any, files: RowFiles, tmp_path: Path) -> None:
    runner = Dying(RayRunner(ray, workers=2, timeout_s=120), tmp_path / "died")
    found = recompute(files, parse_chain("multi-krum"), f=2, runner=runner)
    assert runner.deaths == 3  # inner products, totals, trees
    assert values(found) == values(recompute(files, parse_chain("multi-krum"), f=2))


def test_a_part_that_kills_every_worker_is_given_up(ray: Any, tmp_path: Path) -> None:
    runner = RayRunner(ray, workers=2, timeout_s=120)
    with pytest.raises(UnavailableError, match=f"Ray gave up a part after {RETRIES} more attempts"):
        list(runner.each(partial(always_dying, tmp_path), [0]))
    assert len(list(tmp_path.iterdir())) == 1 + RETRIES


@pytest.mark.parametrize("parts", [1, 5])
def test_what_takes_longer_than_it_may_is_not_waited_for(ray: Any, parts: int) -> None:
    runner = RayRunner(ray, workers=2, timeout_s=0.5)
    with pytest.raises(UnavailableError, match=r"Ray's workers were not done after 0\.5 seconds; give them more"):
        list(runner.each(slow, list(range(parts))))


def test_what_a_worker_refuses_is_refused_in_one_line(ray: Any, tmp_path: Path) -> None:
    rows = np.zeros((3, D), dtype=np.int16)
    rows[2, -1] = -32768
    with pytest.raises(RangeError) as refused:
        recompute(save(tmp_path, rows), parse_chain("mean"), f=0, runner=RayRunner(ray, workers=2, timeout_s=120))
    assert str(refused.value) == "a coordinate of row 2: expected -32767 to 32767, got -32768"


def only_here(part: int) -> int:
    """Of a module that no worker finds."""
    return part


def test_a_worker_without_the_code_is_named_in_one_line(ray: Any) -> None:
    runner = RayRunner(ray, workers=2, timeout_s=120)
    with pytest.raises(UnavailableError) as failed:
        list(runner.each(only_here, [0]))
    said = "a worker of Ray failed (System error: No module named 'test_shards'); install this veriflock everywhere"
    assert str(failed.value) == said


# --- nobody else ------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_no_process_of_ray_listens_beyond_this_machine(ray: Any) -> None:
    mine = descendants(os.getpid())
    listening = [address for pid in mine for address in listened_at(pid)]
    assert listening
    loopback = {"0100007F", "0000000000000000FFFF00000100007F"}  # 127.0.0.1, and the same as an IPv6 address
    assert {address for address in listening if address not in loopback} == set()


@pytest.mark.parametrize(
    ("token", "answer"), [(None, "InvalidAuthToken"), ("0" * 64, "InvalidAuthToken"), ("ours", "let in")]
)
def test_only_who_has_the_token_is_let_in(ray: Any, token: str | None, answer: str) -> None:
    address = ray.get_runtime_context().gcs_address
    code = f"""
from ray._raylet import GcsClient
GcsClient(address={address!r}).internal_kv_keys(b"", None, timeout=10)
print("let in")
"""
    settings = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    if token:
        ours = os.environ["RAY_AUTH_TOKEN"]
        settings |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": ours if token == "ours" else token}
    done = subprocess.run(
        [sys.executable, "-c", code], env=settings, capture_output=True, text=True, timeout=60, check=False
    )
    assert answer in done.stdout + done.stderr
    assert (done.returncode == 0) == (answer == "let in")


def descendants(pid: int) -> list[int]:
    """The process and all that it started, and these."""
    parents: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
        parents.setdefault(parent, []).append(int(stat.parent.name))
    found = [pid]
    for parent in found:
        found += parents.get(parent, [])
    return found


def listened_at(pid: int) -> Iterator[str]:
    """Addresses, as the kernel writes them, on which a process listens."""
    links = []
    for link in Path(f"/proc/{pid}/fd").glob("*"):
        try:
            links.append(str(link.readlink()))
        except FileNotFoundError:
            continue
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A" and f"socket:[{words[9]}]" in links:
                yield words[1].partition(":")[0]
