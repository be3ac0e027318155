# SPDX-License-Identifier: GPL-3.0-or-later
"""Projects: named sets of settings, and which of them a study joins.

Every project has its own subjects, pseudonyms, date offsets and keys, so what two projects give out
cannot be joined. A project is a `Config` like the site's, with what the project decides itself.
Without any project defined there is one, `default`, which every study joins.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import permutations
from typing import TYPE_CHECKING, Any, Final

from orthanc_deid.conditions import REMOTE_AET, Conditions, Sample, parse_conditions
from orthanc_deid.errors import DeidError
from orthanc_deid.numbering import Numbering, read_base_name, read_numbering
from orthanc_deid.settings_reader import Reader

if TYPE_CHECKING:
    from orthanc_deid.config import Config
    from orthanc_deid.orthanc_client import OrthancClient, SourceStudy

INHERITED: Final = (
    "base_name",
    "numbering",
    "cohorts",
    "pseudonym",
    "subject_per",
    "unlisted",
    "issuer",
)
"""What of the site's settings about subjects a project may set itself."""

RULE_KEYWORDS: Final = frozenset(
    {
        REMOTE_AET,
        "BodyPartExamined",
        "InstitutionName",
        "Modality",
        "PatientID",
        "ProtocolName",
        "SeriesDescription",
        "StationName",
        "StudyDescription",
    }
)
"""What a rule may ask for: Orthanc tells these without opening a file."""

FLAGS: Final = ("keep_dates", "review", "auto_anonymize")

_TRIED: Final = (1, 11, 111, 999_999)


class NoSuchProjectError(DeidError):
    """A project was named that the settings do not have."""


@dataclass(frozen=True, slots=True)
class Project:
    """A project by its settings.

    Attributes:
        config: the settings of the service as this project has them.
        where: what a study must say of itself to join by itself; nothing asked, every study does.
        by_rule: whether any study joins by itself.
        groups: the groups of users that see it and work on it; without any, all do.
    """

    config: Config
    where: Conditions = field(default_factory=Conditions)
    by_rule: bool = True
    groups: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The project's name."""
        return self.config.project

    @property
    def destinations(self) -> tuple[str, ...]:
        """The destinations that a person may choose among."""
        return tuple(one.name for one in self.config.destinations if self.config.forward)


class Projects:
    """The projects of a site, in the order of the settings."""

    def __init__(self, projects: Iterable[Project]) -> None:
        self.all = tuple(projects)
        self._by_name = {project.name: project for project in self.all}

    @classmethod
    def of(cls, config: Config) -> Projects:
        """Return the projects of the settings."""
        return cls(config.projects or (Project(config),))

    def get(self, name: str) -> Project | None:
        """Return the project of this name."""
        return self._by_name.get(name)

    def demand(self, name: str | None) -> Project:
        """Return the project of this name; the only one if none is named.

        Raises:
            NoSuchProjectError: there is none of this name, or none is named of several.
        """
        if name is None and len(self.all) == 1:
            return self.all[0]
        project = self._by_name.get(name or "")
        if project is None:
            known = ", ".join(self._by_name)
            said = "name a project" if name is None else f"there is no project {name!r}"
            raise NoSuchProjectError(f"{said}; the settings have {known}")
        return project

    def joined_by_rule(self, source: OrthancClient, found: SourceStudy) -> list[Project]:
        """Return the projects that a study of the PHI Orthanc joins by itself."""
        joining = [project for project in self.all if project.by_rule]
        samples: list[Sample] = []
        if any(project.where.any_of for project in joining):
            samples = read_rule_samples(source, found.orthanc_id)
        return [project for project in joining if project.where.hold(samples)]


def join_by_rule(
    projects: Projects, source: OrthancClient
) -> Callable[[SourceStudy], dict[str, bool]]:
    """Return what tells `admission.Admission` which projects a study joins."""
    return lambda found: {
        project.name: project.config.auto_anonymize
        for project in projects.joined_by_rule(source, found)
    }


