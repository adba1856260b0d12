"""What is asked of an installed Windows alone."""

from __future__ import annotations

from typing import Literal

import msgspec

from imgscan.model.evidence import Evidence

DriverFile = Literal["present", "missing", "unread"]
"""Whether a driver's file is on the disk."""


class Languages(msgspec.Struct, frozen=True, kw_only=True):
    """Languages as tags (`en-US`, `de-DE`; `de-0c07` and `lcid-0999` where a number has no tag here).

    `installed` is the one that Windows was installed in, None when it does not say; `interface` are those of the user
    interface, that one included.
    """

    installed: str | None
    interface: tuple[str, ...]


class RemoteDesktop(msgspec.Struct, frozen=True, kw_only=True):
    """Whether Remote Desktop takes connections when the system has started, at which TCP port; `detail` is why."""

    starts: bool
    port: int
    detail: str


class PageFile(msgspec.Struct, frozen=True, kw_only=True):
    """A page file as configured: its path, and its sizes in MiB; both are None where Windows manages them."""

    path: str
    minimum: int | None
    maximum: int | None


class Framework(msgspec.Struct, frozen=True, kw_only=True):
    """An installed .NET Framework, as `3.5` or `4.7.2`."""

    version: str


class Update(msgspec.Struct, frozen=True, kw_only=True):
    """An update that was looked for: `installed`, `absent`, or `superseded` where a later rollup may hold it."""

    name: str
    state: Literal["installed", "absent", "superseded"]


class ClassFilter(msgspec.Struct, frozen=True):
    """A place in the drivers of all devices of a class: `above` or below (`UpperFilters`, `LowerFilters`)."""

    device_class: Literal["disk", "volume", "scsi-adapter", "ide-controller"]
    above: bool

    def __str__(self) -> str:
        """Return it in a few words."""
        return f"{'upper' if self.above else 'lower'} filter of the class {self.device_class}"


class BootDriver(msgspec.Struct, frozen=True, kw_only=True):
    """A driver that Windows needs to reach its disks, or loads with its loader.

    `start` is `boot`, `system`, `automatic`, `manual` or `disabled` as `StartOverride` has it, `configured` the same
    without that; both are None when there is no such service, and `unread`, as `group` may be, when its values cannot
    be read. `file` is about `path`, where the driver lies in the guest (None when that cannot be told), and is None for
    a driver that Windows does not load to reach its disks.
    `filters` are its places as a filter, `hardware` the hardware ids of storage controllers that the
    CriticalDeviceDatabase (before Windows 8) gives to it.
    """

    name: str
    start: str | None
    configured: str | None
    group: str | None = None
    path: str | None = None
    file: DriverFile | None = None
    filters: tuple[ClassFilter, ...] = ()
    hardware: tuple[str, ...] = ()
    evidence: tuple[Evidence, ...] = ()


class DeviceDriver(msgspec.Struct, frozen=True, kw_only=True):
    """A driver that was looked for, by the name of the Linux driver for the same device.

    `installed`: a service with its file; `staged`: in the driver store, from which Windows installs it when it finds
    the device; `broken`: a service whose file is missing; `unread`: whether the file is there was not read.
    """

    name: str
    state: Literal["installed", "staged", "broken", "unread", "absent"]
    evidence: tuple[Evidence, ...] = ()


class BootOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How the entry of the boot menu that starts a Windows does it.

    `timeout` is how many seconds the menu waits, None when it does not say. `safe_boot` is `minimal`, `network`,
    `directory-services-repair` or what else stands there, None for a normal start; `ems` whether the kernel's console
    is on a serial port, `debug` whether a debugger may be attached, `unsigned_drivers` whether test signatures, or
    none, do for drivers; `status_policy` is what happens after starts that failed, None when nothing is said.
    """

    timeout: int | None
    safe_boot: str | None = None
    ems: bool = False
    debug: bool = False
    unsigned_drivers: bool = False
    status_policy: str | None = None


class PendingWork(msgspec.Struct, frozen=True):
    """What is left for the next start: `updates` are half installed, `files` are renamed or deleted; `text` says it."""

    kind: Literal["updates", "files"]
    text: str
    evidence: Evidence
