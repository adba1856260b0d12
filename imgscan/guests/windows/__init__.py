"""Questions asked of an installed Windows; one file per question."""

from imgscan.guests.windows.inspection import inspect_windows

__all__ = ["inspect_windows"]
