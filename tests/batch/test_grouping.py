"""Which files are one machine: the layouts that products write, chains, sidecars, names."""

from __future__ import annotations

import time

import pytest
from share_builder import (
    HYPERV_XML,
    ISO,
    LIBVIRT,
    MANIFEST,
    OVF,
    TEXT,
    UNREADABLE,
    VBOX,
    VMCX,
    VMSD,
    VMX,
    ZEROS,
    Tree,
    assert_accounted,
    descriptor,
    image,
    machines,
    plan_of,
    sidecar,
)

from imgscan.batch import chains
from imgscan.batch.grouping import Mode, only_newer
from imgscan.batch.share import FileStamp, Identified, Plan
from imgscan.errors import UsageError

GUID = "5C2C4E3B-6A39-4A52-9D0B-6A1B0B3C2D1E"
GUID2 = "0A1B2C3D-4E5F-4A5B-8C7D-9E8F7A6B5C4D"


def reason(plan: Plan, name: str) -> str:
    return next(machine.reason for machine in plan.machines if machine.name == name)


def files(plan: Plan, name: str) -> list[str]:
    return list(next(machine.files for machine in plan.machines if machine.name == name))


# ---- what products write

ESXI_MACHINE: Tree = {  # a folder of a datastore, with two disks and two snapshots
    "web/web.vmx": sidecar(VMX, "web-000002.vmdk", "web_1-000002.vmdk"),
    "web/web.vmsd": sidecar(VMSD, "web.vmdk", "web_1.vmdk", "web-000001.vmdk", "web_1-000001.vmdk"),
    "web/web.vmxf": TEXT,
    "web/web.nvram": Identified(what="a VMware .nvram file", why="unsupported", detail="this is a VMware .nvram file"),
    "web/vmware.log": TEXT,
    "web/web.vmdk": descriptor("web-flat.vmdk"),
    "web/web-flat.vmdk": "raw",
    "web/web-ctk.vmdk": TEXT,
    "web/web_1.vmdk": descriptor("web_1-flat.vmdk"),
    "web/web_1-flat.vmdk": ZEROS,
    "web/web-000001.vmdk": descriptor("web-000001-delta.vmdk", parent="web.vmdk"),
    "web/web-000001-delta.vmdk": "vmdk",
    "web/web_1-000001.vmdk": descriptor("web_1-000001-delta.vmdk", parent="web_1.vmdk"),
    "web/web_1-000001-delta.vmdk": "vmdk",
    "web/web-000002.vmdk": descriptor("web-000002-sesparse.vmdk", parent="web-000001.vmdk"),
    "web/web-000002-sesparse.vmdk": "vmdk",
    "web/web_1-000002.vmdk": descriptor("web_1-000002-sesparse.vmdk", parent="web_1-000001.vmdk"),
    "web/web_1-000002-sesparse.vmdk": "vmdk",
}
OVFTOOL: Tree = {
    "web.ovf": sidecar(OVF, "web-disk1.vmdk", "web-disk2.vmdk"),
    "web.mf": sidecar(MANIFEST, "web-disk1.vmdk", "web-disk2.vmdk"),
    "web.cert": TEXT,
    "web-disk1.vmdk": "vmdk",
    "web-disk2.vmdk": "vmdk",
    "web-file1.nvram": TEXT,
    "web-file2.iso": ISO,
}
WORKSTATION_SPLIT: Tree = {
    "Win 10/Win 10.vmx": sidecar(VMX, "Win 10.vmdk", "Win 10-0.vmdk"),
    "Win 10/Win 10.vmdk": descriptor(*(f"Win 10-s{n:03}.vmdk" for n in range(1, 5))),
    **{f"Win 10/Win 10-s{n:03}.vmdk": "vmdk" for n in range(1, 5)},
    "Win 10/Win 10-0.vmdk": descriptor("Win 10-0-s001.vmdk"),
    "Win 10/Win 10-0-s001.vmdk": "vmdk",
    "Win 10/vmware.log": TEXT,
}
HYPERV_EXPORT: Tree = {  # Export-VM
    f"exports/web/Virtual Machines/{GUID}.vmcx": sidecar(VMCX, "web.vhdx", f"data_{GUID2}.avhdx"),
    f"exports/web/Virtual Machines/{GUID}.vmrs": sidecar(VMCX, "web.vhdx", f"data_{GUID2}.avhdx"),
    f"exports/web/Virtual Machines/{GUID}.VMRS": TEXT,
    "exports/web/Virtual Hard Disks/web.vhdx": "vhdx",
    f"exports/web/Virtual Hard Disks/data_{GUID2}.avhdx": image("vhdx", parent=("..\\data.vhdx", "D:\\vm\\data.vhdx")),
    "exports/web/Virtual Hard Disks/data.vhdx": "vhdx",
    f"exports/web/Snapshots/{GUID2}.vmcx": sidecar(VMCX, "web.vhdx", "data.vhdx"),
}
HYPERV_2008: Tree = {
    f"old/Virtual Machines/{GUID}.xml": sidecar(HYPERV_XML, "old.vhd", "data.vhd"),
    f"old/Virtual Machines/{GUID}/{GUID}.bin": TEXT,
    "old/Virtual Hard Disks/old.vhd": "vhd",
    "old/Virtual Hard Disks/data.vhd": "vhd",
}
VIRTUALBOX: Tree = {
    "VMs/web/web.vbox": sidecar(VBOX, "web.vdi", f"{{{GUID}}}.vdi"),
    "VMs/web/web.vbox-prev": sidecar(VBOX, "web.vdi"),
    "VMs/web/web.vdi": "vdi",
    f"VMs/web/Snapshots/{{{GUID}}}.vdi": "vdi",
    "VMs/web/Logs/VBox.log": TEXT,
}
LIBVIRT_DUMP: Tree = {
    "web.xml": sidecar(LIBVIRT, "web.qcow2", "web-1.qcow2"),
    "web.qcow2": "qcow2",
    "web-1.qcow2": "qcow2",
    "db.xml": sidecar(LIBVIRT, "db.qcow2"),
    "db.qcow2": "qcow2",
    "template.qcow2": "qcow2",
}
PROXMOX: Tree = {
    "images/100/vm-100-disk-0.qcow2": "qcow2",
    "images/100/vm-100-disk-1.qcow2": "qcow2",
    "images/100/vm-100-cloudinit.qcow2": "qcow2",
    "images/101/vm-101-disk-0.raw": "raw",
    "images/102/base-102-disk-0.qcow2": "qcow2",
}
AZURE: Tree = {
    "web_OsDisk_1_0123456789abcdef0123456789abcdef.vhd": "vhd",
    "web_DataDisk_0.vhd": "vhd",
    "web_lun_1_2_0123456789abcdef0123456789abcdee.vhd": "vhd",
    "db-osdisk.vhd": "vhd",
    "db-datadisk-00.vhd": "vhd",
    "abcd.vhd": "vhd",
}
AWS: Tree = {"export-i-0a1b2c3d.vmdk": "vmdk", "export-i-0a1b2c3e.vmdk": "vmdk", "export-i-0f.ova": TEXT}
XEN_TOOLS: Tree = {"domains/web/disk.img": "raw", "domains/web/swap.img": "raw", "domains/db/disk.img": "raw"}


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        (ESXI_MACHINE, {"web/web": ["web/web-000002.vmdk", "web/web_1-000002.vmdk"]}),
        (OVFTOOL, {"web": ["web-disk1.vmdk", "web-disk2.vmdk"]}),
        (WORKSTATION_SPLIT, {"Win 10/Win 10": ["Win 10/Win 10.vmdk", "Win 10/Win 10-0.vmdk"]}),
        (
            HYPERV_EXPORT,
            {
                "exports/web/web": [
                    "exports/web/Virtual Hard Disks/web.vhdx",
                    f"exports/web/Virtual Hard Disks/data_{GUID2}.avhdx",
                ]
            },
        ),
        (HYPERV_2008, {"old/old": ["old/Virtual Hard Disks/old.vhd", "old/Virtual Hard Disks/data.vhd"]}),
        (VIRTUALBOX, {"VMs/web/web": ["VMs/web/web.vdi", f"VMs/web/Snapshots/{{{GUID}}}.vdi"]}),
        (
            LIBVIRT_DUMP,
            {"db": ["db.qcow2"], "template": ["template.qcow2"], "web": ["web.qcow2", "web-1.qcow2"]},
        ),
        (
            PROXMOX,
            {
                "images/100/vm-100-disk-0": [
                    "images/100/vm-100-disk-0.qcow2",
                    "images/100/vm-100-disk-1.qcow2",
                    "images/100/vm-100-cloudinit.qcow2",
                ],
                "images/101/vm-101-disk-0": ["images/101/vm-101-disk-0.raw"],
                "images/102/base-102-disk-0": ["images/102/base-102-disk-0.qcow2"],
            },
        ),
        (
            AZURE,
            {
                "abcd": ["abcd.vhd"],
                "db-osdisk": ["db-osdisk.vhd", "db-datadisk-00.vhd"],
                "web_OsDisk_1_0123456789abcdef0123456789abcdef": [
                    "web_OsDisk_1_0123456789abcdef0123456789abcdef.vhd",
                    "web_DataDisk_0.vhd",
                    "web_lun_1_2_0123456789abcdef0123456789abcdee.vhd",
                ],
            },
        ),
        (
            AWS,
            {
                "export-i-0a1b2c3d": ["export-i-0a1b2c3d.vmdk"],
                "export-i-0a1b2c3e": ["export-i-0a1b2c3e.vmdk"],
                "export-i-0f": ["export-i-0f.ova"],
            },
        ),
        (
            XEN_TOOLS,
            {
                "domains/db/disk": ["domains/db/disk.img"],
                "domains/web/disk": ["domains/web/disk.img", "domains/web/swap.img"],
            },
        ),
    ],
    ids=[
        "esxi",
        "ovftool",
        "workstation",
        "hyper-v",
        "hyper-v-2008",
        "virtualbox",
        "libvirt",
        "proxmox",
        "azure",
        "aws",
        "xen",
    ],
)
def test_layouts_of_products(tree: Tree, expected: dict[str, list[str]]) -> None:
    assert machines(tree) == expected


