"""What is known of one guest file."""

from __future__ import annotations

from imgscan.batch.jobs.ls import time_text
from imgscan.batch.jobs.places import guest_place
from imgscan.batch.protocol import Job
from imgscan.batch.worker import JobContext
from imgscan.errors import ImageError
from imgscan.model.text import shown


def run(job: Job, context: JobContext) -> bytes:
    """Write kind, size, mode, owner, time and place of what `where` names; a symbolic link is not followed."""
    with guest_place(job, context) as (tree, path):
        place = tree.resolve(path, follow=False)
        entry = place.entry
        rows = [
            ("path", shown(place.path)),
            ("kind", entry.kind),
            ("size", f"{entry.size} bytes"),
            ("mode", f"{entry.mode:04o}"),
            ("owner", f"{entry.uid}:{entry.gid}"),
            ("links", str(entry.links)),
            ("modified", time_text(entry.mtime)),
            ("volume", f"{place.filesystem.volume} ({place.filesystem.type}), {_inode(entry.node)}"),
        ]
        if entry.kind == "symlink":
            rows.insert(2, ("target", shown(place.filesystem.readlink(entry.node))))
        if entry.kind == "file" and entry.size:
            try:
                place.filesystem.read(entry.node, 0, 1)
            except ImageError as error:
                rows.append(("content", f"unread ({error.why}): {shown(error.message)}"))
        for name, value in rows:
            context.write(f"{name:<9} {value}\n".encode())
    return b""


def _inode(node: int) -> str:
    """Return a node's number; Btrfs has one in each subvolume."""
    subvolume, inode = divmod(node, 1 << 64)
    return f"inode {inode} of subvolume {subvolume}" if subvolume else f"inode {inode}"
