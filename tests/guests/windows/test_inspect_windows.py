from __future__ import annotations

from dataclasses import replace

import pytest
from memory_windows import MemoryFileSystem
from tools import requires_tool, shared_data
from windows_builder import (
    MIB,
    WINDOWS_7_X86,
    WINDOWS_11,
    WINDOWS_2003,
    WINDOWS_2019,
    Place,
    Windows,
    build_windows,
    pe_file,
    windows_files,
)

from imgscan.devices.memory import MemoryDevice
from imgscan.filesystems import open_filesystem
from imgscan.guests.systems import FoundSystem, Inspected
from imgscan.guests.windows import inspect_windows
from imgscan.model.disk import Disk, Partition, PartitionTable
from imgscan.model.evidence import AtPath, AtRegistry
from imgscan.model.system import System

pytestmark = requires_tool("hivexregedit")
GUID = "8e0f2c38-e4ea-47ba-b7fc-9d8c74dccf0b"


def mbr_disk(signature: int = 0x1234ABCD, start: int = MIB, name: str = "disk0") -> Disk:
    partition = Partition(name=f"{name}/p1", number=1, start=start, size=MIB, type="0x07", active=True, label=None)
    table = PartitionTable(scheme="mbr", identifier=f"0x{signature:08x}", partitions=(partition,))
    return Disk(name=name, path="a", format="raw", variant="raw", virtual_size=1, partition_table=table)


def inspect(files: dict[str, bytes], directory: str = "/Windows", unreadable: tuple[str, ...] = ()) -> Inspected:
    filesystem = MemoryFileSystem(files, unreadable=unreadable)
    found = FoundSystem("windows", "disk0/p1", directory)
    return inspect_windows(found, {"disk0/p1": filesystem}, [], [mbr_disk()])


def values(system: System) -> dict[str, object]:
    names = ("id", "version", "product", "edition", "build", "installation_type", "service_pack", "release")
    return {name: getattr(system, name).value for name in (*names, "architecture", "hostname", "bootloader")}


@pytest.mark.parametrize(
    ("windows", "expected"),
    [
        (
            WINDOWS_2019,
            {
                "version": "10.0.17763",
                "product": "Windows Server 2019 Standard",
                "edition": "ServerStandard",
                "build": "17763.1234",
                "installation_type": "Server",
                "service_pack": None,
                "release": "1809",
                "architecture": "x86_64",
                "bootloader": "windows-boot-manager",
            },
        ),
        (
            WINDOWS_11,
            {
                "version": "10.0.22631",
                "product": "Windows 11 Pro",
                "edition": "Professional",
                "build": "22631.4169",
                "installation_type": "Client",
                "service_pack": None,
                "release": "23H2",
                "architecture": "x86_64",
                "bootloader": None,
            },
        ),
        (
            WINDOWS_7_X86,
            {
                "version": "6.1.7601",
                "product": "Windows 7 Ultimate",
                "edition": "Ultimate",
                "build": "7601",
                "installation_type": "Client",
                "service_pack": "Service Pack 1",
                "release": None,
                "architecture": "x86",
                "bootloader": "windows-boot-manager",
            },
        ),
        (
            WINDOWS_2003,
            {
                "version": "5.2.3790",
                "product": "Microsoft Windows Server 2003",
                "edition": "ServerStandard",
                "build": "3790",
                "installation_type": "Server",
                "service_pack": "Service Pack 2",
                "release": None,
                "architecture": "x86",
                "bootloader": "ntldr",
            },
        ),
    ],
)
def test_identity(windows: Windows, expected: dict[str, object]) -> None:
    inspected = inspect(windows_files(windows), f"/{windows.directory}")
    assert values(inspected.system) == {"id": "windows", "hostname": "WIN-TEST", **expected}
    assert inspected.unread == ()
    assert inspected.system.root == "disk0/p1"
    assert inspected.tree.exists("/windows/system32")


@requires_tool("mkntfs", "ntfs-3g")
def test_identity_on_a_real_ntfs_takes_few_reads() -> None:
    class Counting(MemoryDevice):
        reads = 0

        def read_at(self, offset: int, length: int) -> bytes:
            self.reads += 1
            return super().read_at(offset, length)

    device = Counting(build_windows(WINDOWS_2019).read_bytes(), "disk0/p1")
    filesystem = open_filesystem(device, "disk0/p1", "ntfs")
    opened = device.reads
    inspected = inspect_windows(
        FoundSystem("windows", "disk0/p1", "/Windows"), {"disk0/p1": filesystem}, [], [mbr_disk()]
    )
    assert values(inspected.system) == values(inspect(windows_files(WINDOWS_2019)).system)
    assert inspected.system.menu == inspect(windows_files(WINDOWS_2019)).system.menu
    assert device.reads - opened < 60


def test_real_hives_of_windows_7() -> None:
    files = {
        "/Windows/System32/config/SOFTWARE": shared_data("hives/SOFTWARE_WIN7.xz"),
        "/Windows/System32/config/SYSTEM": shared_data("hives/SYSTEM.xz"),
    }
    filesystem = MemoryFileSystem(files)
    system = inspect_windows(
        FoundSystem("windows", "disk0/p1", "/Windows"), {"disk0/p1": filesystem}, [], [mbr_disk(0x5CBEA03E)]
    ).system
    assert values(system) == {
        "id": "windows",
        "version": "6.1.7601",
        "product": "Windows 7 Ultimate",
        "edition": "Ultimate",
        "build": "7601",
        "installation_type": "Client",
        "service_pack": "Service Pack 1",
        "release": None,
        "architecture": "x86",
        "hostname": "WKS-WIN732BITA",
        "bootloader": None,
    }
    drive = system.mounts.get()[1]
    assert (drive.point, drive.source, drive.volume) == ("C:", "mbr:5cbea03e@1048576", "disk0/p1")
    assert [mount.point for mount in system.mounts.get() if mount.how == "removable"] == ["A:", "D:", "E:"]
    assert system.menu.get() == ()
    assert AtPath("disk0/p1", "/Boot/BCD") in system.menu.evidence


def test_evidence_names_hive_key_and_value_with_its_data() -> None:
    system = inspect(windows_files(WINDOWS_11)).system
    assert system.edition is not None
    assert system.edition.evidence == (
        AtRegistry(
            "disk0/p1",
            "/Windows/System32/config/SOFTWARE",
            "Microsoft\\Windows NT\\CurrentVersion",
            "EditionID",
            "Professional\0".encode("utf-16-le"),
        ),
    )
    shown = [piece.value for piece in system.product.evidence if isinstance(piece, AtRegistry)]
    assert shown == ["ProductName", "CurrentBuildNumber", "InstallationType"]


@pytest.mark.parametrize("architecture", ["x86", "x86_64", "aarch64"])
def test_architecture_is_that_of_the_kernel_else_of_the_shell_else_of_the_environment(architecture: str) -> None:
    files = windows_files(replace(WINDOWS_2019, architecture=architecture))  # type: ignore[arg-type]
    kernel, shell = "/Windows/System32/ntoskrnl.exe", "/Windows/System32/cmd.exe"
    assert inspect(files).system.architecture.get() == architecture
    files[shell] = pe_file("x86_64" if architecture == "x86" else "x86")
    assert inspect(files).system.architecture.evidence == (AtPath("disk0/p1", kernel),)
    files[shell] = files[kernel]
    files[kernel] = bytes(4096)  # what a file compressed by Windows reads as
    fact = inspect(files).system.architecture
    assert (fact.get(), fact.evidence) == (architecture, (AtPath("disk0/p1", shell),))
    files[shell] = b"MZ"
    fact = inspect(files).system.architecture
    assert fact.get() == architecture
    assert isinstance(fact.evidence[0], AtRegistry)


