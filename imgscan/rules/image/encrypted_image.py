"""An image is encrypted by its container.

What it checks
--------------
Whether the image format itself encrypts the data: VMware virtual machine encryption, qcow2 encryption. Encryption
inside the guest (BitLocker, LUKS) is not meant here.

Why it matters
--------------
The target has no key: it can read neither partitions nor systems.

How to fix
----------
Decrypt the machine in its hypervisor (in vSphere: change the storage policy to one without encryption), then export
it again.
"""

from __future__ import annotations

from imgscan.model.disk import Disk
from imgscan.model.machine import MachineFacts
from imgscan.model.rule import NoParams, Result, Rule, failed, over, passed
from imgscan.rules.explanation import how_to_fix, title
from imgscan.rules.subjects import image_of


def check(machine: MachineFacts, _params: NoParams) -> Result:
    """Ask each image for its encryption."""

    def ask(disk: Disk) -> Result:
        name = disk.encryption.get()
        evidence = disk.encryption.evidence or (image_of(disk),)
        if name is not None:
            return failed(f"{disk.name} is encrypted: {name}", *evidence)
        return passed(f"{disk.name} is not encrypted by its container", *evidence)

    return over(machine.disks, ask, none="the machine has no disks")


RULE = Rule(
    name="encrypted-image",
    title=title(__doc__),
    scope="machine",
    reads=("disks.encryption", "disks.format", "disks.files"),
    remedy=how_to_fix(__doc__),
    check=check,
)
