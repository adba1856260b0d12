"""Asks a Linux kernel what packet filters do: loads rules in a network namespace and connects to it from another one.

Run by `unshare --net` as a program of its own: reads [[kind, rules], ...] as JSON from standard input and writes
["allow" or "block" or an error, ...]. The server is 198.51.100.1 port 22 on eth0, the client 198.51.100.7.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys

PORT = 22
LOADERS = {"iptables": ["iptables-restore"], "nftables": ["nft", "-f", "-"]}


def serve() -> None:
    """Load the rules of each line of standard input; print an empty line when they are in force."""
    for name in ("lo", "eth0"):
        subprocess.run(["ip", "link", "set", name, "up"], check=True)
    subprocess.run(["ip", "address", "add", "198.51.100.1/24", "dev", "eth0"], check=True)
    listener = socket.create_server(("", PORT))
    for line in sys.stdin:
        kind, rules = json.loads(line)
        # nft's flush covers iptables' rules too, which are nftables' today
        subprocess.run(["nft", "flush", "ruleset"], check=True)
        done = subprocess.run(LOADERS[kind], input=rules, capture_output=True, text=True, check=False)
        sys.stdout.write(json.dumps(done.stderr if done.returncode else "") + "\n")
        sys.stdout.flush()
    listener.close()


def main() -> None:
    """Be the client."""
    cases = json.load(sys.stdin)
    server = subprocess.Popen(
        ["unshare", "--net", sys.executable, __file__, "serve"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdin is not None
    assert server.stdout is not None
    # `unshare` becomes the program: its namespace is there as soon as the link can be moved into it
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    while not _moved(server.pid):
        pass
    subprocess.run(["ip", "address", "add", "198.51.100.7/24", "dev", "client"], check=True)
    subprocess.run(["ip", "link", "set", "client", "up"], check=True)
    answers = []
    for case in cases:
        server.stdin.write(json.dumps(case) + "\n")
        server.stdin.flush()
        error = json.loads(server.stdout.readline())
        answers.append(error or ("allow" if _connects() else "block"))
    server.stdin.close()
    server.wait()
    sys.stdout.write(json.dumps(answers))


def _moved(pid: int) -> bool:
    own, other = (_namespace(each) for each in ("self", str(pid)))
    if own == other:
        return False
    link = ["ip", "link", "add", "client", "type", "veth", "peer", "name", "eth0", "netns", str(pid)]
    return subprocess.run(link, check=False).returncode == 0


def _namespace(process: str) -> str:
    return subprocess.run(["readlink", f"/proc/{process}/ns/net"], capture_output=True, text=True, check=False).stdout


def _connects() -> bool:
    try:
        socket.create_connection(("198.51.100.1", PORT), timeout=0.8).close()
    except OSError:
        return False
    return True


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        serve()
    else:
        main()
