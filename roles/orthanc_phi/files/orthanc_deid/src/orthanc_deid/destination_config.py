# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings of destinations: one reader for each kind, which collects all that is wrong.

The inventory's `orthanc_phi_destinations` has the same form as the worker's `config.json`, so
`orthanc-deid settings check` tells the operator before the first change what the worker would
tell afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from orthanc_deid.conditions import REMOTE_AET, Conditions, parse_conditions
from orthanc_deid.disk_tree import (
    DEFAULT_PSEUDONYM,
    DEFAULT_TEMPLATE,
    Template,
    TemplateError,
    parse_template,
)
from orthanc_deid.settings_reader import Reader
from orthanc_deid.tls import PEM, client_context

SITE_CA: Final = "/etc/orthanc-deid/ca.crt"
REVIEW: Final = "review"
"""The name of the PHI Orthanc as a destination, when studies are not forwarded."""

Verify = Literal["auto", "query", "commitment", "answer"]
# A folder stands in the worker's container by the path that it has on the host.
_NOT_FOR_FOLDERS: Final = re.compile(
    "bin|boot|dev|etc|lib|lib64|opt|proc|root|run|sbin|sys|tmp|usr"
)
# What the site calls its own Orthancs; see sibling.json of orthanc_instance.
_TAKEN: Final = re.compile(f"(anon|disk)(@.*)?|{REVIEW}")


@dataclass(frozen=True, slots=True)
class Server:
    """An Orthanc reached over HTTPS; `ca` is PEM or a path."""

    url: str
    user: str
    ca: str | Path
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Tls:
    """How a DICOM connection is secured: `ca` is PEM or a path, `identity` PEM or empty."""

    ca: str
    identity: str = field(default="", repr=False)
    check_host: bool = True


@dataclass(frozen=True, slots=True)
class DicomNode:
    """An application entity that takes C-STORE; `node` is the PHI Orthanc's name for it."""

    host: str
    port: int
    aet: str
    calling_aet: str
    tls: Tls | None = None
    verify: Verify = "auto"
    node: str = ""


@dataclass(frozen=True, slots=True)
class DicomWeb:
    """A DICOMweb server, with an account or a bearer token; `ca` is PEM or a path."""

    url: str
    ca: str
    user: str = ""
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    verify: Verify = "auto"


@dataclass(frozen=True, slots=True)
class Folder:
    """A directory, and where in it the file of an instance lies."""

    path: Path
    template: Template


Settings = Server | DicomNode | DicomWeb | Folder


@dataclass(frozen=True, slots=True)
class DestinationConfig:
    """Where anonymized studies go: all, or those whose originals meet `where`."""

    name: str
    kind: str
    settings: Settings
    where: Conditions = field(default_factory=Conditions)


def read_destinations(reader: Reader, key: str = "destinations") -> tuple[DestinationConfig, ...]:
    """Read a list of destinations; `reader` gets to know everything that is wrong."""
    found = tuple(_read_destination(item) for item in reader.each(key))
    names = [one.name for one in found]
    for name in sorted({name for name in names if name and names.count(name) > 1}):
        reader.wrong(key, f"{name!r} is the name of several; give each its own")
    return found


def check_destinations(given: object) -> list[str]:
    """Return what is wrong with the destinations that the inventory gives, a list of objects."""
    reader = Reader({"destinations": given})
    for index, one in enumerate(read_destinations(reader)):
        if _TAKEN.fullmatch(one.name):
            reader.wrong(
                f"destinations[{index}].name",
                f"{one.name!r} is what the site calls an Orthanc of its own; choose another",
            )
    return reader.problems


def read_server(reader: Reader) -> Server:
    """Read how an Orthanc is reached."""
    return Server(
        url=_url(reader),
        user=reader.text("user"),
        password=reader.text("password"),
        ca=_authorities(reader, SITE_CA),
    )


def _read_destination(reader: Reader) -> DestinationConfig:
    name = reader.text("name")
    kind = reader.choice("kind", tuple(_READERS), "orthanc")
    where, problems = parse_conditions(reader.take("where", list, []), (REMOTE_AET,))
    for problem in problems:
        reader.wrong("where", problem)
    settings = _READERS.get(kind, _read_nothing)(reader)
    if kind in _READERS:
        reader.refuse_unknown()
    return DestinationConfig(name, kind, settings, where)


def _read_nothing(_reader: Reader) -> Settings:
    return Server("", "", "", "")


