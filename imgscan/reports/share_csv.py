"""The report over a share as tables for spreadsheets: one row for each machine, or for each finding of one rule.

What a guest calls itself must not become a formula: a cell (or what a spreadsheet that separates at semicolons takes
for one) that begins with ``=``, ``+``, ``-`` or ``@``, after blanks and quotation marks too, gets an apostrophe in
front. Every cell is quoted, and hidden characters (tab and carriage return among them) are written as escapes.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence

from imgscan.model.report import Verdict
from imgscan.model.share_report import MachineAnswer
from imgscan.model.text import shown
from imgscan.reports.text_layout import evidence_text

MACHINE_COLUMNS = ("machine", "state", "failure", "detail")
VERDICT_COLUMNS = ("readiness", "failed blockers", "undecided blockers", "failed warnings")
FACT_COLUMNS = ("systems", "host names", "disks", "formats", "virtual size", "files", "grouped because")
FINDING_COLUMNS = (
    *("machine", "profile", "rule", "severity", "outcome", "system", "summary", "evidence"),
    *("requirement", "source", "remedy", "predicts"),
)
_FORMULA = re.compile(r"""(^|;)(?=[\s"'`]*[=+\-@\uff1d\uff0b\uff0d\uff20])""")


def render(profiles: Sequence[str], answers: Iterable[MachineAnswer]) -> Iterator[str]:
    """Yield one line for each machine, after the column names; a profile's columns carry its name."""
    yield _line(
        [*MACHINE_COLUMNS, *(f"{name} {column}" for name in profiles for column in VERDICT_COLUMNS), *FACT_COLUMNS]
    )
    for answer in answers:
        failure = answer.share.failure
        yield _line(
            [
                *(answer.name, answer.share.state),
                *(("", "") if failure is None else (failure.failure, failure.detail)),
                *(cell for verdict in answer.verdicts for cell in _verdict(verdict)),
                "; ".join(system.product or system.family for system in answer.systems),
                "; ".join(system.hostname for system in answer.systems if system.hostname),
                str(len(answer.disks)),
                "; ".join(sorted({disk.format or "unrecognised" for disk in answer.disks})),
                str(sum(disk.virtual_size or 0 for disk in answer.disks)) if answer.disks else "",
                "; ".join(answer.share.files),
                answer.share.reason,
            ]
        )


def render_rule(rule: str, answers: Iterable[MachineAnswer]) -> Iterator[str]:
    """Yield one line for each finding of one rule that failed or is undecided."""
    yield _line(FINDING_COLUMNS)
    for answer in answers:
        for profile, finding in answer.findings(rule):
            yield _line(
                [
                    *(answer.name, profile, finding.rule, finding.severity, finding.outcome),
                    "" if finding.system is None else str(finding.system),
                    finding.summary,
                    "; ".join(map(evidence_text, finding.evidence)),
                    *(finding.requirement.text, finding.requirement.source, finding.remedy, finding.predicts),
                ]
            )


def disarmed(cell: str) -> str:
    """Return a cell that no spreadsheet takes for a formula, on one line."""
    return _FORMULA.sub(r"\1'", shown(cell))


def _verdict(verdict: Verdict | None) -> tuple[str, str, str, str]:
    if verdict is None:
        return "", "", "", ""

    def rules(severity: str, outcome: str) -> str:
        found = (f.rule for f in verdict.findings if f.severity == severity and f.outcome == outcome)
        return "; ".join(dict.fromkeys(found))

    return verdict.readiness, rules("blocker", "fail"), rules("blocker", "unknown"), rules("warning", "fail")


def _line(cells: Iterable[str | None]) -> str:
    out = io.StringIO()
    csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n").writerow([disarmed(cell or "") for cell in cells])
    return out.getvalue()
