# SPDX-License-Identifier: GPL-3.0-or-later
"""Something breaks while instances flow: nothing is lost, nothing twice, nothing unanonymized.

`make soak` does every fault again and again at random moments, for `SOAK_MINUTES`, and prints a
table. `SOAK_FAULT` names a single one, and `SOAK_SEED` the seed of the table that does a round
again.
"""

from __future__ import annotations

import itertools
import os
import random
import time
from collections.abc import Iterator

import pytest
from rich.console import Console
from rich.table import Table

import faults
from flow import Flow, Outcome

ROUNDS: list[tuple[str, int, Outcome]] = []


@pytest.fixture(scope="module", autouse=True)
def _table() -> Iterator[None]:
    yield
    table = Table("fault", "seed", *Outcome._fields, title="Faults while instances flow")
    for name, seed, outcome in ROUNDS:
        table.add_row(name, str(seed), *map(str, outcome))
    Console(stderr=True, width=120).print(table)


def one_round(name: str, seed: int) -> Outcome:
    """Break one thing while 300 instances flow."""
    moment = random.Random(seed)
    twice = name.startswith("sent twice")
    try:
        with Flow(order=moment if twice else None, times=2 if twice else 1) as flow:
            faults.ALL[name](flow, moment)
            outcome = flow.outcome()
    finally:
        faults.put_back_file_systems()
    ROUNDS.append((name, seed, outcome))
    return outcome


@pytest.mark.parametrize("name", faults.SHORT)
def test_a_fault_loses_nothing(name: str) -> None:
    outcome = one_round(name, random.SystemRandom().randrange(10**6))
    assert outcome.is_whole, outcome


@pytest.mark.soak
def test_no_fault_at_any_moment_loses_anything() -> None:
    seed = int(os.environ.get("SOAK_SEED", random.SystemRandom().randrange(10**6)))
    minutes = float(os.environ.get("SOAK_MINUTES", "60"))
    until = time.monotonic() + 60 * minutes
    # Each fault once, and then as many more as there is time for.
    chosen = [os.environ["SOAK_FAULT"]] if "SOAK_FAULT" in os.environ else list(faults.ALL)
    for number, name in enumerate(itertools.cycle(chosen)):
        if number >= len(chosen) and time.monotonic() > until:
            break
        one_round(name, seed + number)
    assert [one for one in ROUNDS if not one[2].is_whole] == []
