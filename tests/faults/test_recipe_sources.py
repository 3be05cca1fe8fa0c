"""Nodes and coordinators that do not answer as they should: could not tell, never a pass."""

import contextlib
import socketserver
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import httpx
import numpy as np
import pytest
from typer.testing import CliRunner

from protocol.errors import UnavailableError, VeriflockError
from protocol.fixedpoint import encode_model
from protocol.hashing import sha256
from protocol.keys import to_hex
from tests.support.verified import app, honest, named
from tests.support.world import RoundWorld
from verifier.chain import Header, Log
from verifier.dump import DumpChain
from verifier.evidence import CoordinatorArtifacts, FolderArtifacts
from verifier.recipe import Subject, verify_federation
from verifier.report import Report, Status
from verifier.rpc import RpcChain

__all__ = ["honest"]


def rpc_that_says(answer: Callable[[httpx.Request], httpx.Response]) -> Callable[[], RpcChain]:
    return lambda: RpcChain("http://node", timeout_s=1, transport=httpx.MockTransport(answer))


def refuse(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("refused")


def stall(request: httpx.Request) -> httpx.Response:
    raise httpx.ReadTimeout("too slow")


@pytest.mark.parametrize(
    "answer",
    [
        refuse,
        stall,
        lambda request: httpx.Response(200, content=b"<html>"),
        lambda request: httpx.Response(200, content=b"[" * 100_000),
        lambda request: httpx.Response(200, json={"jsonrpc": "2.0", "id": 1, "error": {"message": "no"}}),
        lambda request: httpx.Response(200, json={"jsonrpc": "2.0", "id": 1, "result": None}),
        lambda request: httpx.Response(200, json={"jsonrpc": "2.0", "id": 1, "result": "0x01"}),
        lambda request: httpx.Response(200, json={"jsonrpc": "2.0", "id": 1, "result": "0x1"}),
    ],
)
def test_a_node_that_answers_garbage_means_could_not_tell(answer: Callable[[httpx.Request], httpx.Response]) -> None:
    report = verify_federation(Subject(open_chain=rpc_that_says(answer), ledger=bytes(20)), Report())
    assert named(report, Status.UNKNOWN) == {"chain", "the rest"}
    assert report.exit_code == 2


class Dripping(socketserver.StreamRequestHandler):
    """Headers, or a body after its headers, a byte at a time, without an end."""

    where = b""

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            self.wfile.write(b"HTTP/1.1 200 OK\r\n" + self.where)
            while True:
                self.wfile.write(b"a")
                time.sleep(0.05)


@pytest.mark.parametrize("where", [b"", b"content-length: 100000\r\n\r\n"], ids=["headers", "body"])
def test_who_drips_keeps_nobody_waiting(where: bytes) -> None:
    handler = type("Handler", (Dripping,), {"where": where})
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        source = CoordinatorArtifacts(url, None, timeout_s=0.5)
        start = time.monotonic()
        with pytest.raises(UnavailableError, match="TimeoutError"):
            RpcChain(url, timeout_s=0.5)
        with pytest.raises(UnavailableError, match="TimeoutError"):
            source.evidence(1)
        assert time.monotonic() - start < 5
        source.close()
        server.shutdown()


def test_blobs_that_drip_take_one_deadline_together_and_the_others_come() -> None:
    blobs = {sha256(data): data for data in (bytes([place]) * 100 for place in range(30))}
    names = list(blobs)

    class Handler(socketserver.StreamRequestHandler):
        """Every fifth blob drips: fewer than are asked for at once."""

        def handle(self) -> None:
            with contextlib.suppress(OSError):
                digest = bytes.fromhex(self.rfile.readline().split()[1].decode().rpartition("/")[2])
                self.wfile.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 100\r\n\r\n")
                if names.index(digest) % 5:
                    self.wfile.write(blobs[digest])
                    return
                for byte in blobs[digest]:
                    self.wfile.write(bytes([byte]))
                    time.sleep(0.5)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        source = CoordinatorArtifacts(f"http://127.0.0.1:{server.server_address[1]}", None)
        start = time.monotonic()
        found = source.blobs([(digest, 100) for digest in names], within_s=3)
        assert time.monotonic() - start < 5
        source.close()
        server.shutdown()
    came = {place for place, blob in enumerate(found) if isinstance(blob, bytes)}
    assert {place for place in range(30) if place % 5} == came
    for place in range(0, 30, 5):
        assert isinstance(found[place], UnavailableError)
        assert "TimeoutError" in str(found[place])


def test_a_node_that_says_too_much_means_could_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("verifier.rpc.MAX_ANSWER_BYTES", 1000)
    with pytest.raises(UnavailableError, match="does not end"):
        rpc_that_says(lambda request: httpx.Response(200, content=b" " * 1001))()


def test_logs_that_are_truncated_mean_could_not_tell(honest: RoundWorld) -> None:
    class Truncating(RpcChain):
        def logs(self, address: bytes) -> list[Log]:
            return super().logs(address)[:-1]

    subject = Subject(open_chain=partial(Truncating, honest.rpc), ledger=honest.domain.ledger)
    report = verify_federation(subject, Report())
    assert named(report, Status.UNKNOWN) == {"streams", "the rest"}
    assert report.exit_code == 2


def test_a_dump_whose_stream_is_another_is_refuted(honest: RoundWorld) -> None:
    class Shorter(DumpChain):
        def logs(self, address: bytes) -> list[Log]:
            return super().logs(address)[1:]

    raw = (honest.folder / "chain.json").read_bytes()
    report = verify_federation(Subject(open_chain=partial(Shorter, raw), ledger=honest.domain.ledger), Report())
    assert named(report, Status.REFUTED) == {"streams"}


def test_a_chain_that_is_rewritten_meanwhile_means_could_not_tell(honest: RoundWorld) -> None:
    class Rewritten(RpcChain):
        is_rewritten = False

        def confirm(self) -> None:
            self.is_rewritten = True
            super().confirm()

        def header(self, number: int) -> Header:
            found = super().header(number)
            return replace(found, hash=sha256(b"fork")) if self.is_rewritten else found

    subject = Subject(open_chain=partial(Rewritten, honest.rpc), ledger=honest.domain.ledger, last_round=0)
    report = verify_federation(subject, Report())
    assert named(report, Status.UNKNOWN) == {"money"}
    assert "rewritten" in next(check.evidence for check in report.checks if check.name == "money")


def test_a_chain_without_the_ledger_means_could_not_tell(honest: RoundWorld) -> None:
    done = CliRunner().invoke(app, ["--rpc", honest.rpc, "--ledger", "0x" + "12" * 20])
    assert done.exit_code == 2
    assert "no code at" in done.stdout


def test_another_contract_is_not_the_ledger(honest: RoundWorld) -> None:
    done = CliRunner().invoke(app, ["--rpc", honest.rpc, "--ledger", to_hex(honest.at["Consortium"])])
    assert done.exit_code == 1
    assert "code of RoundLedger" in done.stdout


@pytest.mark.parametrize(
    "arguments", [[], ["--rpc", "http://x"], ["--run", "a", "--rpc", "http://x"], ["--format", "xml"]]
)
def test_options_that_do_not_fit_are_usage_errors(arguments: list[str]) -> None:
    assert CliRunner().invoke(app, arguments).exit_code == 2


def test_a_coordinator_serves_the_same_artifacts(honest: RoundWorld) -> None:
    def serve(request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/v1/")
        name = path if path.startswith("blobs/") else f"rounds/{path.split('/')[1]}.cbor"
        return httpx.Response(200, content=(honest.folder / "artifacts" / name).read_bytes())

    source = CoordinatorArtifacts("https://coordinator", None, transport=httpx.MockTransport(serve))
    folder = FolderArtifacts(honest.folder / "artifacts")
    assert source.evidence(1) == folder.evidence(1)
    model = encode_model(np.arange(40, dtype=np.int32) * 1000)
    assert source.blob(sha256(model), len(model)) == model
    wanted = [(sha256(model), len(model)), (sha256(b"nobody has this"), 1), (sha256(model), len(model) - 4)]
    for either in (source, folder):
        one, *others = either.blobs(wanted[:1] + wanted[2:], within_s=9)
        assert one == model
        assert [isinstance(other, VeriflockError) for other in others] == [True]
    assert isinstance(folder.blobs(wanted[1:2], within_s=9)[0], UnavailableError | VeriflockError)
    with pytest.raises(VeriflockError):
        source.blob(sha256(model), len(model) - 4)
    empty = CoordinatorArtifacts(
        "https://coordinator", None, transport=httpx.MockTransport(lambda request: httpx.Response(404))
    )
    with pytest.raises(UnavailableError):
        empty.evidence(1)
    source.close()
    empty.close()
