"""Mutation of small images, for every reader; `scripts/fuzz` runs it.

A reader takes part with a module `tests/fuzz_NAME.py` that holds `RECIPE`. Nothing of a mutant is written to disk: it
is a healthy image with patches laid over it, at places that the reader reads. For each mutant must hold: only an
`ImageError` comes out, within `SECONDS` of processor time and `MEMORY` beyond what a healthy image needs.
"""

from __future__ import annotations

import hashlib
import importlib
import mmap
import multiprocessing
import random
import re
import resource
import signal
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NamedTuple

from hostile_scan import random_damage

from imgscan.devices.device import BlockDevice, check_range
from imgscan.devices.filesystem import Entry, FileSystem
from imgscan.devices.memory import MemoryDevice
from imgscan.errors import ImageError

SECONDS = 5.0
"""Processor time for one mutant; 0.01 to 0.05 is usual."""
MEMORY = 256 << 20
"""Bytes of address space beyond what the worker had before its first mutant."""
STUCK = 60.0
"""Seconds without a word after which a worker is taken for hung (inside C code, where no signal reaches it)."""
HEALTHY, CHANGED, PARTLY, REFUSED = "as the healthy one", "other content", "partly", "refused"

Walk = Callable[[Sequence[BlockDevice], list[ImageError]], str]


Facts = dict[str, str]
"""What was read of an image, by what it is about: a name and its size, a piece of a volume and its sum."""


class Oracle(NamedTuple):
    """A foreign reader, and imgscan asked for the same.

    `theirs` reads the files of an image's devices, `ours` the devices themselves; both get the facts of the healthy
    image that the two agree about (None for the healthy one itself), and nobody asks for what is not among them.
    """

    name: str
    theirs: Callable[[Sequence[Path], Facts | None], Facts]
    ours: Callable[[Sequence[BlockDevice], Facts | None], Facts]


@dataclass(frozen=True)
class Recipe:
    """How a reader is fuzzed.

    `make` makes small healthy images in a folder and returns them: each is the devices of one machine, in their order.
    `walk` opens one with the reader, reads everything (bounded: see `walk_files`), returns a digest of what it read,
    and appends the errors that cost a part only to the list; an error that costs everything it lets out.
    `trusting`, where there are checksums: while the context it makes is open, the reader believes all of them, so that
    damage reaches what lies behind; half of the mutants run inside it.
    `oracle` is a foreign reader, to learn what is still there to be read of what imgscan does not read.
    `is_structure` says whether bytes that the reader read at once are its structures, and not a file's content: most
    damage is put there.
    """

    make: Callable[[Path], Sequence[Sequence[Path]]]
    walk: Walk
    trusting: Callable[[], AbstractContextManager[object]] = nullcontext
    is_structure: Callable[[bytes], bool] = bool
    oracle: Oracle | None = None


class Patch(NamedTuple):
    """Bytes to lie over a device from an offset."""

    device: int
    offset: int
    data: bytes


@dataclass
class Mutant:
    """What is done to an image; `sizes` are the devices' sizes, None for an uncut one."""

    number: int
    image: int
    is_trusted: bool
    patches: list[Patch] = field(default_factory=list)
    sizes: dict[int, int] = field(default_factory=dict)

    def __str__(self) -> str:
        """Return the damages in one line."""
        changes = [f"device {p.device} {p.offset:#x}: {p.data[:16].hex()} ({len(p.data)} bytes)" for p in self.patches]
        changes += [f"device {device} cut to {size}" for device, size in self.sizes.items()]
        trusted = ", checksums believed" if self.is_trusted else ""
        return f"mutant {self.number} of image {self.image}{trusted}: {'; '.join(changes)}"


class Patched:
    """A device with patches over it."""

    sector_size = 512

    def __init__(self, below: BlockDevice, patches: Sequence[Patch], size: int) -> None:
        self._below = below
        self._patches = patches
        self.name = below.name
        self.size = size

    def read_at(self, offset: int, length: int) -> bytes:
        check_range(self, offset, length)
        data = self._below.read_at(offset, length)
        for patch in self._patches:
            first, last = max(offset, patch.offset), min(offset + length, patch.offset + len(patch.data))
            if first < last:
                piece = patch.data[first - patch.offset : last - patch.offset]
                data = data[: first - offset] + piece + data[last - offset :]
        return data


