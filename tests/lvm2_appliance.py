"""Volume groups made, filled and read by a Linux kernel with device-mapper: the appliance of libguestfs.

`make(set, folder)` makes the disks of a set and returns the SHA-256 of each logical volume as that kernel reads it.
``python tests/lvm2_appliance.py [SET..]`` makes the archives in tests/fixtures/lvm2 anew; the long tests make them in a
temporary folder. Needs guestfish and a kernel that supermin finds; minutes for a set, as all runs under emulation.
"""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

from appliance import environment

KIB, MIB = 1 << 10, 1 << 20
FIXTURES = Path(__file__).resolve().parent / "fixtures" / "lvm2"
MODULES = "dm-thin-pool dm-raid dm-snapshot dm-mirror dm-cache-smq dm-writecache"
RAIDS = {
    "m2": "--type mirror -m 1 --mirrorlog disk",
    "mcore": "--type mirror -m 1 --mirrorlog core",
    "r1": "--type raid1 -m 1",
    "r1three": "--type raid1 -m 2",
    "r1stale": "--type raid1 -m 1",
    "r0": "--type raid0 -i 3 -I 16k",
    "r0m": "--type raid0_meta -i 2 -I 64k",
    "r10": "--type raid10 -i 2 -m 1 -I 16k",
    "r10b": "--type raid10 -i 3 -m 1 -I 4k",
    "r4": "--type raid4 -i 3 -I 16k",
    "r5": "--type raid5 -i 3 -I 16k",
    **{f"r5{kind}": f"--type raid5_{kind} -i 2 -I 8k" for kind in ("la", "ra", "ls", "rs", "n")},
    **{
        f"r6{kind}": f"--type raid6_{kind} -i 3 -I 8k"
        for kind in ("zr", "nr", "nc", "n_6", "ls_6", "la_6", "rs_6", "ra_6")
    },
}


