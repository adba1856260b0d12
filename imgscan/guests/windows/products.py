"""Products that start with a Windows and get in the way of a migration, told by their services and drivers."""

from __future__ import annotations

from typing import Final

from imgscan.errors import ImageError
from imgscan.guests.windows.hives import SystemHive
from imgscan.guests.windows.services import MANUAL, those_that_start
from imgscan.model.evidence import AtPath, Evidence
from imgscan.model.fact import Fact, known, unread, unread_because
from imgscan.model.software import ProductKind, StartingProduct
from imgscan.model.windows import BootDriver

_SERVICES: Final[dict[ProductKind, dict[str, str]]] = {
    "antivirus": {
        "WinDefend": "Windows Defender",
        "MsMpSvc": "Microsoft Security Essentials",
        "Sense": "Microsoft Defender for Endpoint",
        "McShield": "McAfee VirusScan",
        "mfemms": "McAfee Endpoint Security",
        "masvc": "McAfee Agent",
        "SepMasterService": "Symantec Endpoint Protection",
        "Symantec AntiVirus": "Symantec AntiVirus",
        "Norton AntiVirus Server": "Norton AntiVirus",
        "NIS": "Norton Internet Security",
        "SAVService": "Sophos Anti-Virus",
        "Sophos Endpoint Defense Service": "Sophos Endpoint",
        "ntrtscan": "Trend Micro OfficeScan",
        "TmListen": "Trend Micro OfficeScan",
        "Amsp": "Trend Micro",
        "ds_agent": "Trend Micro Deep Security",
        "AVP": "Kaspersky",
        "kavfs": "Kaspersky",
        "klnagent": "Kaspersky",
        "ekrn": "ESET",
        "CSFalconService": "CrowdStrike Falcon",
        "csagent": "CrowdStrike Falcon",
        "SentinelAgent": "SentinelOne",
        "CylanceSvc": "Cylance",
        "cyserver": "Palo Alto Cortex XDR",
        "CarbonBlack": "Carbon Black",
        "CbDefense": "Carbon Black",
        "CbDefenseSensor": "Carbon Black",
        "avast! Antivirus": "Avast",
        "AVG Antivirus": "AVG",
        "avgwd": "AVG",
        "AntiVirService": "Avira",
        "VSSERV": "Bitdefender",
        "EPSecurityService": "Bitdefender",
        "FA_Scheduler": "FortiClient",
        "fshoster": "F-Secure",
        "FSMA": "F-Secure",
        "WRSVC": "Webroot",
        "PandaAetherAgent": "Panda",
        "PSUAService": "Panda",
        "MBAMService": "Malwarebytes",
        "ClamD": "ClamAV",
        "xagt": "FireEye Endpoint",
        "SBAMSvc": "VIPRE",
        "inoRT": "CA eTrust Antivirus",
    },
    "intrusion-detection": {
        "OssecSvc": "OSSEC",
        "WazuhSvc": "Wazuh",
        "SnortSvc": "Snort",
        "Suricata": "Suricata",
        "TripwireAgent": "Tripwire",
        "teagent": "Tripwire",
        "enterceptAgent": "McAfee Host Intrusion Prevention",
        "BlackICE": "BlackICE",
        "CSAgentMonitor": "Cisco Security Agent",
        "SymantecCSP": "Symantec Critical System Protection",
        "sisidsservice": "Symantec Critical System Protection",
    },
    "snapshot-backup": {
        "VeeamEndpointBackupSvc": "Veeam Agent",
        "VeeamVssSupport": "Veeam",
        "AcrSch2Svc": "Acronis",
        "AcronisAgent": "Acronis",
        "ShadowProtectSvc": "StorageCraft ShadowProtect",
        "ShadowControl": "StorageCraft ShadowProtect",
        "BackupExecAgentAccelerator": "Backup Exec",
        "bpinetd": "NetBackup",
        "NetBackup INET Daemon": "NetBackup",
        "DPMRA": "Data Protection Manager",
        "obengine": "Azure Backup",
        "GxVssProv": "Commvault",
        "GxCVD(Instance001)": "Commvault",
        "ArcserveUDPAgent": "Arcserve",
        "CASAD2DWebSvc": "Arcserve D2D",
        "RubrikBackupService": "Rubrik",
        "CohesityAgent": "Cohesity",
        "DattoBackupAgentService": "Datto",
        "MacriumService": "Macrium Reflect",
        "nsrexecd": "NetWorker",
    },
}

_STARTS: Final = ("boot", "system", "automatic")
"""What the start types of services are called that start by themselves, by number."""


_FILTERS: Final = "FSFilter Anti-Virus"
"""The load order group of filesystem filters that look for viruses (Microsoft, "Load order groups and altitudes")."""
_WINDOWS_OWN: Final = frozenset({"wdfilter", "mpfilter"})
"""Filters of Windows Defender and its forerunners, whose services are in the table: alone they do nothing."""


def read_products(system: SystemHive, drivers: Fact[tuple[BootDriver, ...]]) -> Fact[tuple[StartingProduct, ...]]:
    """Return the products of the table that start by themselves, each once, and drivers that filter files for viruses.

    The latter are told by their group among the `drivers` that start with the system, whoever made them.
    """
    try:
        where = system.at(system.control("Services"))
    except ImageError as error:
        return unread_because(error, AtPath(system.volume, system.path))
    found: dict[tuple[str, str], StartingProduct] = {}
    evidence: list[Evidence] = []
    for kind, services in _SERVICES.items():
        for service, start in those_that_start(system, services).items():
            if not start.is_known:
                return Fact(unread=start.unread, detail=start.detail, evidence=start.evidence)
            product = services[service]
            if isinstance(start.value, int) and start.value < MANUAL and (kind, product) not in found:
                detail = f"the start type of {service} is {_STARTS[start.value]}"
                found[kind, product] = StartingProduct(name=product, kind=kind, detail=detail, evidence=start.evidence)
                evidence += start.evidence
    if not drivers.is_known:
        return Fact(unread=drivers.unread, detail=drivers.detail, evidence=drivers.evidence)
    for driver in drivers.get():
        if driver.start == "unread" and driver.group in {_FILTERS, "unread"}:
            detail = f"whether {driver.name} filters files for viruses cannot be read"
            return unread("corrupt", detail, *driver.evidence)
        if driver.group == _FILTERS and driver.start in {"boot", "system"} and driver.name.lower() not in _WINDOWS_OWN:
            detail = f"it is in the group {_FILTERS}, and its start type is {driver.start}"
            filters = StartingProduct(
                name=f"the filter driver {driver.name}", kind="antivirus", detail=detail, evidence=driver.evidence
            )
            found["antivirus", driver.name] = filters
            evidence += driver.evidence
    return known(tuple(found.values()), *(evidence or [where]))
