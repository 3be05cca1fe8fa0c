"""Whole federations: real processes, sockets, TLS, chain, data.  What survives kills, and what the host never sees."""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from coordinator.ledger import LedgerState
from demo_parts.acts import Acts
from demo_parts.federation import Federation, running, wait_for
from demo_parts.options import SOFTMAX_TRAINER, Options
from demo_parts.record import RoundMetrics
from lab import accuracy as lab
from protocol import outcomes
from protocol.evidence import parse_evidence
from protocol.hashing import sha256
from protocol.outcomes import Status

FAST = Options(
    participants=5,
    byzantine=1,
    attack="sign-flip:4",
    rule="trimmed-mean",
    dataset="digits",
    split="dirichlet:1",
    rounds=1,
    seed=7,
    trainer=SOFTMAX_TRAINER,
)


def quiet(_: object) -> None:
    """Nobody watches."""


def course(folder: Path, options: Options) -> list[tuple[str, float]]:
    """Model root and accuracy after each round of a federation that runs undisturbed."""
    with running(options, folder) as federation, closing(Acts(federation)) as acts:
        return [(metrics.model, metrics.accuracy) for metrics in acts.rounds(quiet)]


@pytest.mark.parametrize("rule", ["trimmed-mean", "multi-krum"])
def test_two_runs_with_one_seed_end_with_the_same_models(tmp_path: Path, rule: str) -> None:
    options = Options(
        participants=5, byzantine=1, attack="sign-flip:4", rule=rule, dataset="digits", split="dirichlet:1",
        rounds=2, seed=11, trainer=SOFTMAX_TRAINER,
    )  # fmt: skip
    first = course(tmp_path / "first", options)
    assert len({model for model, _ in first}) == 2
    assert course(tmp_path / "second", options) == first
    alone = lab.run(
        lab.Experiment(
            seed=11, rule=rule, model="softmax-8x8", trainer=SOFTMAX_TRAINER, participants=5, byzantine=1, rounds=2
        )
    )
    # what docs/accuracy.md measures in one process is what the processes do
    assert [round(accuracy, 4) for accuracy in alone.accuracies] == [accuracy for _, accuracy in first]


def open_round(federation: Federation) -> None:
    wait_for("round 1", lambda: federation.ledger.current_round() >= 1, federation.processes)


def finish(acts: Acts) -> RoundMetrics:
    [metrics] = list(acts.rounds(quiet))
    return metrics


def test_a_participant_killed_in_a_round_is_absent_and_the_round_settles(tmp_path: Path) -> None:
    with running(FAST, tmp_path) as federation, closing(Acts(federation)) as acts:
        victim = federation.trainees[0]
        joined = lambda: len(federation.ledger.active_participants()) == FAST.participants  # noqa: E731
        wait_for("everybody", joined, federation.processes)
        federation.processes.forget(victim.process)
        victim.process.process.send_signal(signal.SIGKILL)
        victim.process.process.wait(10)
        metrics = finish(acts)
        opened, proposed = federation.ledger.opened(1), federation.ledger.proposed(1)
    assert (metrics.state, metrics.counted, metrics.absent) == ("settled", 4, 1)
    slot = opened.cohort.index(victim.account)
    assert outcomes.parse_outcomes(proposed.outcomes)[slot].status is Status.ABSENT


def test_a_coordinator_killed_while_it_collects_loses_nothing_acknowledged(tmp_path: Path) -> None:
    with running(FAST, tmp_path) as federation, closing(Acts(federation)) as acts:
        open_round(federation)
        site = federation.site()
        wait_for("two receipts", lambda: site.received(1) >= 2, federation.processes)
        site.close()
        coordinator = federation.coordinator
        assert coordinator is not None
        federation.processes.forget(coordinator)
        coordinator.process.send_signal(signal.SIGKILL)
        coordinator.process.wait(10)
        receipts = kept_receipts(federation)
        assert len(receipts) >= 2
        federation.start_coordinator()
        metrics = finish(acts)
        kept = kept_receipts(federation)
        state = federation.ledger.state_of(1)
    assert state is LedgerState.SETTLED
    assert (metrics.counted, metrics.absent) == (FAST.participants, 0)
    assert {name: kept[name] for name in receipts} == receipts


