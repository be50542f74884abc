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
from aelab.cluster.processes import print_to, share_cores
from aelab.config.construct import locate
from aelab.core.signals import ENDING
from aelab.loggers import Tracker
from aelab.runs.build import preload_data
from aelab.runs.provenance import packages
from aelab.runs.train import changes, tree
from aelab.sweeps.launchers.base import LaunchContext, MessageHandler
from aelab.sweeps.messages import ProcessEnded
from aelab.sweeps.plan import Plan
from aelab.sweeps.study import KILLED
from aelab.sweeps.trial import reporting_outcome
from aelab.sweeps.trial_process import TrialRequest

PARENT_DEATH = 1  # Linux's prctl option: the signal that a process gets when its parent dies


@dataclass
class Local:
    """Forks at most `workers` trials at a time, which share the cores and the GPUs and end with this process.

    Nothing may have started threads in this process, or they and their locks are lost in the forks.
    """

    context: LaunchContext
    _running: dict[int, tuple[ForkProcess, Connection]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._gpus = self.context.study.plan.gpu_pool()
        # Before any trial is taken: it may last longer than a trial may be silent.
        _preload(self.context.study.plan)

    @property
    def free_slots(self) -> int:
        """The number of trials that can be started now."""
        return self.context.workers - len(self._running)

    def start(self, requests: Sequence[TrialRequest]) -> None:
        """Fork a process for each trial."""
        for request in requests:
            self._fork(request)

    def _fork(self, request: TrialRequest) -> None:
        ours, theirs = multiprocessing.Pipe()
        inherited = [ours, *(connection for _, connection in self._running.values())]
        given = {} if self._gpus is None else {VISIBLE: ",".join(self._gpus.acquire(request.number))}
        process = multiprocessing.get_context("fork").Process(
            target=_run_in_fork, args=(self.context, request, theirs, inherited, given, os.getpid())
        )
        process.start()
        theirs.close()
        self._running[request.number] = (process, ours)

    def poll(self, seconds: float, handle: MessageHandler) -> None:
        """Hand on the messages that the processes send within a time."""
        ready = set(wait([connection for _, connection in self._running.values()], seconds))
        for number, (process, connection) in list(self._running.items()):
            if connection not in ready:
                continue
            try:
                message = connection.recv()
            except (EOFError, OSError):  # the process is gone: a kill may cut a message
                process.join()
                connection.close()
                del self._running[number]
                if self._gpus is not None:
                    self._gpus.release(number)
                handle(number, ProcessEnded(_exit_reason(process.exitcode or 0), KILLED))
                continue
            if (answer := handle(number, message)) is not None:
                with contextlib.suppress(OSError):  # it has died meanwhile, which the next poll finds
                    connection.send(answer)

    def stop(self) -> str:
        """End all by SIGTERM, at which a training saves where it stands, and wait for them."""
        for process, connection in self._running.values():
            process.terminate()
            connection.close()  # else one that waits for an answer waits for ever
        for process, _ in self._running.values():
            process.join()
        return "the same command continues the study"


def _preload(plan: Plan) -> None:
    """Read what all trials have in common, in the process that they are forked from."""
    for config in plan.compositions:
        preload_data(config)
        for name, node in (config.get("logger") or {}).items():
            tracker: type[Tracker[Any]] = locate(node._target_, f"logger.{name}")
            tracker.preload()
    for common in (tree, changes, packages):
        common()


def _run_in_fork(
    context: LaunchContext,
    request: TrialRequest,
    channel: Connection,
    inherited: list[Connection],
    given: dict[str, str],
    parent: int,
) -> None:
    for number in ENDING:
        signal.signal(number, signal.SIG_DFL)
    for connection in inherited:
        connection.close()
    _terminate_with(parent)
    print_to(request.log)
    os.environ.update(given)  # CUDA reads it when it is first used, which is later
    share_cores(context.threads)
    with reporting_outcome(channel):
        context.train(request, channel)


def _terminate_with(parent: int) -> None:
    """Have this process terminated when its parent dies, where the system can."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PARENT_DEATH, signal.SIGTERM)
    if os.getppid() != parent:  # it died before that was set
        os._exit(128 + signal.SIGTERM)


def _exit_reason(code: int) -> str:
    if code == -9:
        return "killed by signal 9, as the system does where memory runs out"
    return f"killed by signal {-code}" if code < 0 else f"ended with exit code {code} before it was done"
