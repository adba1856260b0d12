"""Phony Windows installations, made with foreign tools: hives by hivex, NTFS by ntfs-3g.

`windows_files` gives the files of an installation, `ntfs_image` a volume with them, `build_windows` both. What is
slow is cached under .cache/windows by its recipe.
"""

from __future__ import annotations

import hashlib
import os
import struct
import subprocess
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, NamedTuple

from tools import ROOT, require_tool
from windows_network import network_keys

CACHE = ROOT / ".cache" / "windows"
MIB = 1024 * 1024
BOOT_MANAGER = "{9dea862c-5cdd-4e70-acc1-f32b344d4795}"
SETTINGS = "{6efb52bf-1766-41db-a6b3-0ee5eff72bd7}"
EMS_SETTINGS = "{0ce4991b-e6b3-4b16-b23c-5e0d9250e5d9}"
MEMORY_TEST = "{b2721d73-1db4-4c62-bf78-c548a880142d}"
DISK_CLASS = "{4D36E967-E325-11CE-BFC1-08002BE10318}"
VOLUME_CLASS = "{71A27CDD-812A-11D0-BEC7-08002BE2092F}"
DRIVERS = ("disk", "partmgr", "volsnap", "xenvbd", "ena")
NT_LOADER = "{466f5a88-0af2-4f76-9038-095b170dc21c}"

Architecture = Literal["x86", "x86_64", "aarch64"]


@dataclass(frozen=True)
class Place:
    """A partition as Windows names it: by GPT identifier, or by MBR signature and byte offset."""

    gpt: str | None = None
    signature: int = 0x1234ABCD
    start: int = MIB

    def mounted_device(self) -> bytes:
        if self.gpt is not None:
            return b"DMIO:ID:" + uuid.UUID(self.gpt).bytes_le
        return struct.pack("<IQ", self.signature, self.start)

    def device_element(self) -> bytes:
        head = bytes(16) + struct.pack("<IIII", 6, 0, 0x48, 0)
        if self.gpt is not None:
            return head + uuid.UUID(self.gpt).bytes_le + bytes(40)
        return head + struct.pack("<QQII", self.start, 0, 0, 1) + struct.pack("<I", self.signature) + bytes(28)


@dataclass(frozen=True)
class Entry:
    """An entry of a BCD store, whose identifier is made from its title; `hidden` ones are not in the display order.

    `options` are further elements, by number. It inherits from the store's own settings for EMS.
    """

    title: str
    place: Place
    kind: Literal["windows", "recovery", "ntldr", "boot-sector", "memory-test"] = "windows"
    directory: str = "\\Windows"
    recovery: str | None = None
    hidden: bool = False
    options: tuple[tuple[str, bytes], ...] = ()

    @property
    def identifier(self) -> str:
        fixed = {"ntldr": NT_LOADER, "memory-test": MEMORY_TEST}
        return fixed.get(self.kind, f"{{{uuid.uuid5(uuid.NAMESPACE_OID, self.title)}}}")


RegistryData = str | int | bytes | list[str]
Keys = dict[str, dict[str, RegistryData]]
LCIDS = {"en-US": "0409", "en-GB": "0809", "de-DE": "0407", "ja-JP": "0411", "id-ID": "0421"}


class Change(NamedTuple):
    """A value of a hive that differs from the healthy one's."""

    hive: Literal["SOFTWARE", "SYSTEM"]
    key: str
    name: str
    value: RegistryData | None


