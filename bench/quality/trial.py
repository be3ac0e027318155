# SPDX-License-Identifier: GPL-3.0-or-later
"""One file given to every anonymizer, and the sum of what became of all files."""

from __future__ import annotations

import contextlib
import io
import logging
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from orthanc_deid.errors import Quarantine

from .anonymizers import Anonymizer
from .corpus import Sample
from .judgement import judge, split_or_collided
from .planting import Planted, plant, without_pixels
from .validator import new_errors

FINDINGS: Final = ("leaks", "wrong", "lost", "errors", "pixels", "uids", "dates")


@dataclass
class Result:
    """What an anonymizer did with one file, or the sum over all of them.

    Attributes:
        name, version: of the anonymizer.
        files, tokens, judged: how many files, planted tokens and attributes were looked at.
        quarantined: how often it refused, by its code.
        failed: how often it raised anything else, by the kind of error.
        findings: for each of `FINDINGS`, how often it was found where.
        uid_pairs: every old UID with its new one.
        seconds: time that it took for planted files.
    """

    name: str
    version: str
    files: int = 0
    tokens: int = 0
    judged: int = 0
    quarantined: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    findings: dict[str, Counter[str]] = field(
        default_factory=lambda: {name: Counter() for name in FINDINGS}
    )
    uid_pairs: set[tuple[str, str]] = field(default_factory=set)
    seconds: float = 0.0

    @classmethod
    def of(cls, anonymizer: Anonymizer) -> Result:
        """Begin the sum of what an anonymizer does."""
        return cls(anonymizer.name, anonymizer.version)

    def to_json(self) -> dict[str, Any]:
        """Return all of it in types of JSON."""
        return {**vars(self), "uid_pairs": sorted(self.uid_pairs)}

    @classmethod
    def from_json(cls, saved: dict[str, Any]) -> Result:
        """Read what `to_json` returned."""
        counters = {
            "quarantined": Counter(saved["quarantined"]),
            "failed": Counter(saved["failed"]),
            "findings": {name: Counter(found) for name, found in saved["findings"].items()},
            "uid_pairs": {(old, new) for old, new in saved["uid_pairs"]},
        }
        return cls(**{**saved, **counters})

    def add(self, other: Result) -> None:
        """Add what was done with another file."""
        self.files += other.files
        self.tokens += other.tokens
        self.judged += other.judged
        self.seconds += other.seconds
        self.quarantined += other.quarantined
        self.failed += other.failed
        self.uid_pairs |= other.uid_pairs
        for name, found in other.findings.items():
            self.findings[name] += found

    def compare_files(self) -> None:
        """Count UIDs that were split or collided from one file to another."""
        self.findings["uids"] = Counter(split_or_collided(self.uid_pairs))


def try_file(sample: Sample, first_token: int, anonymizers: list[Anonymizer]) -> list[Result]:
    """Plant tokens in a file, give it to anonymizers, and judge what comes out."""
    planted = plant(sample.data, first_token, unknown_vr=sample.unknown_vr)
    return [_try(sample, planted, anonymizer) for anonymizer in anonymizers]


def _try(sample: Sample, planted: Planted, anonymizer: Anonymizer) -> Result:
    result = Result.of(anonymizer)
    result.files, result.tokens = 1, len(planted.tokens)
    output = _run(anonymizer, planted.data, result)
    if output is None and result.quarantined:
        # Its pixels need a person; its attributes are judged all the same.
        planted = Planted(without_pixels(planted.data), planted.tokens)
        output = _run(anonymizer, planted.data, Result.of(anonymizer))
    if output is None:
        return result
    verdict = judge(planted, output, anonymizer.options)
    result.judged, result.uid_pairs = verdict.judged, verdict.uid_pairs
    found = [*new_errors(planted.data, output), *_plain_errors(sample, anonymizer)]
    for name in FINDINGS:
        told = found if name == "errors" else getattr(verdict, name)
        result.findings[name].update(f"{sample.name}: {text}" for text in told)
    return result


def _plain_errors(sample: Sample, anonymizer: Anonymizer) -> list[str]:
    """Validate the file without tokens too, since those hide errors that it would have."""
    output = _run(anonymizer, sample.data, Result.of(anonymizer))
    return [] if output is None else new_errors(sample.data, output)


def _run(anonymizer: Anonymizer, data: bytes, result: Result) -> bytes | None:
    started = time.perf_counter()
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            return anonymizer.run(data)
    except Quarantine as refused:
        result.quarantined[refused.code] += 1
    except Exception as error:  # a peer raises what it likes
        logging.getLogger(__name__).debug("%s failed", anonymizer.name, exc_info=True)
        result.failed[type(error).__name__] += 1
    finally:
        result.seconds += time.perf_counter() - started
    return None


def summary(result: Result) -> dict[str, Any]:
    """Return the figures of an anonymizer, for JSON."""
    return {
        "name": result.name,
        "version": result.version,
        "files": result.files,
        "tokens": result.tokens,
        "judged": result.judged,
        "quarantined": dict(result.quarantined),
        "failed": dict(result.failed),
        "seconds": round(result.seconds, 1),
        **{name: sum(found.values()) for name, found in result.findings.items()},
        "examples": {
            name: [f"{text} ({count}x)" for text, count in found.most_common(20)]
            for name, found in result.findings.items()
            if found
        },
    }
