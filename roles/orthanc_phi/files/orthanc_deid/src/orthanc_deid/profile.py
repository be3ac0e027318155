# SPDX-License-Identifier: GPL-3.0-or-later
"""Profiles as people write them: a name, a TOML or JSON file, and the site's own decisions."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from orthanc_deid.actions import Action
from orthanc_deid.dictionary import dictionary_vr, nearest, nearest_keyword, tag_of
from orthanc_deid.errors import ProfileError
from orthanc_deid.modifiers import parse_modifiers
from orthanc_deid.pixel_rules import PixelRules, load_pixel_rules
from orthanc_deid.private import LISTS, PrivateName, PrivateRules, parse_name
from orthanc_deid.rules import (
    DATE_VRS,
    DOCUMENTS,
    EXCLUSIVE,
    OPTIONS,
    OWN_ATTRIBUTES,
    SECOND_LOOK,
    Profile,
)
from orthanc_deid.text import VR_LENGTH

_PROFILES: Final = files("orthanc_deid") / "profiles"
BUILT_IN: Final = ("basic", "research", "full_dates", "hologic_mammo")
DEFAULT: Final = "research"
_KEYS: Final = {
    "name",
    "options",
    "private_lists",
    "tag_actions",
    "pixel_rules",
    "second_look",
    "number_modifiers",
    "documents",
}
# What a site may decide beside the profile that it takes.
SITE_KEYS: Final = ("tag_actions", "pixel_rules", "second_look")
_MODALITY: Final = re.compile(r"[A-Z]{2,16}")


def load_profile(
    source: str | Path | Mapping[str, Any],
    site: Mapping[str, Any] | None = None,
    *,
    keep_dates: bool = False,
) -> Profile:
    """Make a profile from its name, its TOML file or its content.

    Args:
        source: the name of a built-in profile, the path of a TOML file, or a mapping with the
            keys of such a file: `name`, `options`, `private_lists`, `tag_actions` (keyword or
            `gggg,eeee` to action), `pixel_rules` (see `pixel_rules`), `second_look`,
            `number_modifiers` (see `modifiers`) and `documents`.
        site: what the site decided itself, by `SITE_KEYS`; its tag actions and pixel rules come
            before those of the file, its second look instead of the file's.
        keep_dates: have the option `retain_full_dates`, whatever the profile does with dates.

    Raises:
        ProfileError: with every problem that it has.
    """
    content, site = _content(source), site or {}
    problems = [
        f"{key!r} is no setting of a profile{nearest(key, keys)}"
        for given, keys in ((content, _KEYS), (site, SITE_KEYS))
        for key in given
        if key not in keys
    ]
    name = str(content.get("name", "site"))
    if not (name.isascii() and name.isprintable() and 0 < len(name) <= 32 and "\\" not in name):
        problems.append("name must be 1 to 32 printable ASCII characters without backslash")
    options = content.get("options", [])
    problems += [
        f"options: {option!r} is not known{nearest(str(option), OPTIONS)}"
        for option in options
        if option not in OPTIONS
    ]
    if set(EXCLUSIVE) <= set(options):
        problems.append(f"options: {' and '.join(EXCLUSIVE)} exclude each other; take one out")
    if keep_dates:
        options = [*(option for option in options if option not in EXCLUSIVE), EXCLUSIVE[0]]
    documents = str(content.get("documents", DOCUMENTS[0]))
    if documents not in DOCUMENTS:
        problems.append(
            f"documents: {documents!r} is not known{nearest(documents, DOCUMENTS)}; "
            f"there are {', '.join(DOCUMENTS)}"
        )
    lists = _private_lists(content, problems)
    modifiers = parse_modifiers(content.get("number_modifiers", []), problems)
    actions: dict[int | PrivateName, str] = {}
    for given in (content, site):
        actions.update(_tag_actions(given.get("tag_actions", {}), problems))
    pixel_rules = _pixel_rules((site, content), problems)
    second_look = _second_look({**content, **site}.get("second_look"), problems)
    if problems:
        raise ProfileError(problems)
    return Profile(
        name,
        frozenset(options),
        {tag: action for tag, action in actions.items() if isinstance(tag, int)},
        PrivateRules(lists, {tag: a for tag, a in actions.items() if isinstance(tag, PrivateName)}),
        pixel_rules,
        second_look,
        modifiers,
        documents,
    )


def _pixel_rules(sources: Iterable[Mapping[str, Any]], problems: list[str]) -> PixelRules:
    given = [source.get("pixel_rules", []) for source in sources]
    if not all(isinstance(rules, list) for rules in given):
        problems.append("pixel_rules must be a list of rules, each with a name")
        return PixelRules(())
    try:
        return load_pixel_rules([rule for rules in given for rule in rules])
    except ProfileError as error:
        problems += error.problems
        return PixelRules(())


def _second_look(given: object, problems: list[str]) -> frozenset[str]:
    if given is None:
        return SECOND_LOOK
    if not isinstance(given, list):
        problems.append('second_look must be a list, such as ["blanked", "US"], or [] for none')
        return SECOND_LOOK
    problems += [
        f"second_look: {word!r} is neither blanked, all, nor a Modality such as US"
        for word in given
        if word not in ("blanked", "all") and not _MODALITY.fullmatch(str(word))
    ]
    return frozenset(map(str, given))


def _private_lists(content: Mapping[str, Any], problems: list[str]) -> tuple[str, ...]:
    retained = "retain_safe_private" in content.get("options", [])
    lists = content.get("private_lists", ["standard"] if retained else [])
    if lists and not retained:
        problems.append("private_lists needs the option retain_safe_private; add it")
    problems += [
        f"private_lists: {name!r} is no list{nearest(str(name), LISTS)}; "
        f"there are {', '.join(LISTS)}"
        for name in lists
        if name not in LISTS
    ]
    return tuple(str(name) for name in lists)


def _content(source: str | Path | Mapping[str, Any]) -> Mapping[str, Any]:
    if isinstance(source, Mapping):
        return source
    if isinstance(source, str) and source in BUILT_IN:
        return parse_profile((_PROFILES / f"{source}.toml").read_text())
    path = Path(source)
    try:
        return parse_profile(path.read_text())
    except OSError as error:
        known = ", ".join(BUILT_IN)
        problem = (
            f"profile {str(source)!r} is neither built in ({known}) nor a file: {error.strerror}"
        )
        raise ProfileError([problem]) from error


def parse_profile(text: str) -> Mapping[str, Any]:
    """Read a profile written in TOML or JSON.

    Raises:
        ProfileError: it is neither.
    """
    try:
        content = json.loads(text) if text.lstrip().startswith("{") else tomllib.loads(text)
    except ValueError as error:
        raise ProfileError([f"the profile is neither TOML nor JSON: {error}"]) from error
    return dict(content)


def check_profiles(given: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the profiles that a site names, and with what it decides beside.

    Args:
        given: `sources`, for each setting the profiles that it names, and `site`, by `SITE_KEYS`.
    """
    told = _problems(DEFAULT, given["site"])
    checked: set[str] = set()
    for setting, sources in given["sources"].items():
        for source in sources:
            if source in checked:
                continue
            checked.add(source)
            named = setting if setting == "profile" else f"{setting}: {source}"
            wrong = _problems(source) or ([] if told else _problems(source, given["site"]))
            told += [f"{named}: {problem}" for problem in wrong]
    return told


