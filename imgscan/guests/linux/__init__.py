"""Questions asked of an installed Linux; one file per question."""

from imgscan.guests.linux.access import read_access
from imgscan.guests.linux.environment import read_environment
from imgscan.guests.linux.inspection import inspect_linux
from imgscan.guests.linux.services import Services

__all__ = ["Services", "inspect_linux", "read_access", "read_environment"]
