"""The coordinator's HTTP face: parses, calls, translates; it decides nothing.

Responsible for: routes, sizes and time limits of what comes in, and one table from errors to statuses.
Must not know:   how an update is received, or what a round is.

Replies are deterministic CBOR (application/cbor), blobs raw bytes.  Spec: docs/protocol.md, "HTTP".
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from coordinator.checkpoints import MAX_CHECKPOINT_BYTES
from coordinator.door import UpdateRefusedError
from coordinator.log import log_event
from coordinator.rounds import Phase
from coordinator.service import Service
from coordinator.store import parse_digest
from protocol.encoding import encode
from protocol.errors import (
    HTTP_STATUS,
    EncodingError,
    LengthError,
    RoundError,
    UnavailableError,
    VeriflockError,
)
from protocol.keys import parse_address
from protocol.outcomes import Reason

CBOR = "application/cbor"
WIRE_STATES = {
    Phase.IDLE: "idle",
    Phase.COLLECTING: "collecting",
    Phase.SIGNED: "collecting",  # the ledger knows nothing of it yet
    Phase.PROPOSED: "proposed",
    Phase.SETTLED: "settled",
    Phase.VOID: "void",
}


class TooLargeError(LengthError):
    """A body that is longer than any that is good there."""


class TooSlowError(RoundError):
    """A body that did not come in time."""


class BusyError(RoundError):
    """An upload while another one of the same sender is in flight."""


class NotFoundError(RoundError):
    """Something that is not here, or not yet."""


STATUS: tuple[tuple[type[Exception], int], ...] = (
    (TooLargeError, 413),
    (TooSlowError, 408),
    (BusyError, 429),
    (NotFoundError, 404),
    *HTTP_STATUS.items(),
    (OSError, 503),
)
"""First match wins: four leaves that HTTP has words for, then the branches."""


def status_of(error: Exception) -> int:
    """The status of an error."""
    return next((status for kind, status in STATUS if isinstance(error, kind)), 500)


def create_app(service: Service, *, uploads: int, upload_s: float) -> FastAPI:
    """The application.

    uploads:  bodies that may be read at once; each is at most one sealed update in memory.
    upload_s: how long one may take.
    """
    app = FastAPI(title="veriflock coordinator", openapi_url=None, docs_url=None, redoc_url=None)
    gate = UploadGate(uploads)

    @app.get("/v1/federation")
    async def federation() -> Response:
        ledger = service.ledger
        return _cbor(
            {
                "federation": ledger.federation,
                "chain_id": ledger.identity.chain_id,
                "ledger": ledger.address,
                "charter": service.charter.encode(),
            }
        )

    @app.get("/v1/enclave")
    async def enclave() -> Response:
        started = service.enclave
        if started is None:
            raise UnavailableError("the enclave is not running", "ask again in a few seconds")
        return _cbor(
            {
                "enclave": started.enclave,
                "hpke_key": started.hpke_key,
                "quote": started.quote,
                "claims": started.claims.to_map(),
            }
        )

    @app.get("/v1/rounds/current")
    async def current() -> Response:
        state, spec = service.current
        return _cbor(
            {
                "round": state.round_id,
                "state": WIRE_STATES[state.phase],
                "spec": None if spec is None else spec.to_map(),
                "base": None if spec is None else service.base_blob(spec),
                "cohort": list(state.cohort),
                "received": state.received_slots(),
            }
        )

    @app.get("/v1/rounds/{round_text}/evidence")
    async def evidence(round_text: str) -> Response:
        round_id = parse_round(round_text)
        data = await run_in_threadpool(service.evidence, round_id)
        if data is None:
            raise NotFoundError("evidence", expected="a round whose result is signed", actual=round_id)
        return Response(data, media_type=CBOR)

    @app.get("/v1/blobs/{digest}")
    async def blob(digest: str) -> Response:
        data = await run_in_threadpool(service.blob, parse_digest(digest))
        if data is None:
            raise NotFoundError("blob", expected="a published SHA-256", actual=digest)
        return Response(data, media_type="application/octet-stream")

    @app.post("/v1/rounds/{round_text}/updates/{sender}")
    async def update(round_text: str, sender: str, request: Request) -> Response:
        round_id, participant = parse_round(round_text), parse_address(sender)
        host = request.client.host if request.client else ""
        async with gate.enter(host, participant.hex()):
            # Before the body: strangers, wrong rounds and late ones cost no memory.
            await run_in_threadpool(service.check_upload, round_id, participant)
            sealed = await read_body(request, limit=service.sealed_bytes, timeout_s=upload_s)
            admitted = await run_in_threadpool(service.upload, round_id, participant, sealed)
        return _cbor({"receipt": admitted.receipt.to_map(), "signature": admitted.signature})

    @app.post("/v1/rounds/{round_text}/checkpoints")
    async def checkpoint(round_text: str, request: Request) -> Response:
        round_id = parse_round(round_text)
        body = await read_body(request, limit=MAX_CHECKPOINT_BYTES, timeout_s=upload_s, what="a checkpoint")
        member = await run_in_threadpool(service.take_checkpoint, round_id, body)
        return _cbor({"member": member})

    async def refuse(request: Request, error: Exception) -> Response:
        reason, cause = Reason.NONE, error
        if isinstance(error, UpdateRefusedError):
            reason, cause = error.reason, error.cause
        status, name = status_of(cause), type(cause).__name__.removesuffix("Error")
        message = str(cause) if isinstance(cause, (VeriflockError, UnavailableError)) else "could not tell"
        log_event(
            "refused",
            level=logging.DEBUG if request.method == "GET" else logging.WARNING,
            method=request.method,
            path=request.url.path,
            status=status,
            error=name,
            reason=int(reason),
            message=str(cause),
        )
        return _cbor({"error": name, "message": message, "reason": int(reason)}, status)

    async def refuse_route(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        expected = "/v1/federation, /v1/enclave, /v1/rounds/..., /v1/blobs/SHA256"
        message = str(NotFoundError("route", expected=expected, actual=f"{request.method} {request.url.path}"))
        return _cbor({"error": "NotFound", "message": message, "reason": 0}, status)

    handlers: dict[type[Exception], Callable[[Request, Exception], Awaitable[Response]]] = {
        VeriflockError: refuse,
        UnavailableError: refuse,
        UpdateRefusedError: refuse,
        OSError: refuse,
        HTTPException: refuse_route,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)
    return app


class UploadGate:
    """Lets in so many uploads at once, a quarter of them from one address, and one per sender.

    Nobody has shown yet who it is: a stranger that names others, and sends slowly, keeps neither them nor others out.
    """

    def __init__(self, limit: int) -> None:
        self._free = asyncio.Semaphore(limit)
        self._share = max(1, limit // 4)
        self._shares: dict[str, asyncio.Semaphore] = {}
        self._inside: set[tuple[str, str]] = set()

    @asynccontextmanager
    async def enter(self, host: str, sender: str) -> AsyncIterator[None]:
        """Holds a place.  Raises BusyError for a sender that has one."""
        if (host, sender) in self._inside:
            raise BusyError("uploads in flight of one sender", expected="1 at a time", actual="a second one")
        self._inside.add((host, sender))
        try:
            async with self._shares.setdefault(host, asyncio.Semaphore(self._share)), self._free:
                yield
        finally:
            self._inside.discard((host, sender))
            if not any(inside == host for inside, _ in self._inside):
                self._shares.pop(host, None)


async def read_body(request: Request, *, limit: int, timeout_s: float, what: str = "a sealed update") -> bytes:
    """The body, refused as soon as it is longer than `limit`: never more than that is in memory.

    Raises: TooLargeError, TooSlowError, LengthError when the sender went away before its end.
    """
    expected = f"at most {limit}"
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limit:
        raise TooLargeError(f"length of {what} in bytes", expected=expected, actual=int(announced))
    body = bytearray()
    try:
        async with asyncio.timeout(timeout_s):
            async for chunk in request.stream():
                if len(body) + len(chunk) > limit:
                    actual = f"{len(body) + len(chunk)} so far"
                    raise TooLargeError(f"length of {what} in bytes", expected=expected, actual=actual)
                body += chunk
    except TimeoutError as error:
        raise TooSlowError("an upload", expected=f"at most {timeout_s:g} s", actual=f"{len(body)} bytes") from error
    except ClientDisconnect as error:
        cut = "bytes of an upload before its sender went away"
        raise LengthError(cut, expected=announced or "all", actual=len(body)) from error
    return bytes(body)


def parse_round(text: str) -> int:
    """A round in a path: decimal digits without leading zeros, uint64."""
    is_short = len(text) <= 20  # the longest uint64; Python refuses to parse thousands of digits
    if not (text.isascii() and text.isdecimal() and is_short and str(int(text)) == text and int(text) < 1 << 64):
        raise EncodingError("a round in the path", expected="a decimal uint64", actual=text)
    return int(text)


def _cbor(value: dict[str, Any], status: int = 200) -> Response:
    return Response(encode(value), status_code=status, media_type=CBOR)
