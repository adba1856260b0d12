from __future__ import annotations

import lzma
from dataclasses import replace

import pytest
from memory_windows import MemoryFileSystem
from tools import FIXTURES, requires_tool, shared_data
from windows_builder import MIB, WINDOWS_2003, WINDOWS_2019, Entry, Place, bcd_store, windows_files

from imgscan.guests.windows.bcd_device import decode_bcd_device
from imgscan.guests.windows.menu import OwnSystem, WindowsBoot, read_boot
from imgscan.guests.windows.partitions import Partitions
from imgscan.model.disk import Disk, Partition, PartitionTable
from imgscan.model.evidence import AtPath, AtRegistry
from imgscan.model.fact import Fact
from imgscan.model.windows import BootOptions

OWN, OTHER = Place(start=MIB), Place(start=512 * MIB)
ESP, GPT_OWN, GPT_RECOVERY = "disk0/p1", "disk0/p3", "disk0/p4"


def partition(number: int, start: int = 0, uuid: str | None = None, type_: str = "0x07") -> Partition:
    return Partition(
        name=f"disk0/p{number}", number=number, start=start, size=MIB, type=type_, active=False, label=None, uuid=uuid
    )


def disk(*partitions: Partition, scheme: str = "mbr", name: str = "disk0") -> Disk:
    table = PartitionTable(scheme=scheme, identifier="0x1234abcd", partitions=partitions)  # type: ignore[arg-type]
    return Disk(name=name, path="a", format="raw", variant="raw", virtual_size=1, partition_table=table)


MBR = disk(partition(1, MIB), partition(2, 512 * MIB))
NT6 = OwnSystem("disk0/p1", "/Windows", is_nt5=False)
NT5 = OwnSystem("disk0/p1", "/WINDOWS", is_nt5=True)


def boot(files: dict[str, bytes], own: OwnSystem = NT6, *, unreadable: tuple[str, ...] = ()) -> WindowsBoot:
    return read_boot(own, {"disk0/p1": MemoryFileSystem(files, unreadable=unreadable)}, Partitions([MBR]))


def with_store(*entries: Entry) -> dict[str, bytes]:
    return {"/Boot/BCD": bcd_store(entries, OWN), "/bootmgr": b"boot manager"}


def kinds(found: WindowsBoot) -> list[tuple[str, str, bool]]:
    return [(entry.title, entry.kind, entry.default) for entry in found.menu.get()]


def ini(*lines: str, default: str = "multi(0)disk(0)rdisk(0)partition(1)\\WINDOWS") -> dict[str, bytes]:
    text = ["[boot loader]", "timeout=30", f"default={default}", "[operating systems]", *lines]
    return {"/boot.ini": "\r\n".join(text).encode("cp437"), "/ntldr": b"ntldr"}


@requires_tool("hivexregedit")
def test_one_windows_with_its_recovery_and_memory_test_is_only_itself() -> None:
    recovery = Entry("Windows Recovery Environment", OTHER, "recovery", hidden=True)
    own = Entry("Windows Server", OWN, recovery=recovery.title)
    found = boot(with_store(own, recovery, Entry("Windows Memory Diagnostic", OWN, "memory-test")))
    assert kinds(found) == [
        ("Windows Server", "own", True),
        ("Windows Memory Diagnostic", "tool", False),
        ("Windows Recovery Environment", "recovery", False),
    ]
    assert found.bootloader.get() == "windows-boot-manager"
    assert [(one.role, one.source, one.volume) for one in found.references.get()] == [
        ("root", "mbr:1234abcd@1048576", "disk0/p1"),
        ("boot", "mbr:1234abcd@1048576", "disk0/p1"),
    ]
    evidence = found.menu.get()[0].evidence
    assert all(isinstance(piece, AtRegistry) and piece.hive == "/Boot/BCD" for piece in evidence)


@requires_tool("hivexregedit")
@pytest.mark.parametrize(
    ("entry", "kind"),
    [
        (Entry("Other partition", OTHER), "other-system"),
        (Entry("Other folder", OWN, directory="\\Windows.old"), "other-system"),
        (Entry("Partition of no disk", Place(signature=1)), "unknown"),
        (Entry("Windows XP", OWN, "ntldr"), "other-system"),
        (Entry("Debian", OWN, "boot-sector"), "chainload"),
        (Entry("Windows PE", OTHER, "recovery"), "recovery"),
        (Entry("Case", OWN, directory="\\WINDOWS"), "own"),
    ],
)
def test_a_second_entry(entry: Entry, kind: str) -> None:
    assert kinds(boot(with_store(Entry("Windows", OWN), entry))) == [
        ("Windows", "own", True),
        (entry.title, kind, False),
    ]


