"""Installed systems whose files are made to mislead: links, devices, pipes, endless text, directories without end."""

from __future__ import annotations

import json
import platform
import struct
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
from disk_builder import DEBIAN, MIB, ROOT_SIZE, UUIDS, build_linux, run
from hostile_scan import Outcome, forget_peak, peak_mebibytes, scan_hostile
from tools import copy_image, requires_tool

from imgscan.devices.limits import SEARCHED_BYTES
from imgscan.filesystems import ext_filesystem

pytestmark = requires_tool("sfdisk", "mke2fs", "debugfs", "grub-mkimage")
Change = Callable[..., Outcome]


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_linux(tmp_path_factory.mktemp("healthy"), root_size=ROOT_SIZE)


@pytest.fixture
def changed(healthy: Path, tmp_path: Path) -> Change:
    """Return a scan of the healthy disk after debugfs commands; `contents` are files that they may write."""

    def scan(*commands: str, **contents: bytes) -> Outcome:
        disk = copy_image(healthy, tmp_path / "disk.raw")
        for name, data in contents.items():
            (tmp_path / name).write_bytes(data)
        script = tmp_path / "commands"
        script.write_text("".join(f"{command.format(folder=tmp_path)}\n" for command in commands))
        run("debugfs", "-w", "-f", script, f"{disk}?offset={MIB}")
        before = forget_peak()
        outcome = scan_hostile(disk, what=commands)
        assert peak_mebibytes() - before < 200
        return outcome

    return scan


def bad(outcome: Outcome) -> set[str]:
    """Return the rules that failed or are unknown, apart from the one that refuses raw images."""
    found = {rule for rule, result in outcome.outcomes().items() if result in {"fail", "unknown"}}
    return found - {"unsupported-image-format"}


def test_the_disk_is_healthy_before(changed: Change) -> None:
    assert bad(changed()) == set()


@pytest.mark.parametrize(
    "target",
    ["../../../../../../etc/passwd", "/etc/passwd", "/proc/1/environ", "//etc//passwd", "../" * 100 + "etc/passwd"],
)
def test_a_link_out_of_the_guest_stays_in_it(changed: Change, target: str) -> None:
    outcome = changed("rm /etc/os-release", f"symlink /etc/os-release {target}")
    (system,) = outcome.machine["systems"]
    said = [system[name].get("value") for name in ("id", "version", "product", "hostname")]
    assert platform.node() not in said
    # the guest's own /etc/passwd says nothing; its debian_version does
    assert system["id"]["value"] == "debian"


@pytest.mark.parametrize("node", ["c 1 5", "b 8 0", "p"])
@pytest.mark.parametrize("name", ["/etc/os-release", "/etc/fstab", "/etc/hostname", "/etc/debian_version"])
def test_a_device_or_pipe_is_not_read(changed: Change, name: str, node: str) -> None:
    folder, _, last = name.rpartition("/")
    outcome = changed(f"rm {name}", f"cd {folder}", f"mknod {last} {node}")
    assert outcome.machine["systems"]


@pytest.mark.parametrize(
    "commands",
    [
        ["rm /boot/grub/grub.cfg", "symlink /boot/grub/grub.cfg grub.cfg"],
        ["sif /etc mode 0120777"],
        ["sif /etc block[0] 4294967295"],
        ["sif /boot block[0] 1"],
        ["sif / block[0] 0"],
        ["sif /etc size 268435455"],
        ["sif /boot/grub/grub.cfg size 17179869184"],
        ["clri /etc"],
        ["clri /boot"],
        ["clri /boot/grub"],
        ["clri /boot/grub/grub.cfg"],
        ["clri <2>"],
    ],
)
def test_damage_on_the_way_to_what_decides_is_never_a_pass(changed: Change, commands: list[str]) -> None:
    assert bad(changed(*commands))


def test_another_file_answers_where_one_is_missing(changed: Change) -> None:
    (system,) = changed("rm /etc/os-release").machine["systems"]
    assert system["id"]["value"] == "debian"


def test_a_release_file_that_cannot_be_read_leaves_open_who_it_is(changed: Change) -> None:
    """The debian_version beside it may be that of a distribution that derives from Debian."""
    outcome = changed("sif /etc/os-release size 9223372036854775807")
    (system,) = outcome.machine["systems"]
    assert system["id"]["unread"] == "limit"
    assert "unsupported-operating-system" in bad(outcome)


def test_an_unread_fstab_leaves_open_what_a_boot_volume_offers(tmp_path: Path) -> None:
    """Only fstab tells that /boot is elsewhere: without it, an empty /boot must not look like a menu without others."""
    menu = "menuentry 'Windows' {\n\tset root='hd0,msdos3'\n\tchainloader +1\n}\n"
    disk = build_linux(tmp_path, boot="ext4", data="ntfs", menu=menu)
    before = scan_hostile(disk).outcomes()["dual-boot"]
    start = int(run("sfdisk", "--dump", disk).split("disk.raw2 : start=")[1].split(",")[0])
    run("debugfs", "-w", "-R", "sif /etc/fstab mode 010644", f"{disk}?offset={start * 512}")
    assert (before, scan_hostile(disk).outcomes()["dual-boot"]) in {("fail", "unknown"), ("fail", "fail")}


