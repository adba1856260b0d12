"""The whole flow, in order. Read this first.

::

    paths -> containers -> partitions -> volumes and filesystems -> boot, systems, access -> MachineFacts
                                                                                            (-> judge -> Report)

Every stage takes what the one before it made. The readers know nothing of each other: `imgscan.stages` alone puts them
together. A stage that cannot read something says so in its facts, and the scan goes on with what is left.

All of this runs in a process that can open no file (`imgscan.batch.worker`), unless it is called from Python directly.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Protocol, Self

import msgspec

from imgscan import containers
from imgscan.devices.counters import IoCounter
from imgscan.devices.device import BlockDevice
from imgscan.devices.filesystem import FileSystem
from imgscan.devices.guest_tree import GuestTree
from imgscan.devices.host_files import GivenFiles, LocalGivenFiles
from imgscan.devices.named import NamedDevice
from imgscan.devices.parts import Parts
from imgscan.errors import ERRORS, ImageError, Why
from imgscan.model.boot import Boot
from imgscan.model.collect import USUAL, Group
from imgscan.model.disk import ImageFacts
from imgscan.model.fact import unread
from imgscan.model.machine import MachineFacts
from imgscan.model.system import System
from imgscan.stages.costly import read_costly
from imgscan.stages.disks import open_disks, read_partition_tables
from imgscan.stages.state import ScanState, why_no_device
from imgscan.stages.systems import inspect_access, inspect_boot, inspect_systems, systems_searched
from imgscan.stages.volumes import open_volumes

if TYPE_CHECKING:
    from pathlib import Path


class ScanOptions(msgspec.Struct, frozen=True):
    """What the user may set: `search` are further folders for parents; `input_format` overrides the detection.

    `left_out` are parts (`imgscan.devices.parts`) that are not read, with why and a sentence: they failed before.
    `collect` are the costly groups of facts to read.
    """

    search: tuple[Path, ...] = ()
    input_format: str | None = None
    left_out: Mapping[str, tuple[Why, str]] = msgspec.field(default_factory=dict)
    collect: frozenset[Group] = frozenset()


class Watch(Protocol):
    """Who follows a scan: told each part as it begins, and what was learnt after each stage."""

    def part(self, name: str) -> None:
        """Take note that a part is being read now; empty for none."""
        ...

    def learnt(self, facts: MachineFacts) -> None:
        """Take note of the facts so far; what was not reached yet is unread in them (`not-collected`)."""
        ...


class OpenMachine(msgspec.Struct):
    """A machine while its files are open.

    `devices` and `filesystems` are by volume name, `trees` in the order of the systems. `failures` are bugs of
    imgscan's own that were contained, each in one line.
    """

    facts: MachineFacts
    devices: dict[str, BlockDevice]
    filesystems: dict[str, FileSystem]
    trees: list[GuestTree]
    failures: list[str]


NOT_REACHED = "the scan did not get that far"


def inspect_machine(paths: Sequence[str | Path], options: ScanOptions | None = None) -> MachineFacts:
    """Read the facts of one machine in this process (`imgscan.inspect_machine` does it in a process of its own).

    :raises UsageError: the paths do not make a machine (no path, the same file twice, a sidecar instead of disks)
    :raises ImageError: a path cannot be opened at all
    """
    with open_machine(paths, options or ScanOptions(collect=USUAL)) as machine:
        return machine.facts


@contextmanager
def open_machine(
    paths: Sequence[str | Path],
    options: ScanOptions | None = None,
    *,
    given: GivenFiles | None = None,
    watch: Watch | None = None,
    counter: IoCounter | None = None,
) -> Iterator[OpenMachine]:
    """Open the disks of one machine, read its facts, and keep everything open inside the block.

    `given` opens the paths, as local files unless told otherwise. Raises as `inspect_machine`.
    """
    options = options or ScanOptions()
    names = [str(path) for path in paths]
    with ExitStack() as files:
        if given is None:
            given = files.enter_context(LocalGivenFiles(names, options.search))
        parts = Parts(watch.part if watch else None, options.left_out)
        scan = ScanState(names, parts, counter or IoCounter())
        count = scan.counter.stage
        with count("containers"):
            open_disks(options.input_format, given, scan)
        with count("partitions"):
            read_partition_tables(scan)
        if watch:
            watch.learnt(_facts(scan))
        with count("filesystems"):
            open_volumes(scan)
        if watch:
            watch.learnt(_facts(scan))
        with count("boot"):
            boot_facts = inspect_boot(scan)
        if watch:
            watch.learnt(_facts(scan, boot_facts))
        with count("systems"):
            found, trees = inspect_systems(scan)
        if watch:
            watch.learnt(_facts(scan, boot_facts, found))
        with count("access"):
            found = inspect_access(scan, found, trees)
        if options.collect:
            if watch:
                watch.learnt(_facts(scan, boot_facts, found))
            found = read_costly(scan, found, trees, options.collect)
        facts = _facts(scan, boot_facts, found)
        yield OpenMachine(facts, scan.devices, scan.filesystems, trees, parts.failures)


def _facts(scan: ScanState, boot_facts: Boot | None = None, found: Sequence[System] | None = None) -> MachineFacts:
    """Return the facts so far; `boot_facts` and `found` are None while they were not reached."""
    reached = boot_facts is not None and found is not None
    return MachineFacts(
        name=(scan.disks[0].files[0].name if scan.disks[0].files else scan.paths[0].rpartition("/")[2]).rsplit(".", 1)[
            0
        ],
        disks=tuple(scan.disks),
        volumes=tuple(scan.volumes),
        boot=boot_facts
        or Boot(firmware=unread("not-collected", NOT_REACHED), disk=unread("not-collected", NOT_REACHED)),
        systems=tuple(found or ()),
        systems_searched=systems_searched(scan, boot_facts, found or ())
        if boot_facts is not None and reached
        else unread("not-collected", NOT_REACHED),
        unread=tuple(scan.unread),
        io=scan.counter.result(),
    )


class OpenDisk(NamedDevice):
    """One virtual disk as a `BlockDevice`, open until `close`; `facts` is what its container says."""

    def __init__(self, device: BlockDevice, facts: ImageFacts, files: ExitStack) -> None:
        super().__init__(device, device.name)
        self.facts = facts
        self._files = files

    def close(self) -> None:
        """Close the files; reading afterwards is a programming error."""
        self._files.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_disk(path: str | Path, options: ScanOptions | None = None, *, given: GivenFiles | None = None) -> OpenDisk:
    """Open one virtual disk for reading by position, in this process.

    :raises UsageError: there is no such file
    :raises ImageError: the file cannot be opened, or nothing of its content can be read
    """
    options = options or ScanOptions()
    with ExitStack() as files:
        if given is None:
            given = files.enter_context(LocalGivenFiles([str(path)], options.search))
        file, host = given.open(str(path), IoCounter())
        opened = containers.open_image(file, host, options.input_format)
        if opened.device is None:
            lost = why_no_device(opened.facts, str(path))
            raise ERRORS.get(str(lost.unread), ImageError)(str(lost.detail))
        return OpenDisk(opened.device, opened.facts, files.pop_all())
