# SPDX-License-Identifier: GPL-3.0-or-later
"""Attributes that Table E.1-1 does not list, though they can identify as those that it lists."""

from typing import Final

from orthanc_deid.actions import Action, Rule

# Free text for people, by the option that cleans it. Without the option it stays and is searched
# for identifiers, as all that the table does not list.
FREE_TEXT: Final = {
    "clean_descriptors": frozenset(
        {
            0x0018003A,  # Intervention Description
            0x0018990A,  # Potential Diagnostic Tasks
            0x00209453,  # Frame Label
            0x00281351,  # Partial View Description
            0x00283003,  # LUT Explanation
            0x00286022,  # Frame of Interest Description
            0x00286190,  # Mask Operation Explanation
            0x00409210,  # LUT Label
            0x0040A492,  # Completion Flag Description
            0x00420010,  # Document Title
            0x00480107,  # Optical Path Description
            0x00620005,  # Segment Label
            0x00620006,  # Segment Description
            0x00620020,  # Tracking ID
            0x00660004,  # Surface Comments
            0x00660106,  # Track Set Label
            0x00660107,  # Track Set Description
            0x00700081,  # Content Description
            0x0070030F,  # Fiducial Description
            0x00700310,  # Fiducial Identifier
            0x00820003,  # Assessment Summary Description
            0x0082000A,  # Observation Description
            0x00820023,  # Assessment Label
            0x30020002,  # RT Image Label
            0x30020003,  # RT Image Name
            0x30020004,  # RT Image Description
            0x30040006,  # Dose Comment
            0x300600C8,  # Frame of Reference Transformation Comment
            0x30080012,  # Measured Dose Description
            0x30080066,  # Override Reason
            0x30080074,  # Calculated Dose Reference Description
            0x30080202,  # Treatment Status Comment
            0x300A0009,  # Treatment Protocols
            0x300A0043,  # Tolerance Table Label
            0x300A007B,  # Fraction Pattern
            0x300A00C2,  # Beam Name
            0x300A00FE,  # Block Name
            0x300A0183,  # Patient Setup Label
            0x300A0184,  # Patient Additional Position
            0x300A01BA,  # Setup Device Description
            0x300A01D0,  # Setup Reference Description
            0x300A0236,  # Application Setup Name
            0x300A0402,  # Setup Image Comment
            0x300A0730,  # Treatment Termination Description
        }
    ),
    "clean_graphics": frozenset(
        {
            0x00700068,  # Graphic Layer Description
            0x00700081,  # Content Description
            0x00700207,  # Graphic Group Label
            0x00700208,  # Graphic Group Description
        }
    ),
    "clean_structured_content": frozenset(
        {
            0x0040A043,  # Concept Name Code Sequence, of which local codes are cleaned
        }
    ),
}

# What no option retains. Signatures go by the table, and what they are made of goes with them.
# Encrypted attributes hold the patient's identity, for whoever has the key.
_UNUSABLE: Final = Rule(Action.REMOVE, "what belongs to a signature or is encrypted")
_IDENTIFIER: Final = Rule("X/D", "identifier of a document")
_ADDRESS: Final = Rule("X/Z/D", "address of the originals")
ALWAYS: Final = {
    0x00081190: _ADDRESS,  # Retrieve URL
    0x0040E010: _ADDRESS,  # Retrieve URI
    0x04000500: _UNUSABLE,  # Encrypted Attributes Sequence
    0x4FFE0001: _UNUSABLE,  # MAC Parameters Sequence
    0x0040E001: _IDENTIFIER,  # HL7 Instance Identifier
}
