"""Machines that sidecars describe: which disks each names, and which sidecars are of the same machine.

- A name is a path from the sidecar's folder (`../data/web.vmdk`), never out of the share. Where nothing is, its last
  part is looked up in the sidecar's own folder, since exports are moved; then where Hyper-V and VirtualBox keep the
  disks of a machine beside its description (`Virtual Hard Disks`, `Snapshots`, below it or below its parent folder).
- The disk is what the sidecar names, also when other images lie on it. Of two named files of which one is an extent of
  the other or lies below it, only the upper is a disk.
- Sidecars of different kinds are one machine when the disks of one are among those of the other (a VMX and the OVF that
  was made of it). Sidecars of the same kind are one machine only when they name the same disks (copies).
- **A disk that two machines name is a disk of both**, and both say so: clusters share disks, and whoever has two
  descriptions of one disk cannot be told from them. So no sidecar can take a disk away from another; nor from the
  folder that the disk is in, unless the sidecar lies there or above (`grouping`).
- The first sidecar names the machine: by kind (`RANKS`), then in natural order of paths.
- An OVF of several machines (a vApp) does not say here which disks are whose: their names do.
- What only accompanies a machine (snapshot lists, manifests, the configurations of Hyper-V's checkpoints, copies that
  the product keeps) makes none, and belongs to the one that it names a file of; when it names files of several, to
  those that have its name. An image that only a snapshot list names is an older state: it belongs to the machine, and
  is no disk of it.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from urllib.parse import unquote

import msgspec

from imgscan.batch.chains import Folder, Folders, ShareFile, chain_of
from imgscan.batch.names import join, split, suffix_of
from imgscan.model.text import shown

MANIFEST = "an OVF manifest"
SNAPSHOT_LIST = "a VMware snapshot list (.vmsd)"
SEVERAL = "an OVF descriptor of several machines"
RANKS = {
    "a VMX machine file": 0,
    "a VirtualBox machine file": 0,
    "a Hyper-V machine file (.vmcx or .vmrs)": 0,
    "a Hyper-V machine file": 1,
    "a libvirt machine file": 2,
    "an OVF descriptor": 3,
    SNAPSHOT_LIST: 8,
    MANIFEST: 9,
    SEVERAL: 9,
}
"""Which description of a machine goes first: the product's own before what was made for an export."""
UNKNOWN_RANK = 7
EXACT = frozenset({"a VMX machine file", "an OVF descriptor"})
"""What names the disks that a machine has now, and no others: the rest names older states and unused disks too."""
MAIN_SUFFIXES = frozenset({"vmx", "vmtx", "ovf", "vbox", "xml", "vmcx"})
"""Endings of descriptions that are in use; one with another (`.vbox-prev`, `.vmx.bak`, `.vmrs`) comes after them."""
HYPERV_CONFIG, HYPERV_DISKS, SNAPSHOTS = "virtual machines", "virtual hard disks", "snapshots"
COMPANION_SUFFIXES = ("vmxf", "vmsd", "cert", "mf")
"""Files beside a VMX or OVF of the same name that belong to it."""
NO_MACHINE = "it belongs to no machine here"
COMPARED = 8
"""Machines with a disk in common that a sidecar is compared with."""


class DescribedMachine(msgspec.Struct, eq=False):
    """A machine of one or more sidecars; `disks` in the order of the first. `missing` are names that led nowhere.

    `lost` are those of them that are disks of the machine for certain.
    `older` are images that only a snapshot list names. `is_at_home` is whether the sidecars lie with the disks or above
    them.
    """

    sidecars: list[ShareFile]
    disks: list[ShareFile]
    missing: dict[str, None] = msgspec.field(default_factory=dict)
    lost: tuple[str, ...] = ()
    older: list[ShareFile] = msgspec.field(default_factory=list)
    is_at_home: bool = True
    companions: list[ShareFile] = msgspec.field(default_factory=list)


class Described(msgspec.Struct):
    """What the sidecars of a share say. `unused` are sidecars without a machine, and why."""

    machines: list[DescribedMachine]
    unused: list[tuple[ShareFile, str, bool]]


class _Named(msgspec.Struct):
    """What a sidecar names: the disks in order, all images (also those below the disks), names that led nowhere."""

    disks: list[ShareFile]
    images: list[ShareFile]
    missing: list[str]