def test_a_real_store() -> None:
    guids = {
        1: "36be3955-63bf-4068-a6ab-00195cca3a22",
        3: "8e0f2c38-e4ea-47ba-b7fc-9d8c74dccf0b",
        4: "6cdfcd69-de75-4490-8f99-5a84bf264917",
    }
    gpt = disk(*(partition(number, uuid=guid) for number, guid in guids.items()), scheme="gpt")
    filesystems = {
        ESP: MemoryFileSystem({"/EFI/Microsoft/Boot/BCD": shared_data("hives/BCD.xz")}, ESP, "vfat"),
        GPT_OWN: MemoryFileSystem({}, GPT_OWN),
        "vg0/root": MemoryFileSystem({"/Boot/BCD": b"not looked at"}, "vg0/root", "ext4"),
    }
    found = read_boot(OwnSystem(GPT_OWN, "/Windows", is_nt5=False), filesystems, Partitions([gpt]))
    assert kinds(found) == [
        ("Windows 10", "own", True),
        ("Windows Memory Diagnostic", "tool", False),
        ("Windows Recovery Environment", "recovery", False),
    ]
    assert [(one.role, one.volume) for one in found.references.get()] == [("root", GPT_OWN), ("boot", GPT_OWN)]
    assert found.menu.evidence == (AtPath(ESP, "/EFI/Microsoft/Boot/BCD"),)
    (entry,) = [entry for entry in found.menu.get() if entry.default]
    assert entry.target == f"gpt:{guids[3]} \\Windows"


def test_no_store_is_a_known_empty_menu() -> None:
    found = boot({})
    assert found.menu.get() == ()
    assert AtPath("disk0/p1", "/Boot/BCD") in found.menu.evidence
    assert found.references.get() == ()
    assert found.bootloader.get() is None


def test_an_unreadable_store_is_not_an_absent_one() -> None:
    found = boot({"/Boot/BCD": bytes(8192), "/bootmgr": b""})
    assert found.menu.unread == found.references.unread == "corrupt"
    assert found.bootloader.get() == "windows-boot-manager"
    found = boot({"/Boot/BCD": b"x"}, unreadable=("/Boot",))
    assert found.menu.unread == found.bootloader.unread == "corrupt"


def test_an_unreadable_store_beside_a_readable_one_is_an_unknown_entry() -> None:
    store = lzma.decompress((FIXTURES / "windows" / "BCD.xz").read_bytes())
    found = boot({"/Boot/BCD": store, "/EFI/Microsoft/Boot/BCD": bytes(8192)})
    assert kinds(found) == [("Windows Server", "own", True), ("/EFI/Microsoft/Boot/BCD", "unknown", False)]


def test_a_store_without_boot_manager_is_damaged() -> None:
    other = lzma.decompress((FIXTURES / "windows" / "SYSTEM.xz").read_bytes())
    assert boot({"/Boot/BCD": other}).menu.unread == "corrupt"


@pytest.mark.parametrize("length", range(0, 88, 4))
def test_a_device_element_that_is_cut_short_is_unknown(length: int) -> None:
    whole = OWN.device_element()
    device = decode_bcd_device(whole[:length], Partitions([MBR]))
    assert device.kind == ("unknown" if length < 60 else "partition")


@pytest.mark.parametrize(
    ("type_", "kind"), [(0, "unknown"), (5, "boot"), (6, "partition"), (8, "locate"), (9, "unknown")]
)
def test_kinds_of_devices(type_: int, kind: str) -> None:
    element = bytearray(OWN.device_element())
    element[16] = type_
    element[32:36] = (9).to_bytes(4, "little")
    assert decode_bcd_device(bytes(element), Partitions([MBR])).kind == kind


