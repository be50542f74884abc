"""Trials as forked processes: what is imported once serves all, and a death stays alone."""

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from typing import Any

from aelab.cluster.gpus import VISIBLE
from aelab.cluster.streams import print_to, share_cores
from aelab.config.construct import locate
from aelab.core.signals import ENDING
from aelab.loggers import Tracker
from aelab.runs.build import read_data_ahead
from aelab.runs.prepare import changes, tree
from aelab.runs.provenance import packages
from aelab.sweeps.launchers.launcher import Hear, Site
from aelab.sweeps.plan import Plan
from aelab.sweeps.request import Order
from aelab.sweeps.study import KILLED
from aelab.sweeps.trial import told_how_it_ends

PARENT_DEATH = 1  # Linux's prctl option: the signal that a process gets when its parent dies


@dataclass
class Local:
    """Forks at most `workers` trials at a time, which share the cores and the GPUs and end with this process.

    Nothing may have started threads in this process, or they and their locks are lost in the forks.
    """

    site: Site
    _running: dict[int, tuple[ForkProcess, Connection]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._gpus = self.site.errand.plan.gpus()
        # Before any trial is taken: it may last longer than a trial may be silent.
        _read_once(self.site.errand.plan)

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
        given = {} if self._gpus is None else {VISIBLE: ",".join(self._gpus.take(order.number))}
        process = multiprocessing.get_context("fork").Process(
            target=_work, args=(self.site, order, theirs, inherited, given, os.getpid())
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
                if self._gpus is not None:
                    self._gpus.give_back(key)
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


def _read_once(plan: Plan) -> None:
    """Read what all trials have in common, in the process that they are forked from."""
    for config in plan.compositions:
        read_data_ahead(config)
        for name, node in (config.get("logger") or {}).items():
            tracker: type[Tracker[Any]] = locate(node._target_, f"logger.{name}")
            tracker.preload()
    for common in (tree, changes, packages):
        common()


def _work(
    site: Site,
    order: Order,
    study: Connection,
    inherited: list[Connection],
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
    share_cores(site.threads)
    with told_how_it_ends(study):
        site.train(order, study)


def _die_with(parent: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PARENT_DEATH, signal.SIGTERM)
    if os.getppid() != parent:  # it died before that was set
        os._exit(128 + signal.SIGTERM)


def _death(code: int) -> str:
    if code == -9:
        return "killed by signal 9, as the system does where memory runs out"
    return f"killed by signal {-code}" if code < 0 else f"ended with exit code {code} before it was done"