def read_rule_samples(source: OrthancClient, orthanc_id: str) -> list[Sample]:
    """Return what each series of a study says, as far as Orthanc knows it without its files."""
    return [
        {**study, **series, REMOTE_AET: source.remote_aet(instance)}
        for study, series, instance in source.main_tags(orthanc_id)
    ]


@dataclass(frozen=True, slots=True)
class ProjectSettings:
    """What the settings say of a project; None is what the site's say."""

    name: str
    base_name: str
    numbering: Numbering
    where: Conditions
    by_rule: bool
    profile: str | None
    destinations: tuple[str, ...]
    groups: tuple[str, ...]
    flags: Mapping[str, Any]

    def project(self, site: Config) -> Project:
        """Return the project of a site."""
        served = [one for one in site.destinations if one.name in self.destinations]
        config = replace(
            site,
            project=self.name,
            base_name=self.base_name,
            numbering=self.numbering,
            profile=self.profile or site.profile,
            destinations=tuple(served) if self.destinations else site.destinations,
            projects=(),
            **self.flags,
        )
        return Project(config, self.where, self.by_rule, self.groups)


def read_projects(
    reader: Reader, content: Mapping[str, Any], destinations: Collection[str]
) -> tuple[ProjectSettings, ...]:
    """Read the projects; `reader` gets to know what is wrong.

    Args:
        reader: of the service's settings.
        content: these settings as they are written, of which projects inherit.
        destinations: the names of the site's destinations.
    """
    inherited = {key: content[key] for key in INHERITED if key in content}
    projects = [_read_project(one, destinations) for one in reader.each("projects", inherited)]
    names = [project.name for project in projects]
    for name in sorted({name for name in names if names.count(name) > 1}):
        reader.wrong("projects", f"{name!r} is the name of several; give each its own")
    _demand_own_pseudonyms(reader, projects)
    return tuple(projects)


def check_projects(content: Mapping[str, Any]) -> list[str]:
    """Return everything that is wrong with projects.

    Args:
        content: the site's settings about subjects, `projects`, and the names of its
            `destinations`.
    """
    destinations = content.get("destinations", [])
    reader = Reader({"projects": content.get("projects", [])})
    read_projects(reader, content, destinations)
    return reader.problems


def _read_project(reader: Reader, known: Collection[str]) -> ProjectSettings:
    name = reader.text("name")
    if name and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}", name):
        reader.wrong("name", f"must be 1 to 32 letters, digits, _, . or -, not {name!r}")
    base_name = read_base_name(reader)
    destinations = reader.texts("destinations")
    for unknown in sorted(set(destinations) - set(known)):
        reader.wrong("destinations", f"{unknown!r} is none; there are {', '.join(known)}")
    settings = ProjectSettings(
        name,
        base_name,
        read_numbering(reader, base_name),
        _read_where(reader),
        reader.choice("join", ("rule", "choice"), "rule") == "rule",
        reader.take("profile", str, "") or None,
        tuple(destinations),
        tuple(reader.texts("groups")),
        {flag: value for flag in FLAGS if (value := reader.flag(flag)) is not None},
    )
    reader.refuse_unknown()
    return settings


def _read_where(reader: Reader) -> Conditions:
    where, problems = parse_conditions(reader.take("where", list, []), (REMOTE_AET,))
    problems += [
        f"asks for {keyword}; a rule may ask for {', '.join(sorted(RULE_KEYWORDS))}"
        for keyword in sorted(where.keywords - RULE_KEYWORDS)
    ]
    for problem in problems:
        reader.wrong("where", problem)
    return where


def _demand_own_pseudonyms(reader: Reader, projects: list[ProjectSettings]) -> None:
    """Refuse projects whose pseudonyms may be the same: two people would be one there."""
    for one, other in permutations(projects, 2):
        for number in _TRIED:
            written, _ = other.numbering.pseudonym.write(other.base_name, number)
            if one.numbering.pseudonym.number_of(one.base_name, written) is not None:
                reader.wrong(
                    "projects",
                    f"{one.name!r} and {other.name!r} may give two people the same pseudonym; "
                    "give each its own base_name",
                )
                return