def test_boot_ini_of_one_system_with_two_sets_of_switches() -> None:
    found = boot(
        ini(
            'multi(0)disk(0)rdisk(0)partition(1)\\WINDOWS="Windows Server 2003" /fastdetect',
            'multi(0)disk(0)rdisk(0)partition(1)\\windows="Windows Server 2003 [debug]" /debug',
        ),
        NT5,
    )
    assert kinds(found) == [("Windows Server 2003", "own", True), ("Windows Server 2003 [debug]", "own", False)]
    assert found.bootloader.get() == "ntldr"
    assert found.menu.get()[1].evidence == (AtPath("disk0/p1", "/boot.ini", 6),)
    assert [(one.role, one.volume) for one in found.references.get()] == [("root", "disk0/p1")]


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ('multi(0)disk(0)rdisk(0)partition(2)\\WINDOWS="Second"', "other-system"),
        ('multi(0)disk(0)rdisk(0)partition(1)\\WINNT="Windows 2000"', "other-system"),
        ('signature(1234abcd)disk(0)rdisk(0)partition(1)\\WINDOWS="By signature"', "own"),
        ('signature(99)disk(0)rdisk(0)partition(1)\\WINDOWS="Other signature"', "unknown"),
        ('multi(0)disk(0)rdisk(1)partition(1)\\WINDOWS="No such disk"', "unknown"),
        ('multi(0)disk(0)rdisk(0)partition(9)\\WINDOWS="No such partition"', "unknown"),
        ('scsi(0)disk(0)rdisk(0)partition(1)\\WINDOWS="Only disk"', "own"),
        ('C:\\CMDCONS\\BOOTSECT.DAT="Microsoft Windows Recovery Console" /cmdcons', "recovery"),
        ('C:\\="MS-DOS"', "other-system"),
        ('C:\\bootsect.lnx="Linux"', "chainload"),
        ("C:\\=Previous Operating System", "other-system"),
        ('nonsense="x"', "unknown"),
    ],
)
def test_a_second_line_of_boot_ini(line: str, kind: str) -> None:
    own = 'multi(0)disk(0)rdisk(0)partition(1)\\WINDOWS="Windows" /fastdetect'
    assert [entry.kind for entry in boot(ini(own, "; a comment", line), NT5).menu.get()] == ["own", kind]


def test_arc_numbers_leave_the_extended_partition_out() -> None:
    disks = [disk(partition(1, 1), partition(2, 2, type_="0x0f"), partition(3, 3), partition(5, 5), partition(6, 6))]
    names = [Partitions(disks).by_arc("disk0", 0, number) for number in range(6)]
    assert names == [None, "disk0/p1", "disk0/p3", "disk0/p5", "disk0/p6", None]


def test_boot_ini_without_ntldr_is_a_leftover() -> None:
    files = ini('multi(0)disk(0)rdisk(0)partition(2)\\WINDOWS="Gone"')
    del files["/ntldr"]
    assert boot(files).menu.get() == ()


@requires_tool("hivexregedit")
def test_boot_ini_behind_a_store_counts_only_when_the_store_offers_it() -> None:
    lines = ini('multi(0)disk(0)rdisk(0)partition(2)\\WINDOWS="Windows XP"')
    seven = Entry("Windows 7", OWN)
    assert kinds(boot({**lines, **with_store(seven)})) == [("Windows 7", "own", True)]
    both = boot({**lines, **with_store(seven, Entry("Earlier Version of Windows", OTHER, "ntldr"))})
    assert [(title, kind) for title, kind, _ in kinds(both)] == [
        ("Windows 7", "own"),
        ("Earlier Version of Windows", "other-system"),
        ("Windows XP", "other-system"),
    ]


@requires_tool("hivexregedit")
def test_files_of_a_built_installation() -> None:
    assert kinds(boot(windows_files(WINDOWS_2019))) == [("Windows Server", "own", True)]
    assert [kind for _, kind, _ in kinds(boot(windows_files(WINDOWS_2003), NT5))] == ["own"]
    efi = windows_files(replace(WINDOWS_2019, efi=True))
    found = boot(efi)
    assert kinds(found) == [("Windows Server", "own", True)]
    assert found.bootloader.evidence == (AtPath("disk0/p1", "/EFI/Microsoft/Boot/bootmgfw.efi"),)


# --- options ---------------------------------------------------------------------------------------------------------


def options_of(*entries: Entry, ems: bool = False) -> Fact[BootOptions | None]:
    return boot({"/Boot/BCD": bcd_store(entries, OWN, ems=ems), "/bootmgr": b"boot manager"}).options


@requires_tool("hivexregedit")
@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        ((), BootOptions(timeout=30)),
        ((("25000080", bytes(8)),), BootOptions(timeout=30, safe_boot="minimal")),
        ((("25000080", b"\1"),), BootOptions(timeout=30, safe_boot="network")),
        ((("25000080", b"\2" + bytes(7)),), BootOptions(timeout=30, safe_boot="directory-services-repair")),
        ((("25000080", b"\7" + bytes(7)),), BootOptions(timeout=30, safe_boot="7")),
        ((("260000b0", b"\1"),), BootOptions(timeout=30, ems=True)),
        ((("260000a0", b"\1"),), BootOptions(timeout=30, debug=True)),
        ((("16000049", b"\1"),), BootOptions(timeout=30, unsigned_drivers=True)),
        ((("16000048", b"\1"), ("16000049", b"\0")), BootOptions(timeout=30, unsigned_drivers=True)),
        ((("250000e0", b"\1" + bytes(7)),), BootOptions(timeout=30, status_policy="ignore-all-failures")),
    ],
)
def test_options_of_an_entry(elements: tuple[tuple[str, bytes], ...], expected: BootOptions) -> None:
    fact = options_of(Entry("Windows", OWN, options=elements))
    assert fact.get() == expected
    assert isinstance(fact.evidence[0], AtRegistry)


@requires_tool("hivexregedit")
def test_options_are_inherited_and_an_own_one_counts() -> None:
    assert options_of(Entry("Windows", OWN), ems=True).get() == BootOptions(timeout=30, ems=True)
    own = Entry("Windows", OWN, options=(("16000020", b"\0"),))
    assert options_of(own, ems=True).get() == BootOptions(timeout=30)


@requires_tool("hivexregedit")
def test_whose_options_count() -> None:
    """Those of the default entry where it starts this system, else of the first one that does."""
    safe, other = Entry("Safe", OWN, options=(("25000080", bytes(8)),)), Entry("Other", OTHER)
    assert options_of(safe, Entry("Windows", OWN)).get() == BootOptions(timeout=30, safe_boot="minimal")
    assert options_of(Entry("Windows", OWN), safe).get() == BootOptions(timeout=30)
    assert options_of(other, safe).get() == BootOptions(timeout=30, safe_boot="minimal")
    assert options_of(other).get() is None


@requires_tool("hivexregedit")
def test_options_that_are_no_numbers_lose_nothing_else() -> None:
    found = boot(with_store(Entry("Windows", OWN, options=(("25000080", bytes(9)),))))
    assert found.options.unread == "corrupt"
    assert kinds(found) == [("Windows", "own", True)]
    many = tuple(Entry(f"Windows {number}", OWN) for number in range(34))
    found = boot(with_store(*many[1:], many[0]))
    assert (len(found.menu.get()), found.options.get()) == (34, BootOptions(timeout=30))


def test_options_of_a_real_store() -> None:
    """Its menu waits 0x1e seconds, and the settings for EMS that its entry inherits are off."""
    filesystem = MemoryFileSystem({"/EFI/Microsoft/Boot/BCD": shared_data("hives/BCD.xz")}, ESP, "vfat")
    gpt = disk(partition(3, uuid="8e0f2c38-e4ea-47ba-b7fc-9d8c74dccf0b"), scheme="gpt")
    found = read_boot(OwnSystem(GPT_OWN, "/Windows", is_nt5=False), {ESP: filesystem}, Partitions([gpt]))
    assert found.options.get() == BootOptions(timeout=30)


@pytest.mark.parametrize(
    ("switches", "expected"),
    [
        ("/fastdetect /noexecute=optout", BootOptions(timeout=30)),
        ("/redirect /fastdetect", BootOptions(timeout=30, ems=True)),
        ("/SAFEBOOT:MINIMAL /sos", BootOptions(timeout=30, safe_boot="minimal")),
        ("/safeboot:minimal(alternateshell)", BootOptions(timeout=30, safe_boot="minimal")),
        ("/safeboot:dsrepair", BootOptions(timeout=30, safe_boot="directory-services-repair")),
        ("/safeboot", BootOptions(timeout=30, safe_boot="unknown")),
        ("/debugport=com1 /baudrate=115200", BootOptions(timeout=30, debug=True)),
    ],
)
def test_options_of_boot_ini(switches: str, expected: BootOptions) -> None:
    found = boot(ini(f'multi(0)disk(0)rdisk(0)partition(1)\\WINDOWS="Windows Server 2003" {switches}'), NT5)
    assert found.options.get() == expected
    assert found.options.evidence == (AtPath("disk0/p1", "/boot.ini", 5),)


def test_no_menu_or_an_unread_one_has_no_options() -> None:
    assert boot({}).options.get() is None
    assert boot({"/Boot/BCD": bytes(8192)}).options.unread == "corrupt"