class _Recording:
    """A device that notes what is read of it."""

    sector_size = 512

    def __init__(self, below: BlockDevice, index: int, seen: set[tuple[int, int, int]]) -> None:
        self._below = below
        self._index = index
        self._seen = seen
        self.name = below.name
        self.size = below.size

    def read_at(self, offset: int, length: int) -> bytes:
        data = self._below.read_at(offset, length)
        if length:
            self._seen.add((self._index, offset, length))
        return data


class Subject:
    """A healthy image: its devices, what the reader reads of them, and what it makes of them."""

    def __init__(self, paths: Sequence[Path], recipe: Recipe) -> None:
        self.paths = paths
        self.devices = [MemoryDevice(_mapped(path), f"disk{index}") for index, path in enumerate(paths)]
        seen: set[tuple[int, int, int]] = set()
        errors: list[ImageError] = []
        self.digest = recipe.walk([_Recording(device, n, seen) for n, device in enumerate(self.devices)], errors)
        if errors:
            raise RuntimeError(f"{paths}: the healthy image is not read whole: {errors[0]}")
        self.ranges = sorted(seen)
        pieces = [self.devices[device].read_at(offset, length) for device, offset, length in self.ranges]
        self.structures = [index for index, piece in enumerate(pieces) if recipe.is_structure(piece)]
        # Where the bytes are that say something: most of a table is empty, and damage there is no damage.
        self.filled = [[match.start() for match in re.finditer(rb"[^\0]", piece)] for piece in pieces]

    def mutant(self, number: int, image: int, dice: random.Random) -> Mutant:
        """Return a mutant: mostly one damage, sometimes several, rarely a device that is cut."""
        mutant = Mutant(number, image, dice.random() < 0.5)
        if dice.random() < 0.02:
            index = dice.randrange(len(self.devices))
            edges = [offset for device, offset, _ in self.ranges if device == index] or [0]
            mutant.sizes[index] = max(0, dice.choice(edges) + dice.choice((0, 1, 64, 512, 4096)))
        for _ in range(dice.choice((1, 1, 1, 2, 4))):
            mutant.patches.append(self._damage(dice))
        return mutant

    def _damage(self, dice: random.Random) -> Patch:
        place = dice.choice(self.structures) if dice.random() < 0.9 else dice.randrange(len(self.ranges))
        index, offset, length = self.ranges[place]
        kind = dice.randrange(8)
        if kind == 0:  # one piece over another: nodes that refer to themselves, blocks that claim another's place
            other, source, size = self.ranges[dice.choice(self.structures)]
            size = min(size, length, dice.choice((512, 1024, 4096)))
            return Patch(index, offset, self.devices[other].read_at(source, size))
        if kind <= 4 and self.filled[place]:  # a field that is in use
            at = offset + dice.choice(self.filled[place])
            rest = offset + length - at
            if kind == 1:
                byte = self.devices[index].read_at(at, 1)[0] ^ 1 << dice.randrange(8)
                return Patch(index, at, bytes([byte]))
            damage = random_damage(dice, [(at & ~7, min(8, rest))])
            return Patch(index, damage.offset, damage.data)
        damage = random_damage(dice, [(offset, length)])
        return Patch(index, damage.offset, damage.data)

    def devices_of(self, mutant: Mutant) -> list[Patched]:
        """Return the devices as a mutant has them."""
        return [
            Patched(
                device,
                [patch for patch in mutant.patches if patch.device == index],
                min(device.size, mutant.sizes.get(index, device.size)),
            )
            for index, device in enumerate(self.devices)
        ]

    @contextmanager
    def written(self, mutant: Mutant, folder: Path) -> Iterator[list[Path]]:
        """Write a mutant's devices to files in a folder that this image has for itself; gone again afterwards."""
        copies = [folder / path.name for path in self.paths]
        for index, copy in enumerate(copies):
            if not copy.exists():
                copy_sparse(self.paths[index], copy)
            with copy.open("r+b") as file:
                for patch in mutant.patches:
                    if patch.device == index:
                        file.seek(patch.offset)
                        file.write(patch.data)
                file.truncate(min(self.devices[index].size, mutant.sizes.get(index, self.devices[index].size)))
        yield copies
        for index, copy in enumerate(copies):
            if index in mutant.sizes:
                copy.unlink()
                continue
            with copy.open("r+b") as file:
                for patch in mutant.patches:
                    if patch.device == index:
                        file.seek(patch.offset)
                        file.write(self.devices[index].read_at(patch.offset, len(patch.data)))


