"""Which services start at boot: the question that all init systems answer, each in its own way."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Final, Literal, Protocol

import msgspec

from imgscan.devices.guest_tree import GuestTree
from imgscan.errors import UnsupportedFormat
from imgscan.guests.linux.rc_links import OpenRc, Started, SysVinit
from imgscan.guests.linux.systemd import SystemdUnits
from imgscan.model.access import ServiceStart

Manager = Literal["systemd", "sysvinit", "upstart", "openrc"]

_SYSTEMD: Final = ("/usr/lib/systemd/systemd", "/lib/systemd/systemd")


class InitSystem(Protocol):
    """What every init system is asked."""

    def start(self, *names: str) -> ServiceStart:
        """Say whether a service starts that is called by any of these names, without a suffix."""
        ...

    def started(self) -> Iterator[Started]:
        """Yield all that a boot starts."""
        ...


class _Found(msgspec.Struct, frozen=True):
    manager: Manager
    init: InitSystem


class Services:
    """The services of one guest; what is read is read once.

    Every question raises an `ImageError` when the answer cannot be told.
    """

    def __init__(self, tree: GuestTree) -> None:
        self._tree = tree

    @property
    def manager(self) -> Manager:
        """The init system that starts.

        :raises UnsupportedFormat: none that is known was found
        """
        return self._found.manager

    def start(self, *names: str) -> ServiceStart:
        """Say whether a service starts that is called by any of these names, the most usual first, without a suffix."""
        return self._found.init.start(*names)

    def started(self) -> Iterator[Started]:
        """Yield all that a boot starts, with what it runs then."""
        return self._found.init.started()

    @property
    def systemd(self) -> SystemdUnits | None:
        """The units, where systemd starts the system."""
        init = self._found.init
        return init if isinstance(init, SystemdUnits) else None

    @cached_property
    def _found(self) -> _Found:
        tree = self._tree
        init = tree.find("/sbin/init")
        if init is None:
            init = next((place for path in _SYSTEMD if (place := tree.find(path)) is not None), None)
        if init is not None and init.path.rpartition("/")[2] == "systemd":
            return _Found("systemd", SystemdUnits(tree))
        if init is not None and init.path.rpartition("/")[2] == "openrc-init":
            return _Found("openrc", OpenRc(tree))
        # /sbin/init is a program of its own in Upstart and sysvinit, and OpenRC is started by the latter
        if tree.exists("/etc/init/rc.conf") or tree.exists("/etc/init/rc-sysinit.conf"):
            from imgscan.guests.linux.upstart import Upstart  # noqa: PLC0415 - start-up time

            return _Found("upstart", Upstart(tree))
        if tree.exists("/etc/runlevels/default"):
            return _Found("openrc", OpenRc(tree))
        if tree.exists("/etc/inittab"):
            return _Found("sysvinit", SysVinit(tree))
        raise UnsupportedFormat("the init system is none that imgscan knows", where=tree.mounts["/"].volume)
