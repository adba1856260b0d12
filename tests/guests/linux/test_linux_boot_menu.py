from __future__ import annotations

from collections.abc import Mapping

import pytest
from memory_filesystem import Link, MemoryFileSystem

from imgscan.devices.guest_tree import GuestTree, Unreadable
from imgscan.errors import CorruptStructure, ImageError, UnsupportedFormat
from imgscan.guests.attempt import attempt
from imgscan.guests.linux.boot_menu import BootMenu, read_boot_menu
from imgscan.guests.linux.bootloader import read_bootloader
from imgscan.guests.linux.devices import Devices
from imgscan.guests.linux.grub2_script import commands
from imgscan.model.disk import Disk
from imgscan.model.evidence import AtPath
from imgscan.model.fact import known
from imgscan.model.volume import Volume

ROOT, OTHER, WINDOWS, ESP, BOOT = "11111111-aaaa", "22222222-bbbb", "3333CCCC3333CCCC", "4444-DDDD", "55555555-eeee"


def volume(name: str, uuid: str, content: str, label: str | None = None) -> Volume:
    return Volume(
        name=name, kind="partition", on=("disk0",), size=1 << 30, content=content, signature=known(content),
        uuid=known(uuid), label=known(label),
    )  # fmt: skip


VOLUMES = [
    volume("disk0/p1", ROOT, "ext4", "/"),
    volume("disk0/p2", OTHER, "ext4"),
    volume("disk0/p3", WINDOWS, "ntfs"),
    volume("disk0/p4", ESP, "vfat"),
    volume("disk0/p5", BOOT, "ext4"),
]
DISKS = [Disk(name="disk0", path="a.vmdk", format="vmdk", variant=None, virtual_size=1 << 40)]

HEADER = """\
if [ -s $prefix/grubenv ]; then
  set have_grubenv=true
  load_env
fi
if [ "${next_entry}" ] ; then
   set default="${next_entry}"
   set next_entry=
   save_env next_entry
   set boot_once=true
else
   set default="%s"
fi
if [ x"${feature_menuentry_id}" = xy ]; then
  menuentry_id_option="--id"
else
  menuentry_id_option=""
fi
function savedefault {
  if [ -z "${boot_once}" ]; then
    saved_entry="${chosen}"
    save_env saved_entry
  fi
}
"""
ADVANCED = "Debian GNU/Linux, with Linux 6.1.0"
RECOVERY = f"{ADVANCED} (recovery mode)"
CLASSES = "--class debian --class gnu-linux --class os $menuentry_id_option"
DEBIAN = (
    HEADER % "0"
    + f"""\
menuentry 'Debian GNU/Linux' {CLASSES} 'gnulinux-simple-{ROOT}' {{
\tinsmod ext2
\tset root='hd0,msdos1'
\tif [ x$feature_platform_search_hint = xy ]; then
\t  search --no-floppy --fs-uuid --set=root --hint-bios=hd0,msdos1 --hint-efi=hd0,msdos1  {ROOT}
\telse
\t  search --no-floppy --fs-uuid --set=root {ROOT}
\tfi
\tlinux\t/boot/vmlinuz-6.1.0 root=UUID={ROOT} ro quiet
\tinitrd\t/boot/initrd.img-6.1.0
}}
submenu 'Advanced options for Debian GNU/Linux' $menuentry_id_option 'gnulinux-advanced-{ROOT}' {{
\tmenuentry '{ADVANCED}' {CLASSES} 'gnulinux-6.1.0-advanced-{ROOT}' {{
\t\tsearch --no-floppy --fs-uuid --set=root {ROOT}
\t\tlinux\t/boot/vmlinuz-6.1.0 root=UUID={ROOT} ro quiet
\t}}
\tmenuentry '{RECOVERY}' {CLASSES} 'gnulinux-6.1.0-recovery-{ROOT}' {{
\t\tsearch --no-floppy --fs-uuid --set=root {ROOT}
\t\tlinux\t/boot/vmlinuz-6.1.0 root=UUID={ROOT} ro single
\t}}
}}
"""
)
OS_PROBER = f"""\
menuentry 'Windows 10 (on /dev/sda3)' --class windows --class os $menuentry_id_option 'osprober-chain-{WINDOWS}' {{
\tinsmod part_msdos
\tinsmod ntfs
\tset root='hd0,msdos3'
\tsearch --no-floppy --fs-uuid --set=root --hint-bios=hd0,msdos3 {WINDOWS}
\tparttool ${{root}} hidden-
\tchainloader +1
}}
menuentry 'Windows Recovery Environment (on /dev/sda4)' --class windows $menuentry_id_option 'osprober-chain-{ESP}' {{
\tsearch --no-floppy --fs-uuid --set=root {ESP}
\tchainloader +1
}}
menuentry 'Fedora Linux 38 (on /dev/sda2)' --class fedora $menuentry_id_option 'osprober-gnulinux-simple-{OTHER}' {{
\tsearch --no-floppy --fs-uuid --set=root {OTHER}
\tlinux /boot/vmlinuz root=/dev/sda2
}}
"""
TOOLS = """\
menuentry "Memory test (memtest86+x64.bin)" {
\tlinux\t/boot/memtest86+x64.bin
}
menuentry 'UEFI Firmware Settings' $menuentry_id_option 'uefi-firmware' {
\tfwsetup
}
menuentry 'Linux Firmware Updater' { chainloader /EFI/debian/fwupdx64.efi }
"""

