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

Outcome = Literal["login", "no-boot-code", "boot-code-hangs", "grub-rescue", "no-loader", "no-root", "silence"]

# What a console shows when a machine has come as far as it will. Each is a positive sign: no test waits for a timeout
# to conclude that a machine does not boot.
SIGNS: tuple[tuple[Outcome, str], ...] = (
    ("login", r"\S+ login: "),
    ("no-boot-code", r"No bootable device|not a bootable disk"),
    ("grub-rescue", r"grub rescue>|grub>"),
    ("no-loader", r"UEFI Interactive Shell|BdsDxe: No bootable option|Shell>"),
    ("no-root", r"Kernel panic|\(initramfs\)|Gave up waiting for root"),
)
# Boot code that runs into nothing says nothing more: these are the last words, and then QUIET seconds pass. What
# starts at all says its next word within two.
LAST_WORDS = re.compile(r"(Booting from Hard Disk\.\.\.|GRUB( loading\.?)?)\s*$")
QUIET = 20.0
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
        command = [
            "qemu-system-x86_64",
            "-machine",
            "q35,accel=tcg,graphics=off",
            "-cpu",
            "max",
            "-m",
            "768",
            "-smp",
            "2",
        ]
        command += ["-display", "none", "-vga", "none", "-net", "none", "-no-reboot", "-monitor", "none"]
        # graphics=off: SeaBIOS shows on the serial line what it and the boot code would print on a screen.
        command += ["-serial", f"file:{log}"]
        for n, disk in enumerate(disks):
            command += ["-drive", f"file={disk},format={driver},if=none,id=d{n},snapshot=on"]
            command += ["-device", f"virtio-blk-pci,drive=d{n},bootindex={n}"]
        if firmware == "uefi":
            variables = Path(name) / "variables.fd"
            shutil.copy(OVMF_VARIABLES, variables)
            command += ["-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={OVMF_CODE}"]
            command += ["-drive", f"if=pflash,format=raw,unit=1,file={variables}"]
        started = time.monotonic()
        outcome: Outcome | None = None
        console = ""
        spoke = started
        machine = subprocess.Popen(command, stderr=subprocess.PIPE, env={**os.environ, "TMPDIR": name})
        try:
            while outcome is None and time.monotonic() - started < timeout and machine.poll() is None:
                time.sleep(0.5)
                before = console
                if log.exists():
                    console = TERMINAL_CODES.sub("", log.read_bytes().decode("utf-8", "replace"))
                if console != before:
                    spoke = time.monotonic()
                outcome = _outcome(console)
                if outcome is None and LAST_WORDS.search(console) and time.monotonic() - spoke > QUIET:
                    outcome = "boot-code-hangs"
        finally:
            machine.kill()
            _, errors = machine.communicate()
        if outcome is None and machine.returncode not in (0, -9):
            raise RuntimeError(f"qemu ended with {machine.returncode}: {errors.decode()[-500:]}")
        return Boot(outcome or "silence", console, time.monotonic() - started)
