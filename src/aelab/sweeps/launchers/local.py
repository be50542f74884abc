"""Trials as forked processes: what is imported once serves all, and a death stays alone."""

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess

from aelab.callbacks.signals import ENDING
from aelab.callbacks.study import Study
from aelab.sweeps.errand import Order
from aelab.sweeps.launchers.launcher import Hear, Site
from aelab.sweeps.streams import cores, print_to, share_cores
from aelab.sweeps.study import KILLED
from aelab.sweeps.trial import told_how_it_ends

PARENT_DEATH = 1  # Linux's prctl option: the signal that a process gets when its parent dies

Train = Callable[[Order, Study], None]


@dataclass
class Local:
    """Forks at most `workers` processes at a time, which share the machine's cores and end with this one.

    Nothing may have started threads in this process, or they and their locks are lost in the forks.
    """

    site: Site
    _running: dict[int, tuple[ForkProcess, Connection]] = field(default_factory=dict)

    @property
    def room(self) -> int:
        """How many more trials it takes now."""
        return self.site.workers - len(self._running)

    def start(self, orders: Sequence[Order]) -> None:
        """Fork a process for each trial."""
        for order in orders:
            self._fork(order)

    def _fork(self, order: Order) -> None:
        ours, theirs = multiprocessing.Pipe()
        inherited = [ours, *(connection for _, connection in self._running.values())]
        threads = max(1, cores() // self.site.workers)
        process = multiprocessing.get_context("fork").Process(
            target=_work, args=(self.site.train, order, theirs, inherited, threads, os.getpid())
        )
        process.start()
        theirs.close()
        self._running[order.number] = (process, ours)

    def listen(self, seconds: float, hear: Hear) -> None:
        """Hand on what the processes send within a time."""
        ready = set(wait([connection for _, connection in self._running.values()], seconds))
        for key, (process, connection) in list(self._running.items()):
            if connection not in ready:
                continue
            try:
                message = connection.recv()
            except (EOFError, OSError):  # the process is gone: a kill may cut a message
                process.join()
                connection.close()
                del self._running[key]
                hear(key, ("gone", _death(process.exitcode or 0), KILLED))
                continue
            if (answer := hear(key, message)) is not None:
                with contextlib.suppress(OSError):  # it has died meanwhile, which is heard of next
                    connection.send(answer)

    def stop(self) -> str:
        """End all by SIGTERM, at which a training saves where it stands, and wait for them."""
        for process, connection in self._running.values():
            process.terminate()
            connection.close()  # else one that waits for an answer waits for ever
        for process, _ in self._running.values():
            process.join()
        return "the same command continues the study"


def _work(
    train: Train, order: Order, study: Connection, inherited: list[Connection], threads: int, parent: int
) -> None:
    """What a forked process does."""
    for number in ENDING:
        signal.signal(number, signal.SIG_DFL)
    for connection in inherited:
        connection.close()
    _die_with(parent)
    print_to(order.log)
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
