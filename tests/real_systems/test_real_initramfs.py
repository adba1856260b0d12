"""Initramfs that update-initramfs and dracut of a real Debian 12 wrote: the modules are those that their tools list."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest
from real_system import RealSystem, real_system
from tools import requires_tool

from imgscan.guests.linux.initramfs import read_initramfs
from imgscan.guests.linux.kernel_drivers import read_kernel_drivers
from imgscan.model.initramfs import Initramfs
from imgscan.model.linux_boot import DefaultKernel

pytestmark = [pytest.mark.long, requires_tool("debootstrap")]
NAME = "debian12-tools"


def version_of(guest: RealSystem) -> str:
    (kernel,) = (guest.folder / "boot").glob("vmlinuz-*")
    return kernel.name.removeprefix("vmlinuz-")


def read(guest: RealSystem, path: str) -> Initramfs:
    kernel = DefaultKernel(
        path="/boot/vmlinuz", volume="disk0/p1", version=version_of(guest), initrds=(path,), arguments=""
    )
    found = read_initramfs(guest.tree, kernel).get()
    assert found is not None
    return found


def modules_in(listed: str) -> list[str]:
    """Return the modules of a listing of paths, by the kernel's names for them."""
    names = {PurePosixPath(line.split()[-1]).name for line in listed.splitlines() if line.strip()}
    return sorted(
        name.partition(".ko")[0].replace("-", "_")
        for name in names
        if name.endswith((".ko", ".ko.xz", ".ko.zst", ".ko.gz"))
    )


@pytest.mark.parametrize("form", ["gzip", "xz", "zstd", "lz4"])
def test_update_initramfs(form: str) -> None:
    with real_system(NAME) as guest:
        settings = "etc/initramfs-tools/initramfs.conf"
        text = (guest.folder / settings).read_text().replace("COMPRESS=zstd", f"COMPRESS={form}")
        guest.write(settings, text)
        guest.write("etc/initramfs-tools/modules", "xen-blkfront\nxen-netfront\n")
        guest.run("update-initramfs", "-u")
        path = f"/boot/initrd.img-{version_of(guest)}"
        found = read(guest, path)
        expected = modules_in(guest.run("lsinitramfs", path))
        assert list(found.modules) == expected
        assert "xen_blkfront" in expected
        (file,) = found.files
        assert (file.flaw, file.forms[-1]) == (None, "lz4-legacy" if form == "lz4" else form)


@pytest.mark.parametrize("form", ["gzip", "xz", "zstd", "lz4"])
def test_dracut(form: str) -> None:
    with real_system(NAME) as guest:
        path = "/boot/initramfs.img"
        options = ["--no-hostonly", "--early-microcode", f"--{form}", "--add-drivers", "xen-blkfront xen-netfront"]
        guest.run("dracut", "--force", *options, path, version_of(guest))
        found = read(guest, path)
        expected = modules_in(guest.run("lsinitrd", path))
        assert list(found.modules) == expected
        assert "xen_blkfront" in expected
        (file,) = found.files
        assert (file.flaw, file.forms[-1]) == (None, "lz4-legacy" if form == "lz4" else form)


def test_the_drivers_beside_it_are_those_that_modinfo_finds() -> None:
    with real_system(NAME) as guest:
        version = version_of(guest)
        drivers = read_kernel_drivers(guest.tree, version).get()
        assert drivers is not None
        assert drivers.builtin is not None
        for name in ("ena", "ixgbevf", "xen_blkfront", "xen_netfront", "nvme", "virtio_blk", "hv_netvsc"):
            said = guest.run("modinfo", "-k", version, "-F", "filename", name, check=False).strip()
            where = "builtin" if said == "(builtin)" else "module" if said else None
            assert where == ("builtin" if name in drivers.builtin else "module" if name in drivers.modules else None), (
                name
            )
