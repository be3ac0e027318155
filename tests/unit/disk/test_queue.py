"""The tree becomes complete by itself, whatever was missed, killed or full before."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest

import disk_queue
from disk_queue import Log, Queue
from disk_state import STATE_FILE, Change, IndexUnavailableError, Record, UnknownStudyError
from disk_tree import parse_template
from disk_writer import Study, Tree, TreeProblemError

from .conftest import Files


class FakeOrthanc:
    """An index in memory that answers as Orthanc's REST API does."""

    def __init__(self, files: Files) -> None:
        self.files = files
        self.held: dict[str, Study] = {}
        self.records: dict[str, Record] = {}
        self.log: list[Change] = []
        self.down = False
        self.read_gate = threading.Event()
        self.read_gate.set()
        self.reads = 0

    def store(self, study: Study, *, log: bool = True, age: float = 3600.0) -> None:
        self.held[study.id] = study
        for instance in [i for series in study.series for i in series.instances]:
            self.log += [Change(self._place(), time.time() - age, instance.id)] if log else []

    def _place(self) -> int:
        return self.log[-1].sequence + 1 if self.log else 1

    def _check(self) -> None:
        if self.down:
            raise IndexUnavailableError

    def study(self, study_id: str) -> Study:
        self._check()
        if study_id not in self.held:
            raise UnknownStudyError
        return self.held[study_id]

    def read(self, instance_id: str) -> bytes:
        self._check()
        self.reads += 1
        assert self.read_gate.wait(30)
        return self.files.data[instance_id]

    def changes(self, since: int) -> tuple[list[Change], int, bool]:
        self._check()
        page = sorted((c for c in self.log if c.sequence > since), key=lambda c: c.sequence)
        return page[:3], page[:3][-1].sequence if page else since, len(page) <= 3

    def study_of(self, instance_id: str) -> str:
        for study in self.held.values():
            if any(i.id == instance_id for series in study.series for i in series.instances):
                return study.id
        raise UnknownStudyError

    def last_change(self) -> int:
        self._check()
        return max((change.sequence for change in self.log), default=0)

    def studies(self, since: int, limit: int) -> list[str]:
        self._check()
        return list(self.held)[since : since + limit]

    def count(self, study_id: str) -> int:
        return sum(len(series.instances) for series in self.study(study_id).series)

    def record(self, study_id: str) -> Record | None:
        self._check()
        return self.records.get(study_id)

    def delete(self, study_id: str) -> None:
        self._check()
        self.held.pop(study_id, None)

    def keep_record(self, study_id: str, record: Record) -> None:
        self._check()
        self.records[study_id] = record


class Site:
    """A tree, an Orthanc, and processes that come and go."""

    def __init__(self, tree: Tree, files: Files) -> None:
        self.tree, self.files = tree, files
        self.orthanc = FakeOrthanc(files)
        self.errors: list[str] = []
        self.warnings: list[str] = []
        self.queues: list[Queue] = []

    def start(self, settle: float = 0.0) -> Queue:
        log = Log(self.errors.append, self.warnings.append)
        queue = Queue(self.tree, self.orthanc, log, settle=settle, retry=0.05)
        queue.start()
        self.queues.append(queue)
        return queue

    def written(self) -> int:
        return sum(1 for _ in self.tree.root.rglob("*.dcm"))


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "it did not happen within 20 s"
        time.sleep(0.01)


