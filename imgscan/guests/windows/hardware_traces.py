r"""What an installed Windows still shows of physical machines that it ran on.

None of it proves a conversion: each trace is evidence, and the profile says how much it weighs. Sources: the PCI SIG's
vendor ids (the last four digits of ``SUBSYS_``), Microsoft's "Standard PCI identifiers" and "SCSI identifiers" for the
keys below `Enum`; ``HardwareConfig`` (since Windows 8) as observed; services as the vendors' packages install them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import Final

from imgscan.devices.guest_tree import GuestTree
from imgscan.errors import ImageError
from imgscan.guests.windows.hives import HiveFile, SystemHive
from imgscan.guests.windows.registry import Key
from imgscan.guests.windows.services import BOOT, SERVICES, override_of
from imgscan.model.evidence import AtPath
from imgscan.model.fact import Fact, known, unread_because
from imgscan.model.software import HardwareTrace, TraceKind
from imgscan.model.text import shown

KEYS: Final = 1024
"""Keys of one kind (devices, cards, machines) that are looked at."""
_HYPERVISORS: Final = (
    *("vmware", "virtualbox", "innotek", "qemu", "kvm", "bochs", "xen", "virtual machine", "parallels", "google"),
    *("amazon ec2", "red hat", "rhev", "ovirt", "openstack", "nutanix", "virtual platform", "bhyve", "hvm domu"),
    *("cloud", "droplet", "vserver"),
)
_NO_CLOUD: Final = "cloudline"
"""Physical servers of HPE."""
_MAKERS: Final = {
    "1028": "Dell",
    "103C": "HP",
    "1590": "HPE",
    "0E11": "Compaq",
    "1014": "IBM",
    "17AA": "Lenovo",
    "1734": "Fujitsu",
    "10CF": "Fujitsu",
    "15D9": "Supermicro",
    "108E": "Sun",
    "1137": "Cisco",
    "1043": "ASUS",
    "1458": "Gigabyte",
    "1462": "MSI",
    "1025": "Acer",
    "144D": "Samsung",
    "1179": "Toshiba",
}
"""Makers of machines, by the PCI vendor id that their devices have as subsystem; no hypervisor emulates such."""
_SUBSYSTEM: Final = re.compile(r"SUBSYS_[0-9A-F]{4}([0-9A-F]{4})")
_DISK: Final = re.compile(r"Disk&Ven_([^&]+?)_*&Prod_([^&]*)", re.IGNORECASE)
_DISK_MODEL: Final = re.compile(
    r"Disk(?:&Ven_(?:ATA_*)?&Prod_)?((?:WDC[_ ]WD|WD\d{3,}|ST\d{3,}|Hitachi[_ ]H|HGST[_ ]H|SAMSUNG[_ ]|TOSHIBA[_ ]"
    r"|INTEL[_ ]SSD|Maxtor[_ ]|FUJITSU[_ ]M|KINGSTON[_ ]|Crucial[_ ]|CT\d{3,})[^&]*?)(?:__.*)?",
    re.IGNORECASE,
)
"""Disks of an IDE or AHCI controller, which are named by their model alone; hypervisors give names of their own."""
_DISK_MAKERS: Final = frozenset(
    (
        *("dell", "hp", "hpe", "compaq", "ibm", "lenovo", "lsi", "lsilogic", "megaraid", "adaptec", "3ware", "amcc"),
        *("promise", "areca", "fujitsu", "seagate", "wdc", "samsung", "toshiba", "hitachi", "hgst", "intel"),
    )
)
_CARDS: Final = re.compile(
    r"Broadcom|NetXtreme|\bHP NC\d|\bHPE? Ethernet|QLogic|Emulex|Marvell|Realtek PCIe|Atheros|Chelsio|Solarflare"
    r"|Wireless|Wi-?Fi|Intel\(R\) (?:I2\d\d|I3\d\d|X5\d\d|X7\d\d|825(?:66|67|75|76|77|78|79)|Ethernet Connection)",
    re.IGNORECASE,
)
"""Network cards that no common hypervisor emulates, by their descriptions."""
_DRIVERS: Final = (
    *("cpqcissm", "cpqarry2", "hpcisss", "hpcisss2", "hpcisss3", "hpsamd", "smartsamd", "mraid35x", "megasas"),
    *("megasas2", "megasas2i", "megasas35i", "megasr", "percsas2i", "percsas3i", "aarich", "arcsas", "adp94xx"),
    *("nfrd960", "iirsp", "3ware", "iastor", "iastora", "iastorac", "iastorav", "iastorv", "iastorvd", "b06bdrv"),
)
"""Drivers of disk controllers that no common hypervisor emulates."""
_SERVICES: Final[dict[str, tuple[TraceKind, str]]] = {
    "vmware-converter-agent": ("conversion-tool", "VMware Converter's agent"),
    "vmware-ufad-p2v": ("conversion-tool", "VMware Converter's agent"),
    "bmdrvr": ("conversion-tool", "VMware Converter's driver"),
    "MVMCP2VAgent": ("conversion-tool", "the agent of Microsoft Virtual Machine Converter"),
    "hpqilo2": ("management-software", "HP's driver for iLO"),
    "hpqilo3": ("management-software", "HP's driver for iLO"),
    "cpqrcmc": ("management-software", "HP ProLiant Remote Monitor"),
    "cpqrcmc3": ("management-software", "HP ProLiant Remote Monitor"),
    "CqMgHost": ("management-software", "HP Insight Management Agents"),
    "CqMgServ": ("management-software", "HP Insight Management Agents"),
    "CqMgStor": ("management-software", "HP Insight Management Agents"),
    "CpqNicMgmt": ("management-software", "HP Insight Management Agents"),
    "sysmgmthp": ("management-software", "HP System Management Homepage"),
    "ProLiantMonitor": ("management-software", "HP ProLiant Health Monitor"),
    "dcstor32": ("management-software", "Dell OpenManage"),
    "dcevt32": ("management-software", "Dell OpenManage"),
    "omsad": ("management-software", "Dell OpenManage"),
    "MSMFramework": ("management-software", "MegaRAID Storage Manager"),
    "MRMonitor": ("management-software", "MegaRAID Storage Manager"),
}
_PREFIX: Final = "vstor2-p2v"
"""How the services begin by which VMware Converter reads disks."""
_FILES: Final[tuple[tuple[str, str], ...]] = (
    ("/P2VTemp", "a folder of PlateSpin's conversion"),
    ("/PlateSpin Disk Signature Backup.ini", "a file of PlateSpin's conversion"),
)
_SYSTEM_INFORMATION: Final = "Control\\SystemInformation"


def read_hardware_traces(
    tree: GuestTree,
    software: HiveFile,
    system: SystemHive,
    channel: Fact[str | None],
) -> Fact[tuple[HardwareTrace, ...]]:
    """Return all traces; `channel`, which is read before, may be one."""
    if not channel.is_known:
        return Fact(unread=channel.unread, detail=channel.detail, evidence=channel.evidence)
    try:
        where = system.at(system.control("Enum"))
        found = [
            *_machines(system),
            *_devices(system),
            *_cards(software),
            *_services(system),
            *_converted(tree),
        ]
    except ImageError as error:
        return unread_because(error, AtPath(system.volume, system.path))
    if isinstance(channel.value, str) and channel.value.upper().startswith("OEM") and channel.evidence:
        text = f"its licence came with a machine ({channel.value})"
        found.append(HardwareTrace("oem-licence", text, channel.evidence[0]))
    return known(tuple(found), where)


def _machines(system: SystemHive) -> Iterator[HardwareTrace]:
    """Yield the machines that Windows ran on: all since Windows 8, else the last one.

    Where all of several years are known and none is physical, that speaks against a conversion.
    """
    history = system.key("HardwareConfig")
    keys = list(islice(history.subkeys(), KEYS)) if history is not None else []
    last = system.key(system.control(_SYSTEM_INFORMATION))
    is_virtual = False
    for key in (*keys, *([last] if last is not None else ())):
        maker, product = _text(key, "SystemManufacturer"), _text(key, "SystemProductName")
        if not maker:
            continue
        machine = f"{maker} {product}".strip()[:80]
        if any(word in machine.lower().replace(_NO_CLOUD, "") for word in _HYPERVISORS):
            is_virtual = is_virtual or key is not last
            continue
        text = shown(f"it ran on {machine}")
        yield HardwareTrace("hardware-at-installation", text, system.at(key.path, key.value("SystemManufacturer")))
        is_virtual = False
        break
    if is_virtual and history is not None:
        text = "all machines that it ran on are virtual"
        yield HardwareTrace("virtual-at-installation", text, system.at(history.path))


def _devices(system: SystemHive) -> Iterator[HardwareTrace]:
    """Yield the first device of each maker of machines, and disks that are no virtual ones."""
    makers: set[str] = set()
    path, names = _enumerated(system, "PCI")
    for name in names:
        subsystem = _SUBSYSTEM.search(name.upper())
        maker = _MAKERS.get(subsystem[1]) if subsystem is not None else None
        if maker is not None and maker not in makers:
            makers.add(maker)
            yield HardwareTrace("device", shown(f"it had a device of {maker} ({name})"), system.at(f"{path}\\{name}"))
    for bus in ("SCSI", "IDE"):
        path, names = _enumerated(system, bus)
        for name in names:
            disk = _disk(name)
            if disk is not None:
                text = shown(f"it had a disk {disk}".replace("_", " "))
                yield HardwareTrace("disk-name", text, system.at(f"{path}\\{name}"))
                return


def _disk(name: str) -> str | None:
    """Return maker and model of a disk that is no virtual one."""
    disk = _DISK.match(name)
    if disk is not None and disk[1].lower() in _DISK_MAKERS:
        return f"{disk[1]} {disk[2]}"
    model = _DISK_MODEL.fullmatch(name)
    return model[1] if model is not None else None


def _enumerated(system: SystemHive, bus: str) -> tuple[str, list[str]]:
    path = system.control(f"Enum\\{bus}")
    key = system.key(path)
    return path, [below.name for below in islice(key.subkeys(), KEYS)] if key is not None else []


def _cards(software: HiveFile) -> Iterator[HardwareTrace]:
    cards = software.key("Microsoft\\Windows NT\\CurrentVersion\\NetworkCards")
    for card in islice(cards.subkeys(), KEYS) if cards is not None else ():
        description = _text(card, "Description")
        if _CARDS.search(description):
            value = card.value("Description")
            yield HardwareTrace("network-card", shown(f"it had a {description[:80]}"), software.at(card.path, value))
            return


def _services(system: SystemHive) -> Iterator[HardwareTrace]:
    above = system.key(system.control(SERVICES))
    if above is None:
        return
    for name, (kind, product) in _SERVICES.items():
        service = above.subkey(name)
        if service is not None:
            yield HardwareTrace(kind, shown(f"{product} ({service.name})"), system.at(service.path))
    for name in _DRIVERS:
        service = above.subkey(name)
        if service is not None and _start(service) == BOOT:
            text = shown(f"it starts with {service.name}, a driver of disk controllers")
            yield HardwareTrace("driver", text, system.at(service.path, service.value("Start")))
    for service in islice(above.subkeys_from(_PREFIX, KEYS), 1):
        text = shown(f"VMware Converter's driver ({service.name})")
        yield HardwareTrace("conversion-tool", text, system.at(service.path))


def _converted(tree: GuestTree) -> Iterator[HardwareTrace]:
    for path, text in _FILES:
        place = tree.find(path)
        if place is not None:
            yield HardwareTrace("conversion-tool", text, place.evidence())


def _start(service: Key) -> int | None:
    """Return how a driver starts."""
    override = override_of(service)
    value = override[1] if override is not None else service.value("Start")
    return value.number() if value is not None else None


def _text(key: Key, name: str) -> str:
    value = key.value(name)
    return value.text().strip() if value is not None else ""
