"""Costly facts through the command line, from a process that can open no file: they are read when they are needed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from disk_builder import KERNEL, build_linux, initramfs
from rpm_builder import kernel_database
from tools import FIXTURES, requires_tool

from imgscan import profiles
from imgscan.batch.isolated import ReadOptions, inspect_machine
from imgscan.cli.main import run
from imgscan.cli.options import groups_to_collect
from imgscan.model.collect import GROUPS, OF_OWN_PROFILES, USUAL, groups_of

DEBIAN = FIXTURES / "images" / "debian12-bios.vmdk"


def test_the_needs_of_imgscans_own_profiles_are_those_of_their_rules() -> None:
    assert set(OF_OWN_PROFILES) == set(profiles.NAMES)
    for name, groups in OF_OWN_PROFILES.items():
        assert groups == groups_of(read for use in profiles.load(name).uses for read in use.rule.reads)


PROFILE = """\
name = "own"
title = "Own"
version = "1"
date = "2026-11-27"
[[use]]
rule = "dual-boot"
severity = "blocker"
[use.requirement]
text = "There is one system on the machine."
source = "imgscan's own reasoning"
"""


def test_what_is_collected(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text(PROFILE)
    assert groups_to_collect((), (str(own),)) == frozenset()
    assert groups_to_collect(("packages",), (str(own),)) == {"packages"}
    assert groups_to_collect((), ("aws-sms",)) == OF_OWN_PROFILES["aws-sms"]
    assert groups_to_collect((), ()) == USUAL
    assert groups_to_collect(("all",), ()) == set(GROUPS)


def system_of(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> dict[str, Any]:
    assert run(["inspect", "--format", "json", *map(str, arguments)]) == 0
    machine = json.loads(capsys.readouterr().out)["machine"]
    (system,) = machine["systems"]
    return {**system, "stages": machine["io"]["stages"]}


def test_all_packages_only_when_they_are_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert system_of(capsys, DEBIAN)["packages"]["unread"] == "not-collected"
    found = system_of(capsys, DEBIAN, "--collect", "all")
    names = {package["name"] for package in found["packages"]["value"]}
    assert {"openssh-server", "linux-image-6.1.0-50-cloud-amd64"} <= names
    assert found["stages"]["packages"]["bytes"] < 4 << 20
    assert inspect_machine([DEBIAN], ReadOptions(collect=frozenset())).systems[0].initramfs.unread == "not-collected"


@requires_tool("cpio", "lz4", "xz", "bzip2", "zstd", "lzma", "sfdisk", "mke2fs", "grub-mkimage")
def test_every_form_is_read_by_a_process_that_can_load_nothing_more(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    forms = ["lz4 -l -q", "lz4 -q", "xz -0", "bzip2", "zstd -q", "lzma -0", "gzip"]
    names = [f"boot/initrd-{number}" for number in range(len(forms))]
    loads = " ".join(f"/{name}" for name in names)
    menu = f"menuentry 'x' {{\n\tlinux /boot/vmlinuz-{KERNEL} root=/dev/sda1\n\tinitrd {loads}\n}}\n"
    files: dict[str, str | bytes | None] = {"boot/grub/grub.cfg": menu, "var/lib/dpkg/status": None}
    files |= {name: initramfs(compress=form) for name, form in zip(names, forms, strict=True)}
    files["var/lib/rpm/rpmdb.sqlite"] = kernel_database("kernel", "CentOS", f"/boot/vmlinuz-{KERNEL}")
    found = system_of(capsys, build_linux(tmp_path, files=files))
    read = found["initramfs"]["value"]
    assert [file["forms"] for file in read["files"]] == [
        [form] for form in ("lz4-legacy", "lz4", "xz", "bzip2", "zstd", "lzma", "gzip")
    ]
    assert read["modules"] == ["xen_blkfront", "xen_netfront"]
    assert found["kernel_package"]["value"]["vendor"] == "CentOS"
