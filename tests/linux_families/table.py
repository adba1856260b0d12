"""All families, by name: what makes each. They are made when they are asked for, by tools that need not be here."""

from __future__ import annotations

from collections.abc import Callable

from linux_families import debian_and_ubuntu, red_hat_5_and_6, red_hat_7_to_9, suse
from linux_families.family import Family

FAMILIES: dict[str, Callable[[], Family]] = {
    "rhel5": red_hat_5_and_6.rhel5,
    "centos6": red_hat_5_and_6.centos6,
    "oracle6": red_hat_5_and_6.oracle6,
    "centos7": red_hat_7_to_9.centos7,
    "rhel8": red_hat_7_to_9.rhel8,
    "almalinux9": red_hat_7_to_9.almalinux9,
    "fedora19": lambda: red_hat_7_to_9.fedoras()[0],
    "fedora20": lambda: red_hat_7_to_9.fedoras()[1],
    "fedora21": lambda: red_hat_7_to_9.fedoras()[2],
    "sles11": suse.sles11,
    "sles12": suse.sles12,
    "debian7": debian_and_ubuntu.debian7,
    "ubuntu12.04": lambda: debian_and_ubuntu.ubuntus()[0],
    "ubuntu14.04": lambda: debian_and_ubuntu.ubuntus()[1],
    "ubuntu16.04": lambda: debian_and_ubuntu.ubuntus()[2],
    "ubuntu18.04": lambda: debian_and_ubuntu.ubuntus()[3],
}
