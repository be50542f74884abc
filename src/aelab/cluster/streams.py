"""The log and the cores of a trial's process."""

import faulthandler
import os
import sys
from pathlib import Path


def print_to(log: Path) -> None:
    """Send all that this process prints from now on to the end of a file."""
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)
    # Not flushed: what the parent has not written yet stays its own.
    sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
    faulthandler.enable(2)


def share_cores(threads: int) -> None:
    """Have torch compute by so many threads, here and in what is started from here."""
    import torch

    os.environ["OMP_NUM_THREADS"] = str(threads)
    torch.set_num_threads(threads)


def threads_each(processes: int) -> int:
    """How many threads each of so many processes has, for this one's cores."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    return max(1, cores // processes)
