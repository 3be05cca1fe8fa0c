"""Checks 1 to 3: the chain, the deployed code, and every event of it.

Responsible for: what must hold before any event means anything.
Must not know:   rounds, artifacts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from contracts import artifact
from protocol.errors import UnavailableError, VerificationError
from protocol.events import parse_event, stream
from protocol.keys import Address, to_hex
from verifier.chain import ChainSource, Log
from verifier.deployment import Contract, Deployment, all_logs, find_deployment
from verifier.state import Entry
from verifier.storage import Storage


def check_1_chain(open_chain: Callable[[], ChainSource], genesis: bytes | None = None) -> tuple[ChainSource, str]:
    """The source answers, is of the genesis that was asked for, and does not contradict itself.

    Of a dump: every hash, and who signed each transaction.
    """
    chain = open_chain()
    head = chain.head()
    found = chain.genesis_hash()
    if genesis not in (None, found):
        raise VerificationError("genesis hash", expected=genesis, actual=found)
    return chain, f"{chain.describe()}: chain id {chain.chain_id()}, genesis {found.hex()}, head {head.hash.hex()}"


def check_2_code(chain: ChainSource, ledger: Address, federation: bytes | None = None) -> tuple[Deployment, str]:
    """All contracts run the committed code, refer to each other, and are the federation that was asked for."""
    deployment = find_deployment(chain, ledger)
    if federation not in (None, deployment.federation):
        raise VerificationError("federation of the ledger", expected=federation, actual=deployment.federation)
    names = ", ".join(f"{contract.name} {to_hex(contract.address)}" for contract in deployment.deployed)
    return deployment, f"{names}: code as compiled, federation {deployment.federation.hex()}"


def check_3_streams(chain: ChainSource, deployment: Deployment) -> tuple[tuple[Entry, ...], str]:
    """Each contract's rolling hash, recomputed from its logs, is the one in its storage: no event is missing."""
    logs = all_logs(chain, deployment)
    for contract in deployment.all:
        recomputed = stream((log.topics, log.data) for log in logs[contract.name])
        stored = storage_of(chain, contract).value("_head")
        if recomputed != stored and not chain.proves:
            what = f"logs and storage of {contract.name} that this node gives don't fit: some are missing"
            raise UnavailableError(what, "ask another node")
        if recomputed != stored:
            raise VerificationError(f"stream of {contract.name}", expected=stored, actual=recomputed)
    entries = _entries(chain, logs)
    counts = ", ".join(f"{name} {len(found)}" for name, found in logs.items())
    return entries, f"events: {counts}; each stream equals storage"


def storage_of(chain: ChainSource, contract: Contract) -> Storage:
    """A contract's storage by the names of its variables."""
    layout = artifact(contract.name)["storageLayout"]
    return Storage(layout, lambda slot: chain.storage(contract.address, slot))


def _entries(chain: ChainSource, logs: Mapping[str, list[Log]]) -> tuple[Entry, ...]:
    """All events in the order of the chain, each with its block's time."""
    ordered = sorted(
        ((log, name) for name, found in logs.items() for log in found),
        key=lambda item: item[0].place,
    )
    return tuple(
        Entry(
            contract=name,
            event=parse_event(name, log.topics, log.data),
            log=log,
            time_s=chain.header(log.block_number).timestamp_s,
        )
        for log, name in ordered
    )
