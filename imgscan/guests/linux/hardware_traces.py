"""What an installed Linux still shows of the machine that it was installed on, or once ran on.

None of it proves a conversion: each trace is evidence, and the profile says how much it weighs. Sources: the comments
of udev's generated rules, modprobe.d(5), the logs of anaconda and of Debian's installer, IEEE's list of OUIs.
"""

from __future__ import annotations

from typing import Final

from imgscan.devices.guest_tree import GuestTree
from imgscan.devices.limits import KIB
from imgscan.errors import LimitExceeded
from imgscan.guests.linux.config_file import names_in, read_config
from imgscan.model.evidence import at_path
from imgscan.model.fact import Fact, known
from imgscan.model.network import InterfaceName
from imgscan.model.software import HardwareTrace, TraceKind
from imgscan.model.system import Mount
from imgscan.model.text import shown

LOG_BYTES: Final = 64 * KIB
"""The beginning of an installer's log, where the kernel names the machine."""
MODPROBE_BYTES: Final = 512 * KIB
"""All files of modprobe's configuration."""
TRACES: Final = 64
"""Traces of one kind that are kept."""
_LOGS: Final = ("/var/log/anaconda/syslog", "/var/log/anaconda.syslog", "/var/log/installer/syslog")
_HYPERVISORS: Final = (
    "vmware", "virtualbox", "innotek", "qemu", "kvm", "bochs", "xen", "virtual machine", "parallels", "google",
    "amazon ec2", "rhev", "ovirt", "openstack", "nutanix", "virtual platform", "bhyve", "hvm domu",
)  # fmt: skip
_VIRTUAL_CARDS: Final = ("00:0c:29", "00:50:56", "00:05:69", "00:1c:14", "00:15:5d", "00:16:3e", "52:54:00", "08:00:27",
                         "00:1c:42", "00:0d:3a", "00:22:48", "42:01:0a")  # fmt: skip
_DRIVERS: Final = frozenset(
    {
        "cciss", "hpsa", "cpqarray", "megaraid", "megaraid_mbox", "megaraid_sas", "aacraid", "3w-9xxx", "3w-xxxx",
        "3w-sas", "ips", "arcmsr", "mpt2sas", "mpt3sas", "qla2xxx", "lpfc", "bnx2", "bnx2x", "tg3", "be2net", "igb",
        "ixgbe", "i40e", "netxen_nic", "qlcnic",
    }
)  # fmt: skip
"""Drivers of controllers that no common hypervisor emulates."""
_TOOLS: Final[tuple[tuple[TraceKind, str, str], ...]] = (
    ("conversion-tool", "/var/log/virt-p2v", "a log of virt-p2v"),
    ("conversion-tool", "/var/log/virt-p2v.log", "a log of virt-p2v"),
    ("conversion-tool", "/var/log/mondorestore.log", "a log of Mondo Rescue, which restores a machine on another"),
    ("management-software", "/opt/dell/srvadmin", "Dell OpenManage"),
    ("management-software", "/opt/hp/hp-health", "HP's health agents"),
    ("management-software", "/opt/hp/hpssacli", "HP's array tools"),
    ("management-software", "/opt/smartstorageadmin", "HPE's array tools"),
    ("management-software", "/opt/MegaRAID", "the tools of LSI MegaRAID controllers"),
    ("management-software", "/opt/ibm/director", "IBM Director"),
    ("management-software", "/opt/fujitsu/ServerViewSuite", "Fujitsu ServerView"),
)


def read_hardware_traces(
    tree: GuestTree, mounts: Fact[tuple[Mount, ...]], names: Fact[tuple[InterfaceName, ...]]
) -> Fact[tuple[HardwareTrace, ...]]:
    """Return all traces; `mounts` and `names` are read before, and count as far as they are known.

    :raises ImageError: a file that may hold one cannot be read
    """
    found = [
        HardwareTrace(kind, text, place.evidence())
        for kind, path, text in _TOOLS
        if (place := tree.find(path)) is not None
    ]
    found += _from_logs(tree)
    found += _drivers(tree)
    for name in (names.get() if names.is_known else ())[:TRACES]:
        if name.driver in _DRIVERS:
            found.append(HardwareTrace("network-card", f"{name.name} was a {name.driver} card", name.evidence))
        elif name.driver is None and not _is_virtual(name.mac):
            found.append(HardwareTrace("network-card", f"{name.name} was the card {name.mac}", name.evidence))
    for mount in mounts.get() if mounts.is_known else ():
        if mount.source.startswith(("/dev/cciss/", "/dev/ida/")):
            where = at_path(tree.mounts["/"].volume, "/etc/fstab")
            text = f"fstab names {mount.source}, a disk of an HP array"
            found.append(HardwareTrace("disk-name", shown(text), where))
            break
    return known(tuple(found), at_path(tree.mounts["/"].volume, "/"))


def _from_logs(tree: GuestTree) -> list[HardwareTrace]:
    """Return which machine the installer ran on: the kernel's line `DMI: Dell Inc. PowerEdge R710/...`."""
    for path in _LOGS:
        place = tree.find(path)
        if place is None or place.entry.kind != "file":
            continue
        text = place.filesystem.read(place.entry.node, 0, LOG_BYTES).decode("utf-8", "replace")
        for number, line in enumerate(text.split("\n"), 1):
            machine = line.partition(" DMI: ")[2].strip()
            if machine:
                is_virtual = any(word in machine.lower() for word in _HYPERVISORS)
                kind: TraceKind = "virtual-at-installation" if is_virtual else "hardware-at-installation"
                return [HardwareTrace(kind, shown(f"it was installed on {machine[:80]}"), place.evidence(number))]
    return []


def _drivers(tree: GuestTree) -> list[HardwareTrace]:
    """Return the drivers of hardware that modprobe's configuration names as the system's own."""
    found: list[HardwareTrace] = []
    paths = ["/etc/modprobe.conf", *(f"/etc/modprobe.d/{name}" for name in names_in(tree, "/etc/modprobe.d"))]
    left = MODPROBE_BYTES
    for path in paths:
        if not path.endswith(".conf"):
            continue
        file = read_config(tree, path)
        left -= len(file.text) if file is not None else 0
        if left < 0:
            raise LimitExceeded(f"modprobe's configuration is larger than {MODPROBE_BYTES} bytes", where=path)
        for number, line in file.lines() if file is not None else ():
            words = line.split()
            if file is None or len(words) != 3 or words[0] != "alias" or words[2] not in _DRIVERS:
                continue
            if words[1].startswith(("scsi_hostadapter", "eth")) and len(found) < TRACES:
                found.append(HardwareTrace("driver", shown(f"{words[1]} is driven by {words[2]}"), file.at(number)))
    return found


def _is_virtual(mac: str) -> bool:
    """Whether a hypervisor gives such addresses: one of its own, or one that is administered locally."""
    mac = mac.lower().replace("-", ":")
    return mac.startswith(_VIRTUAL_CARDS) or mac[1:2] in {"2", "6", "a", "e"}
