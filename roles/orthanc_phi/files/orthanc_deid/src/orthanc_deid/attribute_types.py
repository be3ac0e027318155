# SPDX-License-Identifier: GPL-3.0-or-later
"""The Type of an attribute where it stands (PS3.3): it decides between removing and emptying."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Final

from orthanc_deid.dictionary import load_table

STRICTNESS: Final = ("1", "1C", "2", "2C", "3")
# Of Type 2C in PS3.3 C.7.1.1: Responsible Person and Responsible Organization.
RESPONSIBLE: Final = {0x00102297: "2", 0x00102299: "2"}
# Patient Species Description and Code Sequence, which say that the patient is an animal.
SPECIES: Final = frozenset({0x00102201, 0x00102202})


@dataclass(slots=True, eq=False)
class TypeTree:
    """The Types of the attributes of a data set, and those in the items of its sequences."""

    types: dict[int, str] = field(default_factory=dict)
    items: dict[int, TypeTree] = field(default_factory=dict)

    def add(self, module: dict[str, Any]) -> None:
        """Add a module's attributes; where it is not the first to hold one, the stricter rules."""
        for hexed, (kind, items) in module.items():
            tag = int(hexed, 16)
            if kind is not None:
                known = self.types.get(tag, "3")
                self.types[tag] = min(kind, known, key=STRICTNESS.index)
            if items:
                self.items.setdefault(tag, TypeTree()).add(items)


@cache
def _table() -> dict[str, Any]:
    return load_table("attribute_types.json")


def known_sop_classes() -> list[str]:
    """Return the UIDs of the SOP Classes whose Types are known."""
    return list(_table()["sop_classes"])


@cache
def types_of_sop_class(uid: str, *, animal: bool = False) -> TypeTree | None:
    """Return the Types in the IOD of a SOP Class, or None if the SOP Class is not known.

    Args:
        uid: the SOP Class.
        animal: whether the patient is no human; then somebody must be responsible.
    """
    iod = _table()["sop_classes"].get(uid)
    if iod is None:
        return None
    types = _types_of_iod(iod)
    return replace(types, types=types.types | RESPONSIBLE) if animal else types


@cache
def _types_of_iod(iod: str) -> TypeTree:
    tree = TypeTree()
    for module in _table()["iods"][iod]:
        tree.add(_table()["modules"][module])
    return tree
