"""What an enclave's process was shut off from: seen from outside, tried from inside, and stated in the claims."""

from __future__ import annotations

import errno
import os
import socket
import struct
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from coordinator.enclave.syscall_filter import AARCH64, PROCESSORS, X86_64, Processor, assemble
from coordinator.platform.launch import EnclaveProcess
from coordinator.platform.manifest import build_image
from coordinator.platform.sockets import write_frame
from protocol.attestation.protections import Protection, describe
from tests.unit.platform_world import CHARTER, LAUNCH, ROOT, WAIT_S, ask, copy_tree, look
from tests.unit.test_enclave import PROTECTIONS, Host

ALWAYS_ON_LINUX = (
    Protection.ENVIRONMENT
    | Protection.DESCRIPTORS
    | Protection.NO_CORE_DUMPS
    | Protection.NO_NEW_PRIVILEGES
    | Protection.DIES_WITH_PARENT
)
ALL = Protection(0xFF)
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="protections of Linux")


@pytest.fixture(scope="module")
def enclave(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[socket.socket, dict[str, Any]]]:
    """The door of a telling enclave, and what it sees."""
    base = tmp_path_factory.mktemp("p")
    ours, theirs = socket.socketpair()
    ours.settimeout(WAIT_S)
    with ours:
        with theirs:
            process = EnclaveProcess(build_image(CHARTER, source=copy_tree(base / "source")), theirs, base)
        write_frame(process.control, LAUNCH | {"epoch": 1})
        yield ours, look(ours)
    process.kill()
    process.reap(WAIT_S)


Enclave = tuple[socket.socket, dict[str, Any]]


# From outside


@on_linux
def test_what_it_says_is_what_the_kernel_says(enclave: Enclave) -> None:
    held, process = Protection(enclave[1]["protections"]), Path(f"/proc/{enclave[1]['pid']}")
    assert held & ALWAYS_ON_LINUX == ALWAYS_ON_LINUX
    status = dict(line.split(":\t", 1) for line in (process / "status").read_text().splitlines() if ":\t" in line)
    assert status["NoNewPrivs"] == "1"
    assert (status["Seccomp"] == "2") is (Protection.SYSTEM_CALL_FILTER in held) is (os.uname().machine in PROCESSORS)
    if os.geteuid() == 0:  # a process that can't be dumped is root's
        assert (process / "environ").read_bytes() == b""
        for name, bit in (("net", Protection.OWN_NETWORK), ("mnt", Protection.OWN_MOUNTS)):
            ours, its = Path(f"/proc/self/ns/{name}").readlink(), (process / "ns" / name).readlink()
            assert (ours != its) is (bit in held)
    if Protection.OWN_NETWORK in held and os.geteuid() == 0:
        interfaces = [line.split(":")[0].strip() for line in (process / "net/dev").read_text().splitlines()[2:]]
        assert "lo" in interfaces
        assert (process / "net/route").read_text().count("\n") <= 1


@on_linux
def test_everything_is_read_only_in_mounts_of_its_own(enclave: Enclave) -> None:
    if Protection.OWN_MOUNTS not in Protection(enclave[1]["protections"]):
        pytest.skip("this system gives an enclave no mount namespace")
    mounts = Path(f"/proc/{enclave[1]['pid']}/mountinfo").read_text().splitlines()
    assert [line for line in mounts if "ro" not in line.split()[5].split(",")] == []


# From inside


@on_linux
def test_what_the_filter_forbids_is_not_permitted(enclave: Enclave) -> None:
    door, seen = enclave
    if Protection.SYSTEM_CALL_FILTER not in Protection(seen["protections"]):
        pytest.skip("this system gives an enclave no filter")
    tried = ask(door, {"op": "try"})
    assert (tried.pop("file for reading"), tried.pop("thread")) == ("None", "ran")
    assert tried.pop("new name of a call for a process") == "ENOSYS"
    assert tried.pop("new name of a call for a file") == "ENOSYS"
    assert tried == dict.fromkeys(tried, "EPERM")
    assert len(tried) == 13


# The filter's program, on processors that are not here


def run(processor: Processor, number: int, *arguments: int, audit: int | None = None) -> str:
    """What the kernel's interpreter of filters makes of one call."""
    words = {0: number, 4: processor.audit if audit is None else audit}
    words |= {16 + 8 * i: argument & 0xFFFFFFFF for i, argument in enumerate(arguments)}
    program = list(struct.iter_unpack("=HBBI", assemble(processor)))
    accumulator, position = 0, 0
    while True:
        code, yes, no, operand = program[position]
        position += 1
        if code == 0x20:
            accumulator = words.get(operand, 0)
        elif code == 0x06:
            return "allowed" if operand == 0x7FFF0000 else errno.errorcode[operand & 0xFFFF]
        else:
            holds = {0x15: accumulator == operand, 0x35: accumulator >= operand, 0x45: bool(accumulator & operand)}[
                code
            ]
            position += yes if holds else no


