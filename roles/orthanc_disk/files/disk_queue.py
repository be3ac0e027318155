# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep the tree complete: find the studies with something to write, and write them in one thread.

Nothing depends on an event. The writer follows Orthanc's log of changes, which is written in the
transaction that stores an instance, from a position kept in a file of the tree. The position and
the studies still to be written are saved together, so a process that dies repeats a little and
misses nothing. An audit, once a day and where that file is missing, compares all studies with what
was recorded of them.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from disk_removal import Removal, remove
from disk_state import (
    STATE_FILE,
    Change,
    Index,
    IndexUnavailableError,
    Pending,
    Record,
    State,
    UnknownStudyError,
)
from disk_writer import (
    Planned,
    Result,
    Tree,
    TreeProblemError,
    remove_leftovers,
    study_folder,
)

# Concurrent transactions can log a change behind one that was already read; within this many
# seconds the log is read again.
OVERLAP = 60.0
AUDIT_EVERY = 86400.0
AUDIT_STEP = 100  # studies looked at between two writes
AUDIT_PAUSE = 0.05
POLL = 30.0
FOLLOW_EVERY = 2.0
LONGEST_DELAY = 3600.0
# The list of what is pending is saved before each study; with more than this the log and the audit
# wait. Nothing is lost by it, the position in the log waits, too.
PENDING_LIMIT = 5000

Done = TypeVar("Done")


@dataclass(frozen=True, slots=True)
class Log:
    """Where the writer tells what a person should know."""

    error: Callable[[str], object]
    warning: Callable[[str], object]


