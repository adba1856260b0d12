"""What the rules about host firewalls share: one that blocks stands, else one that was not followed, else all allow."""

from __future__ import annotations

from imgscan.errors import UnreadFact
from imgscan.model.access import Firewall
from imgscan.model.evidence import AtOffset
from imgscan.model.rule import Result, failed, passed
from imgscan.model.system import System


def judge_firewalls(system: System, *, blocked: str, let_in: str) -> Result:
    """Judge all firewalls that start; `blocked` and `let_in` name what they block or let in.

    :raises UnreadFact: they were not read, or one that does not block for sure was not followed
    """
    firewalls = system.firewalls.get()
    where = system.firewalls.evidence or (AtOffset(system.root, 0, 0, "installed system"),)
    unread: UnreadFact | None = None
    allowing: list[Firewall] = []
    for firewall in firewalls:
        try:
            decision = firewall.decision.get()
        except UnreadFact as signal:
            detail = f"{firewall.name}: {signal.detail}"
            unread = unread or UnreadFact(signal.why, detail, signal.evidence)
            continue
        if decision == "block":
            detail = f" ({firewall.detail})" if firewall.detail else ""
            return failed(
                f"{firewall.name}{detail} blocks new connections to {blocked}",
                *(firewall.decision.evidence or where),
            )
        allowing.append(firewall)
    if unread is not None:
        raise unread
    if not allowing:
        return passed("no host firewall starts with the system", *where)
    evidence = tuple(dict.fromkeys(piece for each in allowing for piece in each.decision.evidence))
    return passed(f"{', '.join(each.name for each in allowing)} lets {let_in} in", *(evidence or where))