@dataclass(frozen=True)
class Windows:
    """What to install. `bcd` and `boot_ini` are written when given; the boot manager lies beside the store.

    It can be reached by Remote Desktop, has a page file of a fixed size and a .NET Framework, and is in one language.
    It has Xen's driver for disks, and drivers for network devices of EC2: one installed, one in the driver store.
    """

    product: str = "Windows Server 2019 Standard"
    edition: str | None = "ServerStandard"
    installation_type: str | None = "Server"
    version: str = "10.0"
    build: str = "17763"
    ubr: int | None = 1234
    service_pack: str | None = None
    release: str | None = "1809"
    architecture: Architecture = "x86_64"
    hostname: str = "WIN-TEST"
    directory: str = "Windows"
    place: Place = field(default_factory=Place)
    bcd: tuple[Entry, ...] | None = None
    efi: bool = False
    boot_ini: str | None = None
    product_type: str = "ServerNT"
    language: str = "en-US"
    changes: tuple[Change, ...] = ()
    files: tuple[tuple[str, bytes], ...] = ()
    lacks: tuple[str, ...] = ()

    def changed(self, hive: Literal["SOFTWARE", "SYSTEM"], key: str, name: str, value: RegistryData | None) -> Windows:
        """Return the same Windows with a value set, or with none (None); `CurrentControlSet` is the only one."""
        key = key.replace("CurrentControlSet", "ControlSet001")
        return replace(self, changes=(*self.changes, Change(hive, key, name, value)))


WINDOWS_2019 = Windows(bcd=(Entry("Windows Server", Place()),))
WINDOWS_11 = Windows(
    product="Windows 10 Pro",
    edition="Professional",
    installation_type="Client",
    build="22631",
    ubr=4169,
    release="23H2",
    product_type="WinNT",
)
WINDOWS_8 = Windows(
    product="Windows 8 Pro",
    edition="Professional",
    installation_type="Client",
    version="6.2",
    build="9200",
    ubr=None,
    release=None,
    product_type="WinNT",
    bcd=(Entry("Windows 8", Place()),),
)
WINDOWS_7_X86 = Windows(
    product="Windows 7 Ultimate",
    edition="Ultimate",
    installation_type="Client",
    version="6.1",
    build="7601",
    ubr=None,
    service_pack="Service Pack 1",
    release=None,
    architecture="x86",
    product_type="WinNT",
    bcd=(Entry("Windows 7", Place()),),
)
WINDOWS_2003 = Windows(
    product="Microsoft Windows Server 2003",
    edition=None,
    installation_type=None,
    version="5.2",
    build="3790",
    ubr=None,
    service_pack="Service Pack 2",
    release=None,
    architecture="x86",
    directory="WINDOWS",
    boot_ini=(
        "[boot loader]\r\ntimeout=30\r\ndefault=multi(0)disk(0)rdisk(0)partition(1)\\WINDOWS\r\n"
        "[operating systems]\r\n"
        'multi(0)disk(0)rdisk(0)partition(1)\\WINDOWS="Windows Server 2003, Standard" /noexecute=optout /fastdetect\r\n'
    ),
)


def empty_hive() -> bytes:
    """Return a hive with a root key and nothing else: base block and one hive bin of 4096 bytes, version 1.3."""
    none, security_cell = 0xFFFFFFFF, 0x78
    root = struct.pack(
        "<2sHQIIIIIIIIII20xHH", b"nk", 0x2C, 0, 0, 0, 0, 0, none, none, 0, none, security_cell, none, 4, 0
    )
    descriptor = struct.pack("<BBHIIII", 1, 0, 0x8000, 0, 0, 0, 0)
    security = struct.pack("<2sHIIII", b"sk", 0, security_cell, security_cell, 1, len(descriptor)) + descriptor
    cells = b"".join(
        (
            struct.pack("<i", -88) + (root + b"ROOT").ljust(84, b"\0"),
            struct.pack("<i", -48) + security.ljust(44, b"\0"),
            struct.pack("<i", 4096 - security_cell - 48),
        )
    )
    bins = (struct.pack("<4sIIQQI", b"hbin", 0, 4096, 0, 0, 0) + cells).ljust(4096, b"\0")
    base = struct.pack("<4sIIQIIIIIII", b"regf", 1, 1, 0, 1, 3, 0, 1, 0x20, len(bins), 1).ljust(508, b"\0")
    checksum = 0
    for (word,) in struct.iter_unpack("<I", base):
        checksum ^= word
    return (base + struct.pack("<I", checksum)).ljust(4096, b"\0") + bins


