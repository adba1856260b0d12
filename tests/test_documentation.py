from __future__ import annotations

import sys
from pathlib import Path

import pytest
from tools import ROOT

from imgscan import profiles, rules

sys.path.insert(0, str(ROOT / "scripts"))

import generate_docs  # it stands beside the scripts


@pytest.fixture
def docs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Generate everything into an empty folder."""
    monkeypatch.setattr(generate_docs, "DOCS", tmp_path)
    assert generate_docs.main([]) == 0
    return tmp_path


def test_what_was_written_is_up_to_date(docs: Path) -> None:
    assert generate_docs.main(["--check"]) == 0
    assert {path.stem for path in (docs / "rules").iterdir()} == set(rules.BY_NAME)


def test_stale_missing_and_superfluous_files_are_named(docs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (docs / "rules" / "dual-boot.md").write_text("old")
    (docs / "rules" / "gone.md").write_text("of a rule that is no more")
    (docs / "requirements.md").unlink()
    assert generate_docs.main(["--check"]) == 1
    said = capsys.readouterr().err
    assert [line.split()[0] for line in said.splitlines()] == [
        "docs/requirements.md",
        "docs/rules/dual-boot.md",
        "docs/rules/gone.md",
    ]
    assert (docs / "rules" / "gone.md").exists()
    assert generate_docs.main([]) == 0
    assert generate_docs.main(["--check"]) == 0
    assert not (docs / "rules" / "gone.md").exists()


def test_a_page_holds_what_the_profiles_ask(docs: Path) -> None:
    for use in profiles.load("aws-sms").uses:
        page = (docs / "rules" / f"{use.rule.name}.md").read_text()
        for text in (use.requirement.text, use.requirement.source, use.severity, use.predicts or ""):
            assert text in page
        assert use.requirement.text in (docs / "requirements.md").read_text()


def test_links_lead_somewhere(docs: Path) -> None:
    for page in docs.rglob("*.md"):
        place = ROOT / "docs" / page.relative_to(docs)
        for target in (part.partition(")")[0] for part in page.read_text().split("](")[1:]):
            assert (place.parent / target).resolve().exists() or (page.parent / target).exists(), f"{page}: {target}"
