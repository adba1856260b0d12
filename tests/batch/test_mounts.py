"""Which filesystem a folder lies on: from mount tables as proc_pid_mountinfo(5) describes them, and a real mount."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from imgscan.batch.ledger import Ledger
from imgscan.batch.mounts import MOUNT_TABLE, mount_of, network_filesystem, parse_mounts
from imgscan.errors import UsageError

TABLE = rb"""
22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
23 22 0:21 / /proc rw,nosuid - proc proc rw
30 22 0:40 / /srv/share rw,relatime shared:7 master:2 - nfs4 filer:/export rw,vers=4.2
31 30 254:2 / /srv/share/local rw - xfs /dev/vdb1 rw
32 22 0:41 / /mnt/with\040space\134and\011tab rw - cifs //server/a\040b rw
33 22 0:42 / /mnt/s rw - fuse.sshfs user@host:/ rw
34 22 0:43 / /mnt/plain rw - fuse something rw
35 22 0:44 / /mnt/ntfs rw - fuseblk /dev/sdb1 rw
36 22 0:45 / /mnt/rclone rw - fuse.rclone remote: rw
37 22 0:46 / /mnt/shadow/nfs rw - nfs filer:/x rw
38 22 254:3 / /mnt/shadow rw - ext4 /dev/vdc rw
39 22 254:4 / /mnt/twice rw - ext4 /dev/vdd rw
40 39 0:47 / /mnt/twice rw - smb3 //server/c rw
41 22 0:48 / /mnt/lustre rw - lustre mgs@tcp:/fs rw
42 22 0:49 / /mnt/merger rw - fuse.mergerfs a:b rw
a broken line
43 22 0:50 / /mnt/broken rw
"""


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/home/me", "ext4"),
        ("/", "ext4"),
        ("/srv", "ext4"),
        ("/srv/share", "nfs4"),
        ("/srv/share/deep/down", "nfs4"),
        ("/srv/shared", "ext4"),
        ("/srv/share/local/x", "xfs"),
        ("/mnt/with space\\and\ttab/x", "cifs"),
        ("/mnt/s/x", "fuse.sshfs"),
        ("/mnt/shadow/nfs/x", "ext4"),
        ("/mnt/twice/x", "smb3"),
    ],
)
def test_the_mount_that_is_seen_at_a_folder(folder: str, kind: str) -> None:
    mount = mount_of(parse_mounts(TABLE), folder.encode())
    assert mount is not None
    assert mount.type == kind


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/srv/share/x", "nfs4"),
        ("/mnt/s", "fuse.sshfs"),
        ("/mnt/rclone/x", "fuse.rclone"),
        ("/mnt/with space\\and\ttab", "cifs"),
        ("/mnt/lustre", "lustre"),
        ("/srv/share/local", None),
        ("/mnt/plain", None),
        ("/mnt/ntfs", None),
        ("/mnt/merger", None),
        ("/home", None),
    ],
)
def test_network_filesystems_are_told(folder: str, kind: str | None) -> None:
    assert network_filesystem(Path(folder), TABLE) == kind


def test_a_table_without_a_root_takes_the_longest_and_latest_mount() -> None:
    table = b"5 4 0:1 / /a rw - ext4 x rw\n6 4 0:2 / /a/b rw - nfs x rw\n7 6 0:3 / /a/b rw - xfs x rw\n"
    assert network_filesystem(Path("/a/b/c"), table) is None
    assert network_filesystem(Path("/a/b"), table.replace(b"xfs", b"9p")) == "9p"
    assert mount_of(parse_mounts(table), b"/else") is None
    assert mount_of([], b"/") is None


def test_a_loop_in_the_table_ends() -> None:
    table = (
        b"1 0 0:1 / / rw - ext4 x rw\n2 3 0:1 / / rw - nfs x rw\n3 2 0:1 / / rw - nfs x rw\n3 1 0:1 / / rw - xfs x rw\n"
    )
    assert mount_of(parse_mounts(table), b"/x") is not None


def test_a_link_leads_to_where_the_folder_is(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    table = b"1 0 0:1 / / rw - ext4 x rw\n2 1 0:2 / " + bytes(tmp_path / "real") + b" rw - nfs x rw\n"
    assert network_filesystem(tmp_path / "link", table) == "nfs"


def test_the_real_table_is_understood(tmp_path: Path) -> None:
    mounts = parse_mounts(MOUNT_TABLE.read_bytes())
    mount = mount_of(mounts, bytes(tmp_path.resolve()))
    assert mount is not None
    told = subprocess.run(
        ["findmnt", "-n", "-o", "FSTYPE", "--target", str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert mount.type == told.stdout.split()[-1]


FILESYSTEM = """
import sys
import mfusepy

class Nothing(mfusepy.Operations):
    use_ns = True
    def getattr(self, path, fh=None):
        if path == "/":
            return {"st_mode": 0o40755, "st_nlink": 2}
        raise mfusepy.FuseOSError(2)

mfusepy.FUSE(Nothing(), sys.argv[1], foreground=True, subtype=sys.argv[2])
"""


@pytest.mark.parametrize("subtype", ["sshfs", "nothingspecial"])
def test_a_mounted_fuse_filesystem_is_told_by_its_subtype(tmp_path: Path, subtype: str) -> None:
    pytest.importorskip("mfusepy")
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("no /dev/fuse here")
    place, root = tmp_path / "mounted", tmp_path / "root"
    place.mkdir()
    root.mkdir()
    server = subprocess.Popen([sys.executable, "-c", FILESYSTEM, str(place), subtype], stderr=subprocess.PIPE)
    try:
        for _ in range(100):
            if server.poll() is not None:
                assert server.stderr is not None
                pytest.skip(f"FUSE cannot be mounted here: {server.stderr.read().decode()[-200:]}")
            if os.path.ismount(place):
                break
            time.sleep(0.05)
        kind = network_filesystem(place)
        assert kind == ("fuse.sshfs" if subtype == "sshfs" else None)
        if subtype == "sshfs":
            with pytest.raises(UsageError, match=r"network filesystem \(fuse.sshfs\).*local disk"):
                Ledger.open(place / "results.db", root)
    finally:
        subprocess.run(["fusermount", "-u", str(place)], check=False, capture_output=True)
        server.terminate()
        server.wait(10)
        if server.stderr is not None:
            server.stderr.close()
