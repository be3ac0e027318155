# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the package's compact tables of the DICOM standard from the published ones as JSON.

    python files/standard_tables.py SOURCE_DIR .../orthanc_deid/src/orthanc_deid/tables

Run by hand when an edition of the standard changes. The source files hold PS3.15 Annex E and the
attribute Types of PS3.3 in full; the tables hold what the engine needs, a row per line.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

from pydicom.datadict import tag_for_keyword
from pydicom.sr._snomed_dict import mapping as snomed_codes

OPTIONS = [
    "rtnSafePriv",
    "rtnUIDs",
    "rtnDevId",
    "rtnInstId",
    "rtnPatChars",
    "rtnLongFullDates",
    "rtnLongModifDates",
    "cleanDesc",
    "cleanStructCont",
    "cleanGraph",
]
# Older documents write SNOMED CT concepts with the codes of SNOMED RT, under either name.
LEGACY_SNOMED = ["SRT", "SNM3", "99SDM"]
STRICTNESS = ["1", "1C", "2", "2C", "3"]

PRIVATE = re.compile(r'\(([0-9a-f]{4}),"([^"]*)",([0-9a-f]{2})\)')
# Keep, hash the UID, move the date, container of others.
KEPT_BY_CURATORS = ("k", "K", "h", "o", "na")
VRS = "AE AS AT CS DA DS DT FD FL IS LO LT OB OD OF OL OW PN SH SL SQ SS ST TM UC UI UL UN UR US UT"

Json = dict[str, Any]
Tree = dict[str, Any]


def main() -> None:
    """Make every table."""
    source, target = map(Path, sys.argv[1:])
    profile = _read(source / "ps3.15_table_e1-1.json")
    _write(target / "confidentiality_profile.json", *_confidentiality_profile(profile))
    types = _read(source / "ps3.3_attribute_types.json")
    _write(target / "attribute_types.json", *_attribute_types(types, profile["rows"]))
    content = _read(source / "ps3.15_table_e3.4-1_structured_content.json")
    _write(target / "structured_content.json", *_structured_content(content))
    safe = _read(source / "ps3.15_table_e3.10-1_safe_private.json")
    _write(target / "safe_private.json", *_safe_private(safe))
    seen = _read(source / "tcia_posda_private_dispositions.json")
    _write(target / "tcia_private.json", *_curated_private(seen))


def _read(path: Path) -> Json:
    return dict(json.loads(path.read_text()))


def _write(path: Path, head: Json, rows: Json) -> None:
    """Write a table with each of its rows on a line, so that a change of edition reads well."""
    lines = [json.dumps(head, ensure_ascii=False)[:-1] + ", "]
    for name, section in rows.items():
        body = ",\n".join(
            f"{json.dumps(key)}: {json.dumps(row, ensure_ascii=False, separators=(',', ':'))}"
            for key, row in section.items()
        )
        lines.append(f"{json.dumps(name)}: {{\n{body}\n}},")
    path.write_text("\n".join(lines).rstrip(",") + "}\n")


def _confidentiality_profile(table: Json) -> tuple[Json, Json]:
    rows = {}
    for row in table["rows"]:
        options = {name: row[name] for name in OPTIONS if row[name]}
        tag = "private" if row["tag"].startswith("gggg") else row["tag"].replace(",", "")
        rows[tag] = [row["name"], row["keyword"], row["vr"], row["basicProfile"], options]
    codes = {
        code["code"]: [code["meaning"], code["column"]]
        for code in table["deidentificationMethodCodes"]
    }
    head = {
        "table": "DICOM PS3.15 Table E.1-1, and CID 7050",
        "edition": table["edition"],
        "origin": table["acknowledgement"],
        "columns": "tag: name, keyword, VR, Basic Profile, options",
    }
    return head, {"rows": rows, "method_codes": codes}


