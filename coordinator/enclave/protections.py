"""What an enclave's process gives up before it does anything, and which of it this system let it give up.

Responsible for: setting each protection, and looking whether it is set.
Must not know:   keys, rounds, or who wants to know.

Where a system does not allow one (a container without namespaces, another kernel), the enclave goes on without it: the
claims say so, and who relies on the enclave decides whether that is enough.

Sources: prctl(2), unshare(2), mount_setattr(2), seccomp(2).
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import signal
import sys
from pathlib import Path

from coordinator.enclave.syscall_filter import PROCESSORS, Processor, assemble
from protocol.attestation.protections import Protection

LAST_FD = 4
"""0 to 4: nothing, nothing, the platform's log, the door, the platform."""

_SET_DEATH_SIGNAL, _GET_DEATH_SIGNAL, _GET_DUMPABLE, _SET_DUMPABLE = 1, 2, 3, 4
_SET_SECCOMP, _SECCOMP_FILTER, _SET_NO_NEW_PRIVILEGES, _GET_NO_NEW_PRIVILEGES = 22, 2, 38, 39
_NEW_MOUNTS, _NEW_IPC, _NEW_USER, _NEW_NETWORK = 0x00020000, 0x08000000, 0x10000000, 0x40000000
_MS_RECURSIVE, _MS_PRIVATE = 1 << 14, 1 << 18
_MOUNT_SETATTR, _AT_RECURSIVE, _ATTRIBUTE_READ_ONLY = 442, 0x8000, 1
_CLONE_FS = 0x200


def protect(parent: int) -> Protection:
    """Sets what can be set, and returns what was found set.

    parent: process id of the platform.
    Ends the process where the platform is gone already: nothing would end it later.
    """
    held = Protection(0)
    if _clear_environment():
        held |= Protection.ENVIRONMENT
    if _close_descriptors():
        held |= Protection.DESCRIPTORS
    if sys.platform == "linux":
        # Namespaces before the rest: taking them gives rights, and a process that gets rights loses what it had set
        # for its parent's death.  The filter last: it forbids what the others do.
        held |= _take_namespaces()
        if _die_with_parent():
            held |= Protection.DIES_WITH_PARENT
    if os.getppid() != parent:
        sys.exit("the platform died before its enclave began")
    if _forbid_core_dumps():
        held |= Protection.NO_CORE_DUMPS
    if sys.platform == "linux":
        if _forbid_new_privileges():
            held |= Protection.NO_NEW_PRIVILEGES
        if _filter_system_calls():
            held |= Protection.SYSTEM_CALL_FILTER
    return held


def _clear_environment() -> bool:
    """Python puts LC_CTYPE there by itself; what the process was given is another question."""
    os.environ.clear()
    given = Path("/proc/self/environ")
    return not os.environ and (not given.exists() or given.read_bytes() == b"")


def _close_descriptors() -> bool:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    os.closerange(LAST_FD + 1, 1 << 20 if most == resource.RLIM_INFINITY else most)
    try:
        names = os.listdir("/dev/fd")  # noqa: PTH208
    except OSError:
        return False
    return [int(name) for name in names if int(name) > LAST_FD and _is_open(int(name))] == []


def _is_open(descriptor: int) -> bool:
    """The one that read the directory is in its list, and closed."""
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def _take_namespaces() -> Protection:
    before = _namespaces()
    libc = _libc()
    new = _NEW_MOUNTS | _NEW_IPC | _NEW_NETWORK
    if libc.unshare(new) != 0:
        libc.unshare(new | _NEW_USER)  # where an own user namespace gives the right to the others
    after = _namespaces()
    held = Protection(0)
    if before and after and before[0] != after[0]:
        held |= Protection.OWN_NETWORK
    if before and after and before[1] != after[1] and _make_read_only():
        held |= Protection.OWN_MOUNTS
    return held


def _namespaces() -> tuple[str, str] | None:
    """Of network and mounts; None where the kernel has none."""
    try:
        return str(Path("/proc/self/ns/net").readlink()), str(Path("/proc/self/ns/mnt").readlink())
    except OSError:
        return None


def _make_read_only() -> bool:
    """Only in a mount namespace of our own: it changes what everything in it can write."""
    libc = _libc()
    attributes = (ctypes.c_uint64 * 4)(
        _ATTRIBUTE_READ_ONLY, 0, 0, 0
    )  # struct mount_attr: set, clear, propagation, user
    arguments = (ctypes.c_int(-1), b"/", ctypes.c_uint(_AT_RECURSIVE), ctypes.byref(attributes), ctypes.c_size_t(32))
    if libc.mount(b"none", b"/", None, ctypes.c_ulong(_MS_RECURSIVE | _MS_PRIVATE), None) != 0:
        return False
    libc.syscall(ctypes.c_long(_MOUNT_SETATTR), *arguments)
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    return bool(mounts) and all("ro" in line.split()[5].split(",") for line in mounts)


def _die_with_parent() -> bool:
    signal_ = ctypes.c_int(0)
    _prctl(_SET_DEATH_SIGNAL, signal.SIGKILL)
    return _libc().prctl(_GET_DEATH_SIGNAL, ctypes.byref(signal_)) == 0 and signal_.value == signal.SIGKILL


def _forbid_core_dumps() -> bool:
    """A core file would hold keys and rows; so does the memory that a debugger reads."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform != "linux":
        return False
    _prctl(_SET_DUMPABLE, 0)
    return resource.getrlimit(resource.RLIMIT_CORE) == (0, 0) and _prctl(_GET_DUMPABLE) == 0


def _forbid_new_privileges() -> bool:
    _prctl(_SET_NO_NEW_PRIVILEGES, 1)
    return _prctl(_GET_NO_NEW_PRIVILEGES) == 1


def _filter_system_calls() -> bool:
    processor = PROCESSORS.get(os.uname().machine)
    if processor is None:
        return False
    instructions = assemble(processor)
    program = _Program(len(instructions) // 8, ctypes.cast(ctypes.c_char_p(instructions), ctypes.c_void_p))
    if _libc().prctl(_SET_SECCOMP, ctypes.c_ulong(_SECCOMP_FILTER), ctypes.byref(program)) != 0:
        return False
    return _is_filtered(processor)


class _Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


def _is_filtered(processor: Processor) -> bool:
    """Tries four calls.  None of them does anything where there is no filter, and then none says EPERM."""
    libc = _libc()
    socket = libc.socket(1, 1, 0)
    is_socket_refused = socket < 0 and ctypes.get_errno() == errno.EPERM
    file = libc.open(b"/dev/null", os.O_WRONLY)
    is_file_refused = file < 0 and ctypes.get_errno() == errno.EPERM
    for descriptor in (socket, file):
        if descriptor >= 0:
            os.close(descriptor)
    libc.execve(None, None, None)  # no program: EFAULT
    is_program_refused = ctypes.get_errno() == errno.EPERM
    flags = _NEW_MOUNTS | _CLONE_FS  # that can't be had together: EINVAL
    libc.syscall(ctypes.c_long(processor.clone), ctypes.c_ulong(flags), *(ctypes.c_ulong(0),) * 4)
    is_process_refused = ctypes.get_errno() == errno.EPERM
    return is_socket_refused and is_file_refused and is_program_refused and is_process_refused


def _prctl(option: int, value: int = 0) -> int:
    zero = ctypes.c_ulong(0)
    return int(_libc().prctl(option, ctypes.c_ulong(value), zero, zero, zero))


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
