"""The GUID partition table: header and entries.

UEFI specification section 5.3.2 (header), 5.3.3 (entry). Read with `struct`: it is on the way of every scan.
"""

from __future__ import annotations

import struct
import zlib

import msgspec

from imgscan.devices.limits import GPT_ENTRIES

SIGNATURE = b"EFI PART"
HEADER_BYTES = 92
LEGACY_BOOT_ATTRIBUTE = 1 << 2
NO_TYPE = "00000000-0000-0000-0000-000000000000"
EFI_SYSTEM = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
BIOS_BOOT = "21686148-6449-6e6f-744e-656564454649"


class GptHeader(msgspec.Struct, frozen=True):
    """A header as stored; addresses in logical sectors (LBA). `checksum_good` is about the header alone."""

    my_lba: int
    alternate_lba: int
    first_usable: int
    last_usable: int
    disk_guid: str
    entries_lba: int
    entry_count: int
    entry_size: int
    entries_checksum: int
    checksum_good: bool
    flaw: str
    """What contradicts the specification, empty when nothing does. With a flaw the entries must not be read."""

    @property
    def usable(self) -> tuple[int, int]:
        """The first and the last address that a partition may have."""
        return self.first_usable, self.last_usable


class GptEntry(msgspec.Struct, frozen=True):
    """An entry; `first` and `last` in logical sectors, both inclusive."""

    type: str
    guid: str
    first: int
    last: int
    attributes: int
    name: str


def parse_header(sector: bytes) -> GptHeader | None:
    """Return the header at the start of a whole logical sector, None when its signature is not there."""
    if not sector.startswith(SIGNATURE) or len(sector) < HEADER_BYTES:
        return None
    size, checksum = struct.unpack_from("<II", sector, 12)
    my_lba, alternate, first, last = struct.unpack_from("<QQQQ", sector, 24)
    entries_lba, count, entry_size, entries_checksum = struct.unpack_from("<QIII", sector, 72)
    good = HEADER_BYTES <= size <= len(sector) and checksum == zlib.crc32(sector[:16] + bytes(4) + sector[20:size])
    if not HEADER_BYTES <= size <= len(sector):
        flaw = f"the header size {size} is not between {HEADER_BYTES} and the sector's {len(sector)}"
    elif not 0 < count <= GPT_ENTRIES:
        flaw = f"it claims {count} entries; imgscan follows at most {GPT_ENTRIES}"
    elif not 128 <= entry_size <= 4096 or entry_size % 128:
        flaw = f"the entry size {entry_size} is not a multiple of 128 up to 4096"
    elif first > last:
        flaw = f"the first usable sector {first} lies behind the last, {last}"
    else:
        flaw = ""
    return GptHeader(
        my_lba,
        alternate,
        first,
        last,
        guid_text(sector[56:72]),
        entries_lba,
        count,
        entry_size,
        entries_checksum,
        good,
        flaw,
    )


