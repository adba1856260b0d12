"""A scan opens the files it was given and those that the policy allows: watched from inside the interpreter."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from forked import run_forked
from tools import FIXTURES, ROOT

WORKER = {"task", "null"}
"""What a supervisor opens to start a worker: /proc/self/task and /dev/null."""
WATCHER = """
import json, sys, os
opened, limit = [], 400 << 20
def watch(event, arguments):
    if event == "open" and isinstance(arguments[0], (str, bytes)):
        mode, flags = arguments[1], arguments[2] or 0
        opened.append([os.fsdecode(arguments[0]), bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))])
    elif event in ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "socket.connect",
                   "os.remove", "os.rename", "os.truncate", "os.mkdir"):
        opened.append([event, True])
import resource
with open("/proc/self/statm") as statm:  # a process that was forked has what a fresh one has not
    room = int(statm.read().split()[0]) * resource.getpagesize() + (1 << 30)
resource.setrlimit(resource.RLIMIT_AS, (room, room))
resource.setrlimit(resource.RLIMIT_CPU, (20, 20))
sys.addaudithook(watch)
from imgscan.cli.main import run
status = run(sys.argv[2:])
sys.stdout.flush()
with open(sys.argv[1], "w") as out:
    peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))  # ru_maxrss counts the parent's
    json.dump([status, opened[:-1], int(peak.split()[1]) / 1024], out)
"""
SYSTEM = tuple(
    str(Path(path).resolve())
    for path in {*sysconfig.get_paths().values(), sys.prefix, sys.base_prefix, str(ROOT / "imgscan"), str(ROOT)}
)


def watched(folder: Path, *arguments: object, fresh: bool = False) -> tuple[int, set[str], float, str]:
    """Return status, the files opened that are not Python's own, the most memory in MiB, and standard error.

    Memory counts what the process had when it began: that of a `fresh` interpreter, or of the test's.
    """
    result = folder.parent / f"{folder.name}.watched"
    command = [str(result), *map(str, arguments)]
    if fresh:
        done = subprocess.run(
            [sys.executable, "-B", "-c", WATCHER, *command],
            capture_output=True, text=True, check=False, timeout=60, cwd="/",
        )  # fmt: skip
        returned, said = done.returncode, done.stderr
    else:
        ended = run_forked(_watch, command, Path("/"))
        returned, said = ended.returncode, ended.stderr.decode()
    assert returned == 0, said
    status, opened, mebibytes = json.loads(result.read_text())
    written = [name for name, for_writing in opened if for_writing and name != str(result)]
    assert written == []
    foreign = {
        name for name, _ in opened if not str(Path("/", name).resolve()).startswith(SYSTEM) and name != str(result)
    }
    return status, {Path(name).name if "/" in name else name for name in foreign}, mebibytes, said


def _watch() -> None:
    exec(WATCHER, {})  # noqa: S102 - the same as in an interpreter of its own


def descriptor(extents: str, create_type: str = "monolithicFlat", more: str = "") -> str:
    return (
        "# Disk DescriptorFile\nversion=1\nCID=12345678\n"
        f'{more or "parentCID=ffffffff"}\ncreateType="{create_type}"\n{extents}\n'
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "export"
    folder.mkdir()
    (tmp_path / "secret.bin").write_bytes(b"S" * 8192)
    (folder / "secret-link.bin").symlink_to(tmp_path / "secret.bin")
    return folder


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd", "../secret.bin", "..", ".", "", "/dev/zero", "secret-link.bin", "sub/../../secret.bin",
        "..\\\\secret.bin", "C:\\\\secret.bin", "file:///etc/passwd", "nbd:localhost", "json:{}", "a\\0b", "x" * 5000,
        "/proc/self/mem",
    ],
)  # fmt: skip
def test_an_extent_elsewhere_is_not_opened(folder: Path, name: str) -> None:
    image = folder / "disk.vmdk"
    image.write_bytes(descriptor(f'RW 16 FLAT "{name}" 0').encode())
    status, opened, _, err = watched(folder, "scan", "--in-process", "--format", "json", image)
    assert status in {1, 3}, err
    assert opened <= {"disk.vmdk", "export"}


@pytest.mark.parametrize(
    "hint", ["/etc/passwd", "../secret.bin", "secret-link.bin", "/dev/zero", "C:\\\\etc\\\\passwd", "disk.vmdk"]
)
def test_a_parent_elsewhere_is_not_opened(folder: Path, hint: str) -> None:
    image = folder / "disk.vmdk"
    (folder / "own.bin").write_bytes(bytes(8192))
    text = descriptor('RW 16 FLAT "own.bin" 0', more=f'parentCID=87654321\nparentFileNameHint="{hint}"')
    image.write_bytes(text.encode())
    status, opened, _, err = watched(folder, "scan", "--in-process", "--format", "json", image)
    assert status in {1, 3}, err
    assert opened <= {"disk.vmdk", "export", "own.bin"}


def test_a_scan_of_a_real_export_opens_nothing_else(folder: Path) -> None:
    export = FIXTURES / "images" / "debian12-bios.vmdk"
    image = folder / "export.vmdk"
    image.write_bytes(export.read_bytes())
    status, opened, mebibytes, err = watched(folder, "scan", "--in-process", "--format", "json", image, fresh=True)
    assert (status, err) == (1, "")  # aws-sms lists no Debian 12
    assert opened == {"export.vmdk"}
    assert mebibytes < 100


def test_the_supervisor_of_a_worker_opens_what_the_policy_allows_and_nothing_else(folder: Path) -> None:
    export = FIXTURES / "images" / "debian12-bios.vmdk"
    image = folder / "export.vmdk"
    image.write_bytes(export.read_bytes())
    status, opened, mebibytes, err = watched(folder, "scan", "--format", "json", image, fresh=True)
    assert (status, err) == (1, "")  # aws-sms lists no Debian 12
    assert opened - WORKER == {"export.vmdk"}
    assert mebibytes < 100
    image.write_bytes(descriptor('RW 16 FLAT "../secret.bin" 0').encode())
    status, opened, _, err = watched(folder, "scan", "--format", "json", image, fresh=True)
    assert status in {1, 3}, err
    assert opened - WORKER <= {"export.vmdk", "export"}
