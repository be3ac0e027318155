# SPDX-License-Identifier: GPL-3.0-or-later
"""The record of what was done: where and by which rule, never with which values."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from orthanc_deid import __version__


class Change(NamedTuple):
    """What was done to an attribute: its path (`0040,0275/0040,0007`), the action, the rule."""

    path: str
    action: str
    rule: str


@dataclass(slots=True)
class Record:
    """What was done to an instance or, merged, to a study.

    Attributes:
        profile: the profile's name.
        profile_digest: SHA-256 of what the profile decides.
        codes: the codes of CID 7050 that are claimed in the output, by any of its instances.
        instances: how many instances this covers.
        changes: how often each change was made.
        problems: attributes whose value could not be treated as their rule says and which were
            taken out instead, with the reason.
        cleaned: texts out of which something was taken, and its kind (`name`, `date`, ...).
        blanked: how many frames were blanked by each pixel rule.
        looked_at: in how many instances text was looked for in the pixels, and none found.
        dropped: how many instances of the study are not in the output, by the reason's code.
        unread: how many documents passed as they are, by their kind.
    """

    profile: str
    profile_digest: str
    codes: tuple[str, ...]
    instances: int = 1
    changes: Counter[Change] = field(default_factory=Counter)
    problems: Counter[tuple[str, str]] = field(default_factory=Counter)
    cleaned: Counter[tuple[str, str]] = field(default_factory=Counter)
    blanked: Counter[str] = field(default_factory=Counter)
    looked_at: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    unread: Counter[str] = field(default_factory=Counter)

    def merge(self, other: Record) -> None:
        """Add what was done to another instance of the study.

        Raises:
            ValueError: the other was made by another profile.
        """
        if self.profile_digest != other.profile_digest:
            raise ValueError("records of different profiles cannot be merged")
        self.codes = tuple(sorted({*self.codes, *other.codes}))
        self.instances += other.instances
        self.changes.update(other.changes)
        self.problems.update(other.problems)
        self.cleaned.update(other.cleaned)
        self.blanked.update(other.blanked)
        self.looked_at += other.looked_at
        self.dropped.update(other.dropped)
        self.unread.update(other.unread)

    def to_dict(self) -> dict[str, Any]:
        """Return the record for JSON."""
        actions: Counter[str] = Counter()
        rules: Counter[str] = Counter()
        for change, count in self.changes.items():
            actions[change.action] += count
            rules[change.rule] += count
        return {
            "engine": f"orthanc_deid {__version__}",
            "profile": self.profile,
            "profile_digest": self.profile_digest,
            "codes": list(self.codes),
            "instances": self.instances,
            "actions": dict(sorted(actions.items())),
            "rules": dict(sorted(rules.items())),
            "changes": [
                {**change._asdict(), "count": count}
                for change, count in sorted(self.changes.items())
            ],
            "problems": [
                {"path": path, "reason": reason, "count": count}
                for (path, reason), count in sorted(self.problems.items())
            ],
            "cleaned": [
                {"path": path, "kind": kind, "count": count}
                for (path, kind), count in sorted(self.cleaned.items())
            ],
            "pixels": {
                "blanked": [
                    {"rule": rule, "frames": frames}
                    for rule, frames in sorted(self.blanked.items())
                ],
                "looked_at_again": self.looked_at,
            },
            "dropped": dict(sorted(self.dropped.items())),
            "unread": dict(sorted(self.unread.items())),
        }
