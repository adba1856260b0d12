"""Everything that is asked of one installed Windows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from imgscan.devices.filesystem import FileSystem
from imgscan.devices.guest_tree import GuestTree
from imgscan.errors import ImageError
from imgscan.guests.systems import FoundSystem, Inspected
from imgscan.guests.windows.activation import read_channel
from imgscan.guests.windows.architecture import read_architecture
from imgscan.guests.windows.drive_letters import read_drive_letters
from imgscan.guests.windows.driver_signing import read_driver_signing
from imgscan.guests.windows.drivers import read_drivers
from imgscan.guests.windows.firewalls import read_firewalls
from imgscan.guests.windows.frameworks import read_frameworks
from imgscan.guests.windows.hardware_traces import read_hardware_traces
from imgscan.guests.windows.hibernation import read_hibernation
from imgscan.guests.windows.hives import HiveFile, SystemHive
from imgscan.guests.windows.languages import read_languages
from imgscan.guests.windows.menu import OwnSystem, read_boot
from imgscan.guests.windows.network import read_dhcp_client, read_ipv6_disabled, read_network
from imgscan.guests.windows.page_files import read_page_files
from imgscan.guests.windows.partitions import Partitions
from imgscan.guests.windows.pending_restart import read_pending_restart
from imgscan.guests.windows.products import read_products
from imgscan.guests.windows.registry_value import Value
from imgscan.guests.windows.remote_desktop import read_remote_desktop
from imgscan.guests.windows.routes import read_proxies, read_routes
from imgscan.guests.windows.updates import read_updates
from imgscan.guests.windows.version import read_version
from imgscan.model.disk import Disk
from imgscan.model.evidence import AtPath
from imgscan.model.fact import Fact, known, unread_because
from imgscan.model.system import System
from imgscan.model.text import shown
from imgscan.model.volume import Volume


def inspect_windows(
    found: FoundSystem,
    filesystems: Mapping[str, FileSystem],
    volumes: Sequence[Volume],  # noqa: ARG001 - the inspection of every family is called alike
    disks: Sequence[Disk],
) -> Inspected:
    """Return what is known of the Windows in `found.directory` (its Windows folder) of `found.volume`.

    `filesystems` are all readable ones by volume name: a boot menu and drive letters refer to other volumes.
    """
    tree = GuestTree({"/": filesystems[found.volume]})
    configuration = f"{found.directory.rstrip('/')}/System32/config"
    software, system = HiveFile(tree, f"{configuration}/SOFTWARE"), SystemHive(tree, f"{configuration}/SYSTEM")
    partitions = Partitions(disks)
    version = read_version(software, system)
    release = version.version.value
    is_nt5 = release.startswith(("4.", "5.")) if isinstance(release, str) else None
    boot = read_boot(OwnSystem(found.volume, found.directory, is_nt5), filesystems, partitions)
    desktop = read_remote_desktop(software, system, version.edition, version.product_type)
    channel = read_channel(software)
    drivers = read_drivers(tree, found.directory, system)
    inspected = System(
        family="windows",
        root=found.volume,
        directory=shown(found.directory),
        id=known("windows", AtPath(software.volume, software.path)),
        version=version.version,
        product=version.product,
        edition=version.edition,
        installation_type=version.installation_type,
        build=version.build,
        service_pack=version.service_pack,
        release=version.release,
        product_type=version.product_type,
        channel=channel,
        domain=_domain(system),
        languages=read_languages(system),
        remote_desktop=desktop,
        firewalls=read_firewalls(software, system, version.version, desktop),
        page_files=read_page_files(system),
        frameworks=read_frameworks(software),
        updates=read_updates(software, version.version),
        pending_restart=read_pending_restart(tree, found.directory, software, system),
        universal_clock=_universal_clock(system),
        hibernated=read_hibernation(tree),
        driver_signing=read_driver_signing(software, version.version),
        boot_drivers=drivers.boot_drivers,
        network_drivers=drivers.network_drivers,
        products=read_products(system, drivers.boot_drivers),
        network=read_network(system),
        dhcp_client=read_dhcp_client(system),
        ipv6_disabled=read_ipv6_disabled(system, version.version),
        routes=read_routes(system),
        proxies=read_proxies(software),
        hardware_traces=read_hardware_traces(tree, software, system, channel),
        hives=(software.state, system.state),
        architecture=read_architecture(tree, found.directory, system),
        hostname=_hostname(system),
        bootloader=boot.bootloader,
        menu=boot.menu,
        references=boot.references,
        boot_options=boot.options,
        mounts=read_drive_letters(system, partitions, filesystems),
    )
    return Inspected(inspected, tree, (*software.left_out, *system.left_out, *boot.unread))


def _universal_clock(system: SystemHive) -> Fact[bool]:
    """Return whether the hardware clock runs in UTC (RealTimeIsUniversal)."""
    try:
        key = system.control("Control\\TimeZoneInformation")
    except ImageError as error:
        return unread_because(error, AtPath(system.volume, system.path))
    return system.fact(key, "RealTimeIsUniversal", Value.number).map(bool)


def _domain(system: SystemHive) -> Fact[str | None]:
    """Return the DNS domain; a member of a workgroup has none."""
    try:
        tcpip = system.control("Services\\Tcpip\\Parameters")
    except ImageError as error:
        return unread_because(error, AtPath(system.volume, system.path))
    name = system.text(tcpip, "Domain")
    return system.text(tcpip, "NV Domain") if name.is_known and name.value is None else name


def _hostname(system: SystemHive) -> Fact[str | None]:
    try:
        tcpip = system.control("Services\\Tcpip\\Parameters")
        computer = system.control("Control\\ComputerName\\ComputerName")
    except ImageError as error:
        return unread_because(error, AtPath(system.volume, system.path))
    name = system.text(tcpip, "Hostname")
    return system.text(computer, "ComputerName") if name.is_known and name.value is None else name
