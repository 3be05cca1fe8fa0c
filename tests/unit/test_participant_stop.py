"""A stop that comes in the middle of a wait ends it, also from a handler in the same thread, at any moment."""

from __future__ import annotations

import os
import signal
import threading
import time

from participant.stop import SignalStop


def test_nobody_said_stop() -> None:
    stop = SignalStop()
    assert not stop.is_set()
    assert not stop.wait(0.001)
    stop.close()


def test_a_signal_ends_a_wait_whenever_it_comes() -> None:
    before = signal.getsignal(signal.SIGUSR1)
    try:
        for delay_s in (0.0, 0.001, 0.002, 0.003, 0.005, 0.01):
            stop = SignalStop()
            signal.signal(signal.SIGUSR1, lambda _number, _frame, stop=stop: stop.set())
            timer = threading.Timer(delay_s, os.kill, (os.getpid(), signal.SIGUSR1))
            start = time.monotonic()
            timer.start()
            while not stop.wait(0.0005):
                assert time.monotonic() - start < 10
            timer.join()
            assert stop.is_set()
            stop.close()
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_saying_it_very_often_does_not_block() -> None:
    stop = SignalStop()
    for _ in range(100_000):
        stop.set()
    assert stop.is_set()
    stop.close()
