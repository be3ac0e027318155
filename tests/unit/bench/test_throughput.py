"""What the bench of a whole site takes for missed, and how it leaves the plugin out."""

from __future__ import annotations

import pytest

from throughput.bare_phi import without_plugin
from throughput.clock import Lap
from throughput.figures import Intake, Load, Whole


def load(delivered: float, posted: float, orthanc: float) -> Load:
    laps = (Lap(100, 100 / rate) for rate in (50.0, delivered, posted, orthanc))
    return Load("1 x 100", *laps)


@pytest.mark.parametrize(
    ("rates", "missed"),
    [((40.0, 50.0, 20.0), 0), ((39.0, 50.0, 19.0), 1), ((40.0, 50.0, 21.0), 1), ((10, 50, 50), 2)],
)
def test_delivery_is_measured_by_posting_and_by_orthancs_own_way(
    rates: tuple[float, float, float], missed: int
) -> None:
    assert len(list(load(*rates).missed())) == missed


@pytest.mark.parametrize(("with_plugin", "missed"), [(95.0, 0), (94.0, 1)])
def test_the_best_turn_with_the_plugin_counts_against_the_best_without(
    with_plugin: float, missed: int
) -> None:
    slow = Lap(100, 100.0)
    intake = Intake([Lap(100, 100 / with_plugin), slow], [slow, Lap(100, 1.0)])
    assert len(list(intake.missed())) == missed


@pytest.mark.parametrize(("seconds", "missed"), [(14.0, 0), (14.1, 1)])
def test_the_whole_way_may_take_its_parts_and_two_seconds(seconds: float, missed: int) -> None:
    whole = Whole(Lap(300, seconds), stored=5.0, delivered=5.0, stable_age=2.0)
    assert len(list(whole.missed())) == missed


def test_the_peer_is_the_same_orthanc_without_the_python_plugin() -> None:
    settings = {
        "Name": "phi",
        "Plugins": ["/x/libOrthancPostgreSQLIndex.so", "/x/libOrthancPython.so"],
        "Python": {"AllowThreads": True},
        "PythonScript": "/etc/orthanc/plugins/mod_phi.py",
    }
    assert without_plugin(settings, {"anon": {}}) == {
        "Name": "phi",
        "Plugins": ["/x/libOrthancPostgreSQLIndex.so"],
        "OrthancPeers": {"anon": {}},
    }
