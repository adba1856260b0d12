r"""`imgscan reg`: keys and values of a guest's registry, named as Windows names them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hive_logs import dirty, entry, new_log, pages
from tools import FIXTURES, requires_tool
from windows_builder import WINDOWS_2019, hive, ntfs_image, windows_files

from imgscan.cli.main import run as imgscan

pytestmark = requires_tool("mkntfs", "ntfs-3g", "hivexregedit")
CONFIG = "/Windows/System32/config"
KEYS: dict[str, dict[str, str | int | bytes | list[str]]] = {
    "Select": {"Current": 2, "Default": 1},
    "ControlSet001\\Control\\Terminal Server": {"fDenyTSConnections": 1},
    "ControlSet002\\Control\\Terminal Server": {
        "": "the default",
        "fDenyTSConnections": 0,
        "Services": ["one", "two"],
        "Blob": bytes(range(100)),
        "\u202eevil": "\x1b[31mred",
    },
    "ControlSet002\\Control\\Terminal Server\\WinStations\\RDP-Tcp": {"PortNumber": 3389},
}
SERVER = r"HKLM\SYSTEM\CurrentControlSet\Control\Terminal Server"


@pytest.fixture(scope="module")
def disk() -> Path:
    before, after = hive({"K": {"n": 1}}), hive({"K": {"n": 2}})
    log = new_log(before, 10, entry(10, len(after) - 4096, pages(before, after)))
    others = {f"{CONFIG}/SYSTEM": hive(KEYS), f"{CONFIG}/SAM": dirty(before), f"{CONFIG}/SAM.LOG1": log}
    return ntfs_image({**windows_files(WINDOWS_2019), **others, f"{CONFIG}/DEFAULT": dirty(before)})


def reg(capsys: pytest.CaptureFixture[str], *arguments: object, in_process: bool = True) -> tuple[int, str, str]:
    status = imgscan(["reg", *(["--in-process"] if in_process else []), *map(str, arguments)])
    out, err = capsys.readouterr()
    return status, out, err


def test_a_key_in_the_current_control_set(disk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for in_process in (True, False):
        status, out, err = reg(capsys, disk, SERVER, in_process=in_process)
        assert (status, err) == (0, "")
        lines = out.splitlines()
        server = r"HKLM\SYSTEM\ControlSet002\Control\Terminal Server"
        assert lines[0] == server
        assert [line.split() for line in lines[1:4]] == [
            ["(Default)", "REG_SZ", "the", "default"],
            ["fDenyTSConnections", "REG_DWORD", "0x0", "(0)"],
            ["Services", "REG_MULTI_SZ", "one,", "two"],
        ]
        assert lines[4].endswith("3f... (100 bytes)")
        assert lines[5].split() == ["\\u202eevil", "REG_SZ", "\\x1b[31mred"]
        assert lines[6:] == [f"  {server}\\WinStations"]


def test_json_has_all_and_the_raw_data(disk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = reg(capsys, disk, SERVER.lower().replace("hklm", "hkey_local_machine"), "--format", "json", "-r")
    assert status == 0
    found = json.loads(out)
    assert found["hive"] == {"path": f"{CONFIG}/SYSTEM", "state": "clean", "detail": None}
    assert [key["key"].rpartition("\\")[2] for key in found["keys"]] == ["Terminal Server", "WinStations", "RDP-Tcp"]
    values = {value["name"]: value for value in found["keys"][0]["values"]}
    assert values["Services"]["data"] == ["one", "two"]
    assert values["Blob"] == {"name": "Blob", "type": "REG_BINARY", "data": bytes(range(100)).hex()}
    assert values["fDenyTSConnections"] == {
        "name": "fDenyTSConnections",
        "type": "REG_DWORD",
        "data": 0,
        "raw": "00000000",
    }
    assert found["keys"][0]["keys"] == ["WinStations"]


def test_one_value(disk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = reg(capsys, disk, SERVER, "--value", "@")
    assert (status, len(out.splitlines())) == (0, 2)
    status, _, err = reg(capsys, disk, SERVER, "--value", "nothing")
    assert (status, err.splitlines()) == (
        3,
        [r"imgscan: HKLM\SYSTEM\ControlSet002\Control\Terminal Server: nothing: there is no such value (missing)"],
    )


def test_dirty_hives(disk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = reg(capsys, disk, r"HKLM\SAM\K", "--format", "json")
    found = json.loads(out)
    assert (status, err, found["hive"]["state"], found["keys"][0]["values"][0]["data"]) == (0, "", "completed", 2)
    status, out, err = reg(capsys, disk, r"HKU\.DEFAULT\K")
    assert (status, out.split()[-2:]) == (0, ["0x1", "(1)"])
    assert "sequence numbers differ" in err


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["HKLM\\SYSTEM\\Nothing"], 3, "there is no such key"),
        (["HKLM\\SECURITY"], 3, "there is no /Windows/System32/config/SECURITY"),
        (["HKCU\\Software"], 2, "not a registry key that lies on disk"),
        (["HKLM"], 2, "not a registry key that lies on disk"),
        (["/etc/fstab"], 2, "not a registry key; one begins with HKLM"),
        (["HKLM\\SYSTEM", "--value", "x", "-r"], 2, "give --value or --recursive"),
        (["HKLM\\SYSTEM", "--system", "1"], 2, "there is no system 1"),
    ],
)
def test_what_is_not_there(
    arguments: list[str], status: int, message: str, disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found, out, err = reg(capsys, disk, *arguments)
    assert (found, out) == (status, "")
    assert message in err


def test_a_damaged_key_is_said_in_its_place(capsys: pytest.CaptureFixture[str]) -> None:
    damaged = hive(KEYS).replace(b"vk\x08\x00", b"xx\x08\x00", 1)  # a value with a name of 8 characters: Services
    files = {**windows_files(WINDOWS_2019), f"{CONFIG}/SYSTEM": damaged}
    status, out, err = reg(capsys, ntfs_image(files), SERVER)
    assert status == 3
    assert "fDenyTSConnections" in out
    assert "(cannot be read: a value begins with b'xx'" in out
    assert "not all could be read" in err


def test_another_system_has_no_registry(capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = reg(capsys, FIXTURES / "images" / "debian12-bios.vmdk", r"HKLM\SYSTEM\Select")
    assert (status, "is no Windows" in err) == (2, True)