def test_all_files_of_a_machine_belong_to_it_and_its_logs_do_not() -> None:
    plan = plan_of(ESXI_MACHINE)
    logs = {"web/vmware.log", "web/web.nvram"}
    assert set(files(plan, "web/web")) == set(ESXI_MACHINE) - logs
    assert {problem.path for problem in plan.others} == logs
    assert reason(plan, "web/web") == "web.vmx (a VMX machine file) names these 2 disks"
    plan = plan_of(OVFTOOL)
    assert set(files(plan, "web")) == {"web.ovf", "web.mf", "web.cert", "web-disk1.vmdk", "web-disk2.vmdk"}
    plan = plan_of(HYPERV_EXPORT)
    assert set(files(plan, "exports/web/web")) == set(HYPERV_EXPORT) - {f"exports/web/Virtual Machines/{GUID}.VMRS"}
    plan = plan_of(VIRTUALBOX)
    assert set(files(plan, "VMs/web/web")) == set(VIRTUALBOX) - {"VMs/web/Logs/VBox.log"}


EVERY_LAYOUT: Tree = {
    f"{number}/{path}": what
    for number, tree in enumerate(
        (ESXI_MACHINE, OVFTOOL, WORKSTATION_SPLIT, HYPERV_EXPORT, HYPERV_2008, VIRTUALBOX, LIBVIRT_DUMP, PROXMOX, AZURE)
    )
    for path, what in tree.items()
}


