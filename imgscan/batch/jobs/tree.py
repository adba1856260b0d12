"""Show everything below a folder of a guest, as tree(1) does."""

from __future__ import annotations

from collections import Counter

from imgscan.batch.jobs.ls import long_line
from imgscan.batch.jobs.places import guest_place
from imgscan.batch.protocol import Job
from imgscan.batch.worker import JobContext
from imgscan.devices.filesystem import Entry
from imgscan.devices.guest_tree import GuestTree, Location, Lost
from imgscan.devices.limits import PATH_DEPTH
from imgscan.errors import CorruptStructure, ImageError, LimitExceeded
from imgscan.model.text import shown


def run(job: Job, context: JobContext) -> bytes:
    """Write the tree below the folder that `where` names: at most `depth` levels, with `long` as `ls -l` does.

    :raises ImageError: something in it could not be read; raised at the end, when the rest is written
    """
    depth = job.arguments.get("depth")
    with guest_place(job, context) as (tree, path):
        place = tree.resolve(path)
        levels = depth if isinstance(depth, int) else PATH_DEPTH
        drawn = _Drawing(tree, context, levels, is_long=bool(job.arguments.get("long")))
        drawn.line("", "", place.entry, shown(path) + drawn.place_text(place, None))
        drawn.draw(place, "", place.path, 1)
        drawn.finish()
    return b""


class _Drawing:
    """What is drawn of one tree."""

    def __init__(self, tree: GuestTree, context: JobContext, depth: int, *, is_long: bool) -> None:
        self._is_long = is_long
        self._tree = tree
        self._context = context
        self._depth = depth
        self._lines: list[str] = []
        self._counts: Counter[str] = Counter()
        self._first_error: ImageError | None = None
        self._seen: set[tuple[str, int]] = set()

    def draw(self, place: Location, margin: str, mount: str, level: int) -> None:
        """Draw what is below a directory that lies on what is mounted at `mount`."""
        if place.entry.kind != "directory":
            return
        if (mount, place.entry.node) in self._seen:  # no filesystem has a directory twice, unless it is damaged
            self._lost(margin, CorruptStructure("this directory is in another place too", where=_volume(place)))
            return
        self._seen.add((mount, place.entry.node))
        if level > PATH_DEPTH:
            self._lost(margin, LimitExceeded(f"more than {PATH_DEPTH} levels are not shown", where=_volume(place)))
        if level > min(self._depth, PATH_DEPTH):
            return
        found = sorted(self._tree.below(place), key=_order)
        for index, one in enumerate(found):
            branch, below = ("└── ", "    ") if index == len(found) - 1 else ("├── ", "│   ")
            if isinstance(one, Lost):
                self._lost(f"{margin}{branch}{shown(one.name)}", one.error)
                continue
            self._counts["folder" if one.entry.kind == "directory" else "other"] += 1
            text = shown(one.entry.name) + self.place_text(one, place)
            if one.entry.kind == "symlink":
                text += f" -> {self._target(one)}"
            self.line(margin, branch, one.entry, text)
            self.draw(one, margin + below, one.path if one.path in self._tree.mounts else mount, level + 1)

    def line(self, margin: str, branch: str, entry: Entry, text: str) -> None:
        """Draw one line."""
        self._put(f"{margin}{branch}[{long_line(entry)}] {text}" if self._is_long else f"{margin}{branch}{text}")

    def place_text(self, place: Location, above: Location | None) -> str:
        """Return which filesystem begins here, empty when it is the one above."""
        if above is not None and place.filesystem is above.filesystem:
            return ""
        return f" [{place.filesystem.volume}, {place.filesystem.type}]"

    def finish(self) -> None:
        """Write the counts; raise the first error, when there was one."""
        folders, others = self._counts["folder"], self._counts["other"]
        self._put(f"\n{folders} folder{'s' * (folders != 1)}, {others} other{'s' * (others != 1)}")
        self._flush()
        first = self._first_error
        if first is not None:
            others = self._counts["error"] - 1
            rest = f" (and {others} more)" if others else ""
            raise type(first)(f"not all could be read: {first.message}{rest}", where=first.where, offset=first.offset)

    def _target(self, link: Location) -> str:
        try:
            return shown(link.filesystem.readlink(link.entry.node))
        except ImageError as error:
            self._failed(error)
            return f"(cannot be read: {shown(error.message)})"

    def _lost(self, before: str, error: ImageError) -> None:
        self._failed(error)
        self._put(f"{before} (cannot be read: {shown(error.message)})")

    def _failed(self, error: ImageError) -> None:
        self._counts["error"] += 1
        self._first_error = self._first_error or error

    def _put(self, line: str) -> None:
        self._lines.append(line + "\n")
        if len(self._lines) >= 1000:
            self._flush()

    def _flush(self) -> None:
        self._context.write("".join(self._lines).encode("utf-8", "replace"))
        self._lines.clear()


def _order(one: Location | Lost) -> tuple[bool, str]:
    """Sort by name; what was lost without a name comes last."""
    name = one.name if isinstance(one, Lost) else one.entry.name
    return not name, name


def _volume(place: Location) -> str:
    return place.filesystem.volume
