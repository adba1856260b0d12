"""What the system's programs are built for: the ELF header of the first of them that is there.

Source: System V ABI, chapter 4 (ELF header: e_ident, e_machine).
"""

from __future__ import annotations

import struct
from typing import Final

from imgscan.devices.guest_tree import GuestTree
from imgscan.errors import ImageError
from imgscan.model.fact import Fact, known, unread_because

PROGRAMS: Final = (
    "/bin/sh",
    "/usr/bin/env",
    "/sbin/init",
    "/usr/lib/systemd/systemd",
    "/lib/systemd/systemd",
    "/bin/bash",
    "/bin/busybox",
    "/sbin/ldconfig",
)
"""Programs that every system has one of."""

_MACHINES: Final = {
    (3, 32): "x86",
    (62, 64): "x86_64",
    (62, 32): "x32",
    (183, 64): "aarch64",
    (40, 32): "arm",
    (20, 32): "ppc",
    (21, 64): "ppc64",
    (22, 64): "s390x",
    (22, 32): "s390",
    (243, 64): "riscv64",
    (243, 32): "riscv32",
    (50, 64): "ia64",
    (8, 32): "mips",
    (8, 64): "mips64",
    (2, 32): "sparc",
    (43, 64): "sparc64",
    (258, 64): "loongarch64",
    (0x9026, 64): "alpha",
    (15, 32): "parisc",
}


def read_architecture(tree: GuestTree) -> Fact[str | None]:
    """Return the architecture, None when no program was found."""
    failed: ImageError | None = None
    for path in PROGRAMS:
        try:
            place = tree.find(path)
            if place is None or place.entry.kind != "file":
                continue
            name = architecture(place.filesystem.read(place.entry.node, 0, 64))
        except ImageError as error:
            failed = failed or error
            continue
        if name is not None:
            return known(name, place.evidence())
    return known(None) if failed is None else unread_because(failed)


def architecture(header: bytes) -> str | None:
    """Return the architecture of an ELF header, `elf-machine-N` for one without a name here, None when it is none."""
    if len(header) < 20 or header[:4] != b"\x7fELF" or header[4] not in {1, 2} or header[5] not in {1, 2}:
        return None
    is_little = header[5] == 1
    (machine,) = struct.unpack_from("<H" if is_little else ">H", header, 18)
    name = _MACHINES.get((machine, 32 * header[4]))
    if name is None:
        return f"elf-machine-{machine}"
    if name in {"ppc64", "mips", "mips64"} and is_little:
        return {"ppc64": "ppc64le", "mips": "mipsel", "mips64": "mips64el"}[name]
    return name
