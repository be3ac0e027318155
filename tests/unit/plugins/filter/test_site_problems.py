# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.imaging.orthanc.plugins.filter.site_problems import site_problems

Site = dict[str, dict[str, Any]]

SPECS = [
    "options: {orthanc_phi_http_port: {}, orthanc_phi_dicom_port: {}, orthanc_phi_aet: {}}",
    "default: \"{{ orthanc_site_base_name | default('ANON') }}\"\ncontainer_host_build_dir:",
]


def kind(name: str, number: int) -> dict[str, Any]:
    return {
        "name": f"orthanc-{name}",
        "aet": name.upper(),
        "uid": 10042,
        "gid": 10042,
        "ports": {"http_port": 8042 + number, "dicom_port": 4242 + number},
        "directories": {
            f"orthanc_{name}_config_dir": f"/etc/orthanc/{name}",
            f"orthanc_{name}_data_dir": f"/srv/orthanc/{name}",
        },
        "passwords": {},
        "dicom_nodes": [],
        "dicom_tls_ca": "",
        "certificate_subject": {"organizationName": "Example Hospital"},
        "backup": {},
    }


@pytest.fixture
def site() -> Site:
    return {"phi": kind("phi", 0), "anon": kind("anon", 1)}


def only_problem(site: Site, variables: list[str] | None = None) -> str:
    (problem,) = site_problems(site, variables or [], SPECS)
    return str(problem)


def test_a_site_that_can_work_has_no_problem(site: Site) -> None:
    site["phi"]["dicom_nodes"] = [{"name": "ct1", "aet": "CT 1-A", "host": "192.0.2.7"}]
    site["phi"]["passwords"] = {"admin": "Fr4ctionOfASecret", "service": ""}

    assert site_problems(site, ["orthanc_phi_aet", "ansible_host"], SPECS) == []


def test_authorities_of_nodes_are_given_as_text(site: Site) -> None:
    pem = "-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----\n"
    site["phi"]["dicom_tls_ca"] = pem + pem
    assert site_problems(site, [], SPECS) == []

    site["phi"]["dicom_tls_ca"] = "/etc/ssl/nodes.pem"
    assert "orthanc_phi_dicom_tls_ca is not a text of certificates" in only_problem(site)


@pytest.mark.parametrize("title", ["", "   ", "SEVENTEEN_LETTERS", "BACK\\SLASH", "LINE\nEND", "Ä"])
def test_a_title_that_dicom_does_not_allow_is_told(site: Site, title: str) -> None:
    site["anon"]["aet"] = title

    assert f"orthanc_anon_aet is {title!r}" in only_problem(site)


def test_the_title_of_a_node_is_looked_at_too(site: Site) -> None:
    site["phi"]["dicom_nodes"] = [{"name": "ct1", "aet": "A_TITLE_THAT_IS_TOO_LONG"}]

    problem = only_problem(site)
    assert "ct1 in orthanc_phi_dicom_nodes" in problem
    assert "'A_TITLE_THAT_IS_TOO_LONG'" in problem


def test_two_nodes_of_one_name_would_be_one(site: Site) -> None:
    site["phi"]["dicom_nodes"] = [{"name": "ct", "aet": "CT1"}, {"name": "ct", "aet": "CT2"}]

    assert "orthanc_phi_dicom_nodes has 2 nodes named 'ct'" in only_problem(site)


@pytest.mark.parametrize("variable", ["uid", "gid"])
@pytest.mark.parametrize(("number", "reason"), [(0, "root"), (-1, "root"), (999, "PostgreSQL's")])
def test_a_user_that_a_container_must_not_be_is_told(
    site: Site, variable: str, number: int, reason: str
) -> None:
    site["phi"][variable] = number

    problem = only_problem(site)
    assert f"orthanc_phi_{variable} is {number}" in problem
    assert reason in problem


def test_a_password_that_loaders_change_is_told_without_its_value(site: Site) -> None:
    site["phi"]["passwords"] = {"admin": "not good: $HOME"}

    problem = only_problem(site)
    assert "orthanc_phi_passwords has a value for admin" in problem
    assert "$HOME" not in problem


@pytest.mark.parametrize("subject", [{}, {"countryName": "US"}, {"organizationName": " "}])
def test_a_subject_without_an_institution_is_told(site: Site, subject: dict[str, str]) -> None:
    site["anon"]["certificate_subject"] = subject

    problem = only_problem(site)
    assert "orthanc_site_certificate_subject has no organizationName" in problem
    assert "orthanc_anon" in problem


@pytest.mark.parametrize("port", [0, 65536, -4242])
def test_a_number_that_is_no_port_is_told(site: Site, port: int) -> None:
    site["phi"]["ports"]["dicom_port"] = port

    assert f"orthanc_phi_dicom_port is {port}" in only_problem(site)


def test_two_that_want_the_same_port_are_both_named(site: Site) -> None:
    site["anon"]["ports"]["dicom_port"] = "8042"

    problem = only_problem(site)
    assert "orthanc_phi_http_port and orthanc_anon_dicom_port are all 8042" in problem


@pytest.mark.parametrize("path", ["srv/orthanc", "/srv", "/", "/srv/../etc/orthanc"])
def test_a_directory_that_is_not_safe_to_own_is_told(site: Site, path: str) -> None:
    site["phi"]["directories"]["orthanc_phi_data_dir"] = path

    problems = site_problems(site, [], SPECS)
    assert any(f"orthanc_phi_data_dir is {path!r}" in problem for problem in problems)


