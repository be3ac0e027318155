# SPDX-License-Identifier: GPL-3.0-or-later
"""Codes of public schemes, which mean the same to everyone. Local codes may hold anything."""

from typing import Final

from orthanc_deid.elements import Item

SCHEME: Final = 0x00080102  # Coding Scheme Designator
VERSION: Final = 0x00080103  # Coding Scheme Version
# What makes up a code; where its scheme is a public one, these stay.
CODE_ATTRIBUTES: Final = frozenset(
    {0x00080100, SCHEME, VERSION, 0x00080104, 0x00080119, 0x00080120}
)
# Coding Scheme Designators of PS3.16 section 8.
PUBLIC_SCHEMES: Final = frozenset(
    b"99SDM ACR BI C4 CD8 DCM FMA I10 I10P I11 I9 I9C IBSI ICDO3 ISO3166_1 ISO639_1 ISO639_2 LN MA "
    b"MDC MSH NCIt NDC NEU PATHLEX RADELEMENT RADLEX RFC3066 RFC5646 RXNORM SCT SNM3 SRT UBERON "
    b"UCUM UMLS".split()
) | {b"NCDR [2.0b]"}


def is_public_code(data: bytes, item: Item) -> bool:
    """Tell whether an item of a code sequence holds a code of a public scheme."""
    return any(
        element.entry.tag == SCHEME
        and data[element.value : element.stop].strip(b" \0") in PUBLIC_SCHEMES
        for element in item.elements
    )
