# Copyright (c) imaging.orthanc contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A C-ECHO by hand (PS3.8 section 9.3, PS3.7 section 9.3.5): hosts have no DICOM library."""

from __future__ import annotations

import socket
import struct
import time
from dataclasses import dataclass

VERIFICATION = b"1.2.840.10008.1.1"
IMPLICIT_LITTLE_ENDIAN = b"1.2.840.10008.1.2"
APPLICATION_CONTEXT = b"1.2.840.10008.3.1.1.1"
IMPLEMENTATION = b"2.25.160160711391318613893297893423403203829"
PDU_MAX = 16384
PRESENTATION_CONTEXT = 1

ASSOCIATE_RQ, ASSOCIATE_AC, ASSOCIATE_RJ, DATA, RELEASE_RQ, RELEASE_RP, ABORT = range(1, 8)

# PS3.8 table 9-21, by source and reason.
REJECTIONS = {
    (1, 2): "the application context is not supported",
    (1, 3): "the calling AE title is not known there",
    (1, 7): "the called AE title is not its own",
    (2, 2): "the protocol version is not supported",
    (3, 1): "it is too busy",
    (3, 2): "too many associations are open",
}
STRANGER = (1, 3)


class EchoError(Exception):
    """The C-ECHO was not answered with success; the message says what was seen.

    ``refused_caller`` tells that something answered, and does not know who asks.
    """

    def __init__(self, message: str, *, refused_caller: bool = False) -> None:
        super().__init__(message)
        self.refused_caller = refused_caller


@dataclass(frozen=True)
class EchoTarget:
    """Who is asked, and as whom. ``timeout`` is in seconds and holds for the whole exchange."""

    host: str
    port: int
    called_aet: str
    calling_aet: str
    timeout: float = 5.0


def echo(target: EchoTarget) -> float:
    """Send a C-ECHO and return the seconds until its answer.

    Raises:
        EchoError: nothing answers, the association is rejected, or the status is not success.
    """
    begun = time.monotonic()
    where = f"{target.host}:{target.port}"
    try:
        with socket.create_connection((target.host, target.port), target.timeout) as connection:
            exchange = _Exchange(connection, where, begun + target.timeout)
            exchange.associate(target)
            exchange.verify()
            seconds = time.monotonic() - begun
            exchange.release()
    except (TimeoutError, socket.timeout):
        message = f"{where} did not answer the C-ECHO within {target.timeout:g} s"
        raise EchoError(message) from None
    except OSError as error:
        raise EchoError(f"{where} cannot be reached: {error.strerror or error}") from None
    return seconds


class _Exchange:
    """One association."""

    def __init__(self, connection: socket.socket, where: str, deadline: float) -> None:
        self._connection = connection
        self._where = where
        self._deadline = deadline

    def associate(self, target: EchoTarget) -> None:
        self._send(ASSOCIATE_RQ, _associate_request(target))
        kind, body = self._receive()
        if kind == ASSOCIATE_RJ:
            rejection = (body[2], body[3])
            told = REJECTIONS.get(rejection, f"source {body[2]}, reason {body[3]}")
            raise EchoError(
                f"{self._where} rejects the association: {told}",
                refused_caller=rejection == STRANGER,
            )
        if kind != ASSOCIATE_AC:
            raise self._no_answer(kind)

    def verify(self) -> None:
        command = _echo_command()
        value = struct.pack(">LBB", len(command) + 2, PRESENTATION_CONTEXT, 0x03) + command
        self._send(DATA, value)
        kind, body = self._receive()
        if kind != DATA:
            raise self._no_answer(kind)
        status = _status(body[6:])
        if status != 0:
            raise EchoError(f"{self._where} answered the C-ECHO with status {status:04X}H")

    def release(self) -> None:
        self._send(RELEASE_RQ, b"\0" * 4)

    def _no_answer(self, kind: int) -> EchoError:
        what = "aborted the association" if kind == ABORT else "is no DICOM server"
        return EchoError(f"{self._where} {what}")

    def _send(self, kind: int, body: bytes) -> None:
        self._connection.sendall(struct.pack(">BBL", kind, 0, len(body)) + body)

    def _receive(self) -> tuple[int, bytes]:
        kind, _, length = struct.unpack(">BBL", self._take(6))
        if not ASSOCIATE_RQ <= kind <= ABORT or length > PDU_MAX * 4:
            raise EchoError(f"{self._where} is no DICOM server")
        return kind, self._take(length)

    def _take(self, length: int) -> bytes:
        taken = b""
        while len(taken) < length:
            remaining = self._deadline - time.monotonic()
            if remaining <= 0:
                raise TimeoutError
            self._connection.settimeout(remaining)
            part = self._connection.recv(length - len(taken))
            if not part:
                raise EchoError(f"{self._where} closed the connection; is it a DICOM server?")
            taken += part
        return taken


def _item(kind: int, value: bytes) -> bytes:
    return struct.pack(">BBH", kind, 0, len(value)) + value


def _associate_request(target: EchoTarget) -> bytes:
    """PS3.8 section 9.3.2."""
    context = (
        struct.pack(">BBBB", PRESENTATION_CONTEXT, 0, 0, 0)
        + _item(0x30, VERIFICATION)
        + _item(0x40, IMPLICIT_LITTLE_ENDIAN)
    )
    user = _item(0x51, struct.pack(">L", PDU_MAX)) + _item(0x52, IMPLEMENTATION)
    return (
        struct.pack(">HH", 1, 0)
        + _title(target.called_aet)
        + _title(target.calling_aet)
        + b"\0" * 32
        + _item(0x10, APPLICATION_CONTEXT)
        + _item(0x20, context)
        + _item(0x50, user)
    )


def _title(aet: str) -> bytes:
    return aet.encode("ascii", "replace")[:16].ljust(16)


def _echo_command() -> bytes:
    """PS3.7 table 9.3-12: the command set of C-ECHO-RQ in implicit VR little endian."""
    elements = [
        (0x0002, VERIFICATION + b"\0"),
        (0x0100, struct.pack("<H", 0x0030)),
        (0x0110, struct.pack("<H", 1)),
        (0x0800, struct.pack("<H", 0x0101)),
    ]
    body = b"".join(
        struct.pack("<HHL", 0, element, len(value)) + value for element, value in elements
    )
    return struct.pack("<HHLL", 0, 0, 4, len(body)) + body


def _status(command: bytes) -> int:
    """Return the Status (0000,0900) of a command set."""
    position = 0
    while position + 8 <= len(command):
        group, element, length = struct.unpack_from("<HHL", command, position)
        position += 8
        if (group, element) == (0x0000, 0x0900):
            return int(struct.unpack_from("<H", command, position)[0])
        position += length
    return 0xFFFF