def test_two_that_want_the_same_directory_are_both_named(site: Site) -> None:
    site["anon"]["directories"]["orthanc_anon_data_dir"] = "/srv/orthanc/phi/"

    problem = only_problem(site)
    assert "orthanc_phi_data_dir and orthanc_anon_data_dir are both '/srv/orthanc/phi'" in problem


def test_a_directory_inside_of_another_is_told(site: Site) -> None:
    site["anon"]["directories"]["orthanc_anon_data_dir"] = "/srv/orthanc/phi/anon"

    problem = only_problem(site)
    assert "orthanc_phi_data_dir ('/srv/orthanc/phi')" in problem
    assert "orthanc_anon_data_dir ('/srv/orthanc/phi/anon')" in problem
    assert "one inside the other" in problem


def test_two_that_want_the_same_containers_are_both_named(site: Site) -> None:
    site["anon"]["name"] = "orthanc-phi"

    assert "orthanc_phi_name and orthanc_anon_name are both 'orthanc-phi'" in only_problem(site)


def test_a_misspelled_variable_is_told_with_the_nearest_name(site: Site) -> None:
    problem = only_problem(site, ["orthanc_phi_htp_port", "orthanc_phi_aet"])

    assert "orthanc_phi_htp_port is not a variable" in problem
    assert "did you mean orthanc_phi_http_port?" in problem


def test_a_variable_that_is_near_to_none_is_to_be_removed(site: Site) -> None:
    assert "remove it" in only_problem(site, ["orthanc_site_zzzzqqqqq"])


def test_a_variable_that_only_a_default_reads_is_known(site: Site) -> None:
    assert site_problems(site, ["orthanc_site_base_name"], SPECS) == []


@pytest.mark.parametrize(
    "name",
    ["ansible_host", "orthanc_instance_kind", "my_orthanc_phi_aett", "orthanc_site_verified"],
)
def test_what_others_own_and_what_roles_note_is_no_mistake(site: Site, name: str) -> None:
    assert site_problems(site, [name], SPECS) == []


def test_all_problems_are_told_at_once(site: Site) -> None:
    site["phi"]["aet"] = "WITH\\BACKSLASH"
    site["phi"]["uid"] = 0
    site["phi"]["passwords"] = {"admin": "x"}
    site["phi"]["certificate_subject"] = {}
    site["anon"]["ports"] = {"http_port": 8042, "dicom_port": 0}
    site["anon"]["directories"]["orthanc_anon_data_dir"] = "/srv"

    problems = site_problems(site, ["orthanc_phi_aett"], SPECS)

    for variable in (
        "orthanc_phi_aet is",
        "orthanc_phi_uid",
        "orthanc_phi_passwords",
        "orthanc_site_certificate_subject",
        "orthanc_anon_dicom_port",
        "orthanc_phi_http_port and orthanc_anon_http_port",
        "orthanc_anon_data_dir is",
        "orthanc_phi_aett is not",
    ):
        assert any(variable in problem for problem in problems), variable


BACKUP: dict[str, Any] = {
    "schedule": "17 */2 * * mon-fri",
    "keep": {"hourly": 24, "daily": "0"},
    "recipients": ["age1" + "q" * 58],
    "mail_to": "radiology-it@example.org",
    "max_age": 3,
}


def test_backups_that_can_be_made_have_no_problem(site: Site) -> None:
    site["phi"]["backup"] = BACKUP

    assert site_problems(site, [], SPECS) == []


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("schedule", "hourly", "orthanc_phi_backup_schedule is 'hourly'"),
        ("schedule", "17 * * *", "five fields"),
        ("schedule", "17 * * * *\nroot rm", "five fields"),
        ("recipients", ["age1short"], "orthanc_phi_backup_recipients has 'age1short'"),
        ("recipients", ["ssh-ed25519 AAAA"], "public key of age"),
        ("keep", {"yearly": 3}, "yearly: 3"),
        ("keep", {"daily": -1}, "daily: -1"),
        ("max_age", 0, "orthanc_phi_backup_max_age is 0"),
        ("mail_to", "two@example.org, more@example.org", "one mail address"),
    ],
)
def test_what_is_wrong_with_backups_is_told(
    site: Site, name: str, value: object, told: str
) -> None:
    site["phi"]["backup"] = {**BACKUP, name: value}

    assert told in only_problem(site)


def test_a_secret_key_among_the_recipients_is_not_repeated(site: Site) -> None:
    site["phi"]["backup"] = {**BACKUP, "recipients": ["AGE-SECRET-KEY-1QQQ"]}

    assert "1QQQ" not in only_problem(site)


@pytest.mark.parametrize("name", ["a-name-of-16-char", "-phi", "two words", ""])
def test_a_name_that_is_no_name_of_an_interface_is_told(site: Site, name: str) -> None:
    site["phi"]["name"] = name

    assert f"orthanc_phi_name is {name!r}" in only_problem(site)


def test_a_variable_of_another_firewall_is_left_alone(site: Site) -> None:
    specs = [*SPECS, "firewall_outgoing: {}"]

    assert site_problems(site, ["firewall_enabled_at_boot"], specs) == []
    (problem,) = site_problems(site, ["firewall_outgoin"], specs)
    assert "did you mean firewall_outgoing?" in problem
