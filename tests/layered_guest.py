"""Whole Debian 12 machines whose root lies on LVM, MD arrays, XFS, Btrfs and JFS, and which really boot.

The tree of debian_tree.py is installed by Debian's own tools (mkfs, LVM's, mdadm, grub-install, update-grub) in the
appliance of libguestfs, which has the drivers that this machine's kernel may lack. Needs root for the tree. Built once
and cached under .cache/guests by recipe; scripts/fixtures builds them by hand.
What a machine is stands in `GUESTS`, so the expected facts are there and not in what imgscan says.
"""

from __future__ import annotations

import inspect
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import ascii_lowercase

from appliance import environment
from debian_tree import CACHE, layered_tree, recipe_key, run
from disk_builder import MIB
from tools import require_tool

ROOT_UUID = "7a1e0f5e-3c1b-4f0e-9b0a-0c6f5d1e2a01"
BOOT_UUID = "b007b007-3c1b-4f0e-9b0a-0c6f5d1e2a05"
ROOT_ARRAY = "7a1e0f5e:3c1b4f0e:9b0a0c6f:5d1e2aa1"
BOOT_ARRAY = "b007b007:3c1b4f0e:9b0a0c6f:5d1e2aa5"
GROUP = (
    "vgcreate -q debian-vg {}; lvcreate -q -y -Wn -Zn -L 64M -n swap_1 debian-vg;"
    " lvcreate -q -y -Wn -Zn -l 100%FREE -n root debian-vg"
)
ARRAY = (
    "mdadm --create {} --run --assume-clean --homehost=debian12 --level={} --raid-devices={} --metadata={} --uuid={} {}"
)


@dataclass(frozen=True)
class Guest:
    """A machine: the partitions of each disk in MiB, and what lies on them.

    `layers` are the commands that make the devices `root` and `boot` ("" where the root holds /boot) of the disks
    {0}, {1}, ... `type` is the root's filesystem, `volume` is imgscan's name of where it lies, and `boot_volume` of
    where /boot does. GRUB is installed on the first `loaders` disks.
    """

    disks: tuple[tuple[int, ...], ...]
    type: str
    root: str = "/dev/mapper/debian--vg-root"
    volume: str = "debian-vg/root"
    boot: str = ""
    boot_volume: str = ""
    layers: tuple[str, ...] = ()
    loaders: int = 1
    options: str = "defaults"

    @property
    def source(self) -> str:
        """What the mount table and the boot menu call the root."""
        return self.root if self.root.startswith("/dev/mapper/") else f"UUID={ROOT_UUID}"

    def fstab(self) -> str:
        """Return the mount table, as Debian's installer writes it."""
        lines = [f"{self.source} / {self.type} {self.options} 0 {int(self.type != 'btrfs')}"]
        lines += [f"UUID={BOOT_UUID} /boot ext4 defaults 0 2"] if self.boot else []
        return "\n".join(lines)


ROOT_MIB, BOOT_MIB = 1000, 128
BIG, HALF, BOOT = ROOT_MIB + 96, 600, BOOT_MIB + 2

GUESTS = {
    "ext4": Guest(((BIG,),), "ext4", "{0}1", "disk0/p1"),
    "lvm-ext4": Guest(((BOOT, BIG),), "ext4", boot="{0}1", boot_volume="disk0/p1", layers=(GROUP.format("{0}2"),)),
    "xfs": Guest(((BOOT, BIG),), "xfs", "{0}2", "disk0/p2", boot="{0}1", boot_volume="disk0/p1"),
    "btrfs": Guest(((BIG,),), "btrfs", "{0}1", "disk0/p1", options="subvol=@rootfs"),
    "md1": Guest(
        ((BIG,), (BIG,)),
        "ext4",
        "/dev/md0",
        f"md/{ROOT_ARRAY[:8]}",
        layers=(ARRAY.format("/dev/md0", 1, 2, "1.2", ROOT_ARRAY, "{0}1 {1}1"),),
        loaders=2,
    ),
    "lvm-two-disks": Guest(
        ((BOOT, HALF), (HALF,)), "ext4", boot="{0}1", boot_volume="disk0/p1", layers=(GROUP.format("{0}2 {1}1"),)
    ),
    "md5": Guest(
        ((BOOT, HALF), (BOOT, HALF), (BOOT, HALF)),
        "ext4",
        "/dev/md0",
        f"md/{ROOT_ARRAY[:8]}",
        boot="/dev/md1",
        boot_volume=f"md/{BOOT_ARRAY[:8]}",
        layers=(
            ARRAY.format("/dev/md0", 5, 3, "1.2", ROOT_ARRAY, "{0}2 {1}2 {2}2"),
            ARRAY.format("/dev/md1", 1, 3, "1.0", BOOT_ARRAY, "{0}1 {1}1 {2}1"),
        ),
        loaders=3,
    ),
    "jfs": Guest(((BOOT, BIG),), "jfs", "{0}2", "disk0/p2", boot="{0}1", boot_volume="disk0/p1"),
    "md1-lvm-xfs": Guest(
        ((BOOT, BIG), (BOOT, BIG)),
        "xfs",
        boot="/dev/md1",
        boot_volume=f"md/{BOOT_ARRAY[:8]}",
        layers=(
            ARRAY.format("/dev/md0", 1, 2, "1.2", ROOT_ARRAY, "{0}2 {1}2"),
            ARRAY.format("/dev/md1", 1, 2, "0.90", BOOT_ARRAY, "{0}1 {1}1"),
            GROUP.format("/dev/md0"),
        ),
        loaders=2,
    ),
    "lvm-xfs": Guest(((BIG,),), "xfs", layers=(GROUP.format("{0}1"),)),
}

