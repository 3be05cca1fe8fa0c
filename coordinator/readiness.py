"""What has to be there before a round can open: terms, an enclave, collateral, an admitted coordinator, money.

Responsible for: launching, registering and replacing the enclave; publishing the collateral that members voted for;
                 saying who has to act when something is missing.
Must not know:   rounds, or what the enclave does in one.
"""

from __future__ import annotations

import logging

from coordinator.chain import RevertedError
from coordinator.door import EnclaveFaultError, Started
from coordinator.enclave.rounds import check_supported
from coordinator.enclave_host import EnclaveHost, Nonce
from coordinator.ledger import EnclaveState, Ledger, TcbRecord
from coordinator.log import log_event
from coordinator.outbox import Outbox
from protocol.charter import Charter
from protocol.enclaves import platform_of, shown
from protocol.errors import UnavailableError, VeriflockError
from protocol.keys import to_hex
from protocol.terms import Terms

NONCE_BLOCKS = 200
"""Older keys are not registered any more: the registry looks back 256 blocks (BLOCKHASH), and a few may come."""
BOND_PER_BUDGET = 4
"""The ledger wants this many budgets as a bond (RoundLedger.openRound)."""

ENDS_LATE = "the round is voided when it is late"


class NotYetError(UnavailableError):
    """Somebody else has to act first: members, participants, or the owner of the money."""


class Readiness:
    """The conditions of a round, looked up anew each time."""

    def __init__(self, ledger: Ledger, outbox: Outbox, host: EnclaveHost) -> None:
        self._ledger = ledger
        self._outbox = outbox
        self._host = host

    def launch(self, *, is_round_open: bool) -> Started:
        """A running enclave.

        Raises: UnavailableError when there is no platform; NotYetError when the enclave of an open round is lost.
        """
        if not self._host.has_keys():
            return self._host.launch(self._new_nonce())
        try:
            return self._host.launch(None)
        except EnclaveFaultError as error:
            if is_round_open:  # only that enclave can close it
                raise NotYetError(f"the round's enclave does not come back ({error})", ENDS_LATE) from error
            # Another measurement or platform: nobody can unseal these keys any more, and no round needs them.
            log_event("enclave_lost", level=logging.WARNING, reason=str(error))
            return self._host.launch(self._new_nonce())

    def ready(self, until: int) -> Started:
        """An enclave that may sign until then, chain time: launched, registered, and replaced where it lives too short.

        A fresh enclave is registered before the round opens that its predecessor would not have outlived: none is lost.
        Raises: NotYetError with who has to act, UnavailableError.
        """
        started, account = self.launch(is_round_open=False), self._outbox.sender
        if not self._ledger.is_coordinator(account):
            raise NotYetError(f"{to_hex(account)} is not an admitted coordinator", "members admit it by vote")
        row = self._accepted(started, until)
        record = self._ledger.enclave(started.enclave)
        is_expiring = record.state is EnclaveState.REGISTERED and record.expiry <= until
        if record.state is EnclaveState.REVOKED or is_expiring:
            log_event("enclave_replaced", level=logging.WARNING, enclave=started.enclave, expiring=is_expiring)
            started = self._host.launch(self._new_nonce())
            record = self._ledger.enclave(started.enclave)
        if record.state is EnclaveState.NONE:
            started = self._registered(started)
            record = self._ledger.enclave(started.enclave)
        if not record.is_active:
            name = f"enclave 0x{started.enclave.hex()}"
            raise NotYetError(f"{name} is not active", "its measurement, authority or platform was revoked by vote")
        self._publish(row)
        return started

    def _accepted(self, started: Started, until: int) -> TcbRecord:
        """The row that members accepted for this platform; it and the certificates have to outlive the round."""
        evidence, authority = shown(started.quote, started.claims, started.hpke_key)
        platform = platform_of(evidence.quote, authority)
        row, issuer_expiry = self._ledger.tcb(platform.tcb), self._ledger.authority_expiry(authority)
        if row is None or issuer_expiry is None:
            raise NotYetError(
                f"this platform (authority 0x{authority.hex()}, TCB 0x{platform.tcb.hex()}) is not accepted",
                "members trust its authority and accept its TCB by vote, from its collateral",
            )
        if row.expiry <= until:
            raise NotYetError(f"what members accepted of this platform ends at {row.expiry}", "they vote for newer")
        if min(issuer_expiry, platform.leaf.not_after_s) <= until:
            raise NotYetError("the certificates of this platform expire", "use another platform")
        return row

    def _registered(self, started: Started) -> Started:
        nonce = self._host.nonce()
        if nonce is None or nonce.block + NONCE_BLOCKS < self._ledger.chain.block("latest").number:
            started = self._host.launch(self._new_nonce())
            nonce = self._host.nonce()
        if nonce is None:
            raise UnavailableError("the launch of the enclave has no nonce", "use an empty data folder")
        evidence, authority = shown(started.quote, started.claims, started.hpke_key)
        call = self._ledger.register_call(evidence, authority, nonce.block)
        try:
            self._outbox.send(f"register/{started.enclave.hex()}", call)
        except RevertedError as error:
            raise NotYetError(str(error), "members allow its measurement and believe its platform by vote") from error
        log_event("enclave_registered", enclave=started.enclave)
        return started

    def _publish(self, row: TcbRecord) -> None:
        """The collateral that the row names, for everybody who checks the enclave; asked for where it is missing."""
        if self._host.has_blob(row.collateral):
            return
        given = self._host.publish_collateral()
        if given != row.collateral:
            what = f"members voted for the collateral {row.collateral.hex()}, the platform gives {given.hex()}"
            raise NotYetError(what, "they vote for the newer, or somebody puts the older among the blobs")

    def _new_nonce(self) -> Nonce:
        block = self._ledger.chain.block("latest")
        if block.hash is None:
            raise UnavailableError("the newest block has no hash", "use a node that gives one")
        return Nonce(value=block.hash, block=block.number)

    def check_terms(self, terms: Terms, charter: Charter) -> None:
        """Raises NotYetError for terms that the enclave of this version does not take: the round would end late."""
        try:
            check_supported(terms, charter)
        except VeriflockError as error:
            what = f"the terms in force are not for this version's enclave ({error})"
            raise NotYetError(what, "members vote for other terms, or start a version that knows these") from error

    def check_money(self, budget: int) -> None:
        """Raises NotYetError when bond or treasury are too small for a round of this budget, in wei, or frozen."""
        ledger, account = self._ledger, self._outbox.sender
        if ledger.is_frozen(account):
            what = f"the bond of {to_hex(account)} is frozen: a round of it was refuted"
            raise NotYetError(what, "executeVerdict of Disputes shares it out; then bond anew")
        bond, needed = ledger.bond(account), max(ledger.minimum_bond(), BOND_PER_BUDGET * budget)
        if bond < needed:
            raise NotYetError(f"the bond is {bond} wei, {needed} are needed", "`veriflock coordinator bond` adds to it")
        treasury = ledger.treasury()
        if treasury < budget:
            raise NotYetError(f"the treasury has {treasury} wei, a round pays up to {budget}", "members fund it")
