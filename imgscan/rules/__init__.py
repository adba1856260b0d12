"""The table of contents of all rules, by family. A rule is listed in its family's `RULES`; there is no other way in."""

from imgscan.model.rule import Rule
from imgscan.rules import (
    access,
    boot,
    changes,
    drivers,
    filesystem,
    image,
    mounts,
    network,
    partition,
    software,
    system,
    volume,
)
from imgscan.rules.explanation import explanation_of

FAMILIES: dict[str, tuple[Rule, ...]] = {
    "image": image.RULES,
    "partition": partition.RULES,
    "volume": volume.RULES,
    "boot": boot.RULES,
    "filesystem": filesystem.RULES,
    "system": system.RULES,
    "mounts": mounts.RULES,
    "drivers": drivers.RULES,
    "network": network.RULES,
    "software": software.RULES,
    "access": access.RULES,
    "changes": changes.RULES,
}
RULES: tuple[Rule, ...] = tuple(rule for rules in FAMILIES.values() for rule in rules)
BY_NAME: dict[str, Rule] = {rule.name: rule for rule in RULES}


def explanation(name: str) -> str | None:
    """Return what a rule checks, why it matters and how to fix it, as text for a terminal; None without such a rule."""
    rule = BY_NAME.get(name)
    if rule is None:
        return None
    parts = explanation_of(rule)
    return (
        f"{rule.name}: {parts.title}\n\n"
        f"What it checks\n{_indented(parts.checks)}\n\n"
        f"Why it matters\n{_indented(parts.matters)}\n\n"
        f"How to fix\n{_indented(parts.fix)}\n"
    )


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" if line else "" for line in text.splitlines())
