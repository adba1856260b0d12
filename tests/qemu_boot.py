"""Starts a machine in qemu and says how far it came, by what its serial console shows."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

OVMF_CODE = Path("/usr/share/OVMF/OVMF_CODE_4M.fd")
OVMF_VARIABLES = Path("/usr/share/OVMF/OVMF_VARS_4M.fd")

Outcome = Literal["login", "no-boot-code", "grub-rescue", "no-loader", "no-root", "silence"]

# What a console shows when a machine has come as far as it will. Each is a positive sign: no test waits for a timeout
# to conclude that a machine does not boot, except where nothing at all is said.
SIGNS: tuple[tuple[Outcome, str], ...] = (
    ("login", r" login: "),
    ("no-boot-code", r"No bootable device|Boot failed: not a bootable disk"),
    ("grub-rescue", r"grub rescue>|grub>"),
    ("no-loader", r"UEFI Interactive Shell|BdsDxe: No bootable option|>>Start PXE|Shell>"),
    ("no-root", r"Kernel panic|\(initramfs\)|Gave up waiting for root"),
)
TERMINAL_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()=>][0-9A-B]?")


@dataclass(frozen=True)
class Boot:
    """How a start ended: `outcome`, the console's text and the seconds it took."""

    outcome: Outcome
    console: str
    seconds: float


def _outcome(console: str) -> Outcome | None:
    return next((outcome for outcome, sign in SIGNS if re.search(sign, console)), None)


def boot(
    disks: Sequence[Path], *, firmware: Literal["bios", "uefi"], timeout: float = 240, driver: str = "raw"
) -> Boot:
    """Start a machine with these disks, never writing to them, until a sign shows or `timeout` seconds pass.

    Emulated (no KVM is needed): a Debian takes about a minute to its prompt.
    """
    with tempfile.TemporaryDirectory() as name:
        log = Path(name) / "console"
        command = ["qemu-system-x86_64", "-machine", "q35,accel=tcg", "-cpu", "max", "-m", "768", "-smp", "2"]
        command += ["-display", "none", "-vga", "none", "-net", "none", "-no-reboot", "-monitor", "none"]
        command += ["-serial", f"file:{log}"]
        for n, disk in enumerate(disks):
            command += ["-drive", f"file={disk},format={driver},if=none,id=d{n},snapshot=on"]
            command += ["-device", f"virtio-blk-pci,drive=d{n},bootindex={n}"]
        if firmware == "uefi":
            variables = Path(name) / "variables.fd"
            shutil.copy(OVMF_VARIABLES, variables)
            command += ["-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={OVMF_CODE}"]
            command += ["-drive", f"if=pflash,format=raw,unit=1,file={variables}"]
        else:
            # SeaBIOS shows what boot code prints on the serial line too.
            command += ["-fw_cfg", "name=etc/sercon-port,string=0x3f8"]
        started = time.monotonic()
        outcome: Outcome | None = None
        console = ""
        machine = subprocess.Popen(command, stderr=subprocess.PIPE, env={**os.environ, "TMPDIR": name})
        try:
            while outcome is None and time.monotonic() - started < timeout and machine.poll() is None:
                time.sleep(0.5)
                if log.exists():
                    console = TERMINAL_CODES.sub("", log.read_bytes().decode("utf-8", "replace"))
                    outcome = _outcome(console)
        finally:
            machine.kill()
            _, errors = machine.communicate()
        if outcome is None and machine.returncode not in (0, -9):
            raise RuntimeError(f"qemu ended with {machine.returncode}: {errors.decode()[-500:]}")
        return Boot(outcome or "silence", console, time.monotonic() - started)
