"""What BCD stores and boot.ini have in common: an entry of a boot menu, before anyone asks whose it is."""

from __future__ import annotations

from typing import Literal

import msgspec

from imgscan.guests.windows.partitions import PartitionName
from imgscan.model.evidence import Evidence
from imgscan.model.fact import Fact
from imgscan.model.windows import BootOptions

EntryMeaning = Literal["windows", "windows-nt5", "recovery", "tool", "other-system", "chainload", "unknown"]
"""`windows` starts a Windows folder by its own loader; `windows-nt5` hands over to NTLDR."""


class BootEntry(msgspec.Struct, frozen=True):
    r"""An entry. `device` is where its loader lies and `root` where the system does, None when it names no partition.

    `options` are how it starts a Windows, None where it starts none.
    `directory` is the Windows folder as `/Windows`, None when the entry names none; `anywhere` is whether the root is
    any volume that has it ("locate"). `target` is what the report shows.
    """

    title: str
    meaning: EntryMeaning
    target: str | None
    device: PartitionName | None = None
    root: PartitionName | None = None
    directory: str | None = None
    anywhere: bool = False
    default: bool = False
    options: Fact[BootOptions] | None = None
    evidence: tuple[Evidence, ...] = ()


def guest_directory(path: str) -> str:
    r"""Return ``\Windows`` as `/Windows`."""
    return "/" + path.replace("\\", "/").strip("/")
