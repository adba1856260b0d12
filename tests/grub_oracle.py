"""What GRUB reads of an image, beside what imgscan reads: both as facts, of which a damaged image leaves some.

grub-fstest runs GRUB's drivers on plain files: filesystems, LVM2 and MD RAID, without mounts, root or a kernel. GRUB
believes most checksums, so that it says what is still there to be read. It is asked for what the healthy image has.
"""

from __future__ import annotations

import resource
import subprocess
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from fuzzing import Facts
from tools import require_tool

from imgscan.devices.device import BlockDevice
from imgscan.devices.filesystem import Entry, FileSystem, SubvolumeFileSystem
from imgscan.errors import ImageError
from imgscan.volumes.assembly import Assembled

SECONDS = 2
"""For one call, of which a hundredth is usual; some directories make an endless loop of it."""
MEMORY = 1 << 30
DIRECTORIES, FILES, BYTES = 24, 24, 1 << 16
"""How many directories are listed, of how many files the content is read, and how much of it."""
VOLUME_BYTES, STEP, PIECE = 8 << 20, 1 << 18, 1 << 14
"""Of a volume a piece at every step is compared, up to a size."""


def grub(paths: Sequence[Path], *command: str | bytes, length: int = 0) -> bytes:
    """Return what GRUB says of some disks (`loop0`, `loop1`, ...), what an error leaves of it, nothing if it hangs."""
    order: list[str | bytes] = [require_tool("grub-fstest"), "-c", str(len(paths)), *map(str, paths)]
    order += [command[0], *(["-n", str(length)] if length else []), "--", *command[1:]]
    with subprocess.Popen(order, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        with suppress(ProcessLookupError):
            resource.prlimit(process.pid, resource.RLIMIT_AS, (MEMORY, MEMORY))
        try:
            return process.communicate(timeout=SECONDS)[0]
        except subprocess.TimeoutExpired:
            process.kill()
            return b""


def files(paths: Sequence[Path], healthy: Facts | None) -> Facts:
    """Return names and content that GRUB finds in the filesystem on some disks."""
    facts: Facts = {}
    todo = [b""]
    listed = 0
    while todo and listed < DIRECTORIES:
        directory = todo.pop(0)
        listed += 1
        # without sizes, for which GRUB would open each file; names with a blank come in pieces, and are in no agreement
        names = grub(paths, "ls", b"(loop0)" + directory + b"/").split()
        if not names:  # what it does not list is not asked for again
            facts.pop(directory.decode("utf-8", "surrogateescape"), None)
        for name in names:
            if name in {b"./", b"../"}:
                continue
            path = directory + b"/" + name.removesuffix(b"/")
            key = path.decode("utf-8", "surrogateescape")
            facts[key] = _kind(is_directory=name.endswith(b"/"))
            if name.endswith(b"/") and (healthy is None or key in healthy):
                todo.append(path)
    for key in _sample(facts, healthy):
        path = key.encode("utf-8", "surrogateescape")
        facts[key + _CONTENT] = _sum(grub(paths, "cat", b"(loop0)" + path, length=BYTES))
    return facts


def files_by_imgscan(open_it: Callable[[Sequence[BlockDevice]], FileSystem]) -> Callable[..., Facts]:
    """Return a function that reads the same by imgscan."""

    def read(devices: Sequence[BlockDevice], healthy: Facts | None) -> Facts:
        facts: Facts = {}
        nodes: dict[str, Entry] = {}
        try:
            filesystem = open_it(devices)
            root = filesystem.root
            if isinstance(filesystem, SubvolumeFileSystem):  # GRUB shows the top level
                top = filesystem.subvolume(5)
                root = root if top is None else top.root
        except ImageError:
            return {}
        todo = [("", root)]
        listed = 0
        while todo and listed < DIRECTORIES:
            path, node = todo.pop(0)
            listed += 1
            for entry in _listed(filesystem, node):
                key = path + "/" + entry.name
                facts[key] = _kind(is_directory=entry.kind == "directory")
                nodes[key] = entry
                if entry.kind == "directory" and (healthy is None or key in healthy):
                    todo.append((key, entry.node))
        for key in _sample(facts, healthy):
            if nodes[key].kind == "file":
                with suppress(ImageError):
                    facts[key + _CONTENT] = _sum(filesystem.read(nodes[key].node, 0, BYTES))
        return facts

    return read


def volumes(paths: Sequence[Path], healthy: Facts | None) -> Facts:
    """Return what GRUB reads of volume groups and arrays: the content of each volume, in pieces."""
    facts: Facts = {}
    for word in grub(paths, "ls").decode("utf-8", "replace").split():
        name = word.strip("()")
        if not name.startswith(("lvm/", "md/")) or (healthy is not None and name not in healthy):
            continue
        facts[name] = "volume"
        starts = [int(key.rpartition(" at ")[2]) for key in healthy or () if key.startswith(f"{name} at ")]
        whole = (max(starts) + PIECE) // 512 if starts else 0
        data = grub(paths, "cat", f"({name})0+{whole}") if whole else b""
        if not data:
            data = _by_halves(paths, name)
        facts |= _pieces(name, lambda at, data=data: data[at : at + PIECE], len(data))  # type: ignore[misc]
    return facts


def _by_halves(paths: Sequence[Path], name: str) -> bytes:
    """Return a volume's content. GRUB says no size, and reads nothing of what ends behind the volume."""
    data, sectors = b"", VOLUME_BYTES // 512
    while sectors * 512 >= STEP // 4:
        data += grub(paths, "cat", f"({name}){len(data) // 512}+{sectors}")
        sectors //= 2
    return data


def volumes_by_imgscan(
    assemble: Callable[[Sequence[BlockDevice]], Sequence[tuple[str, Assembled]]],
) -> Callable[..., Facts]:
    """Return a function that reads the same by imgscan; `assemble` says what GRUB calls each volume."""

    def read(devices: Sequence[BlockDevice], _: Facts | None) -> Facts:
        facts: Facts = {}
        for name, volume in assemble(devices):
            if volume.device is None:
                continue
            facts[name] = "volume"
            device = volume.device

            def piece(at: int, device: BlockDevice = device) -> bytes:
                try:
                    return device.read_at(at, PIECE)
                except ImageError:
                    return b""

            facts |= _pieces(name, piece, min(device.size, VOLUME_BYTES))
        return facts

    return read


_CONTENT = "//content"


def _kind(*, is_directory: bool) -> str:
    return "directory" if is_directory else "no directory"


def _sum(data: bytes) -> str:
    return f"{len(data)} bytes {zlib.crc32(data):08x}"


def _sample(facts: Facts, healthy: Facts | None) -> list[str]:
    """Return some names that are no directories; those of the healthy image again."""
    if healthy is not None:
        return [name for name in facts if name + _CONTENT in healthy]
    names = [name for name, what in facts.items() if what == _kind(is_directory=False)]
    return sorted(names, key=lambda name: zlib.crc32(name.encode("utf-8", "surrogateescape")))[:FILES]


def _listed(filesystem: FileSystem, node: int) -> Iterator[Entry]:
    try:
        yield from filesystem.list(node)
    except ImageError:
        return


def _pieces(name: str, read: Callable[[int], bytes], size: int) -> Facts:
    return {f"{name} at {at}": _sum(data) for at in range(0, size - PIECE + 1, STEP) if (data := read(at))}