def hive(keys: Mapping[str, Mapping[str, RegistryData]]) -> bytes:
    """Return a hive with these keys and values, merged by hivexregedit: text, number, bytes, list of texts."""
    lines = ["Windows Registry Editor Version 5.00", ""]
    parents = {key.rsplit("\\", depth)[0] for key in keys for depth in range(key.count("\\") + 1)}
    for key in sorted(parents):
        values = keys.get(key, {})
        lines += [f"[\\{key}]", *(f"{_quoted(name)}={_reg_data(data)}" for name, data in values.items()), ""]
    text = "\n".join(lines)
    stored = CACHE / "hives" / hashlib.sha256(empty_hive() + text.encode()).hexdigest()[:16]
    if not stored.is_file():
        with _written(stored) as target:
            target.write_bytes(empty_hive())
            subprocess.run(
                [require_tool("hivexregedit"), "--merge", target], input=text.encode(), check=True, capture_output=True
            )
    return stored.read_bytes()


def _quoted(name: str) -> str:
    return "@" if not name else '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _reg_data(data: RegistryData) -> str:
    if isinstance(data, int):
        return f"dword:{data:08x}"
    if isinstance(data, bytes):
        return f"hex:{data.hex(',')}"
    if isinstance(data, str):
        return f"hex(1):{(data + chr(0)).encode('utf-16-le').hex(',')}"
    return f"hex(7):{''.join(one + chr(0) for one in [*data, '']).encode('utf-16-le').hex(',')}"


def software_hive(windows: Windows) -> bytes:
    values: dict[str, RegistryData] = {
        "ProductName": windows.product,
        "CurrentBuild": windows.build,
        "CurrentBuildNumber": windows.build,
        "CurrentVersion": "6.3" if windows.version == "10.0" else windows.version,
        "SystemRoot": f"C:\\{windows.directory}",
    }
    if windows.version == "10.0":
        values |= {"CurrentMajorVersionNumber": 10, "CurrentMinorVersionNumber": 0}
    optional = {
        "EditionID": windows.edition,
        "InstallationType": windows.installation_type,
        "UBR": windows.ubr,
        "CSDVersion": windows.service_pack,
        "ReleaseId": windows.release,
    }
    values |= {name: value for name, value in optional.items() if value is not None}
    keys: Keys = {"Microsoft\\Windows NT\\CurrentVersion": values}
    frameworks = "Microsoft\\NET Framework Setup\\NDP"
    keys[f"{frameworks}\\v3.5"] = {"Install": 1, "SP": 1, "Version": "3.5.30729.01"}
    if windows.version.startswith("5."):
        keys["Microsoft\\Driver Signing"] = {"Policy": b"\0"}
    else:
        keys["Microsoft\\Windows\\CurrentVersion\\Component Based Servicing\\Packages"] = {}
        keys[f"{frameworks}\\v4\\Full"] = {"Install": 1, "Release": 461814, "Version": "4.7.03190"}
    return hive(_with_changes(keys, windows, "SOFTWARE"))


REMOTE_DESKTOP_RULE = (
    "v2.28|Action=Allow|Active=TRUE|Dir=In|Protocol=6|LPort=3389|App=%SystemRoot%\\system32\\svchost.exe|"
    "Svc=termservice|Name=@FirewallAPI.dll,-28775|Desc=@FirewallAPI.dll,-28756|EmbedCtxt=@FirewallAPI.dll,-28752|"
)