class Queue:
    """The writer thread and its queue.

    Args:
        tree: Where to write.
        index: What Orthanc holds.
        log: Where to tell of problems.
        settle: Seconds without a new instance before a study is written by itself.
        retry: Seconds between attempts while the tree cannot be written.
    """

    def __init__(
        self, tree: Tree, index: Index, log: Log, settle: float = 60.0, retry: float = 30.0
    ) -> None:
        self.problem: str | None = None
        self._tree, self._index, self._log = tree, index, log
        self._settle, self._retry = settle, retry
        self._state_path = tree.root / STATE_FILE
        self._state = State()
        self._changed = False
        self._seen: dict[int, float] = {}
        self._urgent: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._followed = self._follow_at = 0.0
        self._audit: Iterator[None] | None = None
        self._resume_at = 0.0
        self._thread = threading.Thread(target=self._run, name="disk-writer", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, timeout: float = 60.0) -> None:
        """End after the file that is being written; the rest is written after the next start."""
        self._stop.set()
        self._wake.set()
        self._thread.join(timeout)

    def wake(self) -> None:
        """Look at the log of changes soon."""
        self._follow_at = min(self._follow_at, self._followed + FOLLOW_EVERY)
        self._wake.set()

    def write_now(self, study_id: str) -> Result:
        """Write a study before all others, and wait for it.

        Raises:
            UnknownStudyError: Orthanc does not hold it.
            IndexUnavailableError: Orthanc cannot read its index, or is about to stop.
            TreeProblemError: The tree cannot be written.
        """
        return self._have_done(lambda: self._write(study_id))

    def remove_now(self, study_id: str) -> Removal:
        """Remove a study's files from the tree, then the study from Orthanc, and wait for it.

        Raises:
            UnknownStudyError: Orthanc does not hold it.
            IndexUnavailableError: Orthanc cannot read its index, or is about to stop.
            TreeProblemError: the tree cannot be changed.
        """
        return self._have_done(lambda: self._remove(study_id))

    def _have_done(self, act: Callable[[], Done]) -> Done:
        """Have the writer's thread do something before all else, and wait for it."""
        future: Future[Done] = Future()
        self._urgent.append((act, future))
        self._wake.set()
        while self._thread.is_alive():
            with suppress(TimeoutError):
                return future.result(timeout=1.0)
        raise IndexUnavailableError("the writer of the tree does not run")

    def look(self, study_id: str) -> Result:
        """Tell what of a study is in the tree."""
        study = self._index.study(study_id)
        return self._tree.look(self._tree.plan(study, self._recorded(study_id)))

    def status(self) -> dict[str, Any]:
        """How many studies are to be written, what is in the way, and how much space is left."""
        free: int | None = None
        with suppress(OSError):
            space = os.statvfs(self._tree.root)
            free = space.f_bavail * space.f_frsize
        return {"pending": len(self._state.pending), "problem": self.problem, "free_bytes": free}

    def _run(self) -> None:
        try:
            self._begin()
            while not self._stop.is_set():
                self._turn()
        finally:
            with suppress(OSError):
                self._save()

    def _begin(self) -> None:
        self._state = State.load(self._state_path)
        if self._state.writing:
            for where, _, _ in os.walk(self._tree.below(self._state.writing)):
                with suppress(OSError):
                    remove_leftovers(Path(where))
        if self._state.template != self._fingerprint:
            self._state.template, self._state.audited = self._fingerprint, 0.0

    def _turn(self) -> None:
        try:
            self._answer_urgent()
            self._follow()
            self._audit_step()
            self._write_next()
            if self._changed:
                with suppress(OSError):
                    self._save()
        except IndexUnavailableError:
            self._tell("Orthanc's index does not answer. Writing resumes by itself")
            self._stop.wait(min(self._retry, 5.0))
        except Exception as error:
            # The thread must outlive what nobody thought of. Not the text: it may hold a value.
            self._tell(f"the writer met an unexpected {type(error).__name__} and goes on")
            self._stop.wait(min(self._retry, 5.0))
        else:
            self._wake.wait(self._idle())
            self._wake.clear()

    def _idle(self) -> float:
        pending = self._state.pending
        if self._urgent:
            return 0.0
        if self._audit is not None and len(pending) < PENDING_LIMIT:
            return 0.0 if self._due() else AUDIT_PAUSE
        due = [max(entry.due, self._resume_at) for entry in pending.values()]
        return max(0.0, min([self._follow_at, *due]) - time.monotonic())

    def _answer_urgent(self) -> None:
        while self._urgent and not self._stop.is_set():
            act, future = self._urgent.popleft()
            try:
                future.set_result(act())
            except Exception as error:
                future.set_exception(error)

    def _follow(self) -> None:
        now, wall = time.monotonic(), time.time()
        if now < self._follow_at:
            return
        self._followed, self._follow_at = now, now + POLL
        last = self._index.last_change()
        if self._state.cursor is None or self._state.cursor > last:
            # No state, or Orthanc's index was made anew: the audit finds what lies before.
            self._state.cursor, self._state.audited, self._seen = last, 0.0, {}
            self._changed = True
        cursor, at_end = self._state.cursor, False
        while not at_end and len(self._state.pending) < PENDING_LIMIT:
            changes, cursor, at_end = self._index.changes(cursor)
            for change in changes:
                if change.sequence not in self._seen:
                    self._mark(change, wall)
                    self._seen[change.sequence] = change.time
            self._advance(wall - OVERLAP)

    def _mark(self, change: Change, wall: float) -> None:
        if change.instance is None:
            return
        delay = max(0.0, min(change.time, wall) + self._settle - wall)
        with suppress(UnknownStudyError):
            study_id = self._index.study_of(change.instance)
            self._state.pending[study_id] = Pending(time.monotonic() + delay)
            self._changed = True

    def _advance(self, before: float) -> None:
        """Move the position to the last change that is old enough for none to appear before it."""
        recent = min((s for s, when in self._seen.items() if when >= before), default=None)
        old = (s for s in self._seen if recent is None or s < recent)
        cursor = max(old, default=None)
        if cursor is not None:
            self._state.cursor, self._changed = cursor, True
            self._seen = {place: when for place, when in self._seen.items() if place > cursor}

    def _audit_step(self) -> None:
        if self._audit is None and time.time() - self._state.audited >= AUDIT_EVERY:
            self._audit = self._audit_all()
        if self._audit is None or len(self._state.pending) >= PENDING_LIMIT:
            return
        try:
            ended = next(self._audit, self) is self
        except IndexUnavailableError:
            self._audit = None
            raise
        if ended:
            self._audit = None
            self._state.audited, self._changed = time.time(), True

    def _audit_all(self) -> Iterator[None]:
        since = 0
        while page := self._index.studies(since, AUDIT_STEP):
            since += len(page)
            for study_id in page:
                with suppress(UnknownStudyError):
                    record = self._index.record(study_id)
                    wanted = (self._fingerprint, self._index.count(study_id))
                    if record is None or (record.template, record.instances) != wanted:
                        # It may still be arriving: a change in the log says since when.
                        due = time.monotonic() + self._settle
                        self._state.pending.setdefault(study_id, Pending(due))
                        self._changed = True
            yield

    def _due(self) -> str | None:
        """The study to be written next, if it is time."""
        pending, now = self._state.pending, time.monotonic()
        study_id = min(pending, key=lambda study: pending[study].due, default=None)
        if study_id is None or max(pending[study_id].due, self._resume_at) > now:
            return None
        return study_id

    def _write_next(self) -> None:
        study_id = self._due()
        try:
            if study_id is not None:
                self._write(study_id)
        except IndexUnavailableError:
            raise
        except Exception:  # the study is postponed or gone; the others go on
            self._judge()
        else:
            self._judge()

    def _write(self, study_id: str) -> Result:
        """Write a study and settle its place in the queue."""
        pending = self._state.pending
        known = study_id in pending
        try:
            study, recorded = self._index.study(study_id), self._recorded(study_id)
            pending.setdefault(study_id, Pending(time.monotonic()))
            planned = self._tree.plan(study, recorded)
            self._note_writing(planned)
            result = self._tree.write(planned, self._read)
            self._settle_study(study_id, result)
        except UnknownStudyError:
            pending.pop(study_id, None)
            self._changed = self._changed or known
            raise
        except TreeProblemError as error:
            self._keep_folder(study_id, error.result)
            if error.stops_all:
                self._resume_at = time.monotonic() + self._retry
                self._postpone(study_id, "")
                self._tell(str(error))
            else:
                self._postpone(study_id, str(error))
            raise
        except IndexUnavailableError:
            raise
        except Exception as error:
            self._postpone(study_id, f"unexpected {type(error).__name__}")
            raise
        return result

    def _remove(self, study_id: str) -> Removal:
        study, record = self._index.study(study_id), self._index.record(study_id)
        planned = self._tree.plan(study, self._recorded(study_id))
        uid = study.tags["StudyInstanceUID"]
        try:
            removal = remove(self._tree, planned, uid, record.folder if record else None)
        except OSError as error:
            result = Result(study_folder(planned), len(planned))
            raise self._tree.problem(error, result.folder, result) from error
        self._index.delete(study_id)
        self._changed = self._state.pending.pop(study_id, None) is not None or self._changed
        return removal

    def _read(self, instance_id: str) -> bytes:
        if self._stop.is_set():
            raise IndexUnavailableError("Orthanc is about to stop")
        return self._index.read(instance_id)

    def _note_writing(self, planned: list[Planned]) -> None:
        """Save, before the first file, what a killed process leaves to be done and cleaned."""
        folder = study_folder(planned)
        self._state.writing = folder
        try:
            self._save()
        except OSError as error:
            raise self._tree.problem(error, STATE_FILE, Result(folder, len(planned))) from error

    def _settle_study(self, study_id: str, result: Result) -> None:
        self._state.writing, self._changed = "", True
        self._resume_at = 0.0
        complete = result.present == result.instances
        self._keep_folder(study_id, result)
        if complete:
            del self._state.pending[study_id]
        else:
            self._postpone(study_id, "some of its files are refused")
        self._judge()

    def _keep_folder(self, study_id: str, result: Result) -> None:
        """Record how many instances are in the tree; the folder stays from the first file on."""
        if result.present:
            record = Record(result.folder, result.present, self._fingerprint)
            self._index.keep_record(study_id, record)

    def _postpone(self, study_id: str, problem: str) -> None:
        attempts = self._state.pending[study_id].attempts if problem else 0
        delay = min(self._retry * 2.0**attempts, LONGEST_DELAY)
        self._state.pending[study_id] = Pending(
            time.monotonic() + delay, min(attempts + 1, 16), problem
        )

    def _judge(self) -> None:
        """Tell how the studies stand, unless the tree as a whole cannot be written."""
        if time.monotonic() < self._resume_at:
            return
        problems = [entry.problem for entry in self._state.pending.values() if entry.problem]
        if problems:
            self._tell(
                f"{len(problems)} studies are not complete in the tree, one of them because: "
                f"{min(problems)}. POST /disk/studies/{{id}}/write tells more"
            )
        elif self.problem:
            self.problem = None
            self._log.warning("Disk tree: writing goes on without a problem")

    def _tell(self, problem: str) -> None:
        if problem != self.problem:
            self.problem = problem
            self._log.error(f"Disk tree: {problem}")

    def _recorded(self, study_id: str) -> str | None:
        record = self._index.record(study_id)
        return record.folder if record and record.template == self._fingerprint else None

    @property
    def _fingerprint(self) -> str:
        return self._tree.template.fingerprint

    def _save(self) -> None:
        self._state.save(self._state_path)
        self._changed = False
