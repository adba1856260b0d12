"""Which subvolume is the root of a system: layouts as distributions, Timeshift, Snapper and containers make them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import pytest
from btrfs_images import kept
from memory_filesystem import MemoryFileSystem

from imgscan.devices.filesystem import FileSystem, Subvolume
from imgscan.devices.guest_tree import GuestTree
from imgscan.errors import MissingPart
from imgscan.filesystems.btrfs import open_btrfs
from imgscan.guests.linux import inspect_linux
from imgscan.guests.linux.boot_entry import BootEntry, Command
from imgscan.guests.linux.devices import Devices
from imgscan.guests.linux.menu_kinds import Surroundings, judge_entry
from imgscan.guests.systems import find_systems
from imgscan.model.fact import known
from imgscan.model.volume import Volume


class WithSubvolumes(MemoryFileSystem):
    """A filesystem in memory whose folders in `subvolumes` are subvolumes, numbered from 256 in their order."""

    def __init__(self, files: Mapping[str, str], subvolumes: Sequence[str], default: str = "") -> None:
        super().__init__(files, type_="btrfs")
        self.case_sensitive = True
        self._found = [Subvolume(5, "", 0, None, is_read_only=False, is_snapshot=False)]
        for number, path in enumerate(subvolumes, 256):
            node = 0
            parent = 5
            for part in path.split("/"):
                entry = self.lookup(node, part)
                assert entry is not None
                node = entry.node
            above = [one for one in self._found if one.path and path.startswith(f"{one.path}/")]
            parent = max(above, key=lambda one: len(one.path)).id if above else 5
            self._found.append(Subvolume(number, path, node, parent, is_read_only=False, is_snapshot=False))
        chosen = next(one for one in self._found if one.path == default)
        self.default_subvolume = chosen.id
        self.root = chosen.root

    def subvolumes(self) -> Sequence[Subvolume]:
        return self._found

    def subvolume(self, wanted: str | int) -> Subvolume | None:
        return next((one for one in self._found if wanted in {one.id, one.path}), None)


def root(path: str, options: str | None = "", cfg: str = "") -> dict[str, str]:
    """Files of a root below a folder; `options` are those of the line for / in its fstab, None for no such line."""
    files = {f"{path}/etc/os-release": "ID=debian", f"{path}/usr/bin/x": "", f"{path}/etc/fstab": "# nothing\n"}
    if options is not None:
        files[f"{path}/etc/fstab"] += f"UUID=1234 / btrfs defaults{options} 0 0\n"
    if cfg:
        files[f"{path}/boot/grub/grub.cfg"] = f"menuentry x {{\n linux /vmlinuz root=UUID=1234 {cfg}\n}}\n"
    return files


@pytest.mark.parametrize(
    ("files", "subvolumes", "default", "found"),
    [
        (root(""), [], "", ["/"]),
        (root("/@", ",subvol=@"), ["@", "@home"], "", ["/subvol:@"]),
        (root("/root", ",subvol=root"), ["root", "home"], "", ["/subvol:root"]),
        (root("/@rootfs", ",subvol=@rootfs"), ["@rootfs"], "", ["/subvol:@rootfs"]),
        (root("/@", ",subvol=/@"), ["@"], "@", ["/"]),
        (root("/@", None), ["@"], "", ["/subvol:@"]),
        # Timeshift: snapshots carry the fstab of their origin; a restored @ is a snapshot itself
        (
            root("/@", ",subvol=@") | root("/timeshift/1/@", ",subvol=@") | root("/timeshift/2/@", ",subvol=@"),
            ["timeshift/1/@", "timeshift/2/@", "@"],
            "",
            ["/subvol:@"],
        ),
        # Snapper on SLES: the default subvolume is a snapshot, and fstab names none
        (
            root("/@/.snapshots/1/snapshot") | root("/@/.snapshots/2/snapshot"),
            ["@", "@/.snapshots", "@/.snapshots/1/snapshot", "@/.snapshots/2/snapshot"],
            "@/.snapshots/2/snapshot",
            ["/"],
        ),
        # the root in the top level, with containers below it
        (root("", "") | root("/var/lib/docker/btrfs/1", None), ["var/lib/docker/btrfs/1"], "", ["/"]),
        (root("/@", ",subvol=@") | root("/@/srv/guest", None), ["@", "@/srv/guest"], "", ["/subvol:@"]),
        # two distributions on one Btrfs
        (
            root("/@debian", ",subvol=@debian") | root("/@arch", ",subvolid=257"),
            ["@debian", "@arch"],
            "",
            ["/subvol:@debian", "/subvol:@arch"],
        ),
        # the default subvolume is an old root, and its own fstab and command line start another one
        (root("/old", ",subvol=@") | root("/@", ",subvol=@"), ["old", "@"], "old", ["/subvol:@"]),
        (root("", None, "rootflags=subvol=@") | root("/@", None), ["@"], "", ["/subvol:@"]),
        (root("/a", None) | root("/b", None, "ro rootflags=compress=zstd,subvol=b"), ["a", "b"], "", ["/subvol:b"]),
        (root("/a", None) | root("/b", None), ["a", "b"], "", ["/subvol:a"]),
        ({"/etc/hosts": ""}, ["@home"], "", []),
    ],
)  # fmt: skip
def test_roots(files: dict[str, str], subvolumes: list[str], default: str, found: list[str]) -> None:
    folders = {f"/{path}/.keep": "" for path in subvolumes}
    filesystem = WithSubvolumes(files | folders, subvolumes, default)
    assert [system.directory for system in find_systems({"disk0/p1": filesystem})] == found


def test_a_boot_volume_of_its_own_has_the_command_line() -> None:
    filesystem = WithSubvolumes(root("/a", None) | root("/b", None), ["a", "b"])
    entry = "title x\noptions root=UUID=1234 ro rootflags=subvol=b\n"
    boot = MemoryFileSystem({"/loader/entries/x.conf": entry}, "disk0/p1")
    filesystems: dict[str, FileSystem] = {"disk0/p1": boot, "disk0/p2": filesystem}
    assert [system.directory for system in find_systems(filesystems)] == ["/subvol:b"]


@pytest.mark.parametrize(("name", "directory"), [("ubuntu", "/subvol:@"), ("suse", "/")])
def test_kept_layouts(name: str, directory: str) -> None:
    filesystem = open_btrfs(kept(name), "disk0")
    filesystems: dict[str, FileSystem] = {"disk0": filesystem}
    (found,) = find_systems(filesystems)
    assert (found.family, found.volume, found.directory) == ("linux", "disk0", directory)
    uuid = filesystem._superblock.fsid.hex()
    text = "-".join((uuid[:8], uuid[8:12], uuid[12:16], uuid[16:20], uuid[20:]))
    volume = Volume(
        name="disk0", kind="disk", on=(), size=48 << 20, content="btrfs", signature=known("btrfs"), uuid=known(text)
    )
    inspected = inspect_linux(found, filesystems, [volume], [])
    system = inspected.system
    assert system.directory == directory
    assert system.hostname.get() == f"{'ubuntu' if name == 'ubuntu' else 'sles'}-host"
    assert {mount.point: mount.volume for mount in system.mounts.get()}["/home"] == "disk0"
    path = f"{directory.rstrip('/')}/etc/fstab"
    assert system.mounts.evidence[0].path == path  # type: ignore[union-attr] # a path it is
    tree: GuestTree = inspected.tree
    if name == "ubuntu":
        assert tree.read_text("/home/user/notes") == "notes"
        assert tree.resolve("/home/user/notes").path_in_volume == "/subvol:@home/user/notes"
        assert tree.exists("/top/timeshift-btrfs/snapshots/2024-01-01/@/etc/fstab")
        with pytest.raises(MissingPart, match="@gone"):
            tree.find("/gone/file")
        assert [entry.kind for entry in system.menu.get()] == ["own"]
    else:
        assert tree.read_text("/var/log") == "log"
        assert tree.resolve("/var/log").path_in_volume == "/subvol:@/var/log"


@pytest.mark.parametrize(
    ("flags", "kind"),
    [
        ("", "own"),
        ("rootflags=subvol=@", "own"),
        ("rootflags=subvol=/@,ro", "own"),
        ("rootflags=subvolid=256", "own"),
        ("rootflags=subvol=@arch", "other-system"),
        ("rootflags=subvol=@/.snapshots/7/snapshot", "recovery"),
    ],
)
def test_an_entry_with_another_subvolume_is_another_system(flags: str, kind: str) -> None:
    volume = Volume(
        name="disk0/p1",
        kind="partition",
        on=("disk0",),
        size=1,
        content="btrfs",
        signature=known("btrfs"),
        uuid=known("1"),
    )
    own = Subvolume(256, "@", 0, 5, is_read_only=False, is_snapshot=False)
    name = frozenset({"disk0/p1"})
    about = Surroundings(Devices([volume], []), "disk0/p1", name, name, "debian", is_legacy=False, subvolume=own)
    words = ("linux", "/vmlinuz", "root=UUID=1", *flags.split())
    entry = BootEntry("Linux", 1, commands=[Command(words, 2)])
    assert judge_entry(entry, about).kind == kind


def test_every_member_of_one_filesystem_means_the_whole() -> None:
    first = Volume(
        name="disk0/p1",
        kind="partition",
        on=("disk0", "disk1/p1"),
        size=1,
        content="btrfs",
        signature=known("btrfs"),
        uuid=known("1234"),
    )
    second = msgspec.structs.replace(first, name="disk1/p1", on=("disk1",), metadata={"part_of": "disk0/p1"})
    volumes = [first, second]
    found = Devices(volumes, []).resolve("UUID=1234")
    assert (found.volume, found.candidates) == ("disk0/p1", ("disk0/p1",))
