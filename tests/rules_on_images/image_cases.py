"""Faults of image files, mostly on the demo export: a real Debian 12."""

from __future__ import annotations

import struct
import uuid
from pathlib import Path

from disk_builder import run, write_at
from rules_on_images.case import NO_DATA_VOLUME, Case, Moved, linux_outcomes
from rules_on_images.machines import Make, data_disk, debian, flip, image, one_disk, sparse_vmdk_grains
from vhd_images import Vhd
from vhdx_images import BAT, Vhdx, guid, log_entry, put_log, set_log_guid

DEBIAN_VMDK = linux_outcomes("vmdk", **NO_DATA_VOLUME)
DEBIAN_VHD = linux_outcomes("vhd", **NO_DATA_VOLUME)
DEBIAN_VHDX = linux_outcomes("vhdx", **NO_DATA_VOLUME)


def named(raw_format: str, name: str) -> Make:
    """Make the Debian in a format under a misleading file name."""

    def make(folder: Path) -> list[Path]:
        return [image(debian(), raw_format, folder).rename(folder / name)]

    return make


def spoil_vhd_footer(path: Path) -> None:
    """Change a byte of the checksum of the footer at the end; its copy at the start stays whole."""
    flip(path, path.stat().st_size - 512 + 64)


def cut_last_grain(path: Path) -> None:
    """Cut the file within the grain that stands last, as a broken copy does."""
    with path.open("r+b") as file:
        file.truncate(sparse_vmdk_grains(path)[-1] + 4096)


def spoil_vhdx_headers(path: Path) -> None:
    """Break the CRC of the one of the two headers that is not current, and nothing else."""
    data = path.read_bytes()[: 192 << 10]
    older = min((64 << 10, 128 << 10), key=lambda at: struct.unpack_from("<Q", data, at + 8)[0])
    flip(path, older + 4)


def leave_vmdk_open(path: Path) -> None:
    write_at(path, 72, b"\1")  # uncleanShutdown


def leave_vhd_saved(path: Path) -> None:
    """Set the footers' saved-state byte and their checksums."""
    for at in (0, path.stat().st_size - 512):
        footer = bytearray(_read(path, at, 512))
        assert footer.startswith(b"conectix")
        footer[84] = 1
        footer[64:68] = bytes(4)
        struct.pack_into(">I", footer, 64, ~sum(footer) & 0xFFFFFFFF)
        write_at(path, at, bytes(footer))


def leave_log_in_vhdx(path: Path) -> None:
    """Take the block allocation table's first page away and leave it in the log: only a replay shows the disk."""
    data = bytearray(path.read_bytes())
    log_length, log_offset = struct.unpack_from("<IQ", data, (64 << 10) + 68)
    (table,) = struct.unpack_from("<Q", data, data.index(guid(BAT), 192 << 10) + 16)
    page = bytes(data[table : table + 4096])
    assert any(page)
    data[table : table + 4096] = bytes(4096)
    put_log(data, [(0, log_entry(1, 0, [(table, page)], len(data)))], log_offset, log_length)
    set_log_guid(data)
    path.write_bytes(data)


def _read(path: Path, offset: int, length: int) -> bytes:
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(length)


def with_data_disk(data: Make) -> Make:
    """Make the Debian as a VMDK, and another disk."""
    return lambda folder: [image(debian(), "vmdk", folder), *data(folder)]


def flat_data(folder: Path) -> list[Path]:
    return [image(data_disk(), "vmdk-flat", folder, name="data")]


def encrypted_data(folder: Path) -> list[Path]:
    """The same disk with the line that VMware writes into an encrypted disk's descriptor."""
    (descriptor,) = flat_data(folder)
    line = b'encryption.keySafe = "vmware:key/list/(pair/(fqid/<VMWARE-NULL>/x/y,HMAC-SHA-256,AAAA))"\n'
    text = descriptor.read_bytes()
    assert b"\ncreateType" in text
    descriptor.write_bytes(text.replace(b"\ncreateType", b"\n" + line + b"createType", 1))
    return [descriptor]


def mapped_data(folder: Path) -> list[Path]:
    """A descriptor of a raw device mapping as ESXi writes it: the data is on the storage array."""
    sectors = data_disk().stat().st_size // 512
    descriptor = folder / "data.vmdk"
    descriptor.write_text(
        '# Disk DescriptorFile\nversion=1\nencoding="UTF-8"\nCID=fffffffe\nparentCID=ffffffff\n'
        'isNativeSnapshot="no"\ncreateType="vmfsRawDeviceMap"\n\n# Extent description\n'
        f'RW {sectors} VMFSRDM "data-rdm.vmdk"\n\n# The Disk Data Base\nddb.adapterType = "lsilogic"\n'
    )
    return [descriptor]


def vmdk_snapshot(folder: Path) -> list[Path]:
    """A delta made by qemu-img on top of the whole disk, which lies beside it."""
    base = image(debian(), "vmdk", folder, name="base")
    run("qemu-img", "create", "-q", "-f", "vmdk", "-b", base.name, "-F", "vmdk", folder / "delta.vmdk", cwd=folder)
    return [folder / "delta.vmdk"]


def differencing_vhdx(folder: Path) -> list[Path]:
    """A child without data of its own, whose locator names the whole disk beside it by its DataWriteGuid."""
    base = image(debian(), "vhdx", folder, name="base")
    headers = [_read(base, at, 4096) for at in (64 << 10, 128 << 10)]
    current = max(headers, key=lambda header: struct.unpack_from("<Q", header, 8)[0])
    linkage = f"{{{uuid.UUID(bytes_le=current[32:48])}}}"
    child = Vhdx(debian().stat().st_size, parent={"parent_linkage": linkage, "relative_path": ".\\base.vhdx"})
    (folder / "child.vhdx").write_bytes(child.build())
    return [folder / "child.vhdx"]


