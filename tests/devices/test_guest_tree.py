from __future__ import annotations

import pytest
from memory_filesystem import Link, MemoryFileSystem

from imgscan.devices.guest_tree import GuestTree, Unreadable
from imgscan.devices.limits import SYMLINKS
from imgscan.errors import CorruptStructure, LimitExceeded, MissingPart, UnsupportedFormat
from imgscan.model.evidence import AtPath


def test_paths_and_links_stay_inside_the_guest() -> None:
    root = MemoryFileSystem(
        {
            "/etc/passwd": "guest",
            "/etc/up": Link("../../../../etc/passwd"),
            "/etc/absolute": Link("/etc/passwd"),
            "/lib": Link("usr/lib"),
            "/usr/lib/os-release": "ID=x",
            "/etc/os-release": Link("../lib/os-release"),
        }
    )
    tree = GuestTree({"/": root})
    for path in ("/etc/passwd", "/../../etc/passwd", "etc//./passwd", "/etc/up", "/etc/absolute", "/etc/../etc/passwd"):
        assert tree.read(path) == b"guest", path
    assert tree.resolve("/etc/os-release").path == "/usr/lib/os-release"
    assert tree.resolve("/etc/os-release", follow=False).entry.kind == "symlink"
    assert tree.resolve("/lib/os-release", follow=False).path == "/usr/lib/os-release"
    assert tree.readlink("/lib") == "usr/lib"
    assert tree.resolve("/").path == "/"
    assert tree.resolve("/..").path == "/"


def test_dot_dot_after_a_link_is_the_targets_parent() -> None:
    tree = GuestTree({"/": MemoryFileSystem({"/a/b/c": "", "/link": Link("a/b"), "/a/x": "right", "/x": "wrong"})})
    assert tree.read("/link/../x") == b"right"


def test_a_root_that_is_no_directory_is_damage_and_not_an_empty_volume() -> None:
    volume = MemoryFileSystem({"/file": "x"})
    volume.root = 1
    with pytest.raises(CorruptStructure, match="its root is a file"):
        GuestTree({"/": volume}).find("/etc")


def test_what_is_not_there() -> None:
    tree = GuestTree({"/": MemoryFileSystem({"/etc/fstab": "", "/dangling": Link("/nowhere")})})
    for path in ("/etc/none", "/none/fstab", "/etc/fstab/x", "/dangling", "/etc/fs\0tab", "/ETC/fstab"):
        assert tree.find(path) is None, path
        assert not tree.exists(path)
    with pytest.raises(MissingPart, match="there is no /etc/none in the guest"):
        tree.read("/etc/none")
    with pytest.raises(MissingPart, match="is a directory"):
        tree.read("/etc")
    with pytest.raises(MissingPart, match="not a directory"):
        list(tree.list("/etc/fstab"))
    with pytest.raises(MissingPart, match="not a directory"):
        tree.names("/etc/fstab")
    assert tree.names("/etc") == ["fstab"]
    with pytest.raises(MissingPart, match="no symbolic link"):
        tree.readlink("/etc/fstab")


def test_limits() -> None:
    files: dict[str, str | Link] = {"/loop": Link("loop"), "/self": Link("self/self"), "/end": "there"}
    for number in range(SYMLINKS + 1):
        files[f"/l{number}"] = Link(f"l{number + 1}" if number < SYMLINKS else "end")
    tree = GuestTree({"/": MemoryFileSystem(files)})
    for path in ("/loop", "/self", "/l0"):
        with pytest.raises(LimitExceeded, match="symbolic links"):
            tree.find(path)
    assert tree.read("/l1") == b"there"
    with pytest.raises(LimitExceeded, match="components"):
        tree.find("/a" * 1000)
    with pytest.raises(LimitExceeded, match="at most 4 are read"):
        tree.read("/end", 4)
    assert tree.read("/end", 5) == b"there"


