# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be done to an attribute, and how a rule of Table E.1-1 comes to it by the Type."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Action(StrEnum):
    """What is done to an attribute."""

    KEEP = "keep"
    REMOVE = "remove"
    EMPTY = "empty"
    REPLACE = "replace"  # by a value that means nothing and is valid for the VR
    REMAP = "remap"  # UIDs
    KEEP_UID = "keep_uid"  # UIDs; what is none may be anything and is remapped
    SHIFT = "shift"  # dates: by the subject's offset, or by nothing where dates stay
    CLEAN = "clean"  # text
    CLEAN_LABEL = "clean_label"  # text, of which short codes such as "NK5" stay
    CAP_AGE = "cap_age"  # ages over 89 become 90


@dataclass(frozen=True, slots=True)
class Rule:
    """Why something is done to an attribute.

    Attributes:
        code: an action code of Table E.1-1 (X, Z, D, U, K, X/Z, X/D, X/Z/D, Z/D, X/Z/U*), or
            the name of an action.
        source: the rule's origin for people, such as `PS3.15 Table E.1-1 Basic Profile`.
    """

    code: str
    source: str


_SURE: Final = {
    "K": Action.KEEP,
    "U": Action.REMAP,
    **{action.value: action for action in Action},
}

# For each code that leaves a choice: what Type 1, Type 2 and Type 3 come to, then an attribute
# that is not in the IOD of the instance, then one in an instance whose IOD is not known. Z lets
# a dummy value stand in for a zero length one (Table E.1-1a), which is what Type 1 needs.
_X, _Z, _D, _U = Action.REMOVE, Action.EMPTY, Action.REPLACE, Action.REMAP
_BY_TYPE: Final = {
    # What the IOD demands cannot go without making the object invalid: nothing of it stays.
    "X": (_D, _Z, _X, _X, _X),
    "Z": (_D, _Z, _Z, _Z, _Z),
    "D": (_D, _D, _D, _X, _D),
    "Z/D": (_D, _Z, _Z, _Z, _D),
    "X/Z": (_D, _Z, _X, _X, _Z),
    "X/D": (_D, _D, _X, _X, _D),
    "X/Z/D": (_D, _Z, _X, _X, _D),
    # Remapped references are as safe as none, and what refers to an instance elsewhere in the
    # data set (Common Instance Reference) stays true.
    "X/Z/U*": (_U, _U, _X, _U, _U),
}
_CONDITIONAL: Final = ("1C", "2C")
CODES: Final = frozenset(_SURE) | frozenset(_BY_TYPE)


def choose(code: str, kind: str | None, *, iod_known: bool) -> Action:
    """Return the action that an action code of Table E.1-1 comes to.

    Args:
        code: the action code.
        kind: the attribute's Type (1, 1C, 2, 2C or 3) where it stands; None if it is not there.
        iod_known: whether the Types of the instance's IOD are known.
    """
    sure = _SURE.get(code)
    if sure is not None:
        return sure
    if code == "X" and kind in _CONDITIONAL:
        return Action.REMOVE  # mostly its condition does not hold
    column = (4 if not iod_known else 3) if kind is None else int(kind[0]) - 1
    return _BY_TYPE[code][column]
