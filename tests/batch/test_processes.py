"""Which process loads what, and that a scan in a worker finds what a scan without one does."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from disk_builder import CONTAINERS, build_linux, convert
from rules_on_images.access_cases import FIREWALLD
from tools import FIXTURES, ROOT, requires_tool
from windows_builder import build_windows

DEBIAN = FIXTURES / "images" / "debian12-bios.vmdk"
PROGRAM = Path(__file__).with_name("modules_loaded.py")
PARSERS = (
    *("imgscan.scan", "imgscan.containers", "imgscan.partitions", "imgscan.volumes", "imgscan.filesystems"),
    *("imgscan.guests", "imgscan.layouts", "pytsk3", "construct"),
)


def parsers(modules: list[str]) -> list[str]:
    """Return those that parse images."""
    return [name for name in modules if name in PARSERS or name.startswith(tuple(f"{parser}." for parser in PARSERS))]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Make an image of every format, of each family of systems and each filesystem that is read."""
    folder = tmp_path_factory.mktemp("images")
    linux = build_linux(folder, "linux", data="ntfs", swap=True)
    efi = build_linux(folder, "efi", scheme="gpt", esp=True, root="xfs", boot="ext2", data="exfat")
    btrfs = build_linux(folder, "btrfs", root="btrfs", bootloader="extlinux", boot="ext4")
    windows = folder / "windows.raw"
    entry = struct.pack("<B3xB3xII", 0x80, 0x07, 2048, 24 * 2048)
    volume = build_windows().read_bytes()
    windows.write_bytes((bytes(446) + entry + bytes(48) + b"\x55\xaa").ljust(1 << 20, b"\0") + volume)
    broken = folder / "broken.vhdx"
    made = [DEBIAN, linux, efi, btrfs, windows, *(convert(linux, container) for container in CONTAINERS)]
    broken.write_bytes(made[-3].read_bytes()[: 1 << 20])
    text = folder / "text.raw"
    text.write_text("no image at all")
    return [*made, text, broken]


@pytest.fixture(scope="module")
def told(images: list[Path]) -> dict[str, Any]:
    command = [sys.executable, str(PROGRAM), *map(str, images)]
    found: dict[str, Any] = json.loads(subprocess.check_output(command, env={**os.environ, "PYTHONPATH": str(ROOT)}))
    return found


needs_images = requires_tool("qemu-img", "mkntfs", "ntfs-3g", "hivexregedit", "mkfs.xfs", "mkfs.btrfs")


@needs_images
def test_nothing_is_loaded_after_the_worker_is_closed_in(told: dict[str, Any]) -> None:
    assert {image: names for image, names in told["late"].items() if names} == {}


@needs_images
def test_isolated_or_not_the_facts_are_the_same(told: dict[str, Any]) -> None:
    assert told["differ"] == []


@needs_images
def test_the_supervisor_loads_no_parser(told: dict[str, Any]) -> None:
    assert parsers(told["supervisor"]) == []


IMPORTS = r"""
import importlib, json, re, sys
from importlib.machinery import PathFinder
from pathlib import Path
import imgscan
from imgscan.batch.worker import READERS, keep_ready

keep_ready()
lacking = set()
for package in READERS:
    for path in (Path(imgscan.__path__[0]) / package).rglob("*.py"):
        for module, rest in re.findall(
            r"^ *(?:from (\S+) import\b|import ([\w., ]+?)(?: *#.*)?$)", path.read_text(), re.MULTILINE
        ):
            names = {module} if module else {name.split()[0] for name in rest.split(",")}
            foreign = {name for name in names if not name.startswith("imgscan")}
            lacking |= {(name, path.name) for name in foreign - set(sys.modules)}
sys.path_importer_cache.clear()
sys.meta_path = [finder for finder in sys.meta_path if finder is not PathFinder]  # nothing comes from a file any more
for name, where in sorted(lacking):
    try:
        importlib.import_module(name)
    except ImportError:
        continue
    lacking.remove((name, where))
print(json.dumps(sorted(lacking)))
"""


CODECS_OF_DESCRIPTORS = """
import codecs, json, sys
from importlib.machinery import PathFinder
from imgscan.batch import worker
from imgscan.containers.vmdk_descriptor import CODECS

getattr(worker, sys.argv[1])()
sys.path_importer_cache.clear()
sys.meta_path = [finder for finder in sys.meta_path if finder is not PathFinder]  # nothing comes from a file any more
print(json.dumps({name: codecs.lookup(name).decode(b"a-1")[0] for name in CODECS if name != "utf_16"}))
"""