def system_hive(windows: Windows) -> bytes:
    control, services = "ControlSet001\\Control", "ControlSet001\\Services"
    architecture = {"x86": "x86", "x86_64": "AMD64", "aarch64": "ARM64"}[windows.architecture]
    is_old = windows.version.startswith("5.")
    policy = f"{services}\\SharedAccess\\Parameters\\FirewallPolicy"
    keys: Keys = {
        "Select": {"Current": 1, "Default": 1, "Failed": 0, "LastKnownGood": 1},
        f"{control}\\ComputerName\\ComputerName": {"ComputerName": windows.hostname.upper()},
        f"{control}\\ProductOptions": {"ProductType": windows.product_type},
        f"{control}\\Session Manager\\Environment": {"PROCESSOR_ARCHITECTURE": architecture},
        f"{control}\\Session Manager\\Memory Management": {"PagingFiles": ["C:\\pagefile.sys 1024 1024"]},
        f"{control}\\Nls\\Language": {"InstallLanguage": LCIDS[windows.language], "Default": "0409"},
        f"{control}\\Terminal Server": {"fDenyTSConnections": 0},
        f"{control}\\Terminal Server\\WinStations\\RDP-Tcp": {"PortNumber": 3389, "fEnableWinStation": 1},
        f"{services}\\TermService": {"Start": 3 if is_old else 2},
        f"{services}\\Tcpip\\Parameters": {"Hostname": windows.hostname},
        f"{services}\\disk": {"Start": 0, "Type": 1, "ImagePath": "system32\\drivers\\disk.sys"},
        f"{services}\\PartMgr": {"Start": 0, "Type": 1, "Group": "Boot Bus Extender"},
        f"{services}\\VolSnap": {"Start": 0, "Type": 1, "ImagePath": "\\SystemRoot\\system32\\drivers\\volsnap.sys"},
        f"{services}\\xenvbd": {"Start": 0, "Type": 1, "Group": "SCSI miniport"},
        f"{services}\\ena": {"Start": 3, "Type": 1, "Group": "NDIS", "ImagePath": "system32\\DRIVERS\\ena.sys"},
        f"{control}\\Class\\{DISK_CLASS}": {"Class": "DiskDrive", "UpperFilters": ["PartMgr"]},
        f"{control}\\Class\\{VOLUME_CLASS}": {"Class": "Volume", "UpperFilters": ["VolSnap"]},
        "MountedDevices": {
            "\\DosDevices\\C:": windows.place.mounted_device(),
            "\\DosDevices\\D:": "\\??\\IDE#CdRomNECVMWar_VMware_IDE_CDR10".encode("utf-16-le"),
        },
    }
    keys |= network_keys("ControlSet001")
    if is_old:
        del keys[f"{services}\\Tcpip6"]  # IPv6 is no part of it
        keys[f"{services}\\SharedAccess"] = {"Start": 2}
        for profile in ("DomainProfile", "StandardProfile"):
            keys[f"{policy}\\{profile}"] = {"EnableFirewall": 1, "DoNotAllowExceptions": 0}
            opened = {"3389:TCP": "3389:TCP:*:Enabled:@xpsp2res.dll,-22009"}
            keys[f"{policy}\\{profile}\\GloballyOpenPorts\\List"] = {**opened}
    else:
        keys[f"{control}\\MUI\\UILanguages\\{windows.language}"] = {"LCID": int(LCIDS[windows.language], 16)}
        keys[f"{services}\\MpsSvc"] = {"Start": 2}
        for profile in ("DomainProfile", "PublicProfile", "StandardProfile"):
            keys[f"{policy}\\{profile}"] = {"EnableFirewall": 1}
        keys[f"{policy}\\FirewallRules"] = {"RemoteDesktop-UserMode-In-TCP": REMOTE_DESKTOP_RULE}
    return hive(_with_changes(keys, windows, "SYSTEM"))


def _with_changes(keys: Keys, windows: Windows, hive_name: str) -> Keys:
    for change in windows.changes:
        if change.hive == hive_name:
            values = keys.setdefault(change.key, {})
            if change.value is None:
                values.pop(change.name, None)
            else:
                values[change.name] = change.value
    return keys


