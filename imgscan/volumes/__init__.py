"""Layers between partitions and filesystems (LVM, RAID, encryption): recognised by signature, not opened yet."""