# How a filesystem is made and filled; JFS, which this machine's kernel may not mount, is filled in the appliance.
MAKE = {
    "ext4": "mke2fs -q -F -t ext4 -U {uuid} -d {tree} {image}",
    "xfs": "mkfs.xfs -q -m uuid={uuid} {image} && mount -o loop {image} $mnt && cp -a {tree}/. $mnt && umount $mnt",
    "btrfs": "mkfs.btrfs -q -U {uuid} {image} && mount -o loop {image} $mnt && btrfs -q subvolume create $mnt/@rootfs"
    " && cp -a {tree}/. $mnt/@rootfs && umount $mnt",
    "jfs": "mkfs.jfs -q {image} && jfs_tune -U {uuid} {image}",
}

# What runs in the appliance behind the layers; /dev and /run are its own, so that grub-install and update-grub see
# devices as udev names them.
PREPARE = "for module in dm-mod raid1 raid456 xfs btrfs jfs; do modprobe $module; done; mkdir /guest"
FILL_JFS = (
    "mkdir -p /from /to; modprobe loop; mount -o ro,loop,offset=1048576 {} /from; mount {} /to;"
    " cp -a /from/. /to; umount /from /to"
)
COPY = "dd if={} of={} bs=1M skip=1 conv=sparse,notrunc status=none"
INSTALL = """
udevadm settle
mount -t {type} -o {options} {root} /guest
if [ "{boot}" ]; then rm -r /guest/boot/*; mount {boot} /guest/boot; fi
cat > /guest/etc/fstab <<END
{fstab}
END
mdadm --detail --scan >> /guest/etc/mdadm/mdadm.conf
for name in dev proc sys run; do mount --rbind /$name /guest/$name; done
for disk in {loaders}; do chroot /guest grub-install --target=i386-pc $disk; done
chroot /guest update-grub
umount --recursive /guest
vgchange -an
mdadm --stop --scan
sync
detach {needed}
"""


SOURCES = ("boot", "ext4", "xfs", "btrfs", "jfs")
"""What is made here and copied there."""
# A kernel does not always name disks in the order given, so the appliance finds them by label. They leave at the start
# and come back for their machine alone: grub-probe and LVM look at every disk there is, and machines share their names.
FIND = """
declare -A address
for link in /dev/disk/guestfs/*; do
  label=${link##*/} device=/sys/block/$(basename $(readlink -f $link))/device
  [ $label != script ] && [ -e $device ] || continue
  address[$label]=$(basename $(readlink -f $device))
  echo 1 > $device/delete
done
attach() {
  for label; do
    IFS=: read host channel target lun <<< ${address[$label]}
    echo $channel $target $lun > /sys/class/scsi_host/host$host/scan
    for try in {1..50}; do
      udevadm settle
      [ ! -e /dev/disk/guestfs/$label ] || break
      sleep 0.2
    done
    declare -g $label=$(readlink -f /dev/disk/guestfs/$label)
  done
}
detach() {
  for label; do echo 1 > /sys/block/${!label#/dev/}/device/delete; done
  udevadm settle
}
"""


def _disk(label: str) -> str:
    """Return what the appliance's shell calls the disk with a label."""
    return f"${{{label}}}"


def script(guest: Guest, labels: Sequence[str]) -> str:
    """Return what makes the machine on the disks with these labels, for the appliance's shell."""
    disks = [_disk(label) for label in labels]
    root, boot = guest.root.format(*disks), guest.boot.format(*disks)
    copies = {_label(guest.type): root} | ({"boot": boot} if boot else {})
    fill = [COPY.format(_disk(label), target) for label, target in copies.items()]
    needed = [*labels, *copies]
    if guest.type == "jfs":
        fill.append(FILL_JFS.format(_disk("ext"), root))
        needed.append("ext")
    install = INSTALL.format(
        type=guest.type,
        options=guest.options,
        root=root,
        boot=boot,
        fstab=guest.fstab(),
        loaders=" ".join(disks[: guest.loaders]),
        needed=" ".join(needed),
    )
    return "\n".join([f"attach {' '.join(needed)}", *(layer.format(*disks) for layer in guest.layers), *fill, install])