class Session:
    """The commands of one run of guestfish; disks are named in the order in which they are added."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.disks: list[str] = []
        self.commands = ["run"]
        self.asked: list[str] = []
        # what LVM calls before it uses a pool; the pools here are new
        self.shell("ln -sf /bin/true /usr/sbin/thin_check; ln -sf /bin/true /usr/sbin/cache_check")
        self.shell(f"for module in {MODULES}; do modprobe $module; done")

    def disk(self, size: int) -> str:
        """Add a disk and return its device in the appliance."""
        path = self.folder / f"disk{len(self.disks)}.img"
        with path.open("wb") as file:
            file.truncate(size)
        self.disks.append(str(path))
        return f"/dev/sd{chr(ord('a') + len(self.disks) - 1)}"

    def shell(self, command: str) -> None:
        """Run a command of the shell."""
        self.commands.append(f'debug sh "{command}"')

    def group(self, name: str, devices: list[str], extent: str = "128k") -> None:
        for device in devices:
            self.shell(f"pvcreate -ff -y {device}")
        self.shell(f"vgcreate -s {extent} {name} {' '.join(devices)}")

    def fill(self, device: str, tag: str, size: int, offset: int = 0) -> None:
        """Write blocks of 4 KiB, each of which says where it belongs; small when packed."""
        path = self.folder / f"pattern-{tag}"
        path.write_bytes(
            b"".join(
                f"{tag:<16.16}{number:016x}".encode() + bytes([(number * 37 + len(tag)) & 0xFF]) * (4096 - 32)
                for number in range(size // 4096)
            )
        )
        self.commands.append(f"upload-offset {path} {device} {offset}")

    def ask(self, *devices: str) -> None:
        """Ask for the SHA-256 of devices."""
        self.asked += devices
        self.commands += [f"checksum-device sha256 {device}" for device in devices]

    def run(self) -> dict[str, str]:
        """Run all and return the checksums by device, without /dev/."""
        command = ["guestfish"]
        for disk in self.disks:
            command += ["--format=raw", "-a", disk]
        script = "\n".join([*self.commands, 'debug sh "sync; vgchange -an; sync"'])
        done = subprocess.run(command, input=script, capture_output=True, text=True, check=False, env=environment())
        sums = [line for line in done.stdout.splitlines() if len(line) == 64 and set(line) <= set("0123456789abcdef")]
        if done.returncode or len(sums) != len(self.asked):
            raise RuntimeError(f"guestfish ended with {done.returncode}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
        return {device.removeprefix("/dev/"): each for device, each in zip(self.asked, sums, strict=True)}


def plain(session: Session) -> None:
    """A volume in three pieces on two disks, stripes of two sizes, a dash in a name."""
    first, second = session.disk(8 * MIB), session.disk(8 * MIB)
    session.group("vgplain", [first, second])
    session.shell(f"lvcreate -y -l 6 -n one vgplain {first}")
    session.shell(f"lvcreate -y -l 4 -n gap vgplain {first}")
    session.shell(f"lvextend -l +5 vgplain/one {second}")
    session.shell(f"lvextend -l +3 vgplain/one {first}")
    session.shell("lvremove -y vgplain/gap")
    session.shell("lvcreate -y -l 4 -n with-dash vgplain")
    session.shell("lvcreate -y -l 10 -i 2 -I 4k -n str4 vgplain")
    session.shell("lvcreate -y -l 10 -i 2 -I 64k -n str64 vgplain")
    session.shell(f"lvextend -l +3 vgplain/str4 {first} -i 1")
    for name, extents in (("one", 14), ("with-dash", 4), ("str4", 13), ("str64", 10)):
        session.fill(f"/dev/vgplain/{name}", name, extents * 128 * KIB)
        session.ask(f"/dev/vgplain/{name}")


def raid(session: Session) -> None:
    """Every kind of mirror and RAID, in sync; of `r1stale` the first image failed before it was written again."""
    session.group("vgraid", [session.disk(16 * MIB) for _ in range(6)])
    for name, options in RAIDS.items():
        session.shell(f"lvcreate -y -l 6 {options} -n {name} vgraid")
    for name in RAIDS:
        session.fill(f"/dev/vgraid/{name}", name, 6 * 128 * KIB)
    lacking = "lvs --noheadings -o sync_percent vgraid | grep [0-9] | grep -qv 100.00"
    session.shell(f"for i in $(seq 300); do {lacking} || break; sleep 1; done; lvs vgraid")
    session.shell("dmsetup wipe_table --force vgraid-r1stale_rimage_0; sync")
    session.fill("/dev/vgraid/r1stale", "r1stalenew", 6 * 128 * KIB)
    session.shell("sync; sleep 2; dmsetup status vgraid-r1stale")
    session.ask(*(f"/dev/vgraid/{name}" for name in RAIDS))


def thin(session: Session) -> None:
    """A thin volume with holes, a snapshot of it that was written, and a volume with an external origin."""
    session.group("vgthin", [session.disk(24 * MIB)])
    session.shell("lvcreate -y -L 5m -n ext vgthin")
    session.shell("lvcreate -y --type thin-pool -L 4m -c 64k --poolmetadatasize 2m -n pool vgthin")
    session.shell("lvcreate -y -V 8m -T vgthin/pool -n thin1")
    session.fill("/dev/vgthin/thin1", "thin1", 600 * KIB)
    session.fill("/dev/vgthin/thin1", "thin1b", 300 * KIB, 5 * MIB)
    session.shell("sync; lvcreate -y -s vgthin/thin1 -n thinsnap; lvchange -y -ay -K vgthin/thinsnap")
    session.fill("/dev/vgthin/thinsnap", "thinsnap", 200 * KIB, 64 * KIB)
    session.fill("/dev/vgthin/thin1", "thin1c", 100 * KIB, 6 * MIB)
    session.fill("/dev/vgthin/ext", "ext", 5 * MIB)
    session.shell("sync; lvchange -an vgthin/ext; lvchange -pr vgthin/ext")
    session.shell("lvcreate -y -s vgthin/ext --thinpool vgthin/pool -n thinext; lvchange -y -ay -K vgthin/thinext")
    session.fill("/dev/vgthin/thinext", "thinext", 128 * KIB, 1 * MIB)
    session.ask(*(f"/dev/vgthin/{name}" for name in ("thin1", "thinsnap", "thinext")))


def snapshot(session: Session) -> None:
    """Two old snapshots of one volume, both sides written afterwards."""
    session.group("vgsnap", [session.disk(8 * MIB)])
    session.shell("lvcreate -y -L 2m -n orig vgsnap")
    session.fill("/dev/vgsnap/orig", "orig", 2 * MIB)
    session.shell("sync; lvcreate -y -s -L 1m -c 4k -n snap vgsnap/orig")
    session.shell("lvcreate -y -s -L 1m -c 16k -n snap16 vgsnap/orig")
    session.fill("/dev/vgsnap/orig", "origb", 256 * KIB, 512 * KIB)
    session.fill("/dev/vgsnap/snap", "snapb", 128 * KIB, 1024 * KIB)
    session.ask(*(f"/dev/vgsnap/{name}" for name in ("orig", "snap", "snap16")))


def cache(session: Session) -> None:
    """Caches that write through (in a pool, and in a single volume) and back, and a writecache."""
    fast, slow = session.disk(24 * MIB), session.disk(20 * MIB)
    session.group("vgcache", [fast, slow], "256k")
    for name in ("wt", "wb", "wc", "vol"):
        session.shell(f"lvcreate -y -L 2m -n {name} vgcache {slow}")
    session.shell(f"lvcreate -y -L 1m -n fast vgcache {fast}")
    for name, mode in (("wt", "writethrough"), ("wb", "writeback")):
        pool = f"--type cache-pool -L 1m --poolmetadatasize 5m -c 32k --cachemode {mode}"
        session.shell(f"lvcreate -y {pool} -n cp{name} vgcache {fast}")
        session.shell(f"lvconvert -y --type cache --cachepool vgcache/cp{name} --cachemode {mode} vgcache/{name}")
    session.shell("lvconvert -y --type cache --cachevol vgcache/fast --cachemode writethrough vgcache/vol")
    session.shell(f"lvcreate -y -L 2m -n wcfast vgcache {fast}; lvchange -an vgcache/wcfast vgcache/wc")
    session.shell("lvconvert -y --type writecache --cachevol vgcache/wcfast vgcache/wc; vgchange -ay vgcache")
    for name in ("wt", "wb", "wc", "vol"):
        session.fill(f"/dev/vgcache/{name}", name, 2 * MIB)
    session.shell("sync")
    session.ask(*(f"/dev/vgcache/{name}" for name in ("wt", "wb", "wc", "vol")))


SETS: dict[str, Callable[[Session], None]] = {
    "plain": plain,
    "raid": raid,
    "thin": thin,
    "snapshot": snapshot,
    "cache": cache,
}


def make(name: str, folder: Path) -> dict[str, str]:
    """Make the disks of a set in `folder` (disk0.img, ...) and return the checksums by volume."""
    session = Session(folder)
    SETS[name](session)
    return session.run()


def pack(folder: Path, sums: dict[str, str], archive: Path) -> None:
    """Write the disks and checksums of a folder into an archive that is the same whenever they are."""
    with tarfile.open(archive, "w:xz", preset=9) as tar:
        for path in sorted(folder.glob("*.img")):
            info = tarfile.TarInfo(path.name)
            info.size = path.stat().st_size
            with path.open("rb") as file:
                tar.addfile(info, file)
        data = json.dumps(sums, indent=1).encode()
        info = tarfile.TarInfo("sha256.json")
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))


def unpack(name: str) -> tuple[dict[str, bytes], dict[str, str]]:
    """Return the disks of a set by name (`disk0`), and the checksums by volume, from the archive."""
    disks: dict[str, bytes] = {}
    sums: dict[str, str] = {}
    with tarfile.open(FIXTURES / f"{name}.tar.xz") as tar:
        for info in tar:
            file = tar.extractfile(info)
            content = file.read() if file else b""
            if info.name == "sha256.json":
                sums = json.loads(content)
            else:
                disks[info.name.removesuffix(".img")] = content
    return disks, sums


def main(names: list[str]) -> None:
    FIXTURES.mkdir(parents=True, exist_ok=True)
    for name in names or SETS:
        folder = Path(tempfile.mkdtemp())
        try:
            pack(folder, make(name, folder), FIXTURES / f"{name}.tar.xz")
        finally:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main(sys.argv[1:])
