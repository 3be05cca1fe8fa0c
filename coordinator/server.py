"""Puts a coordinator together from its configuration and lets it run.

Responsible for: reading keys and files, the order in which parts start and stop, the listening socket, the threads.
Must not know:   what a round does, or what a route answers.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from coordinator.app import create_app
from coordinator.chain import Chain
from coordinator.config import Config, LimitsConfig, ServerConfig
from coordinator.doorkeeper import Doorkeeper
from coordinator.enclave_host import EnclaveHost, Launch
from coordinator.keyfile import read_key
from coordinator.ledger import Ledger
from coordinator.log import log_event
from coordinator.outbox import Outbox
from coordinator.service import Service, Timing
from coordinator.store import Store
from protocol.charter import Charter, parse_charter
from protocol.errors import CommitmentMismatchError, UnavailableError
from protocol.fixedpoint import decode_model
from protocol.trees import model_root

START_S = 30.0
STOP_S = 2.0
BACKLOG = 128
MAX_CONNECTIONS = 768
"""Fewer than the 1,024 descriptors that a process usually may have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Coordinator:
    """A coordinator that answers; `service.run` makes it work."""

    service: Service
    url: str
    """https://host:port"""
    stop: threading.Event
    """Set it to end `service.run`; also set when the server dies."""


@contextmanager
def open_coordinator(config: Config) -> Iterator[Coordinator]:
    """Everything but the work, for as long as the block runs.  All of it may be killed at any time.

    Raises: UnavailableError with what to do, PolicyError, CommitmentMismatchError.
    """
    key = read_key(config.paths.key)
    charter = parse_charter(_read(config.paths.charter, "the charter"))
    with ExitStack() as stack:
        listener = stack.enter_context(closing(listen(config.server)))
        tls = tls_context(config.server)
        chain = Chain(config.chain.rpc, timeout_s=config.chain.timeout_s)
        ledger = Ledger(chain, config.chain.ledger, from_block=config.chain.from_block)
        if charter.sha256() != ledger.charter:
            raise CommitmentMismatchError("SHA-256 of the charter", expected=ledger.charter, actual=charter.sha256())
        store = stack.enter_context(Store(config.paths.data))
        keep_genesis(store, ledger, charter, config.paths.genesis_model)
        outbox = Outbox(store, chain, key, timeout_s=config.chain.transaction_s)
        launch = Launch(
            charter=charter.encode(),
            federation=ledger.federation,
            chain_id=ledger.identity.chain_id,
            ledger=ledger.address,
            operator=outbox.sender,
        )
        enclave = EnclaveHost(store, config.paths.platform, launch, timeout_s=config.limits.door_s)
        stack.callback(enclave.close)
        service = Service(
            ledger=ledger,
            outbox=outbox,
            store=store,
            enclave=enclave,
            charter=charter,
            timing=Timing(
                slack_s=config.limits.slack_s,
                poll_s=config.chain.poll_s,
                outage_s=config.chain.outage_s,
                admission_s=config.limits.admission_s,
            ),
            monotonic=time.monotonic,
        )
        service.prepare()  # before anybody can ask: who asks must not hear that no round is open when one is
        stop = threading.Event()
        stack.enter_context(_serving(service, listener, tls, config.limits, stop))
        port = int(listener.getsockname()[1])
        url = f"https://{config.server.host}:{port}"
        log_event("listening", url=url, operator=outbox.sender, ledger=ledger.address)
        yield Coordinator(service=service, url=url, stop=stop)


def listen(config: ServerConfig) -> socket.socket:
    """The listening socket, taken before anything else is done.  Raises UnavailableError when the port is in use."""
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    try:
        # TCP by name: asyncio turns Nagle's algorithm off only for sockets that say so (40 ms a reply otherwise).
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    except OSError as error:
        raise UnavailableError(f"no socket for {config.host} ({error.strerror})", "correct [server] host") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((config.host, config.port))
        listener.listen(BACKLOG)
        return listener
    except OSError as error:
        listener.close()
        where = f"{config.host}:{config.port}"
        if error.errno == errno.EADDRINUSE:
            raise UnavailableError(f"{where} is in use", "stop what listens there, or change [server] port") from error
        reason = error.strerror or str(error)
        raise UnavailableError(f"can't listen on {where} ({reason})", "correct [server] host and port") from error


def tls_context(config: ServerConfig) -> ssl.SSLContext:
    """TLS 1.2 or newer with the configured certificate.  Raises UnavailableError when it can't be read."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(config.certificate, config.key)
    except (OSError, ssl.SSLError) as error:
        raise UnavailableError(
            f"no TLS certificate and key at {config.certificate} and {config.key} ({error.strerror or error})",
            "`veriflock coordinator init` makes them; correct [server] certificate and key",
        ) from error
    return context


def keep_genesis(store: Store, ledger: Ledger, charter: Charter, path: Path) -> None:
    """Publishes the model of round 0, once.  Raises CommitmentMismatchError when the file is another model."""
    if store.has_model(ledger.genesis_model):
        return
    data = _read(path, "the genesis model")
    root = model_root(decode_model(data, charter.dimension))
    if root != ledger.genesis_model:
        raise CommitmentMismatchError(f"root of the model in {path}", expected=ledger.genesis_model, actual=root)
    store.write_model(root, data)


@contextmanager
def _serving(
    service: Service, listener: socket.socket, tls: ssl.SSLContext, limits: LimitsConfig, stop: threading.Event
) -> Iterator[None]:
    """Uvicorn in a thread of its own: signals stay with the main thread, which works."""
    app = create_app(service, uploads=limits.uploads, upload_s=limits.upload_s)
    uvicorn_config = uvicorn.Config(
        app,
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_keep_alive=30,
        ssl_context_factory=lambda *_: tls,
    )
    for name in ("uvicorn.error", "uvicorn.asgi"):
        logger = logging.getLogger(name)
        logger.handlers[:] = logging.getLogger("veriflock.coordinator").handlers
        logger.setLevel(logging.WARNING)
        logger.propagate = False
    server = uvicorn.Server(uvicorn_config)

    def work() -> None:
        try:
            asyncio.run(_answer(server, listener))
        finally:
            stop.set()

    thread = threading.Thread(target=work, name="http", daemon=True)
    thread.start()
    deadline = time.monotonic() + START_S
    while not server.started:
        if stop.wait(0.01) or time.monotonic() > deadline:
            raise UnavailableError("the HTTP server did not start", "see the log")
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(3 * STOP_S)


async def _answer(server: uvicorn.Server, listener: socket.socket) -> None:
    """Serves until told to exit; who is still connected some seconds later is cut off."""
    serving = asyncio.ensure_future(server.serve(sockets=[listener]))
    doorkeeper = Doorkeeper()
    while not serving.done():
        await asyncio.wait([serving], timeout=0.1)
        if server.should_exit:
            await asyncio.wait([serving], timeout=STOP_S)
        connections = list(server.server_state.connections)
        for connection in connections if server.should_exit else doorkeeper.cut(connections, time.monotonic()):
            transport = getattr(connection, "transport", None)
            if transport is not None:
                transport.abort()  # closing TLS politely would wait for the peer
    await serving


def _read(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UnavailableError(f"no {path}, {what} ({error.strerror})", "copy it there, or correct [paths]") from error