def kept_receipts(federation: Federation) -> dict[str, bytes]:
    folder = federation.data / "receipts"
    # what was being written when it was killed has another name, and nobody was told of it
    whole = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {str(path.relative_to(folder)): path.read_bytes() for path in whole}


class Tap:
    """A Unix socket before the platform's that remembers everything that its host receives."""

    def __init__(self, path: Path, behind: Path) -> None:
        self.seen = bytearray()
        self._behind = behind
        self._ends: list[socket.socket] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(4)
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """No more connections, and none left open."""
        self._listener.close()
        for end in self._ends:
            end.close()

    def _accept(self) -> None:
        while True:
            try:
                host, _ = self._listener.accept()
            except OSError:
                return
            door = socket.socket(socket.AF_UNIX)
            door.connect(str(self._behind))
            self._ends += [host, door]
            threading.Thread(target=self._pump, args=(host, door, None), daemon=True).start()
            threading.Thread(target=self._pump, args=(door, host, self.seen), daemon=True).start()

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket, memory: bytearray | None) -> None:
        try:
            while data := source.recv(1 << 16):
                if memory is not None:
                    memory.extend(data)
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue


@pytest.fixture
def tapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Tap]]:
    """Federations of this test have a tap between host and platform."""
    taps: list[Tap] = []
    original = Federation.start_platform

    def start_platform(self: Federation) -> None:
        original(self)
        behind = self.socket
        front = behind.with_name("tap.sock")
        taps.append(Tap(front, behind))
        monkeypatch.setattr(Federation, "socket", property(lambda _: front))

    monkeypatch.setattr(Federation, "start_platform", start_platform)
    yield taps
    for tap in taps:
        tap.close()


def test_before_a_result_is_signed_the_host_never_sees_an_update_in_the_clear(
    tmp_path: Path, tapped: list[Tap]
) -> None:
    with running(FAST, tmp_path) as federation, closing(Acts(federation)) as acts:
        open_round(federation)
        site = federation.site()
        wait_for("all receipts", lambda: site.received(1) == FAST.participants, federation.processes)
        site.close()
        stored = b"".join(path.read_bytes() for path in sorted(federation.data.rglob("*")) if path.is_file())
        received = bytes(tapped[0].seen)
        finish(acts)
        evidence = parse_evidence((federation.data / "artifacts" / "rounds" / "1.cbor").read_bytes())
        rows = [(federation.data / "artifacts" / "blobs" / row.hex()).read_bytes() for row in evidence.rows if row]
        disclosed = bytes(tapped[0].seen)
    assert len(rows) == FAST.participants
    assert len(received) > 1000
    for row in rows:
        assert sha256(row) in evidence.rows
        assert row in disclosed, "the tap sees rows once they are disclosed, so it would have seen them before"
        windows = [row[start : start + 12] for start in range(0, len(row) - 12, 12)]
        telling = [window for window in windows if window.count(0) < 4]
        assert len(telling) > 20
        assert not any(window in received or window in stored for window in telling)


def test_a_platform_that_was_killed_leaves_no_enclave_behind(tmp_path: Path) -> None:
    with running(FAST, tmp_path) as federation:
        platform = federation.platform
        children = Path(f"/proc/{platform.process.pid}/task").glob("*/children")
        enclaves = [int(pid) for path in children for pid in path.read_text().split()]
        assert enclaves
        federation.processes.forget(platform)
        platform.process.send_signal(signal.SIGKILL)
        platform.process.wait(10)
        deadline = time.monotonic() + 10
        while any(Path(f"/proc/{pid}").exists() and not _is_zombie(pid) for pid in enclaves):
            assert time.monotonic() < deadline
            time.sleep(0.05)


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True
