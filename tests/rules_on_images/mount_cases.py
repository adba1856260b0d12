"""Faults of the mount table, and of the space on the root."""

from __future__ import annotations

import subprocess
from pathlib import Path

from disk_builder import MIB, run, uuid_of
from rules_on_images.case import NO_DATA_VOLUME, Case, Moved, linux_outcomes
from rules_on_images.machines import Make, changed, image, kept, linux, one_disk

ROOT = f"UUID={uuid_of('root', 'ext4')} / ext4 defaults 0 1\n"
DATA = uuid_of("data", "ext4")
MOUNT_UNIT = (
    "[Unit]\nDescription=Data\n\n[Mount]\nWhat={}\nWhere=/srv/data\nType={}\n\n[Install]\nWantedBy=multi-user.target\n"
)


def machine(fstab: str | bytes, **files: str) -> Make:
    named = {name.replace("__", "/").replace("_", "."): text for name, text in files.items()}
    return one_disk(lambda: linux(data="ext4", files={"etc/fstab": fstab, **named}))


HEALTHY = machine(f"{ROOT}UUID={DATA} /srv ext4 defaults 0 2\n")
CHANGED = "file-changed-on-import"
CHANGES = {f"{CHANGED}/0": Moved("fail", "the importer changes such lines")}


def case(
    rule: str, fault: str, line: str, *, readiness: str = "ready-with-warnings", moves: dict[str, Moved] | None = None
) -> Case:
    return Case(
        f"{rule}/0",
        fault,
        HEALTHY,
        machine(f"{ROOT}{line}\n"),
        linux_outcomes("vmdk"),
        readiness,  # type: ignore[arg-type]
        {**({} if rule in {"fstab-unresolvable", CHANGED} else CHANGES), **(moves or {})},
    )


def filled(folder: Path) -> list[Path]:
    """Make a machine whose root has a little less than 250 MiB free: one file takes the rest."""

    def make(made: Path) -> None:
        disk = made / "disk.raw"
        run("cp", "--sparse=always", linux(), disk)
        volume = f"{disk}?offset={MIB}"
        (made / "filling").write_bytes(b"x" * (48 * MIB))
        run("debugfs", "-w", "-R", f"write {made / 'filling'} /var/filling", volume)
        (made / "filling").unlink()

    return [image(kept("filled root", make) / "disk.raw", "vmdk", folder)]


def without_inodes(folder: Path) -> list[Path]:
    """Make a machine whose root has 99 free inodes, as the superblock of mke2fs's own filesystem says."""

    def change(disk: Path) -> None:
        subprocess.run(
            ["debugfs", "-w", "-R", "set_super_value free_inodes_count 99", f"{disk}?offset={MIB}"],
            check=True,
            capture_output=True,
        )

    return [image(changed(linux(), folder, change), "vmdk", folder)]


CASES = (
    Case(
        "too-little-free-space/0",
        "a file that fills the root",
        one_disk(linux),
        filled,
        linux_outcomes("vmdk", **NO_DATA_VOLUME),
    ),
    Case(
        "too-few-free-inodes/0",
        "99 inodes left",
        one_disk(linux),
        without_inodes,
        linux_outcomes("vmdk", **NO_DATA_VOLUME),
        "ready-with-warnings",
    ),
    case("fstab-device-names", "a disk by its letter", "/dev/sda2 /srv ext4 defaults 0 2", readiness="ready"),
    case(
        CHANGED,
        "a disk by its letter",
        "/dev/sda2 /srv ext4 defaults 0 2",
        readiness="ready",
        moves={"fstab-device-names/0": Moved("fail", "the rule about such names")},
    ),
    case("fstab-invalid-entry", "a blank in a mount point", f"UUID={DATA} /srv/my data ext4 defaults 0 2"),
    case("fstab-invalid-entry", "another type than the volume's", f"UUID={DATA} /srv xfs defaults 0 2"),
    case("fstab-unresolvable", "a disk that was not exported", "UUID=0bad0bad-aaaa-4bbb-8ccc-0123456789ab /srv ext4"),
    case(
        "fstab-network-filesystems",
        "an NFS share",
        "nas:/export/srv /srv nfs rw,hard 0 0",
        moves={"unsupported-data-filesystem/0": Moved("pass", "the volume is there, mounted or not")},
    ),
    Case(
        "fstab-network-filesystems/0",
        "a mount unit of an SMB share",
        HEALTHY,
        machine(
            f"{ROOT}UUID={DATA} /srv ext4 defaults 0 2\n",
            etc__systemd__system__srv_mount=MOUNT_UNIT.format("//nas/share", "cifs"),
        ),
        linux_outcomes("vmdk"),
        "ready-with-warnings",
    ),
)
