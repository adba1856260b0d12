"""wicked's own XML files, which are used beside SUSE's ifcfg files where YaST did not write those."""

from __future__ import annotations

from imgscan.errors import UnsupportedFormat
from imgscan.guests.linux.config_file import ConfigFile
from imgscan.model.network import Interface
from imgscan.model.text import shown


def read_wicked(file: ConfigFile) -> tuple[Interface, ...]:
    """Refuse a file of interfaces: its form is wicked's own, and no distribution writes it.

    :raises UnsupportedFormat: it describes an interface
    """
    if "<interface" in file.text:
        raise UnsupportedFormat("wicked's own configuration is not read", where=shown(file.path))
    return ()
