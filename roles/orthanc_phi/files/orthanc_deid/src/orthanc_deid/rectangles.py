# SPDX-License-Identifier: GPL-3.0-or-later
"""Rectangles of an image, in pixels from its upper left corner."""

from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple


class Rectangle(NamedTuple):
    """A rectangle; `left` and `top` are 0 for the first column and row."""

    left: int
    top: int
    width: int
    height: int

    @property
    def right(self) -> int:
        """The first column that is no longer inside."""
        return self.left + self.width

    @property
    def bottom(self) -> int:
        """The first row that is no longer inside."""
        return self.top + self.height

    def __str__(self) -> str:
        return f"left {self.left}, top {self.top}, {self.width} x {self.height} pixels"

    def overlaps(self, other: "Rectangle") -> bool:
        """Whether a part of the other one lies inside."""
        return max(self.left, other.left) < min(self.right, other.right) and max(
            self.top, other.top
        ) < min(self.bottom, other.bottom)

    def clip(self, columns: int, rows: int) -> "Rectangle | None":
        """Return the part that lies in an image of this size; None if nothing of it does."""
        left, top = max(self.left, 0), max(self.top, 0)
        width, height = min(self.right, columns) - left, min(self.bottom, rows) - top
        return Rectangle(left, top, width, height) if width > 0 and height > 0 else None


def clip_all(rectangles: Iterable[Rectangle], columns: int, rows: int) -> tuple[Rectangle, ...]:
    """Return what of the rectangles lies in an image of this size."""
    clipped = (rectangle.clip(columns, rows) for rectangle in rectangles)
    return tuple(rectangle for rectangle in clipped if rectangle)


def outside(kept: Iterable[Rectangle], columns: int, rows: int) -> tuple[Rectangle, ...]:
    """Cut the part of an image that no kept rectangle covers into rectangles."""
    inside = clip_all(kept, columns, rows)
    edges = sorted({0, rows, *(r.top for r in inside), *(r.bottom for r in inside)})
    cut: list[Rectangle] = []
    for top, bottom in pairwise(edges):
        spans = sorted((r.left, r.right) for r in inside if r.top <= top < r.bottom)
        start = 0
        for left, right in [*spans, (columns, columns)]:
            if left > start:
                cut.append(Rectangle(start, top, left - start, bottom - top))
            start = max(start, right)
    return tuple(cut)