def test_layouts_do_not_disturb_each_other() -> None:
    apart = sum(len(plan_of(tree).machines) for tree in (ESXI_MACHINE, OVFTOOL, WORKSTATION_SPLIT, HYPERV_EXPORT))
    apart += sum(len(plan_of(tree).machines) for tree in (HYPERV_2008, VIRTUALBOX, LIBVIRT_DUMP, PROXMOX, AZURE))
    assert len(machines(EVERY_LAYOUT)) == apart


@pytest.mark.parametrize("mode", ["auto", "file", "folder"])
def test_the_order_of_input_is_no_matter(mode: Mode) -> None:
    plan = plan_of(EVERY_LAYOUT, mode)
    assert_accounted(EVERY_LAYOUT, plan)
    for seed in range(5):
        assert plan_of(EVERY_LAYOUT, mode, shuffle=seed) == plan


# ---- chains


def test_the_top_of_a_chain_is_the_disk() -> None:
    tree: Tree = {
        "base.qcow2": "qcow2",
        "middle.qcow2": image("qcow2", parent="/var/lib/libvirt/images/base.qcow2"),
        "top.qcow2": image("qcow2", parent="middle.qcow2"),
    }
    assert machines(tree) == {"top": ["top.qcow2"]}
    assert files(plan_of(tree), "top") == ["base.qcow2", "middle.qcow2", "top.qcow2"]


def test_a_shared_base_belongs_to_each_clone_and_is_no_machine() -> None:
    tree: Tree = {
        "base.qcow2": "qcow2",
        "web.qcow2": image("qcow2", parent="base.qcow2"),
        "db.qcow2": image("qcow2", parent="base.qcow2"),
    }
    assert machines(tree) == {"db": ["db.qcow2"], "web": ["web.qcow2"]}
    assert files(plan_of(tree), "web") == ["base.qcow2", "web.qcow2"]
    assert files(plan_of(tree), "db") == ["base.qcow2", "db.qcow2"]


def test_a_shared_base_that_a_sidecar_names_is_a_machine_too() -> None:
    tree: Tree = {
        "base.vmx": sidecar(VMX, "base.vmdk"),
        "base.vmdk": "vmdk",
        "clone.vmdk": image("vmdk", parent="base.vmdk"),
    }
    assert machines(tree) == {"base": ["base.vmdk"], "clone": ["clone.vmdk"]}


def test_clones_of_one_base_are_no_disks_of_one_machine() -> None:
    tree: Tree = {
        "base.qcow2": "qcow2",
        "web-disk1.qcow2": image("qcow2", parent="base.qcow2"),
        "web-disk2.qcow2": image("qcow2", parent="base.qcow2"),
    }
    assert len(machines(tree)) == 2
    assert "the same parent" in reason(plan_of(tree), "web-disk1")


def test_two_states_of_one_disk_are_two_machines_and_called_by_their_whole_names() -> None:
    tree: Tree = {
        "web.vmdk": "vmdk",
        "web-000001.vmdk": image("vmdk", parent="web.vmdk"),
        "web-000002.vmdk": image("vmdk", parent="web.vmdk"),
    }
    assert machines(tree) == {"web-000001.vmdk": ["web-000001.vmdk"], "web-000002.vmdk": ["web-000002.vmdk"]}


