"""A machine in the same network as the tests' site: a network namespace with a cable to this one.

neighbour 10.78.0.2 -- 10.78.0.1 this machine
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

NAME = "orthanc-neighb"
HOST, SELF = "10.78.0.1", "10.78.0.2"
CONNECT = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), 2).close()
except OSError:
    sys.exit(1)
"""


def _ip(*arguments: str, check: bool = True) -> None:
    subprocess.run(["ip", *arguments], check=check, capture_output=True)


@contextmanager
def neighbour() -> Iterator[list[str]]:
    """Have the neighbour; yields the start of a command that runs there."""
    _ip("netns", "delete", NAME, check=False)
    _ip("netns", "add", NAME)
    try:
        _ip("link", "add", NAME, "type", "veth", "peer", "name", "eth0", "netns", NAME)
        _ip("address", "add", f"{HOST}/24", "dev", NAME)
        _ip("link", "set", NAME, "up")
        _ip("-n", NAME, "address", "add", f"{SELF}/24", "dev", "eth0")
        _ip("-n", NAME, "link", "set", "eth0", "up")
        _ip("-n", NAME, "route", "add", "default", "via", HOST)
        yield ["nsenter", f"--net=/run/netns/{NAME}"]
    finally:
        _ip("netns", "delete", NAME)


def connects(start: list[str], address: str, port: int) -> bool:
    """Tell whether a connection is made by a command that starts so."""
    done = subprocess.run(
        [*start, sys.executable, "-c", CONNECT, address, str(port)], check=False, timeout=20
    )
    return done.returncode == 0