def _structured_content(table: Json) -> tuple[Json, Json]:
    concepts: dict[str, Json] = {}
    for row in table["rows"]:
        options = {name: row[name] for name in OPTIONS if row.get(name)}
        codes = [(row["codingScheme"], row["codeValue"])]
        legacy = snomed_codes["SCT"].get(row["codeValue"]) if row["codingScheme"] == "SCT" else None
        codes += [(scheme, legacy) for scheme in LEGACY_SNOMED if legacy]
        for scheme, code in codes:
            types = concepts.setdefault(f"{scheme} {code}", {})
            types[row["valueType"]] = [row["codeMeaning"], row["basicProfile"], options]
    head = {
        "table": "DICOM PS3.15 Table E.3.4-1, Clean Structured Content",
        "edition": table["edition"].split(" (")[0],
        "origin": table["acknowledgement"],
        "columns": "coding scheme and code: value type to meaning, Basic Profile, options",
    }
    return head, {"concepts": dict(sorted(concepts.items()))}


def _safe_private(table: Json) -> tuple[Json, Json]:
    creators: dict[str, Json] = {}
    for row in table["rows"]:
        elements = creators.setdefault(f"{row['group']} {row['privateCreator']}", {})
        elements[row["element"]] = row["vr"]
    head = {
        "table": "DICOM PS3.15 Table E.3.10-1, Safe Private Attributes",
        "edition": table["edition"],
        "origin": table["acknowledgement"],
        "columns": "group and creator: low byte of the element to VR",
    }
    return head, {"creators": dict(sorted(creators.items()))}


def _curated_private(table: Json) -> tuple[Json, Json]:
    """Take over what curators keep, wherever they saw it, and never what they once did not."""
    kept: dict[str, dict[str, set[str]]] = {}
    refused = set()
    for row in table["rows"]:
        group, creator, element = PRIVATE.findall(row["pattern"])[-1]
        place = (f"{group.upper()} {creator}", element.upper())
        if row["disposition"] in KEPT_BY_CURATORS and row["vr"] in VRS.split():
            kept.setdefault(place[0], {}).setdefault(place[1], set()).add(row["vr"])
        else:
            refused.add(place)
    creators = {
        creator: {
            element: min(vrs - {"UN"} or {"UN"})
            for element, vrs in sorted(elements.items())
            if (creator, element) not in refused and len(vrs - {"UN"}) <= 1
        }
        for creator, elements in sorted(kept.items())
    }
    head = {
        "table": "private elements that the curators of TCIA keep",
        "edition": table["edition"],
        "origin": table["origin"],
        "columns": "group and creator: low byte of the element to VR",
    }
    return head, {"creators": {creator: found for creator, found in creators.items() if found}}


def _attribute_types(types: Json, profile_rows: list[Json]) -> tuple[Json, Json]:
    tags = {row["keyword"]: row["tag"].replace(",", "") for row in profile_rows}
    modules: dict[str, Tree] = {}
    for name, paths in types["modules"].items():
        tree: Tree = {}
        for path, kind in paths.items():
            hexed = [_tag(keyword, tags) for keyword in path.split("/")]
            if None not in hexed:
                _grow(tree, [tag for tag in hexed if tag], kind)
        modules[name] = tree
    # A module that holds none of the attributes has no entry.
    iods = {
        name: [module for module, _ in members if module in modules]
        for name, members in types["iods"].items()
    }
    head = {
        "table": "Type of the attributes of PS3.15 Table E.1-1, in the modules of DICOM PS3.3",
        "origin": f"{types['origin']}; DICOM PS3.3, (c) NEMA",
        "columns": "module: tree of tag to [Type or null, tree of the items]",
    }
    return head, {"sop_classes": types["sop_classes"], "iods": iods, "modules": modules}


def _tag(keyword: str, tags: dict[str, str]) -> str | None:
    known = tag_for_keyword(keyword)
    tag = f"{known:08X}" if known is not None else tags.get(keyword)
    return None if tag and "x" in tag else tag  # repeating groups have one rule whatever the Type


def _grow(tree: Tree, path: list[str], kind: str) -> None:
    for tag in path[:-1]:
        tree = tree.setdefault(tag, [None, {}])[1]
    node = tree.setdefault(path[-1], [None, {}])
    if node[0] is None or STRICTNESS.index(kind) < STRICTNESS.index(node[0]):
        node[0] = kind


if __name__ == "__main__":
    main()