def test_deltas_of_two_disks_are_one_machine_called_like_the_disk() -> None:
    tree: Tree = {
        "web.vmdk": "vmdk",
        "web_1.vmdk": "vmdk",
        "web-000001.vmdk": image("vmdk", parent="web.vmdk"),
        "web_1-000001.vmdk": image("vmdk", parent="C:\\vm\\web_1.vmdk"),
    }
    assert machines(tree) == {"web": ["web-000001.vmdk", "web_1-000001.vmdk"]}


def test_a_branch_that_only_the_snapshot_list_names_is_no_disk() -> None:
    tree: Tree = {
        "web.vmx": sidecar(VMX, "web-000002.vmdk"),
        "web.vmsd": sidecar(VMSD, "web.vmdk", "web-000001.vmdk"),
        "web.vmdk": "vmdk",
        "web-000001.vmdk": image("vmdk", parent="web.vmdk"),
        "web-000002.vmdk": image("vmdk", parent="web.vmdk"),
    }
    assert machines(tree) == {"web": ["web-000002.vmdk"]}
    assert set(files(plan_of(tree), "web")) == set(tree)
    assert "older states of its snapshots are no disks: web-000001.vmdk" in reason(plan_of(tree), "web")


def test_a_parent_that_is_not_here_is_told() -> None:
    tree: Tree = {"web-000001.vmdk": image("vmdk", parent="C:\\vm\\web.vmdk")}
    assert machines(tree) == {"web": ["web-000001.vmdk"]}
    assert reason(plan_of(tree), "web").endswith("; the parent web.vmdk is not here")


def test_parents_are_looked_for_in_the_own_folder_only() -> None:
    tree: Tree = {"a/base.qcow2": "qcow2", "b/top.qcow2": image("qcow2", parent="../a/base.qcow2")}
    assert machines(tree) == {"a/base": ["a/base.qcow2"], "b/top": ["b/top.qcow2"]}


def test_chains_that_run_in_a_circle_lose_nothing() -> None:
    tree: Tree = {
        "a.qcow2": image("qcow2", parent="b.qcow2"),
        "b.qcow2": image("qcow2", parent="c.qcow2"),
        "c.qcow2": image("qcow2", parent="a.qcow2"),
        "own.qcow2": image("qcow2", parent="own.qcow2"),
        "x.vmdk": descriptor("y.vmdk"),
        "y.vmdk": descriptor("x.vmdk"),
    }
    found = machines(tree)
    assert found["a"] == ["a.qcow2"]
    assert found["own"] == ["own.qcow2"]
    assert {"x", "y"} <= set(found)


def test_a_chain_beyond_the_limit_is_told() -> None:
    tree = {f"{n}.qcow2": image("qcow2", parent=f"{n + 1}.qcow2") for n in range(80)}
    plan = plan_of(tree)
    assert_accounted(tree, plan)
    assert [machine.disks for machine in plan.machines] == [("0.qcow2",)]
    assert len(plan.machines[0].files) == 64
    assert {problem.why for problem in plan.others} == {"limit"}


def test_an_image_cannot_take_a_machine_for_its_extent() -> None:
    tree: Tree = {
        "evil.vmdk": descriptor("web.vhdx", "db.qcow2", "mail.vmdk", "../x.vmdk", "evil.vmdk"),
        "web.vhdx": "vhdx",
        "db.qcow2": "qcow2",
        "mail.vmdk": descriptor("mail-flat.vmdk"),
        "mail-flat.vmdk": "raw",
    }
    assert set(machines(tree)) == {"evil", "web", "db", "mail"}


def test_a_disk_that_a_sidecar_names_is_one_whatever_claims_it() -> None:
    tree: Tree = {
        "evil.vmdk": descriptor("web.vmdk"),
        "web.vmx": sidecar(VMX, "web.vmdk"),
        "web.vmdk": "vmdk",
    }
    assert machines(tree) == {"evil": ["evil.vmdk"], "web": ["web.vmdk"]}


def test_a_parent_of_another_format_is_none() -> None:
    tree: Tree = {"evil.vhdx": image("vhdx", parent="web.vmdk"), "web.vmdk": "vmdk"}
    assert set(machines(tree)) == {"evil", "web"}


def test_names_in_other_letters_are_the_same_file_unless_the_very_name_is_there() -> None:
    tree: Tree = {"web.vmdk": descriptor("Web-Flat.vmdk"), "WEB-flat.VMDK": "raw"}
    assert machines(tree) == {"web": ["web.vmdk"]}
    tree = {**tree, "Web-Flat.vmdk": "raw"}
    assert set(machines(tree)) == {"web", "WEB"}


# ---- extents without a descriptor that can be read


@pytest.mark.parametrize("broken", [ZEROS, UNREADABLE, None, image("vmdk")])
def test_extents_beside_a_descriptor_that_cannot_be_read(broken: Identified | None) -> None:
    tree: Tree = {
        "web.vmdk": broken,
        "web-flat.vmdk": "raw",
        "web-s001.vmdk": "vmdk",
        "web-delta.vmdk": "vmdk",
        "web-ctk.vmdk": TEXT,
        "other-ctk.vmdk": TEXT,
    }
    plan = plan_of(tree, sizes={"web.vmdk": 0 if broken is None else 400})
    assert_accounted(tree, plan)
    assert [machine.disks for machine in plan.machines] == [("web.vmdk",)]
    assert [problem.path for problem in plan.others] == ["other-ctk.vmdk"]


def test_a_sparse_disk_does_not_take_what_it_does_not_name() -> None:
    tree: Tree = {"web.vmdk": "vmdk", "web-flat.vmdk": "raw"}
    assert len(machines(tree)) == 2


def test_pieces_without_any_descriptor_are_one_disk() -> None:
    tree: Tree = {f"web-s{n:03}.vmdk": "vmdk" for n in range(1, 12)}
    assert machines(tree) == {"web-s001": ["web-s001.vmdk"]}
    assert len(files(plan_of(tree), "web-s001")) == 11


# ---- sidecars


def test_a_sidecar_keeps_its_order_and_says_what_is_missing() -> None:
    tree: Tree = {
        "web.ovf": sidecar(OVF, "z.vmdk", "gone.vmdk", "a.vmdk"),
        "a.vmdk": "vmdk",
        "z.vmdk": "vmdk",
        "b.vmdk": "vmdk",
    }
    assert machines(tree) == {"b": ["b.vmdk"], "web": ["z.vmdk", "a.vmdk"]}
    assert "gone.vmdk, which it names too, is not here" in reason(plan_of(tree), "web")


def test_a_sidecar_names_disks_in_other_folders() -> None:
    tree: Tree = {
        "lab/cfg/web.vmx": sidecar(VMX, "../web.vmdk", "disks/data.vmdk", "../../../etc/shadow.vmdk"),
        "lab/web.vmdk": "vmdk",
        "lab/cfg/disks/data.vmdk": "vmdk",
        "lab/cfg/web.vmdk": "vmdk",
        "moved/app.vmx": sidecar(VMX, "../gone/app.vmdk"),
        "moved/app.vmdk": "vmdk",
        "uri/my.ovf": sidecar(OVF, "my%20disk.vmdk"),
        "uri/my disk.vmdk": "vmdk",
    }
    assert machines(tree) == {
        "lab/cfg/web.vmx": ["lab/web.vmdk", "lab/cfg/disks/data.vmdk"],
        "lab/cfg/web.vmdk": ["lab/cfg/web.vmdk"],
        "lab/web": ["lab/web.vmdk"],
        "moved/app": ["moved/app.vmdk"],
        "uri/my": ["uri/my disk.vmdk"],
    }
    assert {machine.name: machine.missing for machine in plan_of(tree).machines if machine.missing} == {
        "lab/cfg/web.vmx": ("shadow.vmdk",)
    }


@pytest.mark.parametrize("names", [("../b/web-1.raw",), ("own.vmdk", "../b/web-1.raw", "../b/gone.vmdk")])
def test_a_sidecar_takes_no_disk_out_of_another_folder(names: tuple[str, ...]) -> None:
    """Who may upload to one folder of a share shall not be able to hide the machines of another."""
    tree: Tree = {
        "a/evil.vmx": sidecar(VMX, *names),
        "a/evil.vmsd": sidecar(VMSD, "../b/web-2.raw", *names),
        "a/own.vmdk": "vmdk",
        "b/web-1.raw": "raw",
        "b/web-2.raw": "raw",
    }
    plan = plan_of(tree)
    assert {machine.name: machine.disks for machine in plan.machines if machine.name.startswith("b/")} == {
        "b/web-1": ("b/web-1.raw",),
        "b/web-2": ("b/web-2.raw",),
    }
    assert all(not machine.missing for machine in plan.machines if machine.name.startswith("b/"))
    assert "; a/evil.vmx, of another folder, names it too" in reason(plan, "b/web-1")


def test_a_sidecar_of_another_folder_names_and_changes_no_machine() -> None:
    """It comes first by its path, names the same disks in another order, and one that is not here."""
    own: Tree = {"b/web.vmx": sidecar(VMX, "a.vmdk", "b.vmdk"), "b/a.vmdk": "vmdk", "b/b.vmdk": "vmdk"}
    for names in (("../b/b.vmdk", "../b/a.vmdk"), ("../b/b.vmdk", "../b/a.vmdk", "gone.vmdk"), ("../b/a.vmdk",)):
        plan = plan_of({**own, "a/evil.vmx": sidecar(VMX, *names), "a/evil.ovf": sidecar(OVF, *names)})
        (web,) = (machine for machine in plan.machines if machine.name == "b/web")
        assert (web.disks, web.missing) == (("b/a.vmdk", "b/b.vmdk"), ())
        assert not any(file.startswith("a/") for file in web.files)


