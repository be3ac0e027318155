# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import getpass
import json
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

CONTAINER: dict[str, Any] = {
    "Name": "/anon",
    "Id": "4f",
    "State": {"Status": "running", "Health": {"Status": "healthy"}},
    "Config": {"Image": "orthanc:1"},
    "HostConfig": {"Memory": 1},
    "NetworkSettings": {"Networks": {"anon": {"NetworkID": "7c"}}},
}


class Part:
    """A part of a site: its files, a container of an engine that is told what to answer."""

    def __init__(self, run_module: Callable[..., dict[str, Any]], place: Path) -> None:
        self._run = run_module
        self.path = place / "conf/seal.json"
        self.file = place / "conf/orthanc/orthanc.json"
        self.data = place / "data"
        self.certificate = place / "orthanc.crt"
        self._told = place / "engine.json"
        self.file.parent.mkdir(parents=True)
        self.file.write_text("{}\n")
        self.data.mkdir()
        self.engine_tells(CONTAINER)
        self.renew(days=60)
        program = place / "bin/docker"
        program.parent.mkdir()
        program.write_text(f"#!/bin/sh\ncat {self._told}\n")
        program.chmod(0o755)
        self.asked: dict[str, Any] = {
            "path": str(self.path),
            "inputs": "digest",
            "trees": [str(place / "conf"), str(place / "cron")],
            "except": [str(place / "conf/public")],
            "directories": [str(self.data)],
            "users": [getpass.getuser()],
            "containers": ["anon"],
            "certificates": {str(self.certificate): 30 * 86400},
        }

    def engine_tells(self, *containers: dict[str, Any]) -> None:
        self._told.write_text(json.dumps(containers))

    def renew(self, days: int) -> None:
        subprocess.run(
            [
                "openssl", "req", "-x509", "-newkey", "ed25519", "-nodes", "-subj", "/CN=anon",
                "-days", str(days), "-keyout", "/dev/null", "-out", str(self.certificate),
            ],
            check=True,
            capture_output=True,
        )  # fmt: skip

    def write(self, *, check: bool = False, **changed: Any) -> dict[str, Any]:
        return self._run("seal", {**self.asked, **changed, "write": True}, check=check)

    def look(self, *, check: bool = False, **changed: Any) -> dict[str, Any]:
        return self._run("seal", {**self.asked, **changed}, check=check)


@pytest.fixture
def part(
    run_module: Callable[..., dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Part:
    part = Part(run_module, tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    return part


def test_a_seal_is_predicted_written_and_holds(part: Part) -> None:
    assert not part.look()["intact"]
    assert part.write(check=True)["changed"]
    assert not part.path.exists()

    assert part.write()["changed"]
    assert stat.S_IMODE(part.path.stat().st_mode) == 0o400
    assert not part.write()["changed"]
    assert part.look() == part.look(check=True)
    assert part.look()["intact"]
    assert not part.look()["changed"]


def other_content(part: Part) -> None:
    part.file.write_text("{ }\n")


def other_mode(part: Part) -> None:
    part.file.chmod(0o666)


def further_file(part: Part) -> None:
    (part.file.parent / "further.py").write_text("")


def file_gone(part: Part) -> None:
    part.file.unlink()


def file_that_was_not_there(part: Part) -> None:
    Path(part.asked["trees"][1]).write_text("")


def directory_open_to_all(part: Part) -> None:
    part.data.chmod(0o777)


def directory_gone(part: Part) -> None:
    part.data.rmdir()


def container_gone(part: Part) -> None:
    part.engine_tells()


def another_container(part: Part) -> None:
    part.engine_tells({**CONTAINER, "Id": "50"})


def container_changed_by_hand(part: Part) -> None:
    part.engine_tells({**CONTAINER, "HostConfig": {"Memory": 2}})


def container_off_its_network(part: Part) -> None:
    part.engine_tells({**CONTAINER, "NetworkSettings": {"Networks": {}}})


def container_stopped(part: Part) -> None:
    part.engine_tells({**CONTAINER, "State": {"Status": "exited"}})


def container_unhealthy(part: Part) -> None:
    part.engine_tells(
        {**CONTAINER, "State": {**CONTAINER["State"], "Health": {"Status": "unhealthy"}}}
    )


def certificate_ends_soon(part: Part) -> None:
    part.renew(days=20)


def certificate_gone(part: Part) -> None:
    part.certificate.unlink()


@pytest.mark.parametrize(
    ("happens", "differs"),
    [
        (other_content, "conf/orthanc/orthanc.json"),
        (other_mode, "conf/orthanc/orthanc.json"),
        (further_file, "conf/orthanc/further.py"),
        (file_gone, "conf/orthanc/orthanc.json"),
        (file_that_was_not_there, "cron"),
        (directory_open_to_all, "data"),
        (directory_gone, "data"),
        (container_gone, "container anon"),
        (another_container, "container anon"),
        (container_changed_by_hand, "container anon"),
        (container_off_its_network, "container anon"),
        (container_stopped, "container anon"),
        (container_unhealthy, "container anon"),
        (certificate_ends_soon, "orthanc.crt"),
        (certificate_gone, "orthanc.crt"),
    ],
)
def test_whatever_differs_is_named_and_breaks_the_seal(
    part: Part, happens: Callable[[Part], None], differs: str
) -> None:
    part.write()
    happens(part)

    predicted = part.look(check=True)
    assert not predicted["intact"]
    assert part.path.exists(), "check mode changes nothing"
    assert part.look()["differs"] == predicted["differs"]
    assert [name.endswith(differs) for name in predicted["differs"]] == [True]
    assert not part.path.exists(), "a run that is cut off now must be followed by a whole one"


def test_a_container_that_was_not_well_when_sealed_is_never_as_it_should_be(part: Part) -> None:
    container_stopped(part)
    part.write()
    assert part.look()["differs"] == ["container anon"]


@pytest.mark.parametrize(
    ("changed", "differs"),
    [({"inputs": "other"}, "what it is made from"), ({"users": ["nobody"]}, "user nobody")],
)
def test_what_is_asked_for_counts_too(part: Part, changed: dict[str, Any], differs: str) -> None:
    part.write()
    assert differs in part.look(**changed)["differs"]


def test_what_is_left_out_may_change(part: Part) -> None:
    part.write()
    public = Path(part.asked["except"][0])
    public.mkdir()
    (public / "backup.json").write_text("{}")
    part.data.joinpath("image").write_text("")
    assert part.look()["differs"] == []


@pytest.mark.parametrize("content", ["", "[]", '"text"', "{"])
def test_a_seal_that_cannot_be_read_does_not_hold(part: Part, content: str) -> None:
    part.path.write_text(content)
    assert not part.look()["intact"]


def test_without_an_engine_no_seal_holds(part: Part, monkeypatch: pytest.MonkeyPatch) -> None:
    part.write()
    (part.path.parents[1] / "bin/docker").unlink()
    monkeypatch.setenv("PATH", "/nowhere")
    assert "container anon" in part.look()["differs"]
