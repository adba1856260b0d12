from __future__ import annotations

from collections.abc import Mapping

import pytest
from disk_builder import kernel
from memory_filesystem import Link, MemoryFileSystem
from tools import FIXTURES

from imgscan.errors import CorruptStructure
from imgscan.guests.linux import inspect_linux
from imgscan.guests.systems import FoundSystem, find_systems, inspect_other
from imgscan.model.fact import known
from imgscan.model.machine import MachineFacts, UnreadPlace
from imgscan.model.volume import Volume
from imgscan.scan import ScanOptions, inspect_machine, open_machine

Files = Mapping[str, "str | Link | None"]


@pytest.mark.parametrize(
    "files",
    [
        {"/etc/os-release": Link("../usr/lib/os-release"), "/usr": None},  # with /usr on another volume
        {"/etc/redhat-release": "", "/bin/sh": ""},
        {"/etc/fstab": "", "/sbin/init": ""},
        {"/etc": None, "/usr/lib/os-release": "ID=x"},
        {"/etc/debian_version": "12", "/bin": Link("usr/bin"), "/usr/bin/sh": ""},
    ],
)
def test_linux_roots(files: Files) -> None:
    assert find_systems({"disk0/p1": MemoryFileSystem(files)}) == [FoundSystem("linux", "disk0/p1", "/")]


@pytest.mark.parametrize(
    "files",
    [
        {"/lib/os-release": "ID=x", "/bin/sh": ""},  # a separate /usr
        {"/grub/grub.cfg": "", "/vmlinuz": ""},  # a separate /boot
        {"/log/messages": "", "/lib/dpkg/status": ""},  # a separate /var
        {"/user/.profile": ""},
        {"/bin/busybox": "", "/init": "", "/etc/mdev.conf": ""},  # an unpacked initramfs
        {"/etc/fstab": ""},
        {"/lost+found": None},
        {},
    ],
)
def test_no_linux_roots(files: Files) -> None:
    assert find_systems({"disk0/p1": MemoryFileSystem(files)}) == []


@pytest.mark.parametrize(
    ("files", "folder"),
    [
        ({"/Windows/System32/config/SOFTWARE": ""}, "/Windows"),
        ({"/WINDOWS/system32/config/software": "", "/boot.ini": ""}, "/WINDOWS"),
        ({"/WINNT/system32/config/software": "", "/ntldr": ""}, "/WINNT"),
        ({"/WIN2K3/system32/config/software": "", "/ntldr": ""}, "/WIN2K3"),
        ({"/Windows/System32/config/SOFTWARE": "", "/Windows/System32/wpeinit.exe": ""}, None),
        ({"/Recovery/WindowsRE/winre.wim": "", "/bootmgr": ""}, None),
        ({"/EFI/Microsoft/Boot/bootmgfw.efi": ""}, None),
        ({"/Windows.old/Windows/System32/config/SOFTWARE": ""}, None),
    ],
)
def test_windows_folders(files: Files, folder: str | None) -> None:
    found = find_systems({"disk0/p2": MemoryFileSystem(files, type_="ntfs")})
    assert [system.directory for system in found] == ([] if folder is None else [folder])
    assert all(system.family == "windows" for system in found)


@pytest.mark.parametrize("type_", ["vfat", "ntfs"])
def test_a_linux_root_on_windows_filesystems_has_an_init(type_: str) -> None:
    cygwin: Files = {"/etc/fstab": "", "/etc/os-release": "", "/bin/bash.exe": "", "/usr/bin/bash.exe": ""}
    assert find_systems({"disk0/p1": MemoryFileSystem(cygwin, type_=type_)}) == []
    linux: Files = {"/etc/slackware-version": "Slackware 7.0", "/bin/sh": "", "/sbin/init": ""}
    assert find_systems({"disk0/p1": MemoryFileSystem(linux, type_=type_)}) == [FoundSystem("linux", "disk0/p1")]


@pytest.mark.parametrize(
    ("files", "type_", "name"),
    [
        ({"/bin/freebsd-version": "", "/etc/rc.conf": "", "/etc/fstab": ""}, "ext4", "freebsd"),
        ({"/BOOT.CFG": "", "/B.B00": "", "/S.V00": ""}, "vfat", "esxi"),
        ({"/IO.SYS": "", "/MSDOS.SYS": "", "/COMMAND.COM": ""}, "vfat", "msdos"),
    ],
)
def test_other_systems(files: Files, type_: str, name: str) -> None:
    filesystems = {"disk0/p1": MemoryFileSystem(files, type_=type_)}
    (found,) = find_systems(filesystems)
    assert found.family == "other"
    system = inspect_other(found, filesystems, [], []).system
    assert system.id.get() == name
    assert system.version.get() is None