@pytest.mark.parametrize("how", ["keep_ready", "preload"])
def test_a_fresh_worker_knows_the_encodings_of_descriptors(how: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    found = json.loads(subprocess.check_output([sys.executable, "-c", CODECS_OF_DESCRIPTORS, how], env=environment))
    assert len(found) > 40
    assert set(found.values()) == {"a-1"}


def test_a_fresh_worker_has_all_that_readers_may_import() -> None:
    """Nothing can be loaded once it is closed in; a test process has loaded more than a command has."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    lacking = json.loads(subprocess.check_output([sys.executable, "-c", IMPORTS], env=environment))
    assert lacking == []


@needs_images
def test_a_fresh_worker_reads_xml_of_the_guest(tmp_path: Path) -> None:
    image = build_linux(tmp_path, files=FIREWALLD)
    command = [sys.executable, "-m", "imgscan", "scan", "--format", "json", str(image)]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, check=False)
    assert done.stderr == b""
    (machine,) = json.loads(done.stdout)["machines"]
    assert [firewall["name"] for firewall in machine["systems"][0]["firewalls"]["value"]] == ["firewalld"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["scan", str(DEBIAN)],
        ["ls", str(DEBIAN), "/etc"],
        ["batch", "share", "--db", "results.db"],
    ],
    ids=["scan", "ls", "batch"],
)
def test_no_command_loads_a_parser(tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "share").mkdir()
    shutil.copy(DEBIAN, tmp_path / "share")
    code = (
        "import sys; from imgscan.cli.main import run; sys.stdout = open('out', 'w'); status = run(sys.argv[1:]); "
        "print(status, *sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    status, *modules = done.stderr.splitlines()[-1].split()
    assert status == ("0" if arguments[0] == "ls" else "1"), done.stderr  # aws-sms lists no Debian 12
    assert parsers(modules) == []


REAPER = """
import ctypes, os, subprocess, sys
assert ctypes.CDLL(None).prctl(36, 1, 0, 0, 0) == 0  # PR_SET_CHILD_SUBREAPER: who is left behind becomes a child
subprocess.run([sys.executable, "-m", "imgscan", *sys.argv[1:]], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
try:
    print(os.waitpid(-1, 0))
except ChildProcessError:
    print("nobody")
"""


@pytest.mark.parametrize("arguments", [["scan", str(DEBIAN)], ["scan", "missing"], ["scan", "--help"], ["inspect"]])
def test_no_command_leaves_a_process_behind(arguments: list[str]) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    assert subprocess.check_output([sys.executable, "-c", REAPER, *arguments], env=environment) == b"nobody\n"


def test_a_program_may_have_many_files_open() -> None:
    code = """
import os, resource, sys
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
opened = [os.open("/dev/null", os.O_RDONLY) for _ in range(1100)]
import imgscan
print(imgscan.inspect_machine([sys.argv[1]]).systems[0].id.value)
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    assert subprocess.check_output([sys.executable, "-c", code, str(DEBIAN)], env=environment) == b"debian\n"


def test_a_program_with_threads_starts_a_fresh_interpreter(tmp_path: Path) -> None:
    """A fork would copy locks that other threads hold; and a worker does not end with the thread that started it."""
    code = """
import os, sys, threading
import imgscan
from imgscan.batch import process

def no_fork(*_, **__):
    raise AssertionError("forked")

os.fork = no_fork
made = []
opener = threading.Thread(target=lambda: made.append(imgscan.open_disk(sys.argv[1])))
waiting = threading.Event()
other = threading.Thread(target=waiting.wait, daemon=True)
other.start()
opener.start()
opener.join()
with made[0] as disk:
    print(disk.size, disk.read_at(510, 2).hex(), len(disk.read_at(0, 9 << 20)))
facts = imgscan.inspect_machine([sys.argv[1]])
print(facts.systems[0].family)
waiting.set()
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(DEBIAN)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout.split() == [str(2 << 30), "55aa", str(9 << 20), "linux"]


def test_closed_standard_streams(tmp_path: Path) -> None:
    """Descriptors 0 to 2 are free then, and must not become an image's, or a channel."""
    for closed in ("<&-", "2>&-", "<&- 2>&-"):
        command = f"{sys.executable} -m imgscan scan --format json {DEBIAN} {closed}"
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            check=False,
        )
        assert done.returncode == 1, closed  # aws-sms lists no Debian 12
        assert json.loads(done.stdout)["machines"][0]["systems"]