def bcd_store(entries: tuple[Entry, ...], place: Place, *, ems: bool = False) -> bytes:
    """Return a store whose first entry is the default one; `place` is where the boot manager lies.

    The menu waits 30 seconds. `ems` is set where Windows has it: in an object that others inherit from.
    """
    types = {
        "windows": 0x10200003,
        "recovery": 0x10200003,
        "memory-test": 0x10200005,
        "ntldr": 0x10300006,
        "boot-sector": 0x10400008,
    }
    keys: Keys = {"Description": {"KeyName": "BCD00000000"}}

    def element(identifier: str, number: str, data: str | bytes | list[str]) -> None:
        keys[f"Objects\\{identifier}\\Elements\\{number}"] = {"Element": data}

    def application(identifier: str, type_: int, title: str, where: bytes) -> None:
        keys[f"Objects\\{identifier}\\Description"] = {"Type": type_}
        element(identifier, "11000001", where)
        element(identifier, "12000004", title)

    application(BOOT_MANAGER, 0x10100002, "Windows Boot Manager", place.device_element())
    element(BOOT_MANAGER, "25000004", (30).to_bytes(8, "little"))
    keys[f"Objects\\{SETTINGS}\\Description"] = {"Type": 0x20200003}
    element(SETTINGS, "14000006", [EMS_SETTINGS, SETTINGS])
    keys[f"Objects\\{EMS_SETTINGS}\\Description"] = {"Type": 0x20100000}
    element(EMS_SETTINGS, "16000020", bytes([ems]))
    menu = [entry.identifier for entry in entries if not entry.hidden and entry.kind != "memory-test"]
    element(BOOT_MANAGER, "24000001", menu)
    if menu:
        element(BOOT_MANAGER, "23000003", menu[0])
    element(BOOT_MANAGER, "24000010", [entry.identifier for entry in entries if entry.kind == "memory-test"])
    for entry in entries:
        where = entry.place.device_element()
        if entry.kind == "recovery":  # a RAM disk from an image file on the partition
            path = "\\Recovery\\WindowsRE\\Winre.wim\0".encode("utf-16-le")
            source = struct.pack("<III", 1, 12 + len(where) - 16 + len(path), 5) + where[16:] + path
            where = bytes(16) + struct.pack("<IIIIIQQI", 0, 1, 36 + len(source), 0, 3, 0, 0, 0)[:40] + source
        application(entry.identifier, types[entry.kind], entry.title, where)
        if types[entry.kind] == 0x10200003:
            element(entry.identifier, "12000002", f"{entry.directory}\\system32\\winload.exe")
            element(entry.identifier, "21000001", where)
            element(entry.identifier, "22000002", entry.directory)
            element(entry.identifier, "26000022", bytes([entry.kind == "recovery"]))
            element(entry.identifier, "14000006", [SETTINGS])
        for number, data in entry.options:
            element(entry.identifier, number, data)
        if entry.recovery is not None:
            chosen = [one.identifier for one in entries if one.title == entry.recovery]
            element(entry.identifier, "14000008", chosen)
    return hive(keys)


def pe_file(architecture: Architecture) -> bytes:
    """Return a small PE executable that returns at once: headers and one section of code."""
    machine, is_wide = {"x86": (0x14C, False), "x86_64": (0x8664, True), "aarch64": (0xAA64, True)}[architecture]
    code = b"\xc0\x03\x5f\xd6" if architecture == "aarch64" else b"\x31\xc0\xc3\x90"
    optional = struct.pack("<HBBIIIII", 0x20B if is_wide else 0x10B, 14, 0, 512, 0, 0, 0x1000, 0x1000)
    optional += struct.pack("<Q", 0x140000000) if is_wide else struct.pack("<II", 0x2000, 0x400000)
    optional += struct.pack("<IIHHHHHHIIIIHH", 0x1000, 512, 6, 0, 0, 0, 6, 0, 0, 0x2000, 512, 0, 3, 0)
    optional += struct.pack("<QQQQ" if is_wide else "<IIII", 0x100000, 0x1000, 0x100000, 0x1000)
    optional += struct.pack("<II", 0, 16) + bytes(16 * 8)
    header = struct.pack("<HHIIIHH", machine, 1, 0, 0, 0, len(optional), 0x22 if is_wide else 0x102)
    section = struct.pack("<8sIIIIIIHHI", b".text", len(code), 0x1000, 512, 512, 0, 0, 0, 0, 0x60000020)
    stub = b"MZ".ljust(60, b"\0") + struct.pack("<I", 64)
    return (stub + b"PE\0\0" + header + optional + section).ljust(512, b"\0") + code.ljust(512, b"\0")


