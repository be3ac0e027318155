# SPDX-License-Identifier: GPL-3.0-or-later
"""What somebody tries who runs code inside the container of Anon.

docs/firewall.md and tests/network have what the firewall stops in addition.
"""

from __future__ import annotations

import json
import subprocess
from itertools import product
from typing import Any

import pytest

import deployed
from deployed import PORTS

CONTAINER = "inside Anon's container"
FORK = """
import os, signal, time
children = []
try:
    while len(children) < 5000:
        child = os.fork()
        if child == 0:
            time.sleep(60)
            os._exit(0)
        children.append(child)
except OSError:
    pass
for child in children:
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
print(len(children))
"""


def inside(code: str, container: str = "e2e-anon") -> subprocess.CompletedProcess[str]:
    """Run Python in a container as its own user."""
    return subprocess.run(
        ["docker", "exec", container, "python3", "-c", code],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


def succeeds(code: str) -> bool:
    return inside(code).returncode == 0


def address(container: str) -> str:
    (network,) = deployed.inspect(container)["NetworkSettings"]["Networks"].values()
    return str(network["IPAddress"])


def connect(host: str, port: int) -> str:
    return f"import socket; socket.create_connection(({host!r}, {port}), 2)"


@pytest.mark.attack(
    CONTAINER,
    "calls the containers of PHI and Disk, and their databases",
    "a network for each kind",
)
def test_the_other_kinds_networks_are_out_of_reach() -> None:
    assert succeeds(connect(address("e2e-anon-db"), 5432))
    others = [name for name in deployed.CONTAINERS if not name.startswith("e2e-anon")]
    for name, port in product(others, (8042, 4242, 5432)):
        assert not succeeds(connect(address(name), port)), (name, port)


@pytest.mark.attack(CONTAINER, "looks up the names of PHI's containers", "a network for each kind")
def test_the_other_kinds_names_are_unknown() -> None:
    assert succeeds("import socket; socket.gethostbyname('e2e-anon-db')")
    for name in ("e2e-phi", "e2e-phi-db", "e2e-phi-worker-1", "e2e-disk-db"):
        assert not succeeds(f"import socket; socket.gethostbyname({name!r})"), name


@pytest.mark.attack(
    CONTAINER,
    "calls PHI by the port that it publishes on the host",
    "it is bound to the addresses that the inventory names; the firewall refuses the rest",
)
def test_phis_published_ports_are_out_of_reach() -> None:
    for host, port in product(("172.17.0.1", gateway()), (PORTS["phi"], deployed.DICOM_PORT)):
        assert not succeeds(connect(host, port)), (host, port)


def gateway() -> str:
    (network,) = deployed.inspect("e2e-anon")["NetworkSettings"]["Networks"].values()
    return str(network["Gateway"])


@pytest.mark.attack(
    CONTAINER,
    "uses the accounts that it finds in its configuration elsewhere",
    "each kind has its own passwords",
)
def test_its_accounts_are_of_use_nowhere_else() -> None:
    found = json.loads(inside("print(open('/etc/orthanc/orthanc.json').read())").stdout)[
        "RegisteredUsers"
    ]
    assert len(found) > 3
    for kind, (user, password) in product(("phi", "disk"), found.items()):
        with deployed.client(kind, user, password) as client:
            assert client.get("/system").status_code == 401, (kind, user)


@pytest.mark.attack(
    CONTAINER,
    "writes into the system, its program or its configuration",
    "read-only root and mounts",
)
@pytest.mark.parametrize(
    "path", ["/usr/sbin/x", "/etc/passwd", "/etc/orthanc/orthanc.json", "/etc/orthanc/plugins/x",
             "/usr/lib/x", "/var/log/x", "/root/x", "/proc/sys/kernel/core_pattern",
             "/sys/fs/cgroup/x", "/proc/sysrq-trigger"],
)  # fmt: skip
def test_nothing_of_it_can_be_written(path: str) -> None:
    assert not succeeds(f"open({path!r}, 'a').write('x')")


@pytest.mark.attack(
    CONTAINER,
    "becomes root: setuid, set-user-ID programs, capabilities, user namespaces",
    "no capability, no new privileges, Docker's seccomp profile",
)
@pytest.mark.parametrize(
    "code",
    [
        "import os; os.setuid(0)",
        "import os; os.setgroups([0])",
        "import os; os.chown('/tmp', 0, 0)",
        "import ctypes, sys; sys.exit(ctypes.CDLL(None).unshare(0x10000000))",
        "import ctypes, sys; sys.exit(ctypes.CDLL(None).unshare(0x00020000))",
        "import ctypes, sys; sys.exit(ctypes.CDLL(None).mount(b'x', b'/tmp', b'tmpfs', 0, None))",
        "import os; os.mknod('/tmp/sda', 0o60600, os.makedev(8, 0))",
        "import os; os.chroot('/tmp')",
        "import ctypes, sys; sys.exit(ctypes.CDLL(None).syscall(175, 0, 0, b''))",
        "import socket; socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)",
        "import socket; socket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
    ],
)
def test_it_stays_a_user_without_rights(code: str) -> None:
    assert not succeeds(code)


@pytest.mark.attack(
    CONTAINER,
    "finds a set-user-ID program that gives its rights to whoever starts it",
    "no new privileges",
)
def test_a_set_user_id_program_gives_nothing() -> None:
    status = inside("print(open('/proc/self/status').read())").stdout

    assert "NoNewPrivs:\t1" in status
    assert "CapEff:\t0000000000000000" in status
    assert "CapBnd:\t0000000000000000" in status
    assert "Seccomp:\t2" in status


@pytest.mark.attack(CONTAINER, "talks to Docker by its socket", "no container has the socket")
def test_there_is_no_docker_socket() -> None:
    for path in ("/var/run/docker.sock", "/run/docker.sock", "/run/containerd/containerd.sock"):
        assert not succeeds(f"import os; os.stat({path!r})"), path


@pytest.mark.attack(
    CONTAINER, "sees the host's or another container's processes, disks and secrets",
    "namespaces of its own; only its own configuration is mounted",
)  # fmt: skip
def test_it_sees_only_itself() -> None:
    processes = inside("import os; print([n for n in os.listdir('/proc') if n.isdigit()])").stdout
    mounted = inside("print(open('/proc/self/mounts').read())").stdout

    assert len(json.loads(processes.replace("'", '"'))) < 20
    assert "orthanc-e2e/phi" not in mounted
    for path in (
        "/etc/orthanc-e2e",
        "/srv/orthanc-e2e",
        "/etc/orthanc-deid",
        "/dev/sda",
        "/dev/vda",
    ):
        assert not succeeds(f"import os; os.stat({path!r})"), path


@pytest.mark.exhausting
@pytest.mark.attack(
    CONTAINER, "starts processes until the host has no room for more", "a limit of processes"
)
def test_it_cannot_take_all_processes() -> None:
    started = int(inside(FORK).stdout)

    limit: Any = deployed.inspect("e2e-anon")["HostConfig"]["PidsLimit"]
    assert 0 < started < limit


@pytest.mark.exhausting
@pytest.mark.attack(CONTAINER, "takes all memory of the host", "a limit of memory")
def test_it_cannot_take_all_memory() -> None:
    limit = deployed.inspect("e2e-anon")["HostConfig"]["Memory"]
    done = inside(f"x = bytearray({limit}); x[::4096] = b'x' * len(x[::4096])")
    deployed.wait_for(
        "Anon is healthy again",
        lambda: deployed.inspect("e2e-anon")["State"]["Health"]["Status"] == "healthy",
    )

    assert done.returncode != 0
