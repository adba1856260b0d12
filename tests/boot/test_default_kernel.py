"""The default kernel that imgscan names is the one that boots: two real kernels, chosen as GRUB's menus choose.

The machine has no root: its kernel prints its version on the serial console and stops.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from debian_tree import debian_tree, layered_tree
from disk_builder import GRUB_PC, SCREEN_SCRIPT, UUIDS, build_linux, convert
from imgscan_command import outcomes, scan
from qemu_boot import boot
from tools import requires_tool

pytestmark = [pytest.mark.long, requires_tool("qemu-system-x86_64", "debootstrap", "qemu-img", "grub-mkimage")]

# as grub-mkconfig writes it: the next entry once, else the saved one; older kernels in a submenu
HEAD = """\
insmod loadenv
load_env
if [ "${next_entry}" ] ; then
   set default="${next_entry}"
   set next_entry=
   set boot_once=true
else
   set default="%s"
fi
if [ x"${feature_menuentry_id}" = xy ]; then
  menuentry_id_option="--id"
else
  menuentry_id_option=""
fi
export menuentry_id_option
set timeout=1
"""
ENTRY = (
    "menuentry '{title}' --class debian --class os $menuentry_id_option '{id}' {{\n"
    "\tsearch --no-floppy --fs-uuid --set=root {uuid}\n"
    "\tlinux\t/boot/vmlinuz-{version} root=UUID={uuid} ro console=ttyS0 panic=0\n}}\n"
)


def kernels() -> tuple[Path, Path]:
    """Return two real kernels of different versions."""
    first, second = (next(tree.glob("boot/vmlinuz-*")) for tree in (debian_tree(), layered_tree()))
    assert first.name != second.name
    return first, second


@pytest.mark.parametrize(
    ("default", "environment", "expected"),
    [
        ("0", "", 0),
        ("${saved_entry}", "", 0),
        ("${saved_entry}", "saved_entry=gnulinux-advanced>gnulinux-second\n", 1),
        ("gnulinux-advanced>Debian, second", "", 1),
        ("1>1", "saved_entry=0\n", 1),
        ("0", "next_entry=1>gnulinux-second\n", 1),
        ("no such entry", "", 0),
    ],
)
def test_the_default_kernel_is_the_one_that_boots(default: str, environment: str, expected: int, scratch: Path) -> None:
    both = kernels()
    versions = [kernel.name.removeprefix("vmlinuz-") for kernel in both]
    first, second = (
        ENTRY.format(title=f"Debian, {name}", id=f"gnulinux-{name}", uuid=UUIDS["root"], version=version)
        for name, version in zip(("first", "second"), versions, strict=True)
    )
    advanced = f"submenu 'Advanced options' $menuentry_id_option 'gnulinux-advanced' {{\n{first}{second}}}\n"
    simple = ENTRY.format(title="Debian", id="gnulinux-simple", uuid=UUIDS["root"], version=versions[0])
    files: dict[str, str | bytes | None] = {
        "boot/grub/grub.cfg": SCREEN_SCRIPT + HEAD % default + simple + advanced,
        "boot/grub/grubenv": f"# GRUB Environment Block\n{environment}".ljust(1024, "#"),
        **{f"boot/{kernel.name}": kernel.read_bytes() for kernel in both},
        **{f"boot/grub/i386-pc/{name}.mod": (GRUB_PC / f"{name}.mod").read_bytes() for name in ("loadenv", "disk")},
    }
    disk = build_linux(scratch, files=files)
    machine = scan([convert(disk, "vmdk", scratch / "disk.vmdk")])
    (system,) = machine["systems"]
    assert outcomes(machine)["unresolvable-default-kernel"] == "pass"
    assert system["kernel"]["value"] == versions[expected]
    booted = boot([disk], firmware="bios")
    started = re.search(r"Linux version (\S+) ", booted.console)
    assert started is not None, booted.console[-2000:]
    assert started[1] == system["kernel"]["value"]
