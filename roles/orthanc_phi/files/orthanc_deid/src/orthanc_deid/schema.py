# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables of the crosswalk database `philookup`.

The same tables serve PostgreSQL and the embedded SQLite store. The database itself keeps them
true: every rule that concurrent workers could break is a constraint here.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

from orthanc_deid.states import State

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class UtcDateTime(TypeDecorator[datetime]):
    """A moment in UTC; SQLite forgets the time zone, so it is put back on reading."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Return `value` as an aware datetime."""
        if isinstance(value, datetime) and value.tzinfo is None:
            return value.replace(tzinfo=UTC)
        return value  # type: ignore[no-any-return]


# SQLite numbers rows by itself only for INTEGER keys.
KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
STATES = ", ".join(f"'{state}'" for state in State)

projects = sa.Table(
    "projects",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    # Updated in the transaction that adds a subject: its row lock puts new subjects in line.
    sa.Column("last_number", sa.Integer, nullable=False, server_default="0"),
)

subjects = sa.Table(
    "subjects",
    metadata,
    sa.Column("id", KEY, primary_key=True),
    sa.Column("project", sa.Text, sa.ForeignKey(projects.c.name), nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("date_offset", sa.Integer, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    # Patient ID and Patient's Name, where a broker gave them; else they follow from the number.
    sa.Column("pseudonym", sa.Text),
    sa.Column("pseudonym_name", sa.Text),
    sa.Column("merged_into", KEY, sa.ForeignKey("subjects.id")),
    sa.UniqueConstraint("project", "number"),
    sa.UniqueConstraint("project", "id"),
    sa.CheckConstraint("number > 0", name="number_positive"),
    sa.CheckConstraint("date_offset <> 0", name="date_offset_not_zero"),
    sa.CheckConstraint("pseudonym <> '' AND pseudonym_name <> ''", name="pseudonym_present"),
    sa.CheckConstraint("merged_into <> id", name="merged_into_another"),
)

# What leads to a subject: a Patient ID, or one of the patient's accession numbers.
patient_identifiers = sa.Table(
    "patient_identifiers",
    metadata,
    sa.Column("project", sa.Text, primary_key=True),
    sa.Column("patient_id", sa.Text, primary_key=True),
    # Empty is the site's own one.
    sa.Column("issuer", sa.Text, primary_key=True, server_default=""),
    # Empty is all of the patient.
    sa.Column("accession", sa.Text, primary_key=True, server_default=""),
    sa.Column("subject_id", KEY, nullable=False, index=True),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.ForeignKeyConstraint(["project", "subject_id"], [subjects.c.project, subjects.c.id]),
    sa.CheckConstraint("patient_id <> ''", name="patient_id_present"),
    sa.Index(
        "ix_patient_identifiers_patient_id_searched",
        "patient_id",
        postgresql_using="gin",
        postgresql_ops={"patient_id": "gin_trgm_ops"},
    ),
)

# Every Patient ID that went out. Settings may change; two subjects never get the same.
pseudonyms = sa.Table(
    "pseudonyms",
    metadata,
    sa.Column("project", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, primary_key=True),
    sa.Column("subject_id", KEY, nullable=False, index=True),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.ForeignKeyConstraint(["project", "subject_id"], [subjects.c.project, subjects.c.id]),
)

studies = sa.Table(
    "studies",
    metadata,
    sa.Column("id", KEY, primary_key=True),
    sa.Column("project", sa.Text, sa.ForeignKey(projects.c.name), nullable=False),
    # Orthanc's identifier, SHA-1 of PatientID and StudyInstanceUID: as sensitive as these.
    sa.Column("orthanc_id", sa.Text, index=True),
    sa.Column("study_instance_uid", sa.Text, index=True),
    sa.Column("anonymous_study_uid", sa.Text),
    sa.Column("subject_id", KEY, sa.ForeignKey(subjects.c.id), index=True),
    # Set when the study first goes out, and kept: its late instances get the same pseudonym.
    sa.Column("number_modifier", sa.Text),
    sa.Column("state", sa.Text, nullable=False, index=True),
    sa.Column("reason", sa.Text),
    # What a person asked for: another profile than the project's, to see the result first, and
    # only some of the project's destinations.
    sa.Column("profile", sa.Text),
    sa.Column("review", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("chosen_destinations", sa.JSON(none_as_null=True)),
    # Why it waits for a person, and what persons have accepted; see `findings`.
    sa.Column("findings", sa.JSON(none_as_null=True)),
    sa.Column("accepted", sa.JSON(none_as_null=True)),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    # How far a worker has come since it took the study up; see `progress`.
    sa.Column("progress", sa.JSON(none_as_null=True)),
    # What the PHI Orthanc held when the study was last delivered; compared to find late instances.
    sa.Column("source_instances", sa.Integer),
    sa.Column("source_last_update", sa.Text),
    sa.Column("record", sa.JSON),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("updated_at", UtcDateTime, nullable=False),
    sa.Column("delivered_at", UtcDateTime, index=True),
    # Mostly a study is looked for without its project.
    sa.UniqueConstraint("orthanc_id", "project"),
    sa.UniqueConstraint("anonymous_study_uid", "project"),
    sa.Index(
        "uq_studies_outside_orthanc",
        "project",
        "study_instance_uid",
        unique=True,
        postgresql_where=sa.text("orthanc_id IS NULL"),
        sqlite_where=sa.text("orthanc_id IS NULL"),
    ),
    sa.CheckConstraint(f"state IN ({STATES})", name="state_known"),
    sa.CheckConstraint("attempts >= 0", name="attempts_not_negative"),
    sa.CheckConstraint(
        "orthanc_id IS NOT NULL OR study_instance_uid IS NOT NULL", name="source_known"
    ),
)

deliveries = sa.Table(
    "deliveries",
    metadata,
    sa.Column("study_id", KEY, sa.ForeignKey(studies.c.id, ondelete="CASCADE"), primary_key=True),
    sa.Column("destination", sa.Text, primary_key=True),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("instances", sa.Integer, nullable=False, server_default="0"),
    sa.Column("last_error", sa.Text),
    sa.Column("updated_at", UtcDateTime, nullable=False),
    sa.Column("delivered_at", UtcDateTime, index=True),
    # What is there, at least in part: set before the first instance goes.
    sa.Column("anonymous_study_uid", sa.Text),
    sa.Column("profile_digest", sa.Text),
    # left: withdrawn, but only a person can take it back from there.
    sa.CheckConstraint(
        "state IN ('pending', 'delivered', 'left_out', 'withdrawn', 'left')", name="state_known"
    ),
    sa.CheckConstraint("instances >= 0", name="instances_not_negative"),
    sa.Index(
        "ix_deliveries_pending",
        "destination",
        postgresql_where=sa.text("state = 'pending'"),
        sqlite_where=sa.text("state = 'pending'"),
    ),
    sa.Index(
        "ix_deliveries_left",
        "study_id",
        postgresql_where=sa.text("state = 'left'"),
        sqlite_where=sa.text("state = 'left'"),
    ),
)

# How far the PHI Orthanc's log of changes was followed; see `phi_changes`.
looks = sa.Table(
    "looks",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("change", sa.BigInteger, nullable=False),
    sa.Column("complete_at", UtcDateTime, nullable=False),
)

events = sa.Table(
    "events",
    metadata,
    sa.Column("id", KEY, primary_key=True),
    sa.Column("at", UtcDateTime, nullable=False, index=True),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("study_id", KEY, sa.ForeignKey(studies.c.id, ondelete="CASCADE"), index=True),
    sa.Column("detail", sa.Text),
)

# Workers that are alive say so here.
workers = sa.Table(
    "workers",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("version", sa.Text, nullable=False),
    sa.Column("started_at", UtcDateTime, nullable=False),
    sa.Column("beat_at", UtcDateTime, nullable=False),
    # Bytes; 0 where there is no spool.
    sa.Column("spool_free", sa.BigInteger, nullable=False),
    sa.Column("spool_total", sa.BigInteger, nullable=False),
)

# Which instances hold a study back, and where in them, for the person who looks.
held_instances = sa.Table(
    "held_instances",
    metadata,
    sa.Column("id", KEY, primary_key=True),
    sa.Column(
        "study_id", KEY, sa.ForeignKey(studies.c.id, ondelete="CASCADE"), nullable=False, index=True
    ),
    # Orthanc's identifier.
    sa.Column("instance_id", sa.Text, nullable=False),
    sa.Column("code", sa.Text, nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    # Tags down to the attribute; empty where it is in the pixels, or the instance as a whole.
    sa.Column("path", sa.Text, nullable=False, server_default=""),
    sa.Column("frame", sa.Integer, nullable=False, server_default="0"),
    # [left, top, width, height]
    sa.Column("box", sa.JSON(none_as_null=True)),
)

# What persons drew on images to have it blanked: for one study, or for all images of a device.
drawn_rules = sa.Table(
    "drawn_rules",
    metadata,
    sa.Column("id", KEY, primary_key=True),
    # Of a rule for one study; else it is one for a device.
    sa.Column("study_id", KEY, sa.ForeignKey(studies.c.id, ondelete="CASCADE"), index=True),
    # What images must say exactly: keyword and value.
    sa.Column("conditions", sa.JSON, nullable=False),
    # [left, top, width, height]
    sa.Column("rectangles", sa.JSON, nullable=False),
    sa.Column("note", sa.Text, nullable=False, server_default=""),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    # A rule that is ended stays, so that what was blanked by it can be told.
    sa.Column("ended_by", sa.Text),
    sa.Column("ended_at", UtcDateTime),
    sa.CheckConstraint("(ended_by IS NULL) = (ended_at IS NULL)", name="ended_by_somebody"),
)

# The lookup table: what a study says of its patient, beside what stands there instead. One table,
# so that each column can be filtered and sorted by an index. Empty is not known, or not there.
_LOOKUP_TEXTS = (
    "patient_name",
    "folded_name",  # as it is searched for, see `lookup.fold`
    "patient_id",
    "issuer",
    "accession",
    "study_date",  # YYYY-MM-DD, also below
    "study_instance_uid",
    "pseudonym",
    "anonymous_accession",
    "anonymous_study_date",
    "anonymous_study_uid",
)
lookup = sa.Table(
    "lookup",
    metadata,
    sa.Column("study_id", KEY, sa.ForeignKey(studies.c.id, ondelete="CASCADE"), primary_key=True),
    sa.Column("project", sa.Text, sa.ForeignKey(projects.c.name), nullable=False),
    sa.Column("subject_number", sa.Integer, nullable=False, server_default="0"),
    *(sa.Column(name, sa.Text, nullable=False, server_default="") for name in _LOOKUP_TEXTS),
    # Where the identity was read: in the study itself, in the index of PHI, or nowhere yet.
    sa.Column("source", sa.Text, nullable=False, server_default=""),
    sa.CheckConstraint("source IN ('', 'study', 'phi', 'gone')", name="source_known"),
    sa.Index(
        "ix_lookup_unfilled",
        "study_id",
        postgresql_where=sa.text("source = ''"),
        sqlite_where=sa.text("source = ''"),
    ),
)
# Sorted by these, with the study's number behind them so that a page can begin anywhere.
LOOKUP_SORTED = (
    "subject_number",
    *(name for name in _LOOKUP_TEXTS if name not in {"patient_name", "issuer"}),
)
# Found in these wherever a text stands in them; in the others from its beginning.
LOOKUP_SEARCHED = ("folded_name", "patient_id", "accession", "pseudonym", "anonymous_accession")
for _name in LOOKUP_SORTED:
    sa.Index(f"ix_lookup_{_name}", lookup.c[_name], lookup.c.study_id)
for _name in LOOKUP_SEARCHED:
    sa.Index(
        f"ix_lookup_{_name}_searched",
        lookup.c[_name],
        postgresql_using="gin",
        postgresql_ops={_name: "gin_trgm_ops"},
    )

# What the PHI Orthanc holds, as it says itself, so that studies can be searched for together with
# their states. Empty is not there.
held_studies = sa.Table(
    "held_studies",
    metadata,
    sa.Column("orthanc_id", sa.Text, primary_key=True),
    # Compared to find studies that have changed.
    sa.Column("last_update", sa.Text, nullable=False),
    sa.Column("study_instance_uid", sa.Text, nullable=False, server_default="", index=True),
    sa.Column("patient_name", sa.Text, nullable=False, server_default=""),
    sa.Column("patient_id", sa.Text, nullable=False, server_default="", index=True),
    sa.Column("birth_date", sa.Text, nullable=False, server_default=""),
    sa.Column("accession", sa.Text, nullable=False, server_default=""),
    # YYYYMMDD
    sa.Column("study_date", sa.Text, nullable=False, server_default="", index=True),
    sa.Column("description", sa.Text, nullable=False, server_default=""),
    # Each with a space before and behind it: " CT SR ".
    sa.Column("modalities", sa.Text, nullable=False, server_default=""),
    # The application entity title that sent it.
    sa.Column("source", sa.Text, nullable=False, server_default="", index=True),
    # Name and ID as they are searched for, see `lookup.fold`.
    sa.Column("folded_patient", sa.Text, nullable=False, server_default="", index=True),
    sa.Column("folded_description", sa.Text, nullable=False, server_default=""),
    sa.Column("series", sa.Integer, nullable=False),
    sa.Column("instances", sa.Integer, nullable=False),
    sa.Column("received_at", UtcDateTime, nullable=False, index=True),
)
for _name in ("folded_patient", "accession", "folded_description"):
    sa.Index(
        f"ix_held_studies_{_name}_searched",
        held_studies.c[_name],
        postgresql_using="gin",
        postgresql_ops={_name: "gin_trgm_ops"},
    )

# Mails to one recipient each, until the relay has taken them; what they said goes then.
mails = sa.Table(
    "mails",
    metadata,
    sa.Column("id", KEY, primary_key=True),
    # The same for what need not be told twice.
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("recipient", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("html", sa.Text, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("next_at", UtcDateTime, nullable=False),
    sa.Column("sent_at", UtcDateTime),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("last_error", sa.Text),
    sa.UniqueConstraint("key", "recipient"),
    sa.Index(
        "ix_mails_unsent",
        "next_at",
        postgresql_where=sa.text("sent_at IS NULL"),
        sqlite_where=sa.text("sent_at IS NULL"),
    ),
)
mail_settings = sa.Table(
    "mail_settings",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)

# What people asked to have brought from a DICOM node, and how far each study has come.
fetches = sa.Table(
    "fetches",
    metadata,
    sa.Column("id", KEY, primary_key=True),
    sa.Column("node", sa.Text, nullable=False),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
)

FETCH_STATES = ("looking", "waiting", "retrieving", "done", "not-found", "failed", "stopped")
fetch_items = sa.Table(
    "fetch_items",
    metadata,
    sa.Column("id", KEY, primary_key=True),
    sa.Column(
        "fetch_id", KEY, sa.ForeignKey(fetches.c.id, ondelete="CASCADE"), nullable=False, index=True
    ),
    sa.Column("state", sa.Text, nullable=False),
    # What the node says of the study; of an accession that is still looked for, only that.
    sa.Column("study_instance_uid", sa.Text, nullable=False, server_default=""),
    sa.Column("patient_name", sa.Text, nullable=False, server_default=""),
    sa.Column("patient_id", sa.Text, nullable=False, server_default=""),
    sa.Column("accession", sa.Text, nullable=False, server_default=""),
    sa.Column("study_date", sa.Text, nullable=False, server_default=""),
    sa.Column("description", sa.Text, nullable=False, server_default=""),
    sa.Column("modalities", sa.Text, nullable=False, server_default=""),
    # Orthanc's job that retrieves it now.
    sa.Column("job", sa.Text, nullable=False, server_default=""),
    sa.Column("error", sa.Text, nullable=False, server_default=""),
    # How many instances the node says it has, if it says so, and how many are on PHI.
    sa.Column("expected", sa.Integer),
    sa.Column("received", sa.Integer, nullable=False, server_default="0"),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("next_at", UtcDateTime, nullable=False),
    sa.Column("updated_at", UtcDateTime, nullable=False),
    sa.CheckConstraint(
        f"state IN ({', '.join(repr(state) for state in FETCH_STATES)})", name="state_known"
    ),
    sa.Index("ix_fetch_items_state_next_at", "state", "next_at"),
)

# Runs of `orthanc-deid run` over directory trees, see `archive`.
archive_runs = sa.Table(
    "archive_runs",
    metadata,
    sa.Column("id", KEY, primary_key=True),
    # SHA-256 of the two directories and of all that decides what comes out.
    sa.Column("settings", sa.Text, nullable=False, unique=True),
    # How often the tree was looked through, and whether to the end.
    sa.Column("look", sa.Integer, nullable=False, server_default="0"),
    sa.Column("looked", sa.Boolean, nullable=False, server_default=sa.false()),
)

archive_studies = sa.Table(
    "archive_studies",
    metadata,
    sa.Column("id", KEY, primary_key=True),
    sa.Column("run_id", KEY, sa.ForeignKey(archive_runs.c.id), nullable=False),
    sa.Column("study_instance_uid", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False, server_default=""),
    sa.UniqueConstraint("run_id", "study_instance_uid"),
    sa.CheckConstraint("state IN ('waiting', 'done', 'failed')", name="state_known"),
    sa.Index("ix_archive_studies_run_id_state", "run_id", "state", "id"),
)

archive_files = sa.Table(
    "archive_files",
    metadata,
    sa.Column("run_id", KEY, sa.ForeignKey(archive_runs.c.id), primary_key=True),
    # Relative to the tree, as the operating system writes it: not every name is text.
    sa.Column("path", sa.LargeBinary, primary_key=True),
    sa.Column("study_id", KEY, sa.ForeignKey(archive_studies.c.id)),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("changed_ns", sa.BigInteger, nullable=False),
    # The look through the tree that found it last.
    sa.Column("look", sa.Integer, nullable=False),
    # Where it came to in the output, and otherwise why not.
    sa.Column("target", sa.LargeBinary),
    sa.Column("verdict", sa.Text, nullable=False, server_default=""),
    sa.Column("reason", sa.Text, nullable=False, server_default=""),
    sa.CheckConstraint("verdict IN ('', 'failed', 'left out')", name="verdict_known"),
    sa.Index("ix_archive_files_study_id", "study_id", "path"),
)
