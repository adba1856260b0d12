"""Partition tables: BlockDevice -> PartitionTable."""
