# ruff: noqa: S606, PTH208, PTH116, PTH115, PTH108, PTH104, PTH211, PTH102, PTH101 - the calls themselves are the point
"""The `imgscan` command with a planted parser: what a volume's label says, the reader of its filesystem does.

Run it as a program, with the arguments of `imgscan`. `share` makes a disk for every trick.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

KIB, MIB = 1 << 10, 1 << 20
PART_AT, PART_BYTES = MIB, 64 * KIB
CANARY = "PLANTED_CANARY"
"""Environment variable: the path of a file that no worker may read, change or remove."""
WAIT = "PLANTED_WAIT"
"""Environment variable: how many seconds the trick `wait` takes."""
FLAKY = "PLANTED_FLAKY"
"""Environment variable: for how many seconds from the start the host cannot read disks that begin with `FLAKY`."""
CONTEXT: list[Any] = []


def disk(path: Path, label: str = "", boot_code: bytes = b"") -> Path:
    """Write a raw disk with one partition that looks like ext2, and has a label."""
    image = bytearray(PART_AT + PART_BYTES)
    entry = struct.pack("<B3xB3xII", 0x80, 0x83, PART_AT // 512, PART_BYTES // 512)
    image[: len(boot_code)], image[446:462], image[510:512] = boot_code, entry, b"\x55\xaa"
    block = PART_AT + 1024
    struct.pack_into("<IIIIIIIIIII", image, block, 16, 64, 0, 32, 4, 1, 0, 0, 8192, 8192, 16)
    struct.pack_into("<HHHHII", image, block + 52, 0, 0xFFFF, 0xEF53, 1, 1, 0)
    image[block + 120 : block + 120 + len(label)] = label.encode()
    path.write_bytes(image)
    return path


# Tricks that end a worker, or try to.


def segfault() -> None:
    ctypes.string_at(0)


def abort() -> None:
    os.abort()


def spin() -> None:
    while True:
        pass


def sleep() -> None:
    time.sleep(1000)


def wait() -> None:
    """Take a while, and go on."""
    time.sleep(float(os.environ.get(WAIT, "1")))


def let_go_and_sleep() -> None:
    channel = CONTEXT[0]._channel
    os.close(1)
    os.close(2)
    channel.close()
    time.sleep(1000)


def allocate_at_once() -> None:
    bytearray(100 << 30)


def allocate_slowly() -> None:
    kept = [bytes(MIB) for _ in range(4 << 10)]  # twice what is allowed: without a limit it must not eat the host
    del kept


def print_a_gigabyte() -> None:
    for _ in range(1024):
        os.write(1, b"x" * MIB)


def leave() -> None:
    os._exit(0)


def raise_error() -> None:
    raise KeyError("planted")


def recurse() -> None:
    recurse()


def recurse_in_c() -> None:
    class Deep:
        def __repr__(self) -> str:
            return repr(self)

    sys.setrecursionlimit(1 << 30)
    repr(Deep())


def kill_oneself() -> None:
    signal.raise_signal(signal.SIGKILL)


def garbage() -> None:
    CONTEXT[0]._channel.send(b"R\x10\0\0\0" + bytes(range(200, 216)) + b"Q" * 200)


def a_message_too_large() -> None:
    CONTEXT[0]._channel.send(b"R\xff\xff\xff\xff")
    time.sleep(1000)


def never_read_answers() -> None:
    import msgspec

    from imgscan.batch import protocol

    ask = msgspec.msgpack.encode(protocol.Ask("given", 0))
    for _ in range(200_000):
        protocol.send(CONTEXT[0]._channel, protocol.ASK, ask)


def talk_without_end() -> None:
    while True:
        CONTEXT[0].note("psst")


def learn_garbage_and_die() -> None:
    from imgscan.batch import protocol

    protocol.send(CONTEXT[0]._channel, protocol.LEARNT, b'{"schema": 7}')
    segfault()


def lie_about_the_level_and_die() -> None:
    import msgspec

    from imgscan.batch import protocol

    level = msgspec.msgpack.encode({"limits": True, "landlock": 99})
    protocol.send(CONTEXT[0]._channel, protocol.CLOSED_IN, level)
    segfault()


def answer_nonsense() -> None:
    from imgscan.batch import protocol

    protocol.send(CONTEXT[0]._channel, protocol.RESULT, b'{"facts": 7}')
    os._exit(0)


def lie() -> None:
    """Answer with facts that no parser made: text that a terminal would obey, in every name."""
    import msgspec

    from imgscan.batch import protocol
    from imgscan.batch.answers import Inspection
    from imgscan.batch.conversation import Death
    from imgscan.batch.recovery import cut_short

    facts = cut_short(None, ["disk.raw"], Death("crashed", "-", ""))
    evil = "\x1b]0;taken over\x07\x9b31m\N{RIGHT-TO-LEFT OVERRIDE}"

    def spoiled(value: Any) -> Any:
        if isinstance(value, dict):
            return {
                key: evil if key in TEXTS and isinstance(item, str) else spoiled(item) for key, item in value.items()
            }
        return [spoiled(item) for item in value] if isinstance(value, list) else value

    told = spoiled(msgspec.to_builtins(Inspection(facts, {evil: evil}, 0, (evil,))))
    protocol.send(CONTEXT[0]._channel, protocol.RESULT, msgspec.json.encode(told))
    os._exit(0)


TEXTS = frozenset({"name", "path", "detail", "where", "code"})


# Tricks that are tried one after another, and must each be refused. Each is harmless where it is not: whoever breaks
# the sandbox to see this test fail loses no process and no file by it. A system call with senseless arguments is
# refused before they are looked at, and fails in another way where it is allowed.


def _system_call(number: int, *arguments: Any) -> Callable[[], object]:
    def call() -> object:
        found = ctypes.CDLL(None, use_errno=True).syscall(number, *arguments)
        if found < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return found

    return call


def _canary() -> str:
    return os.environ[CANARY]


def _write_to_the_image() -> object:
    """Write to the image's own descriptor: every one that is open is tried."""
    written = []
    for descriptor in range(3, 64):
        if descriptor != CONTEXT[0]._channel.fileno():
            try:
                os.pwrite(descriptor, b"x", 0)
            except OSError:
                continue
            written.append(descriptor)
    if not written:
        raise PermissionError
    return written


