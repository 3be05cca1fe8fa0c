"""What a hostile host, participant or stranger asks of an enclave to get two signatures, or to see what is sealed."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from coordinator.door import MAX_TEXT
from coordinator.enclave.__main__ import HostDisk, Line, PlatformLine
from coordinator.platform.cli import installed
from coordinator.platform.sockets import read_frame, write_frame
from protocol import fixedpoint, keys, sealing, trees
from protocol.encoding import encode
from protocol.errors import EncodingError
from protocol.framing import MAX_FRAME_BYTES, encode_frame
from protocol.hashing import sha256
from protocol.messages import Receipt, RoundResult, Spec
from protocol.sealing import Payload
from tests.unit.platform_world import Platform, copy_tree, eventually, look, start
from tests.unit.test_enclave import BASE, COHORT, KEY_OF, LAUNCH, Hardware, Host, payload_of, row_of, seal, send


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path / "platform")


def opened(host: Host, **changes: int) -> Spec:
    spec = host.spec(**changes)
    host.open(spec)
    return spec


def test_a_close_that_fails_midway_frees_no_slot_for_a_second_receipt(host: Host) -> None:
    spec = opened(host)
    receipt = Receipt.from_map(send(host, spec, 0)["receipt"])
    assert host.close({"0": sha256(b"never committed"), "1": b"short"})["error"] == "Encoding"
    second = send(host, spec, 0, row=row_of(9))
    assert second["refused"].startswith("a second update of one participant")
    assert Receipt.from_map(send(host, spec, 0)["receipt"]) == receipt


def test_a_host_that_closes_early_is_shown_no_row(host: Host) -> None:
    spec = opened(host, min_counted=3)
    send(host, spec, 2)
    closed = host.close()
    assert closed["aggregate"] is None
    assert [host.ask(op="row", slot=slot)["row"] for slot in range(6)] == [None] * 6
    assert RoundResult.from_map(closed["result"]).counted == 0b100


def test_what_stands_in_the_wrong_field_of_a_payload_is_not_told_to_the_host(host: Host) -> None:
    spec = opened(host)
    payload = payload_of(spec, 2)
    confused = {**payload.update.to_map(), "samples": payload.row}
    sealed = encode({"row": payload.row, "signature": payload.signature, "update": confused})
    reply = host.submit(COHORT[2], seal(host, spec, 2, sealed))
    assert reply["refused"] == "Update.samples: expected uint32"
    assert payload.row[:8].hex() not in repr(reply)


def test_a_strangers_payload_with_an_endless_name_gets_an_answer_that_the_host_can_read(host: Host) -> None:
    spec = opened(host)
    payload = payload_of(spec, 2)
    named = {"row": b"", "signature": payload.signature, "update": payload.update.to_map(), "x" * 4000: 1}
    reply = host.submit(COHORT[2], seal(host, spec, 2, encode(named)))
    assert max(len(str(value)) for value in reply.values()) < 1000 < MAX_TEXT


def other_signature(key: bytes, digest: bytes) -> bytes:
    """Valid, of the same key over the same digest, with another nonce than RFC 6979's."""
    nonce, point = 12345, keys.public_key((12345).to_bytes(32))
    r = int.from_bytes(point[:32]) % keys.ORDER
    s = pow(nonce, -1, keys.ORDER) * (int.from_bytes(digest) + r * int.from_bytes(key)) % keys.ORDER
    v = point[63] & 1
    if s > keys.ORDER // 2:
        s, v = keys.ORDER - s, 1 - v
    return r.to_bytes(32) + s.to_bytes(32) + bytes([27 + v])


def test_the_same_update_under_another_signature_changes_no_leaf(host: Host) -> None:
    spec = opened(host)
    for slot in range(4):
        send(host, spec, slot)
    payload = payload_of(spec, 2)
    signature = other_signature(KEY_OF[COHORT[2]], payload.update.digest(LAUNCH.domain))
    other = Payload(update=payload.update, signature=signature, row=payload.row)
    assert "receipt" in host.submit(COHORT[2], seal(host, spec, 2, sealing.encode_payload(other)))
    assert trees.parse_set_leaf(host.close()["set"][2]).signature == payload.signature