@pytest.fixture
def site(tree: Tree, files: Files, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr(disk_queue, "POLL", 0.05)
    monkeypatch.setattr(disk_queue, "FOLLOW_EVERY", 0.01)
    made = Site(tree, files)
    yield made
    made.orthanc.read_gate.set()
    for queue in made.queues:
        queue.stop()


def done(queue: Queue) -> bool:
    return queue.status()["pending"] == 0 and queue.problem is None


def test_what_is_stored_is_written_without_any_event(site: Site) -> None:
    queue = site.start()
    site.orthanc.store(site.files.study("1.2.1"))
    site.orthanc.store(site.files.study("1.2.2", PatientName="DEMO^ID000060"))
    until(lambda: site.written() == 4 and done(queue))
    assert site.errors == []


def test_what_was_stored_before_the_first_start_is_written(site: Site) -> None:
    site.orthanc.store(site.files.study("1.2.1"), log=False)
    queue = site.start()
    until(lambda: site.written() == 2 and done(queue))


def test_what_was_stored_while_the_writer_did_not_run_is_written(site: Site) -> None:
    site.orthanc.store(site.files.study("1.2.1"))
    queue = site.start()
    until(lambda: site.written() == 2 and done(queue))
    queue.stop()
    site.orthanc.store(site.files.study("1.2.2"))
    queue = site.start()
    until(lambda: site.written() == 4 and done(queue))


def test_a_complete_site_is_not_read_again_after_a_restart(site: Site) -> None:
    site.orthanc.store(site.files.study("1.2.1"))
    queue = site.start()
    until(lambda: site.written() == 2 and done(queue))
    queue.stop()
    reads = site.orthanc.reads
    site.orthanc.store(site.files.study("1.2.2"))
    queue = site.start()
    until(lambda: site.written() == 4 and done(queue))
    assert site.orthanc.reads == reads + 2


def test_a_change_that_appears_behind_a_later_one_is_not_missed(site: Site) -> None:
    late, early = site.files.study("1.2.1"), site.files.study("1.2.2")
    site.orthanc.held = {late.id: late, early.id: early}
    queue = site.start()
    until(lambda: done(queue) and site.written() == 4)
    for uid, place in (("1.2.8", 20), ("1.2.9", 10)):
        study = site.files.study(uid)
        site.orthanc.held[study.id] = study
        site.orthanc.log.append(Change(place, time.time(), study.series[0].instances[0].id))
        until(partial(site.orthanc.records.get, study.id))


def test_a_study_is_written_when_nothing_came_for_a_while(site: Site) -> None:
    queue = site.start(settle=3600.0)
    site.orthanc.store(site.files.study("1.2.1"), age=0.0)
    until(lambda: queue.status()["pending"] == 1)
    site.orthanc.store(site.files.study("1.2.2"), age=3601.0)
    until(lambda: site.written() == 2)
    until(lambda: queue.status()["pending"] == 1)


def test_a_study_asked_for_is_written_at_once_and_answered(site: Site) -> None:
    queue = site.start(settle=3600.0)
    study = site.files.study("1.2.1")
    site.orthanc.store(study, age=0.0)
    assert queue.look(study.id).present == 0
    result = queue.write_now(study.id)
    assert (result.instances, result.present, result.written) == (2, 2, 2)
    assert queue.look(study.id).present == 2
    with pytest.raises(UnknownStudyError):
        queue.write_now("unknown")


def test_many_requests_for_one_study_write_it_once(site: Site) -> None:
    study = site.files.study("1.2.1")
    site.orthanc.store(study)
    queue = site.start()
    written = []
    threads = [
        threading.Thread(target=lambda: written.append(queue.write_now(study.id).written))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(written) in {0, 2}
    assert site.written() == 2


def test_a_full_disk_alarms_once_and_resumes_without_loss(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = site.start()
    until(lambda: done(queue))
    with monkeypatch.context() as patch:
        real, calls = os.fchmod, []

        def full(*arguments: int) -> None:
            calls.append(arguments)
            if arguments[1] != 0o600:
                raise OSError(errno.ENOSPC, "full")
            real(*arguments)

        patch.setattr(os, "fchmod", full)
        for number in range(3):
            site.orthanc.store(site.files.study(f"1.2.{number}"))
        until(lambda: sum(mode != 0o600 for _, mode in calls) > 4)
        assert "full" in str(queue.problem)
        with pytest.raises(TreeProblemError):
            queue.write_now("study-1.2.0")
        assert site.written() == 0
        assert len(site.errors) == 1
    until(lambda: site.written() == 6 and done(queue))
    assert len(site.errors) == 1
    assert len(site.warnings) == 1


def test_a_study_that_cannot_be_written_does_not_hold_up_the_others(site: Site) -> None:
    (site.tree.root / "1_50").write_text("a file in the way")
    site.orthanc.store(site.files.study("1.2.1"))
    site.orthanc.store(site.files.study("1.2.2", PatientName="DEMO^ID000060"))
    queue = site.start()
    until(lambda: site.written() == 2 and queue.problem)
    (site.tree.root / "1_50").unlink()
    until(lambda: site.written() == 4 and done(queue))


def test_an_index_that_is_down_is_waited_for(site: Site) -> None:
    site.orthanc.down = True
    queue = site.start()
    site.orthanc.store(site.files.study("1.2.1"))
    until(lambda: "index" in str(queue.problem))
    site.orthanc.down = False
    until(lambda: site.written() == 2 and done(queue))


def test_a_study_deleted_in_orthanc_leaves_the_queue_and_keeps_its_files(site: Site) -> None:
    study = site.files.study("1.2.1")
    site.orthanc.store(study, age=0.0)
    queue = site.start(settle=0.5)
    until(lambda: queue.status()["pending"] == 1)
    del site.orthanc.held[study.id]
    until(lambda: done(queue))
    assert site.written() == 0


def test_stopping_in_the_middle_of_a_study_finishes_it_after_the_next_start(site: Site) -> None:
    study = site.files.study("1.2.1", site.files.series("1.2.1", "1.2.3", 30))
    site.orthanc.store(study)
    site.orthanc.read_gate.clear()
    queue = site.start()
    until(lambda: site.orthanc.reads >= 1)
    stopper = threading.Thread(target=queue.stop)
    stopper.start()
    site.orthanc.read_gate.set()
    stopper.join()
    assert site.written() < 30
    queue = site.start()
    until(lambda: site.written() == 30 and done(queue))


def test_a_killed_writer_leaves_a_state_from_which_all_is_finished_and_cleaned(site: Site) -> None:
    study = site.files.study("1.2.1")
    site.orthanc.held[study.id] = study
    folder = site.tree.root / "1_50/7/DEMO/20240102101112CT/DicomData/sDeleted"
    folder.mkdir(parents=True)
    (folder / ".orthanc-0011223344556677.part").write_bytes(b"half")
    (site.tree.root / STATE_FILE).write_text(
        json.dumps(
            {
                "cursor": 0,
                "template": site.tree.template.fingerprint,
                "audited": time.time(),
                "pending": [study.id],
                "writing": "1_50/7/DEMO/20240102101112CT",
            }
        )
    )
    queue = site.start()
    until(lambda: site.written() == 2 and done(queue))
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("damage", ["", "{}", "null", '{"cursor": "x"}'])
def test_a_damaged_state_is_made_anew_by_an_audit(site: Site, damage: str) -> None:
    site.orthanc.store(site.files.study("1.2.1"), log=False)
    (site.tree.root / STATE_FILE).write_text(damage)
    queue = site.start()
    until(lambda: site.written() == 2 and done(queue))


def test_another_template_writes_everything_again(site: Site) -> None:
    site.orthanc.store(site.files.study("1.2.1"), log=False)
    queue = site.start()
    until(lambda: site.written() == 2 and done(queue))
    queue.stop()
    template = parse_template("flat/<SOPInstanceUID>.dcm", site.tree.template.pseudonym.pattern)
    site.tree = dataclasses.replace(site.tree, template=template)
    queue = site.start()
    until(lambda: len(list((site.tree.root / "flat").glob("*.dcm"))) == 2 and done(queue))


def test_a_study_is_removed_from_the_tree_and_then_from_orthanc(site: Site) -> None:
    queue = site.start()
    site.orthanc.store(site.files.study("1.2.1"))
    site.orthanc.store(site.files.study("1.2.2", PatientName="DEMO^ID000060"))
    until(lambda: site.written() == 4 and done(queue))
    removal = queue.remove_now("study-1.2.1")
    assert (removal.removed, removal.left) == (2, [])
    assert site.written() == 2
    assert list(site.orthanc.held) == ["study-1.2.2"]
    with pytest.raises(UnknownStudyError):
        queue.remove_now("study-1.2.1")
