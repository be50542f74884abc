"""Trials as forked processes: what is imported once serves all, and a death stays alone."""

import contextlib
import ctypes
import faulthandler
import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import Any

from aelab.callbacks.signals import Terminated
from aelab.callbacks.study import Pruned
from aelab.errors import AelabError
from aelab.sweeps.gpus import VISIBLE, Gpus

PARENT_DEATH = 1  # Linux's prctl option: the signal that a process gets when its parent dies

Message = tuple[Any, ...]
Work = Callable[[Connection], None]


@dataclass
class Pool:
    """At most `size` trials at a time, which share the machine's cores and GPUs.

    ranks: the processes of a trial.  gpus: what is dealt out; None: trials compute on the CPU.

    Nothing may have started threads in this process, or they and their locks are lost in the forks.
    """

    size: int
    ranks: int = 1
    gpus: Gpus | None = None
    _running: dict[int, tuple[ForkProcess, Connection]] = field(default_factory=dict)

    @property
    def free(self) -> bool:
        """Whether one more can begin."""
        return len(self._running) < self.size

    @property
    def keys(self) -> list[int]:
        """What is at work."""
        return list(self._running)

    def start(self, key: int, work: Work, log: Path) -> None:
        """Fork a process that does `work`; all that it prints goes to the end of `log`."""
        ours, theirs = multiprocessing.Pipe()
        inherited = [ours, *(connection for _, connection in self._running.values())]
        given = {} if self.gpus is None else {VISIBLE: ",".join(self.gpus.take(key))}
        process = multiprocessing.get_context("fork").Process(
            target=_work, args=(work, theirs, inherited, log, self._threads(), given, os.getpid())
        )
        process.start()
        theirs.close()
        self._running[key] = (process, ours)

    def messages(self, seconds: float) -> Iterator[tuple[int, Message]]:
        """What the processes send within a time, and ("exit", code) once when one has ended."""
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
                yield key, ("exit", process.exitcode)

    def answer(self, key: int, answer: Any) -> None:
        """Send to a process; one that has died meanwhile is told of by `messages`."""
        with contextlib.suppress(OSError):
            self._running[key][1].send(answer)

    def stop(self) -> None:
        """End all by SIGTERM, at which a training saves where it stands, and wait for them."""
        for process, connection in self._running.values():
            process.terminate()
            connection.close()  # else one that waits for an answer waits for ever
        for process, _ in self._running.values():
            process.join()

    def _threads(self) -> int:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
        return max(1, cores // (self.size * self.ranks))


def _work(
    work: Work,
    study: Connection,
    inherited: list[Connection],
    log: Path,
    threads: int,
    given: dict[str, str],
    parent: int,
) -> None:
    """What a forked process does; nothing that it raises is lost."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    for connection in inherited:
        connection.close()
    _die_with(parent)
    _print_to(log)
    os.environ.update(given)  # CUDA reads it when it is first used, which is later
    _share_cores(threads)
    try:
        work(study)
    except Pruned as reason:
        study.send(("pruned", str(reason)))
    except Terminated:
        raise
    except BaseException as error:
        if not isinstance(error, AelabError):
            traceback.print_exc()
        study.send(("failed", f"{type(error).__name__}: {' '.join(str(error).split())}"))
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def _die_with(parent: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PARENT_DEATH, signal.SIGTERM)
    if os.getppid() != parent:  # it died before that was set
        os._exit(128 + signal.SIGTERM)


def _print_to(log: Path) -> None:
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)
    # Not flushed: what the parent has not written yet stays its own.
    sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
    faulthandler.enable(2)


def _share_cores(threads: int) -> None:
    import torch

    os.environ["OMP_NUM_THREADS"] = str(threads)
    torch.set_num_threads(threads)
