"""How a machine boots and what is installed on it, for people."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from imgscan.model.boot import Boot
from imgscan.model.fact import Fact
from imgscan.model.initramfs import Initramfs
from imgscan.model.system import System
from imgscan.model.text import shown
from imgscan.reports.text_layout import fact_text, labelled

T = TypeVar("T")

INTERFACES = 6
"""Interfaces shown of one system."""
MENU_ENTRIES = 6
"""Entries shown of a Windows' boot menu."""


def boot_rows(boot: Boot) -> Iterable[RenderableType]:
    """Yield what starts the machine."""
    yield labelled("firmware", fact_text(boot.firmware))
    if boot.disk.is_known:
        disks = boot.disk.get()
        yield labelled("boot disk", " or ".join(disks) if disks else "none: nothing here boots")
    else:
        yield labelled("boot disk", fact_text(boot.disk))
    for code in boot.code:
        if code.what != "none":
            loads = f", loads {code.loads}" if code.loads else ""
            version = f" {code.version}" if code.version else ""
            detail = f" ({shown(code.detail)})" if code.detail else ""
            yield labelled("boot code", f"{code.what}{version} in {code.where}{loads}{detail}")
    for loader in boot.loaders:
        fallback = ", started by default" if loader.fallback else ""
        yield labelled(
            "EFI loader",
            f"{shown(f'{loader.path} on {loader.volume}')}: {loader.what}, {loader.machine or 'no PE file'}{fallback}"
            f"{f' ({shown(loader.detail)})' if loader.detail else ''}",
        )


def system_rows(index: int, system: System) -> RenderableType:
    """Return what is known of an installed system, its number in front."""
    product = fact_text(system.product)
    facts = [
        ("id", " ".join(word for word in (fact_text(system.id), fact_text(system.version)) if word != "-")),
        ("service pack", fact_text(system.service_pack)),
        ("variant", fact_text(system.variant)),
        ("edition", fact_text(system.edition)),
        ("build", fact_text(system.build)),
        ("installation", fact_text(system.installation_type)),
        ("architecture", fact_text(system.architecture)),
        ("host name", fact_text(system.hostname)),
        ("domain", fact_text(system.domain)),
        ("language", fact_text(system.languages.map(lambda found: found.installed) if system.languages else None)),
        ("licence", fact_text(system.channel)),
        ("bootloader", fact_text(system.bootloader)),
        ("boot menu", _windows_menu(system)),
        ("started", _boot_options(system)),
        ("drives", _drives(system)),
        (
            "pending",
            fact_text(system.pending_restart.map(lambda found: " and ".join(each.text for each in found) or None)),
        ),
        ("boot drivers", _boot_drivers(system)),
        ("kernel", fact_text(system.kernel)),
        ("of package", _of_kernel(system, system.kernel_package, lambda found: found.name or "none")),
        ("initramfs", _of_kernel(system, system.initramfs, _initramfs)),
        ("SSH", _ssh(system)),
        ("registry", _registry(system)),
        ("network", _network(system)),
        ("persistent routes to", _listed(system.routes, lambda route: route.destination)),
        ("proxy", _listed(system.proxies, lambda proxy: proxy.server)),
        ("firewall", fact_text(system.firewalls.map(lambda found: ", ".join(each.name for each in found) or None))),
    ]
    head = Text.assemble((f"{index}  {product}", "bold"), f"  {system.family}, root on {_root(system)}")
    line = ", ".join(f"{name} {value}" for name, value in facts if value != "-")
    return Group(head, Padding(Text(line), (0, 0, 0, 3)))


def _listed(found: Fact[tuple[T, ...]], word: Callable[[T], str]) -> str:
    """Return a word for each of several things; a dash where there are none, or they were not read."""
    return shown(", ".join(word(each) for each in found.get())) or "-" if found.is_known else "-"


def _registry(system: System) -> str:
    """Return which hives were not left clean."""
    states = [fact.get() for fact in system.hives if fact.is_known]
    left = [f"{state.path} {state.state}" for state in states if state.state != "clean"]
    return ", ".join(left) or "-"


