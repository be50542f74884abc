"""SIGTERM, SIGUSR2 and Ctrl-C, held back while a training step is under way."""

import signal
import time
from types import FrameType, TracebackType
from typing import Any

ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2)
"""What ends a run where it can be continued; SIGUSR2 is how Slurm's users have a time limit announced."""

ECHO = 3.0
"""Seconds within which a second SIGTERM is taken for the first."""


class Terminated(SystemExit):
    """A run ended by a signal; its exit code is 128 + the signal's number, as a shell would say."""

    def __init__(self, signum: int) -> None:
        super().__init__(128 + signum)
        self.signum = signum


class Signals:
    """A context in which the signals `ENDING` raise `Terminated`, or wait in `received` while `deferred`.

    A second signal of the same kind is not held back.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self.received_at = 0.0
        self.deferred = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Signals":
        self._before = {s: signal.getsignal(s) for s in ENDING}
        self.install()
        return self

    def install(self) -> None:
        """Take the signals over, also from whoever took them since."""
        for signum in self._before:
            signal.signal(signum, self._handle)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, handler)

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        # Slurm ends a sweep and its trials at once, and the sweep then ends the trials: one wish in all.
        is_echo = signum == signal.SIGTERM and time.monotonic() - self.received_at < ECHO
        if not self.deferred or (self.received == signum and not is_echo):
            raise Terminated(signum)
        self.received, self.received_at = signum, time.monotonic()