def copy_sparse(source: Path, target: Path) -> None:
    """Copy a file without its holes."""
    with source.open("rb") as reader, target.open("wb") as writer:
        while piece := reader.read(1 << 16):
            if piece.count(0) == len(piece):
                writer.seek(len(piece), 1)
            else:
                writer.write(piece)
        writer.truncate(source.stat().st_size)


def _mapped(path: Path) -> Any:
    """Return a file's bytes without reading them: slices of a map are bytes."""
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


class TooSlow(BaseException):
    """A mutant took more processor time than it may; no `except` of a reader catches it."""


def _run_one(recipe: Recipe, subject: Subject, mutant: Mutant) -> tuple[str, str, float]:
    """Return outcome, error or place of a failure (`!` before it), and the processor time in seconds."""
    errors: list[ImageError] = []
    began = time.process_time()
    try:
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        try:
            with recipe.trusting() if mutant.is_trusted else nullcontext():
                digest = recipe.walk(subject.devices_of(mutant), errors)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
    except ImageError as error:
        return REFUSED, type(error).__name__, time.process_time() - began
    except (Exception, TooSlow) as error:  # noqa: BLE001 - whatever else comes out is what is looked for
        frames = traceback.extract_tb(error.__traceback__)
        place = " < ".join(f"{Path(f.filename).name}:{f.lineno}" for f in reversed(frames[-6:]))
        return "FAILED", f"{type(error).__name__}: {error} at {place}", time.process_time() - began
    took = time.process_time() - began
    if errors:
        return PARTLY, type(errors[0]).__name__, took
    return HEALTHY if digest == subject.digest else CHANGED, "", took


def mutants(subjects: Sequence[Subject], seed: int, numbers: Sequence[int]) -> Iterator[Mutant]:
    """Yield mutants by number; a number and a seed always make the same one."""
    for number in numbers:
        dice = random.Random(f"{seed} {number}")
        image = dice.randrange(len(subjects))
        yield subjects[image].mutant(number, image, dice)


def _worker(recipe: Recipe, subjects: Sequence[Subject], seed: int, numbers: Sequence[int], pipe: Connection) -> None:
    def too_slow(*_: object) -> None:
        raise TooSlow(f"more than {SECONDS} s of processor time")

    signal.signal(signal.SIGPROF, too_slow)
    in_use = int(Path("/proc/self/statm").read_text().split()[0]) * mmap.PAGESIZE
    resource.setrlimit(resource.RLIMIT_AS, (in_use + MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))
    for mutant in mutants(subjects, seed, numbers):
        pipe.send((mutant.number, None))
        pipe.send((mutant.number, _run_one(recipe, subjects[mutant.image], mutant)))
    pipe.send((-1, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))
    pipe.close()


@dataclass
class Summary:
    """What came of all mutants; `failures` maps what failed to the mutants that did."""

    outcomes: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    failures: dict[str, list[int]] = field(default_factory=dict)
    slowest: tuple[float, int] = (0.0, -1)
    peak_kib: int = 0

    def add(self, number: int, result: tuple[str, str, float]) -> None:
        """Count one mutant."""
        outcome, detail, took = result
        self.outcomes[outcome] += 1
        if outcome == "FAILED":
            self.failures.setdefault(detail, []).append(number)
        elif detail:
            self.errors[detail] += 1
        self.slowest = max(self.slowest, (took, number))

    def __str__(self) -> str:
        """Return some lines for people."""
        count = sum(self.outcomes.values())
        lines = [f"{count} mutants; slowest {self.slowest[0]:.2f} s (number {self.slowest[1]})"]
        lines[0] += f"; most memory {self.peak_kib >> 10} MiB"
        lines += [f"  {name}: {n} ({n / count:.1%})" for name, n in sorted(self.outcomes.items())]
        lines += ["  first error of each: " + ", ".join(f"{name} {n}" for name, n in self.errors.most_common())]
        for what, numbers in sorted(self.failures.items(), key=lambda item: -len(item[1])):
            lines.append(f"  FAILED {len(numbers)} times, e.g. --only {numbers[0]}: {what}")
        return "\n".join(lines)


