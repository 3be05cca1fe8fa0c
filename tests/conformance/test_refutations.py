"""The table of lies, as the compiled predicates see it: what the search finds are proofs, an honest round has none.

The ledger behind the predicates is a stand-in that answers from a table; whole disputes are for other tests.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contracts.abi import Interface, decode_error
from coordinator import anvil
from protocol.disputes import Family, Predicate
from protocol.errors import UnavailableError
from protocol.hashing import keccak256
from protocol.keys import address, to_hex
from protocol.messages import Domain
from protocol.openings import NO_LINE, NO_SUMS, Leaves, Openings, RowChunk, SetLeaf
from protocol.outcomes import slots_of
from protocol.rulebook import Rule
from protocol.trees import SET_LEAF_COUNTED_BYTES
from scripts.drafts import Draft, honest
from tests.support.drafts import DIMENSION, RULES, key_of, some_spec, usual
from tests.support.lies import LIES, Lie
from verifier.refutation.reconstruction import Published, reconstruct
from verifier.refutation.search import search
from verifier.refutation.statement import Facts, Statement
from verifier.replay import kept_range

VECTORS = Path(__file__).resolve().parents[1] / "vectors" / "disputes" / "accepted.json"
LEDGER = bytes(18) + b"\xbe\xef"
ANSWERING = bytes.fromhex("365f5f37365f20545f5260205ff3")
"""calldatacopy(0, 0, size); return sload(keccak256(calldata)): a contract that answers what its storage says."""
TABLE = [pytest.param(lie, rule, id=f"{rule}: {lie.name}") for lie in LIES for rule in lie.rules]

Judge = Callable[[Facts], Callable[[Statement], tuple[str, dict[str, Any]]]]


@pytest.fixture(scope="module")
def judge(rpc: str) -> Judge:
    """Of a round, then of a statement: (`found`, the finding) or (the error's name, its arguments)."""
    families = {family: Interface(family.contract) for family in Family}
    errors = {family.contract: interface for family, interface in families.items()}
    ledgers = {name: Interface(name) for name in ("RoundLedger", "Enclaves")}
    anvil.call(rpc, "anvil_setCode", to_hex(LEDGER), "0x" + ANSWERING.hex())
    places = {}
    for at, (family, interface) in enumerate(families.items()):
        sender = to_hex(bytes(19) + bytes([at + 1]))
        anvil.call(rpc, "anvil_setBalance", sender, hex(10**20))
        anvil.call(rpc, "anvil_impersonateAccount", sender)
        transaction = {"from": sender, "data": "0x" + interface.creation(LEDGER).hex(), "gas": hex(15_000_000)}
        mined = anvil.call(rpc, "eth_sendTransaction", transaction)
        anvil.call(rpc, "evm_mine")
        places[family] = anvil.call(rpc, "eth_getTransactionReceipt", mined)["contractAddress"]

    def answer(contract: str, value: bytes, function: str, *arguments: object) -> None:
        place = keccak256(ledgers[contract].call_data(function, *arguments))
        anvil.call(rpc, "anvil_setStorageAt", to_hex(LEDGER), "0x" + place.hex(), "0x" + value.rjust(32, b"\0").hex())

    def ask(statement: Statement) -> tuple[str, dict[str, Any]]:
        interface = families[statement.family]
        data = interface.call_data(statement.function, *statement.arguments)
        call = {"to": places[statement.family], "data": "0x" + data.hex()}
        try:
            returned = str(anvil.call(rpc, "eth_call", call, "latest"))
        except UnavailableError as error:
            reason = re.search(r"'data': '0x([0-9a-f]*)'", error.what)
            return decode_error(errors, bytes.fromhex(reason[1]) if reason else b"")
        return "found", interface.returned(statement.function, bytes.fromhex(returned[2:]))[0]

    def of(facts: Facts) -> Callable[[Statement], tuple[str, dict[str, Any]]]:
        answer("RoundLedger", facts.domain.separator(), "domainSeparator")
        answer("RoundLedger", (facts.model_exponent % (1 << 256)).to_bytes(32), "modelExponent")
        answer("RoundLedger", LEDGER, "enclaves")
        answer("Enclaves", facts.signer, "signerOf", facts.spec.enclave)
        for slot, participant in enumerate(facts.cohort):
            update = facts.commitments.get(slot, bytes(32))
            answer("RoundLedger", update, "commitmentOf", facts.spec.round_id, participant)
        return ask

    return of


def found(draft: Draft, given: Leaves) -> list[Statement]:
    openings, _ = reconstruct(draft.facts(), Published(rows={}), given)
    return list(search(draft.facts(), openings, receipts=draft.receipts, results=draft.results))


@pytest.mark.parametrize(("lie", "rule"), TABLE)
def test_whatever_the_search_finds_is_a_proof(lie: Lie, rule: str, judge: Judge) -> None:
    draft = lie.draft(rule)
    facts, signatures = draft.facts(), ("twoResults", "twoReceipts")
    ask, statements = judge(facts), found(draft, draft.leaves())
    assert (lie.function, lie.predicate) in {(one.function, one.predicate) for one in statements}
    for statement in statements:
        result = bytes(32) if statement.function in signatures else facts.result.hash_struct()
        parts = [*statement.arguments, *(item for part in statement.arguments if type(part) is list for item in part)]
        sets = [part for part in parts if isinstance(part, SetLeaf | RowChunk)]
        counts_another = statement.function == "receiptBroken" and len(sets[0].data) == SET_LEAF_COUNTED_BYTES
        said, finding = ask(statement)
        assert said == "found", f"{statement.function}, {statement.text}: {said} {finding}"
        assert finding == {
            "predicate": statement.predicate,
            "isEnclaves": statement.function != "commitmentBroken" and not counts_another,
            "round": facts.spec.round_id,
            "spec": facts.spec.hash_struct(),
            "enclave": facts.spec.enclave,
            "result": result,
            "slots": len(facts.cohort) if sets else 0,
        }


@pytest.mark.parametrize("rule", RULES)
def test_no_opening_of_an_honest_round_is_a_proof(rule: str, judge: Judge) -> None:
    draft = usual(rule)
    ask, asked = judge(draft.facts()), set()
    for statement in [*of_sets(draft), *of_columns(draft), *of_models(draft), *of_grams(draft)]:
        said, why = ask(statement)
        assert said == "NotRefuted", f"{statement.function}, {statement.text}: {said} {why}"
        asked.add(statement.function)
    assert asked >= {lie.function for lie in LIES if rule in lie.rules}


def say(draft: Draft, family: Family, function: str, *arguments: object) -> Statement:
    """A statement that is not true."""
    return draft.facts().statement(family, Predicate.FORM, function, *arguments, text="a place of an honest round")


def of_sets(draft: Draft) -> Iterator[Statement]:
    facts, openings = draft.facts(), Openings(draft.leaves(), counted=draft.counted)
    for slot in range(len(facts.cohort)):
        leaf = openings.set_leaf(slot)
        yield say(draft, Family.SET, "setLeafDiffers", facts.outcomes, leaf)
        yield say(draft, Family.SET, "commitmentBroken", facts.cohort, leaf)
        if slot in draft.slots:
            yield say(draft, Family.SET, "signatureWrong", facts.cohort, leaf)
            yield say(draft, Family.COLUMN, "weightDiffers", facts.outcomes, leaf)
            for index, coordinate in ((0, 0), (0, 255), (17, DIMENSION % 256 - 1), (17, DIMENSION % 256), (17, 255)):
                yield say(draft, Family.SET, "rowMalformed", leaf, openings.row_leaf(slot, index), coordinate)
            for chunks in ([0], [1], [0, 1]):
                parts = [openings.row_chunk(slot, chunk) for chunk in chunks]
                yield say(draft, Family.SET, "rowOverBound", parts, chunks)
            if slot not in facts.commitments:
                held = draft.receipt(slot, draft.update(slot).hash_struct())
                yield say(draft, Family.SET, "receiptBroken", facts.cohort, held.receipt, held.signature, leaf)
    one, held = draft.signed(), draft.receipt(0, draft.update(0).hash_struct())
    arguments = (facts.spec, one.result, one.signature, one.result, one.signature)
    yield replace(say(draft, Family.SET, "twoResults"), arguments=arguments)
    again = (facts.spec, held.receipt, held.signature, held.receipt, held.signature)
    yield replace(say(draft, Family.SET, "twoReceipts"), arguments=again)


def of_columns(draft: Draft) -> Iterator[Statement]:
    facts, openings = draft.facts(), Openings(draft.leaves(), counted=draft.counted)
    for index in (0, 1, 130, facts.column_leaves - 1):
        column, sums, raw = openings.column(index), openings.sums(index), openings.column_leaf(index)
        yield say(draft, Family.COLUMN, "columnMalformed", raw)
        yield say(draft, Family.COLUMN, "preimageMalformed", raw, False, column.columns)
        yield say(draft, Family.COLUMN, "preimageMalformed", raw, True, sums.totals)
        for slot in draft.slots:
            before = openings.sums(index - 1) if index else NO_SUMS
            yield say(draft, Family.COLUMN, "totalDiffers", column, sums.totals, before, slot)
            row = openings.row_leaf(slot, index // 16)
            yield say(draft, Family.COLUMN, "columnDiffers", column, openings.set_leaf(slot), row.data, row.path)
        values = np.frombuffer(column.columns, "<i2").reshape(-1, 16).astype(np.int16)
        rule = Rule(facts.spec.rule)
        low, high = kept_range(rule if rule is Rule.TRIMMED_MEAN else Rule.MEDIAN, values, f=1)
        for lane in range(16):
            words = facts.outcomes if rule is Rule.WEIGHTED_MEAN else b""
            ends = int(low[lane]), int(high[lane])
            yield say(draft, Family.COLUMN, "aggregateDiffers", column, lane, *ends, words)
    for slot in draft.slots:
        last = openings.sums(facts.column_leaves - 1)
        yield say(draft, Family.COLUMN, "outcomeDiffers", last, facts.outcomes, slot)


def of_models(draft: Draft) -> Iterator[Statement]:
    facts, openings = draft.facts(), Openings(draft.leaves(), counted=draft.counted)
    for index in range(facts.row_leaves):
        yield say(draft, Family.COLUMN, "modelMalformed", openings.model_leaf(index))
    for coordinate in range(0, 256, 15):
        yield say(draft, Family.COLUMN, "modelPaddingDiffers", openings.model_leaf(17), coordinate)
    for index in (0, 130, facts.column_leaves - 1):
        for lane in range(16):
            both = openings.base_leaf(index // 16), openings.model_leaf(index // 16)
            yield say(draft, Family.COLUMN, "modelDiffers", openings.column_leaf(index), lane, *both)


def of_grams(draft: Draft) -> Iterator[Statement]:
    if draft.gram is None:
        return
    facts, openings = draft.facts(), Openings(draft.leaves(), counted=draft.counted)
    for index in range(len(draft.gram)):
        yield say(draft, Family.GRAM, "gramMalformed", openings.gram_leaf(index))
    pairs = [(one, other) for one in draft.slots for other in draft.slots]
    for chunk in range(facts.chunks):
        for one, other in pairs:
            line = openings.gram_line(chunk, one)
            yield say(draft, Family.GRAM, "productsDiffer", chunk, line, openings.gram_line(chunk, other))
            before = openings.gram_line(chunk - 1, one) if chunk else NO_LINE
            rows = openings.row_chunk(one, chunk), openings.row_chunk(other, chunk)
            yield say(draft, Family.GRAM, "productDiffers", chunk, line, before, *rows)
    for one, other in pairs:
        both = openings.gram_line(facts.chunks - 1, one), openings.gram_line(facts.chunks - 1, other)
        yield say(draft, Family.GRAM, "normOverBound", both[0])
        yield say(draft, Family.GRAM, "normsDiffer", facts.outcomes, *both)
        if draft.selected >> one & 1:
            reaches = reach(draft, one), reach(draft, other)
            yield say(draft, Family.GRAM, "selectionDiffers", facts.outcomes, *both, *reaches)


def reach(draft: Draft, slot: int) -> int:
    """The largest distance in a slot's score, from the rows themselves."""
    rows = {s: np.frombuffer(b"".join(draft.rows[s]), "<i2").astype(np.int64) for s in draft.slots}
    distances = sorted(int(((rows[slot] - rows[s]) ** 2).sum()) for s in draft.slots if s != slot)
    return distances[len(draft.slots) - draft.spec.f - 3]


KRUM = [item for item in json.loads(VECTORS.read_text(encoding="utf-8")) if item["what"] == "krum"]


@pytest.mark.parametrize("vector", KRUM, ids=lambda vector: str(vector["comment"]))
def test_the_contract_selects_by_the_scores_of_the_vectors(vector: dict[str, Any], judge: Judge) -> None:
    rows = {slot: np.array(row, dtype=np.int16) for slot, row in enumerate(vector["rows"])}
    keys = dict(enumerate(sorted((key_of(f"krum {slot}") for slot in rows), key=address)))
    cohort, base = tuple(address(key) for key in keys.values()), np.zeros(len(rows[0]), dtype=np.int32)
    draft = honest(
        some_spec("krum", cohort, base, f=vector["f"], norm_bound=0),
        cohort,
        keys,
        rows,
        base,
        enclave_key=key_of("enclave"),
        domain=Domain(chain_id=31337, ledger=LEDGER),
    )
    assert slots_of(draft.selected) == vector["order"][:1]
    for chosen in draft.slots:
        draft.selected = 1 << chosen
        facts, openings = draft.facts(), Openings(draft.leaves(), counted=draft.counted)
        ask = judge(facts)
        for other in draft.slots:
            both = openings.gram_line(0, chosen), openings.gram_line(0, other)
            reaches = reach(draft, chosen), reach(draft, other)
            said, _ = ask(say(draft, Family.GRAM, "selectionDiffers", facts.outcomes, *both, *reaches))
            is_before = vector["order"].index(other) < vector["order"].index(chosen)
            assert said == ("found" if is_before else "NotRefuted"), (chosen, other)
            for wrong in (-1, 1):
                off = reaches[0] + wrong, reaches[1]
                said, _ = ask(say(draft, Family.GRAM, "selectionDiffers", facts.outcomes, *both, *off))
                assert said == "WrongRank", (chosen, other)
