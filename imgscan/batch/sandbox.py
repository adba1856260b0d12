"""Closes a worker in: limits, no new privileges, no files (Landlock), no system calls but those that parsing needs.

Source: Linux, landlock(7), seccomp(2), prctl(2), getrlimit(2). Everything is done as far as the kernel has it, and
the level that was reached is returned, so that it can be recorded, or required. Written for the calling process: call
it in the child, after everything was imported.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import resource
import select
import signal
import struct
from collections.abc import Iterator
from typing import Final

import msgspec


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one worker may use: `memory` in bytes of address space, `cpu` and `wall` in seconds, None for no limit.

    `files` is how many files it may have open, `output` how many bytes it may print, `answer` how large one of its
    messages may be.
    """

    memory: int | None = 2 << 30
    cpu: int | None = 120
    wall: float | None = 1800
    files: int = 20_000
    output: int = 1 << 20
    answer: int = 64 << 20


class Level(msgspec.Struct, frozen=True):
    """How far a worker is closed in; `landlock` is the ABI version in force, 0 for none."""

    limits: bool = False
    no_new_privileges: bool = False
    landlock: int = 0
    seccomp: bool = False

    @property
    def is_full(self) -> bool:
        """Whether nothing that imgscan knows to do is missing."""
        return self.limits and self.no_new_privileges and self.landlock > 0 and self.seccomp

    def __str__(self) -> str:
        """Return the level in words, such as `limits, no-new-privileges, landlock 6, seccomp`."""
        words = [
            "limits" if self.limits else "",
            "no-new-privileges" if self.no_new_privileges else "",
            f"landlock {self.landlock}" if self.landlock else "",
            "seccomp" if self.seccomp else "",
        ]
        return ", ".join(word for word in words if word) or "none"


PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 1, 4, 22, 38
_LANDLOCK_CREATE, _LANDLOCK_RESTRICT = 444, 446
_LANDLOCK_VERSION = 1
_FS_RIGHTS: Final = ((1, 13), (2, 14), (3, 15), (5, 16))
"""From which ABI on how many of the rights on files, bit 0 upwards, can be taken away."""


NOT_CLOSED_IN: Final = "nothing was read: the process that parses could not be closed in fully (reached: {})"
"""What is said when the user required it."""


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process, just forked, when the one that made it ends; `parent` is that one's number."""
    _libc().prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it ended before the kernel was told
        os._exit(1)


def die_with(lifeline: int) -> None:
    """Have the kernel kill this process when the other end of a pipe is closed; `lifeline` is the end for reading.

    For a child of a program with threads: `die_with_parent` looks at the thread that made it, which may end earlier.
    """
    fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(lifeline, fcntl.F_SETFL, os.O_ASYNC)
    poll = select.poll()
    poll.register(lifeline, select.POLLIN)
    if poll.poll(0):
        os._exit(1)


def close_in(limits: Limits, channel: int) -> Level:
    """Close the calling process in for good; `channel` is the only descriptor it may send messages on.

    It may go on reading descriptors that it has, or gets through the channel, and print to 1 and 2.
    """
    libc = _libc()
    has_limits = _set_limits(limits)
    libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    no_new_privileges = libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    landlock = _deny_files(libc) if no_new_privileges else 0
    seccomp = _filter_system_calls(libc, channel) if no_new_privileges else False
    return Level(has_limits, no_new_privileges, landlock, seccomp)


def reachable(limits: Limits) -> Level:
    """Return how far a process can be closed in on this host, by doing it to one that does nothing else."""
    answer, end = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        try:
            os.dup2(end, 1)
            level = close_in(limits, 1)
            os.write(1, msgspec.msgpack.encode(level))
        finally:
            os._exit(0)
    os.close(end)
    with os.fdopen(answer, "rb") as said:
        data = said.read()
    os.waitpid(pid, 0)
    return msgspec.msgpack.decode(data, type=Level) if data else Level()


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _set_limits(limits: Limits) -> bool:
    wanted = [
        (resource.RLIMIT_CORE, 0, 0),
        (resource.RLIMIT_FSIZE, 0, 0),
        (resource.RLIMIT_NPROC, 0, 0),
        (resource.RLIMIT_NOFILE, limits.files, limits.files),
    ]
    if limits.memory is not None:
        wanted.append((resource.RLIMIT_AS, limits.memory, limits.memory))
    if limits.cpu is not None:
        wanted.append((resource.RLIMIT_CPU, limits.cpu, limits.cpu + 5))  # SIGXCPU, and SIGKILL when it is ignored
    done = True
    for what, soft, hard in wanted:
        most = resource.getrlimit(what)[1]
        if most != resource.RLIM_INFINITY:
            soft, hard = min(soft, most), min(hard, most)  # noqa: PLW2901 - the limit that can be had
        try:
            resource.setrlimit(what, (soft, hard))
        except (OSError, ValueError):
            done = False
    return done


def _deny_files(libc: ctypes.CDLL) -> int:
    """Take every right on files, TCP and other processes away; return the ABI, 0 when the kernel has no Landlock."""
    version = int(libc.syscall(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), _LANDLOCK_VERSION))
    if version < 1:
        return 0
    rights = (1 << max(count for since, count in _FS_RIGHTS if version >= since)) - 1
    attributes = struct.pack("=QQQ", rights, 0b11 if version >= 4 else 0, 0b11 if version >= 6 else 0)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    ruleset = int(libc.syscall(_LANDLOCK_CREATE, attributes, ctypes.c_size_t(size), 0))
    if ruleset < 0:
        return 0
    done = int(libc.syscall(_LANDLOCK_RESTRICT, ruleset, 0)) == 0
    os.close(ruleset)
    return version if done else 0