def fuzz(recipe: Recipe, subjects: Sequence[Subject], count: int, seed: int, jobs: int) -> Summary:
    """Run mutants 0 to `count` - 1 in processes of their own; one that dies or hangs is a failure, and replaced."""
    summary = Summary()
    context = multiprocessing.get_context("fork")
    todo = {job: list(range(job, count, jobs)) for job in range(jobs)}
    running: dict[Connection, tuple[int, Any, int, float]] = {}

    def start(job: int) -> None:
        if todo[job]:
            reader, writer = context.Pipe(duplex=False)
            process = context.Process(target=_worker, args=(recipe, subjects, seed, todo[job], writer))
            process.start()
            writer.close()
            running[reader] = (job, process, -1, time.monotonic())

    for job in range(jobs):
        start(job)
    while running:
        ready = wait(list(running), timeout=1.0)
        for pipe in list(running):
            job, process, number, since = running[pipe]
            if pipe in ready:
                try:
                    said, result = pipe.recv()
                except EOFError:
                    process.join()
                    del running[pipe]
                    if number >= 0:
                        summary.add(number, ("FAILED", f"the process ended with status {process.exitcode}", 0.0))
                    elif todo[job]:
                        raise RuntimeError(f"a worker ended with status {process.exitcode}") from None
                    start(job)
                    continue
                if said == -1:
                    summary.peak_kib = max(summary.peak_kib, result)
                elif result is None:
                    todo[job].remove(said)
                    number = said
                else:
                    summary.add(said, result)
                    number = -1
                running[pipe] = (job, process, number, time.monotonic())
            elif time.monotonic() - since > STUCK:
                process.kill()  # its end of the pipe closes, which is seen above
    return summary


@dataclass
class Compared:
    """What an oracle and imgscan read of one mutant: facts that are as in the healthy image.

    `only_theirs` lacks in imgscan, `only_ours` in the oracle; `distrusted` of the former imgscan reads where it
    believes all checksums.
    """

    mutant: Mutant
    theirs: set[str]
    ours: set[str]
    distrusted: set[str]

    @property
    def only_theirs(self) -> set[str]:
        """What the oracle alone reads."""
        return self.theirs - self.ours

    @property
    def only_ours(self) -> set[str]:
        """What imgscan alone reads."""
        return self.ours - self.theirs


def compare(recipe: Recipe, subjects: Sequence[Subject], seed: int, numbers: Sequence[int]) -> list[Compared]:
    """Give mutants to the foreign reader and to imgscan. An image of which the two agree about nothing is left out."""
    oracle = recipe.oracle
    assert oracle is not None
    agreed: list[Facts] = []
    for subject in subjects:
        theirs, ours = oracle.theirs(subject.paths, None), oracle.ours(subject.devices, None)
        agreed.append({key: value for key, value in theirs.items() if ours.get(key) == value})
    found = []
    with tempfile.TemporaryDirectory() as name:
        for mutant in mutants(subjects, seed, numbers):
            subject, healthy = subjects[mutant.image], agreed[mutant.image]
            if not healthy:
                continue
            folder = Path(name) / str(mutant.image)
            folder.mkdir(exist_ok=True)
            with subject.written(mutant, folder) as paths:
                theirs = oracle.theirs(paths, healthy)
            devices = subject.devices_of(mutant)
            ours = oracle.ours(devices, healthy)
            with recipe.trusting():
                believing = oracle.ours(devices, healthy)
            right = [
                {key for key, value in healthy.items() if facts.get(key) == value}
                for facts in (theirs, ours, believing)
            ]
            found.append(Compared(mutant, right[0], right[1], (right[0] - right[1]) & right[2]))
    return found


