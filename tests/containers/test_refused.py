"""What is not read is named, with what to do; sidecars name their disks."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest
from image_opening import identified, opened_image, qemu_img
from tools import requires_tool, soon

from imgscan.containers import sidecar_disks
from imgscan.devices.counters import IoCounter
from imgscan.devices.host_files import open_given

DISK = (bytes(510) + b"\x55\xaa").ljust(1 << 16, b"\0")


def reason_for(folder: Path, content: bytes, name: str = "disk.vmdk") -> str:
    path = folder / name
    path.write_bytes(content)
    found = identified(path)
    assert found.format is None
    assert found.reason is not None
    with opened_image(path) as image:
        assert image.device is None
        assert [problem.detail for problem in image.facts.problems] == [found.reason.message]
    return f"{found.reason.why}: {found.reason.message}"


def in_zip(name: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, DISK)
    return buffer.getvalue()


def in_tar(name: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo(name)
        member.size = len(DISK)
        archive.addfile(member, io.BytesIO(DISK))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (in_zip("disk.vmdk"), "zip archive"),
        (gzip.compress(DISK), "gzip"),
        (lzma.compress(DISK), "xz"),
        (bz2.compress(DISK), "bzip2"),
        (in_tar("machine.ovf"), "OVA"),
        (in_tar("disk.vmdk"), "a tar archive"),
        (b"\x28\xb5\x2f\xfd" + DISK, "zstd"),
        (b"\x04\x22\x4d\x18" + DISK, "lz4"),
        (b"7z\xbc\xaf\x27\x1c" + DISK, "7z"),
        (b"Rar!\x1a\x07\x01\0" + DISK, "rar"),
        (b"EVF\x09\x0d\x0a\xff\x00" + DISK, "EnCase"),
        (b"EVF2\x0d\x0a\x81\x00" + DISK, "EnCase"),
        (b"LVF\x09\x0d\x0a\xff\x00" + DISK, "logical evidence"),
        (b"AFF10\r\n\0" + DISK, "AFF"),
        (b"WithouFreSpacExt" + DISK, "Parallels"),
        (b"MSWIM\0\0\0" + DISK, "WIM"),
        (b"MRVN" + DISK, ".nvram"),
        (b"\xd2\xbe\xd2\xbe" + DISK, "suspend"),
        (bytes(1 << 16) + b"koly" + bytes(508), "DMG"),
        (bytes(32_769) + b"CD001" + bytes(4096), "ISO 9660"),
    ],
)
def test_refused_by_name(tmp_path: Path, content: bytes, words: str) -> None:
    message = reason_for(tmp_path, content)
    assert message.startswith("unsupported: this is ")
    assert words in message
    assert ";" in message  # what to do


@requires_tool("qemu-img")
@pytest.mark.parametrize(
    ("qemu_format", "words"), [("qed", "QED"), ("parallels", "Parallels"), ("qcow", "qcow version 1")]
)
def test_formats_of_qemu(tmp_path: Path, qemu_format: str, words: str) -> None:
    qemu_img("create", "-f", qemu_format, tmp_path / "image", "4M")
    assert words in reason_for(tmp_path, (tmp_path / "image").read_bytes())


def test_an_encrypted_apple_image(tmp_path: Path) -> None:
    assert reason_for(tmp_path, b"encrcdsa" + DISK).startswith("encrypted: ")


def test_a_hybrid_iso_is_a_disk(tmp_path: Path) -> None:
    content = bytearray(DISK)
    content[32_769:32_774] = b"CD001"
    (tmp_path / "hybrid.iso").write_bytes(content)
    assert identified(tmp_path / "hybrid.iso").format == "raw"


@requires_tool("cryptsetup")
def test_a_luks_disk_is_raw(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    path.write_bytes(bytes(20 << 20))
    command = ["cryptsetup", "luksFormat", "-q", "--type", "luks1", "--pbkdf-force-iterations", "1000", str(path), "-"]
    subprocess.run(command, input=b"key", check=True)
    assert identified(path).format == "raw"


# ---- sidecars

OVF = """<?xml version="1.0"?><!-- made by hand -->
<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>
<ovf:Envelope xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"><ovf:References>
<ovf:File ovf:size="1" ovf:href="one.vmdk" ovf:id="f1"/><File ovf:href='sub/two&amp;.vmdk'/>
<ovf:File ovf:href="cd.iso"/></ovf:References></ovf:Envelope>"""
VMX = """.encoding = "UTF-8"
config.version = "8"
scsi0:0.fileName = "boot.vmdk"
scsi0:1.filename = "C:\\vm\\data.vmdk"
ide1:0.fileName = "cd.iso"
"""
HYPERV = (
    '<?xml version="1.0"?><configuration><drive0><pathname type="string">C:\\vm\\boot.vhdx</pathname>'
    "</drive0></configuration>"
)
VMCX = b"\x14\x20\x28\x01" + bytes(64) + "junk\0C:\\vm\\Boot Disk.vhdx\0\0D:\\x\\d_1A.avhdx\0".encode("utf-16-le")
MANIFEST = "SHA256(a.ovf)= 00\nSHA256(one.vmdk)= 11\n"
VIRTUALBOX = (
    '<?xml version="1.0"?><VirtualBox xmlns="x"><HardDisk uuid="{1}" location="boot.vdi" format="VDI"/></VirtualBox>'
)


def disks_named(folder: Path, content: bytes) -> list[str] | None:
    path = folder / "sidecar"
    path.write_bytes(content)
    file, host = open_given(path, (), IoCounter())
    try:
        return sidecar_disks(file)
    finally:
        host.close()


@pytest.mark.parametrize(
    ("content", "disks", "words"),
    [
        (OVF.encode(), ["one.vmdk", "two&.vmdk"], "OVF descriptor"),
        (b"\xef\xbb\xbf" + OVF.encode(), ["one.vmdk", "two&.vmdk"], "OVF descriptor"),
        (OVF.encode("utf-16"), ["one.vmdk", "two&.vmdk"], "OVF descriptor"),
        (VMX.encode(), ["boot.vmdk", "data.vmdk"], "VMX"),
        (VMX.replace("\n", "\r\n").encode(), ["boot.vmdk", "data.vmdk"], "VMX"),
        (HYPERV.encode("utf-16"), ["boot.vhdx"], "Hyper-V"),
        (VMCX, ["Boot Disk.vhdx", "d_1A.avhdx"], "Hyper-V"),
        (MANIFEST.encode(), ["one.vmdk"], "manifest"),
        (VIRTUALBOX.encode(), ["boot.vdi"], "VirtualBox"),
    ],
)
def test_sidecars_name_their_disks(tmp_path: Path, content: bytes, disks: list[str], words: str) -> None:
    assert disks_named(tmp_path, content) == disks
    message = reason_for(tmp_path, content)
    assert words in message
    assert disks[0] in message


def test_what_is_no_sidecar(tmp_path: Path) -> None:
    for content in (b"", b"x", DISK, b"# Disk DescriptorFile\nversion=1\n", b"<html></html>", b'key = "value"\n'):
        assert disks_named(tmp_path, content) is None


@pytest.mark.parametrize(
    "content",
    [
        b"<Envelope>" + b"<File " * 200_000,
        b"<Envelope " + b"a" * (1 << 20),
        b"<Envelope><File href=" + b" " * (1 << 20),
        b'config.version = "8"\n' + b" \t" * (1 << 19),
        b"<VirtualBox " + b"<HardDisk location" * 60_000,
        VMCX + ("a" * (1 << 19)).encode("utf-16-le"),
        VMCX + (".vhd" * (1 << 17)).encode("utf-16-le"),
    ],
)
def test_hostile_text_costs_little(tmp_path: Path, content: bytes) -> None:
    with soon():
        disks_named(tmp_path, content)


def test_names_are_fit_to_be_shown(tmp_path: Path) -> None:
    named = disks_named(tmp_path, OVF.replace("one.vmdk", "\x1b[31m\u202eone.vmdk").encode())
    assert named is not None
    assert named[0] == "\\x1b[31m\\u202eone.vmdk"
