# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the tables of variables in the READMEs of the roles and in docs/inventory.md.

It writes them from the argument specs, between the markers; `--check` only tells which are old.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROLES = Path(__file__).parents[1] / "roles"
INVENTORY = ROLES.parent / "docs/inventory.md"
BEGIN = "<!-- variables: written by files/role_readmes.py -->"
END = "<!-- end of variables -->"
SITE = re.compile(r"^{{ (orthanc_site_\w+) \|")
MARKUP = re.compile(r"\b[CVO]\(([^)]*)\)")


def options(spec: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the options of all entry points, each with its description of the first one."""
    found: dict[str, dict[str, Any]] = {}
    for entry in spec["argument_specs"].values():
        for name, told in entry.get("options", {}).items():
            found.setdefault(name, told)
    return found


def cell(text: str) -> str:
    """Return text that can stand in a cell of a table."""
    return text.replace("|", "\\|")


def code(value: object) -> str:
    """Return a value as code, as it would stand in the inventory."""
    text = value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)
    return f"`{cell(text)}`"


def described(option: Mapping[str, Any]) -> str:
    """Return an option's description with its choices and the keys of its items."""
    told = option["description"]
    sentences = [
        MARKUP.sub(r"`\1`", cell(text)) for text in ([told] if isinstance(told, str) else told)
    ]
    if "choices" in option:
        sentences.append(f"One of {', '.join(code(choice) for choice in option['choices'])}.")
    if "options" in option:
        keys = [
            f"{name} ({code(inner['default'])})" if "default" in inner else name
            for name, inner in option["options"].items()
        ]
        sentences.append(f"Keys: {', '.join(keys)}.")
    return " ".join(sentences)


def table(spec: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of the table of a role's variables."""
    yield "| variable | type | default | meaning |"
    yield "| --- | --- | --- | --- |"
    for name, option in options(spec).items():
        default = "required" if option.get("required") else code(option.get("default"))
        kind = option["type"]
        if "elements" in option:
            kind = f"{kind} of {option['elements']}"
        yield f"| `{name}` | {kind} | {default} | {described(option)} |"


def site_table(specs: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Yield the lines of the table of what holds for the whole site.

    Args:
        specs: the argument specs of each role.
    """
    yield "| variable | default of | meaning |"
    yield "| --- | --- | --- |"
    taken: dict[str, dict[str, str]] = {}
    for role, spec in specs.items():
        for name, option in options(spec).items():
            if found := SITE.match(str(option.get("default", ""))):
                where = f"[`{name}`](../roles/{role}/README.md)"
                taken.setdefault(found[1], {})[where] = described(option)
    for name, by in sorted(taken.items()):
        yield f"| `{name}` | {', '.join(by)} | {next(iter(by.values()))} |"


def renewed(readme: str, lines: Iterable[str]) -> str:
    """Return a page with the table between the markers written anew.

    Raises ValueError if the markers are not there, once each.
    """
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"it has no {BEGIN} and {END}")
    return "\n".join([f"{before}{BEGIN}", *lines, f"{END}{after}"])


def main() -> int:
    """Write or check the pages; 1 if one was not up to date in a check."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing, fail if one is old")
    check = parser.parse_args().check
    specs = {
        path.parents[1].name: yaml.safe_load(path.read_text(encoding="utf-8"))
        for path in sorted(ROLES.glob("*/meta/argument_specs.yml"))
    }
    pages = {ROLES / role / "README.md": table(spec) for role, spec in specs.items()}
    pages[INVENTORY] = site_table(specs)
    old = []
    for readme, lines in pages.items():
        current = readme.read_text(encoding="utf-8")
        try:
            wanted = renewed(current, lines)
        except ValueError as error:
            print(f"{readme}: {error}", file=sys.stderr)
            return 2
        if wanted != current:
            old.append(readme)
            if not check:
                readme.write_text(wanted, encoding="utf-8")
    for readme in old:
        print(f"{readme}: {'is old; run files/role_readmes.py' if check else 'written'}")
    return 1 if check and old else 0


if __name__ == "__main__":
    sys.exit(main())
