# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings of plugin and workers, read from one JSON file and checked all at once."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

import sqlalchemy as sa

from orthanc_deid.errors import DeidError
from orthanc_deid.profile import DEFAULT

DEFAULT_PATH = Path("/etc/orthanc-deid/config.json")
DESTINATION_KINDS = ("orthanc", "orthanc_disk")
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
class Server:
    """An Orthanc reached over HTTPS."""

    url: str
    user: str
    ca: Path
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class DestinationConfig:
    """Where anonymized studies go."""

    name: str
    kind: Literal["orthanc", "orthanc_disk"]
    server: Server


@dataclass(frozen=True, slots=True)
class Config:
    """All settings of the service."""

    project: str
    base_name: str
    database: Database
    orthanc: Server
    secret_file: Path
    profile: str
    site_decisions: Mapping[str, Any]
    auto_anonymize: bool
    forward: bool
    numbering: Literal["monotonic", "random"]
    destinations: tuple[DestinationConfig, ...]
    spool_dir: Path
    reconcile_minutes: int

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
    reader = _Reader(content)
    config = _read_config(reader)
    reader.refuse_unknown()
    if reader.problems:
        raise ConfigError(path, reader.problems)
    return config


class _Reader:
    """Takes settings from one JSON object and collects what is wrong with them."""

    def __init__(
        self, content: dict[str, Any], prefix: str = "", problems: list[str] | None = None
    ) -> None:
        self._content = dict(content)
        self._prefix = prefix
        self.problems: list[str] = [] if problems is None else problems

    def wrong(self, key: str, fix: str) -> None:
        self.problems.append(f"{self._prefix}{key}: {fix}")

    def take(self, key: str, kind: type, default: Any = None) -> Any:
        value = self._content.pop(key, default)
        if value is None:
            self.wrong(key, "is missing")
        # bool is an int to Python, but not to the person who wrote `true` for a port.
        elif not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            self.wrong(key, f"must be {_KIND_NAMES[kind]}, not {_KIND_NAMES.get(type(value))}")
        else:
            return value
        return kind()

    def text(self, key: str, default: str | None = None) -> str:
        value = cast(str, self.take(key, str, default))
        if not value and not self._has_problem(key):
            self.wrong(key, "must not be empty")
        return value

    def number(self, key: str, low: int, high: int, default: int | None = None) -> int:
        value = cast(int, self.take(key, int, default))
        if not low <= value <= high and not self._has_problem(key):
            self.wrong(key, f"must lie between {low} and {high}, not {value}")
        return value

    def choice(self, key: str, choices: tuple[str, ...], default: str | None = None) -> Any:
        value = self.text(key, default)
        if value not in choices and not self._has_problem(key):
            self.wrong(key, f"must be one of {', '.join(choices)}, not {value!r}")
        return value

    def path(self, key: str) -> Path:
        value = Path(self.text(key))
        if not value.is_absolute() and not self._has_problem(key):
            self.wrong(key, f"must be an absolute path, not {value}")
        return value

    def inside(self, key: str) -> _Reader:
        return _Reader(self.take(key, dict), f"{self._prefix}{key}.", self.problems)

    def each(self, key: str) -> list[_Reader]:
        readers = []
        for index, item in enumerate(self.take(key, list, [])):
            if isinstance(item, dict):
                readers.append(_Reader(item, f"{self._prefix}{key}[{index}].", self.problems))
            else:
                self.wrong(f"{key}[{index}]", "must be an object")
        return readers

    def refuse_unknown(self) -> None:
        for key in self._content:
            self.wrong(key, "is not a setting; correct its name or remove it")

    def _has_problem(self, key: str) -> bool:
        return any(problem.startswith(f"{self._prefix}{key}: ") for problem in self.problems)


_KIND_NAMES: dict[type, str] = {
    str: "a text",
    int: "a whole number",
    bool: "true or false",
    dict: "an object",
    list: "a list",
    float: "a number with a fraction",
}


def _read_config(reader: _Reader) -> Config:
    config = Config(
        project=reader.text("project", "default"),
        base_name=_read_base_name(reader),
        database=_read_database(reader.inside("database")),
        orthanc=_read_server(reader.inside("orthanc")),
        secret_file=reader.path("secret_file"),
        profile=reader.text("profile", DEFAULT),
        site_decisions=_read_site_decisions(reader),
        auto_anonymize=reader.take("auto_anonymize", bool, True),
        forward=reader.take("forward", bool, True),
        numbering=reader.choice("numbering", ("monotonic", "random"), "monotonic"),
        destinations=tuple(_read_destination(item) for item in reader.each("destinations")),
        spool_dir=reader.path("spool_dir"),
        reconcile_minutes=reader.number("reconcile_minutes", 1, 59, 5),
    )
    names = [destination.name for destination in config.destinations]
    for name in sorted({name for name in names if names.count(name) > 1}):
        reader.wrong("destinations", f"{name!r} is the name of several; give each its own")
    if config.forward and not config.destinations:
        reader.wrong("destinations", "is empty; name at least one, or set forward to false")
    return config


def _read_base_name(reader: _Reader) -> str:
    name = reader.text("base_name")
    if name and not re.fullmatch(r"[A-Za-z0-9_]{1,32}", name):
        reader.wrong("base_name", "must be 1 to 32 letters, digits or underscores")
    return name


def _read_site_decisions(reader: _Reader) -> dict[str, Any]:
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


def _read_database(reader: _Reader) -> Database:
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


def _read_server(reader: _Reader) -> Server:
    server = _take_server(reader)
    reader.refuse_unknown()
    return server


def _take_server(reader: _Reader) -> Server:
    url = reader.text("url").rstrip("/")
    if url and not url.startswith("https://"):
        reader.wrong("url", "must start with https://")
    return Server(
        url=url,
        user=reader.text("user"),
        password=reader.text("password"),
        ca=reader.path("ca"),
    )


def _read_destination(reader: _Reader) -> DestinationConfig:
    destination = DestinationConfig(
        name=reader.text("name"),
        kind=reader.choice("kind", DESTINATION_KINDS, "orthanc"),
        server=_take_server(reader),
    )
    reader.refuse_unknown()
    return destination