def describe(files: Iterable[ShareFile], folders: Folders) -> Described:
    """Return the machines that the sidecars among the files describe."""
    sidecars = sorted((file for file in files if file.kind == "sidecar"), key=_order)
    result = Described([], [])
    by_disk: dict[ShareFile, list[DescribedMachine]] = {}
    by_disks: dict[tuple[bool, frozenset[ShareFile]], DescribedMachine] = {}
    later: list[tuple[ShareFile, _Named]] = []
    for sidecar in sidecars:
        named = _named(sidecar, folders)
        accompanies = _only_accompanies(sidecar)
        if accompanies or (_is_late(sidecar) and any(disk in by_disk for disk in named.disks)):
            later.append((sidecar, named))
        elif not named.disks:
            result.unused.append((sidecar, *_why_unused(named)))
        else:
            _place(sidecar, named, result.machines, by_disk, by_disks)
    _attach(later, result, folders)
    return result


def _order(sidecar: ShareFile) -> tuple[bool, int, int]:
    rank = RANKS.get(sidecar.identified.sidecar or "", UNKNOWN_RANK)
    return _is_late(sidecar), rank, sidecar.number


def machine_folder(folder: str) -> str:
    """Return the folder of a machine that Hyper-V keeps its parts below."""
    above, name = split(folder)
    return above if folder != "." and name.casefold() in {HYPERV_CONFIG, HYPERV_DISKS, SNAPSHOTS} else folder


def is_at_home(sidecar: ShareFile, disk: ShareFile) -> bool:
    """Whether a sidecar lies with a disk or above it: one of another folder takes nothing from that disk's."""
    outer = machine_folder(sidecar.folder)
    return outer in {".", disk.folder} or disk.folder.startswith(f"{outer}/")


def is_exact(sidecar: ShareFile) -> bool:
    """Whether it names the disks that a machine has now: a VMX or an OVF in use."""
    return sidecar.identified.sidecar in EXACT and not _is_late(sidecar)


def _is_late(sidecar: ShareFile) -> bool:
    return suffix_of(sidecar.name) not in MAIN_SUFFIXES or _is_checkpoint(sidecar)


def _is_checkpoint(sidecar: ShareFile) -> bool:
    """Whether it is the configuration of a Hyper-V checkpoint."""
    hyperv = (sidecar.identified.sidecar or "").startswith("a Hyper-V")
    return hyperv and split(sidecar.folder)[1].casefold() == SNAPSHOTS


def _only_accompanies(sidecar: ShareFile) -> bool:
    return sidecar.identified.sidecar in {MANIFEST, SNAPSHOT_LIST, SEVERAL}


def _named(sidecar: ShareFile, folders: Folders) -> _Named:
    places = [folder for path in _places(sidecar.folder, folders) if (folder := folders.get(path)) is not None]
    exact = is_exact(sidecar)
    found: dict[ShareFile, None] = {}
    missing: list[str] = []
    for name in sidecar.identified.sidecar_disks:
        file = _found(name, sidecar.folder, places, folders)
        if file is None and "%" in name:  # an OVF writes URIs (DSP0243 2.1.1, section 7.1)
            file = _found(shown(unquote(name)), sidecar.folder, places, folders)
        if file is None or (file in found and exact):  # two names of two hosts' folders are two files
            missing.append(name)
            continue
        if file.kind in {"image", "suspect"}:
            found[file] = None
    below = {part for file in found for image in chain_of(file) for part in (image.parent, *image.parts)}
    return _Named([file for file in found if file not in below], list(found), missing)


def _found(name: str, folder: str, places: list[Folder], folders: Folders) -> ShareFile | None:
    above, bare = split(name)
    if above != ".":
        there = folders.get(resolved(folder, above) or "")
        file = None if there is None else there.find(bare)
        if file is not None:
            return file
    return next((file for place in places if (file := place.find(bare)) is not None), None)


def resolved(folder: str, path: str) -> str | None:
    """Return where a path leads from a folder of the share; None when that is outside of the share."""
    there = posixpath.normpath(posixpath.join(folder, path))
    return None if there.startswith("/") or there.split("/")[0] == ".." else there


def _places(folder: str, folders: Folders) -> list[str]:
    """Return the folders in which a sidecar's disks are looked up."""
    above, name = split(folder)
    places = [folder]
    if folder != "." and name.casefold() in {HYPERV_CONFIG, SNAPSHOTS}:
        places += [_spelled(join(above, HYPERV_DISKS), folders), above]
    places += [_spelled(join(folder, HYPERV_DISKS), folders), _spelled(join(folder, SNAPSHOTS), folders)]
    return places


