"""Writes the generated part of docs/, and the example in the README. --check only compares.

Generated are rule pages, indexes, the command line's reference, the ledger's tables, and the JSON Schemas.

Everything comes from the code: a rule's docstring, the profiles, the commands' help, the model. With --check nothing
is written; stale, missing and superfluous files are listed and the exit status is 1.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path

from cli_reference import cli_page, schema_pages  # beside this script
from ledger_page import ledger_page  # the same

from imgscan import profiles, rules, scan_machine
from imgscan.model.profile import Profile, Use
from imgscan.model.rule import Rule
from imgscan.reports.text import render
from imgscan.rules.explanation import explanation_of

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
GENERATED_FOLDERS = ("rules", "schemas")
"""Folders of docs/ that hold generated files only; what is not made here is superfluous there."""
MADE = "<!-- Made by scripts/generate_docs.py; change the rule or the profile instead. -->"
FAMILY_TITLES = {
    "image": "The image files",
    "partition": "Partition tables",
    "volume": "Volume layers",
    "boot": "Booting",
    "filesystem": "Filesystems",
    "system": "Installed systems",
    "mounts": "The mount table",
    "drivers": "The kernel's drivers",
    "network": "The network",
    "software": "Software and origin",
    "access": "Reaching the system",
    "changes": "What the import changes",
}
DEMO = "tests/fixtures/images/debian12-bios.vmdk"
EXAMPLE_MARK = "```text\n"
"""The README's first text block is the example."""
SCOPES = {"machine": "the machine, once", "system": "each installed system"}


def pages() -> dict[str, str]:
    """Return every generated file's content by its path below docs/."""
    loaded = [profiles.load(name) for name in profiles.NAMES]
    made = {f"rules/{rule.name}.md": rule_page(rule, loaded) for rule in rules.RULES}
    made["rules.md"] = rules_page(loaded)
    made["requirements.md"] = requirements_page(loaded)
    made["cli.md"] = cli_page()
    made["ledger.md"] = ledger_page()
    made["../README.md"] = readme()
    made.update({f"schemas/{name}": content for name, content in schema_pages().items()})
    return made


def readme() -> str:
    """Return the README with its example as it comes out now."""
    text = (ROOT / "README.md").read_text()
    before, mark, rest = text.partition(EXAMPLE_MARK)
    _, end, after = rest.partition("```\n")
    with contextlib.chdir(ROOT):
        report = scan_machine([DEMO], [profiles.load("aws-sms")])
    return f"{before}{mark}{render(report)}{end}{after}"


def rule_page(rule: Rule, loaded: list[Profile]) -> str:
    """Return a rule's page: its docstring, what it looks at, and which profile asks it for which requirement."""
    parts = explanation_of(rule)
    path = f"{rule.check.__module__.replace('.', '/')}.py"
    uses = [(profile, use) for profile in loaded for use in profile.uses if use.rule is rule]
    lines = [
        MADE,
        f"# {rule.name}",
        f"{parts.title}.",
        f"## What it checks\n\n{parts.checks}",
        f"## Why it matters\n\n{parts.matters}",
        f"## How to fix\n\n{parts.fix}",
        f"## What it reads\n\nAsked of {SCOPES[rule.scope]}. Facts: {', '.join(f'`{name}`' for name in rule.reads)}.",
        f"## Where it is asked\n\n{uses_table(uses)}" if uses else "## Where it is asked\n\nIn no profile.",
        f"Source: [{path}](../../{path})",
    ]
    return "\n\n".join(lines) + "\n"


def uses_table(uses: list[tuple[Profile, Use]]) -> str:
    """Return the table of a rule's uses in profiles."""
    rows = [
        (
            profile.name,
            f"{use.severity}{f', {use.family}' if use.family else ''}",
            parameters(use),
            use.requirement.text,
            f"{use.requirement.source}{f', {use.requirement.date}' if use.requirement.date else ''}",
            f"`{use.predicts}`" if use.predicts else "",
        )
        for profile, use in uses
    ]
    return table(("profile", "severity", "parameters", "requirement", "source", "predicted error"), rows)


