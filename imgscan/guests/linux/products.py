"""Products that disturb a migration, by the services that start them, and which of them start.

The services are those that the vendors' packages install; jobs of cron are those of distributions' packages.
"""

from __future__ import annotations

from typing import Final

import msgspec

from imgscan.devices.guest_tree import GuestTree
from imgscan.guests.linux.services import Services
from imgscan.model.evidence import Evidence, at_path
from imgscan.model.fact import Fact, known
from imgscan.model.software import ProductKind, StartingProduct
from imgscan.model.text import shown


class _Product(msgspec.Struct, frozen=True):
    """`services` without a suffix or instance; `jobs` are files that cron runs, which start it as well."""

    name: str
    kind: ProductKind
    services: tuple[str, ...]
    jobs: tuple[str, ...] = ()


PRODUCTS: Final = (
    _Product("ClamAV", "antivirus",
             ("clamav-daemon", "clamd", "clamd.scan", "clamd.amavisd", "clamav-clamonacc", "clamonacc")),
    _Product("Sophos", "antivirus", ("sav-protect", "sav-rms", "sav-web", "savd", "sophos-spl", "sophos-spl-update")),
    _Product("McAfee or Trellix", "antivirus", ("mfetpd", "mfeespd", "isectpd", "nails", "ma", "cma")),
    _Product("Symantec Endpoint Protection", "antivirus", ("symcfgd", "rtvscand", "smcd", "sisamdagent", "cafagent")),
    _Product("Trend Micro", "antivirus", ("ds_agent", "splx", "tmxbc")),
    _Product("Microsoft Defender", "antivirus", ("mdatp",)),
    _Product("CrowdStrike Falcon", "antivirus", ("falcon-sensor",)),
    _Product("ESET", "antivirus", ("esets", "eea", "efs", "ees")),
    _Product("Kaspersky", "antivirus", ("kesl", "kesl-supervisor", "kav4fs-supervisor", "klnagent", "klnagent64")),
    _Product("Bitdefender", "antivirus", ("bdsec", "bdredline", "bdscand", "epagd")),
    _Product("F-Secure or WithSecure", "antivirus",
             ("fsma", "fsaua", "f-secure-linuxsecurity-lspmd", "f-secure-linuxsecurity-statusd")),
    _Product("Avast", "antivirus", ("avast",)),
    _Product("AVG", "antivirus", ("avgd",)),
    _Product("Dr.Web", "antivirus", ("drweb-configd", "drwebd")),
    _Product("Comodo", "antivirus", ("cmdavd",)),
    _Product("SentinelOne", "antivirus", ("sentinelone",)),
    _Product("Carbon Black", "antivirus", ("cbagentd", "cbdaemon", "cbsensor", "b9daemon")),
    _Product("Cortex XDR", "antivirus", ("traps_pmd",)),
    _Product("Cylance", "antivirus", ("cylancesvc", "cyoptics")),
    _Product("FireEye", "antivirus", ("xagt",)),
    _Product("Cisco Secure Endpoint", "antivirus", ("cisco-amp",)),
    _Product("Imunify", "antivirus", ("imunify360", "imunify-antivirus")),
    _Product("Elastic Defend", "antivirus", ("ElasticEndpoint",)),
    _Product("Cybereason", "antivirus", ("cybereason-sensor",)),
    _Product("Malwarebytes", "antivirus", ("mbdaemon",)),
    _Product("FortiClient", "antivirus", ("forticlient",)),
    _Product("Avira", "antivirus", ("avguard", "savapi")),
    _Product("Linux Malware Detect", "antivirus", ("maldet",), ("/etc/cron.daily/maldet",)),
    _Product("OSSEC or Wazuh", "intrusion-detection",
             ("ossec", "ossec-hids", "ossec-agent", "wazuh-agent", "wazuh-manager")),
    _Product("Snort", "intrusion-detection", ("snort", "snortd", "snort3")),
    _Product("Suricata", "intrusion-detection", ("suricata",)),
    _Product("Zeek", "intrusion-detection", ("zeek", "bro")),
    _Product("AIDE", "intrusion-detection", ("dailyaidecheck", "aidecheck", "aide-check"),
             ("/etc/cron.daily/aide", "/etc/cron.daily/dailyaidecheck")),
    _Product("Tripwire", "intrusion-detection", ("twdaemon", "tripwire"),
             ("/etc/cron.daily/tripwire", "/etc/cron.daily/tripwire-check")),
    _Product("Samhain", "intrusion-detection", ("samhain",)),
    _Product("psad", "intrusion-detection", ("psad",)),
    _Product("PortSentry", "intrusion-detection", ("portsentry",)),
    _Product("Falco", "intrusion-detection", ("falco", "falco-bpf", "falco-kmod", "falco-modern-bpf")),
    _Product("Symantec Data Center Security", "intrusion-detection", ("sisidsagent", "sisipsagent")),
    _Product("Alert Logic", "intrusion-detection", ("al-agent",)),
    _Product("CloudPassage Halo", "intrusion-detection", ("cphalod",)),
    _Product("Threat Stack", "intrusion-detection", ("threatstack", "cloudsight")),
    _Product("Rapid7 Insight Agent", "intrusion-detection", ("ir_agent",)),
    _Product("Sysdig", "intrusion-detection", ("dragent",)),
    _Product("rkhunter", "intrusion-detection", (), ("/etc/cron.daily/rkhunter",)),
    _Product("chkrootkit", "intrusion-detection", ("chkrootkit",), ("/etc/cron.daily/chkrootkit",)),
    _Product("Veeam Agent", "snapshot-backup", ("veeamservice", "veeamdeployment", "veeamtransport")),
    _Product("Acronis", "snapshot-backup", ("acronis_mms", "aakore")),
    _Product("R1Soft Server Backup", "snapshot-backup", ("cdp-agent",)),
    _Product("Datto", "snapshot-backup", ("dlad", "dattobd")),
    _Product("StorageCraft SPX", "snapshot-backup", ("spx", "spxd")),
    _Product("Arcserve UDP", "snapshot-backup", ("d2dserver", "d2dlinux")),
    _Product("Commvault", "snapshot-backup", ("Galaxy", "commvault", "commvault.Instance001")),
    _Product("Rubrik", "snapshot-backup", ("rubrikagents",)),
    _Product("Cohesity", "snapshot-backup", ("cohesity-agent",)),
    _Product("Quest Rapid Recovery", "snapshot-backup", ("rapidrecovery-agent", "appassure-agent")),
    _Product("Carbonite or Double-Take", "snapshot-backup", ("DT",)),
    _Product("NAKIVO", "snapshot-backup", ("nkv-bhsvc", "nkv-dirsvc")),
)  # fmt: skip


def read_products(tree: GuestTree, services: Services) -> Fact[tuple[StartingProduct, ...]]:
    """Return the known products that start at boot, or that cron runs.

    :raises ImageError: what starts cannot be told
    """
    started: dict[str, str] = {}  # by name without its instance: as it is called
    for each in services.started():
        started.setdefault(each.name.partition("@")[0], each.name)
    found: list[StartingProduct] = []
    for product in PRODUCTS:
        start = _start(tree, services, product, started)
        if start is not None:
            detail, evidence = start
            found.append(StartingProduct(name=product.name, kind=product.kind, detail=shown(detail), evidence=evidence))
    return known(tuple(found), at_path(tree.mounts["/"].volume, "/etc"))


def _start(
    tree: GuestTree, services: Services, product: _Product, started: dict[str, str]
) -> tuple[str, tuple[Evidence, ...]] | None:
    names = [started[name] for name in product.services if name in started]
    if names:
        start = services.start(*names)
        if start.starts:
            return start.detail, start.evidence
    for path in product.jobs:
        place = tree.find(path)
        if place is not None and place.entry.kind == "file" and place.entry.mode & 0o111:
            return f"cron runs {path}", (place.evidence(),)
    return None
