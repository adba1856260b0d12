"""What is known of volumes that are not opened: as the tools that made them say, or as their headers were laid out."""

from __future__ import annotations

import json
import re
import struct
import subprocess
import uuid
from pathlib import Path

import pytest
from tools import require_tool, requires_tool
from windows_volumes import bitlocker, refs, storage_space

from imgscan.devices.memory import MemoryDevice
from imgscan.filesystems.signatures import identify
from imgscan.layouts.superblocks.firmware_raid import VENDORS
from imgscan.model.disk import Partition, PartitionTable
from imgscan.volumes.described import describe
from imgscan.volumes.ldm import describe_disk
from imgscan.volumes.raid_disks import look_at_end

MIB = 1 << 20


def cryptsetup(*arguments: str | Path, given: str = "") -> str:
    order = [require_tool("cryptsetup"), *map(str, arguments)]
    return subprocess.run(order, input=given, capture_output=True, text=True, check=True).stdout


def luks(path: Path, *options: str, mebibytes: int = 20) -> Path:
    with path.open("wb") as file:
        file.truncate(mebibytes * MIB)
    cryptsetup("luksFormat", "-q", *options, path, "-", given="secret")
    return path


def described(path: Path) -> dict[str, str]:
    device = MemoryDevice(path.read_bytes(), "disk0/p1")
    return describe(device, identify(device).content)


FAST = ("--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000")


@requires_tool("cryptsetup")
def test_luks1(tmp_path: Path) -> None:
    order = ("--type", "luks1", "--cipher", "aes-cbc-essiv:sha256", "--key-size", "256", "--hash", "sha512")
    path = luks(tmp_path / "volume", *order, "--pbkdf-force-iterations", "1000")
    said = cryptsetup("luksDump", path)
    facts = described(path)
    assert facts["luks_version"] == "1"
    cipher = re.search(r"Cipher name:\s*(\S+)\nCipher mode:\s*(\S+)\nHash spec:\s*(\S+)", said)
    assert cipher is not None
    assert facts["cipher"] == f"{cipher[1]}-{cipher[2]}"
    assert facts["key_derivation"] == f"pbkdf2 ({cipher[3]})"
    assert facts["key_bits"] == re.search(r"MK bits:\s*(\d+)", said)[1]  # type: ignore[index]
    assert facts["key_slots"] == ", ".join(re.findall(r"Key Slot (\d): ENABLED", said))
    assert int(facts["data_offset"]) == 512 * int(re.search(r"Payload offset:\s*(\d+)", said)[1])  # type: ignore[index]


@requires_tool("cryptsetup")
def test_luks2_with_tokens(tmp_path: Path) -> None:
    path = luks(tmp_path / "volume", "--type", "luks2", "--label", "lucky", "--sector-size", "4096", *FAST)
    protected = (
        "eyJhbGciOiJkaXIiLCJjbGV2aXMiOnsicGluIjoidHBtMiIsInRwbTIiOnsiaGFzaCI6InNoYTI1NiJ9fSwiZW5jIjoiQTI1NkdDTSJ9"
    )
    tokens = [
        {"type": "clevis", "keyslots": ["0"], "jwe": {"ciphertext": "x", "protected": protected, "tag": "y"}},
        {
            "type": "systemd-tpm2",
            "keyslots": ["0"],
            "tpm2-blob": "AA==",
            "tpm2-pcrs": [7, 11],
            "tpm2-pcr-bank": "sha256",
            "tpm2-primary-alg": "ecc",
            "tpm2-policy-hash": "00ff",
        },
        {"type": "something-of-ours", "keyslots": []},
    ]
    for token in tokens:
        cryptsetup("token", "import", path, given=json.dumps(token))
    facts = described(path)
    said = json.loads(cryptsetup("luksDump", "--dump-json-metadata", path))
    segment, slot = said["segments"]["0"], said["keyslots"]["0"]
    assert facts["luks_version"] == "2"
    assert facts["cipher"] == segment["encryption"]
    assert facts["sector_size"] == str(segment["sector_size"]) == "4096"
    assert facts["data_offset"] == segment["offset"]
    assert facts["key_bits"] == str(8 * slot["key_size"])
    assert facts["key_slots"] == ", ".join(said["keyslots"])
    assert facts["key_derivation"] == f"{slot['kdf']['type']} ({slot['kdf']['hash']})"
    assert facts["tokens"] == ("clevis tpm2 (key slot 0), systemd-tpm2 PCR 7+11 (key slot 0), something-of-ours")
    assert "damaged_headers" not in facts


