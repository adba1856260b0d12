"""Whole machines of each family of Linux distributions, made of text files as that family writes them.

They are made after documentation and the distributions' own packages, not seen on a real system: those are in
tests/system_trees.py. One module for each family; `FAMILIES` in table.py has all of them.
"""