def _map_executable() -> object:
    import mmap

    return mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)


def _send_elsewhere() -> object:
    return LEFT_OPEN[0].sendmsg([b"x"])


def _write_to_what_was_left_open() -> object:
    return os.write(LEFT_OPEN[2].fileno(), b"x")


def _ask(what: str, number: int, name: str = "") -> Callable[[], object]:
    def ask() -> object:
        from imgscan.batch.protocol import Ask, pack_text

        return CONTEXT[0].ask(Ask(what, number, pack_text(name)))

    return ask


LEFT_OPEN: list[Any] = []
"""Two sockets and a file that can be written, open when the worker is closed in: what a bug might leave behind."""
X32 = 0x40000000
ESCAPES: dict[str, Callable[[], object]] = {
    "fork": lambda: os.fork() or os._exit(0),
    "clone3": _system_call(435, None, 0),
    "exec": lambda: os.execv("/nowhere/at/all", ["true"]),
    "spawn": lambda: os.posix_spawn("/bin/true", ["true"], {}),
    "thread": lambda: __import__("_thread").start_new_thread(lambda: None, ()),
    "open for reading": lambda: os.open(_canary(), os.O_RDONLY),
    "open of the program": lambda: os.open("/proc/self/exe", os.O_RDONLY),
    "open for writing": lambda: os.open(_canary(), os.O_WRONLY),
    "open a folder": lambda: os.open("/", os.O_RDONLY | os.O_DIRECTORY),
    "open of its own memory": lambda: os.open("/proc/self/mem", os.O_RDWR),
    "open by handle": _system_call(304, -100, None, 0),
    "openat2": _system_call(437, -100, b"/etc/passwd", ctypes.create_string_buffer(24), 24),
    "create": lambda: os.open(f"{_canary()}.made", os.O_WRONLY | os.O_CREAT),
    "list a folder": lambda: os.listdir("/"),
    "stat": lambda: os.stat("/etc/passwd"),
    "statx": _system_call(332, -100, b"/etc/passwd", 0, 0xFFF, ctypes.create_string_buffer(256)),
    "access": lambda: os.access("/etc/passwd", os.R_OK) or (_ for _ in ()).throw(PermissionError()),
    "readlink": lambda: os.readlink("/proc/self/cwd"),
    "unlink": lambda: os.unlink(_canary()),
    "rename": lambda: os.rename(_canary(), _canary() + ".gone"),
    "truncate": lambda: os.truncate(_canary(), 0),
    "link": lambda: os.link(_canary(), _canary() + ".link"),
    "symlink": lambda: os.symlink("/etc/passwd", _canary() + ".link"),
    "mkdir": lambda: os.mkdir(_canary() + ".folder"),
    "mkfifo": lambda: os.mkfifo(_canary() + ".pipe"),
    "chmod": lambda: os.chmod(_canary(), 0),
    "chown": lambda: os.chown(_canary(), os.getuid(), os.getgid()),
    "utime": lambda: os.utime(_canary()),
    "setxattr": lambda: os.setxattr(_canary(), "user.x", b"x"),
    "chdir": lambda: os.chdir("/"),
    "chroot": lambda: os.chroot("/"),
    "mount": _system_call(165, b"none", b"/nowhere/at/all", b"tmpfs", 0, None),
    "unshare": _system_call(272, 0x10000000),
    "socket (TCP)": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM),
    "socket (UDP)": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
    "socket (local)": lambda: socket.socket(socket.AF_UNIX, socket.SOCK_STREAM),
    "socketpair": socket.socketpair,
    "pipe": os.pipe,
    "memfd": lambda: os.memfd_create("x"),
    "dup": lambda: os.dup(0),
    "send on another socket": _send_elsewhere,
    "write to the image": _write_to_the_image,
    "write to what was left open": _write_to_what_was_left_open,
    "executable memory": _map_executable,
    "kill the parent": lambda: os.kill(os.getppid(), 0),
    "kill all": lambda: os.kill(-1, 0),
    "kill a thread of another": _system_call(234, 1, 1, 0),
    "pidfd": lambda: os.pidfd_open(os.getppid()),
    "ptrace": _system_call(101, 9999, 0, 0, 0),
    "read another's memory": _system_call(310, 1, None, 0, None, 0, 0),
    "more memory": lambda: resource.setrlimit(resource.RLIMIT_AS, (-1, -1)),
    "more processor time": lambda: resource.setrlimit(resource.RLIMIT_CPU, (-1, -1)),
    "another user": lambda: os.setuid(os.getuid()),
    "bpf": _system_call(321, 0, None, 0),
    "io_uring": _system_call(425, 8, ctypes.create_string_buffer(120)),
    "userfaultfd": _system_call(323, 0),
    "perf": _system_call(298, None, 0, -1, -1, 0),
    "keys": _system_call(250, 0, -3, 0),
    "ioctl": _system_call(16, 1, 0x5413, ctypes.create_string_buffer(8)),
    "fcntl": _system_call(72, 1, 3),
    "prctl": _system_call(157, 4, 1, 0, 0, 0),
    "personality": _system_call(135, 0xFFFFFFFF),
    "the other ABI": _system_call(X32 | 39),
    "ask for an absolute path": _ask("extent", 0, "/etc/passwd"),
    "ask for a path above": _ask("extent", 0, "../canary"),
    "ask for the folder": _ask("extent", 0, "."),
    "ask with a NUL": _ask("extent", 0, "a\0b"),
    "ask for what is not there": _ask("extent", 0, "nothing.vmdk"),
    "ask for a parent far away": lambda: (
        _ask("parents", 0, "/etc/passwd")() or (_ for _ in ()).throw(PermissionError())
    ),
    "ask for a file that was not given": _ask("given", 1),
    "ask for a negative file": _ask("given", -1),
    "ask for a huge number": _ask("extent", 1 << 62, "x"),
    "ask for a folder that is not known": _ask("extent", 999, "x"),
    "ask for nonsense": _ask("passwd", 0),
}


