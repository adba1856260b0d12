"""Costly groups of facts: read when a rule of a chosen profile needs them, or when they are asked for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, get_args

Group = Literal["kernel-package", "initramfs", "packages"]
GROUPS: Final[tuple[Group, ...]] = get_args(Group)
FACTS: Final[dict[str, Group]] = {
    "systems.kernel_package": "kernel-package",
    "systems.initramfs": "initramfs",
    "systems.kernel_drivers": "initramfs",
    "systems.packages": "packages",
}
"""The facts of each group, as rules name what they read."""
OF_OWN_PROFILES: Final[dict[str, frozenset[Group]]] = {"aws-sms": frozenset({"kernel-package", "initramfs"})}
"""What the profiles that come with imgscan need: reading starts before they are loaded."""
USUAL: Final[frozenset[Group]] = frozenset().union(*OF_OWN_PROFILES.values())
"""What any of them needs."""


def groups_of(reads: Iterable[str]) -> frozenset[Group]:
    """Return the groups that facts belong to, named as rules name what they read."""
    return frozenset(FACTS[name] for name in reads if name in FACTS)
