# SPDX-License-Identifier: GPL-3.0-or-later
"""Instances wait for each other where memory would not do for all of them."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orthanc_deid.memory_room import LIMITS, OWN, TIMES, UNLIMITED, MemoryRoom


@settings(deadline=None, max_examples=30)
@given(sizes=st.lists(st.integers(0, 150), max_size=40))
def test_no_more_is_worked_on_than_there_is_room_for_and_all_of_it_in_the_end(
    sizes: list[int],
) -> None:
    room, lock = MemoryRoom(100), threading.Lock()
    under_way: list[int] = []
    seen: list[int] = []

    def work(size: int) -> None:
        with room.hold(size):
            with lock:
                under_way.append(size)
                assert sum(under_way) <= 100 or len([one for one in under_way if one]) == 1
            with lock:
                under_way.remove(size)
                seen.append(size)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, sizes))
    assert sorted(seen) == sorted(sizes)


def test_a_failure_gives_the_room_back() -> None:
    room = MemoryRoom(100)
    with pytest.raises(OSError, match="full"), room.hold(100):
        raise OSError("full")
    with ThreadPoolExecutor(1) as threads:

        def again() -> bool:
            with room.hold(100):
                return True

        assert threads.submit(again).result(timeout=5)


@pytest.mark.parametrize(
    ("told", "size"),
    [(OWN + 10 * TIMES, 10), ("max", UNLIMITED), (OWN // 2, 0), (2**63 - 4096, UNLIMITED)],
)
@pytest.mark.parametrize("name", LIMITS)
def test_the_room_follows_from_the_containers_limit(
    tmp_path: Path, name: str, told: object, size: int
) -> None:
    assert MemoryRoom.of_container(tmp_path).size == UNLIMITED
    limit = tmp_path / name
    limit.parent.mkdir(exist_ok=True)
    limit.write_text(f"{told}\n")
    assert MemoryRoom.of_container(tmp_path).size == size