def _spelled(path: str, folders: Folders) -> str:
    """Return the path as it is spelled on the share: as the products write it, or in small letters."""
    folder, name = split(path)
    usual = join(folder, name.title())
    return usual if usual in folders else path


def _place(
    sidecar: ShareFile,
    named: _Named,
    machines: list[DescribedMachine],
    by_disk: dict[ShareFile, list[DescribedMachine]],
    by_disks: dict[tuple[bool, frozenset[ShareFile]], DescribedMachine],
) -> None:
    """Put a sidecar to the machine that it describes too, or make it a machine."""
    disks = frozenset(named.disks)
    at_home = all(is_at_home(sidecar, disk) for disk in named.disks)
    machine = by_disks.get((at_home, disks))
    if machine is None:
        sharing = dict.fromkeys(other for disk in named.disks for other in by_disk.get(disk, ())[:COMPARED])
        machine = next((o for o in sharing if o.is_at_home == at_home and _is_same_machine(sidecar, disks, o)), None)
    if machine is None:
        machine = DescribedMachine([], [], is_at_home=at_home)
        if is_exact(sidecar):
            machine.lost = tuple(named.missing)
        machines.append(machine)
    machine.sidecars.append(sidecar)
    machine.missing.update(dict.fromkeys(named.missing))
    known = set(machine.disks)
    for disk in named.disks:
        if disk not in known:
            machine.disks.append(disk)
            by_disk.setdefault(disk, []).append(machine)
    by_disks.setdefault((at_home, disks), machine)
    by_disks.setdefault((at_home, frozenset(machine.disks)), machine)


def _is_same_machine(sidecar: ShareFile, disks: frozenset[ShareFile], machine: DescribedMachine) -> bool:
    if any(other.identified.sidecar == sidecar.identified.sidecar for other in machine.sidecars):
        return False
    there = frozenset(machine.disks)
    return disks <= there or there <= disks


def _why_unused(named: _Named) -> tuple[str, bool]:
    """Return why a sidecar makes no machine, and whether that is because something is missing."""
    if named.missing:
        return f"none of the disks that it names is here: {_list(named.missing)}", True
    return "it names no disk", False


def _list(names: list[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _attach(later: list[tuple[ShareFile, _Named]], result: Described, folders: Folders) -> None:
    """Put what only accompanies a machine to it."""
    owners: dict[ShareFile, list[DescribedMachine]] = {}
    for machine in result.machines:
        for disk in machine.disks:
            for image in chain_of(disk):
                owners.setdefault(image, []).append(machine)
    taken = set(owners)
    for sidecar, named in later:
        machines = dict.fromkeys(machine for image in named.images for machine in owners.get(image, ())[:COMPARED])
        if len(machines) > 1:
            machines = {machine: None for machine in machines if _has_name_of(machine, sidecar)}
        for machine in machines:
            machine.companions.append(sidecar)
        if not machines:
            why = "its disks are grouped by their names" if sidecar.identified.sidecar == SEVERAL else NO_MACHINE
            result.unused.append((sidecar, why, False))
        elif len(machines) == 1 and sidecar.identified.sidecar not in {MANIFEST, SEVERAL}:
            machine = next(iter(machines))
            for disk in named.images:
                if disk.owners == 0 and disk not in taken:
                    taken.add(disk)
                    machine.older.append(disk)
    for machine in result.machines:
        there = {*machine.sidecars, *machine.companions}
        for sidecar in list(machine.sidecars):
            _add_companions(sidecar, folders[sidecar.folder], machine, there)


def _has_name_of(machine: DescribedMachine, sidecar: ShareFile) -> bool:
    return any(_bare(other.name) == _bare(sidecar.name) for other in machine.sidecars)


def _bare(name: str) -> str:
    return name.rpartition(".")[0].casefold()


def _add_companions(sidecar: ShareFile, folder: Folder, machine: DescribedMachine, there: set[ShareFile]) -> None:
    base = sidecar.name.rpartition(".")[0]
    for suffix in COMPANION_SUFFIXES:
        file = folder.find(f"{base}.{suffix}")
        if file is not None and file not in there and file.kind in {"sidecar", "other"}:
            there.add(file)
            machine.companions.append(file)