def test_the_second_bank_of_esxi_is_no_second_system() -> None:
    bank = {"/boot.cfg": "", "/b.b00": "", "/s.v00": ""}
    filesystems = {f"disk0/p{n}": MemoryFileSystem(bank, f"disk0/p{n}", "vfat") for n in (5, 6)}
    assert [system.volume for system in find_systems(filesystems)] == ["disk0/p5"]


def test_what_cannot_be_searched_is_said() -> None:
    class Broken(MemoryFileSystem):
        def lookup(self, directory: int, name: str) -> None:
            raise CorruptStructure(f"directory {directory} is damaged ({name})", where=self.volume)

    unread: list[UnreadPlace] = []
    root = MemoryFileSystem({"/etc/os-release": "", "/usr": None}, "disk0/p2")
    found = find_systems({"disk0/p1": Broken({}), "disk0/p2": root}, unread)
    assert [system.volume for system in found] == ["disk0/p2"]
    assert [(place.where, place.why) for place in unread] == [("disk0/p1", "corrupt")]


def test_a_whole_inspection() -> None:
    root = MemoryFileSystem(
        {
            "/etc/os-release": 'ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian"\n',
            "/etc/debian_version": "12.5\n",
            "/etc/hostname": "web\n",
            "/etc/fstab": "UUID=1-1 / ext4 defaults 0 1\n",
            "/boot/grub/grub.cfg": "menuentry x {\nlinux /vmlinuz root=UUID=1-1\n}\n",
            "/vmlinuz": kernel("6.1.0-18-amd64 (builder@host) #1 SMP"),
        }
    )
    volume = Volume(
        name="disk0/p1",
        kind="partition",
        on=("disk0",),
        size=1,
        content="ext4",
        signature=known("ext4"),
        uuid=known("1-1"),
    )
    inspected = inspect_linux(FoundSystem("linux", "disk0/p1"), {"disk0/p1": root}, [volume], [])
    system = inspected.system
    assert (system.id.get(), system.version.get(), system.product.get()) == ("debian", "12.5", "Debian")
    assert (system.hostname.get(), system.bootloader.get(), system.architecture.get()) == ("web", "grub2", None)
    assert [mount.volume for mount in system.mounts.get()] == ["disk0/p1"]
    assert [reference.volume for reference in system.references.get()] == ["disk0/p1"]
    assert [entry.kind for entry in system.menu.get()] == ["own"]
    assert system.kernel is not None
    assert system.kernel.get() == "6.1.0-18-amd64"
    assert inspected.tree.read("/etc/hostname") == b"web\n"


class _Recorder:
    def __init__(self) -> None:
        self.parts: list[str] = []
        self.facts: list[MachineFacts] = []

    def part(self, name: str) -> None:
        self.parts.append(name)

    def learnt(self, facts: MachineFacts) -> None:
        self.facts.append(facts)


def test_what_decides_on_access_is_read_last_and_takes_nothing_else() -> None:
    watch = _Recorder()
    with open_machine([FIXTURES / "images" / "debian12-bios.vmdk"], watch=watch) as machine:
        (whole,) = machine.facts.systems
    (before,) = watch.facts[-1].systems
    assert (before.id, before.version, before.kernel) == (whole.id, whole.version, whole.kernel)
    assert before.ssh_start.unread == before.firewalls.unread == "not-collected"
    assert whole.ssh_start.get().starts
    part = f"access {whole.root}"
    assert part in watch.parts
    options = ScanOptions(left_out={part: ("limit", "it took longer than 120 s")})
    (rest,) = inspect_machine([FIXTURES / "images" / "debian12-bios.vmdk"], options).systems
    assert (rest.id, rest.version, rest.kernel, rest.menu) == (whole.id, whole.version, whole.kernel, whole.menu)
    assert (
        rest.ssh_server.unread == rest.ssh_start.unread == rest.ssh_settings.unread == rest.firewalls.unread == "limit"
    )
