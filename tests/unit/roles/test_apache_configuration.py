# SPDX-License-Identifier: GPL-3.0-or-later
"""What the templates write is configuration that Apache reads."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROLE = Path(__file__).parents[3] / "roles/apache_proxy"
MODULES = (
    "mpm_event", "alias", "asis", "authn_core", "authn_file", "authz_core", "authz_host",
    "authz_user", "auth_basic", "setenvif", "headers", "proxy", "proxy_http", "reqtimeout",
    "rewrite", "socache_shmcb", "ssl", "ldap", "authnz_ldap", "auth_openidc",
)  # fmt: skip
GROUPS = [
    {"name": "admins", "account": "administrator"},
    {"name": "cn=staff (x),ou=y", "account": "viewer", "orthancs": ["anon"]},
]
SIGN_ONS: dict[str, dict[str, Any]] = {
    "htpasswd": {"apache_proxy_users": [{"name": "ada", "groups": ["admins"]}]},
    "oidc": {
        "apache_proxy_oidc": {
            "metadata_url": "https://idp.example.org/.well-known/openid-configuration",
            "client_id": "orthanc",
            "client_secret": "secret-of-the-client",
        }
    },
    "ldap": {
        "apache_proxy_ldap": {
            "url": "ldaps://ldap.example.org/ou=people,dc=example",
            "bind_dn": "cn=orthanc,dc=example",
            "bind_password": "secret-of-the-directory",
        }
    },
    "file": {"apache_proxy_groups_variable": "isMemberOf", "apache_proxy_sign_on_file": "x"},
}
PASSWORDS = {"administrator": "Aaa111bbb222", "viewer": "Ccc333ddd444"}


def given(directory: Path, sign_on: str) -> dict[str, Any]:
    """Return the role's settings and what it finds out, for one way to sign on."""
    return {
        "apache_proxy_host": "images.example.org",
        "apache_proxy_port": 8443,
        "apache_proxy_config_dir": str(directory),
        "apache_proxy_certificate": str(directory / "cert.pem"),
        "apache_proxy_certificate_key": str(directory / "key.pem"),
        "apache_proxy_orthancs": [
            {"kind": "phi", "host": "localhost", "path": "phi"},
            {"kind": "anon", "host": "localhost", "path": "anon"},
        ],
        "apache_proxy_groups": GROUPS,
        "apache_proxy_sign_on": sign_on,
        "__apache_proxy_fronts": [
            {"url": f"https://127.0.0.1:{port}", "passwords": PASSWORDS} for port in (1, 2)
        ],
        "__apache_proxy_listen": ["127.0.0.1"],
        "__apache_proxy_stage_dir": str(directory),
        "__apache_proxy_log_dir": str(directory),
        "__apache_proxy_secret": {"secrets": {"session": "secret-of-the-session"}},
        **SIGN_ONS[sign_on],
    }


def render(top: Path, sign_on: str, name: str) -> dict[str, Any]:
    """Return the task that renders one of the role's templates."""
    directory = top / sign_on
    return {
        "ansible.builtin.template": {
            "src": str(ROLE / "templates" / f"{name}.j2"),
            "dest": str(directory / name),
            "mode": "0600",
        },
        "vars": given(directory, sign_on),
    }


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Render the configuration of each sign-on, with all that it reads, into a directory each."""
    top = tmp_path_factory.mktemp("apache")
    (top / "tls").mkdir()
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x",
         "-keyout", top / "key.pem", "-out", top / "cert.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    for sign_on in SIGN_ONS:
        (top / sign_on / "tls").mkdir(parents=True)
        (top / sign_on / "sign_on.inc").write_text("<Location />\n    AuthType None\n</Location>\n")
        shutil.copy(top / "cert.pem", top / sign_on / "tls/ca.crt")
        for name in ("cert.pem", "key.pem"):
            shutil.copy(top / name, top / sign_on)
    play = {
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        "vars_files": [
            str(ROLE / name) for name in ("defaults/main.yml", "vars/main.yml", "vars/Debian.yml")
        ],
        "vars": {"ansible_python_interpreter": sys.executable},
        "tasks": [
            render(top, sign_on, name)
            for sign_on in SIGN_ONS
            for name in ("front.conf", "secrets.inc")
        ],
    }
    (top / "render.yml").write_text(yaml.safe_dump([play]))
    done = subprocess.run(
        [
            Path(sys.executable).with_name("ansible-playbook"),
            "-i",
            "localhost,",
            top / "render.yml",
        ],
        cwd=ROLE.parents[1],
        env={
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(ROLE.parents[1] / "playbooks/collections"),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return {sign_on: top / sign_on for sign_on in SIGN_ONS}


def apache_reads(directory: Path) -> subprocess.CompletedProcess[str]:
    main = directory / "apache.conf"
    loads = [
        f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n" for name in MODULES
    ]
    main.write_text(
        "".join(loads)
        + f"ServerName localhost\nServerRoot {directory}\nDefaultRuntimeDir {directory}\n"
        + f"PidFile {directory}/pid\nErrorLog {directory}/error.log\n"
        + f"Include {directory}/front.conf\n"
    )
    return subprocess.run(
        ["apache2", "-t", "-f", str(main)], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("sign_on", SIGN_ONS)
def test_apache_reads_the_configuration_of_each_sign_on(
    rendered: dict[str, Path], sign_on: str
) -> None:
    done = apache_reads(rendered[sign_on])

    assert done.returncode == 0, done.stderr
    assert "Syntax OK" in done.stderr


def test_apache_would_tell_of_a_mistake(rendered: dict[str, Path], tmp_path: Path) -> None:
    directory = tmp_path / "broken"
    shutil.copytree(rendered["file"], directory)
    main = (directory / "front.conf").read_text()
    (directory / "front.conf").write_text(main.replace(str(rendered["file"]), str(directory)))
    (directory / "sign_on.inc").write_text("NoSuchDirective on\n")

    assert "NoSuchDirective" in apache_reads(directory).stderr


@pytest.mark.parametrize("sign_on", SIGN_ONS)
def test_no_secret_stands_in_the_configuration_itself(
    rendered: dict[str, Path], sign_on: str
) -> None:
    directory = rendered[sign_on]
    front = (directory / "front.conf").read_text()

    assert "secret-of" not in front
    assert "Basic " not in front.replace("AuthType Basic", "")
    assert "RequestHeader set Authorization" in (directory / "secrets.inc").read_text()


def test_the_first_group_of_a_user_is_set_last_and_so_counts(rendered: dict[str, Path]) -> None:
    secrets = (rendered["oidc"] / "secrets.inc").read_text()
    anon = secrets[secrets.index('<Location "/anon/">') :]

    assert anon.index("staff") < anon.index("admins")
    assert "staff" not in secrets[: secrets.index('<Location "/anon/">')]


def test_every_orthanc_is_verified_and_every_path_needs_a_group(rendered: dict[str, Path]) -> None:
    front = (rendered["ldap"] / "front.conf").read_text()

    for line in (
        "SSLProxyVerify require",
        "SSLProxyCheckPeerName on",
        "SSLProxyCheckPeerExpire on",
    ):
        assert line in front
    for part in front.split('<Location "/')[1:]:
        inside = part[: part.index("</Location>")]
        assert "ProxyPass" not in inside or "Require expr" in inside


def test_another_port_is_part_of_the_origin(rendered: dict[str, Path]) -> None:
    front = (rendered["htpasswd"] / "front.conf").read_text()

    assert r"https://(images\.example\.org):8443\|" in front