def test_two_disks_of_one_name_are_two_disks() -> None:
    """Each datastore's first disk of a machine has the machine's name: here only one of them was copied."""
    tree: Tree = {"web/web.vmx": sidecar(VMX, "web.vmdk", "web.vmdk"), "web/web.vmdk": "vmdk"}
    (machine,) = plan_of(tree).machines
    assert (machine.disks, machine.missing) == (("web/web.vmdk",), ("web/web.vmdk (a second one)",))


def test_disks_that_are_missing_for_certain_are_told_apart() -> None:
    """A VMX and an OVF name what the machine has now; the other descriptions name older states and unused disks too."""
    for what in (VMX, OVF, VBOX, VMCX, LIBVIRT):
        tree: Tree = {"lab/web.xml": sidecar(what, "a.vmdk", "gone.vmdk"), "lab/a.vmdk": "vmdk"}
        (machine,) = plan_of(tree).machines
        assert machine.missing == (("lab/gone.vmdk",) if what in {VMX, OVF} else ())


def test_a_sidecar_without_any_of_its_disks_is_told() -> None:
    tree: Tree = {"web.ovf": sidecar(OVF, "web.vmdk"), "bare.vmx": sidecar(VMX), "sums.mf": sidecar(MANIFEST, "x.vmdk")}
    plan = plan_of(tree)
    assert_accounted(tree, plan)
    assert plan.machines == ()
    assert [(told.path, told.why, told.detail) for told in plan.others] == [
        ("bare.vmx", "not-collected", "a VMX machine file; it names no disk"),
        ("sums.mf", "not-collected", "an OVF manifest; it belongs to no machine here"),
    ]
    assert [(told.path, told.why, told.detail) for told in plan.problems] == [
        ("web.ovf", "missing", "an OVF descriptor; none of the disks that it names is here: web.vmdk"),
    ]


def test_a_vmx_and_the_ovf_made_of_it_are_one_machine() -> None:
    tree: Tree = {
        "web.vmx": sidecar(VMX, "web.vmdk"),
        "export.ovf": sidecar(OVF, "web.vmdk", "web_data.vmdk"),
        "web.vmdk": "vmdk",
        "web_data.vmdk": "vmdk",
    }
    assert machines(tree) == {"web": ["web.vmdk", "web_data.vmdk"]}
    assert "export.ovf" in files(plan_of(tree), "web")


def test_copies_of_a_sidecar_are_one_machine() -> None:
    tree: Tree = {
        "web.vmx": sidecar(VMX, "web.vmdk"),
        "web - Copy.vmx": sidecar(VMX, "web.vmdk"),
        "web.vmx.bak": sidecar(VMX, "web.vmdk"),
        "web.vmdk": "vmdk",
    }
    assert machines(tree) == {"web - Copy": ["web.vmdk"]}
    assert set(files(plan_of(tree), "web - Copy")) == set(tree)


def test_a_disk_that_two_machines_name_is_a_disk_of_both() -> None:
    tree: Tree = {
        "web.vmx": sidecar(VMX, "web.vmdk", "quorum.vmdk"),
        "db.vmx": sidecar(VMX, "db.vmdk", "quorum.vmdk"),
        "web.vmdk": "vmdk",
        "db.vmdk": "vmdk",
        "quorum.vmdk": "vmdk",
    }
    assert machines(tree) == {"db": ["db.vmdk", "quorum.vmdk"], "web": ["web.vmdk", "quorum.vmdk"]}
    assert reason(plan_of(tree), "web").endswith("another sidecar names quorum.vmdk too")


def test_no_sidecar_of_the_same_kind_swallows_another_s_machine() -> None:
    tree: Tree = {
        "evil.vmx": sidecar(VMX, "db.vmdk", "web.vmdk"),
        "db.vmx": sidecar(VMX, "db.vmdk"),
        "web.vmx": sidecar(VMX, "web.vmdk"),
        "db.vmdk": "vmdk",
        "web.vmdk": "vmdk",
    }
    assert machines(tree) == {"db": ["db.vmdk"], "evil": ["db.vmdk", "web.vmdk"], "web": ["web.vmdk"]}


def test_checksums_over_many_machines_group_nothing() -> None:
    tree: Tree = {f"host{n:02}.vmdk": "vmdk" for n in range(20)}
    tree = {**tree, "CHECKSUMS": sidecar(MANIFEST, *tree), "host03.vmx": sidecar(VMX, "host03.vmdk")}
    found = machines(tree)
    assert len(found) == 20
    assert all(len(disks) == 1 for disks in found.values())


