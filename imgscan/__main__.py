"""`python -m imgscan` is the `imgscan` command."""

from __future__ import annotations

from imgscan.cli.main import main

main()
