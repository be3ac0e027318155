# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings of plugin and workers, read from one JSON file and checked all at once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from orthanc_deid.destination_config import (
    DestinationConfig,
    Server,
    read_destinations,
    read_server,
)
from orthanc_deid.errors import DeidError
from orthanc_deid.mail_config import MailConfig, read_mail
from orthanc_deid.numbering import Numbering, read_base_name, read_numbering
from orthanc_deid.profile import DEFAULT, parse_profile
from orthanc_deid.projects import Project, read_projects
from orthanc_deid.settings_reader import Reader

DEFAULT_PATH = Path("/etc/orthanc-deid/config.json")
MIN_SECRET_BYTES = 32


class ConfigError(DeidError):
    """Settings that cannot be used; `problems` names every one with its fix."""

    def __init__(self, path: Path, problems: list[str]) -> None:
        super().__init__("\n".join(f"{path}: {problem}" for problem in problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Database:
    """The crosswalk database; the server's certificate is always verified."""

    host: str
    port: int
    name: str
    user: str
    ca: Path
    password: str = field(repr=False)

    def url(self) -> sa.URL:
        """Return the address for SQLAlchemy; it holds the password."""
        return sa.URL.create(
            "postgresql+psycopg2",
            self.user,
            self.password,
            self.host,
            self.port,
            self.name,
            query={"sslmode": "verify-full", "sslrootcert": str(self.ca)},
        )

    def parameters(self) -> dict[str, Any]:
        """Return the same as parameters of libpq."""
        return {
            "host": self.host,
            "port": self.port,
            "dbname": self.name,
            "user": self.user,
            "password": self.password,
            "sslmode": "verify-full",
            "sslrootcert": str(self.ca),
            "connect_timeout": 10,
            "application_name": "orthanc_deid",
        }


@dataclass(frozen=True, slots=True)
class PacsNode:
    """A DICOM node that studies are fetched from, and how it gives them away."""

    name: str
    retrieve: Literal["move", "get"] = "move"


@dataclass(frozen=True, slots=True)
class Config:
    """All settings of the service."""

    project: str
    base_name: str
    database: Database
    orthanc: Server
    secret_file: Path
    profile: str
    other_profiles: tuple[str, ...]
    profile_files: Mapping[str, str]
    site_decisions: Mapping[str, Any]
    auto_anonymize: bool
    review: bool
    forward: bool
    keep_dates: bool
    numbering: Numbering
    destinations: tuple[DestinationConfig, ...]
    spool_dir: Path
    reconcile_minutes: int
    disk_percent: int
    disk_reserve: int
    timezone: str
    public_urls: Mapping[str, str]
    mail: MailConfig | None
    pacs: tuple[PacsNode, ...]
    projects: tuple[Project, ...] = ()

    def profile_source(self, name: str) -> str | Mapping[str, Any]:
        """Return what `profile.load_profile` takes for the profile of this name.

        Raises:
            ProfileError: the content of its file cannot be read.
        """
        text = self.profile_files.get(name)
        return name if text is None else parse_profile(text)

    def secret(self) -> bytes:
        """Read the site's secret, from which all keys are derived.

        Raises:
            ConfigError: the file cannot be read or is too short.
        """
        try:
            secret = self.secret_file.read_bytes().strip()
        except OSError as error:
            raise ConfigError(
                self.secret_file, [f"the site's secret cannot be read: {error.strerror}"]
            ) from None
        if len(secret) < MIN_SECRET_BYTES:
            raise ConfigError(
                self.secret_file,
                [
                    f"the site's secret has {len(secret)} bytes; "
                    f"make one of at least {MIN_SECRET_BYTES}, or restore the one that was used"
                ],
            )
        return secret


def load(path: Path = DEFAULT_PATH) -> Config:
    """Read the settings from `path`.

    Raises:
        ConfigError: naming every key that is missing, unknown or wrong, and the fix.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(path, [f"cannot be read: {error.strerror}"]) from None
    except ValueError as error:
        position = f" (line {error.lineno})" if isinstance(error, json.JSONDecodeError) else ""
        raise ConfigError(path, [f"is not JSON{position}; render it again"]) from None
    if not isinstance(content, dict):
        raise ConfigError(path, ["must be a JSON object"])
    reader = Reader(content)
    config = _read_config(reader)
    known = [one.name for one in config.destinations]
    projects = read_projects(reader, content, known)
    config = replace(config, projects=tuple(one.project(config) for one in projects))
    reader.refuse_unknown()
    if reader.problems:
        raise ConfigError(path, reader.problems)
    return config


def _read_config(reader: Reader) -> Config:
    project, base_name = reader.text("project", "default"), read_base_name(reader)
    limit = reader.inside("disk_limit", {})
    config = Config(
        project=project,
        base_name=base_name,
        database=_read_database(reader.inside("database")),
        orthanc=_read_source(reader.inside("orthanc")),
        secret_file=reader.path("secret_file"),
        profile=reader.text("profile", DEFAULT),
        other_profiles=tuple(reader.texts("other_profiles")),
        profile_files=_read_profile_files(reader),
        site_decisions=_read_site_decisions(reader),
        auto_anonymize=reader.take("auto_anonymize", bool, True),
        review=reader.take("review", bool, False),
        forward=reader.take("forward", bool, True),
        keep_dates=reader.take("keep_dates", bool, False),
        numbering=read_numbering(reader, base_name),
        destinations=read_destinations(reader),
        spool_dir=reader.path("spool_dir"),
        reconcile_minutes=reader.number("reconcile_minutes", 1, 59, 5),
        disk_percent=limit.number("percent", 1, 100, 100),
        disk_reserve=limit.number("reserve", 0, 2**60, 0),
        timezone=_read_timezone(reader),
        public_urls=_read_public_urls(reader),
        mail=read_mail(reader),
        pacs=tuple(_read_pacs_node(item) for item in reader.each("pacs")),
    )
    limit.refuse_unknown()
    if config.forward and not config.destinations:
        reader.wrong("destinations", "is empty; name at least one, or set forward to false")
    return config


def _read_timezone(reader: Reader) -> str:
    name = reader.text("timezone", "UTC")
    try:
        ZoneInfo(name)
    except (ValueError, OSError):
        reader.wrong("timezone", f"must be a name such as Europe/Berlin, not {name!r}")
    return name


def _read_public_urls(reader: Reader) -> dict[str, str]:
    """Read at which address people reach a destination, where that is not its name beside PHI."""
    urls = reader.take("public_urls", dict, {})
    for name, url in urls.items():
        if not isinstance(url, str) or not url.startswith(("https://", "/")):
            reader.wrong(f"public_urls.{name}", "must begin with https:// or /")
    return {name: str(url).rstrip("/") + "/" for name, url in urls.items()}


def _read_profile_files(reader: Reader) -> dict[str, str]:
    """Read the site's own profiles: their content, by name."""
    files: dict[str, str] = reader.take("profile_files", dict, {})
    for name, text in files.items():
        if not isinstance(text, str):
            reader.wrong(f"profile_files.{name}", "must be the text of a profile")
    return files


def _read_pacs_node(reader: Reader) -> PacsNode:
    node = PacsNode(reader.text("name"), reader.choice("retrieve", ("move", "get"), "move"))
    reader.refuse_unknown()
    return node


def _read_site_decisions(reader: Reader) -> dict[str, Any]:
    """Read what the site decides beside its profile; `profile.load_profile` looks at the rest."""
    actions = reader.take("tag_actions", dict, {})
    for tag, action in actions.items():
        if not isinstance(action, str):
            reader.wrong(f"tag_actions.{tag}", "must be an action's name")
    return {
        "tag_actions": actions,
        "pixel_rules": reader.take("pixel_rules", list, []),
        "second_look": reader.take("second_look", list, ["blanked"]),
    }


def _read_database(reader: Reader) -> Database:
    database = Database(
        host=reader.text("host"),
        port=reader.number("port", 1, 65535, 5432),
        name=reader.text("name"),
        user=reader.text("user"),
        password=reader.text("password"),
        ca=reader.path("ca"),
    )
    reader.refuse_unknown()
    return database


def _read_source(reader: Reader) -> Server:
    server = read_server(reader)
    reader.refuse_unknown()
    return server
