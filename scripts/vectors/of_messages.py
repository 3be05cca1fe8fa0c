"""Vectors of messages: hashes and digests, envelopes that are refused, signatures, claims.

Responsible for: tests/vectors/messages/.
Must not know:   files.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from protocol import encoding, keys, messages
from protocol.messages import Claims, Domain, Struct
from vectors import Vector, error_of, hexed, some

STRUCTS: tuple[type[Struct], ...] = (
    messages.Spec,
    messages.Update,
    messages.Receipt,
    messages.RoundResult,
    messages.Checkpoint,
    messages.Unavailable,
)
HOME = Domain(chain_id=31337, ledger=some("ledger", 20))
KEY = some("participant key")


def value_of(kind: str, label: str, which: str) -> Any:
    """A value of a Solidity type: `zero`, `high` (the largest), `low` (the smallest) or `some`."""
    if kind.endswith("]"):
        inner, count = kind[:-1].split("[")
        return tuple(value_of(inner, f"{label} {i}", which) for i in range(int(count)))
    if kind in ("bytes32", "address"):
        size = 32 if kind == "bytes32" else 20
        return {"zero": bytes(size), "low": bytes(size), "high": b"\xff" * size}.get(which) or some(label, size)
    low, high = bounds(kind)
    drawn = int.from_bytes(some(label)) % (high - low + 1) + low
    return {"zero": 0, "low": low, "high": high}.get(which, drawn)


def bounds(kind: str) -> tuple[int, int]:
    """Smallest and largest value of an integer type."""
    bits = int(kind.removeprefix("u").removeprefix("int"))
    return (0, (1 << bits) - 1) if kind.startswith("u") else (-(1 << (bits - 1)), (1 << (bits - 1)) - 1)


def message(struct: type[Struct], which: str) -> Struct:
    """A message whose every field is the value that `which` says."""
    items = dataclasses.fields(struct)  # type: ignore[arg-type]
    return struct(**{i.name: value_of(i.metadata["type"], f"{struct.NAME} {i.name}", which) for i in items})


def typical_update() -> messages.Update:
    """An Update as a participant signs it."""
    drawn = message(messages.Update, "some")
    return dataclasses.replace(drawn, participant=keys.address(KEY), round_id=7, samples=60)  # type: ignore


def json_fields(value: Struct) -> Vector:
    """The fields under their Solidity names."""
    items = dataclasses.fields(value)  # type: ignore[arg-type]
    names = value.to_map().keys()
    out: Vector = {}
    for name, item in zip(names, items, strict=True):
        field = getattr(value, item.name)
        out[name] = hexed(field) if isinstance(field, bytes) else list(field) if isinstance(field, tuple) else field
    return out


def hash_vector(comment: str, value: Struct, domain: Domain) -> Vector:
    """What a message hashes to in a domain."""
    return {
        "comment": comment,
        "struct": value.NAME,
        "fields": json_fields(value),
        "domain": {"chainId": domain.chain_id, "verifyingContract": hexed(domain.ledger)},
        "hashStruct": hexed(value.hash_struct()),
        "digest": hexed(value.digest(domain)),
    }


def hashes() -> list[Vector]:
    """Every struct with smallest, largest and ordinary fields; one Update where only its place differs."""
    vectors = [
        hash_vector(f"{struct.NAME}, every field {which}", message(struct, which), HOME)
        for struct in STRUCTS
        for which in ("zero", "low", "high", "some")
    ]
    update = typical_update()
    away = dataclasses.replace(HOME, ledger=some("another ledger", 20))
    vectors.append(hash_vector("an update", update, HOME))
    vectors.append(hash_vector("the same on another chain", update, dataclasses.replace(HOME, chain_id=1)))
    vectors.append(hash_vector("the same for another ledger", update, away))
    other = dataclasses.replace(update, federation=some("another federation"))
    vectors.append(hash_vector("the same in another federation", other, HOME))
    vectors.append(hash_vector("the same in the next round", dataclasses.replace(update, round_id=8), HOME))
    return vectors


def refused() -> list[Vector]:
    """Envelopes of messages with one defect each."""
    out = []
    for struct in STRUCTS:
        good = message(struct, "some")
        for defect, value in _broken_maps(good):
            data = encoding.encode(value)
            error = error_of(lambda s=struct, d=data: s.from_map(encoding.decode_map(d, max_bytes=1 << 16)))  # type: ignore[misc]
            out.append({"struct": struct.NAME, "defect": defect, "envelope": hexed(data), "error": error})
    return out


def _broken_maps(good: Struct) -> Iterator[tuple[str, dict[str, Any]]]:
    base = good.to_map()
    yield "a field that nobody asked for", {**base, "note": 1}
    for item, name in zip(dataclasses.fields(good), base, strict=True):  # type: ignore[arg-type]
        kind, value = item.metadata["type"], base[name]
        yield f"without {name}", {key: other for key, other in base.items() if key != name}
        if kind in ("bytes32", "address", "uint256"):
            yield f"{name} one byte short", {**base, name: value[:-1]}
            yield f"{name} as text", {**base, name: value.hex()}
        elif kind.endswith("]"):
            yield f"{name} with four entries", {**base, name: value[:-1]}
            yield f"{name} with an entry below zero", {**base, name: [*value[:-1], -1]}
        else:
            low, high = bounds(kind)
            yield f"{name} outside {kind}", {**base, name: high + 1 if high < 1 << 63 else low - 1}
            yield f"{name} as a boolean", {**base, name: True}


def signatures() -> list[Vector]:
    """Signatures in their one accepted form, and who made them."""
    out = []
    for i in range(6):
        key, digest = some(f"signing key {i}"), some(f"digest {i}")
        signature = keys.sign(key, digest)
        out.append({"key": hexed(key), "digest": hexed(digest), "signature": hexed(signature),
                    "address": hexed(keys.address(key))})  # fmt: skip
    return out


def refused_signatures() -> list[Vector]:
    """One good signature with one defect each."""
    digest = some("digest 0")
    good = keys.sign(some("signing key 0"), digest)
    r, s, v = good[:32], int.from_bytes(good[32:64]), good[64]
    high = r + (keys.ORDER - s).to_bytes(32) + bytes([55 - v])
    broken = {
        "high s, and v flipped: the other signature that recovers to the same address": high,
        "v 0": good[:64] + b"\x00",
        "v 1": good[:64] + b"\x01",
        "v 26": good[:64] + b"\x1a",
        "v 29": good[:64] + b"\x1d",
        "v of EIP-155": good[:64] + b"\x25",
        "r zero": bytes(32) + good[32:],
        "r the order": keys.ORDER.to_bytes(32) + good[32:],
        "s zero": r + bytes(32) + good[64:],
        "s half the order and one": r + (keys.ORDER // 2 + 1).to_bytes(32) + good[64:],
        "64 bytes, the compact form of EIP-2098": good[:64],
        "66 bytes": good + b"\x00",
        "no bytes": b"",
        "r that is no point's x": (5).to_bytes(32) + good[32:],
    }
    return [
        {"defect": defect, "digest": hexed(digest), "signature": hexed(signature),
         "error": error_of(lambda x=signature: keys.recover(digest, x))}  # type: ignore[misc]
        for defect, signature in broken.items()
    ]  # fmt: skip


def claims() -> list[Vector]:
    """What an enclave says of itself, and its report data."""
    out = []
    for which in ("zero", "high", "some"):
        value = message(Claims, which)
        if isinstance(value, Claims):
            epoch = {"zero": 0, "high": (1 << 64) - 1}.get(which, 1)
            signer = some(f"enclave signer {which}", 20)
            data = messages.report_data(signer=signer, claims=value.sha256(), epoch=epoch)
            out.append({"fields": json_fields(value), "encoded": hexed(value.encode()), "sha256": hexed(value.sha256()),
                        "signer": hexed(signer), "epoch": epoch, "reportData": hexed(data)})  # fmt: skip
    return out
