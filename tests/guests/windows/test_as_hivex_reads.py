"""Every key and value that an inspection asks for is as libhivex finds it: on real hives, and on built ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hivex_reader import HivexFile
from memory_windows import MemoryFileSystem
from tools import requires_tool, shared_data
from windows_builder import WINDOWS_2003, WINDOWS_2019, windows_files

from imgscan.guests.systems import FoundSystem
from imgscan.guests.windows import inspect_windows
from imgscan.guests.windows.registry import Key
from imgscan.guests.windows.registry_value import Value

pytestmark = requires_tool("hivexsh", "hivexregedit")
CONFIGURATION = "/Windows/System32/config"


class Asked(NamedTuple):
    """What was asked of a hive: keys by path with whether they are there, values, and the keys below a key."""

    keys: dict[tuple[str, str], bool]
    values: dict[tuple[str, str, str], tuple[int, bytes] | None]
    lists: dict[tuple[str, str], list[str]]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """Take note of every question to a hive that got an answer."""
    found = Asked({}, {}, {})
    subkey, value, subkeys, values = Key.subkey, Key.value, Key.subkeys, Key.values

    def hive(key: Key) -> str:
        return key._hive.name.rpartition("/")[2]

    def note(key: Key, one: Value) -> None:
        found.values[hive(key), key.path, one.name] = (one.type, one.data())

    def noting_subkey(key: Key, name: str) -> Key | None:
        below = subkey(key, name)
        found.keys[hive(key), f"{key.path}\\{name}"] = below is not None
        return below

    def noting_value(key: Key, name: str) -> Value | None:
        one = value(key, name)
        if one is None:
            found.values[hive(key), key.path, name] = None
        else:
            note(key, one)
        return one

    def noting_subkeys(key: Key, on_error: Any = None) -> Iterator[Key]:
        listed = list(subkeys(key, on_error))
        found.lists[hive(key), key.path] = [each.name for each in listed]
        return iter(listed)

    def noting_values(key: Key, on_error: Any = None) -> Iterator[Value]:
        for one in values(key, on_error):
            note(key, one)
            yield one

    for name, noting in (
        ("subkey", noting_subkey),
        ("value", noting_value),
        ("subkeys", noting_subkeys),
        ("values", noting_values),
    ):
        monkeypatch.setattr(Key, name, noting)
    return found


def compare(files: dict[str, bytes], asked: Asked, folder: Path, least: int) -> None:
    """Inspect these files, then ask hivex the same; `least` is how many values of a hive it is about."""
    directory = next(path for path in files if path.endswith("/SYSTEM"))[: -len("/System32/config/SYSTEM")]
    inspect_windows(FoundSystem("windows", "disk0/p1", directory), {"disk0/p1": MemoryFileSystem(files)}, [], [])
    hives: dict[str, HivexFile] = {}
    for name in {name for name, _ in asked.keys}:
        (folder / name).write_bytes(next(data for path, data in files.items() if path.endswith(f"/{name}")))
        hives[name] = HivexFile(folder / name)
    assert {"SYSTEM", "SOFTWARE"} <= set(hives)
    for (name, path), is_there in asked.keys.items():
        assert bool(hives[name].node(path)) is is_there, path
    for (name, path, value), data in asked.values.items():
        assert hives[name].value(path, value) == data, f"{path} {value}"
    for (name, path), listed in asked.lists.items():
        assert hives[name].children(path) == listed, path
    assert sum(data is not None for data in asked.values.values()) >= least
    for hive in hives.values():
        hive.close()


@pytest.mark.long
@pytest.mark.parametrize("system", ["SYSTEM", "SYSTEM_WIN_10_1709", "SYSTEM_B"])
def test_real_hives(system: str, asked: Asked, tmp_path: Path) -> None:
    hives = {"SYSTEM": f"hives/{system}.xz", "SOFTWARE": "hives/SOFTWARE_WIN7.xz"}
    files = {f"{CONFIGURATION}/{name}": shared_data(data) for name, data in hives.items()}
    compare(files | {"/Boot/BCD": shared_data("hives/BCD.xz")}, asked, tmp_path, 300)


@pytest.mark.parametrize("windows", [WINDOWS_2019, WINDOWS_2003], ids=["2019", "2003"])
def test_built_hives(windows: Any, asked: Asked, tmp_path: Path) -> None:
    compare(windows_files(windows), asked, tmp_path, 30)