Files = Mapping[str, "str | bytes | Link | ImageError | None"]


def menu(files: Files, name: str | None = "debian", **mounts: MemoryFileSystem) -> BootMenu:
    """Read the menu of a root with these files; mounts are by name: boot, boot_efi."""
    root = MemoryFileSystem({"/etc/hosts": "", **files})
    points = {"/" + point.replace("_", "/"): filesystem for point, filesystem in mounts.items()}
    return menu_of(GuestTree({"/": root, **points}), name)


def menu_of(tree: GuestTree, name: str | None = "debian") -> BootMenu:
    loader = attempt(lambda: read_bootloader(tree))
    return read_boot_menu(tree, Devices(VOLUMES, DISKS), "disk0/p1", name, loader)


def kinds(found: BootMenu) -> list[tuple[str, str, str | None]]:
    return [(entry.title, entry.kind, entry.target) for entry in found.menu.get()]


def default(found: BootMenu) -> list[str]:
    return [entry.title for entry in found.menu.get() if entry.default]


def test_a_plain_debian() -> None:
    found = menu({"/boot/grub/grub.cfg": DEBIAN})
    assert kinds(found) == [
        ("Debian GNU/Linux", "own", "disk0/p1"),
        (ADVANCED, "own", "disk0/p1"),
        (RECOVERY, "recovery", "disk0/p1"),
    ]
    assert default(found) == ["Debian GNU/Linux"]
    lines = DEBIAN.split("\n")
    first = found.menu.get()[0].evidence[0]
    assert isinstance(first, AtPath)
    assert lines[first.line - 1].startswith("menuentry 'Debian GNU/Linux' ")
    references = {(reference.role, reference.source): reference for reference in found.references.get()}
    assert set(references) == {("boot", f"UUID={ROOT}"), ("root", f"UUID={ROOT}")}
    for (role, _), reference in references.items():
        assert reference.volume == "disk0/p1"
        for piece in reference.evidence:
            assert isinstance(piece, AtPath)
            assert ("search" if role == "boot" else "root=UUID") in lines[piece.line - 1]


def test_a_cloned_disk_leaves_the_entries_the_systems_own() -> None:
    tree = GuestTree({"/": MemoryFileSystem({"/boot/grub/grub.cfg": DEBIAN})})
    devices = Devices([*VOLUMES, volume("disk1/p1", ROOT, "ext4")], DISKS)
    found = read_boot_menu(tree, devices, "disk0/p1", "debian", read_bootloader(tree))
    assert {entry.kind for entry in found.menu.get()} == {"own", "recovery"}
    assert {reference.volume for reference in found.references.get()} == {None}  # which one is meant is not known


