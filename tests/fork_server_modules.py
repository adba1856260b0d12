"""What the server of `fork_server` loads before it forks."""

from __future__ import annotations

import planted_parsers

from imgscan.batch import engine, ledger, share_report, worker
from imgscan.cli import batch, report
from imgscan.reports import share_json, share_text

worker.preload()
__all__ = ["batch", "engine", "ledger", "planted_parsers", "report", "share_json", "share_report", "share_text"]