@pytest.mark.parametrize("processor", [X86_64, AARCH64], ids=["x86-64", "aarch64"])
class TestFilter:
    """The program's verdict on single calls."""

    def test_forbidden_and_missing_calls(self, processor: Processor) -> None:
        assert {run(processor, number) for number in processor.forbidden.values()} == {"EPERM"}
        assert {run(processor, number) for number in processor.missing.values()} == {"ENOSYS"}

    @pytest.mark.parametrize("flags", [os.O_WRONLY, os.O_RDWR, os.O_CREAT, os.O_TRUNC, os.O_APPEND])
    def test_a_file_is_opened_for_reading_only(self, processor: Processor, flags: int) -> None:
        for number, argument in processor.opening.values():
            before = [7] * argument
            assert run(processor, number, *before, flags) == "EPERM"
            assert run(processor, number, *before, flags | os.O_CLOEXEC) == "EPERM"
            assert run(processor, number, *before, os.O_RDONLY | os.O_CLOEXEC) == "allowed"

    def test_a_thread_may_be_but_no_process(self, processor: Processor) -> None:
        thread, process, fork = 0x003D0F00, 0x4111, 0x01200011
        assert [run(processor, processor.clone, flags) for flags in (thread, process, fork)] == [
            "allowed",
            "EPERM",
            "EPERM",
        ]

    def test_everything_else_is_allowed(self, processor: Processor) -> None:
        special = {*processor.forbidden.values(), *processor.missing.values(), processor.clone}
        special |= {number for number, _ in processor.opening.values()}
        assert {run(processor, number) for number in range(463) if number not in special} == {"allowed"}

    def test_another_processors_numbers_are_refused(self, processor: Processor) -> None:
        i386 = 0x40000003
        assert run(processor, 39, audit=i386) == "EPERM"


def test_the_second_set_of_numbers_of_x86_64_is_refused() -> None:
    assert run(X86_64, 0x40000000 + 41) == "EPERM"
    assert run(X86_64, 39) == "allowed"


# Where the system does not allow it


@on_linux
def test_an_enclave_that_gets_no_namespaces_starts_and_says_so(tmp_path: Path) -> None:
    """As in a container whose own filter refuses them, which every process in it inherits."""
    if os.uname().machine not in PROCESSORS:
        pytest.skip("no filter for this processor")
    script = textwrap.dedent("""\
        import dataclasses, socket, sys
        from pathlib import Path
        from coordinator.enclave import protections
        from coordinator.enclave.syscall_filter import PROCESSORS
        from coordinator.platform.launch import EnclaveProcess
        from coordinator.platform.manifest import build_image
        from coordinator.platform.sockets import write_frame
        from tests.unit.platform_world import CHARTER, LAUNCH, WAIT_S, copy_tree, look
        import os
        here = PROCESSORS[os.uname().machine]
        only = {"unshare": here.forbidden["unshare"]}
        unused = 1000
        PROCESSORS[os.uname().machine] = dataclasses.replace(here, forbidden=only, missing={}, opening={}, clone=unused)
        protections._forbid_new_privileges()
        protections._filter_system_calls()
        base = Path(sys.argv[1])
        ours, theirs = socket.socketpair()
        ours.settimeout(WAIT_S)
        enclave = EnclaveProcess(build_image(CHARTER, source=copy_tree(base / "source")), theirs, base)
        theirs.close()
        write_frame(enclave.control, LAUNCH | {"epoch": 1})
        print(look(ours)["protections"])
        ours.close()
        enclave.reap(WAIT_S)
        """)
    command = [sys.executable, "-c", script, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert Protection(int(done.stdout)) == ALL & ~Protection.OWN_NETWORK & ~Protection.OWN_MOUNTS


# In the claims


def test_the_claims_say_what_was_held_at_birth(tmp_path: Path) -> None:
    host = Host(tmp_path, protections=PROTECTIONS)
    assert host.hello["claims"]["protections"] == int(PROTECTIONS)


def test_an_enclave_that_is_less_shut_off_than_its_claims_does_not_go_on(tmp_path: Path) -> None:
    host = Host(tmp_path, protections=PROTECTIONS)
    more = Host(tmp_path, blobs=host.blobs, hardware=host.hardware, protections=ALL)
    assert more.hello["claims"] == host.hello["claims"]
    less = Host(tmp_path, blobs=host.blobs, hardware=host.hardware, protections=Protection.ENVIRONMENT)
    assert less.hello["message"] == "protections in the claims that this process lacks: got ['system call filter']"
    assert less.open(host.spec())["error"] == "Round"


def test_every_protection_has_a_name_and_a_bit_of_its_own() -> None:
    assert [bit.value for bit in Protection] == [1 << i for i in range(8)]
    held, missing = describe(int(Protection.OWN_NETWORK | Protection.DIES_WITH_PARENT))
    assert held == ["dies with the platform", "own network namespace"]
    assert len(missing) == 6
    assert describe(int(ALL))[1] == []
