"""What a sweep asks of whatever runs its trials."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from aelab.cluster.streams import threads_each
from aelab.sweeps.request import Errand, Order
from aelab.training.callbacks.study import Study

Message = tuple[Any, ...]
Hear = Callable[[int, Message], bool | None]


@dataclass(frozen=True)
class Site:
    """What a launcher is given.

    train: carries out a trial in a fork of this process.
    errand: what a process that is no fork needs besides the order.
    workers: how many trials run at a time.
    at_once: whether all trials are known from the beginning, as a grid's are.
    folder: the study's own.
    """

    train: Callable[[Order, Study], None]
    errand: Errand
    workers: int
    at_once: bool
    folder: Path

    @property
    def threads(self) -> int:
        """The share of a process where all that run at a time share this machine's cores."""
        return threads_each(self.workers * self.errand.plan.ranks)


class Launcher(Protocol):
    """Runs trials, each in a process of its own, so that a death stays alone.

    Made with a `Site` and its options; raises SweepError where it cannot run here.
    """

    @property
    def room(self) -> int:
        """How many more trials it takes now."""
        ...

    def start(self, orders: Sequence[Order]) -> None:
        """Begin trials; all that they print goes to the end of their logs."""
        ...

    def listen(self, seconds: float, hear: Hear) -> None:
        """Hand on what trials say within a time, by number, and what is answered back to them.

        Once for each, in the end: ("gone", why, reason), where reason is one of `study` in case that the
        trial has not said how it ended. A trial that tells the storage itself is heard of then alone.
        """
        ...

    def stop(self) -> str:
        """Leave the trials where they can be continued; a sentence that tells the user how."""
        ...
