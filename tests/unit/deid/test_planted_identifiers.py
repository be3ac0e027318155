# SPDX-License-Identifier: GPL-3.0-or-later
"""Unique tokens planted everywhere in files of each kind: none comes out, and nothing is lost."""

from __future__ import annotations

from functools import cache

import pytest

from orthanc_deid.engine import Engine
from orthanc_deid.errors import Quarantine
from orthanc_deid.profile import load_profile
from quality import expectation
from quality.corpus import Sample, made_samples, real_samples
from quality.judgement import Verdict, judge
from quality.planting import plant, without_pixels

from .instances import KEYS, deidentify

# The bench takes all files; these differ in encoding, character set and kind.
REAL = (
    "CT_small.dcm", "ExplVR_BigEnd.dcm", "MR_small_implicit.dcm", "chrH32.dcm",
    "examples_overlay.dcm", "image_dfl.dcm", "test-SR.dcm",
)  # fmt: skip
MADE = (
    "12-lead-ecg", "comprehensive-sr", "enhanced-mr-image", "rt-plan",
    "grayscale-softcopy-presentation-state", "rt-structure-set", "segmentation",
)  # fmt: skip
PROFILES = {
    "basic": expectation.MODIFIED_DATES,
    "research": expectation.RESEARCH,
    "full_dates": expectation.FULL_DATES,
}


@cache
def samples() -> list[Sample]:
    """Real files by their names, with those of the same name once."""
    real = {s.name: s for s in real_samples() if s.name in REAL}
    return [*real.values(), *made_samples(MADE)]


def verdict_of(sample: Sample, profile: str) -> Verdict:
    planted = plant(sample.data, unknown_vr=sample.unknown_vr)
    assert len(planted.tokens) > 400
    engine = Engine(load_profile(profile), KEYS)
    try:
        output = deidentify(planted.data, engine)
    except Quarantine as held:
        assert held.code not in ("leak", "unreadable"), held  # noqa: PT017
        output = deidentify(without_pixels(planted.data), engine)
    return judge(planted, output.data, PROFILES[profile])


def test_the_chosen_files_are_there() -> None:
    assert len(samples()) == len(REAL) + len(MADE)


@pytest.mark.parametrize("sample", samples(), ids=lambda sample: sample.name.partition(" ")[0])
def test_the_basic_profile_takes_out_every_token_and_nothing_else(sample: Sample) -> None:
    verdict = verdict_of(sample, "basic")
    assert verdict.judged > 300
    found = (verdict.leaks, verdict.wrong, verdict.lost, verdict.uids, verdict.dates)
    assert found == ([], [], [], [], [])


@pytest.mark.parametrize("profile", ["research", "full_dates"])
def test_the_other_profiles_keep_what_their_options_retain_and_nothing_else(profile: str) -> None:
    for sample in [s for s in samples() if s.name.startswith(("CT_small", "segmentation"))]:
        verdict = verdict_of(sample, profile)
        found = (verdict.leaks, verdict.wrong, verdict.lost, verdict.uids, verdict.dates)
        assert found == ([], [], [], [], [])


def test_the_judge_finds_each_kind_of_fault() -> None:
    """A de-identifier that does nothing leaks all and shifts nothing."""
    planted = plant(next(s for s in samples() if s.name == "CT_small.dcm").data)
    verdict = judge(planted, planted.data, expectation.MODIFIED_DATES)
    assert len(verdict.leaks) > 0.95 * len(planted.tokens)
    assert len(verdict.wrong) > 600
    assert not verdict.lost
