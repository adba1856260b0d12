"""Everything that is asked of one installed Linux."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from imgscan.devices.filesystem import FileSystem
from imgscan.devices.guest_tree import GuestTree
from imgscan.errors import Why
from imgscan.guests.attempt import attempt
from imgscan.guests.linux.architecture import read_architecture
from imgscan.guests.linux.boot_menu import BootMenu, read_boot_menu
from imgscan.guests.linux.bootloader import read_bootloader
from imgscan.guests.linux.devices import Devices
from imgscan.guests.linux.grub_files import read_menu_files
from imgscan.guests.linux.hostname import read_hostname
from imgscan.guests.linux.kernel import read_default_kernel, version_of
from imgscan.guests.linux.mount_units import read_mount_units
from imgscan.guests.linux.mounts import read_mounts
from imgscan.guests.linux.release import read_release
from imgscan.guests.linux.services import Services
from imgscan.guests.systems import FoundSystem, Inspected
from imgscan.model.disk import Disk
from imgscan.model.evidence import Evidence, at_path
from imgscan.model.fact import Fact, unread_because
from imgscan.model.linux_boot import DefaultKernel
from imgscan.model.machine import UnreadPlace
from imgscan.model.system import Mount, System
from imgscan.model.text import shown
from imgscan.model.volume import Volume


def inspect_linux(
    found: FoundSystem, filesystems: Mapping[str, FileSystem], volumes: Sequence[Volume], disks: Sequence[Disk]
) -> Inspected:
    """Return what is known of the Linux whose root is `found.volume`, or its subvolume `found.directory`.

    `filesystems` are all readable ones by volume name; fstab and the boot menu refer to them and to all `volumes`.
    """
    root, folder = found.volume, found.directory.rstrip("/")
    devices = Devices(volumes, disks)
    tree, mounts, crypttab = read_mounts(root, filesystems, volumes, devices, found.directory)
    release = read_release(tree)
    loader = attempt(lambda: read_bootloader(tree), at_path(root, f"{folder}/boot"))
    if loader.is_known and loader.value is None and not mounts.is_known:
        loader = mounts.map(lambda _: None)  # its configuration may lie on a /boot that only fstab tells
    name = release.id.value if isinstance(release.id.value, str) else None
    if mounts.is_known:
        boot = read_boot_menu(tree, devices, root, name, loader)
    else:  # a /boot that only fstab tells may hide the one on the root: what lies there may start nothing
        boot = BootMenu(mounts.map(lambda _: ()), mounts.map(lambda _: ()), (_unread_place(root, mounts),))
    kernel = _kernel(tree, boot, devices, at_path(root, f"{folder}/boot"))
    system = System(
        family="linux",
        root=root,
        directory=shown(found.directory),
        id=release.id,
        version=release.version,
        product=release.product,
        service_pack=release.service_pack,
        variant=release.variant,
        architecture=read_architecture(tree),
        hostname=attempt(lambda: read_hostname(tree), at_path(root, f"{folder}/etc/hostname")),
        bootloader=loader,
        kernel=version_of(kernel),
        default_kernel=kernel,
        menu_files=read_menu_files(tree, filesystems, boot.menus) if mounts.is_known else mounts.map(lambda _: ()),
        mounts=mounts,
        mount_units=attempt(
            lambda: read_mount_units(tree, Services(tree), devices), at_path(root, f"{folder}/etc/systemd")
        ),
        crypttab=crypttab,
        references=boot.references,
        menu=boot.menu,
    )
    return Inspected(system, tree, boot.left_out)


def _kernel(tree: GuestTree, boot: BootMenu, devices: Devices, where: Evidence) -> Fact[DefaultKernel | None]:
    """Return the kernel that starts by default."""
    if not boot.menu.is_known:
        return boot.menu.map(lambda _: None)
    if boot.default_lost is not None:
        return unread_because(boot.default_lost, where)
    return attempt(lambda: read_default_kernel(tree, boot.kernels, devices), where)


def _unread_place(volume: str, mounts: Fact[tuple[Mount, ...]]) -> UnreadPlace:
    """Return what the report says of an fstab that could not be read."""
    why: Why = mounts.unread if isinstance(mounts.unread, str) else "internal"
    return UnreadPlace(volume, why, shown(f"/etc/fstab: {mounts.detail}"))
