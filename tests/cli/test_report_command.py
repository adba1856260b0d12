"""`imgscan report`: exit statuses, formats, outputs that harm nothing, and no reader loaded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
from facts_builder import a_linux_machine
from share_ledger import make_share_ledger

from imgscan.cli.main import run
from imgscan.reports.schema import json_schema

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_share_ledger(tmp_path_factory.mktemp("command") / "results.db")


@pytest.fixture
def imgscan(capsys: pytest.CaptureFixture[str]) -> Run:
    def go(*arguments: object) -> tuple[int, str, str]:
        status = run(["report", *(str(argument) for argument in arguments)])
        out, err = capsys.readouterr()
        return status, out, err

    return go


def test_formats(imgscan: Run, database: Path) -> None:
    status, out, err = imgscan(database)
    assert (status, err) == (1, "")
    assert out.startswith("9 machines")
    status, out, _ = imgscan(database, "--format", "json")
    assert status == 1
    report = json.loads(out)
    jsonschema.validate(report, json_schema("share-report"))
    assert report["schema"] == "imgscan.share-report/1"
    status, out, _ = imgscan(database, "--format", "csv")
    assert (status, out.count("\n")) == (1, 10)


def test_each_machine_of_the_json_has_the_shape_of_scans(imgscan: Run, database: Path) -> None:
    _, out, _ = imgscan(database, "--format", "json")
    report = json.loads(out)
    single = json_schema("report")
    for machine in report["machines"][:3]:
        machine.pop("share")
        head = {key: report[key] for key in ("tool", "profiles")}
        jsonschema.validate({**head, "schema": "imgscan.report/1", "machines": [machine]}, single)


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["--where", "readiness=ready"], 0),
        (["--where", "readiness=undecided"], 3),
        (["--where", "readiness=ready", "--format", "csv"], 0),
        (["--where", "failure=crashed", "--format", "json"], 3),
        (["--rule", "boot-disk-too-large"], 1),
        (["--rule", "boot-disk-too-large", "--where", "system=windows", "--format", "csv"], 1),
        (["--machine", "lab/debian"], 0),
        (["--machine", "lab/large", "--format", "json"], 1),
        (["--machine", "lab/hidden", "--format", "csv"], 3),
        (["--machine", "lab/crash"], 3),
        (["--machine", "lab/unreached"], 3),
        (["--machine", "lab/nobody"], 2),
        (["--machine", "lab/debian", "--where", "state=done"], 2),
        (["--where", "colour=red"], 2),
        (["--rule", "no-such-rule"], 2),
        (["--profile", "no-such-profile"], 2),
        (["--format", "yaml"], 2),
    ],
)
def test_exit_status(imgscan: Run, database: Path, arguments: list[str], status: int) -> None:
    found, _, err = imgscan(database, *arguments)
    assert found == status
    if status == 2:
        assert err.startswith("imgscan: ")
        assert err.count("\n") == 1


def test_one_machine_is_printed_as_scan_prints_it(imgscan: Run, database: Path) -> None:
    _, text, _ = imgscan(database, "--machine", "lab/large")
    assert text.startswith("Machine lab/large\nNOT READY for aws-sms: 1 blocker\n")
    assert text.endswith("  because   the only disk of that name\n")
    _, text, _ = imgscan(database, "--machine", "lab/large", "--format", "json")
    jsonschema.validate(json.loads(text), json_schema("report"))


def test_an_output_is_never_the_database(imgscan: Run, database: Path, tmp_path: Path) -> None:
    before = database.read_bytes()
    link = tmp_path / "link.txt"
    link.hardlink_to(database)
    for output in (database, link, database.with_name("results.db-lock")):
        status, _, err = imgscan(database, "-o", output, "--force")
        assert status == 2
        assert "never overwritten" in err
    assert database.read_bytes() == before
    status, out, _ = imgscan(database, "--format", "json", "-o", tmp_path / "report.json")
    assert (status, out) == (1, "")
    assert json.loads((tmp_path / "report.json").read_text())["summary"]["machines"] == 9
    assert imgscan(database, "-o", tmp_path / "report.json")[0] == 2


def test_no_such_database(imgscan: Run, tmp_path: Path) -> None:
    status, _, err = imgscan(tmp_path / "nowhere.db")
    assert (status, err) == (2, f"imgscan: {tmp_path}/nowhere.db: there is no such file\n")


@pytest.mark.parametrize("format_", ["text", "json", "csv"])
def test_the_status_of_one_machine_is_its_own(imgscan: Run, database: Path, format_: str) -> None:
    """A path that could not be looked at is no fault of a machine that is ready."""
    assert imgscan(database, "--machine", "lab/debian", "--format", format_)[0] == 0


def test_a_fifo_is_no_database(imgscan: Run, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.db")
    status, _, err = imgscan(tmp_path / "fifo.db")
    assert (status, err) == (2, f"imgscan: {tmp_path}/fifo.db: it is no regular file\n")


def test_no_reader_is_loaded(database: Path) -> None:
    code = (
        "import sys\nfrom imgscan.cli.main import run\nstatus = run(['report', sys.argv[1], '--format', 'json'])\n"
        "names = ('scan', 'containers', 'partitions', 'volumes', 'filesystems', 'guests', 'layouts')\n"
        "bad = [m for m in sys.modules if m.split('.')[1:2] and m.split('.')[1] in names and m.startswith('imgscan')]\n"
        "bad += [m for m in ('construct', 'pytsk3', 'rich') if m in sys.modules]\n"
        "sys.exit(str(bad) if bad else status)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(database)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == ""


def test_the_same_bytes_in_any_place_and_language(database: Path) -> None:
    code = (
        "import sys\nfrom imgscan.cli.main import run\n"
        "sys.exit(*{run(['report', sys.argv[1], '--format', name]) for name in ('text', 'json', 'csv')})\n"
    )
    outputs = set()
    for zone, language, seed in (
        ("UTC", "C", "0"),
        ("Asia/Kathmandu", "C.UTF-8", "1"),
        ("Pacific/Apia", "tr_TR.UTF-8", "2"),
    ):
        environment = {**os.environ, "TZ": zone, "LC_ALL": language, "PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", code, str(database)]
        done = subprocess.run(command, capture_output=True, env=environment, check=False)
        assert done.returncode == 1, done.stderr
        outputs.add(done.stdout)
    assert len(outputs) == 1


@pytest.mark.long
def test_memory_stays_flat(tmp_path: Path) -> None:
    """The JSON of 400 machines is written in pieces; what is held does not grow with the share."""
    few = {f"m{number}": a_linux_machine() for number in range(20)}
    many = {f"m{number}": a_linux_machine() for number in range(400)}
    code = (
        "import resource, sys\nfrom imgscan.cli.main import run\nrun(['report', sys.argv[1], '--format', 'json'])\n"
        "sys.stderr.write(str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))"
    )
    used = []
    for name, machines in (("few", few), ("many", many)):
        (tmp_path / name).mkdir()
        path = make_share_ledger(tmp_path / name / "results.db", machines, failed=False, pending=False)
        done = subprocess.run(
            [sys.executable, "-c", code, str(path)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=True
        )
        used.append(int(done.stderr))
    assert used[1] - used[0] < 8 << 10  # KiB; the report of 400 machines alone has 15 MiB
