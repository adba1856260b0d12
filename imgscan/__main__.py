"""`python -m imgscan` is the `imgscan` command."""

from __future__ import annotations

import gc
import importlib
import resource
import signal
import sys
from typing import Any, NoReturn

AHEAD = ("scan", "inspect")
"""The commands whose worker loads the parsers while this process loads the command line and the rules."""


def main() -> NoReturn:
    """Load the command line and run it; Ctrl-C waits until it can be answered with a line instead of a traceback."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    gc.disable()  # importing makes nothing but what stays: looking for garbage meanwhile costs a tenth of a small scan
    # a disk split into pieces of 2 GiB has more of them than the usual limit of 1024 open files
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    load_lightly()
    if sys.argv[1:2] and sys.argv[1] in AHEAD:
        from imgscan.batch.process import start_ahead  # noqa: PLC0415 - other commands need it later or never

        start_ahead()
    from imgscan.cli.main import main as run  # noqa: PLC0415 - loaded after Ctrl-C was told to wait

    run()


def load_lightly() -> None:
    """Import what would load something large that it does not need: a tenth of the time of a small scan.

    msgspec takes typing_extensions where that is installed, which loads Python's own parser and disassembler; hashlib
    loads OpenSSL, and hashes with Python's own functions without it.
    """
    hidden: Any = None
    for name, unneeded in (("msgspec", "typing_extensions"), ("hashlib", "_hashlib")):
        sys.modules.setdefault(unneeded, hidden)
        importlib.import_module(name)
        if sys.modules[unneeded] is hidden:
            del sys.modules[unneeded]


if __name__ == "__main__":
    main()
