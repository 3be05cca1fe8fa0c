"""Who tries to keep a coordinator or a participant busy until a deadline has passed."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import httpx
import pytest
import uvicorn

from coordinator import server as module
from coordinator.app import UploadGate
from coordinator.doorkeeper import Doorkeeper
from participant import client
from participant.client import connect
from protocol.errors import UnavailableError
from tests.unit.participant_world import ADDRESS


async def app(scope: object, receive: object, send: object) -> None:
    """Answers everything with two bytes."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})  # type: ignore[operator]
    await send({"type": "http.response.body", "body": b"ok"})  # type: ignore[operator]


@contextmanager
def serving() -> Iterator[int]:
    """The coordinator's own serving loop, without TLS, on a free port; the port."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)
        config = uvicorn.Config(app, http="h11", lifespan="off", log_config=None, limit_concurrency=4)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=lambda: asyncio.run(module._answer(server, listener)))
        thread.start()
        try:
            while not server.started:
                time.sleep(0.01)
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(10)


def is_closed(connection: socket.socket) -> bool:
    """Whether the other end closed within some seconds."""
    connection.settimeout(10)
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def test_connections_that_never_ask_are_cut_and_somebody_else_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "Doorkeeper", lambda: Doorkeeper(head_s=0.3))
    with serving() as port:
        silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(4)]
        silent[0].sendall(b"GET / HTTP/1.1\r\n")  # and never the rest of its head
        assert all(is_closed(connection) for connection in silent)
        for connection in silent:
            connection.close()
        with httpx.Client(trust_env=False) as honest:
            assert honest.get(f"http://127.0.0.1:{port}/").text == "ok"


def connection(address: str, *, is_answered: bool | None = None) -> SimpleNamespace:
    """What the doorkeeper sees of one of uvicorn's connections."""
    cycle = None if is_answered is None else SimpleNamespace(response_complete=is_answered)
    return _Hashable(client=(address, 1), cycle=cycle)


def test_slow_uploads_from_one_address_leave_places_for_others() -> None:
    async def scenario() -> list[str]:
        gate, seen = UploadGate(8), []

        async def upload(host: str, sender: str, seconds: float) -> None:
            async with gate.enter(host, sender):
                seen.append(sender)
                await asyncio.sleep(seconds)

        slow = [asyncio.create_task(upload("attacker", f"slow {i}", 60)) for i in range(20)]
        await asyncio.sleep(0)
        await asyncio.wait_for(upload("elsewhere", "honest", 0), 5)
        for task in slow:
            task.cancel()
        await asyncio.gather(*slow, return_exceptions=True)
        return seen

    assert asyncio.run(scenario()) == ["slow 0", "slow 1", "honest"]


class _Hashable(SimpleNamespace):
    __hash__ = object.__hash__


def test_one_address_gets_its_share_of_the_places_and_the_last_to_come_lose_theirs() -> None:
    keeper = Doorkeeper(per_address=2)
    early = [connection("a"), connection("a"), connection("b")]
    assert keeper.cut(early, 0.0) == []
    late = connection("a")
    assert keeper.cut([late, *early], 1.0) == [late]


def test_who_reads_no_answer_is_cut_later_than_who_asks_nothing() -> None:
    keeper = Doorkeeper(head_s=10, exchange_s=100)
    silent, deaf, busy = connection("a"), connection("b", is_answered=False), connection("c", is_answered=False)
    everybody = [silent, deaf, busy]
    assert keeper.cut(everybody, 0.0) == []
    assert keeper.cut(everybody, 11.0) == [silent]
    busy.cycle = SimpleNamespace(response_complete=False)  # another request
    assert keeper.cut([deaf, busy], 50.0) == []
    assert keeper.cut([deaf, busy], 101.0) == [deaf]


@contextmanager
def dripping(piece: bytes) -> Iterator[str]:
    """A coordinator that says one more piece every 50 ms and never comes to an end; its address."""
    stop = threading.Event()

    def drip(connection: socket.socket) -> None:
        with connection:
            while not stop.wait(0.05):
                try:
                    connection.sendall(piece)
                except OSError:
                    return

    def accept(listener: socket.socket) -> None:
        while not stop.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connection.sendall(b"HTTP/1.1 200 OK\r\n")
            threading.Thread(target=drip, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept, args=(listener,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            stop.set()
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(5)


@pytest.mark.parametrize("piece", [b"x: y\r\n", b"\r\nz"], ids=["in the head", "in the body"])
def test_a_coordinator_that_drips_its_answer_does_not_keep_a_participant(
    piece: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "ANSWER_S", 0.3)
    monkeypatch.setattr(client, "TRIES", 2)
    started = time.monotonic()
    with dripping(piece) as url, connect(url) as coordinator, pytest.raises(UnavailableError, match="TimeoutError"):
        coordinator.submit(1, ADDRESS, b"sealed")
    assert time.monotonic() - started < 5


def test_a_participant_leaves_the_coordinator_in_time_for_the_ledger(monkeypatch: pytest.MonkeyPatch) -> None:
    started = time.monotonic()
    with dripping(b"x: y\r\n") as url, connect(url) as coordinator:
        coordinator.end_within(0.3)
        with pytest.raises(UnavailableError, match="TimeoutError"):
            coordinator.base_blob()
        with pytest.raises(UnavailableError, match="no time left"):
            coordinator.base_blob()
    assert time.monotonic() - started < 5
