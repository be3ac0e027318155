# SPDX-License-Identifier: GPL-3.0-or-later
"""What was measured of a site, and what is required of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from .clock import Lap

OF_POSTING: Final = 0.80  # of the speed at which Anon and Disk take files posted straight to them
TIMES_ORTHANC: Final = 2.0
OF_BARE: Final = 0.95  # of the speed at which PHI takes instances without the plugin
SPARE: Final = 2.0  # seconds
TOLD: Final = {
    "stored": "(a) PHI takes C-STORE",
    "delivered": "(b) stable on PHI to verified on Anon and Disk",
    "posted": "(d) posted straight to Anon and Disk",
    "by_orthanc": "(e) Orthanc's own anonymize and store",
}


@dataclass(frozen=True)
class Load:
    """What was measured with some studies.

    Attributes:
        name: what they are.
        stored: PHI taking the scanner's C-STORE.
        delivered: from stable on PHI until all is verified on Anon and Disk.
        posted: Anon and Disk taking the same anonymized files, posted straight to both.
        by_orthanc: anonymized by PHI's own means and stored on both as Orthanc peers.
    """

    name: str
    stored: Lap
    delivered: Lap
    posted: Lap
    by_orthanc: Lap

    def missed(self) -> Iterator[str]:
        """Yield the requirements that are missed."""
        rate, posted, orthanc = self.delivered.rate, self.posted.rate, self.by_orthanc.rate
        if rate < OF_POSTING * posted:
            yield (
                f"{self.name}: {rate:.1f} instances/s are {rate / posted:.0%} of the {posted:.1f} "
                f"that Anon and Disk take, not {OF_POSTING:.0%}"
            )
        if rate < TIMES_ORTHANC * orthanc:
            yield (
                f"{self.name}: {rate:.1f} instances/s are {rate / orthanc:.2f} times the "
                f"{orthanc:.1f} of Orthanc's own way, not {TIMES_ORTHANC:g}"
            )


@dataclass(frozen=True)
class Intake:
    """PHI taking C-STORE with the plugin and without it, in turns; the best turn counts.

    What else a machine does can only make a turn slower.
    """

    with_plugin: Sequence[Lap]
    without: Sequence[Lap]

    @property
    def share(self) -> float:
        """Speed with the plugin, as a share of the speed without it."""
        return best(self.with_plugin) / best(self.without)

    def missed(self) -> Iterator[str]:
        """Yield the requirement if it is missed."""
        if self.share < OF_BARE:
            yield (
                f"PHI takes {best(self.with_plugin):.1f} instances/s with the plugin, "
                f"{self.share:.0%} of those without it, not {OF_BARE:.0%}"
            )


@dataclass(frozen=True)
class Whole:
    """The whole way of one study, from the first C-STORE.

    Attributes:
        measured: all of it.
        stored: seconds that (a) takes for as many instances.
        delivered: seconds that (b) takes for as many instances.
        stable_age: seconds after which PHI takes a study for complete.
    """

    measured: Lap
    stored: float
    delivered: float
    stable_age: float

    @property
    def limit(self) -> float:
        """How many seconds it may take at most."""
        return self.stored + self.delivered + self.stable_age + SPARE

    def missed(self) -> Iterator[str]:
        """Yield the requirement if it is missed."""
        if self.measured.seconds > self.limit:
            yield (
                f"the whole way of {self.measured.instances} slices takes "
                f"{self.measured.seconds:.1f} s, not {self.limit:.1f} s: {self.stored:.1f} s to "
                f"store, {self.delivered:.1f} s to deliver, {self.stable_age:g} s of StableAge "
                f"and {SPARE:g} s"
            )


def best(laps: Sequence[Lap]) -> float:
    """Return the rate of the fastest turn."""
    return max(one.rate for one in laps)
