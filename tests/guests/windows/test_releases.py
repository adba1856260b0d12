"""Every Windows is named rightly, from hives that hivex wrote."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from appliance import environment
from debian_tree import run
from disk_builder import run as partition
from imgscan_command import scan
from memory_windows import MemoryFileSystem
from tools import pieces, requires_tool
from windows_builder import MIB, ntfs_image, windows_files
from windows_releases import RELEASES, Release

from imgscan.guests.systems import FoundSystem
from imgscan.guests.windows import inspect_windows
from imgscan.model.system import System
from imgscan.rules.listed_windows import release_of

pytestmark = requires_tool("hivexregedit")
SIZE = 24 * MIB
each_release = pytest.mark.parametrize(
    "release", RELEASES, ids=[f"{each.name} {each.windows.build}" for each in RELEASES]
)


def inspect(release: Release) -> System:
    filesystem = MemoryFileSystem(windows_files(release.windows))
    found = FoundSystem("windows", "disk0/p1", f"/{release.windows.directory}")
    return inspect_windows(found, {"disk0/p1": filesystem}, [], []).system


@each_release
def test_name_and_release(release: Release) -> None:
    system = inspect(release)
    assert release_of(system).name == release.name
    assert system.product.get() == release.product
    assert system.version.get() == f"{release.windows.version}.{release.windows.build}"
    assert system.release is not None
    assert system.release.get() == release.release
    assert system.product_type is not None
    is_client = release.windows.product_type == "WinNT"
    assert system.product_type.get() == ("workstation" if is_client else "server")
    assert system.installation_type is not None
    expected = release.windows.installation_type or ("Client" if is_client else "Server")
    assert system.installation_type.get() == expected


ONE_OF_EACH = list({each.name: each for each in RELEASES}.values())


@pytest.mark.long
@requires_tool("virt-inspector", "mkntfs", "ntfs-3g", "sfdisk")
@pytest.mark.parametrize("first", range(0, len(ONE_OF_EACH), 7))
def test_virt_inspector_names_the_same(first: int, tmp_path: Path) -> None:
    """One appliance looks at several, each in a partition of one disk: what it costs grows with their square."""
    releases = ONE_OF_EACH[first : first + 7]
    images = [ntfs_image(windows_files(each.windows), label=each.windows.build) for each in releases]
    disk = tmp_path / "disk.raw"
    lines = [f"start={MIB // 512 + number * SIZE // 512}, size={SIZE // 512}" for number in range(len(images))]
    with disk.open("wb") as file:
        file.truncate(2 * MIB + len(images) * SIZE)
    partition("sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", disk, text="\n".join(["label: gpt", *lines, ""]))
    with disk.open("r+b") as file:
        for number, image in enumerate(images):
            for at, data in pieces(image):
                file.seek(MIB + number * SIZE + at)
                file.write(data)
    command: list[str | Path] = ["virt-inspector", "--no-applications", "--no-icon", "--format=raw", "-a", disk]
    listed = ET.fromstring(run(command, timeout=900, env=environment())).findall("operatingsystem")  # noqa: S314 - the tool's
    found = {system.findtext("root"): system for system in listed}
    assert len(found) == len(releases)
    for number, (release, image) in enumerate(zip(releases, images, strict=True), 1):
        other = found[f"/dev/sda{number}"]
        (system,) = scan([image])["systems"]
        assert system["family"] == other.findtext("name")
        version = ".".join(system["version"]["value"].split(".")[:2])
        assert version == f"{other.findtext('major_version')}.{other.findtext('minor_version')}", release.name
        assert system["architecture"]["value"] == {"i386": "x86"}.get(arch := other.findtext("arch") or "", arch)
        assert system["hostname"]["value"] == other.findtext("hostname")
        if release.windows.installation_type is not None:  # libguestfs does not derive it from the product type
            assert system["installation_type"]["value"] == other.findtext("product_variant")
        # this libguestfs repeats what a Windows 11 calls itself
        assert system["product"]["value"].replace("Windows 11", "Windows 10") == other.findtext("product_name")
        if release.osinfo is not None:
            assert release.osinfo == other.findtext("osinfo")