def _problems(source: str, site: Mapping[str, Any] | None = None) -> list[str]:
    try:
        load_profile(source, site)
    except ProfileError as error:
        return error.problems
    return []


def _tag_actions(given: object, problems: list[str]) -> dict[int | PrivateName, str]:
    if not isinstance(given, Mapping):
        problems.append("tag_actions must map attributes to actions")
        return {}
    actions: dict[int | PrivateName, str] = {}
    for name, action in given.items():
        tag = parse_name(str(name)) or tag_of(str(name))
        if tag is None:
            problems.append(
                f"tag_actions: {name!r} is no keyword of DICOM and no tag written gggg,eeee"
                f"{nearest_keyword(str(name))}"
            )
        if action not in set(Action):
            problems.append(
                f"tag_actions: {name}: {action!r} is no action{nearest(str(action), Action)}; "
                f"there are {', '.join(Action)}"
            )
        if tag is not None and action in set(Action):
            problem = _refusal(tag, str(action))
            if problem:
                problems.append(f"tag_actions: {name}: {problem}")
            actions[tag] = str(action)
    return actions


# What an action needs of an attribute: a word for it, and the VRs that have it.
_NEEDS: Final = {
    Action.SHIFT: ("dates and times", DATE_VRS),
    Action.REMAP: ("UIDs", {"UI"}),
    Action.KEEP_UID: ("UIDs", {"UI"}),
    Action.CLEAN: ("text", set(VR_LENGTH)),
    Action.CLEAN_LABEL: ("text", set(VR_LENGTH)),
    Action.CAP_AGE: ("ages", {"AS"}),
}


def _refusal(tag: int | PrivateName, action: str) -> str | None:
    """Say why an action cannot be had for an attribute, which exists."""
    if isinstance(tag, PrivateName):
        return None
    if tag >> 16 & 1:
        return 'name a private attribute with its creator, as in 0019,"SIEMENS MR HEADER",0C'
    if tag in OWN_ATTRIBUTES:
        return "this attribute is always written by the engine; take the line out"
    vr = dictionary_vr(tag)
    what, vrs = _NEEDS.get(Action(action), ("", {vr}))
    return None if vr in vrs else f"{action} is for {what}, and its VR is {vr}"
