"""Batch: every machine of a storage share, each parsed by a worker of its own, with a ledger of what became of it.

::

    discovery -> identify (workers) -> grouping -> Plan -> engine -> workers -> ledger -> report over the share

The supervisor (everything here but `worker`) loads no parser: what is inside an image is read by `worker` alone, in a
process that can open no file.
"""
