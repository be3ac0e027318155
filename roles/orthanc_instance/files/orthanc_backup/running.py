# SPDX-License-Identifier: GPL-3.0-or-later
"""Run programs of the host so that what they say reaches nobody unread."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from tempfile import TemporaryFile
from threading import Thread
from typing import IO

from orthanc_backup.errors import BackupError, harmless

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def program(name: str) -> str:
    """Return the path of a program.

    Raises:
        BackupError: The host does not have it.
    """
    found = shutil.which(name, path=PATH)
    if not found:
        raise BackupError(f"This host has no program {name}: install it, then run site.yml.")
    return found


def pipe(
    what: str,
    *commands: Sequence[str],
    given: bytes = b"",
    source: IO[bytes] | None = None,
    target: IO[bytes] | None = None,
) -> bytes:
    """Run programs one behind the other.

    The first reads ``source``, or the bytes ``given``; the last writes into ``target``, or into
    what is returned.

    Raises:
        BackupError: One of them failed; a pipe is as good as its worst program.
    """
    with ExitStack() as stack:
        complaints = [stack.enter_context(TemporaryFile()) for _ in commands]
        processes: list[subprocess.Popen[bytes]] = []
        stdin: IO[bytes] | int | None = source or subprocess.PIPE
        for number, command in enumerate(commands, 1):
            stdout = target if target and number == len(commands) else subprocess.PIPE
            processes.append(
                subprocess.Popen(command, stdin=stdin, stdout=stdout, stderr=complaints[number - 1])
            )
            if number > 1 and processes[-2].stdout:
                processes[-2].stdout.close()
            stdin = processes[-1].stdout
        # Beside, since a full pipe would let both ends wait for each other.
        giving = Thread(target=_give, args=(processes[0], given))
        giving.start()
        last = processes[-1].stdout
        output = last.read() if last else b""
        giving.join()
        failures = [
            f"{Path(command[0]).name} ended with exit code {process.returncode}{_words(complaint)}"
            for command, process, complaint in zip(commands, processes, complaints)
            if process.wait()
        ]
    if failures:
        raise BackupError(f"{what}: {'; '.join(failures)}.")
    return output


def _give(process: subprocess.Popen[bytes], given: bytes) -> None:
    if process.stdin:
        with suppress(BrokenPipeError):  # it ended early, and its exit code says so
            process.stdin.write(given)
            process.stdin.close()


def _words(complaint: IO[bytes]) -> str:
    complaint.seek(0)
    return harmless(complaint.read().decode("utf-8", "replace"))