@pytest.mark.parametrize("kept", [("keys",), ("keys", "round")], ids=["from nothing", "from an older state"])
def test_a_host_that_gives_back_older_state_gets_no_second_result(host: Host, kept: tuple[str, ...]) -> None:
    spec = opened(host)
    for slot in range(4):
        send(host, spec, slot)
    older = {name: host.blobs[name] for name in kept}
    sealed = [seal(host, spec, slot, sealing.encode_payload(payload_of(spec, slot))) for slot in range(6)]
    host.close()
    again = Host(Path(), blobs=older, hardware=host.hardware)
    assert again.hello["message"].startswith("sealed state")
    assert "expected version 6" in again.hello["message"]
    assert again.open(spec)["error"] == "Round"
    assert again.submit(COHORT[4], sealed[4])["error"] == "Round"
    assert again.close()["error"] == "Round"
    assert again.ask(op="row", slot=0)["error"] == "Round"


def test_state_of_an_older_epoch_is_not_the_next_one_of_a_newer(host: Host) -> None:
    opened(host)  # version 1, which follows nothing
    newer = Host(Path(), hardware=host.hardware)
    mixed = {"keys": newer.blobs["keys"], "round": host.blobs["round"]}
    assert "epoch" in Host(Path(), blobs=mixed, hardware=host.hardware, fresh=False).hello["message"]


def back(host: Host, blobs: dict[str, bytes], fed: dict[int, bytes]) -> Host:
    """The enclave that comes back with these blobs, in the round, with its rows fed again."""
    host.hardware.dies_at = ""
    again = Host(Path(), blobs=blobs, hardware=host.hardware)
    spec = again.spec()
    assert again.open(spec) == {"round": 1}
    for slot in again.hello["missing"]:
        assert again.ask(op="restore", slot=slot, sealed=fed[slot]) == {"slot": slot}
    return again


STEPS = ["store", "count", "effect"]
"""The enclave dies before its state is durable; when it is, and not counted; when it is counted, and nobody knows."""


@pytest.mark.parametrize("step", STEPS)
def test_an_enclave_that_dies_around_a_receipt_loses_and_doubles_nothing(host: Host, step: str) -> None:
    spec = opened(host)
    fed = {slot: seal(host, spec, slot, sealing.encode_payload(payload_of(spec, slot))) for slot in range(4)}
    receipts = [host.submit(COHORT[slot], fed[slot]) for slot in range(3)]
    host.hardware.dies_at = step
    with pytest.raises(EOFError):
        host.submit(COHORT[3], fed[3])
    again = back(host, host.blobs, fed)
    assert again.hello["missing"] == ([0, 1, 2] if step == "store" else [0, 1, 2, 3])
    assert [again.submit(COHORT[slot], fed[slot]) for slot in range(3)] == receipts
    last = again.submit(COHORT[3], fed[3])
    assert Receipt.from_map(last["receipt"]).update == payload_of(spec, 3).update.hash_struct()
    assert send(again, spec, 3, row=row_of(9))["refused"].startswith("a second update of one participant")
    assert RoundResult.from_map(again.close()["result"]).counted == 0b1111


@pytest.mark.parametrize("step", STEPS)
def test_an_enclave_that_dies_around_its_result_signs_one(host: Host, step: str) -> None:
    spec = opened(host)
    fed = {slot: seal(host, spec, slot, sealing.encode_payload(payload_of(spec, slot))) for slot in range(5)}
    for slot in range(4):
        host.submit(COHORT[slot], fed[slot])
    host.hardware.dies_at = step
    with pytest.raises(EOFError):
        host.close()
    again = back(host, host.blobs, fed)
    assert again.hello["phase"] == ("collecting" if step == "store" else "signed")
    first = again.close()
    late = again.submit(COHORT[4], fed[4])
    assert "receipt" not in late
    assert back(again, again.blobs, fed).close() == first


@pytest.mark.parametrize("step", STEPS)
def test_an_enclave_that_dies_when_a_round_is_opened_or_forgotten_comes_back(host: Host, step: str) -> None:
    spec = host.spec()
    host.hardware.dies_at = step
    with pytest.raises(EOFError):
        host.open(spec)
    again = back(host, host.blobs, {})
    again.hardware.dies_at = step
    with pytest.raises(EOFError):
        again.ask(op="finish", round=1)
    last = Host(Path(), blobs=again.blobs, hardware=hardware_of(again))
    assert last.hello["phase"] == ("collecting" if step == "store" else "idle")
    assert last.open(host.spec(round_id=2)) == {"round": 2}


def hardware_of(host: Host) -> Hardware:
    host.hardware.dies_at = ""
    return host.hardware


