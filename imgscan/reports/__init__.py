"""Report formats: each module renders a report, one shape: ``render(report) -> str``.

Formats are imported by the command that needs one: rich is not loaded for JSON.
"""

from __future__ import annotations

FORMATS = ("text", "json")
"""What ``--format`` takes."""