def differencing_vhd(folder: Path) -> list[Path]:
    """The same as VHD: unique identifier and time stamp are the parent's."""
    base = image(debian(), "vhd", folder, name="base")
    footer = _read(base, 0, 512)
    (timestamp,) = struct.unpack_from(">I", footer, 24)
    child = Vhd(
        debian().stat().st_size,
        unique_id=bytes(15) + b"\1",
        parent_id=footer[68:84],
        parent_timestamp=timestamp,
        parent_name="base.vhd",
        locators={b"W2ru": ".\\base.vhd".encode("utf-16-le")},
    )
    (folder / "child.vhd").write_bytes(child.build())
    return [folder / "child.vhd"]


def two_disks(first: str, second: str) -> Make:
    return lambda folder: [image(debian(), first, folder), image(data_disk(), second, folder, name="data")]


NOT_VMDK = Moved("not-applicable", "it asks about VMDK only, and the disk is none any more")
SECOND_DISK_UNREAD = {
    "damaged-image": Moved("unknown", "the second disk's data could not be checked"),
    "unclean-image": Moved("unknown", "the second disk was not opened, so whether it was closed is not known"),
    "damaged-partition-table": Moved("unknown", "the second disk's table could not be read"),
    "efi-partition-present": Moved("unknown", "an EFI system partition may be on the second disk"),
    "dirty-filesystem": Moved("unknown", "filesystems of the second disk could not be read"),
    "damaged-filesystem": Moved("unknown", "filesystems of the second disk could not be read"),
    "incomplete-volume-group": Moved("unknown", "the second disk may hold a part of a volume group"),
    "incomplete-data-volume-group": Moved("unknown", "the second disk may hold a part of a volume group"),
    "encrypted-volume": Moved("unknown", "a volume of the second disk may be encrypted"),
    "degraded-array": Moved("unknown", "the second disk may be a member of an array"),
}
"""What cannot be told of a disk that cannot be read."""

with_ext4_data = linux_outcomes("vmdk")

CASES = (
    Case(
        "unsupported-image-format",
        "qcow2",
        one_disk(debian),
        one_disk(debian, "qcow2"),
        DEBIAN_VMDK,
        moves={"snapshot-present": NOT_VMDK},
    ),
    Case(
        "unsupported-image-format",
        "a VDI that is called .vmdk, against a VMDK that is called .vdi",
        named("vmdk", "disk.vdi"),
        named("vdi", "disk.vmdk"),
        DEBIAN_VMDK,
        moves={"snapshot-present": NOT_VMDK},
    ),
    Case(
        "unsupported-image-format",
        "raw",
        one_disk(debian),
        lambda _: [debian()],
        DEBIAN_VMDK,
        moves={"snapshot-present": NOT_VMDK},
    ),
    Case(
        "damaged-image",
        "VHD whose footer fails its checksum, its copy is whole",
        one_disk(debian, "vhd"),
        one_disk(debian, "vhd", spoil_vhd_footer),
        DEBIAN_VHD,
    ),
    Case(
        "damaged-image",
        "VMDK cut within its last grain",
        one_disk(debian),
        one_disk(debian, "vmdk", cut_last_grain),
        DEBIAN_VMDK,
    ),
    Case(
        "damaged-image",
        "VHDX whose current header fails its checksum",
        one_disk(debian, "vhdx"),
        one_disk(debian, "vhdx", spoil_vhdx_headers),
        DEBIAN_VHDX,
    ),
    Case(
        "unclean-image",
        "VMDK not closed",
        one_disk(debian),
        one_disk(debian, "vmdk", leave_vmdk_open),
        DEBIAN_VMDK,
        "ready-with-warnings",
    ),
    Case(
        "unclean-image",
        "VHDX whose log is not empty",
        one_disk(debian, "vhdx"),
        one_disk(debian, "vhdx", leave_log_in_vhdx),
        DEBIAN_VHDX,
        "ready-with-warnings",
    ),
    Case(
        "unclean-image",
        "VHD of a saved machine",
        one_disk(debian, "vhd"),
        one_disk(debian, "vhd", leave_vhd_saved),
        DEBIAN_VHD,
        "ready-with-warnings",
    ),
    Case(
        "encrypted-image",
        "a data disk that VMware encrypted",
        with_data_disk(flat_data),
        with_data_disk(encrypted_data),
        with_ext4_data,
        moves=SECOND_DISK_UNREAD
        | {"unsupported-data-filesystem/0": Moved("not-applicable", "no data volume is left that can be asked")},
    ),
    Case(
        "snapshot-present",
        "a delta on its whole base",
        one_disk(debian),
        vmdk_snapshot,
        DEBIAN_VMDK,
        "ready-with-warnings",
    ),
    Case(
        "differencing-disk",
        "VHDX on its whole parent",
        one_disk(debian, "vhdx"),
        differencing_vhdx,
        DEBIAN_VHDX,
    ),
    Case(
        "differencing-disk",
        "VHD on its whole parent",
        one_disk(debian, "vhd"),
        differencing_vhd,
        DEBIAN_VHD,
    ),
    Case(
        "raw-device-mapping",
        "a data disk on the storage array",
        with_data_disk(flat_data),
        with_data_disk(mapped_data),
        with_ext4_data,
        moves=SECOND_DISK_UNREAD
        | {"unsupported-data-filesystem/0": Moved("unknown", "the data volume's type is on the storage array")},
    ),
    Case(
        "mixed-vhd-and-vhdx",
        "a VHDX data disk beside a VHD",
        two_disks("vhd", "vhd-fixed"),
        two_disks("vhd", "vhdx"),
        linux_outcomes("vhd"),
    ),
)
