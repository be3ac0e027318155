# SPDX-License-Identifier: GPL-3.0-or-later
"""A host in a network namespace: its own Docker engine, containers, neighbours and firewall.

    scanner 10.77.1.2 -- 10.77.1.1 host 10.77.2.1 -- 10.77.2.2 stranger
            fd77:1::2 -- fd77:1::1      fd77:2::1 -- fd77:2::2

Nothing of it touches the rules, the interfaces or the engine of the machine that runs the tests.
"""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ansible_collections.imaging.orthanc.plugins.filter.firewall import firewall_rules

PROGRAM = Path(__file__).parents[2] / "roles/firewall/files/orthanc-firewall"
BUSYBOX = Path("/usr/bin/busybox")
HOST, SCANNER, STRANGER = "fwtest-host", "fwtest-scanner", "fwtest-stranger"
NAMESPACES = (HOST, SCANNER, STRANGER)
WWW_DATA, NOBODY = 33, 65534
# Each port of a container sends back what it gets.
ECHO = "for port in {}; do nc -ll -p $port -e cat & done; wait"


def run(*command: str) -> str:
    """Return what a command prints; fail with what it says if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"
    return done.stdout


def within(namespace: str, user: int = 0) -> list[str]:
    """Return the start of a command that runs in a namespace as a user."""
    start = ["nsenter", f"--net=/run/netns/{namespace}"]
    if user:
        start += ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]
    return start


def echoes(*command: str) -> bool:
    """Tell whether a connection is made and sends back what it gets."""
    done = subprocess.run(command, input=b"echo\n", capture_output=True, check=False, timeout=20)
    return done.stdout == b"echo\n"


class FirewalledHost:
    """The host, and what one can do on it and from its neighbours."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.socket = f"unix://{directory}/docker.sock"
        self.rules = directory / "rules"
        self.rules.mkdir()
        self.engine: subprocess.Popen[bytes] | None = None

    def make(self) -> None:
        """Make namespaces, engine and containers."""
        for number, namespace in enumerate(NAMESPACES):
            run("ip", "netns", "add", namespace)
            run(*within(namespace), "ip", "link", "set", "lo", "up")
            if namespace != HOST:
                self._join(namespace, number)
        self.start_engine()
        self._make_containers()

    def _join(self, neighbour: str, number: int) -> None:
        """Lay a cable between the host and a neighbour."""
        ends = {HOST: (f"to{number}", 1), neighbour: ("eth0", 2)}
        run("ip", "link", "add", f"to{number}", "netns", HOST, "type", "veth",
            "peer", "name", "eth0", "netns", neighbour)  # fmt: skip
        for namespace, (interface, address) in ends.items():
            ip = [*within(namespace), "ip"]
            run(*ip, "address", "add", f"10.77.{number}.{address}/24", "dev", interface)
            run(*ip, "address", "add", f"fd77:{number}::{address}/64", "dev", interface, "nodad")
            run(*ip, "link", "set", interface, "up")
        run(*within(neighbour), "ip", "route", "add", "default", "via", f"10.77.{number}.1")

    def start_engine(self) -> None:
        """Start Docker in the host's namespace and wait for its answer."""
        self.engine = subprocess.Popen(
            [
                *within(HOST),
                "dockerd",
                f"--host={self.socket}",
                f"--data-root={self.directory}/data",
                f"--exec-root={self.directory}/exec",
                f"--pidfile={self.directory}/docker.pid",
                "--containerd-namespace=fwtest",
                "--containerd-plugins-namespace=fwtest-plugins",
                "--storage-driver=vfs",
            ],
            stdout=(self.directory / "docker.log").open("ab"),
            stderr=subprocess.STDOUT,
        )
        deadline = time.monotonic() + 60
        while subprocess.run(
            ["docker", "--host", self.socket, "info"], capture_output=True, check=False
        ).returncode:
            assert time.monotonic() < deadline, (self.directory / "docker.log").read_text()[-3000:]
            time.sleep(0.3)

    def stop_engine(self) -> None:
        """Stop Docker, and with it the containers."""
        assert self.engine
        self.engine.terminate()
        self.engine.wait(60)

    def docker(self, *arguments: str) -> str:
        """Return what a command of this host's Docker prints."""
        return run("docker", "--host", self.socket, *arguments).strip()

    def _make_containers(self) -> None:
        image = io.BytesIO()
        with tarfile.open(fileobj=image, mode="w") as archive:
            archive.add(BUSYBOX, "bin/busybox")
            for name in ("sh", "nc", "sleep"):
                link = tarfile.TarInfo(f"bin/{name}")
                link.type, link.linkname = tarfile.SYMTYPE, "busybox"
                archive.addfile(link)
        subprocess.run(
            ["docker", "--host", self.socket, "import", "-", "box"],
            input=image.getvalue(), capture_output=True, check=True,
        )  # fmt: skip
        for network in ("orthanc-phi", "orthanc-anon"):
            self.docker("network", "create", network,
                        "--opt", f"com.docker.network.bridge.name={network}")  # fmt: skip
        self._run("orthanc-phi", "orthanc-phi", "4242 8042", "4242:4242", "127.0.0.1:8042:8042")
        self._run("orthanc-phi-db", "orthanc-phi", "5432", "5432:5432")
        self._run("worker", "orthanc-phi", "1")
        self._run("orthanc-anon", "orthanc-anon", "4242 8042", "4243:4242", "8043:8042")
        self._run("other", "bridge", "1")

    def _run(self, name: str, network: str, ports: str, *published: str) -> None:
        options = [f"--publish={port}" for port in published]
        self.docker(
            "run", "--detach", "--restart=always", "--stop-signal=KILL",
            f"--name={name}", f"--network={network}", *options,
            "box", "sh", "-c", ECHO.format(ports),
        )  # fmt: skip

    def remove(self) -> None:
        """Remove all that was made."""
        with suppress(AssertionError):
            names = self.docker("ps", "--all", "--quiet").split()
            self.docker("rm", "--force", *names)
        if self.engine:
            self.stop_engine()
        for namespace in NAMESPACES:
            subprocess.run(["ip", "netns", "delete", namespace], capture_output=True, check=False)

    def address(self, container: str) -> str:
        """Return a container's own address."""
        form = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        return self.docker("inspect", "--format", form, container)

    def firewall(self, verb: str, *arguments: str, check: bool = True) -> str:
        """Run the role's program on the host."""
        done = subprocess.run(
            [*within(HOST), str(PROGRAM), verb, *arguments],
            env={**os.environ, "ORTHANC_FIREWALL_DIR": str(self.rules)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def want(self, policy: Mapping[str, Any]) -> None:
        """Place the rules of a policy, as the role does."""
        for family in (4, 6):
            (self.rules / f"wanted.{family}").write_text(firewall_rules(policy, {}, family))

    def guard(self, policy: Mapping[str, Any]) -> None:
        """Load the rules of a policy and keep them."""
        self.want(policy)
        self.firewall("try", "60")
        self.firewall("keep")

    def saved(self, family: int = 4) -> list[str]:
        """Return all rules of the host, without counters and comments."""
        tool = {4: "iptables-save", 6: "ip6tables-save"}[family]
        lines = run(*within(HOST), tool).splitlines()
        return [line.split(" [")[0] for line in lines if not line.startswith("#")]

    def iptables(self, *arguments: str) -> str:
        """Run iptables on the host."""
        return run(*within(HOST), "iptables", *arguments)

    def count(self, chain: str, target: str) -> int:
        """Return how many packets the rules of a chain have sent to a target."""
        lines = self.iptables("-nvxL", chain).splitlines()
        return sum(int(line.split()[0]) for line in lines if f" {target} " in line)

    def calls(self, namespace: str, address: str, port: int, user: int = 0) -> bool:
        """Tell whether a process in a namespace gets an answer."""
        return echoes(*within(namespace, user), str(BUSYBOX), "nc", "-w", "2", address, str(port))

    def container_calls(self, container: str, address: str, port: int) -> bool:
        """Tell whether a container gets an answer."""
        return echoes(
            "docker", "--host", self.socket, "exec", "-i", container,
            "nc", "-w", "2", address, str(port),
        )  # fmt: skip

    @contextmanager
    def listener(self, namespace: str, port: int) -> Iterator[None]:
        """Have a process in a namespace that sends back what it gets."""
        server = subprocess.Popen(
            [*within(namespace), str(BUSYBOX), "nc", "-ll", "-p", str(port), "-e", "/bin/cat"]
        )
        try:
            deadline = time.monotonic() + 5
            while f":{port} " not in run(*within(namespace), "ss", "-Htln"):
                assert time.monotonic() < deadline
                time.sleep(0.05)
            yield
        finally:
            server.kill()
            server.wait()

    @contextmanager
    def metadata_service(self) -> Iterator[str]:
        """Have what clouds offer to their machines, at the address that they all use."""
        address = "169.254.169.254"
        run(*within(STRANGER), "ip", "address", "add", f"{address}/32", "dev", "eth0")
        run(*within(HOST), "ip", "route", "add", address, "via", "10.77.2.2")
        try:
            with self.listener(STRANGER, 80):
                yield address
        finally:
            run(*within(HOST), "ip", "route", "delete", address)
            run(*within(STRANGER), "ip", "address", "delete", f"{address}/32", "dev", "eth0")

    @contextmanager
    def connection(
        self, namespace: str, address: str, port: int
    ) -> Iterator[subprocess.Popen[bytes]]:
        """Hold a connection open."""
        client = subprocess.Popen(
            [*within(namespace), str(BUSYBOX), "nc", address, str(port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        try:
            yield client
        finally:
            client.kill()
            client.communicate()
