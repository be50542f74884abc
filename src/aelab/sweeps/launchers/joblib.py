"""Trials in fresh processes of joblib's (loky's), for machines on which a fork is not safe."""

import contextlib
import itertools
import os
import re
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field

from joblib.externals.loky.process_executor import (
    BrokenProcessPool,
    ProcessPoolExecutor,
    TerminatedWorkerError,
)

from aelab.cluster.gpus import VISIBLE
from aelab.cluster.processes import this_process
from aelab.sweeps.launchers.base import LaunchContext, MessageHandler
from aelab.sweeps.messages import ProcessEnded
from aelab.sweeps.study import KILLED
from aelab.sweeps.trial_process import StudyContext, TrialRequest, run_in_own_process


@dataclass
class Joblib:
    """At most `workers` processes at a time, each of which runs one trial after another.

    Every process has an executor of its own: a death breaks an executor and all that runs in it.
    """

    context: LaunchContext
    _busy: dict[int, tuple[ProcessPoolExecutor, Future]] = field(default_factory=dict)
    _idle: list[ProcessPoolExecutor] = field(default_factory=list)
    _made: dict[ProcessPoolExecutor, int] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self._gpus = self.context.study.plan.gpu_pool()

    @property
    def free_slots(self) -> int:
        """The number of trials that can be started now."""
        return self.context.workers - len(self._busy)

    def start(self, requests: Sequence[TrialRequest]) -> None:
        """Hand each trial to a process."""
        for request in requests:
            executor = self._idle.pop() if self._idle else self._executor()
            future = executor.submit(_run, self.context.study, request, self.context.threads)
            self._busy[request.number] = (executor, future)

    def _executor(self) -> ProcessPoolExecutor:
        """A process with GPUs of its own, which it keeps: CUDA asks once which ones it may use."""
        number = next(self._numbers)
        given = {} if self._gpus is None else {VISIBLE: ",".join(self._gpus.acquire(number))}
        executor = ProcessPoolExecutor(max_workers=1, env=given)
        self._made[executor] = number
        return executor

    def poll(self, seconds: float, handle: MessageHandler) -> None:
        """Hand on which trials end within a time."""
        wait([future for _, future in self._busy.values()], seconds, FIRST_COMPLETED)
        for number, (executor, future) in list(self._busy.items()):
            if not future.done():
                continue
            del self._busy[number]
            error = future.exception()
            if isinstance(error, BrokenProcessPool):
                executor.shutdown(kill_workers=True)
                if self._gpus is not None:
                    self._gpus.release(self._made[executor])
            else:
                self._idle.append(executor)
            handle(number, ProcessEnded(_exit_reason(error), KILLED))

    def stop(self) -> str:
        """End all by SIGTERM, at which a training saves where it stands, and wait for them."""
        for executor, _ in self._busy.values():
            for pid in executor._processes:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)
        wait([future for _, future in self._busy.values()])
        for executor in (*self._idle, *(executor for executor, _ in self._busy.values())):
            executor.shutdown(kill_workers=True)
        return "the same command continues the study"


def _run(study: StudyContext, request: TrialRequest, threads: int) -> None:
    run_in_own_process(study, request, threads, this_process())


def _exit_reason(error: BaseException | None) -> str:
    """The sentence on a process's end, for a trial that has not reported its own."""
    if isinstance(error, TerminatedWorkerError):
        codes = re.search(r"\{(.*)\}", str(error))
        return f"killed, as the system does where memory runs out ({codes[1] if codes else error})"
    return f"ended before it was done: {type(error).__name__}: {error}"
