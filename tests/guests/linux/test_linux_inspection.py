from __future__ import annotations

from memory_filesystem import MemoryFileSystem

from imgscan.guests.linux import inspect_linux
from imgscan.guests.linux.mounts import FSTAB_BYTES
from imgscan.guests.systems import FoundSystem, Inspected
from imgscan.model.fact import known
from imgscan.model.machine import UnreadPlace
from imgscan.model.volume import Volume


def _inspected(fstab: str | bytes) -> Inspected:
    volume = Volume(
        name="disk0/p1", kind="partition", on=("disk0",), size=1 << 30, content="ext4", signature=known("ext4"),
        uuid=known("1111"), label=known(None),
    )  # fmt: skip
    files = {
        "/etc/os-release": "ID=debian\n",
        "/etc/fstab": fstab,
        "/boot/grub/grub.cfg": "menuentry x { linux /vmlinuz root=UUID=1111 }\n",
    }
    root = MemoryFileSystem(files)
    return inspect_linux(FoundSystem("linux", "disk0/p1"), {"disk0/p1": root}, [volume], [])


def test_a_system_that_was_read_lacks_nothing() -> None:
    inspected = _inspected("UUID=1111 / ext4 defaults 0 1\n")
    assert inspected.unread == ()
    assert [entry.kind for entry in inspected.system.menu.get()] == ["own"]
    assert [reference.volume for reference in inspected.system.references.get()] == ["disk0/p1"]


def test_without_its_fstab_the_menu_is_not_told_for_boot_may_be_another_volume() -> None:
    inspected = _inspected(b"#" * (FSTAB_BYTES + 1))
    system = inspected.system
    assert system.mounts.unread == system.menu.unread == system.references.unread == "limit"
    (place,) = inspected.unread
    assert isinstance(place, UnreadPlace)
    assert (place.where, place.why) == ("disk0/p1", "limit")
    assert "/etc/fstab" in place.detail
    assert system.id.get() == "debian"  # what does not rest on the mounts stays
