"""Which boot loader the system is configured for, by its own files; the boot code on the disks is another question."""

from __future__ import annotations

from typing import Final

from imgscan.devices.guest_tree import GuestTree
from imgscan.errors import CorruptStructure
from imgscan.model.evidence import at_path
from imgscan.model.fact import Fact, known

GRUB2_CONFIGURATIONS: Final = ("/boot/grub2/grub.cfg", "/boot/grub/grub.cfg")
GRUB_LEGACY_CONFIGURATIONS: Final = ("/boot/grub/menu.lst", "/boot/grub/grub.conf")
SYSLINUX_CONFIGURATIONS: Final = {
    "extlinux": ("/boot/extlinux/extlinux.conf", "/boot/extlinux.conf", "/extlinux.conf"),
    "syslinux": ("/boot/syslinux/syslinux.cfg", "/syslinux.cfg", "/boot/syslinux.cfg"),
}
_OTHERS: Final = (
    ("systemd-boot", ("/boot/loader/loader.conf", "/efi/loader/loader.conf", "/boot/efi/loader/loader.conf")),
    *SYSLINUX_CONFIGURATIONS.items(),
    ("lilo", ("/etc/lilo.conf",)),
    ("elilo", ("/etc/elilo.conf",)),
    ("refind", ("/boot/refind_linux.conf",)),
)


def read_bootloader(tree: GuestTree) -> Fact[str | None]:
    """Return the loader whose configuration is there, GRUB 2 before all others; None when there is none.

    :raises ImageError: a place where a configuration may be cannot be read
    """
    for name, paths in (("grub2", GRUB2_CONFIGURATIONS), ("grub-legacy", GRUB_LEGACY_CONFIGURATIONS), *_OTHERS):
        for path in paths:
            place = tree.find(path)
            if place is not None and place.entry.kind == "file":
                return known(name, place.evidence())
            if place is not None and place.entry.kind == "other":  # its node says nothing: damaged
                raise CorruptStructure(f"{path} is named in its folder, and is nothing that is known", where=place.path)
    for path in esp_grub_configurations(tree):
        return known("grub2", tree.resolve(path).evidence())
    return known(None, at_path(tree.resolve("/").filesystem.volume, "/boot"))


def esp_grub_configurations(tree: GuestTree) -> list[str]:
    """Return the paths of the grub.cfg files that distributions have on the EFI system partition."""
    folder = tree.find("/boot/efi/EFI")
    if folder is None or folder.entry.kind != "directory":
        return []
    names = sorted(entry.name for entry in tree.list("/boot/efi/EFI") if entry.kind == "directory")
    paths = [f"/boot/efi/EFI/{name}/grub.cfg" for name in names if name.upper() not in {"BOOT", "MICROSOFT"}]
    return [path for path in paths if tree.exists(path)]
