# SPDX-License-Identifier: GPL-3.0-or-later
"""Instances that flow through the tests' site while something breaks, and what became of each."""

from __future__ import annotations

import hashlib
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from typing import NamedTuple

import httpx
from pydicom import Dataset, dcmread

import deployed
from planted import planted_study

SUCCESS = 0x0000
RESEND_SECONDS = 2.0
# A worker may wait this long before it tries a destination again.
ARRIVAL_SECONDS = 420.0


class Outcome(NamedTuple):
    """How many instances were sent, arrived, are missing, too many, or not anonymized."""

    sent: int
    delivered: int
    lost: int
    duplicated: int
    unanonymized: int

    @property
    def is_whole(self) -> bool:
        """Tell whether each instance arrived once and anonymized on each destination."""
        return self == Outcome(self.sent, self.sent, 0, 0, 0)


class _Held(NamedTuple):
    """An instance at a destination."""

    uid: str
    pixels: str
    clean: bool


@dataclass
class Flow:
    """Studies that a scanner sends in a thread of its own, and sends again until PHI takes them.

    Args:
        studies, size: how many studies, and how many instances in each.
        order: shuffles the instances of each study; None keeps their order.
        times: how often each instance is sent.

    Attributes:
        refused: whether PHI has refused anything yet, or did not answer.
    """

    studies: int = 10
    size: int = 30
    order: random.Random | None = None
    times: int = 1
    refused: bool = field(init=False, default=False)
    _sent: list[list[Dataset]] = field(default_factory=list)
    _planted: list[str] = field(default_factory=list)
    _thread: threading.Thread = field(init=False)

    def __enter__(self) -> Flow:
        for number in range(self.studies):
            instances, planted = planted_study("CT_small.dcm", self.size)
            for place, instance in enumerate(instances):
                # No two images are alike, so that each can be told by its pixels.
                mark = f"{number:04d}{place:04d}".encode()
                instance.PixelData = mark + instance.PixelData[len(mark) :]
            self._sent.append(instances)
            self._planted += planted
        self._thread = threading.Thread(target=self._send, name="scanner")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join()

    @property
    def study_uids(self) -> list[str]:
        """The Study Instance UIDs as the scanner made them."""
        return [str(instances[0].StudyInstanceUID) for instances in self._sent]

    def _send(self) -> None:
        for instances in self._sent:
            waiting = instances * self.times
            if self.order:
                self.order.shuffle(waiting)
            while waiting:
                statuses = deployed.send(waiting)
                statuses += [None] * (len(waiting) - len(statuses))
                waiting = [
                    one for one, status in zip(waiting, statuses, strict=True) if status != SUCCESS
                ]
                if waiting:
                    self.refused = True
                    time.sleep(RESEND_SECONDS)

    def reasons(self) -> list[str]:
        """Return why studies are in their states now, as far as PHI tells."""
        return [str(deployed.state(uid).get("reason") or "") for uid in self.study_uids]

    def outcome(self) -> Outcome:
        """Wait until everything arrived, or nothing more can be expected, and compare it.

        PHI must still hold each instance as it was sent. Anon and Disk must hold its pixels once,
        under the same new SOP Instance UID.
        """
        self._thread.join()
        expected = Counter(_pixels(one) for study in self._sent for one in study)
        deadline = time.monotonic() + ARRIVAL_SECONDS
        while self._arrived() != (expected.total(),) * 2 and time.monotonic() < deadline:
            time.sleep(2)
        uids = list(self._new_uids())
        held = [
            [self._look(data) for uid in uids for data in deployed.files_on("anon", uid)],
            [self._look(path.read_bytes()) for u in uids for path in deployed.files_on_disk(u)],
        ]
        kept = Counter(_sent(data) for u in self.study_uids for data in deployed.files_on("phi", u))
        lost_at_source = Counter(_names(one) for study in self._sent for one in study) - kept
        new_uids = [{one.uid for one in files} for files in held]
        counts = [Counter(one.pixels for one in files) for files in held]
        return Outcome(
            sent=expected.total(),
            delivered=min((expected & count).total() for count in counts),
            lost=max((expected - count).total() for count in counts)
            + lost_at_source.total()
            + len(new_uids[0] ^ new_uids[1]),
            duplicated=max((count - expected).total() for count in counts),
            unanonymized=sum(not one.clean for files in held for one in files),
        )

    def _arrived(self) -> tuple[int, int]:
        """Count what is on Anon and in the tree of Disk; nothing while one does not answer."""
        try:
            uids = list(self._new_uids())
            return (
                sum(len(deployed.instances_on("anon", uid)) for uid in uids),
                sum(len(deployed.files_on_disk(uid)) for uid in uids),
            )
        except (httpx.HTTPError, ValueError):
            return 0, 0

    def _new_uids(self) -> Iterator[str]:
        for uid in self.study_uids:
            told = deployed.state(uid)
            if new := told.get("anonymous_study_uid"):
                yield str(new)

    def _look(self, data: bytes) -> _Held:
        """Return what tells an instance from others, and whether nothing planted is in it."""
        dataset = dcmread(BytesIO(data))
        clean = dataset.get("PatientIdentityRemoved") == "YES" and not any(
            text.encode() in data for text in self._planted
        )
        return _Held(str(dataset.SOPInstanceUID), _pixels(dataset), clean)


def _names(dataset: Dataset) -> tuple[str, str]:
    return str(dataset.SOPInstanceUID), _pixels(dataset)


def _sent(data: bytes) -> tuple[str, str]:
    return _names(dcmread(BytesIO(data)))


def _pixels(dataset: Dataset) -> str:
    return hashlib.sha256(dataset.PixelData).hexdigest()
