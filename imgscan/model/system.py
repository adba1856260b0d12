"""An installed operating system."""

from __future__ import annotations

from typing import Literal

import msgspec

from imgscan.model.access import Firewall, ServiceStart, SshSettings
from imgscan.model.evidence import Evidence
from imgscan.model.fact import NOT_COLLECTED, Fact, unread
from imgscan.model.initramfs import Initramfs, KernelDrivers
from imgscan.model.kernel_package import KernelPackage
from imgscan.model.linux_boot import DefaultKernel, MenuFile
from imgscan.model.network import InterfaceName, NetworkFile, Proxy, Route
from imgscan.model.package import Package
from imgscan.model.software import HardwareTrace, StartingProduct
from imgscan.model.windows import (
    BootDriver,
    BootOptions,
    DeviceDriver,
    Framework,
    Languages,
    PageFile,
    PendingWork,
    RemoteDesktop,
    Update,
)

SourceKind = Literal[
    "uuid", "label", "partuuid", "partlabel", "device-name", "hardware-name", "mapper", "logical-volume", "array",
    "removable", "network", "file", "virtual", "unknown"
]  # fmt: skip
"""How a mount names what it mounts.

`device-name` is /dev/sda1, /dev/dm-0: it depends on the order in which a kernel finds the disks. `hardware-name` is a
name after the hardware (/dev/disk/by-id, by-path). `removable` are CD-ROM and floppy drives; `file` a file or folder
of the guest (bind, loop, a swap file); `virtual` what is on no disk (proc, tmpfs).
"""


