"""What a file is, told by a worker: the one module of discovery that knows the readers of images."""

from __future__ import annotations

from imgscan.batch.share import Identified
from imgscan.devices.file import FileDevice


def identify_file(file: FileDevice) -> Identified:
    """Say what a file is by its content; never raises an `ImageError`."""
    raise NotImplementedError
