"""`python -m imgscan` is the `imgscan` command."""

from __future__ import annotations

import signal
from typing import NoReturn


def main() -> NoReturn:
    """Load the command line and run it; Ctrl-C waits until it can be answered with a line instead of a traceback."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    from imgscan.cli.main import main as run  # noqa: PLC0415 - loaded after Ctrl-C was told to wait

    run()


if __name__ == "__main__":
    main()
