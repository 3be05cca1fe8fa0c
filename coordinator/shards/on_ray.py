"""Parts on Ray's workers: processes of this machine, or of a cluster that is there already.

Responsible for: starting Ray so that nobody else gets at it, deadlines, workers that die.
Must not know:   what the work is.

Ray sends functions and arguments between its own processes in pickled form: whoever may talk to it may run code.  A Ray
that is started here therefore listens on the loopback interface only, and wants a token drawn for this run.

Source: Ray's documentation (token authentication; task fault tolerance).
"""

from __future__ import annotations

import os
import re
import secrets
import socket
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from protocol.errors import UnavailableError, VeriflockError

P = TypeVar("P")
R = TypeVar("R")

RETRIES = 3
"""How often a part is begun again whose worker died."""
OBJECT_STORE_BYTES = 256 << 20
"""Memory for results under way; what does not fit goes to Ray's folder."""
LOOPBACK = "127.0.0.1"


class RayRunner:
    """Work on parts by Ray's workers, all of it within one deadline."""

    def __init__(self, ray: Any, *, workers: int, timeout_s: float) -> None:
        self.workers = workers
        self._ray = ray
        self._timeout_s = timeout_s
        self._deadline = time.monotonic() + timeout_s
        self._task = ray.remote(num_cpus=1, max_retries=RETRIES)(_call)

    def each(self, work: Callable[[P], R], parts: Sequence[P]) -> Iterator[R]:
        """`work` of every part, in their order.

        Raises: UnavailableError (the deadline, a part whose workers keep dying); what `work` raises.
        """
        shared = self._ray.put(work)
        references: deque[Any] = deque()
        unfinished: list[Any] = []
        try:
            for part in parts:
                while len(unfinished) >= self.workers:
                    finished, unfinished = self._ray.wait(unfinished, timeout=self._left())
                    if not finished:
                        raise self._too_late()
                references.append(self._task.remote(shared, part))
                unfinished.append(references[-1])
            while references:
                result = self._result(references[0])
                references.popleft()
                yield result
        finally:
            for reference in references:  # nobody wants it any more
                self._ray.cancel(reference, force=True)

    def _result(self, reference: Any) -> Any:
        exceptions = self._ray.exceptions
        try:
            return self._ray.get(reference, timeout=self._left())
        except exceptions.RayTaskError as error:
            if isinstance(error.cause, VeriflockError | UnavailableError | OSError):
                raise error.cause from None  # what the work raised, without Ray's pages of where
            said = str(error.cause).partition("\n")[0]
            raise UnavailableError(f"a worker of Ray failed ({said})", "install this veriflock everywhere") from error
        except exceptions.GetTimeoutError as error:
            raise self._too_late() from error
        except exceptions.RayError as error:
            what = f"Ray gave up a part after {RETRIES} more attempts ({type(error).__name__})"
            raise UnavailableError(what, "look for workers that run out of memory") from error

    def _left(self) -> float:
        return max(0.0, self._deadline - time.monotonic())

    def _too_late(self) -> UnavailableError:
        what = f"Ray's workers were not done after {self._timeout_s:g} seconds"
        return UnavailableError(what, "give them more with --timeout, or add workers")


def _call(work: Callable[[P], R], part: P) -> R:
    return work(part)


@contextmanager
def ray_runner(*, workers: int, timeout_s: float, cluster: str | None = None) -> Iterator[RayRunner]:
    """A runner on Ray, which is stopped at the end.

    workers: how many parts are worked on at the same time; of a Ray started here, its processes.
    timeout_s: for the work; reaching a cluster may take as long before.
    cluster: HOST:PORT of a Ray that runs already, whose machines see the rows under the same path; else one is started.
    Raises: UnavailableError.
    """
    if cluster is not None:
        _reach(cluster, timeout_s)
    settings = {"RAY_USAGE_STATS_ENABLED": "0"}
    if cluster is None:
        settings |= {
            # Read when Ray is imported: its processes then take the loopback address for this machine's.
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
        }
    with _environment(settings), tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        ray = _import()
        where = {"address": cluster} if cluster else _local(workers, folder)
        try:
            ray.init(**where, log_to_driver=False, configure_logging=False)
        except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
            raise UnavailableError(f"Ray did not start ({error})", "try --engine local") from error
        try:
            if cluster is None and ray.util.get_node_ip_address() != LOOPBACK:
                raise UnavailableError("Ray would listen beyond this machine", "import it nowhere before this")
            yield RayRunner(ray, workers=workers, timeout_s=timeout_s)
        finally:
            ray.shutdown()


def _reach(cluster: str, timeout_s: float) -> None:
    """Whether anybody listens there: Ray itself would wait for long, and let nobody interrupt it."""
    address = re.fullmatch(r"\[?([^][\s/]+)\]?:([0-9]{1,5})", cluster)
    if address is None or int(address[2]) >= 1 << 16:
        raise UnavailableError(f"no Ray at {cluster}", "expected HOST:PORT, as `ray start --head` prints it")
    try:
        socket.create_connection((address[1], int(address[2])), timeout=timeout_s).close()
    except OSError as error:
        raise UnavailableError(f"no Ray at {cluster} ({error})", "start it, or leave --cluster out") from error


@contextmanager
def _environment(settings: dict[str, str]) -> Iterator[None]:
    """These variables, for as long as it lasts."""
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _local(workers: int, folder: str) -> dict[str, Any]:
    return {
        "address": "local",
        "num_cpus": workers,
        "include_dashboard": False,
        "object_store_memory": OBJECT_STORE_BYTES,
        "_temp_dir": folder,
    }


def _import() -> Any:
    try:
        import ray
    except ImportError as error:
        raise UnavailableError("ray is not installed", "in the source tree: pip install '.[ray]'") from error
    return ray
