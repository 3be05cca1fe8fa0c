"""The system calls that an enclave has no use for, as a program for the kernel's filter (seccomp).

Responsible for: the numbers on two processors, and the filter's program.
Must not know:   how it is put in force.

Everything else is allowed: Python, its threads and its libraries change what they call more often than what they must
not do.  `openat2` and `clone3` hide their flags behind a pointer, which a filter can't follow: there is no such call,
says the kernel then, and libraries take the older one.  The calls of io_uring do what they are told past any filter.

Sources: linux/filter.h, linux/seccomp.h, asm/unistd_64.h (x86-64), asm-generic/unistd.h (aarch64).
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

# Classic BPF: load the word at k of the call's description; compare; return.
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_NUMBER_AT, _PROCESSOR_AT, _ARGUMENTS_AT = 0, 4, 16
_X32 = 0x40000000
"""x86-64 takes a second set of numbers from here on."""

_CLONE_THREAD = 0x00010000
_WRITING = 0o3 | 0o100 | 0o1000 | 0o2000
"""Opened to write or both, created, truncated, appended to."""

# Higher numbers are the same on every processor.
_NEW = {
    "pidfd_send_signal": 424, "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "open_tree": 428,
    "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433, "pidfd_open": 434,
    "pidfd_getfd": 438, "mount_setattr": 442,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Processor:
    """System call numbers of one kind of processor."""

    audit: int
    """What the kernel calls it (linux/audit.h)."""
    forbidden: Mapping[str, int]
    """EPERM, whatever the arguments."""
    missing: Mapping[str, int]
    """ENOSYS."""
    opening: Mapping[str, tuple[int, int]]
    """Number, and which argument has the flags: EPERM where they are for writing."""
    clone: int
    """EPERM where it is not for a thread."""
    has_second_numbers: bool = field(default=False)


X86_64 = Processor(
    audit=0xC000003E,
    forbidden={
        **_NEW, "socket": 41, "connect": 42, "accept": 43, "bind": 49, "listen": 50, "accept4": 288,
        "fork": 57, "vfork": 58, "execve": 59, "execveat": 322, "kill": 62, "tkill": 200,
        "ptrace": 101, "process_vm_readv": 310, "process_vm_writev": 311, "kcmp": 312,
        "mount": 165, "umount2": 166, "pivot_root": 155, "chroot": 161, "unshare": 272, "setns": 308,
        "bpf": 321, "perf_event_open": 298, "userfaultfd": 323, "add_key": 248, "request_key": 249, "keyctl": 250,
        "init_module": 175, "delete_module": 176, "finit_module": 313, "kexec_load": 246, "kexec_file_load": 320,
        "iopl": 172, "ioperm": 173, "reboot": 169, "swapon": 167, "swapoff": 168, "open_by_handle_at": 304,
        "creat": 85, "truncate": 76, "rename": 82, "renameat": 264, "renameat2": 316, "unlink": 87, "unlinkat": 263,
        "mkdir": 83, "mkdirat": 258, "rmdir": 84, "link": 86, "linkat": 265, "symlink": 88, "symlinkat": 266,
        "mknod": 133, "mknodat": 259, "chmod": 90, "fchmodat": 268, "chown": 92, "lchown": 94, "fchownat": 260,
    },
    missing={"clone3": 435, "openat2": 437},
    opening={"open": (2, 1), "openat": (257, 2)},
    clone=56,
    has_second_numbers=True,
)  # fmt: skip

AARCH64 = Processor(
    audit=0xC00000B7,
    forbidden={
        **_NEW, "socket": 198, "connect": 203, "accept": 202, "bind": 200, "listen": 201, "accept4": 242,
        "execve": 221, "execveat": 281, "kill": 129, "tkill": 130,
        "ptrace": 117, "process_vm_readv": 270, "process_vm_writev": 271, "kcmp": 272,
        "mount": 40, "umount2": 39, "pivot_root": 41, "chroot": 51, "unshare": 97, "setns": 268,
        "bpf": 280, "perf_event_open": 241, "userfaultfd": 282, "add_key": 217, "request_key": 218, "keyctl": 219,
        "init_module": 105, "delete_module": 106, "finit_module": 273, "kexec_load": 104, "kexec_file_load": 294,
        "reboot": 142, "swapon": 224, "swapoff": 225, "open_by_handle_at": 265,
        "truncate": 45, "renameat": 38, "renameat2": 276, "unlinkat": 35, "mkdirat": 34, "linkat": 37, "symlinkat": 36,
        "mknodat": 33, "fchmodat": 53, "fchownat": 54,
    },
    missing={"clone3": 435, "openat2": 437},
    opening={"openat": (56, 2)},
    clone=220,
)  # fmt: skip

PROCESSORS = {"x86_64": X86_64, "aarch64": AARCH64}
"""By `os.uname().machine`."""


def assemble(processor: Processor) -> bytes:
    """The filter's program: instructions of 8 bytes (code, jump if true, jump if false, operand)."""
    deny = _code(_RETURN, _ERRNO | errno.EPERM)
    allow = _code(_RETURN, _ALLOW)
    # A call by another processor's numbers (32-bit code on a 64-bit kernel) would mean something else by them.
    program = [_code(_LOAD, _PROCESSOR_AT), _code(_EQUAL, processor.audit, yes=1), deny, _code(_LOAD, _NUMBER_AT)]
    if processor.has_second_numbers:
        program += [_code(_AT_LEAST, _X32, no=1), deny]
    for number in processor.forbidden.values():
        program += [_code(_EQUAL, number, no=1), deny]
    for number in processor.missing.values():
        program += [_code(_EQUAL, number, no=1), _code(_RETURN, _ERRNO | errno.ENOSYS)]
    for number, argument in processor.opening.values():
        program += [_code(_EQUAL, number, no=4), _flags_of(argument), _code(_ANY_BIT, _WRITING, no=1), deny, allow]
    program += [_code(_EQUAL, processor.clone, no=4), _flags_of(0), _code(_ANY_BIT, _CLONE_THREAD, yes=1), deny, allow]
    return b"".join([*program, allow])


def _code(code: int, operand: int, *, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("=HBBI", code, yes, no, operand)


def _flags_of(argument: int) -> bytes:
    """The low word of an argument; both processors are little-endian."""
    return _code(_LOAD, _ARGUMENTS_AT + 8 * argument)
