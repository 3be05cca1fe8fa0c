"""Sending: one transaction after another of one key, each awaited with a deadline.

Responsible for: nonce, gas, fees, signature, and the receipt; nothing is sent that the node says would fail.
Must not know:   what a call is for.

Nothing is kept on disk: whoever is cut off starts again and finds on the chain what was mined.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from protocol.errors import UnavailableError, VerificationError
from protocol.keys import Address, address
from verifier.node import Call, Mined, Node
from verifier.signing import Unsigned, offer, sign_transaction

T = TypeVar("T")

MAX_GAS = 1 << 24
"""Osaka's limit of one transaction (EIP-7825)."""
GAS_MARGIN = 1.25
"""Over the estimate: the state may move between estimate and block."""
GAS_MORE = 10_000
POLL_S = 0.05
"""How often a receipt is looked for at first; doubled up to two seconds."""
MAX_POLL_S = 2.0


class Sender:
    """The transactions of one key on one chain."""

    def __init__(
        self,
        node: Node,
        key: bytes,
        *,
        chain_id: int,
        cap_wei: int,
        wait_s: float,
        tell: Callable[[Mined], None] | None = None,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """chain_id: of the ledger, which the node's must be.   cap_wei: most that a unit of gas may cost.

        wait_s: how long a transaction may take to be mined.   tell: told of each that was, also of one that failed.
        """
        self.account: Address = address(key)
        self._key, self._node = key, node
        self._chain_id, self._cap_wei, self._wait_s = chain_id, cap_wei, wait_s
        self._tell, self._sleep, self._monotonic = tell, sleep, monotonic

    def send(self, call: Call) -> Mined:
        """Has a call mined.

        Raises: RefusedError (the estimate fails and nothing is sent, or it was mined and failed), UnavailableError
                (not mined in time, no money, too dear), VerificationError (the node is of another chain).
        """
        node = self._node
        gas = node.estimate(call, self.account)
        if gas > MAX_GAS:
            raise UnavailableError(f"{call.what} takes {gas} gas, and one transaction may take {MAX_GAS}")
        if node.chain_id() != self._chain_id:
            raise VerificationError("chain id of the node", expected=self._chain_id, actual=node.chain_id())
        wanted = Unsigned(
            chain_id=self._chain_id,
            nonce=node.nonce(self.account),
            fees=offer(base_fee_wei=node.base_fee_wei(), tip_wei=node.tip_wei(), cap_wei=self._cap_wei),
            gas=min(MAX_GAS, int(gas * GAS_MARGIN) + GAS_MORE),
            to=call.to,
            input=call.data,
        )
        signed = sign_transaction(wanted, self._key)
        node.send(signed.raw)
        # If we die here it may be mined or not: the next start reads the chain and goes on from what is there.
        what = f"{call.what} (transaction 0x{signed.hash.hex()})"
        mined = self.await_(lambda: node.mined(signed.hash, call.what), what)
        if self._tell is not None:
            self._tell(mined)
        if not mined.is_success:
            raise node.why_refused(call, self.account, mined)
        return mined

    def await_(self, look: Callable[[], T | None], what: str) -> T:
        """What `look` finds once something is mined.  Raises UnavailableError when it is not in time."""
        deadline, pause = self._monotonic() + self._wait_s, POLL_S
        while True:
            found = look()
            if found is not None:
                return found
            if self._monotonic() >= deadline:
                raise UnavailableError(
                    f"{what} was not mined in {self._wait_s:g} s",
                    "run the command again: it goes on from what the chain has by then",
                )
            self._sleep(pause)
            pause = min(2 * pause, MAX_POLL_S)
