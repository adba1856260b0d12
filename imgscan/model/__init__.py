"""Frozen values without I/O: the vocabulary that readers write and rules read.

Read `fact` first, then `machine`.
"""