def test_what_os_prober_found_and_tools() -> None:
    found = menu({"/boot/grub/grub.cfg": DEBIAN + OS_PROBER + TOOLS})
    assert kinds(found)[3:] == [
        ("Windows 10 (on /dev/sda3)", "other-system", "disk0/p3"),
        ("Windows Recovery Environment (on /dev/sda4)", "recovery", "disk0/p4"),
        ("Fedora Linux 38 (on /dev/sda2)", "other-system", "disk0/p2"),
        ("Memory test (memtest86+x64.bin)", "tool", None),
        ("UEFI Firmware Settings", "tool", None),
        ("Linux Firmware Updater", "tool", None),
    ]
    sources = {reference.source for reference in found.references.get()}
    assert not any(OTHER in source or WINDOWS in source for source in sources)


@pytest.mark.parametrize(
    ("body", "kind", "target"),
    [
        (f"linux /vmlinuz root=UUID={OTHER}", "other-system", "disk0/p2"),
        (f"search --set=root --fs-uuid {OTHER}\nlinux /vmlinuz root=LABEL=/", "own", "disk0/p1"),
        (f"search --fs-uuid --set {ROOT}\nlinux /vmlinuz root=UUID=0000", "unknown", None),
        ("linux /vmlinuz root=UUID=0000", "unknown", None),
        ("linux /vmlinuz root=LABEL=none", "unknown", None),
        ("linux /vmlinuz root=PARTUUID=0000-01", "unknown", None),
        ("linux /vmlinuz root=/dev/sdb1 ro", "unknown", None),
        ("set root=(hd0,1)\nlinux /vmlinuz root=/dev/sda9 ro", "unknown", None),
        ("set root=(hd0,1)\nlinux /vmlinuz root=/dev/sda2 ro", "own", "disk0/p1"),
        ("linux /vmlinuz root=/dev/sda1 ro", "own", "disk0/p1"),
        ("set root=(hd0,2)\nlinux /vmlinuz root=/dev/sda2 ro", "unknown", "disk0/p2"),
        ("linux16 /vmlinuz root=/dev/mapper/x-y ro", "unknown", None),
        ("linux /vmlinuz ro", "own", None),
        (f"search --fs-uuid --set=root {OTHER}\nlinux /vmlinuz ro", "other-system", "disk0/p2"),
        ("chainloader (hd0,3)+1", "chainload", "disk0/p3"),
        ("set root=(hd0,1)\nchainloader +1", "own", "disk0/p1"),
        ("set root=(hd0,1)\nchainloader /boot/sector.bin", "unknown", "disk0/p1"),
        ("chainloader +1", "unknown", None),
        ("set root=(hd1,1)\nchainloader +1", "chainload", "+1"),
        ("chainloader /EFI/other/grubx64.efi", "chainload", "/EFI/other/grubx64.efi"),
        ("chainloader /EFI/debian/shimx64.efi", "own", None),
        ("chainloader /EFI/Microsoft/Boot/bootmgfw.efi", "other-system", None),
        (f"search -u {WINDOWS} --set=root\nntldr /bootmgr", "chainload", None),
        (f"search --set=root -u {WINDOWS}\nntldr /bootmgr", "other-system", "disk0/p3"),
        ("xnu_kernel64 /mach_kernel", "other-system", None),
        ("multiboot /xen.gz\nmodule /vmlinuz root=LABEL=/ ro", "own", "disk0/p1"),
        ("loopback loop /grml.iso\nlinux (loop)/boot/vmlinuz boot=live findiso=/grml.iso", "recovery", None),
        (f"search --set=root --fs-uuid {OTHER}\nconfigfile /boot/grub/grub.cfg", "other-system", "disk0/p2"),
        ("echo hello; true", "tool", None),
        ("reboot", "tool", None),
        ("linux16 /ipxe.lkrn", "tool", None),
        ("", "tool", None),
    ],
)
def test_kinds(body: str, kind: str, target: str | None) -> None:
    found = menu({"/boot/grub/grub.cfg": f"menuentry 'x' {{\n{body}\n}}\n"})
    if body.startswith("search -u"):  # GRUB takes the last word as what to search for
        kind = "other-system"
    assert kinds(found) == [("x", kind, target)]


