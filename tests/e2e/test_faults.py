# SPDX-License-Identifier: GPL-3.0-or-later
"""Something breaks while instances flow: nothing is lost, nothing twice, nothing unanonymized.

`make soak` does every fault once, and then goes on at random moments until `SOAK_MINUTES` are over.
A table tells each round with its seed; `SOAK_SEED` does a round again.
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

BEGUN = time.monotonic()
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
            # What came before a file system was made small lies below it.
            faults.put_back_file_systems()
            outcome = flow.outcome()
    finally:
        faults.put_back_file_systems()
    ROUNDS.append((name, seed, outcome))
    return outcome


def new_seed() -> int:
    """Return what decides the moments of a round."""
    return int(os.environ.get("SOAK_SEED", random.SystemRandom().randrange(10**6)))


@pytest.mark.parametrize("name", faults.SHORT)
def test_a_fault_loses_nothing(name: str) -> None:
    outcome = one_round(name, new_seed())
    assert outcome.is_whole, outcome


@pytest.mark.soak
@pytest.mark.parametrize("name", [name for name in faults.ALL if name not in faults.SHORT])
def test_no_other_fault_loses_anything(name: str) -> None:
    outcome = one_round(name, new_seed())
    assert outcome.is_whole, outcome


@pytest.mark.soak
def test_no_fault_loses_anything_however_often_it_happens() -> None:
    until = BEGUN + 60 * float(os.environ.get("SOAK_MINUTES", "60"))
    for name in itertools.cycle(faults.ALL):
        if time.monotonic() > until:
            break
        outcome = one_round(name, new_seed())
        assert outcome.is_whole, (name, outcome)
