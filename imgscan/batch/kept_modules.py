"""Modules kept in memory as bytes, and run when they are first imported: after the worker was closed in.

Running every reader's module takes longer than a small scan; reading their files does not.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.machinery
import importlib.util
import marshal
import os
import struct
import sys
from collections.abc import Iterable, Sequence
from types import CodeType, ModuleType
from typing import TYPE_CHECKING, Final, Self

import msgspec

if TYPE_CHECKING:
    from importlib.abc import Loader
else:
    Loader = object  # importlib.abc loads a dozen modules that a scan needs for nothing else

_PYC_HEAD: Final = 16
"""Bytes of magic, flags, and time and size of the source (PEP 552); the code follows."""
_HEAD: Final = struct.Struct("<III")
"""What of it stands behind the magic."""
_USUAL_BYTES: Final = 64 << 10
"""What is read at once: nearly every module is smaller."""


class _Kept(msgspec.Struct, frozen=True):
    """A module: where it stands, its compiled code, its source when that is not up to date, whether it is a package."""

    path: str
    source: bytes
    compiled: bytes | None
    is_package: bool


class _Cache:
    """The folder where Python keeps the compiled modules of a folder."""

    def __init__(self, folder: str) -> None:
        path = importlib.util.cache_from_source(os.path.join(folder, "@.py"))  # noqa: PTH118 - quick
        self._folder, self._name = os.path.split(path)
        self._descriptor = -1

    def __enter__(self) -> Self:
        with contextlib.suppress(OSError):
            self._descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        return self

    def __exit__(self, *_: object) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)

    def read(self, stem: str, path: str, info: os.stat_result, *, is_package: bool) -> _Kept:
        """Return the module `stem`, compiled when that is up to date with its source, of which `info` is known."""
        times = _HEAD.pack(0, int(info.st_mtime) & 0xFFFFFFFF, info.st_size & 0xFFFFFFFF)
        head = importlib.util.MAGIC_NUMBER + times
        data = self._compiled(self._name.replace("@", stem))
        if not data.startswith(head) and not sys.dont_write_bytecode and os.access(self._folder, os.W_OK):
            importlib.machinery.SourceFileLoader(stem, path).get_code(stem)  # which keeps it, for the next time too
            data = self._compiled(self._name.replace("@", stem))
        if data.startswith(head):
            return _Kept(path, b"", data[_PYC_HEAD:], is_package)
        with open(path, "rb") as file:  # noqa: PTH123 - quick
            return _Kept(path, file.read(), None, is_package)

    def _compiled(self, name: str) -> bytes:
        if self._descriptor < 0:
            return b""
        try:
            file = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._descriptor)
        except OSError:
            return b""
        try:
            pieces = [os.read(file, _USUAL_BYTES)]
            while len(pieces[-1]) == _USUAL_BYTES:
                pieces.append(os.read(file, _USUAL_BYTES))
            return b"".join(pieces)
        finally:
            os.close(file)


class KeptModules(Loader):
    """Finds and runs the modules of some packages without opening a file: a finder and loader in one (PEP 451)."""

    def __init__(self, packages: Iterable[str], libraries: Iterable[str] = ()) -> None:
        """Keep the modules below `packages`, which are imported, and `libraries`, written in Python, which are not."""
        self._modules: dict[str, _Kept] = {}
        for name in libraries:
            self._keep_library(name)
        for name in packages:
            for folder in importlib.import_module(name).__path__:
                self._keep(name, folder)

    def _keep_library(self, name: str) -> None:
        parent, _, stem = name.rpartition(".")
        beside = sys.modules[parent].__file__ if parent in sys.modules else os.__file__
        path = os.path.join(os.path.dirname(beside or ""), f"{stem}.py")  # noqa: PTH118, PTH120 - quick
        if os.path.isfile(path):  # noqa: PTH113 - the same; a module of Python's own: asking its finders takes longer
            self._add(name, path, is_package=False)
            return
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            raise ModuleNotFoundError(name)
        self._add(name, spec.origin, is_package=spec.submodule_search_locations is not None)
        for folder in spec.submodule_search_locations or ():
            self._keep(name, folder)

    def _keep(self, package: str, folder: str) -> None:
        """Read the modules of a folder, and of those below it."""
        with _Cache(folder) as cache, os.scandir(folder) as entries:
            for entry in entries:
                stem, dot, suffix = entry.name.rpartition(".")
                if dot:
                    name = f"{package}.{stem}"
                    if suffix == "py" and stem != "__init__" and name not in sys.modules:
                        self._modules[name] = cache.read(stem, entry.path, entry.stat(), is_package=False)
                elif entry.name != "__pycache__" and entry.is_dir():
                    self._keep_package(f"{package}.{entry.name}", entry.path)

    def _keep_package(self, name: str, folder: str) -> None:
        inside = os.path.join(folder, "__init__.py")  # noqa: PTH118 - quick, as os.scandir's own paths
        if os.path.isfile(inside):  # noqa: PTH113 - the same
            self._add(name, inside, is_package=True)
            self._keep(name, folder)

    def _add(self, name: str, path: str, *, is_package: bool) -> None:
        if name in sys.modules:
            return
        folder, file = os.path.split(path)
        with _Cache(folder) as cache:
            self._modules[name] = cache.read(file.removesuffix(".py"), path, os.stat(path), is_package=is_package)  # noqa: PTH116 - the same

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Return the spec of a module that is kept."""
        del path, target
        kept = self._modules.get(fullname)
        if kept is None:
            return None
        return importlib.util.spec_from_loader(fullname, self, origin=kept.path, is_package=kept.is_package)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        """Leave it to Python to make the module's object."""
        del spec
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Run a module that is kept."""
        kept = self._modules[module.__name__]
        if kept.compiled is not None:
            code: CodeType = marshal.loads(kept.compiled)  # noqa: S302 - it is what Python itself would load
        else:
            code = compile(kept.source, kept.path, "exec")
        exec(code, module.__dict__)  # noqa: S102 - the same