def test_of_two_states_after_the_same_one_the_first_to_be_counted_is_the_only_one(host: Host) -> None:
    spec = opened(host)
    fed = {slot: seal(host, spec, slot, sealing.encode_payload(payload_of(spec, slot))) for slot in range(2)}
    host.submit(COHORT[0], fed[0])
    older = dict(host.blobs)
    host.hardware.dies_at = "count"
    with pytest.raises(EOFError):
        host.submit(COHORT[1], fed[1])  # its receipt never left
    with_it = dict(host.blobs)
    again = back(host, older, fed)
    other = send(again, spec, 1, row=row_of(9))
    assert Receipt.from_map(other["receipt"]).update != payload_of(spec, 1).update.hash_struct()
    refused = Host(Path(), blobs=with_it, hardware=host.hardware).hello
    assert refused["message"].startswith("sealed state was rolled back: expected version 4")


def test_an_enclave_that_was_replaced_while_it_lived_ends_without_an_effect(host: Host) -> None:
    spec = opened(host)
    newer = Host(Path(), blobs=host.blobs, hardware=host.hardware)
    newer.open(spec)
    with pytest.raises(EOFError):
        send(host, spec, 0)
    assert "receipt" in send(newer, spec, 0)


FALSE_ANSWERS = {
    "no CBOR": b"\0\0\0\1\xff",
    "no map": b"\0\0\0\1\x80",
    "empty": bytes(4),
    "too long": (MAX_FRAME_BYTES + 1).to_bytes(4),
    "cut in the header": b"\0\0",
    "cut in the body": encode_frame({"op": "stored", "name": "round"})[:-1],
    "nothing": b"",
    "another op": encode_frame({"op": "close", "commitments": {}, "undelivered": {}}),
    "another name": encode_frame({"op": "stored", "name": "keys "}),
    "more than asked": encode_frame({"op": "stored", "name": "round", "more": 1}),
    "an error": encode_frame({"error": "NoSpace", "message": "no space left"}),
}
"""What a host may write instead of `stored`, before it closes its end."""

DEEDS = ["open", "submit", "refuse", "close", "finish"]
"""Whatever changes state, of a round with four receipts."""


class LyingHost(Host):
    """Answers through the enclave's own door, and at some point not as it should."""

    lie: bytes | None = None

    def store(self, name: str, blob: bytes) -> None:
        ours, its = socket.socketpair()
        with ours, its:
            ours.sendall(encode_frame({"op": "stored", "name": name}) if self.lie is None else self.lie)
            ours.shutdown(socket.SHUT_WR)
            HostDisk(Line(its)).store(name, blob)
        self.blobs[name] = blob


def in_round(host: Host) -> Spec:
    """A round with four receipts."""
    spec = opened(host)
    for slot in range(4):
        assert "receipt" in send(host, spec, slot)
    return spec


def do(host: Host, spec: Spec, deed: str) -> dict[str, Any]:
    if deed == "open":
        return host.open(host.spec(round_id=2))
    if deed == "submit":
        return send(host, spec, 4)
    if deed == "refuse":
        return send(host, spec, 5, round_id=9)
    return host.close() if deed == "close" else host.ask(op="finish", round=1)


@pytest.mark.parametrize("deed", DEEDS)
@pytest.mark.parametrize("lie", FALSE_ANSWERS.values(), ids=FALSE_ANSWERS)
def test_whatever_else_a_host_answers_a_store_with_ends_the_enclave_before_anything_leaves(
    tmp_path: Path, deed: str, lie: bytes
) -> None:
    host = LyingHost(tmp_path)
    spec = in_round(host)
    fed = {slot: seal(host, spec, slot, sealing.encode_payload(payload_of(spec, slot))) for slot in range(4)}
    host.lie, known, told = lie, dict(host.blobs), len(host.seen)
    with pytest.raises((EOFError, OSError)):
        do(host, spec, deed)
    host.lie = None
    for again in (deed, "close"):  # nor is it handed out when it is asked for once more
        with pytest.raises(EOFError, match="not counted"):
            do(host, spec, again)
    assert (host.blobs, host.seen[told:]) == (known, [])
    assert RoundResult.from_map(back(host, known, fed).close()["result"]).counted == 0b1111


@pytest.mark.parametrize("lie", FALSE_ANSWERS.values(), ids=FALSE_ANSWERS)
def test_an_enclave_whose_keys_the_host_did_not_keep_is_not_introduced(
    tmp_path: Path, lie: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LyingHost, "lie", lie)
    with pytest.raises((EOFError, OSError)):
        LyingHost(tmp_path)