def parse_entries(array: bytes, entry_size: int) -> list[tuple[int, GptEntry]]:
    """Return ``(number, entry)`` of the used entries; numbers count from 1."""
    found = []
    for index in range(len(array) // entry_size):
        at = index * entry_size
        if not any(array[at : at + 16]):
            continue
        first, last, attributes = struct.unpack_from("<QQQ", array, at + 32)
        name = array[at + 56 : at + 128].decode("utf-16-le", "surrogatepass").split("\0", 1)[0]
        entry = GptEntry(
            guid_text(array[at : at + 16]), guid_text(array[at + 16 : at + 32]), first, last, attributes, name
        )
        found.append((index + 1, entry))
    return found


def guid_text(raw: bytes) -> str:
    """Return 16 bytes of a mixed-endian GUID as lower-case text."""
    first, second, third = struct.unpack_from("<IHH", raw)
    return f"{first:08x}-{second:04x}-{third:04x}-{raw[8:10].hex()}-{raw[10:16].hex()}"


TYPE_NAMES = {
    EFI_SYSTEM: "EFI system",
    BIOS_BOOT: "BIOS boot",
    "024dee41-33e7-11d3-9d69-0008c781f39f": "MBR partition scheme",
    "9e1a2d38-c612-4316-aa26-8b49521e5a8b": "PowerPC PReP boot",
    "e3c9e316-0b5c-4db8-817d-f92df00215ae": "Microsoft reserved",
    "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7": "Microsoft basic data",
    "5808c8aa-7e8f-42e0-85d2-e1e90434cfb3": "Windows LDM metadata",
    "af9b60a0-1431-4f62-bc68-3311714a69ad": "Windows LDM data",
    "de94bba4-06d1-4d40-a16a-bfd50179d6ac": "Windows recovery",
    "e75caf8f-f680-4cee-afa3-b001e56efc2d": "Windows Storage Spaces",
    "37affc90-ef7d-4e96-91c3-2d7ae055b174": "IBM GPFS",
    "0fc63daf-8483-4772-8e79-3d69d8477de4": "Linux filesystem",
    "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f": "Linux swap",
    "3b8f8425-20e0-4f3b-907f-1a25a76f98e8": "Linux server data",
    "44479540-f297-41b2-9af7-d131d5f0458a": "Linux root (x86)",
    "4f68bce3-e8cd-4db1-96e7-fbcaf984b709": "Linux root (x86-64)",
    "69dad710-2ce4-4e3c-b16c-21a1d49abed3": "Linux root (ARM)",
    "b921b045-1df0-41c3-af44-4c6f280d3fae": "Linux root (ARM64)",
    "72ec70a6-cf74-40e6-bd49-4bda08e8f224": "Linux root (RISC-V 64)",
    "8da63339-0007-60c0-c436-083ac8230908": "Linux reserved",
    "933ac7e1-2eb4-4f13-b844-0e14e2aef915": "Linux home",
    "a19d880f-05fc-4d3b-a006-743f0f84911e": "Linux RAID",
    "e6d6d379-f507-44c2-a23c-238f2a3df928": "Linux LVM",
    "4d21b016-b534-45c2-a9fb-5c16e091fd2d": "Linux variable data",
    "7ec6f557-3bc5-4aca-b293-16ef5df639d1": "Linux temporary data",
    "8484680c-9521-48c6-9c11-b0720656f69e": "Linux /usr (x86-64)",
    "b0e01050-ee5f-4390-949a-9101b17104e9": "Linux /usr (ARM64)",
    "bc13c2ff-59e6-4262-a352-b275fd6f7172": "Linux extended boot",
    "ca7d7ccb-63ed-4c53-861c-1742536059cc": "Linux LUKS",
    "7ffec5c9-2d00-49b7-8941-3ea10a5586b7": "Linux plain dm-crypt",
    "83bd6b9d-7f41-11dc-be0b-001560b84f0f": "FreeBSD boot",
    "516e7cb4-6ecf-11d6-8ff8-00022d09712b": "FreeBSD data",
    "516e7cb5-6ecf-11d6-8ff8-00022d09712b": "FreeBSD swap",
    "516e7cb6-6ecf-11d6-8ff8-00022d09712b": "FreeBSD UFS",
    "516e7cba-6ecf-11d6-8ff8-00022d09712b": "FreeBSD ZFS",
    "49f48d32-b10e-11dc-b99b-0019d1879648": "NetBSD swap",
    "49f48d5a-b10e-11dc-b99b-0019d1879648": "NetBSD FFS",
    "824cc7a0-36a8-11e3-890a-952519ad3f61": "OpenBSD data",
    "48465300-0000-11aa-aa11-00306543ecac": "Apple HFS+",
    "7c3457ef-0000-11aa-aa11-00306543ecac": "Apple APFS",
    "426f6f74-0000-11aa-aa11-00306543ecac": "Apple boot",
    "6a898cc3-1dd2-11b2-99a6-080020736631": "Solaris /usr or ZFS",
    "6a945a3b-1dd2-11b2-99a6-080020736631": "Solaris reserved",
    "fe3a2a5d-4f32-41a7-b725-accc3285a309": "ChromeOS kernel",
    "3cb8e202-3b7e-47dd-8a3c-7ff2a13cfcec": "ChromeOS root",
    "aa31e02a-400f-11db-9590-000c2911d1b8": "VMware VMFS",
    "9d275380-40ad-11db-bf97-000c2911d1b8": "VMware diagnostic",
    "381cfccc-7288-11e0-92ee-000c2911d0b2": "VMware vSAN",
    "9198effc-31c0-11db-8f78-000c2911d1b8": "VMware reserved",
}
"""Usual names of partition types."""
