"""Machine code for the few loops that decide what a round costs, made at run time by LLVM from text in this tree.

Responsible for: LLVM (llvmlite) where it is installed, from assembly text to functions that ctypes calls, and threads.
Must not know:   what any loop computes.

Why LLVM's text: its vectors have a width of our choice on every processor (LLVM splits <32 x i16> in as many registers
as it takes), it says exactly which operation is done, nothing is cached on disk, and an enclave's manifest names all
that makes the code.  Whoever has no llvmlite has the same results from NumPy and hashlib, later: each caller has both.

Spec: docs/decisions/0019-kernels.md.
"""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, TypeVar

T = TypeVar("T")

_PAGE, _READ, _WRITE, _EXECUTE, _PRIVATE, _ANONYMOUS = 4096, 1, 2, 4, 0x02, 0x20

WIDE = '"min-legal-vector-width"="512" "prefer-vector-width"="512"'
"""Attributes of a function that may use 512-bit registers where the processor has them."""


@cache
def is_available() -> bool:
    """Whether machine code can be made here."""
    try:
        _target_machine()
    except (ImportError, OSError, RuntimeError):
        return False
    return _may_execute()


def _may_execute() -> bool:
    """Whether the system lets a page be executed that was written: some are set up so that it does not.

    Sources: mmap(2), mprotect(2); the numbers are Linux's, on other systems LLVM's own way is believed.
    """
    if platform.system() != "Linux":
        return True
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    page = libc.mmap(None, _PAGE, _READ | _WRITE, _PRIVATE | _ANONYMOUS, -1, 0)
    if page in (None, ctypes.c_void_p(-1).value):
        return False
    is_allowed: bool = libc.mprotect(page, _PAGE, _READ | _EXECUTE) == 0
    libc.munmap(page, _PAGE)
    return is_allowed


class Code:
    """Machine code of one module of LLVM assembly; it lives as long as this object."""

    def __init__(self, text: str, *, cpu: str | None = None, optimise: bool = True) -> None:
        """text: a module of LLVM assembly; wrong text is a bug, and raises RuntimeError.

        cpu:      for an older processor, by LLVM's name ("x86-64-v3"), without more than what that has; None: this one.
        optimise: False for long straight text in which there is nothing to find: that takes half to nine tenths of the
                  time off.
        """
        import llvmlite.binding as llvm

        module = llvm.parse_assembly(text)
        module.verify()
        machine = _target_machine(cpu)
        if optimise:
            passes = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=3))
            passes.getModulePassManager().run(module, passes)
        self._engine = llvm.create_mcjit_compiler(module, machine)
        self._engine.finalize_object()

    def function(self, name: str, *arguments: type[Any], result: type[Any] | None = None) -> Callable[..., Any]:
        """A function of the module; calling it lets other threads of Python run."""
        made = ctypes.CFUNCTYPE(result, *arguments)(self._engine.get_function_address(name))
        made.code = self  # type: ignore[attr-defined]  # the code must outlive whoever calls it
        return made


def _target_machine(cpu: str | None = None) -> Any:
    """A new one for each module: the code's engine owns it, and frees it."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_default_triple()
    if cpu is not None:
        return target.create_target_machine(cpu=cpu, opt=3)
    return target.create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=3
    )


def each(work: Callable[[T], None], parts: Iterable[T]) -> None:
    """`work` on every part, on all processors; what one raises is raised here.

    parts: several for each processor; no two of them may write to the same place.
    """
    for _ in _threads().map(work, parts):
        pass


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(thread_name_prefix="kernel")  # as many as there are processors, and a few
