"""Cuts connections off that hold a place and do nothing with it; uvicorn waits for them for ever.

Responsible for: how long a peer may take for the head of a request and for a whole exchange, and how many connections
                 one address may have.
Must not know:   what is asked or answered.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

HEAD_S = 35.0
"""For the head of a request, from the connection or the last answer on; more than uvicorn's own keep-alive of 30."""
EXCHANGE_S = 600.0
"""From the head of a request to the last byte of its answer: the largest model at 100 kB/s."""
PER_ADDRESS = 384
"""Half of all; every participant of the largest cohort may sit behind one address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """What a connection was doing when it was looked at, and since when."""

    cycle: Any
    """Its newest request; None before the first."""
    is_busy: bool
    """Whether that request is not answered yet."""
    since_s: float


class Doorkeeper:
    """Looks at all connections from time to time."""

    def __init__(
        self, *, head_s: float = HEAD_S, exchange_s: float = EXCHANGE_S, per_address: int = PER_ADDRESS
    ) -> None:
        self._head_s, self._exchange_s, self._per_address = head_s, exchange_s, per_address
        self._seen: dict[Any, _Seen] = {}

    def cut(self, connections: Iterable[Any], now_s: float) -> list[Any]:
        """Those that are to be closed now.

        connections: uvicorn's H11Protocol: `cycle` is the newest request, `client` the address and port.
        now_s:       of the monotonic clock.
        """
        seen = {one: self._look(one, now_s) for one in connections}
        places: Counter[str] = Counter()
        out = []
        for connection, now in sorted(seen.items(), key=lambda item: item[1].since_s):  # who came last is one too many
            address = (getattr(connection, "client", None) or ("",))[0]
            places[address] += 1
            limit_s = self._exchange_s if now.is_busy else self._head_s
            if now_s - now.since_s > limit_s or places[address] > self._per_address:
                out.append(connection)
        self._seen = seen
        return out

    def _look(self, connection: Any, now_s: float) -> _Seen:
        cycle, before = getattr(connection, "cycle", None), self._seen.get(connection)
        is_busy = cycle is not None and not cycle.response_complete
        if before is not None and before.cycle is cycle and before.is_busy == is_busy:
            return before
        return _Seen(cycle=cycle, is_busy=is_busy, since_s=now_s)
