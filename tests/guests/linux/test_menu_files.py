from __future__ import annotations

import hashlib
from collections.abc import Mapping

import pytest
from memory_filesystem import Content, Link, MemoryFileSystem

from imgscan.devices.guest_tree import GuestTree
from imgscan.errors import CorruptStructure
from imgscan.guests.linux.boot_menu import BootMenu, read_boot_menu
from imgscan.guests.linux.bootloader import read_bootloader
from imgscan.guests.linux.devices import Devices
from imgscan.guests.linux.grub_files import read_menu_files
from imgscan.model.fact import Fact
from imgscan.model.linux_boot import MenuFile

GRUB2 = (
    "set default=1\nset timeout=5\nset fallback=0\nmenuentry a --id A {\n linux /a\n}\nmenuentry b {\n linux /b\n}\n"
)
LEGACY = "default=0\ntimeout=-1\nfallback 1 0\ntitle a\n kernel /a\ntitle b\n kernel /b\n"
STUB = "search.fs_uuid 1 root\nset prefix=($root)/grub\nconfigfile $prefix/grub.cfg\n"


def read(files: Mapping[str, Content], **mounts: MemoryFileSystem) -> Fact[tuple[MenuFile, ...]]:
    root = MemoryFileSystem(files)
    points = {"/boot": mounts.get("boot"), "/boot/efi": mounts.get("esp")}
    tree = GuestTree({"/": root, **{point: each for point, each in points.items() if each is not None}})
    menu = read_boot_menu(tree, Devices((), ()), "disk0/p1", "debian", read_bootloader(tree))
    others = {each.volume: each for each in (root, *mounts.values())}
    return read_menu_files(tree, others, menu.menus)


def test_what_a_grub2_menu_says() -> None:
    (found,) = read({"/boot/grub/grub.cfg": GRUB2}).get()
    assert (found.loader, found.entries, found.default, found.fallback, found.timeout) == ("grub2", 2, "1", "0", 5)
    assert found.default_is_there
    assert found.digest == hashlib.sha256(GRUB2.encode()).hexdigest()
    assert found.size == len(GRUB2)


def test_what_a_legacy_menu_says() -> None:
    (found,) = read({"/boot/grub/menu.lst": LEGACY}).get()
    assert (found.loader, found.entries, found.default, found.fallback, found.timeout) == (
        "grub-legacy",
        2,
        "0",
        "1 0",
        -1,
    )


def test_a_file_with_two_names_is_there_once_and_a_copy_twice() -> None:
    links = {"/boot/grub/grub.conf": LEGACY, "/boot/grub/menu.lst": Link("./grub.conf")}
    assert len(read(links).get()) == 1
    first, second = read({"/boot/grub/grub.conf": LEGACY, "/boot/grub/menu.lst": LEGACY}).get()
    assert first.digest == second.digest


def test_files_on_every_volume_and_hidden_below_a_mount() -> None:
    hidden = {"/boot/grub/grub.cfg": "menuentry old {\n linux /old\n}\n", "/boot/efi/x": ""}
    boot = MemoryFileSystem({"/grub2/grub.cfg": GRUB2, "/boot": Link(".")}, "disk0/p2")
    esp = MemoryFileSystem({"/EFI/BOOT/grub.cfg": STUB, "/EFI/redhat/grub.conf": LEGACY}, "disk0/p3", "vfat")
    other = MemoryFileSystem({"/EFI/ubuntu/grub.cfg": STUB}, "disk1/p1", "vfat")
    found = read(hidden, boot=boot, esp=esp, other=other).get()
    assert [(each.volume, each.path, each.entries) for each in found] == [
        ("disk0/p2", "/grub2/grub.cfg", 2),
        ("disk0/p3", "/EFI/BOOT/grub.cfg", 0),
        ("disk0/p3", "/EFI/redhat/grub.conf", 2),
        ("disk0/p1", "/boot/grub/grub.cfg", 1),
        ("disk1/p1", "/EFI/ubuntu/grub.cfg", 0),
    ]


def test_none_is_known_and_damage_is_not() -> None:
    assert read({"/etc/hosts": ""}).get() == ()
    bad = CorruptStructure("bad extent", where="disk0/p1")
    assert read({"/boot/grub/grub.cfg": GRUB2, "/boot/grub/menu.lst": bad}).unread == "corrupt"