def windows_files(windows: Windows) -> dict[str, bytes]:
    """Return the files of an installation, by path on its volume."""
    system32 = f"/{windows.directory}/System32"
    files = {
        f"{system32}/config/SOFTWARE": software_hive(windows),
        f"{system32}/config/SYSTEM": system_hive(windows),
        f"{system32}/ntoskrnl.exe": pe_file(windows.architecture),
        f"{system32}/cmd.exe": pe_file(windows.architecture),
        f"{system32}/DriverStore/FileRepository/vxn65x64.inf_amd64_1234567890abcdef/vxn65x64.inf": b"[Version]\r\n",
    }
    files |= {f"{system32}/drivers/{name}.sys": pe_file(windows.architecture) for name in DRIVERS}
    if windows.bcd is not None:
        store = bcd_store(windows.bcd, windows.place)
        if windows.efi:
            files["/EFI/Microsoft/Boot/BCD"] = store
            files["/EFI/Microsoft/Boot/bootmgfw.efi"] = pe_file(windows.architecture)
        else:
            files["/Boot/BCD"] = store
            files["/bootmgr"] = b"\xeb\x3c\x90" + bytes(509)
    if windows.boot_ini is not None:
        files["/boot.ini"] = windows.boot_ini.encode("cp437")
        files["/ntldr"] = b"\xe9\xd5\x01" + bytes(509)
        files["/NTDETECT.COM"] = b"\xe9" + bytes(511)
    return {path: data for path, data in (files | dict(windows.files)).items() if path not in windows.lacks}


def ntfs_image(
    files: Mapping[str, bytes],
    *,
    size: int = 24 * MIB,
    start: int = MIB,
    label: str = "Windows",
    room: int = 0,
    reparse: Mapping[str, bytes] | None = None,
    streams: Mapping[str, bytes] | None = None,
) -> Path:
    """Return the path of an NTFS volume (not a whole disk) with these files; `start` is where its partition begins.

    With `room` it is enlarged to so many bytes after it was made: its log, which is never a hole, stays small. The file
    is in the cache: copy it before changing it. `reparse` is the reparse data of files: those are holes, as Windows
    leaves a file that it keeps elsewhere; `streams` are alternate ones, by path and name with a colon between.
    """
    recipe = hashlib.sha256(repr((size, start, label, room, reparse, streams, Path(__file__).read_bytes())).encode())
    for path in sorted(files):
        recipe.update(path.encode() + b"\0" + hashlib.sha256(files[path]).digest())
    stored = CACHE / f"ntfs-{recipe.hexdigest()[:16]}.img"
    if not stored.is_file():
        with _written(stored) as target, tempfile.TemporaryDirectory() as mounted:
            with target.open("wb") as image:
                image.truncate(size)
            geometry = ["-p", str(start // 512), "-s", "512", "-S", "63", "-H", "255"]
            _run(require_tool("mkntfs"), "-F", "-q", "-L", label, *geometry, str(target))
            if room:
                os.truncate(target, room)
                _run(require_tool("ntfsresize"), "-f", "-f", "-P", str(target))
                _run(require_tool("ntfsfix"), "-d", str(target))  # which does not ask for a check at the next start
            _run(require_tool("ntfs-3g"), "-o", "streams_interface=windows", str(target), mounted)
            try:
                for path, data in files.items():
                    file = Path(mounted) / path.lstrip("/")
                    file.parent.mkdir(parents=True, exist_ok=True)
                    file.write_bytes(data)
                for path, data in (streams or {}).items():
                    (Path(mounted) / path.lstrip("/")).write_bytes(data)
                for path, data in (reparse or {}).items():
                    file = Path(mounted) / path.lstrip("/")
                    length = file.stat().st_size
                    os.truncate(file, 0)
                    os.truncate(file, length)
                    os.setxattr(file, "system.ntfs_reparse_data", data)
            finally:
                _run(require_tool("fusermount"), "-u", mounted)
    return stored


def build_windows(windows: Windows = WINDOWS_2019, *, size: int = 24 * MIB) -> Path:
    """Return the path of an NTFS volume with a phony Windows, for a partition at `windows.place`."""
    return ntfs_image(windows_files(windows), size=size, start=windows.place.start)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


@contextmanager
def _written(stored: Path) -> Iterator[Path]:
    """Yield a path to write to, which then takes the place of `stored`: other test processes do the same."""
    stored.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=stored.parent) as folder:
        target = Path(folder) / stored.name
        yield target
        target.rename(stored)