@requires_tool("cryptsetup")
def test_luks2_argon2(tmp_path: Path) -> None:
    path = luks(
        tmp_path / "volume",
        "--type",
        "luks2",
        "--pbkdf",
        "argon2id",
        "--pbkdf-memory",
        "64",
        "--pbkdf-force-iterations",
        "4",
    )
    assert described(path)["key_derivation"] == "argon2id"


@requires_tool("cryptsetup")
def test_luks2_damaged_headers(tmp_path: Path) -> None:
    path = luks(tmp_path / "volume", "--type", "luks2", *FAST)
    whole = path.read_bytes()
    wanted = described(path)
    broken = bytearray(whole)
    broken[4096 + 5] ^= 0xFF  # in the JSON area of the first header
    path.write_bytes(broken)
    facts = described(path)
    assert {**facts, "damaged_headers": ""} == {**wanted, "damaged_headers": ""}
    assert facts["damaged_headers"].startswith("primary")
    gone = bytes(4096) + whole[4096:]
    device = MemoryDevice(gone, "disk0/p1")
    facts = describe(device, "crypto_LUKS")
    assert facts["damaged_headers"] == "primary (missing)"
    both = bytearray(gone)
    both[16384:20480] = bytes(4096)
    assert "description_error" in describe(MemoryDevice(bytes(both), "disk0/p1"), "crypto_LUKS")


@pytest.mark.parametrize(
    "area",
    [b"", b"{", b"[" * 12000, b'{"keyslots": 5}', b'{"tokens": {"0": {"type": 7}}}', b"\xff\xfe", b'{"a":' * 2000],
)
def test_luks2_with_json_that_cannot_be(area: bytes) -> None:
    import hashlib

    head = bytearray(4096)
    head[:8] = b"LUKS\xba\xbe\0\2"
    struct.pack_into(">QQ", head, 8, 16384, 1)
    head[72:78] = b"sha256"
    body = area.ljust(16384 - 4096, b"\0")
    head[448:480] = hashlib.sha256(bytes(head) + body).digest()
    facts = describe(MemoryDevice(bytes(head) + body + bytes(MIB), "disk0/p1"), "crypto_LUKS")
    assert "JSON" in facts["description_error"]


@requires_tool("cryptsetup")
@pytest.mark.parametrize("protectors", [(0x0100, 0x0800), (0x2000,), (0x0000, 0x0100)])
def test_bitlocker_as_cryptsetup_reads_it(tmp_path: Path, protectors: tuple[int, ...]) -> None:
    path = tmp_path / "volume"
    path.write_bytes(bitlocker(*protectors))
    facts = described(path)
    said = cryptsetup("bitlkDump", path)
    assert str(uuid.UUID(int=9)) == facts["identifier"]
    assert facts["identifier"] in said
    assert re.search(r"Description:\s*(.*)", said)[1].strip() == facts["description"]  # type: ignore[index]
    assert re.search(r"Cipher name:\s*(\S+)\nCipher mode:\s*(\S+)", said)
    assert facts["cipher"] == "aes-xts-128"
    names = {"VMK protected with clear key": "clear key", "VMK protected with TPM": "TPM"}
    names |= {
        "VMK protected with recovery passphrase": "recovery password",
        "VMK protected with passphrase": "password",
    }
    assert [names[text] for text in re.findall(r"Protection:\s*(VMK protected with .*)", said)] == facts[
        "protectors"
    ].split(", ")


def test_bitlocker_suspended_converting_and_to_go() -> None:
    def facts(data: bytes) -> dict[str, str]:
        device = MemoryDevice(data, "disk0/p1")
        assert identify(device).content == "BitLocker"
        return describe(device, "BitLocker")

    plain = facts(bitlocker(0x0100, 0x0800))
    assert (plain["bitlocker_version"], plain["protection"], plain["state"]) == (
        "Windows 7 or later",
        "on",
        "encrypted",
    )
    assert plain["volume_size"] == plain["encrypted_bytes"] == str(8 * MIB)
    assert facts(bitlocker(0x0000, 0x0100))["protection"] == "suspended"
    assert facts(bitlocker(0x0100, state=2))["state"] == "converting, then encrypted"
    assert facts(bitlocker(0x2000, to_go=True))["bitlocker_version"] == "BitLocker To Go"
    broken = bytearray(bitlocker(0x0100))
    broken[MIB : MIB + 8] = bytes(8)
    assert facts(bytes(broken))["damaged_blocks"] == "1"
    for place in (2 * MIB, 3 * MIB):
        broken[place : place + 8] = bytes(8)
    assert "description_error" in facts(bytes(broken))