def test_a_missing_or_damaged_hive_is_unread_and_not_absent() -> None:
    files = windows_files(WINDOWS_2019)
    software, system = "/Windows/System32/config/SOFTWARE", "/Windows/System32/config/SYSTEM"
    inspected = inspect({path: data for path, data in files.items() if path != system}).system
    assert inspected.product.get() == "Windows Server 2019 Standard"
    assert inspected.hostname.unread == "missing"
    assert inspected.mounts.unread == "missing"
    inspected = inspect({**files, software: bytes(8192)}).system
    assert inspected.product.unread == inspected.version.unread == "corrupt"
    assert inspected.hostname.get() == "WIN-TEST"
    inspected = inspect(files, unreadable=("/Windows/System32/config",)).system
    assert inspected.product.unread == inspected.hostname.unread == "corrupt"
    assert inspected.architecture.get() == "x86_64"


def test_a_dirty_hive_is_named_among_what_was_not_read() -> None:
    files = windows_files(WINDOWS_2019)
    path = "/Windows/System32/config/SYSTEM"
    data = bytearray(files[path])
    data[4] ^= 0xFF
    (place,) = inspect({**files, path: bytes(data)}).unread
    assert (place.where, place.why) == ("disk0/p1", "missing")
    assert place.detail.startswith(path)


def test_drive_letters_on_gpt_and_of_what_is_not_there() -> None:
    windows = replace(WINDOWS_2019, place=Place(gpt=GUID), bcd=None)
    partition = Partition(name="disk0/p3", number=3, start=MIB, size=MIB, type="x", active=False, label=None, uuid=GUID)
    disk = Disk(
        name="disk0",
        path="a",
        format="raw",
        variant="raw",
        virtual_size=1,
        partition_table=PartitionTable(scheme="gpt", partitions=(partition,)),
    )
    filesystem = MemoryFileSystem(windows_files(windows), "disk0/p3")
    found = FoundSystem("windows", "disk0/p3", "/Windows")
    for disks, volume in (([disk], "disk0/p3"), ([mbr_disk()], None)):
        mount = inspect_windows(found, {"disk0/p3": filesystem}, [], disks).system.mounts.get()[0]
        assert (mount.point, mount.source, mount.volume) == ("C:", f"gpt:{GUID}", volume)


def test_a_signature_that_two_disks_have_names_no_volume() -> None:
    filesystem = MemoryFileSystem(windows_files(WINDOWS_2019))
    disks = [mbr_disk(), mbr_disk(name="disk1")]
    system = inspect_windows(FoundSystem("windows", "disk0/p1", "/Windows"), {"disk0/p1": filesystem}, [], disks).system
    assert next((mount.source, mount.volume) for mount in system.mounts.get()) == ("mbr:1234abcd@1048576", None)
    assert [entry.kind for entry in system.menu.get()] == ["unknown"]


def test_drive_letters_of_every_form() -> None:
    def named(name: str) -> bytes:
        return name.encode("utf-16-le")

    windows = WINDOWS_2019
    for letter, data in {
        "A": named("\\??\\FDC#GENERIC_FLOPPY_DRIVE#6&2bc13940&0&0#{53f5630d-b6bf-11d0-94f2-00a0c91efb8b}"),
        "E": named("_??_USBSTOR#Disk&Ven_HP&Prod_v100w&Rev_1024#0BF&0#{53f56307-b6bf-11d0-94f2-00a0c91efb8b}"),
        "F": bytes(12),
        "G": b"DMIO:ID:" + bytes(16),
        "H": b"\1\2\3",
        "I": bytes(24),
    }.items():
        windows = windows.changed("SYSTEM", "MountedDevices", f"\\DosDevices\\{letter}:", data)
    found = inspect(windows_files(windows)).system.mounts.get()
    assert [(mount.point, mount.source, mount.volume) for mount in found] == [
        ("A:", "FDC#GENERIC_FLOPPY_DRIVE", None),
        ("C:", "mbr:1234abcd@1048576", "disk0/p1"),
        ("D:", "IDE#CdRomNECVMWar_VMware_IDE_CDR10", None),
        ("E:", "USBSTOR#Disk&Ven_HP&Prod_v100w&Rev_1024", None),
        ("F:", "mbr:00000000@0", None),
        ("G:", "gpt:00000000-0000-0000-0000-000000000000", None),
        ("H:", "3 bytes of an unknown form", None),
        ("I:", "24 bytes of an unknown form", None),
    ]