def test_a_sidecar_may_name_what_has_another_extension_or_is_damaged() -> None:
    tree: Tree = {
        "web.vmx": sidecar(VMX, "web.img", "data.vmdk", "cd.img"),
        "web.img": "raw",
        "data.vmdk": None,
        "cd.img": ISO,
    }
    assert machines(tree) == {"web": ["web.img", "data.vmdk"]}
    assert "data.vmdk is an image by name only: the file is empty" in reason(plan_of(tree), "web")


def test_hyperv_machines_in_one_store() -> None:
    """The default folders of a host: all machines' files in the same two folders."""
    tree: Tree = {
        f"Hyper-V/Virtual Machines/{GUID}.vmcx": sidecar(VMCX, "web.vhdx"),
        f"Hyper-V/Virtual Machines/{GUID2}.vmcx": sidecar(VMCX, "db.vhdx", "db_data.vhdx"),
        "Hyper-V/Virtual Hard Disks/web.vhdx": "vhdx",
        "Hyper-V/Virtual Hard Disks/db.vhdx": "vhdx",
        "Hyper-V/Virtual Hard Disks/db_data.vhdx": "vhdx",
    }
    folder = "Hyper-V/Virtual Hard Disks"
    assert machines(tree) == {
        "Hyper-V/db": [f"{folder}/db.vhdx", f"{folder}/db_data.vhdx"],
        "Hyper-V/web": [f"{folder}/web.vhdx"],
    }


def test_hyperv_disks_without_a_description() -> None:
    folder = "exports/web/Virtual Hard Disks"
    tree: Tree = {f"{folder}/web1.vhdx": "vhdx", f"{folder}/web2.vhdx": "vhdx"}
    assert machines(tree) == {"exports/web/web1": [f"{folder}/web1.vhdx", f"{folder}/web2.vhdx"]}


def test_hyperv_folders_in_small_letters() -> None:
    tree: Tree = {
        f"web/virtual machines/{GUID}.xml": sidecar(HYPERV_XML, "web.vhdx"),
        "web/virtual hard disks/web.vhdx": "vhdx",
    }
    assert machines(tree) == {"web/web": ["web/virtual hard disks/web.vhdx"]}


# ---- what is no image by its content


def test_what_is_called_an_image_is_a_machine_whatever_it_holds() -> None:
    tree: Tree = {
        "empty.vmdk": None,
        "zeros.vhdx": ZEROS,
        "cut.qcow2": TEXT,
        "unreadable.img": UNREADABLE,
        "packed.vmdk.gz": Identified(what="a file compressed with gzip", why="unsupported", detail="unpack it"),
        "guest-wrote-an-ovf.img": sidecar(OVF, "web.vmdk"),
    }
    assert len(machines(tree)) == len(tree)


def test_what_is_known_to_be_something_else_is_no_machine() -> None:
    tree: Tree = {
        "initrd.img": Identified(what="a file compressed with gzip", why="unsupported", detail="this is gzip"),
        "notes": TEXT,
        "cd.iso": ISO,
        "empty": None,
        "vmware.log": TEXT,
        ".vmdk": TEXT,
    }
    plan = plan_of(tree)
    assert_accounted(tree, plan)
    assert plan.machines == ()


def test_images_of_any_name_are_machines() -> None:
    tree: Tree = {"8f2c": "qcow2", "disk": "raw", "backup.old": "vmdk"}
    assert machines(tree) == {"8f2c": ["8f2c"], "backup.old": ["backup.old"], "disk": ["disk"]}


def test_what_could_not_be_told_is_a_problem() -> None:
    tree: Tree = {"data": UNREADABLE, "gone": Identified(why="missing", detail="it is not there any more")}
    plan = plan_of(tree)
    assert_accounted(tree, plan)
    assert [(problem.path, problem.why) for problem in plan.problems] == [("data", "io-error"), ("gone", "missing")]


# ---- modes, names, newer


def test_every_file_and_every_folder() -> None:
    tree: Tree = {
        "web/web.vmx": sidecar(VMX, "web_1.vmdk", "web.vmdk"),
        "web/web.vmdk": descriptor("web-flat.vmdk"),
        "web/web-flat.vmdk": "raw",
        "web/web_1.vmdk": "vmdk",
        "web/sub/x.vhdx": "vhdx",
        "top10.vmdk": "vmdk",
        "top9.vmdk": "vmdk",
    }
    assert machines(tree, "file") == {
        "top9": ["top9.vmdk"],
        "top10": ["top10.vmdk"],
        "web/sub/x": ["web/sub/x.vhdx"],
        "web/web": ["web/web.vmdk"],
        "web/web_1": ["web/web_1.vmdk"],
    }
    assert machines(tree, "folder") == {
        "top9": ["top9.vmdk", "top10.vmdk"],
        "web": ["web/web.vmdk", "web/web_1.vmdk"],
        "web/sub": ["web/sub/x.vhdx"],
    }
    assert "web/web.vmx" in files(plan_of(tree, "folder"), "web")


def test_there_are_three_modes() -> None:
    with pytest.raises(UsageError, match="auto, file, folder"):
        plan_of({}, "sideways")  # type: ignore[arg-type]


