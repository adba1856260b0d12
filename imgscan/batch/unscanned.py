"""The facts of a machine of which nothing could be read: everything is unread, for one reason.

So a machine that crashed its reader is judged like any other, and no rule passes for it.
"""

from __future__ import annotations

from typing import TypeVar

from imgscan.batch.names import written
from imgscan.batch.share import PlannedMachine
from imgscan.errors import Why
from imgscan.model.boot import Boot
from imgscan.model.disk import Disk
from imgscan.model.fact import Fact, unread
from imgscan.model.machine import Io, MachineFacts, UnreadPlace
from imgscan.model.text import shown

T = TypeVar("T")


def unscanned(machine: PlannedMachine, why: Why, detail: str) -> MachineFacts:
    """Return facts that know nothing but the machine's name and the paths of its disks."""

    def lost() -> Fact[T]:
        return unread(why, detail)

    names = [f"disk{number}" for number in range(len(machine.disks))]
    return MachineFacts(
        name=written(machine.name),
        disks=tuple(
            Disk(
                name=name,
                path=written(path),
                format=None,
                variant=None,
                virtual_size=None,
                unclean=lost(),
                encryption=lost(),
                device_mapping=lost(),
                delta=lost(),
                partitioning=lost(),
            )
            for name, path in zip(names, machine.disks, strict=True)
        ),
        volumes=(),
        boot=Boot(firmware=lost(), disk=lost()),
        systems=(),
        systems_searched=lost(),
        unread=tuple(UnreadPlace(name, why, shown(detail)) for name in names),
        io=Io(0, 0, {}),
    )
