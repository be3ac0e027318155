# SPDX-License-Identifier: GPL-3.0-or-later
"""How costs grow with a size, and whether they grow faster than the work does."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.table import Table

SLACK: Final = 0.25  # of the exponent: caches, and the levels of an index


@dataclass(frozen=True)
class Curve:
    """What operations cost at several sizes.

    Attributes:
        name: what grows, such as `queue`.
        unit: what is counted, such as `waiting studies`.
        sizes: how many, ascending.
        costs: milliseconds of each operation, one for each size.
        of_all: the operations whose work is all of the size, and which may grow with it.
    """

    name: str
    unit: str
    sizes: Sequence[int]
    costs: Mapping[str, Sequence[float]]
    of_all: frozenset[str] = frozenset()

    def exponent(self, operation: str) -> float:
        """Return e where the cost grows as size to the power of e, from the first to the last."""
        costs = self.costs[operation]
        return math.log(costs[-1] / costs[0]) / math.log(self.sizes[-1] / self.sizes[0])

    def faster_than_work(self) -> Iterator[str]:
        """Yield a sentence for each operation whose cost grows faster than its work."""
        for operation, costs in self.costs.items():
            work = 1 if operation in self.of_all else 0
            if self.exponent(operation) > work + SLACK:
                yield (
                    f"{self.name}, {operation}: {costs[0]:.2f} ms with {self.sizes[0]:,} "
                    f"{self.unit}, {costs[-1]:.2f} ms with {self.sizes[-1]:,}"
                )

    def table(self) -> Table:
        """Return the costs as a table."""
        table = Table(f"{self.name}: ms", *(f"{size:,}" for size in self.sizes), "grows")
        for operation, costs in self.costs.items():
            grows = f"n^{self.exponent(operation):.2f}"
            table.add_row(operation, *(f"{cost:,.2f}" for cost in costs), grows)
        return table

    def plot(self, folder: Path) -> Path:
        """Draw the costs over the sizes, both logarithmic, as SVG; returns the file."""
        # Loaded only where it is drawn: it takes its time, and short runs draw nothing.
        import matplotlib as mpl  # noqa: PLC0415
        from matplotlib.figure import Figure  # noqa: PLC0415

        # The same figures give the same file.
        mpl.rcParams.update({"svg.hashsalt": self.name, "svg.fonttype": "none"})
        figure = Figure(figsize=(7, 4), layout="constrained")
        axes = figure.subplots()
        for operation, costs in self.costs.items():
            axes.loglog(self.sizes, costs, marker="o", label=operation)
        axes.set_xlabel(self.unit)
        axes.set_ylabel("milliseconds")
        axes.grid(which="major", alpha=0.3)
        axes.legend(fontsize="small")
        file = folder / f"{self.name.replace(' ', '_')}.svg"
        figure.savefig(file, metadata={"Date": None})
        return file

    def to_dict(self) -> dict[str, Any]:
        """Return the figures for a JSON file."""
        return {
            "name": self.name,
            "unit": self.unit,
            "sizes": list(self.sizes),
            "milliseconds": {name: list(costs) for name, costs in self.costs.items()},
            "exponents": {name: round(self.exponent(name), 2) for name in self.costs},
        }


def usual_ms(action: Callable[[], object], rounds: int = 50) -> float:
    """Return how many milliseconds an action takes, see `usual`."""
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        action()
        taken.append(time.perf_counter() - start)
    return usual(taken)


def usual(seconds: Sequence[float]) -> float:
    """Return the lower quartile in milliseconds: what else a machine does only makes it slower."""
    return round(1000 * statistics.quantiles(seconds, n=4)[0], 3)
