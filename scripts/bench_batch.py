"""A batch over a share of thousands of machines; run it with scripts/bench batch.

Makes the share of a few real images (the Debian export that comes with the repository, and Linux and Windows disks that
the tests' builders make with foreign tools) in every container format: each copy has bytes of its own, some machines
have two disks, some are damaged, some have a VMX file, and other files lie between them. On an XFS file system with
reflinks, mounted from a file (as root), it takes little space; elsewhere the copies are whole.

Then it scans the share, and scans it again unchanged. It prints machines a second, processor time, reads and bytes per
machine, and the memory of the supervisor.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import random
import shutil
import sqlite3
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
MIB, GIB = 1 << 20, 1 << 30
FICLONE = 0x40049409
"""Of linux/fs.h: make a file share another's blocks."""
MARKS = (b"debian12\n", b"ID=debian\n", b"Windows Boot", b"CID=")
"""What is changed in a copy: guests' text where it lies open in the file, and the content id of a packed VMDK."""


class Base(NamedTuple):
    """An image to copy: its files, the first of which is the disk, and where bytes may be changed."""

    files: tuple[Path, ...]
    place: int | None


class Measured(NamedTuple):
    """What a run took: wall and processor time in seconds (the supervisor's and all), its memory in MiB at most."""

    seconds: float
    supervisor: float
    all: float
    mebibytes: float
    status: int


