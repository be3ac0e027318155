# SPDX-License-Identifier: GPL-3.0-or-later
"""The plugin's side of the agent. Runs inside Orthanc: the standard library only."""

from __future__ import annotations

import itertools
import json
import subprocess
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

Answer = tuple[int, dict[str, Any]]
"""HTTP status and JSON body."""

SECONDS = 30.0
AWAY: Answer = (503, {"error": "the agent of this Orthanc does not answer; try again later"})


class AgentClient:
    """Starts the agent, and starts it again if it has ended.

    May be used by several threads. Nothing here waits longer than `seconds`.
    """

    def __init__(
        self, command: Sequence[str], warn: Callable[[str], None], seconds: float = SECONDS
    ) -> None:
        self._command = list(command)
        self._warn = warn
        self._seconds = seconds
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._waiting: dict[int, Future[Answer]] = {}
        self._process: subprocess.Popen[str] | None = None
        self._stopped = False

    def ask(self, call: str, **arguments: Any) -> Answer:
        """Return the agent's answer; 503 if there is none in time."""
        number, future = self._send(call, arguments)
        try:
            return future.result(self._seconds)
        except TimeoutError:
            return AWAY
        finally:
            self._waiting.pop(number, None)

    def tell(self, call: str, **arguments: Any) -> None:
        """Pass something on and return at once; a failure is warned of later."""

        def look(done: Future[Answer]) -> None:
            self._waiting.pop(number, None)
            status, _ = done.result()
            if status >= 500:
                self._warn(f"the agent did not take '{call}' ({status}); reconcile makes up for it")

        number, future = self._send(call, arguments)
        future.add_done_callback(look)

    def stop(self, seconds: float) -> None:
        """End the agent, after what it does now or at most `seconds`."""
        with self._lock:
            self._stopped = True
            process, self._process = self._process, None
        if process is None or process.stdin is None:
            return
        process.stdin.close()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _send(self, call: str, arguments: dict[str, Any]) -> tuple[int, Future[Answer]]:
        number = next(self._numbers)
        future: Future[Answer] = Future()
        line = json.dumps({**arguments, "number": number, "call": call})
        try:
            with self._lock:
                stdin = self._running().stdin
                self._waiting[number] = future
                if stdin is not None:
                    stdin.write(line + "\n")
                    stdin.flush()
        except OSError:
            _resolve(future, AWAY)
        return number, future

    def _running(self) -> subprocess.Popen[str]:
        if self._stopped:
            raise BrokenPipeError
        if self._process is None:
            self._process = subprocess.Popen(  # noqa: S603 - the command is the plugin's own
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            threading.Thread(
                target=self._read, args=(self._process,), name="agent answers", daemon=True
            ).start()
        return self._process

    def _read(self, process: subprocess.Popen[str]) -> None:
        for line in process.stdout or ():
            number, status, body = json.loads(line)
            if future := self._waiting.get(number):
                _resolve(future, (status, body))
        with self._lock:
            # It has ended: what it was asked stays unanswered, the next question starts another.
            unanswered = list(self._waiting.values())
            if self._process is process:
                self._process = None
        process.wait()
        for future in unanswered:
            _resolve(future, AWAY)


def _resolve(future: Future[Answer], answer: Answer) -> None:
    if not future.done():
        future.set_result(answer)