def test_more_drive_letters_than_there_can_be() -> None:
    windows = WINDOWS_2019
    for number in range(64):
        windows = windows.changed("SYSTEM", "MountedDevices", f"\\DosDevices\\X{number}:", bytes(12))
    assert inspect(windows_files(windows)).system.mounts.unread == "limit"


# --- language, edition, licence, domain ------------------------------------------------------------------------------

NLS, MUI = "CurrentControlSet\\Control\\Nls", "CurrentControlSet\\Control\\MUI\\UILanguages"


@pytest.mark.parametrize(
    ("windows", "installed", "interface"),
    [
        (WINDOWS_2019, "en-US", ("en-US",)),
        (replace(WINDOWS_2019, language="de-DE"), "de-DE", ("de-DE",)),
        (WINDOWS_2019.changed("SYSTEM", f"{MUI}\\ja-JP", "LCID", 0x411), "en-US", ("en-US", "ja-JP")),
        (WINDOWS_2019.changed("SYSTEM", f"{NLS}\\Language", "InstallLanguage", "0809"), "en-GB", ("en-GB", "en-US")),
        (
            WINDOWS_2019.changed("SYSTEM", f"{NLS}\\Language", "InstallLanguage", "0c07"),
            "de-0c07",
            ("de-0c07", "en-US"),
        ),
        (WINDOWS_2019.changed("SYSTEM", f"{NLS}\\Language", "InstallLanguage", "x"), "lcid-x", ("lcid-x", "en-US")),
        (WINDOWS_2019.changed("SYSTEM", f"{NLS}\\Language", "InstallLanguage", None), None, ("en-US",)),
        (WINDOWS_2003, "en-US", ("en-US",)),
        (WINDOWS_2003.changed("SYSTEM", f"{NLS}\\MUILanguages", "0411", "1"), "en-US", ("en-US", "ja-JP")),
    ],
)
def test_languages(windows: Windows, installed: str | None, interface: tuple[str, ...]) -> None:
    fact = inspect(windows_files(windows), f"/{windows.directory}").system.languages
    assert fact is not None
    assert (fact.get().installed, fact.get().interface) == (installed, interface)
    assert isinstance(fact.evidence[0], AtRegistry)


@pytest.mark.parametrize(
    ("suites", "product_type", "edition", "kind"),
    [
        ([], "ServerNT", "ServerStandard", "server"),
        (["Enterprise", "Terminal Server"], "LanmanNT", "ServerEnterprise", "domain-controller"),
        (["Terminal Server", "Enterprise", "DataCenter"], "ServerNT", "ServerDatacenter", "server"),
        (["Blade", "Terminal Server"], "ServerNT", "ServerWeb", "server"),
        (["Small Business", "Terminal Server"], "ServerNT", "ServerSBS", "server"),
        (["Terminal Server"], "WinNT", "Professional", "workstation"),
        (["Personal"], "WinNT", "Home", "workstation"),
    ],
)
def test_editions_before_vista(suites: list[str], product_type: str, edition: str, kind: str) -> None:
    windows = replace(WINDOWS_2003, product_type=product_type)
    windows = windows.changed("SYSTEM", "CurrentControlSet\\Control\\ProductOptions", "ProductSuite", suites)
    system = inspect(windows_files(windows), "/WINDOWS").system
    assert system.edition is not None
    assert system.product_type is not None
    assert (system.edition.get(), system.product_type.get()) == (edition, kind)


