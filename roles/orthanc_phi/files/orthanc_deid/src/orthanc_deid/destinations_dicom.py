# SPDX-License-Identifier: GPL-3.0-or-later
"""A DICOM node as a destination: C-STORE, verified by Storage Commitment or by C-FIND.

Files go as they are, in pieces, so that a large one needs no memory. Only an uncompressed file
whose encoding the node does not accept is read whole and sent in one that it does.
"""

from __future__ import annotations

import socket
import ssl
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from pydicom import Dataset, dcmread
from pydicom.filereader import read_file_meta_info
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, Association, _config, build_context
from pynetdicom.presentation import PresentationContext
from pynetdicom.sop_class import (
    StudyRootQueryRetrieveInformationModelFind as StudyRootFind,
)
from pynetdicom.sop_class import Verification

from orthanc_deid.destination_config import DicomNode
from orthanc_deid.orthanc_client import CannotWithdrawError, RefusedError, TransientError
from orthanc_deid.storage_commitment import Reference, StorageCommitment
from orthanc_deid.store_status import Verdict, judge
from orthanc_deid.tls import client_context

# Files are sent from the disk in pieces; pynetdicom knows only a switch for the whole process.
_config.STORE_SEND_CHUNKED_DATASET = True

CONNECT_SECONDS: Final = 10
ANSWER_SECONDS: Final = 120
PAIRS_PER_ASSOCIATION: Final = 50  # each takes up to two of the 128 contexts
SERIES: Final = 0x0020000E
_PENDING: Final = frozenset({0xFF00, 0xFF01})


class _Kind(NamedTuple):
    """What an association is negotiated for."""

    sop_class: UID
    syntax: UID

    @property
    def convertible(self) -> bool:
        """Whether it may be sent in another uncompressed encoding."""
        return (
            self.syntax.is_little_endian
            and not self.syntax.is_compressed
            and self.syntax != DeflatedExplicitVRLittleEndian
        )


class _NotOfferedError(Exception):
    """The node does not offer C-FIND to this caller."""