@contextmanager
def place_for(folder: Path, machines: int) -> Iterator[Path]:
    """Yield a folder for the share: on XFS with reflinks where a mount can be had."""
    image, mounted = folder / "xfs.img", folder / "xfs"
    mounted.mkdir()
    with image.open("wb") as file:
        file.truncate(max(2 * GIB, machines * 4 * MIB))
    try:
        subprocess.run(["mkfs.xfs", "-q", "-m", "reflink=1", str(image)], check=True)
        subprocess.run(["mount", "-o", "loop", str(image), str(mounted)], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        print("no XFS mount can be had (it needs root and mkfs.xfs): the copies are whole")
        yield mounted
        return
    try:
        yield mounted
    finally:
        subprocess.run(["umount", "-l", str(mounted)], check=True)


def bases(folder: Path) -> list[Base]:
    """Make the images that are copied."""
    from disk_builder import CONTAINERS, build_linux, convert
    from tools import FIXTURES
    from windows_builder import build_windows

    debian = FIXTURES / "images" / "debian12-bios.vmdk"
    raw = folder / "debian.raw"
    subprocess.run(["qemu-img", "convert", "-O", "raw", str(debian), str(raw)], check=True)
    windows = folder / "windows.raw"
    entry = struct.pack("<B3xB3xII", 0x80, 0x07, 2048, 24 * 2048)
    head = (bytes(446) + entry + bytes(48) + b"\x55\xaa").ljust(MIB, b"\0")
    windows.write_bytes(head + build_windows().read_bytes())
    efi = build_linux(folder, "efi", scheme="gpt", esp=True, root="ext4", data="ext4", swap=True)
    found = []
    for disk in (raw, windows, efi):
        for container in ("raw", *CONTAINERS):
            made = disk if container == "raw" else convert(disk, container)
            others = sorted(path for path in folder.glob(f"{made.stem}-*") if path != made and path.suffix == ".vmdk")
            found.append(Base((made, *others), mark(made if not others else others[0])))
    return found


def mark(path: Path) -> int | None:
    """Return where in a file one of `MARKS` lies, in its first 64 MiB of data."""
    with path.open("rb") as file:
        data = file.read(64 * MIB)
    return next((at for at in map(data.find, MARKS) if at >= 0), None)


def clone(source: Path, target: Path) -> None:
    """Copy a file, sharing its blocks where the filesystem can."""
    with source.open("rb") as read, target.open("wb") as write:
        try:
            fcntl.ioctl(write, FICLONE, read.fileno())
        except OSError:
            shutil.copyfileobj(read, write, MIB)


def make_share(share: Path, images: list[Base], machines: int) -> int:
    """Make the share; return how many machines are damaged."""
    dice = random.Random(1)
    damaged = 0
    for number in range(machines):
        base = images[number % len(images)]
        folder = share / f"project{number % 40:02}" / f"vm{number:05}"
        folder.mkdir(parents=True)
        for source in base.files:
            target = folder / source.name
            clone(source, target)
        changed = folder / (base.files[1] if len(base.files) > 1 else base.files[0]).name
        with changed.open("r+b") as file:
            if base.place is not None:
                file.seek(base.place)
                file.write(b"%08x" % number)
        if number % 10 == 3:
            clone(images[0].files[0], folder / "data_2.raw")
        if number % 10 == 4:
            disks = sorted(path.name for path in folder.iterdir())
            lines = [f'scsi0:{index}.fileName = "{name}"\n' for index, name in enumerate(disks[:1])]
            (folder / f"vm{number:05}.vmx").write_text('.encoding = "UTF-8"\n' + "".join(lines))
        if number % 33 == 5:
            first = folder / base.files[0].name
            os.truncate(first, dice.randrange(1000, max(1001, first.stat().st_size // 2)))
            damaged += 1
        if number % 5 == 0:
            (folder / "vmware.log").write_text(f"log of {number}\n" * 50)
    return damaged


def measure(command: list[str], folder: Path) -> Measured:
    """Run a batch to its end."""
    begin = time.monotonic()
    process = subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL)
    own = [0.0, 0.0]

    def look() -> None:
        while not own[0] < 0:
            try:
                fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
                status = Path(f"/proc/{process.pid}/status").read_text()
            except OSError:
                return
            own[0] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
            if "VmHWM:" in status:
                own[1] = int(status.split("VmHWM:")[1].split()[0]) / 1024
            time.sleep(0.1)

    watcher = threading.Thread(target=look)
    watcher.start()
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.monotonic() - begin
    watcher.join()
    return Measured(seconds, own[0], used.ru_utime + used.ru_stime, own[1], os.waitstatus_to_exitcode(status))


def show(what: str, machines: int, took: Measured) -> None:
    print(
        f"{what}: {took.seconds:.1f} s, {machines / took.seconds:.1f} machines a second; processor time a machine "
        f"{1000 * took.all / machines:.1f} ms, of it the supervisor's {1000 * took.supervisor / machines:.2f} ms; "
        f"supervisor's memory {took.mebibytes:.0f} MiB; exit status {took.status}",
        flush=True,
    )


def main(arguments: list[str]) -> int:
    """Make the share, scan it twice, print the figures."""
    parser = argparse.ArgumentParser(prog="scripts/bench batch", description=__doc__)
    parser.add_argument("--machines", type=int, default=5000)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="imgscan-bench-") as temporary:
        folder = Path(temporary)
        images = folder / "images"
        images.mkdir()
        with place_for(folder, chosen.machines) as place:
            share = place / "share"
            stored = place / "images"
            stored.mkdir()
            begin = time.monotonic()
            damaged = make_share(share, bases(stored), chosen.machines)
            used = shutil.disk_usage(place).used // MIB
            print(
                f"a share of {chosen.machines} machines, {damaged} damaged, {used} MiB, "
                f"made in {time.monotonic() - begin:.0f} s"
            )
            command = [sys.executable, "-m", "imgscan", "batch", str(share), "--db", "results.db"]
            command += ["--workers", str(chosen.workers)]
            show("scan", chosen.machines, measure(command, folder))
            with sqlite3.connect(folder / "results.db") as database:
                count, reads, size = database.execute(
                    "SELECT count(*), avg(reads), avg(bytes) FROM attempts WHERE outcome = 'done'"
                ).fetchone()
                states = dict(database.execute("SELECT coalesce(failure, state), count(*) FROM machines GROUP BY 1"))
                found = database.execute("SELECT count(*) FROM machines").fetchone()[0]
            print(f"{found} machines: {states}; a scan reads {size / MIB:.2f} MiB in {reads:.0f} reads ({count} scans)")
            show("again, unchanged", found, measure(command, folder))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
