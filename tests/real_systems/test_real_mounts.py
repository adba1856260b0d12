"""fstab as systemd of a real Debian 12 understands it: what its generator makes of each line."""

from __future__ import annotations

import pytest
from real_system import RealSystem, real_system
from tools import requires_tool

pytestmark = [pytest.mark.long, requires_tool("debootstrap")]
FSTAB = """\
# <file system> <mount point> <type> <options> <dump> <pass>
UUID=6d1f0f5e-3c1b-4f0e-9b0a-0c6f5d1e2a0a / ext4 errors=remount-ro 0 1
UUID=6d1f0f5e-3c1b-4f0e-9b0a-0c6f5d1e2a0b\t/srv\txfs\tdefaults\t0\t2
  LABEL=data   /data  ext4  noatime,nofail  0  0
/dev/sdb1 /mnt/old ext3 noauto 0 0
/dev/sdb2 /mnt/with\\040blank ext3 defaults
/dev/vg/lv /var/lib/x ext4 defaults,x-systemd.device-timeout=5 0 0 # a remark
tmpfs /var/cache/x tmpfs size=10M 0 0
/srv/www /var/www none bind 0 0
server:/export /net nfs defaults,_netdev 0 0
//server/share /smb cifs noauto,user 0 0
/dev/sdc1 /lazy ext4 x-systemd.automount,noauto 0 0
/dev/sdc2 /later ext4 x-systemd.automount 0 0
UUID=5a5a0f5e-3c1b-4f0e-9b0a-0c6f5d1e2a0a none swap sw 0 0
/swapfile none swap sw,nofail 0 0
/dev/sdd1 none swap noauto 0 0
#/dev/sde1 /gone ext4 defaults 0 0

/dev/sdf1 /last ext4
"""


def generated(guest: RealSystem) -> dict[tuple[str, str], tuple[str, bool, bool]]:
    """Return, for each unit that the generator writes, by what and where: its type, and whether the boot waits for it.

    The last is whether it is mounted without being asked for: required or wanted, or by an automount when it is used.
    """
    generator = "/lib/systemd/system-generators/systemd-fstab-generator"
    guest.run("sh", "-ec", f"mkdir -p /tmp/out; {generator} /tmp/out /tmp/out /tmp/out")
    folder = guest.folder / "tmp/out"
    found: dict[tuple[str, str], tuple[str, bool, bool]] = {}
    for path in [*folder.glob("*.mount"), *folder.glob("*.swap")]:
        said = dict(line.split("=", 1) for line in path.read_text().splitlines() if "=" in line)
        required, wanted = (list(folder.glob(f"*.{kind}/{path.name}")) for kind in ("requires", "wants"))
        by_itself = bool(required or wanted) or (
            "automount" in said.get("Options", "") and "noauto" not in said["Options"]
        )
        found[said["What"], said.get("Where", "none")] = said.get("Type", "swap"), bool(required), by_itself
    return found


def test_every_line_as_the_generator_reads_it() -> None:
    with real_system("debian12-tools") as guest:
        guest.write("etc/fstab", FSTAB)
        expected = generated(guest)
        mounts = guest.system().mounts.get()
    assert len(expected) == len(mounts) == 16
    folders = {"UUID=": "/dev/disk/by-uuid/", "LABEL=": "/dev/disk/by-label/"}
    found: dict[tuple[str, str], tuple[str, bool, bool]] = {}
    for mount in mounts:
        source = mount.source
        for tag, folder in folders.items():
            source = source.replace(tag, folder) if source.startswith(tag) else source
        found[source, mount.point] = mount.type, mount.at_boot and not mount.may_fail, mount.at_boot
    assert found == expected
