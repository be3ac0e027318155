# SPDX-License-Identifier: GPL-3.0-or-later
"""What planting found in the engine: each of these went wrong once."""

from __future__ import annotations

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ComprehensiveSRStorage

from orthanc_deid.engine import Engine
from orthanc_deid.profile import load_profile

from .instances import KEYS, deidentify, instance, output_of, read


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("PatientSex", "F"),
        ("EncapsulatedDocument", b"Ottoline Quillfeather"),
        ("ReasonForTheAttributeModification", "QUILLFEATHER"),
    ],
)
def test_what_the_table_lists_goes_from_a_replaced_sequence_too(
    keyword: str, value: object
) -> None:
    observer = Dataset()
    observer.VerifyingObserverName = "Quillfeather^Ottoline"
    setattr(observer, keyword, value)
    report = output_of(SOPClassUID=ComprehensiveSRStorage, VerifyingObserverSequence=[observer])
    kept = report.VerifyingObserverSequence[0]
    assert kept.get(keyword) != value


def test_a_committee_goes_with_the_number_of_its_approval() -> None:
    output = output_of(
        ClinicalTrialProtocolEthicsCommitteeName="Harbour Hospital Board",
        ClinicalTrialProtocolEthicsCommitteeApprovalNumber="2019-77",
    )
    assert "ClinicalTrialProtocolEthicsCommitteeName" not in output
    assert "ClinicalTrialProtocolEthicsCommitteeApprovalNumber" not in output


def test_a_local_code_that_is_cleaned_away_stays_a_code() -> None:
    code = Dataset()
    code.CodeValue = "QZVTRKL"
    code.CodingSchemeDesignator = "99LOCAL"
    code.CodeMeaning = "Qzvtrkl"
    engine = Engine(load_profile("research"), KEYS)
    output = read(deidentify(instance(AdmittingDiagnosesCodeSequence=[code]), engine).data)
    kept = output.AdmittingDiagnosesCodeSequence[0]
    assert kept.CodeValue == kept.CodeMeaning == "REMOVED"