def test_machines_of_the_same_name_are_called_by_their_whole_names() -> None:
    tree: Tree = {"a/web.vmdk": "vmdk", "a/web.vhdx": "vhdx", "b/web.vmdk": "vmdk"}
    assert set(machines(tree)) == {"a/web.vmdk", "a/web.vhdx", "b/web"}
    tree = {"web.vmdk.gz": ZEROS, "web.vmdk": "vmdk", "web.vhdx": "vhdx", "web": "raw"}
    assert set(machines(tree)) == set(tree)
    tree = {"x.vmdk": "vmdk", "x.vhdx": "vhdx", "x.vmdk.qcow2": "qcow2", "x.vmdk.vdi": "vdi"}
    assert set(machines(tree)) == set(tree)


def test_a_name_depends_on_no_other_machine() -> None:
    alone = machines({"a/web-disk1.vmdk": "vmdk"})
    more = machines({"a/web-disk1.vmdk": "vmdk", "a/web-disk2.vmdk": "vmdk", "a/db.vmdk": "vmdk"})
    assert set(alone) == {"a/web-disk1"}
    assert set(alone) <= set(more)


def test_a_machine_is_newer_when_one_of_its_files_is() -> None:
    tree: Tree = {"old.vmdk": "vmdk", "old.vmx": sidecar(VMX, "old.vmdk")}
    tree = {**tree, "new.vmdk": descriptor("new-flat.vmdk"), "new-flat.vmdk": "raw"}
    stamps = {path: FileStamp(1, 100, 1, 1) for path in tree} | {"new-flat.vmdk": FileStamp(1, 200, 1, 1)}
    plan = only_newer(plan_of(tree), stamps, 200)
    assert [machine.name for machine in plan.machines] == ["new"]
    assert_accounted(tree, plan)
    assert {(told.path, told.why) for told in plan.others} == {
        ("old.vmdk", "not-collected"),
        ("old.vmx", "not-collected"),
    }


# ---- hostile and large


HOSTILE = ("..", "a\nb", "a\x1b[31mb", "caf\udce9", "\u202egpj", " ", "-rf", "x" * 250, "'; drop table", "\\", "*")


def test_hostile_names_are_harmless() -> None:
    tree: Tree = {f"{name}.vmdk": descriptor(f"{name}-flat.vmdk", "../../etc/passwd") for name in HOSTILE}
    tree = {**tree, **{f"{name}-flat.vmdk": "raw" for name in HOSTILE}, "..vmdk": "vmdk", "x\ny/..disk1.vmdk": "raw"}
    plan = plan_of(tree)
    assert_accounted(tree, plan)
    for seed in range(3):
        assert plan_of(tree, shuffle=seed) == plan


def large_folders(count: int) -> list[Tree]:
    """Folders in which everything is alike, or refers to the same."""
    shared = {f"e{n}.vmdk": "raw" for n in range(count // 100)}
    return [
        {f"web{n}.vmdk": "vmdk" for n in range(count)},
        {f"web-disk{n}.vmdk": "vmdk" for n in range(count)},
        {"base.qcow2": "qcow2", **{f"web-{n}.qcow2": image("qcow2", parent="base.qcow2") for n in range(count)}},
        {f"{n}.qcow2": image("qcow2", parent=f"{n + 1}.qcow2") for n in range(count)},
        {"a.vmdk": "vmdk", "7.vmdk": "vmdk", **{f"{n}.vmx": sidecar(VMX, "a.vmdk", f"{n}.vmdk") for n in range(count)}},
        {**shared, **{f"{n}.vmdk": descriptor(*shared) for n in range(count // 30)}},
    ]


@pytest.mark.parametrize("count", [4000, pytest.param(100_000, marks=pytest.mark.long)])
@pytest.mark.parametrize("number", range(6), ids=["numbered", "disks", "clones", "chain", "sidecars", "extents"])
def test_large_folders_cost_no_more_for_each_file(number: int, count: int) -> None:
    tree = large_folders(count)[number]
    start = time.process_time()
    plan = plan_of(tree)
    assert time.process_time() - start < count / 2000  # measured: 1/16000 of a second for each file
    assert sum(len(machine.files) for machine in plan.machines) < 20 * count + 1_000_000


def test_clones_of_a_base_of_many_pieces_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chains, "SHARED_FILES", 10_000)
    pieces = tuple(f"base-s{n:03}.vmdk" for n in range(1, 300))
    tree: Tree = {
        "base.vmdk": descriptor(*pieces),
        **dict.fromkeys(pieces, "vmdk"),
        **{f"clone{n:04}.vmdk": image("vmdk", parent="base.vmdk") for n in range(100)},
    }
    plan = plan_of(tree)
    assert_accounted(tree, plan)
    assert len(plan.machines) == 100
    assert len(plan.machines[0].files) == 301
    assert plan.machines[99].files == ("base.vmdk", "clone0099.vmdk")
    assert sum(len(machine.files) for machine in plan.machines) < 11_000
