"""What holds for every rule, without a rule's doing anything about it."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import MethodType
from typing import Any

import msgspec
import pytest
from facts_builder import (
    a_disk,
    a_linux_machine,
    a_linux_system,
    a_loader,
    a_problem,
    a_volume,
    a_windows_machine,
    an_efi_linux_machine,
    an_efi_windows_machine,
    an_unread_system,
    and_disks,
    and_volumes,
    bios_boot,
    boot_code,
    efi_boot,
    gpt,
    lost,
    no_table,
    not_searched,
    nothing_read,
    with_boot,
    with_disk,
    with_system,
    with_table,
    with_volume,
    without_systems,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from imgscan import profiles, rules
from imgscan.errors import UnreadFact
from imgscan.judge import judge
from imgscan.model.access import Firewall, ServiceStart, SshSettings
from imgscan.model.boot import Boot, BootCode, Loader
from imgscan.model.disk import Disk, Partition, PartitionTable, Problem
from imgscan.model.evidence import AtOffset, AtPath
from imgscan.model.fact import Fact, known, unread
from imgscan.model.machine import MachineFacts
from imgscan.model.network import Interface, NetworkFile, StaticAddress
from imgscan.model.profile import Profile, Use
from imgscan.model.rule import Result, Rule
from imgscan.model.software import HardwareTrace, StartingProduct
from imgscan.model.system import MenuEntry, Mount, System
from imgscan.model.text import shown
from imgscan.model.volume import Free, Volume
from imgscan.model.windows import (
    BootDriver,
    ClassFilter,
    DeviceDriver,
    Framework,
    Languages,
    PageFile,
    PendingWork,
    RemoteDesktop,
    Update,
)
from imgscan.rules.explanation import SECTIONS, explanation_of

FOLDER = Path(rules.__file__).parent
TESTS = Path(__file__).parent / "rules"
FILES = sorted(path for path in FOLDER.glob("*/*.py") if path.name != "__init__.py")
PROFILES = [profiles.load(name) for name in profiles.NAMES]
USES = [(profile, use) for profile in PROFILES for use in profile.uses]

each_rule = pytest.mark.parametrize("rule", rules.RULES, ids=lambda rule: rule.name)
each_use = pytest.mark.parametrize(
    ("profile", "use"), USES, ids=[f"{p.name}-{u.rule.name}-{u.family or 'any'}" for p, u in USES]
)

# --- listed, named, documented ---------------------------------------------------------------------------------------


def test_every_file_is_listed_and_only_those() -> None:
    listed = [rule.check.__module__ for rule in rules.RULES]
    files = [".".join(("imgscan", "rules", *path.relative_to(FOLDER).with_suffix("").parts)) for path in FILES]
    assert sorted(listed) == files
    assert all(importlib.import_module(name).RULE is rule for name, rule in zip(listed, rules.RULES, strict=True))


def test_families_are_the_folders() -> None:
    assert sorted(rules.FAMILIES) == sorted({path.parent.name for path in FILES})
    for family, listed in rules.FAMILIES.items():
        assert {rule.check.__module__.split(".")[2] for rule in listed} == {family}


def test_names_are_unique() -> None:
    assert len(rules.BY_NAME) == len(rules.RULES)


@each_rule
def test_the_name_is_the_files(rule: Rule) -> None:
    assert rule.name.replace("-", "_") == rule.check.__module__.rsplit(".", 1)[-1]
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", rule.name)


@each_rule
def test_it_is_documented(rule: Rule) -> None:
    parts = explanation_of(rule)
    assert rule.title == parts.title
    assert "\n" not in rule.title
    assert rule.remedy == " ".join(parts.fix.split())
    shown = rules.explanation(rule.name) or ""
    assert all(section in shown for section in SECTIONS)
    assert rule.check.__doc__
    assert rule.params.__doc__


@each_rule
def test_it_has_its_own_test_file(rule: Rule) -> None:
    family, name = rule.check.__module__.split(".")[2:]
    path = TESTS / family / f"test_{name}.py"
    assert path.is_file()
    assert f'RULE = "{rule.name}"' in path.read_text()


def test_every_test_file_has_its_rule() -> None:
    tested = {path.relative_to(TESTS).as_posix().replace("test_", "") for path in TESTS.glob("*/test_*.py")}
    assert tested == {path.relative_to(FOLDER).as_posix() for path in FILES}


@each_rule
def test_unknown_parameters_are_refused(rule: Rule) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"no_such_parameter": 1}, rule.params)


@each_use
def test_its_requirement_is_cited(profile: Profile, use: Use) -> None:
    assert len(use.requirement.text) > 20
    assert use.requirement.text.endswith(".")
    assert re.search(r"User Guide|imgscan's own reasoning", use.requirement.source), profile.name
    assert use.predicts is None or re.match(r"Client(Error|\.\w+): ", use.predicts)


def test_an_unknown_name_has_no_explanation() -> None:
    assert rules.explanation("no-such-rule") is None


# --- nothing read is never a pass ------------------------------------------------------------------------------------

UNREAD_SYSTEMS = {"linux": an_unread_system("linux"), "windows": an_unread_system("windows")}


def _asked(use: Use, machine: MachineFacts) -> Iterator[Result]:
    """Ask a rule as the judge does, an unread fact as an `unknown` result."""
    subjects: list[System | None] = [None]
    if use.rule.scope == "system":
        subjects = [system for system in machine.systems if use.family in (None, system.family)]
    for subject in subjects:
        try:
            answer = use.rule.check(*((machine,) if subject is None else (machine, subject)), use.params)
        except UnreadFact as signal:
            answer = Result("unknown", signal.detail)
        for result in answer if isinstance(answer, tuple) else (answer,):
            yield Result("unknown", result.detail) if isinstance(result, UnreadFact) else result


@each_use
def test_nothing_read_is_never_a_pass(profile: Profile, use: Use) -> None:
    for systems in ((), (UNREAD_SYSTEMS["linux"],), (UNREAD_SYSTEMS["windows"],)):
        for result in _asked(use, nothing_read(systems)):
            assert result.outcome in {"unknown", "manual"}, f"{profile.name}: {result}"


@each_use
def test_an_image_that_was_recognised_and_not_read_is_never_a_pass(profile: Profile, use: Use) -> None:
    """The format is told by its magic, so rules about nothing else may answer."""
    format_decides = {"unsupported-image-format", "mixed-vhd-and-vhdx", "rhel5-on-vhdx"}
    for systems in ((), tuple(UNREAD_SYSTEMS.values())):
        machine = nothing_read(systems)
        disks = tuple(replace(disk, format="vmdk", variant="monolithicSparse") for disk in machine.disks)
        for result in _asked(use, replace(machine, disks=disks)):
            decided = use.rule.name in format_decides or (use.rule.name == "dual-boot" and len(systems) > 1)
            assert decided or result.outcome in {"unknown", "manual", "not-applicable"}, f"{profile.name}: {result}"
            assert decided or use.severity != "blocker" or result.outcome != "not-applicable" or _other_format(use)


def _other_format(use: Use) -> bool:
    """A VMDK is no differencing disk of Hyper-V, whatever is in it."""
    return use.rule.name == "differencing-disk"


def test_nothing_read_is_undecided_in_every_profile() -> None:
    for profile in PROFILES:
        assert judge(nothing_read(), profile, strict=True).readiness == "undecided"


# --- reads only what it declares -------------------------------------------------------------------------------------

MACHINES: dict[str, MachineFacts] = {
    "linux": a_linux_machine(),
    "windows": a_windows_machine(),
    "efi linux": an_efi_linux_machine("vhdx"),
    "both linux": with_boot(an_efi_linux_machine("vhdx"), firmware="both"),
    "efi windows": an_efi_windows_machine(),
    "both": an_efi_windows_machine(firmware="both"),
    "efi vhd": an_efi_windows_machine("vhd"),
    "32-bit": an_efi_windows_machine(architecture=known("x86")),
    "rhel 5": a_linux_machine("vhdx", id=known("rhel"), version=known("5.11")),
    "sles 12 sp3": a_linux_machine(
        id=known("sles"), version=known("12.3"), service_pack=known("SP3"), kernel=known("4.4.73-5-default")
    ),
    "almalinux": a_linux_machine(id=known("almalinux")),
    "fedora 21": a_linux_machine(id=known("fedora"), version=known("21"), variant=known("server")),
    "nothing boots": with_boot(a_linux_machine(), disk=(), firmware="neither"),
    "no system": without_systems(a_linux_machine()),
    "hidden system": not_searched(a_linux_machine()),
    "two disks": and_volumes(
        and_disks(a_linux_machine("vhd"), a_disk("disk1", "vhdx", **gpt("disk1"))), a_volume("disk1/p1", "ntfs")
    ),
    "candidates": with_boot(and_disks(a_linux_machine(), a_disk("disk1")), disk=("disk0", "disk1")),
    "no table": with_disk(a_linux_machine(), **no_table()),
    "problems": with_table(
        with_disk(
            a_linux_machine("vhd"),
            problems=(a_problem("damage"), a_problem("unclean")),
            unclean=known(True),
            delta=known("differencing"),
            encryption=known("yes"),
            device_mapping=known("vmfsRDM"),
        ),
        problems=(a_problem("damage"),),
    ),
    "delta": with_disk(a_linux_machine(), delta=known("delta")),
    "gzip": with_disk(a_linux_machine(), format=None, problems=(a_problem("unsupported"),)),
    "chain": replace(
        a_linux_machine(), boot=bios_boot(boot_code("disk0", "syslinux"), boot_code("disk0/p1", "extlinux"))
    ),
    "loaders": replace(an_efi_linux_machine(), boot=efi_boot(a_loader("grub2"), a_loader("systemd-boot"))),
    "menu": a_linux_machine(menu=known((MenuEntry(title="x", kind="chainload", target="disk0/p2"),))),
    "unread menu": with_system(a_linux_machine(), menu=lost()),
    "unread kernel": with_system(a_linux_machine(), default_kernel=lost()),
    "windows 2003": a_windows_machine(version=known("5.2.3790")),
    "windows 2008": a_windows_machine(
        version=known("6.0.6003"), languages=known(Languages(installed=None, interface=("de-DE",)))
    ),
    "windows without a way in": a_windows_machine(
        remote_desktop=known(RemoteDesktop(starts=False, port=3389, detail="off")), firewalls=known(())
    ),
    "windows with nothing": a_windows_machine(
        version=known("6.1.7601"),
        universal_clock=known(True),
        updates=known((Update(name="KB2800213", state="installed"), Update(name="KB2922223", state="installed"))),
        page_files=known(()),
        frameworks=known(()),
        hibernated=known(False),
        driver_signing=known("warn"),
        boot_drivers=known(()),
        pending_restart=known(()),
        hardware_traces=known(()),
        network_drivers=known(()),
        products=known(()),
    ),
    "windows 7": a_windows_machine(
        version=known("6.1.7601"), product_type=known("workstation"), edition=known("ProfessionalN")
    ),
    "dynamic disk": with_table(
        a_windows_machine(), partitions=(Partition("disk0/p2", 2, 1, 1, "0x42", active=False, label=None),)
    ),
    "two systems": replace(a_linux_machine(), systems=(a_linux_system(), a_linux_system("disk0/p2"))),
    "odd format": with_disk(an_efi_windows_machine(), format=None, problems=(a_problem("refused"),)),
    "odd bios": with_boot(with_disk(an_efi_windows_machine("vhd"), format=None), firmware="both"),
    "no size": with_disk(a_linux_machine(), virtual_size=None),
    "no evidence": with_disk(an_efi_windows_machine(), partitioning=known("gpt")),
    "nothing read": nothing_read(tuple(UNREAD_SYSTEMS.values())),
    "encrypted": and_volumes(a_linux_machine(), a_volume("disk0/p2", "crypto_LUKS", metadata={"cipher": "aes"})),
    "no network": a_linux_machine(network=known(())),
    "no evidence of software": a_linux_machine(products=known(()), hardware_traces=known(())),
    "device name": a_linux_machine(
        mounts=known((Mount(source="/dev/sda2", point="/x", type="ext4", how="device-name", volume="disk0/p2"),))
    ),
    "no DHCP": a_linux_machine(dhcp_client=known(None)),
    "lost mounts": with_volume(
        and_volumes(
            a_linux_machine(mounts=known((Mount(source="UUID=1", point="/srv", type="ext4", how="uuid"),))),
            a_volume("disk0/p3/luks", "ext4", kind="encrypted"),
        ),
        "disk0/p1",
        free=known(Free(1, 1, 1)),
    ),
    "no way in": a_linux_machine(ssh_server=known(None), firewalls=known(())),
    "no kernel": a_linux_machine(default_kernel=known(None), menu=known(()), menu_files=known(())),
    "no modules": a_linux_machine(initramfs=known(None), kernel_drivers=known(None)),
    "dirty": and_volumes(
        a_linux_machine(), a_volume("disk0/p2", "xfs", condition=known("its log is to be replayed; it shows errors"))
    ),
    "volume groups": and_volumes(
        a_linux_machine(),
        a_volume("disk0/p2", "LVM2_member", readable=lost()),
        a_volume(
            "vg0/data",
            "ext4",
            metadata={"group": "vg0"},
            problems=(a_problem("missing", "", "missing-physical-volume"),),
        ),
    ),
    "arrays": and_volumes(
        a_linux_machine(),
        a_volume("disk0/p2", "linux_raid_member", readable=lost()),
        a_volume("md/01234567", "ext4", kind="raid-array", problems=(a_problem("missing", "", "array-degraded"),)),
        a_volume("md/89abcdef", "crypto_LUKS", kind="raid-array", metadata={"level": "raid1", "cipher": "aes"}),
        a_volume("md/unknown", None, kind="raid-array", signature=lost()),
    ),
}


class Recorder:
    """Stands in for a part of the machine and writes down which fields a rule looks at."""

    def __init__(self, value: msgspec.Struct, path: str, seen: set[str]) -> None:
        self._value, self._path, self._seen = value, path, seen

    def __getattr__(self, name: str) -> Any:
        member = getattr(type(self._value), name, None)
        if name not in self._value.__struct_fields__:
            assert callable(member), f"{self._path} has no {name}"
            return MethodType(member, self)
        path = f"{self._path}.{name}" if self._path else name
        self._seen.add(path)
        return self._wrapped(getattr(self._value, name), path)

    def _wrapped(self, value: Any, path: str) -> Any:
        if isinstance(value, Fact) or not isinstance(value, (msgspec.Struct, tuple)):
            return value  # a fact's value belongs to the fact
        if isinstance(value, tuple):
            return tuple(self._wrapped(item, path) for item in value)
        return Recorder(value, path, self._seen)


CONTAINERS = {"disks", "volumes", "boot", "systems"}
NAMES = {"disks.name", "volumes.name"}
"""What a disk or volume is called is no fact about it."""


def _reads(use: Use, machine: MachineFacts) -> set[str]:
    seen: set[str] = set()
    subject: Any = Recorder(machine, "", seen)
    subjects: list[Any] = [None]
    if use.rule.scope == "system":
        systems = [system for system in machine.systems if use.family in (None, system.family)]
        subjects = [Recorder(system, "systems", seen) for system in systems]
    for system in subjects:
        try:
            use.rule.check(*((subject,) if system is None else (subject, system)), use.params)
        except UnreadFact:
            continue
    return seen


def _covered(path: str, declared: tuple[str, ...]) -> bool:
    return any(path == name or path.startswith(f"{name}.") for name in declared)


@each_use
def test_it_reads_only_what_it_declares(profile: Profile, use: Use) -> None:
    for name, machine in MACHINES.items():
        for path in _reads(use, machine) - CONTAINERS - NAMES:
            assert _covered(path, use.rule.reads), f"{profile.name}, {name}: {path}"


@each_rule
def test_it_declares_nothing_that_it_never_reads(rule: Rule) -> None:
    uses = [use for _, use in USES if use.rule is rule]
    seen = set().union(*(_reads(use, machine) for use in uses for machine in MACHINES.values()))
    assert [name for name in rule.reads if not any(_covered(path, (name,)) for path in seen)] == []


# --- hostile facts: an answer or an unread fact, nothing else --------------------------------------------------------

DISK_NAMES = st.sampled_from(["disk0", "disk1", "disk7", ""])
PLACES = st.sampled_from(["disk0", "disk0/p1", "disk0/p2", "disk1/p1", "vg0/root", ""])
EVIDENCE = st.lists(st.builds(AtOffset, PLACES, st.integers(0, 2**64)), max_size=1).map(tuple)


def _facts(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Fact[Any]]:
    return st.one_of(
        st.builds(lambda value, evidence: known(value, *evidence), values, EVIDENCE),
        st.builds(lambda why: unread(why, "unread"), st.sampled_from(["io-error", "encrypted", "not-collected"])),
    )


TEXT = st.one_of(st.none(), st.sampled_from(["rhel", "5", "5.11", "x86_64", "x86", "grub2", "lilo", ""]), st.text())
IDS = st.one_of(TEXT, st.sampled_from(["sles", "ol", "fedora", "debian", "linux"]))
RELEASES = st.one_of(
    TEXT, st.sampled_from(["12.3", "12", "6.10", "21", "8.0", "6.1.7601", "10.0.17763", "9" * 5000, "1." * 4000 + "1"])
)
KERNELS = st.one_of(TEXT, st.sampled_from(["4.4.73-5-default", "2.6.32-754.el6.x86_64", "-", "4.4"]))
CONTENT = st.sampled_from([None, "ext4", "xfs", "ntfs", "vfat", "ReFS", "swap", "LVM2_member", "odd"])
PROBLEMS = st.lists(
    st.builds(
        Problem,
        st.just("code"),
        st.sampled_from(["damage", "truncated", "missing", "refused", "unsupported", "encrypted", "unclean", "note"]),
        st.just("detail"),
    ),
    max_size=2,
).map(tuple)
PARTITIONS = st.lists(
    st.builds(
        Partition,
        name=PLACES,
        number=st.integers(0, 200),
        start=st.integers(0, 2**64),
        size=st.integers(0, 2**64),
        type=st.sampled_from(["0x83", "0xef", "0x07", "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"]),
        active=st.booleans(),
        label=st.none(),
    ),
    max_size=2,
).map(tuple)
TABLES = st.builds(
    PartitionTable, scheme=st.sampled_from(["mbr", "gpt", "none"]), partitions=PARTITIONS, problems=PROBLEMS
)
DISKS = st.builds(
    Disk,
    name=DISK_NAMES,
    path=st.just("x"),
    format=st.sampled_from([None, "vmdk", "vhd", "vhdx", "raw", "odd"]),
    variant=st.none(),
    virtual_size=st.one_of(st.none(), st.integers(0, 2**70)),
    problems=PROBLEMS,
    unclean=_facts(st.booleans()),
    encryption=_facts(TEXT),
    device_mapping=_facts(TEXT),
    delta=_facts(TEXT),
    partition_table=st.one_of(st.none(), TABLES),
    partitioning=_facts(st.sampled_from(["mbr", "gpt", "none"])),
)
VOLUMES = st.builds(
    Volume,
    name=PLACES,
    kind=st.just("partition"),
    on=st.lists(PLACES, max_size=2).map(tuple),
    size=st.integers(0, 2**64),
    content=CONTENT,
    signature=_facts(CONTENT),
    free=st.one_of(
        st.none(), _facts(st.builds(Free, st.integers(0, 2**64), st.just(0), st.one_of(st.none(), st.integers(0, 200))))
    ),
)
BOOTS = st.builds(
    Boot,
    firmware=_facts(st.sampled_from(["bios", "uefi", "both", "neither"])),
    disk=_facts(st.lists(DISK_NAMES, max_size=2).map(tuple)),
    code=st.lists(
        st.builds(
            BootCode,
            where=PLACES,
            what=st.sampled_from(["grub2", "lilo", "syslinux", "windows-nt6", "none", "unknown"]),
        ),
        max_size=2,
    ).map(tuple),
    loaders=st.lists(
        st.builds(
            Loader,
            volume=PLACES,
            path=st.text(),
            machine=st.none(),
            what=st.sampled_from(["grub2", "shim", "systemd-boot", "unknown"]),
        ),
        max_size=2,
    ).map(tuple),
)
ENTRIES = st.lists(
    st.builds(
        MenuEntry,
        title=st.text(),
        kind=st.sampled_from(["own", "other-system", "chainload", "recovery", "tool", "unknown"]),
        target=st.one_of(st.none(), PLACES),
    ),
    max_size=2,
).map(tuple)
MOUNTS = st.lists(
    st.builds(
        Mount,
        source=st.sampled_from(["UUID=1", "/dev/sda1", "/dev/dm-0", "nas:/x", ""]),
        point=st.sampled_from(["/", "/srv", "none", ""]),
        type=st.sampled_from(["ext4", "nfs", "swap", ""]),
        options=st.sampled_from(["", "nofail,_netdev"]),
        volume=st.one_of(st.none(), PLACES),
        evidence=EVIDENCE,
        how=st.sampled_from(["uuid", "device-name", "hardware-name", "network", "file", "unknown"]),
        candidates=st.lists(PLACES, max_size=2).map(tuple),
        at_boot=st.booleans(),
        may_fail=st.booleans(),
        flaw=TEXT,
    ),
    max_size=2,
).map(tuple)
SIZES = st.integers(0, 2**40)
INTERFACES = st.lists(
    st.builds(
        Interface,
        name=st.one_of(st.none(), st.sampled_from(["eth0", "bond0", ""])),
        kind=st.sampled_from(["ethernet", "bond", "loopback"]),
        dhcp4=st.booleans(),
        dhcp6=st.booleans(),
        addresses=st.lists(
            st.builds(
                StaticAddress, st.sampled_from(["10.0.0.1/8", "fd00::1", ""]), st.text(), st.just(AtPath("x", "y"))
            ),
            max_size=1,
        ).map(tuple),
        mac=st.none(),
        on=st.lists(st.sampled_from(["eth0", "eth1"]), max_size=2).map(tuple),
    ),
    max_size=2,
).map(tuple)
NETWORK = st.lists(
    st.builds(NetworkFile, by=st.just("netplan"), evidence=st.just(AtPath("x", "y")), interfaces=_facts(INTERFACES)),
    max_size=2,
).map(tuple)
BOOT_DRIVERS = st.builds(
    BootDriver,
    name=st.sampled_from(["xenvbd", "PartMgr", "other", ""]),
    start=st.sampled_from([None, "boot", "manual", "7"]),
    configured=st.sampled_from([None, "boot"]),
    path=st.one_of(st.none(), st.text()),
    file=st.sampled_from([None, "present", "missing", "unread"]),
    filters=st.lists(st.builds(ClassFilter, st.just("disk"), st.booleans()), max_size=2).map(tuple),
)
SYSTEMS = st.builds(
    System,
    family=st.sampled_from(["linux", "windows", "other"]),
    root=PLACES,
    id=_facts(IDS),
    version=_facts(RELEASES),
    product=_facts(TEXT),
    service_pack=st.one_of(st.none(), _facts(st.one_of(TEXT, st.sampled_from(["SP1", "SP3"])))),
    variant=st.one_of(st.none(), _facts(TEXT)),
    architecture=_facts(TEXT),
    kernel=st.one_of(st.none(), _facts(KERNELS)),
    bootloader=_facts(TEXT),
    edition=st.one_of(st.none(), _facts(st.one_of(TEXT, st.sampled_from(["ServerStandard", "ServerDatacenterACor"])))),
    installation_type=st.one_of(st.none(), _facts(TEXT)),
    product_type=st.one_of(st.none(), _facts(st.sampled_from(["workstation", "server", "domain-controller", None]))),
    languages=st.one_of(
        st.none(), _facts(st.builds(Languages, installed=TEXT, interface=st.lists(st.text(), max_size=2).map(tuple)))
    ),
    remote_desktop=_facts(st.builds(RemoteDesktop, starts=st.booleans(), port=st.integers(0, 2**33), detail=st.text())),
    page_files=_facts(
        st.lists(
            st.builds(
                PageFile, path=st.text(), minimum=st.one_of(st.none(), SIZES), maximum=st.one_of(st.none(), SIZES)
            ),
            max_size=2,
        ).map(tuple)
    ),
    frameworks=_facts(
        st.lists(st.builds(Framework, version=st.one_of(st.text(), st.sampled_from(["3.5", "4.8"]))), max_size=2).map(
            tuple
        )
    ),
    updates=_facts(
        st.lists(
            st.builds(
                Update,
                name=st.sampled_from(["KB2922223", "KB2800213"]),
                state=st.sampled_from(["installed", "absent", "superseded"]),
            ),
            max_size=2,
        ).map(tuple)
    ),
    universal_clock=_facts(st.booleans()),
    hibernated=_facts(st.booleans()),
    driver_signing=_facts(st.sampled_from([None, "ignore", "warn", "block"])),
    pending_restart=_facts(
        st.lists(
            st.builds(PendingWork, st.sampled_from(["updates", "files"]), st.text(), st.just(AtPath("x", "y"))),
            max_size=2,
        ).map(tuple)
    ),
    boot_drivers=_facts(st.lists(BOOT_DRIVERS, max_size=2).map(tuple)),
    network_drivers=_facts(
        st.lists(
            st.builds(
                DeviceDriver,
                name=st.sampled_from(["ena", "ixgbevf", ""]),
                state=st.sampled_from(["installed", "staged", "broken", "unread", "absent"]),
            ),
            max_size=2,
        ).map(tuple)
    ),
    menu=_facts(ENTRIES),
    mounts=_facts(MOUNTS),
    mount_units=_facts(MOUNTS),
    network=_facts(NETWORK),
    dhcp_client=_facts(TEXT),
    products=_facts(
        st.lists(
            st.builds(
                StartingProduct,
                name=st.text(),
                kind=st.sampled_from(["antivirus", "intrusion-detection", "snapshot-backup"]),
                detail=st.text(),
            ),
            max_size=1,
        ).map(tuple)
    ),
    hibernated_files=_facts(st.lists(st.text(), max_size=1).map(tuple)),
    hardware_traces=_facts(
        st.lists(
            st.builds(
                HardwareTrace,
                st.sampled_from(["driver", "network-card", "virtual-at-installation"]),
                st.text(),
                st.just(AtPath("x", "y")),
            ),
            max_size=2,
        ).map(tuple)
    ),
    ssh_server=_facts(TEXT),
    ssh_start=_facts(
        st.builds(
            ServiceStart,
            starts=st.booleans(),
            manager=st.just("systemd"),
            unit=TEXT,
            detail=st.text(),
            evidence=EVIDENCE,
        )
    ),
    ssh_settings=_facts(
        st.one_of(
            st.none(),
            st.builds(SshSettings, listen_addresses=st.lists(st.one_of(PLACES, st.text()), max_size=2).map(tuple)),
        )
    ),
    firewalls=_facts(
        st.lists(
            st.builds(Firewall, name=st.text(), decision=_facts(st.sampled_from(["allow", "block"]))), max_size=2
        ).map(tuple)
    ),
)


@st.composite
def machines(draw: Callable[[st.SearchStrategy[Any]], Any]) -> MachineFacts:
    """Draw facts of any kind, also such as contradict themselves."""
    return MachineFacts(
        name="m",
        disks=tuple(draw(st.lists(DISKS, min_size=1, max_size=2))),
        volumes=tuple(draw(st.lists(VOLUMES, max_size=3))),
        boot=draw(BOOTS),
        systems=tuple(draw(st.lists(SYSTEMS, max_size=2))),
        systems_searched=draw(_facts(st.lists(PLACES, max_size=1).map(tuple))),
        unread=(),
        io=a_linux_machine().io,
    )


@given(machine=machines())
@settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
def test_any_facts_are_answered(machine: MachineFacts) -> None:
    _answer(machine)


@pytest.mark.long
@given(machine=machines())
@settings(max_examples=1000, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
def test_any_of_many_facts_are_answered(machine: MachineFacts) -> None:
    _answer(machine)


def _answer(machine: MachineFacts) -> None:
    """Strict: a rule that raises anything but `UnreadFact` fails here; so does one that answers `unknown` itself."""
    for profile, use in USES:
        for result in _asked(use, machine):
            assert isinstance(result, Result), profile.name
            assert result.summary or result.outcome == "unknown"
            assert result.outcome not in {"pass", "fail"} or result.evidence, f"{use.rule.name}: {result}"
        for finding in judge(machine, profile, strict=True).findings:
            assert finding.summary == shown(finding.summary)