def told(oracle: str, compared: Sequence[Compared], most: int = 40) -> str:
    """Return in some lines what came of a comparison, with the mutants of which imgscan reads less."""
    total = max(1, len(compared))
    lost = [each for each in compared if each.only_theirs]
    beyond = [each for each in lost if each.only_theirs - each.distrusted]
    counts = {
        f"{oracle} reads something right": sum(bool(each.theirs) for each in compared),
        "imgscan reads something right": sum(bool(each.ours) for each in compared),
        "imgscan alone reads something": sum(bool(each.only_ours) for each in compared),
        f"{oracle} alone reads something": len(lost),
        "  and imgscan nothing at all": sum(not each.ours for each in lost),
        "  for no other reason than checksums": len(lost) - len(beyond),
    }
    lines = [f"beside {oracle}, {len(compared)} mutants:"]
    lines += [f"  {what}: {count} ({count / total:.1%})" for what, count in counts.items()]
    for each in beyond[:most]:
        missed = sorted(each.only_theirs - each.distrusted)
        lines.append(f"    {len(missed)} of {len(each.theirs)}, e.g. {missed[0]!r:.60}: {each.mutant}")
    return "\n".join(lines)


def walk_files(filesystem: FileSystem, errors: list[ImageError], most: int = 5000) -> str:
    """Read a filesystem: every name and node, of each file both ends, free space; return a digest.

    Errors go to the list and cost what they are about. At most `most` names; each node once.
    """
    digest = hashlib.sha256()
    todo, seen, names = [filesystem.root], {filesystem.root}, 0

    @contextmanager
    def noted() -> Iterator[None]:
        try:
            yield
        except ImageError as error:
            errors.append(error)
            digest.update(b"!")

    def look_at(entry: Entry) -> None:
        digest.update(repr((entry.name, entry.kind, entry.size, entry.mode, entry.links)).encode("ascii", "replace"))
        if entry.node in seen:
            return
        seen.add(entry.node)
        with noted():
            if entry.kind == "file":
                for offset in {0, max(0, entry.size // 2), max(0, entry.size - (1 << 16))}:
                    digest.update(filesystem.read(entry.node, offset, 1 << 16))
            elif entry.kind == "symlink":
                digest.update(filesystem.readlink(entry.node).encode("utf-8", "surrogateescape"))
            elif entry.kind == "other":
                filesystem.stat(entry.node)  # says what is wrong with it
            elif entry.kind == "directory":
                todo.append(entry.node)

    while todo and names < most:
        directory = todo.pop()
        found: list[Entry] = []
        with noted():
            for entry in filesystem.list(directory):
                found.append(entry)
                names += 1
                if names >= most:
                    break
        for index, entry in enumerate(sorted(found, key=lambda entry: entry.name)):
            if index % 8 == 0:
                with noted():
                    looked_up = filesystem.lookup(directory, entry.name)
                    digest.update(b"+" if looked_up == entry else b"-")
            look_at(entry)
        with noted():
            filesystem.lookup(directory, "no-such-name")
    with noted():
        digest.update(repr(filesystem.free() if filesystem.free_cost() < 1 << 24 else None).encode())
    with noted():
        digest.update(repr(filesystem.condition()).encode())
    return digest.hexdigest()


def readers() -> list[str]:
    """Return the names of all readers that have a recipe."""
    return sorted(path.stem.removeprefix("fuzz_") for path in Path(__file__).parent.glob("fuzz_*.py"))


def recipe_of(reader: str) -> Recipe:
    """Return a reader's recipe."""
    recipe = importlib.import_module(f"fuzz_{reader}").RECIPE
    assert isinstance(recipe, Recipe)
    return recipe


def run_alone(recipe: Recipe, subjects: Sequence[Subject], seed: int, number: int) -> list[object]:
    """Run one mutant here and without limits; return it and its errors. What else comes out is not caught."""
    (mutant,) = mutants(subjects, seed, [number])
    errors: list[ImageError] = []
    try:
        with recipe.trusting() if mutant.is_trusted else nullcontext():
            recipe.walk(subjects[mutant.image].devices_of(mutant), errors)
    except ImageError as error:
        errors.append(error)
    return [mutant, *errors]