def _windows_menu(system: System) -> str:
    """Return the entries of a Windows' boot menu, and what those do that do not start it."""
    if system.family != "windows" or not system.menu.is_known:
        return fact_text(system.menu) if system.family == "windows" else "-"
    entries = system.menu.get()
    words = [
        f"{entry.title} ({', '.join(filter(None, ('default' if entry.default else '', entry.kind)))})"
        for entry in entries[:MENU_ENTRIES]
    ]
    more = f" and {len(entries) - MENU_ENTRIES} more" if len(entries) > MENU_ENTRIES else ""
    return " and ".join(words) + more or "-"


def _boot_options(system: System) -> str:
    """Return how the boot menu starts a Windows, where that is no plain start."""
    if not system.boot_options.is_known or system.boot_options.value is None:
        return fact_text(system.boot_options)
    options = system.boot_options.get()
    words = [] if options is None or options.timeout is None else [f"after {options.timeout} s"]
    if options is not None:
        words += [f"in safe mode ({options.safe_boot})"] * (options.safe_boot is not None)
        words += ["with EMS"] * options.ems + ["with a debugger"] * options.debug
        words += ["with unsigned drivers"] * options.unsigned_drivers
    return " and ".join(words) or "-"


def _drives(system: System) -> str:
    """Return the drive letters of a Windows with their volumes."""
    if system.family != "windows" or not system.mounts.is_known:
        return fact_text(system.mounts) if system.family == "windows" else "-"
    words = [f"{mount.point} {mount.volume or shown(mount.source)}" for mount in system.mounts.get()]
    return " and ".join(words) or "-"


def _boot_drivers(system: System) -> str:
    """Return how many drivers a Windows starts with, and the filters of its disks and volumes."""
    if not system.boot_drivers.is_known:
        return fact_text(system.boot_drivers)
    drivers = system.boot_drivers.get()
    filters = [driver.name for driver in drivers if driver.filters]
    count = sum(driver.start == "boot" for driver in drivers)
    return f"{count} (filters {' and '.join(filters)})" if filters else str(count)


def _of_kernel(system: System, fact: Fact[T | None], text: Callable[[T], str]) -> str:
    """Return a fact about the default kernel; why that one is not known stands with it already."""
    if system.kernel is not None and not fact.is_known and fact.detail == system.kernel.detail:
        return "-"
    return fact_text(fact.map(lambda found: text(found) if found else None))


def _initramfs(found: Initramfs) -> str:
    """Return how an initramfs is packed, or what is wrong with it."""
    return " and ".join(file.flaw or "+".join(file.forms) for file in found.files)


def _ssh(system: System) -> str:
    """Return the ports of an SSH server that starts, or why none does."""
    if not system.ssh_server.is_known or system.ssh_server.value is None:
        return fact_text(system.ssh_server.map(lambda _: "not installed"))
    if not system.ssh_start.is_known or not system.ssh_start.get().starts:
        return fact_text(system.ssh_start.map(lambda _: "disabled"))
    return fact_text(
        system.ssh_settings.map(
            lambda found: f"port {' and '.join(str(port) for port in found.ports)}" if found else "not configured"
        )
    )


def _network(system: System) -> str:
    """Return the interfaces with what they get their addresses from, or why that is not known."""
    if not system.network.is_known:
        return fact_text(system.network)
    words: list[str] = []
    for file in system.network.get():
        if not file.interfaces.is_known:
            words.append(fact_text(file.interfaces))
            continue
        for each in file.interfaces.get():
            how = [address.address for address in each.addresses]
            how += ["DHCP"] * each.dhcp4 + ["DHCPv6"] * each.dhcp6
            if how and each.kind not in {"loopback", "stale"}:
                words.append(f"{each.name or each.mac or 'any interface'} {' and '.join(how)}")
    words = list(dict.fromkeys(words))
    more = f"; and {len(words) - INTERFACES} more" if len(words) > INTERFACES else ""
    return shown("; ".join(words[:INTERFACES]) + more) or "-"


def _root(system: System) -> str:
    """Return the volume of a system's root, with the subvolume when it is not the one that a mount shows."""
    directory = system.directory or "/"
    return f"{system.root}:{shown(directory)}" if directory.startswith("/subvol:") else system.root
