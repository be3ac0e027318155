# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the package's table of pixel rules from the public rules of RSNA CTP and pydicom/deid.

    python files/pixel_rule_tables.py SOURCE.json TARGET_DIR

TARGET_DIR is roles/orthanc_phi/files/orthanc_deid/src/orthanc_deid/tables.

Run by hand when those rules change. Every rule ends up in the table as one that the package
compiles, or among `left_out` with the reason. A rule that asks more comes before one that asks
less, since the first match decides.
"""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).parents[1] / "roles/orthanc_phi/files/orthanc_deid/src"
sys.path.insert(0, str(SOURCE))

from orthanc_deid.pixel_rules import widest  # noqa: E402
from orthanc_deid.pixel_signatures import (  # noqa: E402
    SignatureError,
    comparisons,
    parse_signature,
)
from orthanc_deid.rectangles import Rectangle  # noqa: E402

Json = dict[str, Any]

# Where the origin's rule would blank or pass what it was not made for.
LEFT_OUT = {
    "CTP 1": "the code stands in a sequence of every ordinary CT image, not only in dose screens",
    "CTP 13": "such text stands in an overlay, which goes as an element; the image has none",
    "deid 1": "the model alone also matches the screens that the scanner saves",
    "deid 2": "BurnedInAnnotation NO is often set unseen, and names no device",
    "deid 3": "names no device; the risk classes decide",
    "deid 4": "a dose screen is covered by CTP's rules, any other saved screen by none",
    "deid 5": "ordinary localizers carry no text, and derived ones are screens",
    "deid 6": "takes every image of the scanner for suspect",
    "deid 8": "ordinary localizers carry no text, and derived ones are screens",
    "deid 10": "takes every image of the scanner for suspect",
    "deid 109": "a screen may hold text anywhere, and the model is the name of a hospital",
    "deid 110": "a screen may hold text anywhere, and the model is the name of a hospital",
    "deid 111": "has no rectangle; the risk classes decide",
}
COVERED = "covered by the risk classes"
NOT_A_DEVICE = "selects studies for one collection, says nothing of burned-in text"
COPY = "a copy of CTP's rule"


def main() -> None:
    """Make the table."""
    source, target = map(Path, sys.argv[1:])
    raw: Json = json.loads(source.read_text(encoding="utf-8"))
    rules: list[Json] = []
    left_out: list[Json] = []
    for name, rule, reason in [*_ctp(raw["ctp"]), *_deid(raw["deid"])]:
        same = next((r["name"] for r in rules if r["signature"] == rule.get("signature")), None)
        if reason or same:
            left_out.append({"name": name, "reason": reason or f"asks the same as {same}"})
        else:
            rules.append({"name": name, **_validated(name, rule)})
    rules.sort(key=lambda rule: (rule["verdict"] != "quarantine", -_demands(rule)))
    head = {
        "title": "Burned-in text by device",
        "edition": raw["edition"],
        "origin": raw["origin"],
        "made_by": "files/pixel_rule_tables.py",
    }
    _write(target / "pixel_rules.json", head, {"rules": rules, "left_out": left_out})
    print(f"{len(rules)} rules, {len(left_out)} left out")


def _ctp(rules: list[Json]) -> Iterator[tuple[str, Json, str]]:
    for number, raw in enumerate(rules, 1):
        signature = raw["signature"].replace("IgnoreCase (", "IgnoreCase(")
        if raw["section"] == "CT" and "Modality" not in signature:
            # The section says it, and 512 rows are as common elsewhere.
            signature = f'Modality.equals("CT") * {signature}'
        rule = {
            "signature": signature,
            "verdict": "blank",
            "rectangles": raw["regions_xywh"],
        }
        yield f"CTP {number} {raw['section']}", rule, LEFT_OUT.get(f"CTP {number}", "")


def _deid(rules: list[Json]) -> Iterator[tuple[str, Json, str]]:
    for number, raw in enumerate(rules, 1):
        label = raw["label"].partition("#")[0].strip()
        name = f"deid {number} {label}"
        reason = LEFT_OUT.get(f"deid {number}", "") or _unfit(raw)
        if reason:
            yield name, {}, reason
        elif raw["section"] == "blacklist":
            lines = [_condition(line) for line in raw["conditions"]]
            yield name, {"signature": " + ".join(lines), "verdict": "quarantine"}, ""
        else:
            rule = {
                "signature": " * ".join(_line(line) for line in raw["conditions"]),
                "verdict": "blank",
                "rectangles": [_rectangle(c["kind"], c["value"]) for c in raw["coordinates"]],
            }
            yield name, rule, ""


def _unfit(raw: Json) -> str:
    if "CTP)" in raw["label"]:
        return COPY if raw["coordinates"] else COVERED
    if raw["file"] == "deid.dicom.ultrasound":
        return "ultrasound regions are kept by the package itself, and NO alone frees nothing"
    if raw["file"] == "deid.dicom.xray.chest":
        return NOT_A_DEVICE
    if raw["section"] == "blacklist" and not _names_a_screen(raw):
        return COVERED
    return ""


def _names_a_screen(raw: Json) -> bool:
    return any(
        word in condition
        for condition in raw["conditions"]
        for word in ("REPORTDATA", "DEMOGRAPHICDATA")
    )


def _line(line: str) -> str:
    """Translate a line of conditions; its alternatives belong together."""
    parts = [_condition(part) for part in line.removeprefix("+ ").split("||")]
    return parts[0] if len(parts) == 1 else f"({' + '.join(parts)})"


def _condition(condition: str) -> str:
    """Translate one of deid's conditions: `contains Modality US|CT`."""
    operator, keyword, wanted = condition.strip().removeprefix("+ ").split(" ", 2)
    # "contains Modality CT" would also match CTPROTOCOL.
    exact = operator == "equals" or keyword == "Modality"
    method = {True: "equals", False: "containsIgnoreCase"}[exact]
    if operator not in ("equals", "contains"):
        raise SystemExit(f"the condition {condition} has an operator that is not known")
    parts = [f'{keyword}.{method}("{text.strip()}")' for text in wanted.split("|")]
    return parts[0] if len(parts) == 1 else f"({' + '.join(parts)})"


def _rectangle(kind: str, value: str) -> list[int]:
    numbers = [int(number) for number in re.findall(r"\d+", value)]
    if kind == "ctpcoordinates":
        return numbers
    left, top, right, bottom = numbers
    return [left, top, right - left, bottom - top]


def _validated(name: str, rule: Json) -> Json:
    try:
        signature = parse_signature(rule["signature"])
    except SignatureError as error:
        raise SystemExit(f"{name}: {error}") from error
    rectangles = [Rectangle(*numbers) for numbers in rule.get("rectangles", [])]
    if any(min(r) < 0 or not r.width or not r.height for r in rectangles):
        raise SystemExit(f"{name}: a rectangle is empty or outside")
    if (rule["verdict"] == "blank") != bool(rectangles):
        raise SystemExit(f"{name}: it must have rectangles to blank, or be a quarantine")
    reach = widest(signature, rectangles)
    return {**rule, "widest": reach} if reach else rule


def _demands(rule: Json) -> int:
    return len(list(comparisons(parse_signature(rule["signature"]))))


def _write(path: Path, head: Json, sections: dict[str, list[Json]]) -> None:
    lines = [json.dumps(head, ensure_ascii=False)[:-1] + ","]
    for name, rows in sections.items():
        body = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
        lines.append(f"{json.dumps(name)}: [\n{body}\n],")
    path.write_text("\n".join(lines).rstrip(",") + "}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
