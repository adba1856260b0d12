"""Reads of each container format, imgscan against dissect.hypervisor; run it with scripts/bench.

Makes a disk of 1 GiB with 192 MiB of data in places, in each format (qemu-img), then times random reads of 4 KiB
(everywhere, and in written places only) and a sequential read, each in a process of its own, the two libraries in
turn, five times each; prints the median of the ratios pair by pair.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

MIB = 1 << 20
DISK_BYTES = 1024 * MIB
RANDOM_READS = 4000
PAIRS = 5
FORMATS: dict[str, list[str]] = {
    "vmdk-monolithicSparse": ["-O", "vmdk"],
    "vmdk-streamOptimized": ["-O", "vmdk", "-o", "subformat=streamOptimized"],
    "vmdk-twoGbMaxExtentSparse": ["-O", "vmdk", "-o", "subformat=twoGbMaxExtentSparse"],
    "vmdk-monolithicFlat": ["-O", "vmdk", "-o", "subformat=monolithicFlat"],
    "vhd-dynamic": ["-O", "vpc", "-o", "force_size=on"],
    "vhd-fixed": ["-O", "vpc", "-o", "subformat=fixed,force_size=on"],
    "vhdx-dynamic": ["-O", "vhdx"],
    "vhdx-1M": ["-O", "vhdx", "-o", "block_size=1M"],
    "vhdx-fixed": ["-O", "vhdx", "-o", "subformat=fixed"],
    "qcow2": ["-O", "qcow2"],
    "qcow2-compressed": ["-c", "-O", "qcow2"],
    "vdi": ["-O", "vdi"],
}
ENDINGS = {"vmdk": "vmdk", "vhd": "vhd", "vhdx": "vhdx", "qcow2": "qcow2", "vdi": "vdi"}


def make_source(path: Path) -> None:
    """Write runs of half-compressible data at seeded places of a sparse file."""
    dice = random.Random(1)
    with path.open("wb") as file:
        file.truncate(DISK_BYTES)
        for start in dice.sample(range(DISK_BYTES // (4 * MIB)), 96):
            file.seek(start * 4 * MIB)
            file.write(b"".join(dice.randbytes(2048) + bytes(2048) for _ in range(512)))


def places(kind: str, size: int) -> list[int]:
    """Return the offsets of the random reads: sector-aligned, the same for both libraries."""
    dice = random.Random(2)
    if kind == "random":
        return [dice.randrange(0, (size - 4096) // 512) * 512 for _ in range(RANDOM_READS)]
    starts = random.Random(1).sample(range(DISK_BYTES // (4 * MIB)), 96)
    return [
        dice.choice(starts) * 4 * MIB + dice.randrange(0, (2 * MIB - 4096) // 512) * 512 for _ in range(RANDOM_READS)
    ]


def open_with(library: str, path: Path) -> Any:
    """Return a function read(offset, length) for the image."""
    if library == "imgscan":
        import imgscan

        disk = imgscan.open_disk(path, imgscan.ReadOptions(isolated=False))
        return disk.read_at, disk.size
    kind = path.suffix[1:]
    if kind == "vmdk":
        from dissect.hypervisor import vmdk

        stream: Any = vmdk.VMDK(path)
        stream = stream.open() if hasattr(stream, "open") else stream
    elif kind == "vhd":
        from dissect.hypervisor import vhd

        stream = vhd.VHD(path.open("rb"))
    elif kind == "vhdx":
        from dissect.hypervisor import vhdx

        stream = vhdx.VHDX(path)
    elif kind == "qcow2":
        from dissect.hypervisor import qcow2

        stream = qcow2.QCow2(path)
        stream = stream.open() if hasattr(stream, "open") else stream
    else:
        from dissect.hypervisor import vdi

        stream = vdi.VDI(path)
        stream = stream.open() if hasattr(stream, "open") else stream

    def read(offset: int, length: int) -> bytes:
        stream.seek(offset)
        return bytes(stream.read(length))

    return read, DISK_BYTES


def measure(library: str, path: Path, kind: str) -> float:
    """Return the seconds that the reads take in this process, opening not included."""
    read, size = open_with(library, path)
    if kind == "sequential":
        begin = time.perf_counter()
        for offset in range(0, size - MIB + 1, MIB):
            read(offset, MIB)
        return time.perf_counter() - begin
    offsets = places(kind, size)
    begin = time.perf_counter()
    for offset in offsets:
        read(offset, 4096)
    return time.perf_counter() - begin


def child(library: str, path: Path, kind: str) -> float:
    """Run one measurement in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, "--one", library, str(path), kind], check=True, capture_output=True, text=True
    )
    return float(json.loads(done.stdout))


def main() -> int:
    """Make the images, alternate the runs, print a table."""
    if sys.argv[1:2] == ["--one"]:
        sys.stdout.write(json.dumps(measure(sys.argv[2], Path(sys.argv[3]), sys.argv[4])))
        return 0
    chosen = {
        name: flags for name, flags in FORMATS.items() if not sys.argv[1:] or any(a in name for a in sys.argv[1:])
    }
    print("ratio of speeds, imgscan / dissect.hypervisor: median of", PAIRS, "alternated pairs (minimum-maximum)")
    slow = 0
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source.raw"
        make_source(source)
        for name, flags in chosen.items():
            path = Path(folder) / f"{name}.{ENDINGS[name.split('-')[0]]}"
            subprocess.run(["qemu-img", "convert", "-f", "raw", *flags, str(source), str(path)], check=True)
            row = []
            for kind in ("random", "random-data", "sequential"):
                ratios = []
                for _ in range(PAIRS):
                    ours = child("imgscan", path, kind)
                    theirs = child("dissect", path, kind)
                    ratios.append(theirs / ours)
                slow += median(ratios) < 0.9
                row.append(f"{kind} {median(ratios):6.2f} ({min(ratios):.2f}-{max(ratios):.2f})")
            print(f"{name:<26}", "   ".join(row), flush=True)
            for leftover in Path(folder).glob(f"{name}*"):
                leftover.unlink()
    print(f"{slow} below 0.9" if slow else "none below 0.9")
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