@pytest.mark.parametrize(
    ("value", "environment", "expected"),
    [
        ("0", "", "Debian GNU/Linux"),
        ("1", "", ADVANCED),
        ("1>1", "", RECOVERY),
        (f"gnulinux-advanced-{ROOT}>gnulinux-6.1.0-recovery-{ROOT}", "", RECOVERY),
        ("Windows 10 (on /dev/sda3)", "", "Windows 10 (on /dev/sda3)"),
        ("${saved_entry}", "saved_entry=2", "Windows 10 (on /dev/sda3)"),
        ("${saved_entry}", f"saved_entry=osprober-chain-{WINDOWS}", "Windows 10 (on /dev/sda3)"),
        ("${saved_entry}", "", "Debian GNU/Linux"),
        ("99", "", "Debian GNU/Linux"),
        ("none such", "", "Debian GNU/Linux"),
    ],
)  # fmt: skip
def test_the_default(value: str, environment: str, expected: str) -> None:
    text = DEBIAN.replace(HEADER % "0", HEADER % value) + OS_PROBER
    grubenv = f"# GRUB Environment Block\n{environment}\n".ljust(1024, "#")
    assert default(menu({"/boot/grub/grub.cfg": text, "/boot/grub/grubenv": grubenv})) == [expected]


def test_a_separate_boot_and_a_stub_on_the_esp() -> None:
    boot = MemoryFileSystem(
        {
            "/grub2/grub.cfg": (
                f"menuentry 'x' {{\nsearch --fs-uuid --set=root {BOOT}\nlinux /vmlinuz root=UUID={ROOT}\n}}\n"
            )
        },
        "disk0/p5",
    )
    stub = f"search --no-floppy --fs-uuid --set=dev {BOOT}\nset prefix=($dev)/grub2\nconfigfile $prefix/grub.cfg\n"
    esp = MemoryFileSystem({"/EFI/redhat/grub.cfg": stub, "/EFI/BOOT/BOOTX64.EFI": "MZ"}, "disk0/p4", "vfat")
    found = menu({"/boot": None}, "rhel", boot=boot, boot_efi=esp)
    assert kinds(found) == [("x", "own", "disk0/p1")]
    boot_reference, root_reference = found.references.get()
    assert (boot_reference.volume, root_reference.volume) == ("disk0/p5", "disk0/p1")
    assert boot_reference.evidence == (
        AtPath("disk0/p5", "/grub2/grub.cfg", 2),
        AtPath("disk0/p4", "/EFI/redhat/grub.cfg", 1),
    )


def test_the_roots_that_count_are_those_of_own_entries_and_the_default() -> None:
    unresolved = "menuentry 'Old' { linux /vmlinuz root=/dev/sdb1 }\n"
    roots = [ref.source for ref in menu({"/boot/grub/grub.cfg": DEBIAN + unresolved}).references.get()]
    assert "/dev/sdb1" not in roots
    found = menu({"/boot/grub/grub.cfg": unresolved + DEBIAN.replace(HEADER % "0", "")})
    (reference,) = (ref for ref in found.references.get() if ref.source == "/dev/sdb1")
    assert (reference.role, reference.volume) == ("root", None)
    assert reference.evidence == (AtPath("disk0/p1", "/boot/grub/grub.cfg", 1),)


def test_handing_over_to_the_own_disk_or_boot_is_no_other_system() -> None:
    disk = Volume(name="disk0", kind="disk", on=("disk0",), size=1 << 40, content=None, signature=known(None))
    root = MemoryFileSystem({"/boot": None})
    text = "menuentry d { set root=(hd0); chainloader +1; }\nmenuentry b { set root=(hd0,5); chainloader +1; }\n"
    text += "menuentry m { set root=(hd0,2); chainloader +1; }\n"
    boot = MemoryFileSystem({"/grub/grub.cfg": text}, "disk0/p5")
    tree = GuestTree({"/": root, "/boot": boot, "/mnt": MemoryFileSystem({}, "disk0/p2")})
    found = read_boot_menu(tree, Devices([disk, *VOLUMES], DISKS), "disk0/p1", "debian", read_bootloader(tree))
    assert kinds(found) == [("d", "unknown", "disk0"), ("b", "own", "disk0/p5"), ("m", "chainload", "disk0/p2")]


def test_a_boot_that_cannot_be_read_makes_the_menu_unread() -> None:
    error = UnsupportedFormat("xfs is recognised, and not read by this version", where="disk0/p5")
    tree = GuestTree({"/": MemoryFileSystem({"/boot": None}), "/boot": Unreadable("disk0/p5", error)})
    found = menu_of(tree)
    assert found.menu.unread == found.references.unread == "unsupported"
    broken = menu({"/boot/grub/grub.cfg": CorruptStructure("bad block", where="disk0/p1")})
    assert broken.menu.unread == "corrupt"


