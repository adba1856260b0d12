"""Opening a VMDK in tests as a scan opens it, and reading it with QEMU."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from vmdk_images import write

from imgscan import containers
from imgscan.containers.container import OpenedImage
from imgscan.devices.counters import IoCounter
from imgscan.devices.host_files import open_given


@contextmanager
def opened(path: Path, counter: IoCounter | None = None, search: tuple[Path, ...] = ()) -> Iterator[OpenedImage]:
    file, host = open_given(path, search, counter or IoCounter())
    try:
        yield containers.open_image(file, host)
    finally:
        host.close()


@contextmanager
def opened_files(folder: Path, files: Mapping[str, bytes | bytearray]) -> Iterator[OpenedImage]:
    """Write files and open the first."""
    with opened(write(folder, files)) as found:
        yield found


def as_qemu_reads(path: Path) -> bytes:
    """Return the disk's bytes as QEMU reads them."""
    raw = path.with_name(path.name + ".as-qemu-reads")
    subprocess.run(["qemu-img", "convert", "-f", "vmdk", "-O", "raw", path, raw], check=True, capture_output=True)
    content = raw.read_bytes()
    raw.unlink()
    return content


def fact_values(image: OpenedImage) -> dict[str, object]:
    facts = image.facts
    names = ("unclean", "encryption", "device_mapping", "delta")
    return {name: getattr(facts, name).value if getattr(facts, name).is_known else "unread" for name in names}
