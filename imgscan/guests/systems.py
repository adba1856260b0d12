"""Installed systems: where their roots are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from imgscan.devices.guest_tree import GuestTree
from imgscan.model.machine import UnreadPlace
from imgscan.model.system import System


@dataclass(frozen=True, slots=True)
class FoundSystem:
    """A root: `directory` is the path of the root, or of the Windows folder, on its volume."""

    family: Literal["linux", "windows", "other"]
    volume: str
    directory: str = "/"


@dataclass(frozen=True, slots=True)
class Inspected:
    """What was read of a system, its files by path, and `unread`: what the facts had to do without."""

    system: System
    tree: GuestTree
    unread: tuple[UnreadPlace, ...] = ()
