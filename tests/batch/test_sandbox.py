"""How far a process is closed in, and what is said where that is not far enough."""

from __future__ import annotations

import os
import shutil
import sqlite3
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from tools import FIXTURES, ROOT

from imgscan.batch import sandbox
from imgscan.batch.sandbox import Level, Limits

DEBIAN = FIXTURES / "images" / "debian12-bios.vmdk"
WITHOUT = {
    "landlock": "sandbox._LANDLOCK_CREATE = 100_000",  # a number that no system call has
    "seccomp": "sandbox._MACHINES = {}",
    "no-new-privileges": "sandbox.PR_SET_NO_NEW_PRIVS = 100_000",
}


def imgscan(*arguments: object, folder: Path, without: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command on a host that lacks something."""
    lacks = WITHOUT[without] if without else ""
    code = f"from imgscan.batch import sandbox\n{lacks}\nfrom imgscan.cli.main import main\nmain()"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def test_this_kernel_has_it_all() -> None:
    """Landlock came with Linux 5.13, seccomp's filters with 3.5; a CI without them would prove nothing."""
    level = sandbox.reachable(Limits())
    assert level.is_full
    assert str(level).startswith("limits, no-new-privileges, landlock ")


@pytest.mark.parametrize(
    ("without", "words"),
    [
        ("landlock", "limits, no-new-privileges, seccomp"),
        ("seccomp", "limits, no-new-privileges, landlock "),
        ("no-new-privileges", "limits"),
    ],
)
def test_a_host_that_has_less(tmp_path: Path, without: str, words: str) -> None:
    (tmp_path / "share").mkdir()
    shutil.copy(DEBIAN, tmp_path / "share")
    refused = imgscan("scan", DEBIAN, "--require-sandbox", folder=tmp_path, without=without)
    said = "imgscan: nothing was read: the process that parses could not be closed in fully (reached: "
    assert refused.returncode == 3
    assert refused.stdout == ""
    assert refused.stderr.startswith(f"{said}{words}")
    batch = ("batch", "share", "--db", "results.db")
    refused = imgscan(*batch, "--require-sandbox", folder=tmp_path, without=without)
    assert refused.returncode == 3
    assert refused.stderr.startswith(f"{said}{words}")
    assert refused.stderr.count("\n") == 1
    done = imgscan(*batch, folder=tmp_path, without=without)
    assert done.returncode == 1  # aws-sms lists no Debian 12
    assert done.stderr.startswith(f"note: this host closes in the processes that parse only in part ({words}")
    with sqlite3.connect(tmp_path / "results.db") as database:
        ((level,),) = database.execute("SELECT sandbox FROM attempts").fetchall()
    assert level.startswith(words)


def test_what_is_required_and_there(tmp_path: Path) -> None:
    assert imgscan("inspect", DEBIAN, "--require-sandbox", folder=tmp_path).returncode == 0


def test_levels_in_words() -> None:
    assert str(Level()) == "none"
    assert str(Level(limits=True, seccomp=True)) == "limits, seccomp"
    assert not Level(limits=True, no_new_privileges=True, seccomp=True).is_full


@pytest.mark.parametrize("machine", sorted(sandbox._MACHINES))
def test_the_filter_is_sound(machine: str) -> None:
    """A small interpreter of classic BPF runs the filter on every system call's number (seccomp(2), "Filters")."""
    kernel = sandbox._MACHINES[machine]
    channel = 77
    program = [struct.unpack("=HBBI", step) for step in sandbox._program(kernel, channel)]
    assert len(program) < 4096  # BPF_MAXINSNS

    def verdict(number: int, *arguments: int, audit: int = kernel.audit) -> int:
        padded = (*arguments, *([0] * (6 - len(arguments))))
        data = struct.pack("=iIQ6Q", number, audit, 0, *padded)
        accumulator, at = 0, 0
        while True:
            code, if_true, if_false, value = program[at]
            at += 1
            if code == 0x20:
                (accumulator,) = struct.unpack_from("=I", data, value)
            elif code == 0x06:
                return int(value)
            else:
                holds = {0x15: accumulator == value, 0x35: accumulator >= value, 0x45: bool(accumulator & value)}[code]
                at += if_true if holds else if_false

    allow, deny, kill = 0x7FFF0000, 0x00050001, 0x80000000
    free = {number for name, number in kernel.calls.items() if name not in sandbox._CHECKED}
    for number in range(600):
        if number in free:
            assert verdict(number) == allow
        elif number not in kernel.calls.values():
            assert verdict(number) == deny
        assert verdict(number, audit=0x40000003) == kill
        assert verdict(number | 0x40000000) == deny
    calls = kernel.calls
    assert [verdict(calls["write"], end) for end in (0, 1, 2, 3, channel)] == [deny, allow, allow, deny, deny]
    for name in ("sendmsg", "sendto", "recvmsg", "recvfrom"):
        assert [verdict(calls[name], end) for end in (channel, 1, channel + 1)] == [allow, deny, deny]
    for name in ("mmap", "mprotect"):
        assert [verdict(calls[name], 0, 4096, access) for access in (3, 4, 7)] == [allow, deny, deny]
    assert [verdict(calls["tgkill"], who) for who in (os.getpid(), 1)] == [allow, deny]
