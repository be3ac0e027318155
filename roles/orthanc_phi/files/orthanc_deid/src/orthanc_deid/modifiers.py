# SPDX-License-Identifier: GPL-3.0-or-later
"""Modifiers: letters after a subject's number that tell kinds of studies apart."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from orthanc_deid.conditions import Conditions, Sample, parse_conditions

MAX_LENGTH: Final = 16
# A digit in front would read as a part of the number: 5 and 2D, 52 and D.
_MODIFIER: Final = re.compile(r"(?:[A-Za-z_][A-Za-z0-9_]*)?")
_KEYS: Final = {"where", "modifier", "otherwise"}


@dataclass(frozen=True, slots=True)
class NumberModifier:
    """What a study gets that meets the conditions, and what every other study gets."""

    where: Conditions
    modifier: str
    otherwise: str = ""

    def of(self, samples: Sequence[Sample]) -> str:
        """Return the modifier of the study that has these samples."""
        return self.modifier if self.where.hold(samples) else self.otherwise


def is_modifier(text: str) -> bool:
    """Tell whether a text can follow a number."""
    return _MODIFIER.fullmatch(text) is not None


def modifier_of(modifiers: Iterable[NumberModifier], samples: Sequence[Sample]) -> str:
    """Return what follows the subject's number in the pseudonym of a study."""
    return "".join(modifier.of(samples) for modifier in modifiers)


def keywords_of(modifiers: Iterable[NumberModifier]) -> frozenset[str]:
    """Return the attributes that decide."""
    return frozenset().union(*(modifier.where.keywords for modifier in modifiers))


def parse_modifiers(given: object, problems: list[str]) -> tuple[NumberModifier, ...]:
    """Read `number_modifiers` of a profile, and note what is wrong with them."""
    if not isinstance(given, list) or not all(isinstance(item, Mapping) for item in given):
        problems.append("number_modifiers must be a list of tables with where and modifier")
        return ()
    modifiers = tuple(
        _parse(item, f"number_modifiers[{index}]", problems) for index, item in enumerate(given)
    )
    if sum(max(len(one.modifier), len(one.otherwise)) for one in modifiers) > MAX_LENGTH:
        problems.append(f"number_modifiers come to more than {MAX_LENGTH} characters; shorten them")
    return modifiers


def _parse(item: Mapping[str, object], place: str, problems: list[str]) -> NumberModifier:
    problems += [f"{place}: {key!r} is none of {', '.join(_KEYS)}" for key in item.keys() - _KEYS]
    where, wrong = parse_conditions(item.get("where", []))
    problems += [f"{place}.where {problem}" for problem in wrong]
    if not where.any_of and not wrong:
        problems.append(f"{place}.where is missing; say which studies get the modifier")
    for key in ("modifier", "otherwise"):
        value = item.get(key, "")
        if not isinstance(value, str) or not is_modifier(value):
            problems.append(
                f"{place}.{key} is {value!r}; use letters, digits and underscores, no digit first"
            )
    return NumberModifier(where, str(item.get("modifier", "")), str(item.get("otherwise", "")))