def _label(type_: str) -> str:
    return type_.rstrip("4")  # labels have no digits


def filesystem(type_: str, tree: Path) -> Path:
    """Return a cached image that holds the tree in a filesystem behind its first MiB, where nobody sees it by chance.

    `boot` is an ext4 of its /boot.
    """
    order = MAKE["ext4" if type_ == "boot" else type_]
    target = CACHE / f"{tree.name}-{type_}-{recipe_key(order, ROOT_MIB, BOOT_MIB)}.img"
    if target.exists():
        return target
    with tempfile.TemporaryDirectory(dir=CACHE) as name:
        image, mountpoint = Path(name) / "image", Path(name) / "mnt"
        mountpoint.mkdir()
        with image.open("wb") as file:
            file.truncate((BOOT_MIB if type_ == "boot" else ROOT_MIB) * MIB)
        uuid, folder = (BOOT_UUID, tree / "boot") if type_ == "boot" else (ROOT_UUID, tree)
        shell = f"mnt={mountpoint}; {order.format(uuid=uuid, image=image, tree=folder)}"
        run(["unshare", "--mount", "sh", "-c", shell])
        run(["dd", f"if={image}", f"of={name}/moved", "bs=1M", "seek=1", "conv=sparse", "status=none"])
        os.truncate(f"{name}/moved", image.stat().st_size + MIB)
        Path(name, "moved").rename(target)
    return target


def write_table(image: Path, partitions: Sequence[int]) -> None:
    """Make an empty disk image with an MBR and these partitions in MiB, the first one active."""
    lines, start = ["label: dos", "label-id: 0xb007b007"], 1
    for number, size in enumerate(partitions, 1):
        lines.append(f"{number}: start={start}MiB, size={size}MiB, type=83{', bootable' if number == 1 else ''}")
        start += size
    with image.open("wb") as file:
        file.truncate((start + 1) * MIB)
    subprocess.run(["/usr/sbin/sfdisk", "--quiet", image], input="\n".join(lines), text=True, check=True)


def build(names: Sequence[str], folder: Path) -> None:
    """Install machines on new raw disks in `folder`/NAME, in one run of the appliance; `folder`/log is what it said."""
    tree = layered_tree()
    orders = [FIND, PREPARE]
    added = [f"{filesystem(type_, tree)} readonly:true label:{_label(type_)}" for type_ in SOURCES]
    for name in names:
        (folder / name).mkdir()
        labels = []
        for number, partitions in enumerate(GUESTS[name].disks):
            image = folder / name / f"disk{number}.raw"
            write_table(image, partitions)
            labels.append(f"disk{ascii_lowercase[len(added)]}")
            added.append(f"{image} label:{labels[-1]}")
        own = script(GUESTS[name], labels)
        orders.append(f"(\nset -eux\nPS4='$SECONDS + '\n{own}\n)\necho {name} ended with $? at $SECONDS")
    text = "\n".join(["exec 2>&1", *orders, "exit"])
    (folder / "script").write_text(
        text + "\n" * (-len(text) % 512)
    )  # a disk of whole sectors, and a script all the same
    added.append(f"{folder}/script readonly:true label:script")
    commands = [*(f"add-drive {each} format:raw" for each in added), "run"]
    commands.append('debug sh "bash $(readlink -f /dev/disk/guestfs/script)"')
    said = subprocess.run(
        [require_tool("guestfish")],
        input="\n".join(commands),
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        env=environment(),
        timeout=3600,
    )
    (folder / "log").write_text(said.stdout + said.stderr)


def layered_disks(name: str, *others: str) -> list[Path]:
    """Return the raw disks of the machine called `name`, built on first use, together with those of the others.

    A run of the appliance takes a minute or two, and each machine a minute or two more.
    """
    recipe = "".join(inspect.getsource(function) for function in (build, write_table, filesystem))
    targets = {}
    for each in (name, *others):
        guest = GUESTS[each]
        own = script(guest, ascii_lowercase[: len(guest.disks)])
        key = recipe_key(layered_tree().name, guest.disks, own, MAKE, FIND, PREPARE, recipe)
        targets[each] = CACHE / f"{each}-layered-{key}"
    missing = [each for each, target in targets.items() if not target.is_dir()]
    if missing:
        building = Path(tempfile.mkdtemp(dir=CACHE, prefix="layered.building-"))
        try:
            build(missing, building)
            said = (building / "log").read_text()
            for each in missing:
                if f"{each} ended with 0" in said:
                    (building / each).rename(targets[each])
            if not all(target.is_dir() for target in targets.values()):
                raise RuntimeError(f"the appliance could not make all machines: {said[-4000:]}")
        finally:
            shutil.rmtree(building, ignore_errors=True)
    os.utime(targets[name])
    return sorted(targets[name].glob("disk*.raw"))
