"""HTTP exchanges, each with a deadline over the whole of it and a limit on its answer, or several with one for all.

Responsible for: the time from connecting to the last byte, also when headers or body drip; the size of what is held.
Must not know:   what is asked, or what an answer means.

Asynchronous inside, only because nothing else limits the time of the whole: a client's own timeouts begin anew with
every byte.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from typing import Any

import httpx

from protocol.errors import LengthError

Answer = tuple[int, bytes]
"""Status and body."""


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

    def exchange(
        self, method: str, url: str, *, limit: int, json: object = None, within_s: float | None = None
    ) -> Answer:
        """An answer of at most `limit` bytes; within_s: another deadline than the usual one.

        Raises: httpx.HTTPError, httpx.InvalidURL, TimeoutError (the deadline), LengthError (more than `limit`).
        """
        content = {} if json is None else {"json": json}
        return self._runner.run(self._exchange(method, url, limit, content, within_s or self._timeout_s))

    def get_all(self, wanted: Sequence[tuple[str, int]], *, at_once: int, within_s: float) -> list[Answer | Exception]:
        """What comes of (url, limit), each an answer or what `exchange` raises; `at_once` of them at a time.

        within_s: for all of them together; whatever has not come by then is a TimeoutError.
        """
        return self._runner.run(self._get_all(wanted, at_once, within_s))

    def close(self) -> None:
        """Closes the connections and the loop."""
        self._runner.run(self._client.aclose())
        self._runner.close()

    async def _get_all(
        self, wanted: Sequence[tuple[str, int]], at_once: int, within_s: float
    ) -> list[Answer | Exception]:
        gate = asyncio.Semaphore(at_once)

        async def get(url: str, limit: int) -> Answer:
            async with gate:
                return await self._exchange("GET", url, limit, {}, within_s)

        tasks = [asyncio.create_task(get(url, limit)) for url, limit in wanted]
        if tasks:
            await asyncio.wait(tasks, timeout=within_s)
        for task in tasks:
            task.cancel()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        late = TimeoutError(f"not in {within_s:g} s")
        return [late if isinstance(one, asyncio.CancelledError) else _answer(one) for one in found]

    async def _exchange(self, method: str, url: str, limit: int, content: dict[str, Any], within_s: float) -> Answer:
        body = bytearray()
        async with (
            asyncio.timeout(within_s),
            self._client.stream(method, url, **content) as response,
        ):
            async for piece in response.aiter_bytes():
                body += piece
                if len(body) > limit:
                    raise LengthError("length of an answer", expected=f"at most {limit}", actual=f"{len(body)} so far")
        return response.status_code, bytes(body)


def _answer(found: Answer | BaseException) -> Answer | Exception:
    """As it is; what is no Exception (an interrupt) goes on being raised."""
    if isinstance(found, BaseException) and not isinstance(found, Exception):
        raise found
    return found
