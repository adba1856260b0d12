"""What imgscan says of packet filters is what a kernel does with a connection."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from firewall_rules import IPTABLES, NFTABLES
from tools import ROOT, requires_tool

PROGRAM = ROOT / "tests" / "kernel_connections.py"


@pytest.mark.long
@requires_tool("nft", "iptables-restore", "ip", "unshare")
def test_a_kernel_decides_the_same() -> None:
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    cases = [rules for rules in (*IPTABLES, *NFTABLES) if rules.expected != "unknown"]
    done = subprocess.run(
        ["unshare", "--net", sys.executable, PROGRAM],
        input=json.dumps([[rules.kind, rules.text] for rules in cases]),
        capture_output=True,
        text=True,
        check=False,
    )
    if "Operation not permitted" in done.stderr and os.environ.get("CI") != "true":
        pytest.skip("this machine has no network namespaces")
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    assert {r.name: a for r, a in zip(cases, answers, strict=True)} == {r.name: r.expected for r in cases}
