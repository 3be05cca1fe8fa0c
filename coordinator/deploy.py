"""Founds a federation: its contracts, each of which knows the others' addresses from the start.

Responsible for: the addresses before they exist, the order, and going on after a crash with the same federation.
Must not know:   how members vote.

CREATE addresses follow from sender and nonce, so the circle of constructors closes without a setter or an owner.
"""

from __future__ import annotations

from dataclasses import dataclass

from web3.utils.address import get_create_address

from contracts import NAMES
from coordinator.chain import Call, Chain
from coordinator.founding import Founding
from coordinator.log import log_event
from coordinator.outbox import Outbox, Records
from protocol.encoding import Fields
from protocol.errors import UnavailableError
from protocol.keys import Address, to_hex

PLAN = "founding.cbor"

REQUEST_PARTS = 100
"""To ask for a leaf takes a deposit of the smallest bond over this: more than an answer costs in gas, little for who is
answered, since the answerer gets it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """A founded federation."""

    federation: bytes
    """Random id of 32 bytes: every signed struct starts with it."""
    contracts: dict[str, Address]
    """By name."""
    from_block: int
    """Block of the first contract: no event is older."""
    transactions: tuple[bytes, ...]
    """Hashes, in order."""

    @property
    def ledger(self) -> Address:
        """The RoundLedger, through which everything else is found."""
        return self.contracts["RoundLedger"]


def deploy(chain: Chain, outbox: Outbox, records: Records, founding: Founding, *, federation: bytes) -> Deployment:
    """Deploys all contracts with the outbox's key.

    federation: 32 random bytes; a deployment that was interrupted goes on with those that it began with.
    Raises: UnavailableError, RevertedError.
    """
    outbox.resume()
    plan = records.read_record(PLAN)
    if plan is None:
        plan = {"federation": federation, "nonce": chain.nonce(outbox.sender)}
        records.write_record(PLAN, plan)
        # If we die here id and addresses are fixed: the next call deploys the same federation.
    fields = Fields(plan, "the founding's plan")
    federation, nonce = fields.bytes("federation", 32), fields.uint("nonce")
    fields.done()
    addresses = create_addresses(outbox.sender, nonce)
    found: list[bytes] = []
    first_block = 0
    for index, name in enumerate(NAMES):
        data = chain.contracts[name].creation(*_arguments(name, federation, addresses, founding))
        receipt = outbox.send(f"deploy/{name}", Call(what=f"deploying {name}", to=None, data=data))
        # If we die here this contract stands at its address; the next call goes on with the one after it.
        if receipt.contract != addresses[name]:
            raise UnavailableError(
                f"{name} is at {receipt.contract and to_hex(receipt.contract)}, not at {to_hex(addresses[name])}: "
                "the deploying key sent another transaction meanwhile",
                "deploy again with an empty folder and a key that nothing else uses",
            )
        first_block = first_block or receipt.block
        found.append(receipt.transaction)
        log_event("contract_deployed", contract=name, address=addresses[name], gas=receipt.gas_used, number=index + 1)
    return Deployment(federation=federation, contracts=addresses, from_block=first_block, transactions=tuple(found))


def create_addresses(sender: Address, nonce: int) -> dict[str, Address]:
    """Where the contracts will be if `sender` deploys them in the order of NAMES, the first with this nonce."""
    found = {}
    for index, name in enumerate(NAMES):
        text = get_create_address(to_hex(sender), nonce + index)  # type: ignore[arg-type]  # web3's NewTypes
        found[name] = bytes.fromhex(text[2:])
    return found


def _arguments(name: str, federation: bytes, at: dict[str, Address], founding: Founding) -> tuple[object, ...]:
    consortium, participants, enclaves, ledger, disputes, sets, columns, grams = (at[key] for key in NAMES)
    members = [(member.account, member.hpke_key) for member in founding.members]
    charter = founding.charter.sha256()
    arguments: dict[str, tuple[object, ...]] = {
        "Consortium": (
            *(federation, charter, participants, enclaves, ledger, disputes),
            *(members, founding.terms, founding.delay_s),
        ),
        "Participants": (federation, consortium, ledger, founding.deposit_wei),
        "Enclaves": (federation, consortium, ledger),
        "RoundLedger": (
            *(federation, consortium, participants, enclaves, disputes),
            *(founding.genesis_root(), founding.charter.model_exponent, founding.minimum_bond_wei),
        ),
        "Disputes": (
            *(federation, ledger, consortium, enclaves, sets, columns, grams),
            founding.minimum_bond_wei // REQUEST_PARTS,
        ),
    }
    return arguments.get(name, (ledger,))  # a predicate knows the ledger only