def test_dynamic_disk() -> None:
    head = bytearray(512)
    head[:8] = b"PRIVHEAD"
    struct.pack_into(">HH", head, 12, 2, 12)
    texts = {48: "11111111-0000-0000-0000-000000000001", 112: "22222222-0000-0000-0000-000000000002"}
    texts |= {176: "33333333-0000-0000-0000-000000000003", 240: "WIN-Dg0"}
    for at, text in texts.items():
        head[at : at + len(text)] = text.encode()
    struct.pack_into(">QQ", head, 283, 63, 20000)
    disk = bytearray(16 * MIB)
    disk[3072:3584] = head
    whole = Partition("disk0/p1", 1, 63 * 512, 10 * MIB, "0x42", active=False, label=None)
    facts = describe_disk(MemoryDevice(bytes(disk), "disk0"), PartitionTable(scheme="mbr", partitions=(whole,)))
    assert facts["disk_group"] == "WIN-Dg0"
    assert facts["disk_group_guid"] == texts[176]
    assert facts["dynamic_disk"] == "2.12"
    plain = Partition("disk0/p1", 1, 63 * 512, 10 * MIB, "0x07", active=False, label=None)
    assert describe_disk(MemoryDevice(bytes(disk), "disk0"), PartitionTable(scheme="mbr", partitions=(plain,))) == {}
    meta = Partition("disk0/p1", 1, MIB, MIB, "5808c8aa-7e8f-42e0-85d2-e1e90434cfb3", active=False, label=None)
    disk[2 * MIB - 512 : 2 * MIB] = head
    found = describe_disk(MemoryDevice(bytes(disk), "disk0"), PartitionTable(scheme="gpt", partitions=(meta,)))
    assert found == facts