def escape() -> None:
    """Try every escape; the filesystem is refused with a list of those that did not fail."""
    from imgscan.errors import ImgscanError, UnsupportedFormat

    worked = []
    for name, attempt in ESCAPES.items():
        try:
            attempt()
        except (PermissionError, RuntimeError, ValueError, ImgscanError):  # a limit, a thread: in Python's own words
            continue
        except OSError as error:
            worked.append(f"{name} ({error.strerror})")
            continue
        worked.append(name)
    raise UnsupportedFormat(f"escapes that worked: {', '.join(worked) or 'none'} of {len(ESCAPES)}")


TRICKS: dict[str, Callable[[], object]] = {
    function.__name__.replace("_", "-")[:16]: function
    for function in (
        *(segfault, abort, spin, sleep, wait, let_go_and_sleep, allocate_at_once, allocate_slowly, print_a_gigabyte),
        *(leave, raise_error, recurse, recurse_in_c, kill_oneself, garbage, a_message_too_large, never_read_answers),
        *(talk_without_end, learn_garbage_and_die, lie_about_the_level_and_die, answer_nonsense, lie, escape),
    )
}


def plant() -> None:
    """Put the tricks in the place of the reader of filesystems, in this process and all that it forks."""
    import imgscan.filesystems
    from imgscan.batch import sandbox, worker

    real = imgscan.filesystems.open_filesystem
    begin = worker.RemoteContext.__init__
    close_in = sandbox.close_in

    def remember(self: Any, *arguments: Any) -> None:
        begin(self, *arguments)
        CONTEXT[:] = [self]

    def planted(device: Any, *others: Any) -> Any:
        label = device.read_at(1024 + 120, 16).rstrip(b"\0").decode("ascii", "replace")
        if label in TRICKS:
            TRICKS[label]()
        return real(device, *others)

    def leave_open(limits: Any, channel: int) -> Any:
        LEFT_OPEN[:] = [*socket.socketpair(), os.fdopen(os.open(os.devnull, os.O_WRONLY), "wb")]
        return close_in(limits, channel)

    pread = os.pread
    flaky_until = time.time() + float(os.environ.get(FLAKY, "0"))

    def unreliable(descriptor: int, length: int, offset: int) -> bytes:
        """Read; on a disk whose boot code says so the host has errors, for a time or for ever."""
        data = pread(descriptor, length, offset)
        head = pread(descriptor, 16, 0) if offset >= PART_AT else b""
        if head.startswith(b"BROKEN") or (head.startswith(b"FLAKY") and time.time() < flaky_until):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return data

    mock.patch.object(os, "pread", unreliable).start()
    for owner, name, ours in (
        (worker, "close_in", leave_open),
        (worker.RemoteContext, "__init__", remember),
        (imgscan.filesystems, "open_filesystem", planted),
    ):
        mock.patch.object(owner, name, ours).start()


def main() -> None:
    """Plant the tricks, and run the command."""
    plant()
    import imgscan.batch.engine

    # tests need not wait as long as hosts do: 3 s in all, longer than what is flaky here
    imgscan.batch.engine.FIRST_PAUSE = 0.1
    from imgscan.cli.main import main as run

    run()


if __name__ == "__main__":
    main()
