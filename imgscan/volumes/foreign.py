"""What ReFS, APFS, HFS+, VMFS, ZFS and Storage Spaces say of themselves; imgscan reads no files of them."""

from __future__ import annotations

from imgscan.devices.device import BlockDevice
from imgscan.layouts import foreign


def describe_refs(device: BlockDevice) -> dict[str, str]:
    """Return version, size and cluster size; the label is inside its trees."""
    header = foreign.parse_refs(device.read_at(0, foreign.REFS_BYTES))
    return {
        "version": header.version,
        "filesystem_size": str(header.size),
        "cluster_size": str(header.cluster_size),
        "serial": header.serial,
    }


def describe_apfs(device: BlockDevice) -> dict[str, str]:
    """Return what the container's superblock says."""
    header = foreign.parse_apfs(device.read_at(0, foreign.APFS_BYTES))
    return {
        "version": header.version,
        "container_size": str(header.size),
        "block_size": str(header.block_size),
    }


def describe_hfs(device: BlockDevice) -> dict[str, str]:
    """Return what the volume header of HFS+ says."""
    header = foreign.parse_hfs(device.read_at(foreign.HFS_AT, foreign.HFS_BYTES))
    return {
        "version": str(header.version),
        "filesystem_size": str(header.size),
        "free_bytes": str(header.free),
        "block_size": str(header.block_size),
        "journal": "yes" if header.has_journal else "no",
        "state": "clean" if header.is_clean else "not cleanly unmounted",
    }


def describe_vmfs(device: BlockDevice) -> dict[str, str]:
    """Return what the filesystem's header says; a member that is not the first of its volume has none."""
    if device.size < foreign.VMFS_AT + foreign.VMFS_BYTES:
        return {}
    header = foreign.parse_vmfs(device.read_at(foreign.VMFS_AT, foreign.VMFS_BYTES))
    if header is None:
        return {}
    return {
        "version": str(header.version),
        "volume_version": str(header.volume_version),
        "filesystem_uuid": header.identifier,
        "filesystem_label": header.label,
        "block_size": str(header.block_size),
    }


def describe_zfs(device: BlockDevice) -> dict[str, str]:
    """Return what the first label says of the pool and of this device's place in it."""
    pairs = foreign.parse_zfs_pairs(device.read_at(foreign.ZFS_PAIRS_AT, foreign.ZFS_PAIRS_BYTES))
    tree = pairs.get("vdev_tree")
    facts = {
        "pool": pairs.get("name"),
        "pool_version": pairs.get("version"),
        "pool_guid": pairs.get("pool_guid"),
        "transaction_group": pairs.get("txg"),
        "last_host": pairs.get("hostname"),
        "device_guid": pairs.get("guid"),
    }
    if isinstance(tree, dict):
        facts |= {
            "vdev": tree.get("type"),
            "vdev_path": tree.get("path"),
            "vdev_size": tree.get("asize"),
            "sector_shift": tree.get("ashift"),
        }
    states = {0: "active", 1: "exported", 2: "destroyed"}
    state = pairs.get("state")
    if isinstance(state, int):
        facts["state"] = states.get(state, str(state))
    return {key: str(value) for key, value in facts.items() if value is not None and not isinstance(value, dict)}


def describe_storage_spaces(device: BlockDevice) -> dict[str, str]:
    """Return the pool that a Storage Spaces partition belongs to."""
    pool = foreign.parse_storage_spaces(device.read_at(0, foreign.STORAGE_SPACES_BYTES))
    return {} if pool is None else {"pool": pool}