def xdr(name: str, value: int | str | bytes) -> bytes:
    label = struct.pack(">I", len(name)) + name.encode().ljust(-(-len(name) // 4) * 4, b"\0")
    if isinstance(value, int):
        body = struct.pack(">IIQ", 8, 1, value)
    elif isinstance(value, str):
        body = struct.pack(">III", 9, 1, len(value)) + value.encode().ljust(-(-len(value) // 4) * 4, b"\0")
    else:
        body = struct.pack(">II", 19, 1) + value
    return struct.pack(">II", 8 + len(label) + len(body), 64) + label + body


def pairs(*items: tuple[str, int | str | bytes]) -> bytes:
    return struct.pack(">II", 0, 1) + b"".join(xdr(name, value) for name, value in items) + bytes(8)


def test_zfs_label() -> None:
    tree = pairs(("type", "disk"), ("guid", 7), ("path", "/dev/sda1"), ("ashift", 12), ("asize", 60 * MIB))
    label = b"\1\1\0\0" + pairs(
        ("version", 5000),
        ("name", "tank"),
        ("state", 0),
        ("txg", 4),
        ("pool_guid", 99),
        ("hostname", "box"),
        ("guid", 7),
        ("vdev_tree", tree),
    )
    volume = bytearray(64 * MIB)
    volume[16384 : 16384 + len(label)] = label
    for slot in range(4):
        struct.pack_into("<QQ", volume, 128 * 1024 + 1024 * slot, 0x00BAB10C, 5000)
    device = MemoryDevice(bytes(volume), "disk0/p1")
    facts = describe(device, identify(device).content)
    assert facts["pool"] == "tank"
    assert facts["pool_version"] == "5000"
    assert facts["last_host"] == "box"
    assert facts["state"] == "active"
    assert (facts["vdev"], facts["vdev_path"], facts["sector_shift"]) == ("disk", "/dev/sda1", "12")
    nested = tree
    for _ in range(200):
        nested = pairs(("vdev_tree", nested))
    volume[16384 : 16384 + 60000] = (b"\1\1\0\0" + nested)[:60000].ljust(60000, b"\0")
    describe(MemoryDevice(bytes(volume), "disk0/p1"), "zfs_member")


def test_refs_apfs_hfs_vmfs_and_storage_spaces() -> None:
    volume = MemoryDevice(refs(MIB))
    assert describe(volume, "ReFS")["version"] == "3.4"
    assert describe(volume, "ReFS")["filesystem_size"] == str(MIB)
    apfs = bytearray(MIB)
    apfs[32:36] = b"NXSB"
    struct.pack_into("<IQ", apfs, 36, 4096, 256)
    struct.pack_into("<Q", apfs, 64, 2)
    assert describe(MemoryDevice(bytes(apfs)), identify(MemoryDevice(bytes(apfs))).content) == {
        "version": "2",
        "container_size": str(MIB),
        "block_size": "4096",
    }
    hfs = bytearray(MIB)
    struct.pack_into(">2sHI", hfs, 1024, b"H+", 4, 1 << 8 | 1 << 13)
    struct.pack_into(">3I", hfs, 1064, 4096, 256, 100)
    facts = describe(MemoryDevice(bytes(hfs)), identify(MemoryDevice(bytes(hfs))).content)
    assert (facts["free_bytes"], facts["journal"], facts["state"]) == ("409600", "yes", "clean")
    vmfs = bytearray(4 * MIB)
    vmfs[MIB : MIB + 4] = b"\x0d\xd0\x01\xc0"
    struct.pack_into("<IIB", vmfs, 2 * MIB, 0x2FABF15E, 14, 81)
    vmfs[2 * MIB + 29 : 2 * MIB + 39] = b"datastore1"
    struct.pack_into("<Q", vmfs, 2 * MIB + 161, MIB)
    facts = describe(MemoryDevice(bytes(vmfs)), identify(MemoryDevice(bytes(vmfs))).content)
    assert (facts["filesystem_label"], facts["version"], facts["block_size"]) == ("datastore1", "81", str(MIB))
    pool = storage_space()
    assert identify(MemoryDevice(pool)).content == "storage_spaces"
    assert describe(MemoryDevice(pool), "storage_spaces") == {"pool": str(uuid.UUID(int=77))}
    assert describe(MemoryDevice(pool), "ext4") == {}


def blkid(path: Path) -> str | None:
    order = [require_tool("blkid"), "-p", "-o", "value", "-s", "TYPE", str(path)]
    return subprocess.run(order, capture_output=True, text=True, check=False).stdout.strip() or None


def _silicon() -> bytes:
    sector = bytearray(512)
    sector[0x60:0x64] = b"\0\0\0\x2f"
    sector[0x116] = 1
    struct.pack_into("<H", sector, 0x13E, -sum(struct.unpack_from("<159H", sector)) & 0xFFFF)
    return bytes(sector)


def _via() -> bytes:
    sector = bytearray(b"\x55\xaa\x01abcdefg".ljust(512, b"\0"))
    sector[50] = sum(sector[:50]) & 0xFF
    return bytes(sector)


FIRMWARE = {
    "isw_raid_member": (2, b"Intel Raid ISM Cfg Sig. 1.1.00"),
    "lsi_mega_raid_member": (1, b"$XIDE$"),
    "via_raid_member": (1, _via()),
    "silicon_medley_raid_member": (1, _silicon()),
    "hpt45x_raid_member": (11, b"\xf3\x16\x78\x5a"),
    "adaptec_raid_member": (1, b"\x37\xfc\x4d\x1e" + bytes(252) + b"DPTM"),
    "promise_fasttrack_raid_member": (735, b"Promise Technology, Inc."),
    "jmicron_raid_member": (1, b"JM\1\2"),
    "hpt37x_raid_member": (None, b"\xf0\x16\x78\x5a"),
}


@requires_tool("blkid")
@pytest.mark.parametrize("name", FIRMWARE)
def test_firmware_raid_is_named_as_blkid_does(tmp_path: Path, name: str) -> None:
    back, metadata = FIRMWARE[name]
    disk = bytearray(4 * MIB)
    at = 4608 + 32 if back is None else len(disk) - 512 * back
    disk[at : at + len(metadata)] = metadata
    path = tmp_path / "disk"
    path.write_bytes(disk)
    device = MemoryDevice(bytes(disk), "disk0")
    assert identify(device).content == name == blkid(path)
    assert describe(device, name) == {"firmware_raid": VENDORS[name]}
    found = look_at_end(device, PartitionTable(scheme="mbr"))
    assert not found.is_array_member
    elsewhere = {"promise_fasttrack_raid_member", "jmicron_raid_member", "hpt37x_raid_member"}
    assert (found.firmware is None) == (name in elsewhere)