READ_FILES = ("etc/os-release", "etc/fstab", "boot/grub/grub.cfg", "boot/grub/grubenv", "etc/hostname")
ANYWHERE: Sequence[bytes] = (
    b"A" * MIB,
    b"\0" * MIB,
    b"\x1b[2J\x1b]0;owned\x07" * 1000,
    b"'\"" * 500_000,
    b"\xff\xfe" + "\ud800".encode("utf-16-le", "surrogatepass") * 1000,
    b"\xff" * 5000,
    "\u202e\u2066".encode() * 1000,
)
MEANT: Mapping[str, Sequence[bytes]] = {
    "boot/grub/grub.cfg": (
        b"menuentry '\x1b[2J' {\n" * 100_000,
        b"submenu 'x' {\n" * 100_000,
        b"configfile /boot/grub/grub.cfg\nsource /boot/grub/grub.cfg\nsource grub.cfg\n. $prefix/grub.cfg\n" * 1000,
        b"set root='hd" + b"9" * 5000 + b"'\n",
    ),
    "etc/os-release": (b"ID=" + b"1" * 60_000,),
    "etc/fstab": (
        b"UUID=" + b"1" * 5000 + b" / ext4 defaults 0 1\n",
        b"/dev/sda" + b"1" * 5000 + b" / ext4 defaults 0 1\n",
        b"/dev/sda1 /" + b"a/" * 2000 + b" ext4 defaults 0 1\n",
        b"".join(b"/dev/sda1 /bin/%d%s ext4 defaults 0 1\n" % (number, b"/x" * 60) for number in range(4000)),
        b"".join(b"/dev/sda1 /%s%d ext4 bind 0 1\n" % (b"bin/../" * 25, number) for number in range(4000)),
    ),
}
OTHERS = [text for texts in MEANT.values() for text in texts]
"""In the files for which they are not meant they are text like any other."""


@pytest.mark.parametrize("name", READ_FILES)
@pytest.mark.parametrize("text", ANYWHERE, ids=range(len(ANYWHERE)))
def test_hostile_text_in_a_configuration_file(changed: Change, name: str, text: bytes) -> None:
    scan_with_text(changed, name, text)


@pytest.mark.parametrize(("name", "number"), [(name, n) for name, texts in MEANT.items() for n in range(len(texts))])
def test_hostile_text_in_the_file_that_it_is_meant_for(changed: Change, name: str, number: int) -> None:
    scan_with_text(changed, name, MEANT[name][number])


@pytest.mark.long
@pytest.mark.parametrize("name", READ_FILES)
@pytest.mark.parametrize("text", OTHERS, ids=range(len(OTHERS)))
def test_hostile_text_in_another_file(changed: Change, name: str, text: bytes) -> None:
    scan_with_text(changed, name, text)


def scan_with_text(changed: Change, name: str, text: bytes) -> None:
    outcome = changed(f"rm /{name}", f"write {{folder}}/hostile /{name}", hostile=text)
    assert not set(json.dumps(outcome.report, ensure_ascii=False)) & set("\x1b\u202e\u2066\x07\0")
    assert outcome.machine["systems"]


def test_files_that_source_each_other(changed: Change) -> None:
    files = {f"f{number}": f"source f{number + 1}\n".encode() for number in range(300)}
    commands = ["rm /boot/grub/grub.cfg", "write {folder}/f0 /boot/grub/grub.cfg"]
    outcome = changed(*commands, *(f"write {{folder}}/{name} /boot/grub/{name}" for name in files), **files)
    assert outcome.machine["systems"]


@pytest.mark.parametrize(
    ("blocks", "searched"), [(2 * 1024, 6 * MIB), pytest.param(24 * 1024, SEARCHED_BYTES, marks=pytest.mark.long)]
)
def test_a_directory_of_many_names(
    changed: Change, monkeypatch: pytest.MonkeyPatch, blocks: int, searched: int
) -> None:
    """Blocks of 1 KiB with 85 names each: two million for the limit as it is; `ln` puts them in the place of /etc."""
    monkeypatch.setattr(ext_filesystem, "SEARCHED_BYTES", searched)
    names = b"".join(struct.pack("<IHBB", 12, 12, 3, 1) + b"%03d\0" % number for number in range(84))
    block = names + struct.pack("<IHBB", 12, 1024 - len(names), 3, 1) + b"zzz\0"
    outcome = changed(
        *("write {folder}/names /e", "sif /e mode 040755", "unlink /etc", "ln /e /etc"),
        names=block.ljust(1024, b"\0") * blocks,
    )
    assert "unknown" in outcome.outcomes().values()


def test_a_system_is_what_its_files_say(changed: Change) -> None:
    """The other tests would pass if nothing was read."""
    (system,) = changed().machine["systems"]
    assert system["id"]["value"] == "debian"
    assert "debian" in DEBIAN
    assert UUIDS["root"] in json.dumps(system)
