"""Trials as forked processes: what is imported once serves all, and a death stays alone."""

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from typing import Any

from hydra.utils import get_class

from aelab.callbacks.signals import ENDING
from aelab.callbacks.study import Study
from aelab.runs.build import read_data_ahead
from aelab.runs.snapshot import packages
from aelab.runs.train import changes, tree
from aelab.sweeps.errand import Order
from aelab.sweeps.gpus import VISIBLE, gpus_for
from aelab.sweeps.launchers.launcher import Message, Site
from aelab.sweeps.plan import Plan
from aelab.sweeps.streams import print_to, share_cores, threads_each
from aelab.sweeps.trial import told_how_it_ends
from aelab.trackers import Tracker

PARENT_DEATH = 1  # Linux's prctl option: the signal that a process gets when its parent dies

Train = Callable[[Order, Study], None]


@dataclass
class Local:
    """Forks at most `workers` trials at a time, which share cores and GPUs and end with this process.

    Raises ConfigurationError where the machine has too few GPUs for all of them.

    Nothing may have started threads in this process, or they and their locks are lost in the forks.
    """

    site: Site
    _running: dict[int, tuple[ForkProcess, Connection]] = field(default_factory=dict)
    _has_read: bool = False

    def __post_init__(self) -> None:
        each = self.site.errand.plan.gpus_each
        self.gpus = gpus_for(self.site.workers, each) if each else None

    @property
    def room(self) -> int:
        """How many more trials it takes now."""
        return self.site.workers - len(self._running)

    def start(self, orders: Sequence[Order]) -> None:
        """Fork a process for each trial."""
        if not self._has_read:
            _read_once(self.site.errand.plan)
            self._has_read = True
        for order in orders:
            self._fork(order)

    def _fork(self, order: Order) -> None:
        ours, theirs = multiprocessing.Pipe()
        inherited = [ours, *(connection for _, connection in self._running.values())]
        threads = threads_each(self.site.workers * self.site.errand.plan.ranks)
        given = {} if self.gpus is None else {VISIBLE: ",".join(self.gpus.take(order.number))}
        process = multiprocessing.get_context("fork").Process(
            target=_work, args=(self.site.train, order, theirs, inherited, threads, given, os.getpid())
        )
        process.start()
        theirs.close()
        self._running[order.number] = (process, ours)

    def messages(self, seconds: float) -> Iterator[tuple[int, Message]]:
        """What the processes send within a time, and ("gone", why) once when one has ended."""
        ready = set(wait([connection for _, connection in self._running.values()], seconds))
        for key, (process, connection) in list(self._running.items()):
            if connection not in ready:
                continue
            try:
                yield key, connection.recv()
            except (EOFError, OSError):  # the process is gone: a kill may cut a message
                process.join()
                connection.close()
                del self._running[key]
                if self.gpus is not None:
                    self.gpus.give_back(key)
                yield key, ("gone", _death(process.exitcode or 0))

    def answer(self, number: int, answer: Any) -> None:
        """Send to a process; one that has died meanwhile is told of by `messages`."""
        with contextlib.suppress(OSError):
            self._running[number][1].send(answer)

    def stop(self) -> str:
        """End all by SIGTERM, at which a training saves where it stands, and wait for them."""
        for process, connection in self._running.values():
            process.terminate()
            connection.close()  # else one that waits for an answer waits for ever
        for process, _ in self._running.values():
            process.join()
        return "the same command continues the study"


def _read_once(plan: Plan) -> None:
    """Read what all trials have in common, in the process that they are forked from."""
    for config in plan.compositions:
        read_data_ahead(config)
        for node in (config.get("logger") or {}).values():
            tracker: type[Tracker[Any]] = get_class(node._target_)
            tracker.preload()
    for common in (tree, changes, packages):
        common()


def _work(
    train: Train,
    order: Order,
    study: Connection,
    inherited: list[Connection],
    threads: int,
    given: dict[str, str],
    parent: int,
) -> None:
    """What a forked process does."""
    for number in ENDING:
        signal.signal(number, signal.SIG_DFL)
    for connection in inherited:
        connection.close()
    _die_with(parent)
    print_to(order.log)
    os.environ.update(given)  # CUDA reads it when it is first used, which is later
    share_cores(threads)
    with told_how_it_ends(study):
        train(order, study)


def _die_with(parent: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PARENT_DEATH, signal.SIGTERM)
    if os.getppid() != parent:  # it died before that was set
        os._exit(128 + signal.SIGTERM)


def _death(code: int) -> str:
    if code == -9:
        return "killed by signal 9, as the system does where memory runs out"
    return f"killed by signal {-code}" if code < 0 else f"ended with exit code {code} before it was done"
