# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads settings out of a JSON object, and collects everything that is wrong with them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast


class Reader:
    """Takes settings from one JSON object and collects what is wrong with them."""

    def __init__(
        self, content: dict[str, Any], prefix: str = "", problems: list[str] | None = None
    ) -> None:
        self._content = dict(content)
        self._prefix = prefix
        self.problems: list[str] = [] if problems is None else problems

    def wrong(self, key: str, fix: str) -> None:
        """Note that a setting is wrong, and how to mend it."""
        self.problems.append(f"{self._prefix}{key}: {fix}")

    def take(self, key: str, kind: type, default: Any = None) -> Any:
        """Take a value of a kind; without a default it must be there."""
        value = self._content.pop(key, default)
        if value is None:
            self.wrong(key, "is missing")
        # bool is an int to Python, but not to the person who wrote `true` for a port.
        elif not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            self.wrong(key, f"must be {_KIND_NAMES[kind]}, not {_KIND_NAMES.get(type(value))}")
        else:
            return value
        return kind()

    def text(self, key: str, default: str | None = None) -> str:
        """Take a text that is not empty."""
        value = cast(str, self.take(key, str, default))
        if not value and not self._has_problem(key):
            self.wrong(key, "must not be empty")
        return value

    def number(self, key: str, low: int, high: int, default: int | None = None) -> int:
        """Take a whole number between two others."""
        value = cast(int, self.take(key, int, default))
        if not low <= value <= high and not self._has_problem(key):
            self.wrong(key, f"must lie between {low} and {high}, not {value}")
        return value

    def choice(self, key: str, choices: tuple[str, ...], default: str | None = None) -> Any:
        """Take one of several words."""
        value = self.text(key, default)
        if value not in choices and not self._has_problem(key):
            self.wrong(key, f"must be one of {', '.join(choices)}, not {value!r}")
        return value

    def path(self, key: str) -> Path:
        """Take an absolute path."""
        value = Path(self.text(key))
        if not value.is_absolute() and not self._has_problem(key):
            self.wrong(key, f"must be an absolute path, not {value}")
        return value

    def flag(self, key: str) -> bool | None:
        """Take true or false, or None if it is missing."""
        if key not in self._content:
            return None
        return cast(bool, self.take(key, bool))

    def texts(self, key: str) -> list[str]:
        """Take a list of texts, which may be missing."""
        values = self.take(key, list, [])
        if not all(isinstance(value, str) and value for value in values):
            self.wrong(key, "must be a list of texts that are not empty")
        return [str(value) for value in values]

    def inside(self, key: str, default: dict[str, Any] | None = None) -> Reader:
        """Return the reader of an object inside."""
        return Reader(self.take(key, dict, default), f"{self._prefix}{key}.", self.problems)

    def each(self, key: str, inherited: Mapping[str, Any] | None = None) -> list[Reader]:
        """Return a reader of each object in a list, which may be missing.

        What an object does not have is taken from `inherited`.
        """
        readers = []
        for index, item in enumerate(self.take(key, list, [])):
            if isinstance(item, dict):
                whole = {**(inherited or {}), **item}
                readers.append(Reader(whole, f"{self._prefix}{key}[{index}].", self.problems))
            else:
                self.wrong(f"{key}[{index}]", "must be an object")
        return readers

    def refuse_unknown(self) -> None:
        """Note whatever was not taken."""
        for key in self._content:
            self.wrong(key, "is not a setting; correct its name or remove it")

    def _has_problem(self, key: str) -> bool:
        return any(problem.startswith(f"{self._prefix}{key}: ") for problem in self.problems)


_KIND_NAMES: dict[type, str] = {
    str: "a text",
    int: "a whole number",
    bool: "true or false",
    dict: "an object",
    list: "a list",
    float: "a number with a fraction",
}