@pytest.mark.parametrize(
    ("name", "value", "channel"),
    [
        ("DigitalProductId4", bytes(0x3F8) + "Volume:GVLK".encode("utf-16-le").ljust(0x100, b"\0"), "Volume:GVLK"),
        ("DigitalProductId4", bytes(0x4F8), None),
        ("DigitalProductId4", bytes(10), None),
        ("ProductId", "00330-80000-00000-AAOEM", "OEM"),
        ("ProductId", "69713-640-1234567-45678", None),
    ],
)
def test_the_licence(name: str, value: str | bytes, channel: str | None) -> None:
    windows = WINDOWS_2019.changed("SOFTWARE", "Microsoft\\Windows NT\\CurrentVersion", name, value)
    fact = inspect(windows_files(windows)).system.channel
    assert fact is not None
    assert fact.get() == channel


def test_the_domain() -> None:
    tcpip = "CurrentControlSet\\Services\\Tcpip\\Parameters"
    for name in ("Domain", "NV Domain"):
        fact = inspect(windows_files(WINDOWS_2019.changed("SYSTEM", tcpip, name, "corp.example"))).system.domain
        assert fact is not None
        assert fact.get() == "corp.example"
    fact = inspect(windows_files(WINDOWS_2019)).system.domain
    assert fact is not None
    assert fact.get() is None


BELOW_CONTROL_SET = (
    *("network", "dhcp_client", "ipv6_disabled", "routes", "firewalls", "remote_desktop", "products"),
    *("boot_drivers", "network_drivers", "hardware_traces", "pending_restart", "page_files", "languages"),
    *("hostname", "domain", "universal_clock", "product_type"),
)


@pytest.mark.parametrize("select", [{"Current": 7}, {"Current": "1"}, {"Current": None, "Default": None}])
def test_without_its_control_set_nothing_below_is_known(select: dict[str, int | str | None]) -> None:
    windows = WINDOWS_2019
    for name, value in select.items():
        windows = windows.changed("SYSTEM", "Select", name, value)
    system = inspect(windows_files(windows)).system
    assert {name: getattr(system, name).unread for name in BELOW_CONTROL_SET} == dict.fromkeys(
        BELOW_CONTROL_SET, "corrupt"
    )
    assert len(system.mounts.get()) == len(inspect(windows_files(WINDOWS_2019)).system.mounts.get())


@pytest.mark.parametrize(
    ("missing", "unread"),
    [
        (
            b"Services\0",
            {"network", "dhcp_client", "firewalls", "remote_desktop", "products", "boot_drivers", "routes"},
        ),
        (b"Control\0", {"firewalls", "remote_desktop", "boot_drivers", "page_files", "pending_restart"}),
        (b"Enum\0", {"hardware_traces"}),
        (b"Interfaces\0", {"network"}),
    ],
)
def test_a_control_set_without_one_of_its_keys(missing: bytes, unread: set[str]) -> None:
    """A key that every Windows has is called otherwise: what is below it is not there, and is no answer."""
    files = windows_files(WINDOWS_2019)
    hive = files["/Windows/System32/config/SYSTEM"]
    assert hive.count(missing) == 1
    files["/Windows/System32/config/SYSTEM"] = hive.replace(missing, missing[:-2] + b"!\0")
    system = inspect(files).system
    assert {name for name in unread if getattr(system, name).unread == "corrupt"} == unread


def test_adapters_without_their_devices_or_class() -> None:
    for missing in (b"Control\0", b"Enum\0", b"{4D36E972-E325-11CE-BFC1-08002BE10318}"):
        files = windows_files(WINDOWS_2019)
        hive = files["/Windows/System32/config/SYSTEM"]
        files["/Windows/System32/config/SYSTEM"] = hive.replace(missing, missing[:-2] + b"!" + missing[-1:])
        unread = [file.interfaces.unread for file in inspect(files).system.network.get()]
        assert "corrupt" in unread
