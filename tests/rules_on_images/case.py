"""A case: a healthy machine and the same machine with one fault, and the outcome of every finding on both.

All expected outcomes stand in the recipes: `linux_outcomes` and `windows_outcomes` say what a healthy machine gives by
its image format, a case adds what its fault moves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from rules_on_images.machines import Make

MACHINE_RULES = (
    "unsupported-image-format",
    "damaged-image",
    "unclean-image",
    "encrypted-image",
    "encrypted-volume",
    "snapshot-present",
    "differencing-disk",
    "raw-device-mapping",
    "mixed-vhd-and-vhdx",
    "damaged-partition-table",
    "no-bootable-partition",
    "boot-disk-too-large",
    "efi-boot-unsupported",
    "efi-partition-present",
    "boot-disk-not-mbr",
    "boot-disk-converted-to-mbr",
    "generation-2-on-vhd",
    "dynamic-boot-disk",
    "dual-boot",
    "dirty-filesystem",
    "damaged-filesystem",
    "encrypted-volume",
)
LINUX_RULES = (
    "unsupported-operating-system",
    "unsupported-kernel",
    "unsupported-architecture",
    "unsupported-bootloader",
    "root-not-on-boot-disk",
    "unsupported-root-filesystem",
    "unsupported-data-filesystem",
    "rhel5-on-vhdx",
    "ssh-disabled",
    "firewall-blocks-ssh",
    "too-little-free-space",
    "too-few-free-inodes",
    "fstab-device-names",
    "fstab-invalid-entry",
    "fstab-unresolvable",
    "fstab-network-filesystems",
    "several-grub-configurations",
    "unresolvable-default-kernel",
    "unresolvable-root-device",
    "paravirtual-only-kernel",
    "custom-kernel",
    "unreadable-initramfs",
    "initramfs-rebuilt-on-import",
    "enhanced-networking-driver-missing",
    "static-ip-address",
    "dhcp-client-disabled",
    "multiple-network-interfaces",
    "ipv6-configured",
    "antivirus-enabled",
    "intrusion-detection-enabled",
    "snapshot-backup-software",
    "hibernated-system",
    "converted-from-physical",
    "file-changed-on-import",
)
WINDOWS_RULES = (
    "unsupported-operating-system",
    "unsupported-architecture",
    "client-not-us-english",
    "non-ascii-language-pack",
    "non-english-language-pack",
    "rdp-disabled",
    "firewall-blocks-rdp",
    "pagefile-not-fixed",
    "dotnet-missing",
    "hotfix-missing",
    "hibernated-system",
    "static-ip-address",
    "dhcp-client-disabled",
    "multiple-network-interfaces",
    "ipv6-configured",
    "driver-signing-enforced",
    "updates-pending",
    "enhanced-networking-driver-missing",
    "boot-drivers-changed-on-import",
    "converted-from-physical",
    "antivirus-enabled",
    "intrusion-detection-enabled",
    "snapshot-backup-software",
    "too-little-free-space",
    "gpt-boot-on-32-bit-windows",
    "root-not-on-boot-disk",
    "unsupported-boot-filesystem",
    "unsupported-data-filesystem",
)
ABOUT_LAYERS = ("incomplete-volume-group", "incomplete-data-volume-group", "degraded-array")
"""Rules about volume layers, which most of the machines here do not have."""
OF_OTHER_SYSTEMS = (
    "unsupported-kernel",
    "client-not-us-english",
    "non-english-language-pack",
    "hotfix-missing",
    "driver-signing-enforced",
)
"""Rules about other distributions than Debian, which the healthy Linux is, or than Windows Server 2019."""
OF_OTHER_FORMATS = {
    "vmdk": ("differencing-disk", "mixed-vhd-and-vhdx", "generation-2-on-vhd"),
    "vhd": ("snapshot-present",),
    "vhdx": ("snapshot-present",),
}
"""Rules about the other hypervisor's formats."""

Outcomes = dict[str, str]
"""Outcome by finding: the rule's name, and for one about a system ``rule/0`` with the system's number."""


class Moved(NamedTuple):
    """Another finding that the fault necessarily moves: to which outcome (None: there is none any more), and why."""

    outcome: str | None
    reason: str


@dataclass(frozen=True)
class Case:
    """`fault` says in words what is wrong; `expected` are the outcomes of the healthy machine.

    `finding` is the one that fails: the rule's name, or ``rule/0``. `moves` are the others that the fault moves.
    """

    finding: str
    fault: str
    healthy: Make
    faulty: Make
    expected: Outcomes
    readiness: Literal["not-ready", "undecided", "ready-with-warnings", "ready"] = "not-ready"
    moves: Mapping[str, Moved] = field(default_factory=dict)

    @property
    def rule(self) -> str:
        return self.finding.split("/", maxsplit=1)[0]

    @property
    def expected_of_faulty(self) -> Outcomes:
        found: dict[str, str | None] = {**self.expected, self.finding: "fail"}
        found |= {name: moved.outcome for name, moved in self.moves.items()}
        return {name: outcome for name, outcome in found.items() if outcome is not None}


def linux_outcomes(image_format: str, **others: str) -> Outcomes:
    """Return what a healthy Linux that boots by BIOS from one MBR disk gives; `others` by name with _ for -."""
    return _outcomes(image_format, LINUX_RULES, others)


def windows_outcomes(image_format: str, **others: str) -> Outcomes:
    """Return what a healthy Windows that boots by BIOS from one MBR disk gives."""
    return _outcomes(image_format, WINDOWS_RULES, others)


def windows_efi_outcomes(image_format: str, **others: str) -> Outcomes:
    """Return what a Windows gives that boots by EFI: its EFI system partition is not judged by itself."""
    by_efi = {"efi_partition_present": "not-applicable", "unsupported_data_filesystem": "not-applicable"}
    return _outcomes(image_format, WINDOWS_RULES, by_efi | others)


def _outcomes(image_format: str, system_rules: tuple[str, ...], others: Mapping[str, str]) -> Outcomes:
    found = dict.fromkeys(MACHINE_RULES, "pass")
    found["physical-origin-to-confirm"] = "manual"
    found |= dict.fromkeys((*OF_OTHER_FORMATS[image_format], *ABOUT_LAYERS), "not-applicable")
    found |= {f"{rule}/0": "pass" for rule in system_rules}
    found |= {f"{rule}/0": "not-applicable" for rule in system_rules if rule in OF_OTHER_SYSTEMS}
    for name, outcome in others.items():
        rule = name.replace("_", "-")
        found[f"{rule}/0" if rule in system_rules else rule] = outcome
    return found


NO_DATA_VOLUME = {"unsupported_data_filesystem": "not-applicable"}
"""For machines without a volume beside the root, but for swap."""