def test_mounts() -> None:
    root = MemoryFileSystem({"/boot/hidden": "", "/run": None, "/var/run": Link("/run"), "/k": Link("boot/vmlinuz")})
    boot = MemoryFileSystem({"/vmlinuz": "kernel", "/up": Link("../etc"), "/back": Link("/k")}, "disk1/p1")
    esp = MemoryFileSystem({"/EFI/BOOT/BOOTX64.EFI": "MZ"}, "disk1/p2", "vfat")
    tree = GuestTree({"/": root, "/boot": boot, "/boot/efi/": esp})
    assert tree.read("/k") == b"kernel"
    assert tree.read("/boot/back") == b"kernel"
    assert not tree.exists("/boot/hidden")
    place = tree.resolve("/boot/efi/efi/boot/bootx64.efi")  # /boot/efi is no folder of /boot: mounted all the same
    assert place.path == "/boot/efi/EFI/BOOT/BOOTX64.EFI"
    assert place.evidence(3) == AtPath("disk1/p2", "/EFI/BOOT/BOOTX64.EFI", 3)
    assert tree.resolve("/boot/efi/../vmlinuz").filesystem is boot
    assert tree.resolve("/boot/..").filesystem is root
    assert [entry.name for entry in tree.list("/boot/efi/EFI")] == ["BOOT"]


def test_a_mount_that_cannot_be_read_never_looks_empty() -> None:
    root = MemoryFileSystem({"/boot": None, "/etc/fstab": "", "/kernel": Link("boot/vmlinuz")})
    error = UnsupportedFormat("xfs is recognised, and not read by this version", where="disk0/p1")
    tree = GuestTree({"/": root, "/boot": Unreadable("disk0/p1", error)})
    for path in ("/boot", "/boot/grub/grub.cfg", "/kernel"):
        with pytest.raises(UnsupportedFormat, match="/boot cannot be read: xfs is recognised") as caught:
            tree.find(path)
        assert caught.value.where == "disk0/p1"
    assert tree.read("/etc/fstab") == b""


def test_names_that_no_path_can_have_come_escaped() -> None:
    root = MemoryFileSystem({"/d/ok": ""})
    root._children[1]["../../etc"] = 1
    root._children[1]["a\0b"] = 2
    tree = GuestTree({"/": root})
    entries = {entry.name: entry.kind for entry in tree.list("/d")}
    assert entries == {"ok": "file", "..\\x2f..\\x2fetc": "other", "a\\x00b": "other"}


def test_windows_links() -> None:
    root = MemoryFileSystem(
        {
            "/Users/Default/x": "here",
            "/Documents and Settings": Link("\\??\\C:\\Users"),
            "/Users/Default User": Link("\\??\\c:\\Users\\Default"),
            "/Users/rel": Link("..\\Users\\Default\\x"),
            "/root": Link("\\Users"),
            "/data": Link("\\??\\D:\\stuff"),
            "/guid": Link("\\??\\Volume{0}\\"),
        },
        type_="ntfs",
    )
    tree = GuestTree({"/": root})
    assert tree.read("/documents and settings/DEFAULT USER/X") == b"here"
    assert tree.read("/users/rel") == b"here"
    assert tree.read("/root/default/x") == b"here"
    for path in ("/data", "/guid"):
        with pytest.raises(MissingPart, match="leads to"):
            tree.find(path)
    with_d = GuestTree({"/": root, "/D": MemoryFileSystem({"/stuff": "d"}, type_="ntfs")}, {"C": "/", "D": "/D"})
    assert with_d.read("/data") == b"d"


def test_lookups_are_remembered() -> None:
    root = MemoryFileSystem({"/a/b/c": "x"})
    tree = GuestTree({"/": root})
    tree.read("/a/b/c")
    before = root.lookups
    for _ in range(5):
        tree.read("/a/b/c")
        tree.find("/a/b/c")
    assert root.lookups == before


def test_text_is_decoded_by_its_mark() -> None:
    tree = GuestTree(
        {
            "/": MemoryFileSystem(
                {
                    "/u8": b"\xef\xbb\xbfa",
                    "/u16": "a\u00e9".encode("utf-16"),
                    "/bytes": b"a\xff",
                    "/le": b"\xff\xfea\0b",
                }
            )
        }
    )
    assert tree.read_text("/u8") == "a"
    assert tree.read_text("/u16") == "a\u00e9"
    assert tree.read_text("/bytes") == "a\udcff"
    assert tree.read_text("/le").startswith("a")
