"""A partition table is damaged.

What it checks
--------------
The partition table of each disk, MBR with its logical partitions or GPT with both copies: checksums, partitions that
overlap or reach beyond the end of the disk, a chain of logical partitions that loops, copies that differ. Oddities
that every system copes with (a backup GPT that is not at the end since the disk was enlarged) are noted and do not
fail.

Why it matters
--------------
Importers and guests that go by the damaged table see other partitions, or none; a partition that reaches beyond the
end of the disk has lost its tail.

How to fix
----------
If the disk was cut short, export it again. Else repair the table inside the source machine (`sgdisk --verify` and
`gdisk` for GPT, `sfdisk --verify` for MBR), after a backup.
"""

from __future__ import annotations

from imgscan.errors import UnreadFact
from imgscan.model.disk import WHY_OF_PROBLEM, Disk
from imgscan.model.machine import MachineFacts
from imgscan.model.rule import NoParams, Result, Rule, failed, not_applicable, over, passed
from imgscan.rules.explanation import how_to_fix, title
from imgscan.rules.subjects import partition_table_of, where_partitioned


def check(machine: MachineFacts, _params: NoParams) -> Result:
    """Ask each disk's table for its problems."""

    def ask(disk: Disk) -> Result:
        table = partition_table_of(disk)
        damage = [problem for problem in table.problems if problem.kind == "damage"]
        if damage:
            evidence = tuple(piece for problem in damage for piece in problem.evidence)
            evidence = evidence or where_partitioned(disk)
            return failed(f"{disk.name}: {'; '.join(problem.detail for problem in damage)}", *evidence)
        for problem in table.problems:
            if problem.kind in WHY_OF_PROBLEM or problem.kind == "unsupported":
                raise UnreadFact(WHY_OF_PROBLEM.get(problem.kind, "unsupported"), problem.detail, problem.evidence)
        if table.scheme == "none":
            return not_applicable(f"{disk.name} has no partition table", *where_partitioned(disk))
        count = len(table.partitions)
        return passed(
            f"{disk.name}: {table.scheme.upper()} with {count} partition{'' if count == 1 else 's'}, no contradiction",
            *where_partitioned(disk),
        )

    return over(machine.disks, ask, none="the machine has no disks")


RULE = Rule(
    name="damaged-partition-table",
    title=title(__doc__),
    scope="machine",
    reads=("disks.partitioning", "disks.partition_table"),
    remedy=how_to_fix(__doc__),
    check=check,
)