def _read_dicom(reader: Reader) -> DicomNode:
    tls = reader.take("tls", bool, False)
    secured = _read_tls(reader)
    verify = reader.choice("verify", ("auto", "query", "commitment", "answer"), "auto")
    node = reader.take("node", str, "")
    if verify == "commitment" and not node:
        reader.wrong("node", "is missing: name the node of orthanc_phi_dicom_nodes that it is")
    return DicomNode(
        host=reader.text("host"),
        port=reader.number("port", 1, 65535, 104),
        aet=_title(reader, "aet"),
        calling_aet=_title(reader, "calling_aet", "ORTHANC-DEID"),
        tls=secured if tls else None,
        verify=verify,
        node=node,
    )


def _read_dicomweb(reader: Reader) -> DicomWeb:
    web = DicomWeb(
        url=_url(reader),
        ca=_authorities(reader, SITE_CA),
        user=reader.take("user", str, ""),
        password=reader.take("password", str, ""),
        token=reader.take("token", str, ""),
        verify=reader.choice("verify", ("auto", "query", "answer"), "auto"),
    )
    if web.token and (web.user or web.password):
        reader.wrong("token", "stands beside an account; give one of the two")
    if bool(web.user) != bool(web.password):
        reader.wrong("password", "and user belong together; give both or neither")
    return web


def _read_folder(reader: Reader) -> Folder:
    path = reader.path("path")
    if path.is_absolute():
        if ".." in path.parts or len(path.parts) < 3:
            reader.wrong("path", f"must have two levels at least and no '..', not {path}")
        elif _NOT_FOR_FOLDERS.fullmatch(path.parts[1]):
            reader.wrong("path", f"must not lie in /{path.parts[1]}; take one such as /srv/NAME")
    return Folder(path, _template(reader))


def _template(reader: Reader) -> Template:
    text = reader.text("template", DEFAULT_TEMPLATE)
    pseudonym = reader.text("pseudonym", DEFAULT_PSEUDONYM)
    try:
        return parse_template(text, pseudonym)
    except TemplateError as error:
        for problem in error.problems:
            reader.wrong("template", problem)
    return parse_template(DEFAULT_TEMPLATE, DEFAULT_PSEUDONYM)


def _read_tls(reader: Reader) -> Tls:
    certificate = reader.take("certificate", str, "")
    key = reader.take("key", str, "")
    secured = Tls(
        ca=_authorities(reader, SITE_CA),
        identity=f"{certificate}\n{key}" if certificate or key else "",
        check_host=reader.take("check_host", bool, True),
    )
    if secured.identity:
        try:
            client_context(secured.ca if PEM in secured.ca else certificate, secured.identity)
        except (OSError, ValueError):
            reader.wrong("certificate", "and key must be PEM and belong together")
    return secured


def _authorities(reader: Reader, default: str) -> str:
    """Take the authorities that a peer is verified against."""
    ca = reader.text("ca", default)
    if PEM in ca:
        try:
            client_context(ca)
        except (OSError, ValueError):
            reader.wrong("ca", "holds no certificate that can be read; give it as PEM")
    elif not Path(ca).is_absolute():
        reader.wrong("ca", "must be the certificates of the authorities as PEM")
    return ca


def _url(reader: Reader) -> str:
    url = reader.text("url").rstrip("/")
    if not url:
        return url
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - it raises for what is no port
    except ValueError:
        reader.wrong("url", "cannot be read; write https://HOST:PORT/PATH")
        return ""
    if parts.scheme != "https" or not parts.hostname:
        reader.wrong("url", "must start with https:// and name a host")
    elif parts.username is not None or parts.query or parts.fragment:
        reader.wrong("url", "must hold no account, '?' and '#'; accounts have keys of their own")
    return url


def _title(reader: Reader, key: str, default: str | None = None) -> str:
    title = reader.text(key, default)
    # PS3.5 section 6.2, VR AE.
    if title and (len(title) > 16 or "\\" in title or not title.isascii() or not title.strip()):
        reader.wrong(key, f"must have 1 to 16 characters and no backslash, not {title!r}")
    return title


_READERS: Final[Mapping[str, Callable[[Reader], Any]]] = {
    "orthanc": read_server,
    "orthanc_disk": read_server,
    "dicom": _read_dicom,
    "dicomweb": _read_dicomweb,
    "folder": _read_folder,
}
