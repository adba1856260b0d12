"""A volume is encrypted, so that the importer cannot read it.

What it checks
--------------
What every partition and logical volume holds: LUKS (versions 1 and 2), BitLocker and FileVault. A BitLocker volume
whose protection is suspended counts, for its data is still encrypted; so does one that is only partly encrypted yet. A
volume or disk that could not be read may be encrypted. Encryption that leaves no mark (plain dm-crypt, as it is used
for swap) cannot be told from random data.

Why it matters
--------------
The importer looks into the volumes, sees no system or no files there, and ends with an error. Even where it copies
them untouched, a key that is bound to the machine (a TPM, Clevis, a network server) does not unlock them elsewhere,
and nobody is at the console to type a passphrase.

How to fix
----------
Decrypt the volume inside the source machine before the export: `manage-bde -off C:` and wait until it is done, or
`cryptsetup reencrypt --decrypt` for LUKS2. Encrypt again on the target, with its own keys or its disk encryption.
"""

from __future__ import annotations

from functools import partial

from imgscan.model.disk import Disk
from imgscan.model.evidence import AtOffset
from imgscan.model.machine import MachineFacts
from imgscan.model.rule import NoParams, Result, Rule, failed, not_applicable, over, passed
from imgscan.model.volume import Volume
from imgscan.rules.explanation import how_to_fix, title

NAMES = {"crypto_LUKS": "LUKS", "BitLocker": "BitLocker", "cs_fvault2": "FileVault"}
"""Encryption by libblkid's name."""
_TELLING = ("cipher", "state", "protection", "protectors", "tokens")
"""What is shown of a volume's metadata."""


def check(machine: MachineFacts, _params: NoParams) -> Result:
    """Ask every volume, and every disk whose volumes are not known."""

    def ask(volume: Volume) -> Result:
        content = volume.signature.get()
        evidence = volume.signature.evidence or (AtOffset(volume.name, 0, 0, "start of the volume"),)
        if content not in NAMES:
            return passed(f"{volume.name} is not encrypted", *evidence)
        version = volume.metadata.get("luks_version", "")
        told = [f"{key} {volume.metadata[key]}" for key in _TELLING if key in volume.metadata]
        more = f" ({', '.join(told)})" if told else ""
        return failed(f"{volume.name} is encrypted with {NAMES[content]}{version}{more}", *evidence)

    def ask_unread(disk: Disk) -> Result:
        disk.partitioning.get()
        return not_applicable("the machine has no volumes")

    questions = [partial(ask, volume) for volume in machine.volumes]
    questions += [partial(ask_unread, disk) for disk in machine.disks]
    result = over(questions, lambda question: question(), none="the machine has no disks")
    if result.outcome != "pass":
        return result
    return passed(f"none of the {len(machine.volumes)} volumes is encrypted", *result.evidence)


RULE = Rule(
    name="encrypted-volume",
    title=title(__doc__),
    scope="machine",
    reads=("volumes.signature", "volumes.metadata", "disks.partitioning"),
    remedy=how_to_fix(__doc__),
    check=check,
)
