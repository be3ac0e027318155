# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules that say by a device's signature where text is burned into its images.

The shipped rules are a table made from the public ones of RSNA CTP and pydicom/deid. A site adds
its own, which come first:

    {"name": "Ultrasound room 3",
     "where": {"Modality": "US", "Manufacturer": "ACME", "ManufacturerModelName": ["X1", "X2"]},
     "rows": 768, "columns": 1024,
     "blank": [[0, 0, 1024, 60]]}

In `where` a text is looked for anywhere in the value, upper or lower case; a number must equal
it; of a list any may hold; `{"equals": "US"}` and the other methods of signatures ask exactly.
`signature` takes an expression instead of `where`. What happens is one of `blank` (these
rectangles: left, top, width, height), `keep` (these, the rest is blanked), `clean` (nothing is
burned in) and `quarantine` (a person looks at each).
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final, Literal

from orthanc_deid.errors import ProfileError
from orthanc_deid.pixel_signatures import (
    All,
    Any,
    Comparison,
    Signature,
    SignatureError,
    Values,
    compare,
    comparisons,
    demanded,
    find_tag,
    nearest,
    parse_signature,
)
from orthanc_deid.rectangles import Rectangle

ROWS: Final = 0x00280010
COLUMNS: Final = 0x00280011
_MANUFACTURER: Final = 0x00080070
_MODEL: Final = 0x00081090

Verdict = Literal["blank", "keep", "clean", "quarantine"]
_VERDICTS: Final[tuple[Verdict, ...]] = ("blank", "keep", "clean", "quarantine")
_KEYS: Final = ("name", "where", "signature", "rows", "columns", *_VERDICTS)


@dataclass(frozen=True, slots=True)
class PixelRule:
    """What to do with the images that a signature matches.

    Attributes:
        name: how reports call the rule.
        signature: which images it is for.
        verdict: what happens to them.
        rectangles: what is blanked, or kept.
        widest: the number of columns up to which the rectangles are known to reach far enough;
            None where the signature says the size.
        site: whether the site made the rule.
    """

    name: str
    signature: Signature
    verdict: Verdict
    rectangles: tuple[Rectangle, ...] = ()
    widest: int | None = None
    site: bool = False

    def matches(self, values: Values, columns: int) -> bool:
        """Tell whether the rule is for an image with these values."""
        return (self.widest is None or columns <= self.widest) and self.signature(values)


@dataclass(frozen=True, slots=True)
class PixelRules:
    """The rules in the order in which they are asked: the first that matches decides.

    Attributes:
        drawn: what persons drew on images; all that match are blanked, whatever else is.
    """

    rules: tuple[PixelRule, ...]
    drawn: tuple[PixelRule, ...] = ()

    @property
    def tags(self) -> frozenset[int]:
        """The attributes that the rules compare."""
        rules = (*self.rules, *self.drawn)
        return frozenset(part.tag for rule in rules for part in comparisons(rule.signature))

    def find(self, values: Values, columns: int) -> PixelRule | None:
        """Return the first rule that matches."""
        return next((rule for rule in self.rules if rule.matches(values, columns)), None)

    def find_drawn(self, values: Values, columns: int) -> tuple[PixelRule, ...]:
        """Return what persons drew on such images."""
        return tuple(rule for rule in self.drawn if rule.matches(values, columns))


def load_pixel_rules(site: Sequence[Mapping[str, object]] = ()) -> PixelRules:
    """Return the site's rules, followed by the shipped ones.

    Raises:
        ProfileError: rules of the site that cannot be used, each named with what to change.
    """
    problems: list[str] = []
    rules: list[PixelRule] = []
    for number, raw in enumerate(site, 1):
        if not isinstance(raw, Mapping):
            problems.append(f"pixel_rules: number {number} is no mapping with name, where, ...")
            continue
        found = list(_problems(raw))
        if not found:
            try:
                rules.append(_site_rule(raw))
            except SignatureError as error:
                found.append(str(error))
        label = raw.get("name") or f"number {number}"
        problems += [f"pixel_rules: {label}: {problem}" for problem in found]
    if problems:
        raise ProfileError(problems)
    return PixelRules((*rules, *shipped_rules()))


@cache
def shipped_rules() -> tuple[PixelRule, ...]:
    """Return the rules of the package's table."""
    text = (files("orthanc_deid") / "tables" / "pixel_rules.json").read_text(encoding="utf-8")
    return tuple(
        PixelRule(
            name=row["name"],
            signature=parse_signature(row["signature"]),
            verdict=row["verdict"],
            rectangles=tuple(Rectangle(*rectangle) for rectangle in row.get("rectangles", ())),
            widest=row.get("widest"),
        )
        for row in json.loads(text)["rules"]
    )


