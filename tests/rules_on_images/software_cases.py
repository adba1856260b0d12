"""Software that starts, a hibernated system, and traces of hardware."""

from __future__ import annotations

from pathlib import Path

from disk_builder import MIB, ROOT_SIZE, Link, write_at
from rules_on_images.case import NO_DATA_VOLUME, Case, Moved, linux_outcomes, windows_outcomes
from rules_on_images.machines import Make, changed, image, linux, one_disk, windows_bios
from windows_builder import WINDOWS_2019, Windows

Files = dict[str, "str | bytes | None"]
HEALTHY = one_disk(linux)


def service(name: str, program: str) -> Files:
    unit = f"[Unit]\nDescription={name}\n\n[Service]\nExecStart={program}\n\n[Install]\nWantedBy=multi-user.target\n"
    return {
        f"lib/systemd/system/{name}.service": unit,
        f"etc/systemd/system/multi-user.target.wants/{name}.service": Link(
            f"/lib/systemd/system/{name}.service".encode()
        ),
    }


def case(rule: str, fault: str, files: Files, healthy: Make = HEALTHY) -> Case:
    faulty = one_disk(lambda: linux(files=files))
    return Case(f"{rule}/0", fault, healthy, faulty, linux_outcomes("vmdk", **NO_DATA_VOLUME), "ready-with-warnings")


def hibernated(folder: Path) -> list[Path]:
    """Write the kernel's mark over that of the swap partition, behind the root: the end of its first page."""

    def change(disk: Path) -> None:
        write_at(disk, (1 + ROOT_SIZE) * MIB + 4096 - 10, b"S1SUSPEND\0")

    return [image(changed(linux(swap=True), folder, change), "vmdk", folder)]


def ran_on(maker: str) -> Windows:
    key = "HardwareConfig\\{4c4c4544-0042-3210-804d-c4c04f4e3232}"
    return WINDOWS_2019.changed("SYSTEM", key, "SystemManufacturer", maker)


UDEV = (
    "# PCI device 0x14e4:0x1639 (bnx2)\n"
    'SUBSYSTEM=="net", ACTION=="add", DRIVERS=="?*", ATTR{address}=="00:22:19:aa:bb:cc", ATTR{dev_id}=="0x0", '
    'ATTR{type}=="1", KERNEL=="eth*", NAME="eth0"\n'
)
SYSLOG = "Mar  1 10:00:00 kernel: [    0.000000] DMI: {}, BIOS 1.0 01/01/2010\n"
CLAMAV = service("clamav-daemon", "/usr/sbin/clamd --foreground=true")
CASES = (
    case(
        "antivirus-enabled",
        "ClamAV, against a ClamAV that is masked",
        CLAMAV,
        one_disk(
            lambda: linux(files={**CLAMAV, "etc/systemd/system/clamav-daemon.service": Link(b"/dev/null")}),
        ),
    ),
    case("intrusion-detection-enabled", "Suricata", service("suricata", "/usr/bin/suricata -D")),
    case("snapshot-backup-software", "Veeam", service("veeamservice", "/usr/sbin/veeamservice --daemonize")),
    Case(
        "hibernated-system/0",
        "a hibernated system in the swap partition",
        one_disk(lambda: linux(swap=True)),
        hibernated,
        linux_outcomes("vmdk", **NO_DATA_VOLUME),
        "ready-with-warnings",
    ),
    case(
        "converted-from-physical",
        "a server's network card and its maker in the installer's log, against one of VMware",
        {
            "etc/udev/rules.d/70-persistent-net.rules": UDEV,
            "var/log/installer/syslog": SYSLOG.format("Dell Inc. PowerEdge R710"),
        },
        one_disk(
            lambda: linux(
                files={"var/log/installer/syslog": SYSLOG.format("VMware, Inc. VMware Virtual Platform/440BX")}
            ),
        ),
    ),
    Case(
        "converted-from-physical/0",
        "a Windows that ran on a Dell, against one that ran on VMware alone",
        one_disk(lambda: windows_bios(ran_on("VMware, Inc.")), "vhd"),
        one_disk(lambda: windows_bios(ran_on("Dell Inc.")), "vhd"),
        windows_outcomes("vhd"),
        "ready-with-warnings",
    ),
    Case(
        "physical-origin-to-confirm",
        "none: it is always to be confirmed",
        HEALTHY,
        HEALTHY,
        linux_outcomes("vmdk", **NO_DATA_VOLUME),
        "ready",
        {"physical-origin-to-confirm": Moved("manual", "a person has to confirm it")},
    ),
)
