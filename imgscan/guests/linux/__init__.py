"""Questions asked of an installed Linux; one file per question."""

from imgscan.guests.linux.access import read_access
from imgscan.guests.linux.inspection import inspect_linux

__all__ = ["inspect_linux", "read_access"]