def widest(signature: Signature, rectangles: Sequence[Rectangle]) -> int | None:
    """Return the `widest` of a rule.

    A bar that was measured on images of 640 columns does not reach the end of an image of 1024.
    Where the rule demands a number of rows, images are taken to be at least as wide as high.
    """
    asked = {part.tag: part.wanted for part in demanded(signature) if part.method == "equals"}
    if not rectangles or COLUMNS in asked:
        return None
    rows = asked.get(ROWS, "0")
    return max(int(rows) if rows.isdecimal() else 0, *(r.right for r in rectangles))


def _problems(raw: Mapping[str, object]) -> Iterator[str]:
    for key in raw:
        if key not in _KEYS:
            yield f"{key} is no part of a rule{nearest(key, _KEYS)}"
    if not isinstance(raw.get("name"), str) or not raw["name"]:
        yield "give it a name"
    if ("where" in raw) == ("signature" in raw):
        yield "say by either where or signature for which images it is"
    yield from _verdict_problems(raw)
    for key in ("rows", "columns"):
        if key in raw and not _is_count(raw[key]):
            yield f"{key} is the number of {key} of the image, a whole number above 0"


def _verdict_problems(raw: Mapping[str, object]) -> Iterator[str]:
    if sum(key in raw for key in _VERDICTS) != 1:
        yield "say exactly one of blank, keep, clean and quarantine"
    for key in ("clean", "quarantine"):
        if raw.get(key, True) is not True:
            yield f"{key} can only be true; leave it out otherwise"
    for key in ("blank", "keep"):
        if key in raw:
            yield from _rectangle_problems(key, raw[key])


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _rectangle_problems(key: str, value: object) -> Iterator[str]:
    if not isinstance(value, list | tuple) or not value:
        yield f"{key} is a list of rectangles, each [left, top, width, height]"
        return
    for rectangle in value:
        whole = isinstance(rectangle, list | tuple) and len(rectangle) == 4
        if not whole or not all(isinstance(n, int) and n >= 0 for n in rectangle):
            yield f"{rectangle} is no rectangle: [left, top, width, height] in whole pixels"
        elif not (rectangle[2] and rectangle[3]):
            yield f"the rectangle {rectangle} is empty; give it a width and a height"


def _site_rule(raw: Mapping[str, object]) -> PixelRule:
    parts = [_asked(raw)]
    for key, tag in (("rows", ROWS), ("columns", COLUMNS)):
        if key in raw:
            parts.append(compare(tag, "equals", str(raw[key])))
    signature = All(tuple(parts))
    verdict = next(key for key in _VERDICTS if key in raw)
    if verdict == "clean":
        _demand_device(signature)
    area = raw[verdict]
    rectangles = tuple(Rectangle(*r) for r in area) if isinstance(area, list | tuple) else ()
    return PixelRule(
        name=str(raw["name"]),
        signature=signature,
        verdict=verdict,
        rectangles=rectangles,
        widest=widest(signature, rectangles) if verdict == "blank" else None,
        site=True,
    )


def _demand_device(signature: Signature) -> None:
    """Refuse to call clean what is not pinned to one device and one size of image."""
    flat = {part.tag for part in _flat(signature)}
    missing = [
        name
        for name, tag in (
            ("Manufacturer", _MANUFACTURER),
            ("ManufacturerModelName", _MODEL),
            ("rows", ROWS),
            ("columns", COLUMNS),
        )
        if tag not in flat
    ]
    if missing:
        raise SignatureError(
            f"clean holds for one device and size of image only; add {', '.join(missing)}"
        )


def _flat(signature: Signature) -> Iterator[Comparison]:
    """Yield what a signature demands; alternatives of one attribute count as its demand."""
    match signature:
        case All(parts):
            for part in parts:
                yield from _flat(part)
        case Any(parts) if len({part.tag for part in comparisons(signature)}) == 1:
            yield from comparisons(parts[0])
        case Comparison():
            yield signature


def _asked(raw: Mapping[str, object]) -> Signature:
    if "signature" in raw:
        return parse_signature(str(raw["signature"]))
    where = raw["where"]
    if not isinstance(where, Mapping) or not where:
        raise SignatureError("where names attributes and what they hold")
    return All(tuple(_condition(str(name), wanted) for name, wanted in where.items()))


def _condition(name: str, wanted: object) -> Signature:
    tag = find_tag(name)
    method = "containsIgnoreCase"
    if isinstance(wanted, Mapping):
        if len(wanted) != 1:
            raise SignatureError(f"{name} takes one method, such as {{equals: US}}")
        ((key, wanted),) = wanted.items()
        method = str(key)
    choices = wanted if isinstance(wanted, list | tuple) else [wanted]
    parts = tuple(_choice(name, tag, method, choice) for choice in choices)
    if not parts:
        raise SignatureError(f"{name} has an empty list; name what it may hold")
    return parts[0] if len(parts) == 1 else Any(parts)


def _choice(name: str, tag: int, method: str, wanted: object) -> Comparison:
    if isinstance(wanted, bool) or not isinstance(wanted, str | int):
        raise SignatureError(f"{name} takes a text, a number, a list of them, or {{method: text}}")
    return compare(tag, "equals" if isinstance(wanted, int) else method, str(wanted))