@pytest.mark.parametrize("path", ["grub/grub.cfg", "grub/menu.lst", "extlinux/extlinux.conf", "loader/loader.conf"])
@pytest.mark.parametrize("content", [bytes(512), b"timeout 5\n\0", bytes(range(1, 256)) * 8])
def test_a_configuration_that_is_no_text_is_corrupt(path: str, content: bytes) -> None:
    found = menu({f"/boot/{path}": content})
    assert found.menu.unread == found.references.unread == "corrupt"
    assert f"/boot/{path}" in str(found.menu.detail)


def test_an_empty_configuration_offers_nothing_and_one_in_an_old_encoding_is_read() -> None:
    assert menu({"/boot/grub/grub.cfg": ""}).menu.get() == ()
    found = menu({"/boot/grub/grub.cfg": "menuentry 'D\xe9marrer Windows' { chainloader +1 }\n".encode("latin-1")})
    assert [entry.kind for entry in found.menu.get()] == ["other-system"]


@pytest.mark.parametrize(
    ("script", "is_offered"),
    [
        ('if [ "x" = "y" ]; then\n{}\nfi', False),
        ("if [ x == x ]; then\n{}\nfi", True),
        ("if test x != x; then {}; fi", False),
        ("if ! [ -z a ]; then\n{}\nfi", True),
        ("if [ ! -n a ]\nthen\n{}\nfi", False),
        ("if [ -n '' ]; then {}; fi", False),
        ("if false; then\n{}\nelse\necho\nfi", False),
        ("if false; then\necho\nelse\n{}\nfi", True),
        ("if true; then\necho\nelif true; then {}\nelse\n{}\nfi", False),
        ("if false; then echo; elif [ -s $prefix/a ]; then {}; fi", True),
        ("if [ x = y ]; then if [ -s $prefix/a ]; then\n{}\nfi; fi", False),
        ("if [ x = y ]; then echo; fi\n{}", True),
        ("set a=x\nif [ $a = y ]; then {}; fi", True),  # another branch may have set it
        ("if [ x$feature = xy ]; then {}; fi", True),
        ('if [ "$a" = y ]; then {}; fi', True),
        ("if [ x = y -o -s $prefix/a ]; then {}; fi", True),
        ("if [ x = y ]; true; then {}; fi", True),
        ("if [ -f x ]; then {}; fi", True),
        ("fi; else; then; {}", True),
        ("menuentry a {\nif [ x = y ]; then\n}\n{}", True),
        ("submenu s {\nif [ x = y ]; then\n{}\nfi\n}", False),
        ("if [ x = y ]; then submenu s {\n{}\n}\nfi", False),
    ],
)
def test_an_entry_behind_a_constant_that_does_not_hold_is_none(script: str, is_offered: bool) -> None:
    entry = f"menuentry 'Windows' {{ search --set=root --fs-uuid {WINDOWS}; chainloader +1; }}"
    found = menu({"/boot/grub/grub.cfg": script.replace("{}", entry)})
    assert ("Windows" in {entry.title for entry in found.menu.get()}) == is_offered


def test_no_loader_is_an_empty_menu_and_another_loader_an_unread_one() -> None:
    assert menu({"/boot/vmlinuz": ""}).menu.get() == ()
    assert menu({"/etc/lilo.conf": "image=/vmlinuz"}).menu.unread == "unsupported"