class _Machine(msgspec.Struct, frozen=True):
    """The kernel's audit number of an architecture, and the numbers of its system calls."""

    audit: int
    calls: dict[str, int]


def _calls(text: str) -> dict[str, int]:
    """Return names and numbers as a dictionary."""
    words = text.split()
    return dict(zip(words[::2], map(int, words[1::2]), strict=True))


_MACHINES: Final[dict[str, _Machine]] = {
    "x86_64": _Machine(
        0xC000003E,
        _calls(
            "read 0 close 3 poll 7 lseek 8 munmap 11 brk 12 rt_sigaction 13 rt_sigprocmask 14 "
            "rt_sigreturn 15 pread64 17 readv 19 sched_yield 24 mremap 25 madvise 28 nanosleep 35 getpid 39 "
            "exit 60 uname 63 gettimeofday 96 times 100 getrusage 98 sysinfo 99 getuid 102 getgid 104 "
            "geteuid 107 getegid 108 getppid 110 sigaltstack 131 gettid 186 futex 202 sched_getaffinity 204 "
            "clock_gettime 228 clock_getres 229 clock_nanosleep 230 exit_group 231 ppoll 271 set_robust_list 273 "
            "preadv 295 getrandom 318 rseq 334 restart_syscall 219 write 1 sendmsg 46 sendto 44 recvmsg 47 "
            "recvfrom 45 mmap 9 mprotect 10 tgkill 234"
        ),
    ),
    "aarch64": _Machine(
        0xC00000B7,
        _calls(
            "read 63 close 57 lseek 62 munmap 215 brk 214 rt_sigaction 134 rt_sigprocmask 135 "
            "rt_sigreturn 139 pread64 67 readv 65 sched_yield 124 mremap 216 madvise 233 nanosleep 101 "
            "getpid 172 exit 93 uname 160 gettimeofday 169 times 153 getrusage 165 sysinfo 179 getuid 174 "
            "getgid 176 geteuid 175 getegid 177 getppid 173 sigaltstack 132 gettid 178 futex 98 "
            "sched_getaffinity 123 clock_gettime 113 clock_getres 114 clock_nanosleep 115 exit_group 94 ppoll 73 "
            "set_robust_list 99 preadv 69 getrandom 278 rseq 293 restart_syscall 128 write 64 sendmsg 211 "
            "sendto 206 recvmsg 212 recvfrom 207 mmap 222 mprotect 226 tgkill 131"
        ),
    ),
}
_ON_THE_CHANNEL: Final = ("sendmsg", "sendto", "recvmsg", "recvfrom")
_CHECKED: Final = frozenset({"write", "mmap", "mprotect", "tgkill", *_ON_THE_CHANNEL})
_PROT_EXEC: Final = 4
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
"""Instructions of classic BPF, as seccomp(2) takes them."""
_X32 = 0x40000000


def _filter_system_calls(libc: ctypes.CDLL, channel: int) -> bool:
    machine = _MACHINES.get(os.uname().machine)
    if machine is None:
        return False
    program = b"".join(_program(machine, channel))
    buffer = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("=HxxxxxxQ", len(program) // 8, ctypes.addressof(buffer))
    return int(libc.prctl(PR_SET_SECCOMP, 2, header, 0, 0)) == 0


def _program(machine: _Machine, channel: int) -> Iterator[bytes]:
    """Yield the filter: what is listed is allowed, everything else fails with EPERM; another architecture is killed."""

    def step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
        return struct.pack("=HBBI", code, if_true, if_false, value)

    def argument(number: int) -> int:
        """Return the offset of the lower half of an argument in `struct seccomp_data` (little endian)."""
        return 16 + 8 * number

    deny = step(_RETURN, _ERRNO | 1)
    allow = step(_RETURN, _ALLOW)
    yield step(_LOAD, 4)
    yield step(_EQUAL, machine.audit, 1, 0)
    yield step(_RETURN, _KILL)
    yield step(_LOAD, 0)
    yield step(_AT_LEAST, _X32, 0, 1)
    yield deny
    for name, number in machine.calls.items():
        if name not in _CHECKED:
            yield step(_EQUAL, number, 0, 1)
            yield allow
    conditions: list[tuple[str, list[bytes]]] = [
        *((name, [step(_LOAD, argument(0)), step(_EQUAL, channel, 0, 1)]) for name in _ON_THE_CHANNEL),
        *((name, [step(_LOAD, argument(2)), step(_ANY_BIT, _PROT_EXEC, 1, 0)]) for name in ("mmap", "mprotect")),
        ("tgkill", [step(_LOAD, argument(0)), step(_EQUAL, os.getpid(), 0, 1)]),
        # 0 stands in front of the other two so that one comparison is left for each: standard output and error
        ("write", [step(_LOAD, argument(0)), step(_EQUAL, 1, 1, 0), step(_EQUAL, 2, 0, 1)]),
    ]
    for name, condition in conditions:
        body = [*condition, allow, deny]
        yield step(_EQUAL, machine.calls[name], 0, len(body))
        yield from body
    yield deny