def parameters(use: Use) -> str:
    """Return a use's parameters, defaults included."""
    values = ((name, getattr(use.params, name)) for name in use.params.__struct_fields__)
    return "; ".join(f"{name}: {_listed(v) if isinstance(v, tuple) else v}" for name, v in values)


def _listed(values: tuple[object, ...]) -> str:
    """Return a list; the lines of a list of systems have commas of their own."""
    return (", " if all(isinstance(value, str) for value in values) else "; ").join(map(str, values))


def rules_page(loaded: list[Profile]) -> str:
    """Return the index of all rules by family."""
    lines = [MADE, "# Rules", "What imgscan checks. A rule's name states the flaw that it finds."]
    for family, listed in rules.FAMILIES.items():
        rows = [
            (f"[{rule.name}](rules/{rule.name}.md)", explanation_of(rule).title, severities(rule, loaded))
            for rule in listed
        ]
        lines.append(f"## {FAMILY_TITLES[family]}\n\n{table(('rule', 'flaw', 'in profiles'), rows)}")
    return "\n\n".join(lines) + "\n"


def severities(rule: Rule, loaded: list[Profile]) -> str:
    """Return in which profiles a rule is asked, and how much it weighs there."""
    found = [f"{profile.name}: {use.severity}" for profile in loaded for use in profile.uses if use.rule is rule]
    return ", ".join(dict.fromkeys(found))


def requirements_page(loaded: list[Profile]) -> str:
    """Return each profile's requirements with the rules that enforce them."""
    lines = [
        MADE,
        "# Requirements",
        "What each target asks, in our own words, where that is written, and the rules that check it.",
    ]
    for profile in loaded:
        by_requirement: dict[tuple[str, str, str], list[str]] = {}
        for use in profile.uses:
            asked = (use.requirement.text, use.requirement.source, use.requirement.date)
            about = f"{use.severity}, {use.family}" if use.family else use.severity
            by_requirement.setdefault(asked, []).append(f"[{use.rule.name}](rules/{use.rule.name}.md) ({about})")
        rows = [
            (text, f"{source}{f', {date}' if date else ''}", ", ".join(dict.fromkeys(named)))
            for (text, source, date), named in by_requirement.items()
        ]
        title = f"## {profile.name}: {profile.title} (version {profile.version}, {profile.date})"
        lines.append(f"{title}\n\n{table(('requirement', 'source', 'rules'), rows)}")
    return "\n\n".join(lines) + "\n"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""

    def line(cells: Sequence[str]) -> str:
        return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"

    return "\n".join((line(head), f"|{'---|' * len(head)}", *(line(row) for row in rows)))


def stale(made: dict[str, str]) -> list[str]:
    """Return the paths below docs/ that differ from what would be made now, or should not be there."""
    differing = [
        name for name, content in made.items() if not (DOCS / name).is_file() or (DOCS / name).read_text() != content
    ]
    there = [path for folder in GENERATED_FOLDERS for path in (DOCS / folder).glob("*") if path.is_file()]
    superfluous = [name for name in (path.relative_to(DOCS).as_posix() for path in there) if name not in made]
    return sorted([*differing, *superfluous])


def main(arguments: list[str] | None = None) -> int:
    """Write what is stale, or with --check only name it."""
    parser = argparse.ArgumentParser(description="Write the generated documentation.")
    parser.add_argument("--check", action="store_true", help="only compare; exit 1 when something is stale")
    check: bool = parser.parse_args(arguments).check
    made = pages()
    for name in stale(made):
        if check:
            sys.stderr.write(f"docs/{name} is stale; run scripts/generate_docs.py\n")
        elif name in made:
            (DOCS / name).parent.mkdir(parents=True, exist_ok=True)
            (DOCS / name).write_text(made[name])
        else:
            (DOCS / name).unlink()
    return int(check and bool(stale(made)))


if __name__ == "__main__":
    sys.exit(main())