BLS = {
    f"/boot/loader/entries/m-{version}.conf": f"title Linux {version}\nlinux /vmlinuz-{version}\n"
    f"initrd /initramfs-{version}.img $tuned_initrd\noptions root=UUID=1 $kernelopts\n"
    for version in ("4.18.0-80.el8.x86_64", "4.18.0-147.el8.x86_64", "0-rescue")
}
EL8 = """\
set pager=1
if [ -f ${config_directory}/grubenv ]; then
  load_env -f ${config_directory}/grubenv
elif [ -s $prefix/grubenv ]; then
  load_env
fi
if [ "${next_entry}" ] ; then
   set default="${next_entry}"
   set next_entry=
   save_env next_entry
   set boot_once=true
else
   set default="${saved_entry}"
fi
set timeout=5
insmod blscfg
blscfg
"""


def menu_of(files: Mapping[str, Content]) -> BootMenu:
    tree = GuestTree({"/": MemoryFileSystem(files)})
    return read_boot_menu(tree, Devices((), ()), "disk0/p1", "rhel", read_bootloader(tree))


@pytest.mark.parametrize(
    ("environment", "default", "is_there"),
    [
        ("saved_entry=m-4.18.0-80.el8.x86_64\nkernelopts=ro quiet\n", "Linux 4.18.0-80.el8.x86_64", True),
        ("saved_entry=Linux 4.18.0-80.el8.x86_64\n", "Linux 4.18.0-80.el8.x86_64", True),
        ("saved_entry=m-4.18.0-80.el8.x86_64\nnext_entry=m-0-rescue\n", "Linux 0-rescue", True),
        ("saved_entry=2\n", "Linux 0-rescue", True),
        ("saved_entry=\n", "Linux 4.18.0-147.el8.x86_64", False),
        ("", "Linux 4.18.0-147.el8.x86_64", False),
        ("saved_entry=gone\n", "Linux 4.18.0-147.el8.x86_64", False),
    ],
)
def test_the_default_of_loader_entries(environment: str, default: str, is_there: bool) -> None:
    grubenv = f"# GRUB Environment Block\n{environment}".ljust(1024, "#")
    files = {"/boot/grub2/grub.cfg": EL8, "/boot/grub2/grubenv": grubenv, **BLS}
    (chosen,) = [entry for entry in menu_of(files).menu.get() if entry.default]
    assert chosen.title == default
    (found,) = read(files).get()
    assert (found.default_is_there, found.in_loader_entries, found.entries) == (is_there, True, 3)


def test_what_an_entry_loads() -> None:
    files = {
        "/boot/grub2/grub.cfg": EL8,
        "/boot/grub2/grubenv": "saved_entry=m-4.18.0-80.el8.x86_64\nkernelopts=ro resume=/dev/sda2\n",
        **BLS,
    }
    chosen = next(entry for entry in menu_of(files).menu.get() if entry.default)
    assert chosen.id == "m-4.18.0-80.el8.x86_64"
    assert chosen.kernel == "/vmlinuz-4.18.0-80.el8.x86_64"
    assert chosen.initrds == ("/initramfs-4.18.0-80.el8.x86_64.img",)
    assert chosen.arguments == "root=UUID=1 ro resume=/dev/sda2"


XEN = "title XEN\n kernel /boot/xen.gz dom0_mem=1G\n module /boot/vmlinuz-xen root=/dev/sda1\n module /initrd\n"
XEN2 = (
    "menuentry X {\n multiboot2 /xen.gz\n module2 --nounzip /vmlinuz-xen dummy=1 root=UUID=1\n"
    " module2 --nounzip /initrd-xen\n}\n"
)


@pytest.mark.parametrize(
    ("path", "text", "kernel", "initrds"),
    [
        ("/boot/grub/menu.lst", XEN, "/boot/vmlinuz-xen", ("/initrd",)),
        ("/boot/grub/grub.cfg", XEN2, "/vmlinuz-xen", ("/initrd-xen",)),
        ("/boot/grub/menu.lst", "title a\n kernel --type=linux /k ro\n initrd /i\n", "/k", ("/i",)),
        ("/boot/grub/grub.cfg", "menuentry a {\n linux /k\n initrd /ucode.img /i\n}\n", "/k", ("/ucode.img", "/i")),
        ("/boot/extlinux/extlinux.conf", "LABEL a\n LINUX /k\n APPEND initrd=/i,/j ro\n", "/k", ("/i", "/j")),
    ],
)
def test_kernels_and_their_files_as_each_loader_names_them(
    path: str, text: str, kernel: str, initrds: tuple[str, ...]
) -> None:
    (entry,) = menu_of({path: text}).menu.get()
    assert (entry.kernel, entry.initrds) == (kernel, initrds)