class DicomDestination:
    """An application entity that takes C-STORE."""

    def __init__(
        self, name: str, node: DicomNode, commitment: StorageCommitment | None = None
    ) -> None:
        self.name = name
        self._node = node
        self._commitment = commitment
        self._tls: ssl.SSLContext | None = None
        if node.tls:
            self._tls = client_context(
                node.tls.ca, node.tls.identity, check_host=node.tls.check_host
            )

    def check(self) -> None:
        """Raise `TransientError` if the node does not accept an association."""
        with self._association([]):
            pass

    def withdraw(self, study_instance_uid: str) -> None:
        """Say who must be told: DICOM knows no deletion."""
        raise CannotWithdrawError(
            f"{self.name} cannot be asked to delete: tell those who run it to delete study "
            f"{study_instance_uid}"
        )

    def deliver(
        self, study_instance_uid: str, files: Mapping[str, Path], going_on: Callable[[], None]
    ) -> None:
        """Send every file, then have the node answer for them where that is possible."""
        for batch in _batches(files.values()):
            self._store(batch, going_on)
        if self._node.verify == "answer":
            return
        if self._commitment:
            references = (Reference(_kind_of(path).sop_class, uid) for uid, path in files.items())
            self._commitment.demand(references, going_on)
            return
        self._demand_found(study_instance_uid, files)

    def _demand_found(self, study_instance_uid: str, files: Mapping[str, Path]) -> None:
        try:
            missing = files.keys() - self._find(study_instance_uid, _series_of(files.values()))
        except _NotOfferedError:
            if self._node.verify == "query":
                raise TransientError(
                    f"{self.name} does not answer C-FIND; allow it to {self._node.calling_aet} "
                    "there, or set verify to answer"
                ) from None
            return  # each instance was answered with success
        if missing:
            raise TransientError(
                f"{self.name} answered with success to {len(files)} instances, "
                f"but {len(missing)} are not there"
            )

    def _store(self, batch: list[tuple[Path, _Kind]], going_on: Callable[[], None]) -> None:
        with self._association(_contexts({kind for _, kind in batch})) as association:
            accepted = {
                _Kind(context.abstract_syntax, context.transfer_syntax[0])
                for context in association.accepted_contexts
            }
            for path, kind in batch:
                going_on()
                status = self._send(association, path, kind, accepted)
                if status is None:
                    raise TransientError(f"{self.name} ended the association in the middle")
                verdict, words = judge(status)
                if verdict is Verdict.LATER:
                    raise TransientError(f"{self.name} did not store an instance: {words}")
                if verdict is Verdict.REFUSED:
                    raise RefusedError(f"{self.name} refuses an instance: {words}")

    def _send(
        self, association: Association, path: Path, kind: _Kind, accepted: set[_Kind]
    ) -> int | None:
        """Send one file; returns the status, or None if no answer came."""
        as_it_is = kind in accepted
        if not as_it_is and not _convertible_to(kind, accepted):
            raise RefusedError(
                f"{self.name} does not accept {kind.sop_class.name} in {kind.syntax.name}; "
                "have it accept that, or leave such studies out with where"
            )
        try:
            answer = association.send_c_store(path if as_it_is else dcmread(path))
        except RuntimeError:  # the association has ended before
            return None
        return int(answer.Status) if "Status" in answer else None

    def _find(self, study_instance_uid: str, series: set[str]) -> set[str]:
        """Return the SOP Instance UIDs that the node has in some series of a study.

        Raises:
            _NotOfferedError: the node does not offer C-FIND, or not to this caller.
        """
        found: set[str] = set()
        with self._association([build_context(StudyRootFind)]) as association:
            offered = {context.abstract_syntax for context in association.accepted_contexts}
            if StudyRootFind not in offered:
                raise _NotOfferedError
            for series_instance_uid in series:
                query = Dataset()
                query.QueryRetrieveLevel = "IMAGE"
                query.StudyInstanceUID = study_instance_uid
                query.SeriesInstanceUID = series_instance_uid
                query.SOPInstanceUID = ""
                found |= self._answers(association, query)
        return found

    def _answers(self, association: Association, query: Dataset) -> set[str]:
        found: set[str] = set()
        if not association.is_established:
            raise _NotOfferedError
        for status, identifier in association.send_c_find(query, StudyRootFind):
            code = status.get("Status")
            if code in _PENDING:
                if identifier is not None and "SOPInstanceUID" in identifier:
                    found.add(str(identifier.SOPInstanceUID))
            elif code != 0x0000:  # refused, or aborted as Orthanc does where C-FIND is not allowed
                raise _NotOfferedError
        return found

    @contextmanager
    def _association(self, contexts: list[PresentationContext]) -> Iterator[Association]:
        """Hold an association for `contexts`, and for C-ECHO, which everybody accepts."""
        ours = AE(ae_title=self._node.calling_aet)
        ours.connection_timeout = CONNECT_SECONDS
        ours.acse_timeout = ours.dimse_timeout = ours.network_timeout = ANSWER_SECONDS
        association = ours.associate(
            self._node.host,
            self._node.port,
            [*contexts, build_context(Verification)],
            ae_title=self._node.aet,
            tls_args=(self._tls, self._node.host) if self._tls else None,
        )
        if not association.is_established:
            raise TransientError(f"{self.name} {self._reason(association)}")
        try:
            yield association
        finally:
            if association.is_established:
                association.release()

    def _reason(self, association: Association) -> str:
        """Say why there is no association; pynetdicom only logs it."""
        if association.is_rejected:
            return (
                f"rejects the association: it must know {self._node.calling_aet} and be called "
                f"{self._node.aet}"
            )
        address = (self._node.host, self._node.port)
        try:
            with socket.create_connection(address, CONNECT_SECONDS) as plain:
                if self._tls:
                    self._tls.wrap_socket(plain, server_hostname=self._node.host).close()
        except ssl.SSLCertVerificationError as error:
            return f"cannot be trusted: {error.verify_message}"
        except ssl.SSLError as error:
            return f"speaks no TLS that is accepted: {error.reason}"
        except OSError as error:
            return f"cannot be reached: {error.strerror or type(error).__name__}"
        return "ends the association: does it expect TLS, or a certificate of this side?"


def _convertible_to(kind: _Kind, accepted: set[_Kind]) -> bool:
    return kind.convertible and any(
        other.sop_class == kind.sop_class and other.convertible for other in accepted
    )


def _contexts(kinds: set[_Kind]) -> list[PresentationContext]:
    """Propose each encoding by itself, and for what is uncompressed the one of every node."""
    every = kinds | {
        _Kind(kind.sop_class, ImplicitVRLittleEndian) for kind in kinds if kind.convertible
    }
    return [build_context(kind.sop_class, kind.syntax) for kind in sorted(every)]


def _batches(paths: Iterable[Path]) -> Iterator[list[tuple[Path, _Kind]]]:
    """Group files so that each group can be negotiated in one association."""
    by_kind: dict[_Kind, list[Path]] = defaultdict(list)
    for path in paths:
        by_kind[_kind_of(path)].append(path)
    kinds = sorted(by_kind)
    for start in range(0, len(kinds), PAIRS_PER_ASSOCIATION):
        chosen = kinds[start : start + PAIRS_PER_ASSOCIATION]
        yield [(path, kind) for kind in chosen for path in by_kind[kind]]


def _kind_of(path: Path) -> _Kind:
    meta = read_file_meta_info(path)
    return _Kind(UID(meta.MediaStorageSOPClassUID), UID(meta.TransferSyntaxUID))


def _series_of(paths: Iterable[Path]) -> set[str]:
    return {
        str(dcmread(path, stop_before_pixels=True, specific_tags=[SERIES]).SeriesInstanceUID)
        for path in paths
    }