def test_boot_loader_specification() -> None:
    entry = (
        "title Red Hat Enterprise Linux ({0}) 8.6\nversion {0}\nlinux /vmlinuz-{0}\n"
        "initrd /initramfs-{0}.img $tuned_initrd\noptions $kernelopts $tuned_params\nid rhel-{0}\n"
    )
    folder = "/boot/loader/entries"
    found = menu(
        {
            "/boot/grub2/grub.cfg": HEADER % "${saved_entry}" + "insmod blscfg\nblscfg\n",
            "/boot/grub2/grubenv": f"saved_entry=ab-4.18.0-9.el8\nkernelopts=root=UUID={ROOT} ro crashkernel=auto\n",
            f"{folder}/ab-4.18.0-9.el8.conf": entry.format("4.18.0-9.el8"),
            f"{folder}/ab-4.18.0-372.el8.conf": entry.format("4.18.0-372.el8"),
            f"{folder}/ab-0-rescue.conf": entry.format("0-rescue"),
        },
        "rhel",
    )
    assert kinds(found) == [
        ("Red Hat Enterprise Linux (4.18.0-372.el8) 8.6", "own", "disk0/p1"),
        ("Red Hat Enterprise Linux (4.18.0-9.el8) 8.6", "own", "disk0/p1"),
        ("Red Hat Enterprise Linux (0-rescue) 8.6", "recovery", "disk0/p1"),
    ]
    assert default(found) == ["Red Hat Enterprise Linux (4.18.0-9.el8) 8.6"]
    assert found.menu.get()[0].evidence == (AtPath("disk0/p1", f"{folder}/ab-4.18.0-372.el8.conf", 1),)


def test_systemd_boot() -> None:
    found = menu(
        {
            "/boot/loader/loader.conf": "timeout 3\ndefault arch.conf\n",
            "/boot/loader/entries/arch.conf": (
                f"title\tArch Linux\nlinux\t/vmlinuz-linux\noptions\troot=PARTUUID=x root=UUID={ROOT} rw\n"
            ),
            "/boot/loader/entries/windows.conf": "title Windows\nefi /EFI/Microsoft/Boot/bootmgfw.efi\n",
        },
        "arch",
    )
    assert kinds(found) == [("Windows", "other-system", None), ("Arch Linux", "own", "disk0/p1")]
    assert default(found) == ["Arch Linux"]


def test_custom_menu_beside_grub_cfg() -> None:
    text = (
        "if [ -f  ${config_directory}/custom.cfg ]; then\n  source ${config_directory}/custom.cfg\n"
        "elif [ -f $prefix/custom.cfg ]; then\n  source $prefix/custom.cfg\nfi\n"
    )
    custom = f"menuentry Windows {{ search --set=root --fs-uuid {WINDOWS}; chainloader +1 }}\n"
    found = menu({"/boot/grub/grub.cfg": DEBIAN + text, "/boot/grub/custom.cfg": custom})
    assert kinds(found)[3:] == [("Windows", "other-system", "disk0/p3")]
    assert found.menu.get()[3].evidence == (AtPath("disk0/p1", "/boot/grub/custom.cfg", 1),)


LEGACY = f"""\
# grub.conf generated by anaconda
#boot=/dev/sda
default=1
timeout=5
splashimage=(hd0,0)/grub/splash.xpm.gz
hiddenmenu
title CentOS (2.6.18-398.el5)
\troot (hd0,0)
\tkernel /vmlinuz-2.6.18-398.el5 ro root=LABEL=/ rhgb quiet
\tinitrd /initrd-2.6.18-398.el5.img
title CentOS (2.6.18-1.el5) single-user mode
\troot (hd0,0)
\tkernel /vmlinuz-2.6.18-1.el5 ro root=LABEL=/ single
title Other operating systems:
\troot
title Windows XP
\trootnoverify (hd0,2)
\tmakeactive
\tchainloader +1
title Another loader
\trootnoverify (hd0,1)
\tchainloader +1
title Floppy
\tchainloader (fd0)+1
title Ubuntu, memtest86+
\tuuid {ROOT}
\tkernel /boot/memtest86+.bin
"""


def test_grub_legacy() -> None:
    found = menu({"/boot/grub/grub.conf": LEGACY, "/boot/grub/menu.lst": Link("grub.conf")}, "centos")
    assert kinds(found) == [
        ("CentOS (2.6.18-398.el5)", "own", "disk0/p1"),
        ("CentOS (2.6.18-1.el5) single-user mode", "recovery", "disk0/p1"),
        ("Other operating systems:", "tool", None),
        ("Windows XP", "other-system", "disk0/p3"),
        ("Another loader", "chainload", "disk0/p2"),
        ("Floppy", "tool", None),
        ("Ubuntu, memtest86+", "tool", None),
    ]
    assert default(found) == ["CentOS (2.6.18-1.el5) single-user mode"]
    references = {(reference.role, reference.source, reference.volume) for reference in found.references.get()}
    assert references == {("boot", "(hd0,0)", "disk0/p1"), ("root", "LABEL=/", "disk0/p1")}
    assert found.references.get()[1].evidence[0] == AtPath("disk0/p1", "/boot/grub/grub.conf", 9)


