"""Everything that the fuzzer found worth keeping is read again: no error but ours, no more than a second, no growth."""

from __future__ import annotations

from pathlib import Path

import pytest

from fuzz_evidence import CORPUS, READERS, read_one, seeds
from protocol.errors import MalformedError

KEPT = sorted(CORPUS.iterdir())


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.name[:12])
def test_an_input_that_the_fuzzer_kept_is_read_within_its_promise(path: Path) -> None:
    read_one(path.read_bytes())


def test_the_corpus_reaches_every_reader() -> None:
    reached = {path.read_bytes()[0] % len(READERS) for path in KEPT}

    assert reached == set(range(len(READERS)))


def test_every_reader_has_a_seed() -> None:
    assert {seed[0] for seed in seeds()} == set(range(len(READERS)))


def test_the_promise_can_be_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(_: bytes) -> None:
        raise KeyError("not one of ours")

    monkeypatch.setattr("fuzz_evidence.READERS", (("breaks", breaks, MalformedError),))

    with pytest.raises(KeyError):
        read_one(b"\0")
