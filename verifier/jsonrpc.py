"""One JSON-RPC address of a node: a question, and its answer in time, of a bounded size, and of the right form.

Responsible for: turning every silence, delay or piece of garbage into UnavailableError.
Must not know:   what is asked, or what an answer means.
"""

from __future__ import annotations

from typing import Any

import httpx

from protocol.errors import MalformedError, UnavailableError
from verifier.http import Exchanges
from verifier.values import parse_json, quantity

TIMEOUT_S = 20.0
"""For one whole question and its answer, however slowly they drip."""


class Endpoint:
    """One address.  Everything but `close` raises UnavailableError."""

    def __init__(
        self, url: str, *, max_bytes: int, timeout_s: float, transport: httpx.AsyncBaseTransport | None
    ) -> None:
        """max_bytes: of one answer."""
        self.url = url
        self._max_bytes = max_bytes
        self._exchanges = Exchanges(timeout_s=timeout_s, transport=transport)

    def close(self) -> None:
        """Closes the connections."""
        self._exchanges.close()

    def ask(self, method: str, params: list[object]) -> dict[str, Any]:
        """The answer to this question: an envelope with a result or an error, which is not looked at."""
        question = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        try:
            _, body = self._exchanges.exchange("POST", self.url, limit=self._max_bytes, json=question)
            answer = parse_json(body, method)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            message = f"the chain at {self.url} does not answer {method} ({type(error).__name__})"
            raise UnavailableError(message, "check --rpc, and that the node runs") from error
        except MalformedError as error:
            raise self.garbage(method, "the answer is not JSON, or does not end") from error
        if not isinstance(answer, dict) or answer.get("id") != 1:
            raise self.garbage(method, "no answer to this question")
        return answer

    def number(self, method: str, value: object) -> int:
        """A quantity in an answer to `method`."""
        try:
            return quantity(value, method)
        except MalformedError as error:
            raise self.garbage(method, str(error)) from error

    def garbage(self, method: str, why: str) -> UnavailableError:
        """To be raised for an answer that can't be used."""
        return UnavailableError(f"the chain at {self.url} gave no usable answer to {method}: {why}", "try another node")
