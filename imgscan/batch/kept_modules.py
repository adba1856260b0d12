"""Modules kept in memory as bytes, and run when they are first imported: after the worker was closed in.

Running every reader's module takes longer than a small scan; reading their files does not.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import marshal
import os
import sys
from collections.abc import Iterable, Sequence
from types import CodeType, ModuleType
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from importlib.abc import Loader
else:
    Loader = object  # importlib.abc loads a dozen modules that a scan needs for nothing else

_PYC_HEAD: Final = 16
"""Magic, flags, and time and size of the source (PEP 552); the code follows."""


class _Kept(msgspec.Struct, frozen=True):
    """A module: where it stands, its compiled code, its source when that is not up to date, whether it is a package."""

    path: str
    source: bytes
    compiled: bytes | None
    is_package: bool


class KeptModules(Loader):
    """Finds and runs the modules of some packages without opening a file: a finder and loader in one (PEP 451)."""

    def __init__(self, packages: Iterable[str], libraries: Iterable[str] = ()) -> None:
        """Keep the modules below `packages`, which are imported, and `libraries`, written in Python, which are not."""
        self._modules: dict[str, _Kept] = {}
        for name in libraries:
            spec = importlib.util.find_spec(name)
            if spec is None or spec.origin is None:
                raise ModuleNotFoundError(name)
            self._add(name, spec.origin, is_package=spec.submodule_search_locations is not None)
            for folder in spec.submodule_search_locations or ():
                self._keep(name, folder)
        for name in packages:
            for folder in importlib.import_module(name).__path__:
                self._keep(name, folder)

    def _keep(self, package: str, folder: str) -> None:
        """Read the modules of a folder, and of those below it."""
        for entry in os.scandir(folder):
            stem, dot, suffix = entry.name.rpartition(".")
            inside = os.path.join(entry.path, "__init__.py")  # noqa: PTH118 - quick, as os.scandir's own paths
            if entry.is_dir() and os.path.isfile(inside):  # noqa: PTH113 - the same
                self._add(f"{package}.{entry.name}", inside, is_package=True)
                self._keep(f"{package}.{entry.name}", entry.path)
            elif dot and suffix == "py" and stem != "__init__":
                self._add(f"{package}.{stem}", entry.path, is_package=False)

    def _add(self, name: str, path: str, *, is_package: bool) -> None:
        if name in sys.modules:
            return
        compiled, source, info = None, b"", os.stat(path)  # noqa: PTH116 - the same
        try:
            with open(importlib.util.cache_from_source(path), "rb") as file:  # noqa: PTH123 - the same
                data = file.read()
        except OSError:
            data = b""
        head = (0).to_bytes(4, "little") + (int(info.st_mtime) & 0xFFFFFFFF).to_bytes(4, "little")
        head += (info.st_size & 0xFFFFFFFF).to_bytes(4, "little")
        if data[:_PYC_HEAD] == importlib.util.MAGIC_NUMBER + head:
            compiled = data[_PYC_HEAD:]
        else:
            with open(path, "rb") as file:  # noqa: PTH123 - the same
                source = file.read()
        self._modules[name] = _Kept(path, source, compiled, is_package)

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
