"""How far imgscan follows what an image claims.

Every number from an image that sizes a read or a loop meets one of these.

Sizes in bytes. The container limits follow what QEMU accepts, which every known producer stays within.
"""

from __future__ import annotations

KIB, MIB, GIB, TIB = 1 << 10, 1 << 20, 1 << 30, 1 << 40

CHAIN_DEPTH = 64
"""Images in one chain of parents."""
EXTENTS = 16384
"""Extents of one VMDK descriptor (2 GiB each: 32 TiB)."""
DESCRIPTOR_BYTES = 1 * MIB
"""A VMDK descriptor."""
VIRTUAL_SIZE = 1 << 60
"""A virtual disk: larger is taken for damage."""
TABLE_PAGE_BYTES = 64 * KIB
"""How much of a BAT, grain table or L2 table is read at once."""
TABLE_CACHE_BYTES = 4 * MIB
"""Table pages kept for one image."""
GRAIN_BYTES = 64 * MIB
"""A compressed grain or cluster, inflated."""
LOG_BYTES = 256 * MIB
"""VHDX log entries that are replayed (the specification allows a log of up to 4 GiB)."""
LOGICAL_PARTITIONS = 256
"""Links of an extended-partition chain."""
GPT_ENTRIES = 4096
"""Entries of a GPT."""
SYMLINKS = 40
"""Symbolic links followed for one guest path, as Linux does."""
SYMLINK_BYTES = 64 * KIB
"""Target of a symbolic link; ext stores up to one block, NTFS reparse data up to 16 KiB."""
PATH_DEPTH = 128
"""Components of one guest path."""
DIRECTORY_ENTRIES = 1_000_000
"""Names in one guest directory."""
DIRECTORY_BYTES = 256 * MIB
"""Content of one guest directory."""
SEARCHED_BYTES = 64 * MIB
"""Directories of one ext filesystem searched for names, in all; the last ones are kept, others read again."""
GUEST_FILE_BYTES = 16 * MIB
"""A guest's configuration file."""
FILESYSTEMS = 100
"""Filesystems opened on one machine: TSK takes up to 2 MiB for each."""
SYSTEMS = 16
"""Installed systems of one machine."""
REGISTRY_DEPTH = 512
"""Keys below each other in a hive."""
REGISTRY_VALUE_BYTES = 16 * MIB
"""Data of one registry value."""
REGISTRY_SUBKEYS = 1_000_000
"""Keys directly below one key."""
REGISTRY_VALUES = 100_000
"""Values of one key."""
REGISTRY_CELLS = 4_000_000
"""Cells read from one hive: a SOFTWARE hive has a few hundred thousand keys, and a hostile one loops."""
REGISTRY_CACHE_PAGES = 256
"""Pages of 4 KiB kept of one hive."""
REGISTRY_LISTS = 8
"""Lists of subkeys' lists below each other; Windows writes one."""
REGISTRY_HIVE_BYTES = 1024 * MIB
"""A hive that is completed from its logs; Windows itself loads none larger than a part of its memory."""
REGISTRY_LOG_BYTES = 128 * MIB
"""A log of a hive."""
REGISTRY_LOG_ENTRIES = 100_000
"""Entries of one log of a hive."""
REGISTRY_HASHED_BYTES = 16 * MIB
"""Entries of a hive's logs that are checked to find the last one that was written whole."""
WINDOWS_SERVICES = 8192
"""Services and drivers of one Windows: a large one has a thousand."""
WINDOWS_DRIVER_NAMES = 50_000
"""Names in the folder of drivers, or in the driver store."""
BOOT_ENTRIES = 1000
"""Entries of one boot menu."""
BOOT_INI_BYTES = 64 * KIB
"""A boot.ini; NTLDR reads less."""
GRUB_CORE_BYTES = 2 * MIB
"""The core image of GRUB, as stored (the gap behind an MBR has 1 MiB)."""
GRUB_CORE_UNPACKED_BYTES = 16 * MIB
"""The core image of GRUB, unpacked."""
EFI_LOADERS = 256
"""Loaders looked at on one EFI system partition."""
EFI_DEPTH = 6
"""Folders below each other on an EFI system partition."""
EFI_ENTRIES = 4096
"""Names looked at on one EFI system partition."""
FREE_SPACE_BYTES = 4 * MIB
"""What a scan reads to count a volume's free space: an NTFS bitmap of 128 GiB at the usual cluster."""
LVM_TEXT_BYTES = 4 * MIB
"""One copy of a volume group's metadata: with LVM's own areas of 1 MiB it has at most half of that."""
LVM_TEXTS_BYTES = 256 * MIB
"""All copies of metadata on one machine, read."""
LVM_PARSED_BYTES = 16 * MIB
"""All different copies of metadata on one machine, parsed."""
LVM_TEXT_DEPTH = 8
"""Sections inside each other in it; LVM writes four."""
LVM_VOLUMES = 10_000
"""Logical volumes of one group, hidden ones too."""
LVM_SEGMENTS = 100_000
"""Segments of all logical volumes of one group."""
LVM_DEPTH = 24
"""Logical volumes below each other in one group: a thin volume on a cached RAID has six."""
SNAPSHOT_EXCEPTIONS = 1_000_000
"""Chunks that an old snapshot (a copy-on-write store) holds."""
THIN_DEPTH = 16
"""Nodes from the root of a thin pool's B+tree to a leaf."""
THIN_CACHE_NODES = 256
"""Nodes of 4 KiB kept of one thin pool."""
VOLUME_DEPTH = 16
"""Volume layers on top of each other: LVM on RAID on partitions has three."""
VOLUMES = 2048
"""Volumes of one machine, of all layers."""
BTRFS_CHUNKS = 1_000_000
"""Chunks of one Btrfs: 1 GiB each, as a rule."""
BTRFS_DEVICES = 1024
"""Devices of one Btrfs."""
BTRFS_NODE_CACHE_BYTES = 4 * MIB
"""Tree nodes kept of one Btrfs."""
BTRFS_SUBVOLUMES = 10_000
"""Subvolumes of one Btrfs that are listed: snapshots are kept by the hundred."""