@pytest.mark.parametrize("deed", DEEDS)
@pytest.mark.parametrize("at", ["_store", "_advance"])
def test_an_error_between_a_change_and_its_count_is_no_reply(
    host: Host, deed: str, at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = in_round(host)

    def fail(*_: object) -> None:
        raise EncodingError("an error of ours")

    monkeypatch.setattr(host.session, at, fail)
    with pytest.raises(EOFError, match="an error of ours"):
        do(host, spec, deed)
    monkeypatch.undo()
    with pytest.raises(EOFError, match="not counted"):
        do(host, spec, "close")


@pytest.mark.parametrize(
    "answer",
    [
        b"\0\0\0\1\xff",
        b"",
        (MAX_FRAME_BYTES + 1).to_bytes(4),
        encode_frame({"error": "it does not follow"}),
        encode_frame({}),
        encode_frame({"version": 6}),
        encode_frame({"version": 5, "more": 1}),
    ],
)
def test_an_advance_that_was_not_granted_in_as_many_words_ends_the_enclave(answer: bytes) -> None:
    ours, its = socket.socketpair()
    with ours, its:
        ours.sendall(answer)
        ours.shutdown(socket.SHUT_WR)
        with pytest.raises((EOFError, OSError)):
            PlatformLine(Line(its)).advance(version=5, previous=bytes(32), state=bytes(32))


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """One whose enclaves are ours."""
    base = tmp_path_factory.mktemp("real")
    running = start(base / "dir", base / "s", installed())
    try:
        yield running
    finally:
        running.process.terminate()
        running.process.wait(20)
        assert running.process.stdout is not None
        running.process.stdout.close()


class Process:
    """An enclave's process, asked through its door."""

    spec = Host.spec

    def __init__(self, door: socket.socket, blobs: dict[str, bytes]) -> None:
        self.door, self.blobs = door, blobs
        self.hello = self.ask(op="start", sealed=dict(blobs))

    def ask(self, **request: Any) -> dict[str, Any]:
        write_frame(self.door, request)
        while (reply := self.read()).get("op") == "store":
            self.blobs[reply["name"]] = reply["blob"]
            write_frame(self.door, {"op": "stored", "name": reply["name"]})
        return reply

    def read(self) -> dict[str, Any]:
        reply = read_frame(self.door, max_bytes=1 << 20)
        assert reply is not None
        return reply

    def rest(self) -> bytes:
        """What comes until the process has closed its end."""
        data = b""
        with contextlib.suppress(ConnectionResetError):  # it left something unread
            while part := self.door.recv(1 << 16):
                data += part
        return data


@pytest.mark.parametrize("lie", ["no CBOR", "too long", "another op", "more than asked"])
def test_a_process_that_is_lied_to_about_its_result_ends_and_does_not_give_it(platform: Platform, lie: str) -> None:
    launch = {name: getattr(LAUNCH, name) for name in ("federation", "ledger", "operator", "nonce")}
    launch |= {"charter": LAUNCH.charter.encode()}
    close = {"op": "close", "commitments": {}, "undelivered": {}}
    blobs: dict[str, bytes] = {}
    with platform.launch(**launch) as door:
        enclave = Process(door, blobs)
        spec = enclave.spec()  # type: ignore[misc]
        enclave.ask(op="open", spec=spec.to_map(), cohort=COHORT, base=fixedpoint.encode_model(BASE))
        for slot in range(4):
            sealed = seal(enclave, spec, slot, sealing.encode_payload(payload_of(spec, slot)))  # type: ignore[arg-type]
            assert "receipt" in enclave.ask(op="submit", participant=COHORT[slot], sealed=sealed)
        write_frame(door, close)
        assert enclave.read()["op"] == "store"
        door.sendall(FALSE_ANSWERS[lie] + encode_frame(close))
        assert enclave.rest() == b""
    with platform.launch(**launch, fresh=False) as door:
        again = Process(door, blobs)
        assert (again.hello["phase"], again.hello["missing"]) == ("collecting", [0, 1, 2, 3])


def test_an_enclave_that_crashes_leaves_no_core_file(tmp_path: Path) -> None:
    platform = start(tmp_path / "p", tmp_path / "p.sock", copy_tree(tmp_path / "tree"))
    try:
        with platform.launch() as door:
            look(door)
            lists = Path(f"/proc/{platform.process.pid}/task").glob("*/children")
            [pid] = [int(pid) for text in lists for pid in text.read_text().split()]
            limits = Path(f"/proc/{pid}/limits").read_text()
            [line] = [line for line in limits.splitlines() if line.startswith("Max core file size")]
            assert line.split()[4:6] == ["0", "0"]
    finally:
        platform.process.terminate()
        eventually(lambda: platform.process.poll() is not None)
        assert platform.process.stdout is not None
        platform.process.stdout.close()
