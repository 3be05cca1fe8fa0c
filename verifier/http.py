"""One HTTP exchange after another, each with a deadline over the whole of it and a limit on its answer.

Responsible for: the time from connecting to the last byte, also when headers or body drip; the size of what is held.
Must not know:   what is asked, or what an answer means.

Asynchronous inside, only because nothing else limits the time of the whole: a client's own timeouts begin anew with
every byte.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import httpx

from protocol.errors import LengthError


class Exchanges:
    """A client and the event loop that it lives in."""

    def __init__(
        self,
        *,
        timeout_s: float,
        context: ssl.SSLContext | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._timeout_s = timeout_s
        self._runner = asyncio.Runner()
        self._client = httpx.AsyncClient(
            timeout=timeout_s,
            verify=context or ssl.create_default_context(),
            transport=transport,
            follow_redirects=False,
            trust_env=False,
        )

    def exchange(self, method: str, url: str, *, limit: int, json: object = None) -> tuple[int, bytes]:
        """Status and body of an answer of at most `limit` bytes.

        Raises: httpx.HTTPError, httpx.InvalidURL, TimeoutError (the deadline), LengthError (more than `limit`).
        """
        return self._runner.run(self._exchange(method, url, limit, {} if json is None else {"json": json}))

    def close(self) -> None:
        """Closes the connections and the loop."""
        self._runner.run(self._client.aclose())
        self._runner.close()

    async def _exchange(self, method: str, url: str, limit: int, content: dict[str, Any]) -> tuple[int, bytes]:
        body = bytearray()
        async with (
            asyncio.timeout(self._timeout_s),
            self._client.stream(method, url, **content) as response,
        ):
            async for piece in response.aiter_bytes():
                body += piece
                if len(body) > limit:
                    raise LengthError("length of an answer", expected=f"at most {limit}", actual=f"{len(body)} so far")
        return response.status_code, bytes(body)
