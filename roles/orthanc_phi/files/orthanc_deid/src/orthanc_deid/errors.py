# SPDX-License-Identifier: GPL-3.0-or-later
"""The errors of this package: one family, and no message that holds a patient's value."""

from collections.abc import Iterable
from typing import NamedTuple, Self


class DeidError(Exception):
    """Base of every error that this package raises on purpose."""


class Spot(NamedTuple):
    """Where in an instance something was found: in an attribute, or in the pixels.

    Attributes:
        path: tags down to the attribute, such as `0040,0275/0040,0007`.
        frame: the number of the frame, from 1 on; 0 where it is not in the pixels.
        box: left, top, width and height in the frame.
    """

    path: str = ""
    frame: int = 0
    box: tuple[int, int, int, int] | None = None


class Quarantine(DeidError):  # noqa: N818 - it names what happens to the study
    """The study must wait for a person.

    Attributes:
        code: a short, stable word for machines, such as ``unreadable`` or ``leak``.
        message: one sentence for people that says what to do. It may name attributes and
            offsets, never values.
        findings: what a person who has looked may accept; none if the study cannot go out as it
            is. Each is a code and, after a space, where it was found.
    """

    def __init__(self, code: str, message: str, findings: Iterable[str] = ()) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.findings = frozenset(findings)
        self.spots: tuple[Spot, ...] = ()

    def at(self, spots: Iterable[Spot]) -> Self:
        """Return it with where in the instance it was found, to be shown to a person."""
        self.spots = tuple(spots)
        return self

    def __str__(self) -> str:
        return self.message


class Dropped(DeidError):  # noqa: N818 - it names what happens to the instance
    """The instance has no place in the output; the rest of its study goes on without it.

    Attributes:
        code: a short, stable word for machines, such as ``slide-label``.
        message: why, for people and without any value.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return self.message


class ProfileError(DeidError):
    """A profile that cannot be used.

    Attributes:
        problems: every problem found, each a sentence that names the setting and the fix.
    """

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems
