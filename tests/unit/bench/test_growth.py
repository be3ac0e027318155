"""What the bench of growth calls faster than the work, and what not."""

from __future__ import annotations

import pytest

from growth.curve import Curve, usual
from scale import crosswalk_curve


def curve(*costs: float, of_all: bool = False) -> Curve:
    all_of_it = frozenset({"look"}) if of_all else frozenset[str]()
    return Curve("queue", "studies", (100, 1_000, 10_000), {"look": costs}, all_of_it)


@pytest.mark.parametrize(
    ("costs", "of_all", "told"),
    [
        ((2.0, 2.0, 2.1), False, False),
        ((2.0, 20.0, 200.0), False, True),
        ((2.0, 20.0, 200.0), True, False),
        ((2.0, 200.0, 20_000.0), True, True),
    ],
)
def test_a_cost_is_told_where_it_grows_faster_than_its_work(
    costs: tuple[float, ...], of_all: bool, told: bool
) -> None:
    sentences = list(curve(*costs, of_all=of_all).faster_than_work())
    assert bool(sentences) is told
    assert all("queue, look" in sentence for sentence in sentences)


def test_the_exponent_is_one_where_ten_times_as_much_costs_ten_times_as_much() -> None:
    assert curve(1.0, 10.0, 100.0).exponent("look") == pytest.approx(1.0)


def test_a_disturbed_round_does_not_count() -> None:
    assert usual([0.001] * 9 + [5.0]) == 1.0


def test_the_figures_of_the_crosswalks_bench_become_a_curve() -> None:
    told = {
        "ms": {
            "5000000": [{"name": "look-up", "median": 1.5, "most": 2.0, "limit": 5.0}],
            "5000": [{"name": "look-up", "median": 1.0, "most": 2.0, "limit": 5.0}],
        },
        "MiB": [106, 107],
    }
    curve = crosswalk_curve(told)
    assert (curve.sizes, curve.costs) == ([5000, 5_000_000], {"look-up": [1.0, 1.5]})
