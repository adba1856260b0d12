"""Report formats: each module renders a report, one shape: ``render(report) -> str``.

Formats are imported by the command that needs one: rich is not loaded for JSON.
"""

from __future__ import annotations

FORMATS = ("text", "json")
"""What ``--format`` takes."""
SHARE_FORMATS = ("text", "json", "csv")
"""What ``--format`` takes for the report over a share; its modules yield the pieces of a long report."""
