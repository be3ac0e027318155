# SPDX-License-Identifier: GPL-3.0-or-later
"""What text cleaning leaves never trips the leak check."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from orthanc_deid.leaks import holds_term, terms_of
from orthanc_deid.text import TextCleaner
from orthanc_deid.text_known import Known
from orthanc_deid.vocabulary import vocabulary

UTF8 = b"ISO_IR 192"
PARTS = st.sampled_from(
    [
        *("Head", "Left", "Young", "Paris", "Rose", "Smith", "Jones", "Müller", "O'Brien", "Li"),
        *(
            "Whitehead",
            "van der Berg",
            "Gamma",
            "Masses",
            "Fractures",
            "Mary-Jane",
            "Axial",
            "May",
            "Do",
            "De",
        ),
        *("山田", "手", "홍길동", "Иванов", "كوهين"),
    ]
) | st.sampled_from(sorted(vocabulary().words | vocabulary().terms))
FILLERS = st.sampled_from(
    [
        *("CT", "W/O", "plaster of Paris", "Gamma Knife", "young adult", "Smith fracture", "5 mm"),
        *("Jones view", "(", ")", "-----", "\n", "12/3/2020", "頭部", "rose bengal", "-", ";", "."),
    ]
)
SEPARATORS = st.sampled_from([" ", "^", ", ", "_", "-", " ----- ", "\n", "; ", "/"])
CASES = st.sampled_from(["strip", "upper", "lower"])


@given(PARTS, PARTS, st.from_regex(r"\A[A-Z]{0,4}-?[0-9]{3,9}\Z"), st.data())
@settings(max_examples=400, deadline=None)
def test_a_cleaned_text_holds_no_term_of_the_study(
    family: str, given_name: str, number: str, data: st.DataObject
) -> None:
    study = [(0x00100010, "PN", f"{family}^{given_name}"), (0x00100020, "LO", number)]
    terms = frozenset[str]().union(*(terms_of(t, vr, v.encode(), UTF8) for t, vr, v in study))
    pieces = st.sampled_from([family, given_name, number]) | FILLERS
    text = data.draw(SEPARATORS).join(
        getattr(piece, data.draw(CASES))()
        for piece in data.draw(st.lists(pieces, min_size=1, max_size=6))
    )
    left = TextCleaner(Known.collect(study)).clean(text, "LT").text
    assert not holds_term("LT", left.encode(), UTF8, terms)
