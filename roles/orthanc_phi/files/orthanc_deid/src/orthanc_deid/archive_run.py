# SPDX-License-Identifier: GPL-3.0-or-later
"""Work through a directory tree with all cores of this machine, or with many machines."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

from orthanc_deid.archive import Amount
from orthanc_deid.archive_look import look_through
from orthanc_deid.archive_queue import open_jobs, queue_parameters, serve
from orthanc_deid.archive_settings import RunSettings, Workplace
from orthanc_deid.errors import DeidError

_AHEAD: Final = 4  # studies that wait for each process, so that none stands idle
_LOOK_SECONDS: Final = 2.0  # between two looks at how far all machines are
_PAUSE_SECONDS: Final = 1.0

Progress = Callable[[str, Amount, Amount], None]
"""Is told the step, how much of it is done, and how much there is; nothing while that is open."""

LOOK: Final = "looking through the tree"
WORK: Final = "de-identifying"

_workplace: Workplace | None = None


def _start(settings: RunSettings) -> None:
    global _workplace  # noqa: PLW0603 - what a process of the pool keeps from study to study
    _workplace = Workplace(settings)


def _here() -> Workplace:
    assert _workplace is not None  # noqa: S101 - the pool has called _start
    return _workplace


def _do(study_id: int) -> Amount:
    _here().do(study_id)
    return _here().archive.amount_of(study_id)


def _serve(parameters: dict[str, Any]) -> None:
    serve(_here(), parameters)


class _Here(Executor):
    """Does at once, in this process, what it is given: one process needs no others."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Return the future of what is done already."""
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


@contextmanager
def pool_of(place: Workplace, settings: RunSettings, jobs: int) -> Iterator[Executor]:
    """Open processes that read files and de-identify studies.

    They are begun anew rather than forked: a fork would share the database's connection.

    Raises:
        DeidError: one of them died, such as for want of memory.
    """
    if jobs == 1:
        global _workplace  # noqa: PLW0603 - as in _start
        _workplace = place
        yield _Here()
        return
    context = get_context("spawn")
    with ProcessPoolExecutor(jobs, context, _start, (settings,)) as pool:
        try:
            yield pool
        except BrokenProcessPool:
            raise DeidError(
                "a process of the run died, perhaps for want of memory (see --jobs); "
                "run the same command again, and it goes on where it was"
            ) from None
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


@contextmanager
def locked(out_dir: Path, *, shared: bool) -> Iterator[None]:
    """Keep other runs out of a directory, or only those that do not share it.

    Raises:
        DeidError: another run works there.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(out_dir, os.O_RDONLY)
    try:
        _lock(descriptor, out_dir, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, out_dir: Path, kind: int) -> None:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        raise DeidError(
            f"another run writes to OUT_DIR {out_dir}; wait for its end, or give the same command "
            "with --enqueue on each machine to share the work"
        ) from None
    except OSError:
        return  # some network file systems have no locks of directories


def work_here(
    place: Workplace, pool: Executor, progress: Progress, *, jobs: int, again: bool
) -> None:
    """Work through the tree with the processes of a pool."""
    _look(place, pool, progress, again=again)
    total, done = place.archive.amount("waiting"), Amount()
    progress(WORK, done, total)
    waiting = place.archive.waiting()
    pending = {pool.submit(_do, number) for number in islice(waiting, jobs * _AHEAD)}
    while pending:
        ended, pending = wait(pending, return_when=FIRST_COMPLETED)
        for future in ended:
            done = Amount(*map(sum, zip(done, future.result(), strict=True)))
        pending |= {pool.submit(_do, number) for number in islice(waiting, len(ended))}
        progress(WORK, done, total)


def work_with_others(
    place: Workplace, pool: Executor, progress: Progress, *, jobs: int, again: bool
) -> None:
    """Work through the tree with all processes on all machines that were given the same command.

    The first one looks through the tree and queues the studies; the others begin with these.
    """
    parameters = queue_parameters(place.crosswalk.engine.url)
    with open_jobs(parameters, place.archive, place.crosswalk.engine) as queue:
        with queue.alone():
            if again or not place.archive.is_under_way():
                _look(place, pool, progress, again=again)
            queue.put_waiting()
        total = place.archive.amount("waiting")
        while (left := place.archive.amount("waiting")).studies:
            serving = {pool.submit(_serve, parameters) for _ in range(jobs)}
            while serving:
                ended, serving = wait(serving, timeout=_LOOK_SECONDS)
                for future in ended:
                    future.result()
                left = place.archive.amount("waiting")
                progress(WORK, _minus(total, left), total)
            # What is left is under work elsewhere, or was when its machine died.
            queue.put_abandoned()
            time.sleep(_PAUSE_SECONDS if place.archive.amount("waiting").studies else 0)
        queue.put_abandoned()
        progress(WORK, total, total)


def _look(place: Workplace, pool: Executor, progress: Progress, *, again: bool) -> None:
    def tell(seen: int) -> None:
        progress(LOOK, Amount(files=seen), Amount())

    look_through(place.archive, place.tree, pool, tell, again=again)


def _minus(total: Amount, left: Amount) -> Amount:
    return Amount(*(max(0, one - other) for one, other in zip(total, left, strict=True)))