class Mount(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the guest's mount table, or a mount or swap unit of systemd.

    `source` is the text of the first field, `volume` the volume it resolves to over all disks, None when there is no
    such volume or several are (`candidates`); `by_order` is whether that rests on the order of the disks. `point` is
    `/`, `/boot`, ... or `none` for swap. `at_boot` is whether it is mounted without being asked for (no `noauto`, a
    unit that starts), `may_fail` whether the system starts without it (`nofail`). `flaw` is why it cannot be mounted
    whatever the disks hold, as one clause.
    """

    source: str
    point: str
    type: str
    options: str = ""
    volume: str | None = None
    evidence: tuple[Evidence, ...] = ()
    how: SourceKind = "unknown"
    candidates: tuple[str, ...] = ()
    by_order: bool = False
    at_boot: bool = True
    may_fail: bool = False
    flaw: str | None = None


class CryptEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A line of crypttab: /dev/mapper/`name` is what `source` (resolved: `volume`) holds, unlocked with `key`."""

    name: str
    source: str
    volume: str | None
    key: str = ""
    options: str = ""
    evidence: tuple[Evidence, ...] = ()


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """Where a boot configuration says that something lies: `role` is `root` (root=) or `boot` (GRUB's search)."""

    role: Literal["root", "boot"]
    source: str
    volume: str | None
    evidence: tuple[Evidence, ...] = ()


class HiveState(msgspec.Struct, frozen=True, kw_only=True):
    """How a registry hive was left: `completed` was dirty, and its logs made it whole in memory; `dirty` lacks them.

    `path` is in the guest. What was read of a `dirty` hive is older than the system's last changes.
    """

    path: str
    state: Literal["clean", "completed", "dirty"]
    detail: str | None = None


MenuEntryKind = Literal["own", "other-system", "chainload", "recovery", "tool", "unknown"]


class MenuEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of a boot menu (GRUB, BCD, boot.ini).

    `kind`: `own` starts this system, `other-system` names another one, `chainload` hands over to another boot sector or
    loader, `recovery` (WinRE, recovery partitions, rescue kernels of the same system), `tool` (memory test, firmware
    set-up), `unknown` when it cannot be told. `id` is what a default may name besides the title. `kernel`, `initrds`
    and `arguments` (the command line) are what GRUB loads, as the menu has it; None where the entry loads no kernel.
    """

    title: str
    kind: MenuEntryKind
    target: str | None = None
    default: bool = False
    id: str | None = None
    kernel: str | None = None
    initrds: tuple[str, ...] = ()
    arguments: str | None = None
    evidence: tuple[Evidence, ...] = ()


class System(msgspec.Struct, frozen=True, kw_only=True):
    """One installed system; `root` is the volume that holds `/` or the Windows folder.

    `id` is the os-release ID (`debian`, `rhel`, `sles`, `ol`, ...) or `windows`; `version` the release (`12`, `5.11`,
    `10.0.14393`); `architecture` is `x86_64`, `x86`, `aarch64`, ...; `bootloader` as in `BootCode.what` for BIOS
    loaders, or the EFI loader's `what`; `service_pack` is as the system calls it (Windows: `Service Pack 1`, SUSE:
    `SP3`). Linux: `variant` is os-release's VARIANT_ID (`server`, `workstation`); `ssh_server` is the path of the SSH
    server's program, None when there is none; `ssh_settings` is None when it has no configuration; `firewalls` are
    those that start with the system; `mounts` are the lines of fstab, `mount_units` the units of the system's owner;
    `network` are all files that configure interfaces, `dhcp_client` is the program or service that asks for addresses;
    `hibernated_files` are swap files with a hibernated system.
    `menu_files` are all configurations of GRUB that were found, in use or not;
    `default_kernel` is None when there is no kernel to choose from, `kernel_package` when there is no package database,
    `initramfs` when the default entry loads none, `kernel_drivers` when no modules of that kernel are installed;
    `packages` are all of the package manager's, None when it has no database.

    Windows: `build` is `17763.1234`, `release` its name for the release (`1809`, `22H2`), `product_type` is
    `workstation`, `server` or `domain-controller`, `channel` how it was licensed in its own words (`Retail`,
    `Volume:GVLK`, `OEM:DM`), `domain` the DNS domain that it is in, `hives` how its registry's files were left,
    `updates` those that were looked for, `universal_clock` whether its clock runs in UTC, `driver_signing` is `ignore`,
    `warn` or `block` where a Windows has that setting, `ipv6_disabled` whether no adapter uses IPv6; `routes` are the
    persistent ones. `boot_drivers` are those that it starts with and the filters of its storage devices,
    `network_drivers` those that were looked for; `boot_options` are those of the menu's entry that starts it, None when
    there is none; `pending_restart` is what is left to be done when it starts next.

    Both: `network` is the configuration of the interfaces, `dhcp_client` None where no client starts; `products` are
    those of a table of imgscan's that start with the system. Facts that only one family has are None on the other.
    """

    family: Literal["linux", "windows", "other"]
    root: str
    id: Fact[str | None]
    version: Fact[str | None]
    product: Fact[str | None]
    architecture: Fact[str | None] = unread("not-collected", NOT_COLLECTED)
    hostname: Fact[str | None] = unread("not-collected", NOT_COLLECTED)
    bootloader: Fact[str | None] = unread("not-collected", NOT_COLLECTED)
    kernel: Fact[str | None] | None = None
    edition: Fact[str | None] | None = None
    installation_type: Fact[str | None] | None = None
    build: Fact[str | None] | None = None
    service_pack: Fact[str | None] | None = None
    variant: Fact[str | None] | None = None
    release: Fact[str | None] | None = None
    product_type: Fact[str | None] | None = None
    channel: Fact[str | None] | None = None
    domain: Fact[str | None] | None = None
    languages: Fact[Languages] | None = None
    remote_desktop: Fact[RemoteDesktop] = unread("not-collected", NOT_COLLECTED)
    page_files: Fact[tuple[PageFile, ...]] = unread("not-collected", NOT_COLLECTED)
    frameworks: Fact[tuple[Framework, ...]] = unread("not-collected", NOT_COLLECTED)
    updates: Fact[tuple[Update, ...]] = unread("not-collected", NOT_COLLECTED)
    universal_clock: Fact[bool] = unread("not-collected", NOT_COLLECTED)
    hibernated: Fact[bool] = unread("not-collected", NOT_COLLECTED)
    driver_signing: Fact[str | None] = unread("not-collected", NOT_COLLECTED)
    pending_restart: Fact[tuple[PendingWork, ...]] = unread("not-collected", NOT_COLLECTED)
    boot_options: Fact[BootOptions | None] = unread("not-collected", NOT_COLLECTED)
    boot_drivers: Fact[tuple[BootDriver, ...]] = unread("not-collected", NOT_COLLECTED)
    network_drivers: Fact[tuple[DeviceDriver, ...]] = unread("not-collected", NOT_COLLECTED)
    hives: tuple[Fact[HiveState], ...] = ()
    directory: str | None = None
    mounts: Fact[tuple[Mount, ...]] = unread("not-collected", NOT_COLLECTED)
    mount_units: Fact[tuple[Mount, ...]] = unread("not-collected", NOT_COLLECTED)
    crypttab: Fact[tuple[CryptEntry, ...]] = unread("not-collected", NOT_COLLECTED)
    network: Fact[tuple[NetworkFile, ...]] = unread("not-collected", NOT_COLLECTED)
    dhcp_client: Fact[str | None] = unread("not-collected", NOT_COLLECTED)
    ipv6_disabled: Fact[bool] = unread("not-collected", NOT_COLLECTED)
    routes: Fact[tuple[Route, ...]] = unread("not-collected", NOT_COLLECTED)
    proxies: Fact[tuple[Proxy, ...]] = unread("not-collected", NOT_COLLECTED)
    interface_names: Fact[tuple[InterfaceName, ...]] = unread("not-collected", NOT_COLLECTED)
    products: Fact[tuple[StartingProduct, ...]] = unread("not-collected", NOT_COLLECTED)
    hibernated_files: Fact[tuple[str, ...]] = unread("not-collected", NOT_COLLECTED)
    hardware_traces: Fact[tuple[HardwareTrace, ...]] = unread("not-collected", NOT_COLLECTED)
    references: Fact[tuple[Reference, ...]] = unread("not-collected", NOT_COLLECTED)
    menu: Fact[tuple[MenuEntry, ...]] = unread("not-collected", NOT_COLLECTED)
    menu_files: Fact[tuple[MenuFile, ...]] = unread("not-collected", NOT_COLLECTED)
    default_kernel: Fact[DefaultKernel | None] = unread("not-collected", NOT_COLLECTED)
    kernel_package: Fact[KernelPackage | None] = unread("not-collected", NOT_COLLECTED)
    initramfs: Fact[Initramfs | None] = unread("not-collected", NOT_COLLECTED)
    kernel_drivers: Fact[KernelDrivers | None] = unread("not-collected", NOT_COLLECTED)
    packages: Fact[tuple[Package, ...] | None] = unread("not-collected", NOT_COLLECTED)
    ssh_server: Fact[str | None] = unread("not-collected", NOT_COLLECTED)
    ssh_start: Fact[ServiceStart] = unread("not-collected", NOT_COLLECTED)
    ssh_settings: Fact[SshSettings | None] = unread("not-collected", NOT_COLLECTED)
    firewalls: Fact[tuple[Firewall, ...]] = unread("not-collected", NOT_COLLECTED)
