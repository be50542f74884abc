"""What a sweep asks of whatever runs its trials."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from aelab.callbacks.study import Study
from aelab.sweeps.errand import Errand, Order

Message = tuple[Any, ...]


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

    def messages(self, seconds: float) -> Iterator[tuple[int, Message]]:
        """What is heard of the trials within a time, by number.

        A trial that tells the storage itself is heard of in the end alone: ("gone", why), once for each.
        """
        ...

    def answer(self, number: int, answer: Any) -> None:
        """Answer a message of a trial that waits for it."""
        ...

    def stop(self) -> str:
        """Leave the trials where they can be continued; a sentence that tells the user how."""
        ...