def test_grub_legacy_saved_default() -> None:
    text = LEGACY.replace("default=1", "default saved")
    files = {"/boot/grub/menu.lst": text, "/boot/grub/default": "3\n#\n#\n"}
    assert default(menu(files, "centos")) == ["Windows XP"]


@pytest.mark.parametrize(
    ("files", "name"),
    [
        ({"/boot/grub/grub.cfg": "", "/boot/grub/menu.lst": ""}, "grub2"),
        ({"/boot/grub2/grub.cfg": ""}, "grub2"),
        ({"/boot/efi/EFI/centos/grub.cfg": ""}, "grub2"),
        ({"/boot/grub/menu.lst": "", "/etc/lilo.conf": ""}, "grub-legacy"),
        ({"/boot/grub/grub.conf": ""}, "grub-legacy"),
        ({"/etc/lilo.conf": ""}, "lilo"),
        ({"/boot/extlinux/extlinux.conf": ""}, "extlinux"),
        ({"/boot/loader/loader.conf": ""}, "systemd-boot"),
        ({"/boot/grub/unicode.pf2": ""}, None),
    ],
)
def test_bootloader(files: Mapping[str, str], name: str | None) -> None:
    assert read_bootloader(GuestTree({"/": MemoryFileSystem(files)})).get() == name


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("a 'b c' \"d $x\" e\\ f # g\n", [("a", "b c", "d X", "e f")]),
        ("a;b\n\n;;c", [("a",), ("b",), ("c",)]),
        ("menuentry 'a' {\n b }\n", [("menuentry", "a", "{"), ("b",), ("}",)]),
        ("a ${x}y $none ${none}z ''", [("a", "Xy", "${none}", "${none}z", "")]),
        ('a $empty "$empty" b', [("a", "", "b")]),
        ("a b\\\n c", [("a", "b", "c")]),
        ("a 'unclosed", [("a", "unclosed")]),
        ("a {x,y} b#c", [("a", "{"), ("x,y",), ("}",), ("b#c",)]),
        ("a '#'", [("a", "#")]),
    ],
)
def test_words_of_a_script(script: str, words: list[tuple[str, ...]]) -> None:
    assert [command.words for command in commands(script, {"x": "X", "empty": ""})] == words


def test_lines_are_counted_through_quotes_and_continuations() -> None:
    found = list(commands("a 'x\ny' \\\n b\nc\n", {}))
    assert [(command.name, command.line) for command in found] == [("a", 1), ("c", 4)]


@pytest.mark.parametrize(
    "text",
    [
        "set a=xxxxxxxxxxxxxxxx\n" + "set a=$a$a$a$a\n" * 200 + "menuentry $a { linux $a }\n",
        "menuentry x {\n" * 200,
        "submenu s {\n" * 60 + "menuentry x { linux /v }\n",
        "menuentry x { linux /v }\n" * 3000,
        "}" * 100_000,
        "'" * 99_999,
        "$" * 99_999 + "${" * 9999,
        "\\" * 99_999,
        "a" * 1_000_000,
        "$x" * 400_000,
        "set x=" + "y" * 4000 + "\nmenuentry z {\n" + "linux $x\n" * 90_000 + "}\n",
        "\0\x1b\u202e menuentry '\0' { linux \0 }\n",
        "if [ $x = y ]; then\n" * 200,
        "function f { menuentry x { linux /v }\n }\n",
        "source /custom.cfg\n",
    ],
)
def test_hostile_menus_end(text: str) -> None:
    found = menu({"/boot/grub/grub.cfg": text, "/boot/grub/custom.cfg": "source /custom.cfg\nsource /grub.cfg\n"})
    if found.menu.is_known:
        assert len(found.menu.get()) <= 1024
        assert all(len(entry.title) < 1 << 20 for entry in found.menu.get())
    else:
        assert found.menu.unread == ("corrupt" if "\0" in text else "limit")
