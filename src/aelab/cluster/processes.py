"""Processes: the identity by which records know one, and the log and the cores of one that runs a trial."""

import faulthandler
import os
import re
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aelab.cluster import slurm


def this_process() -> dict[str, Any]:
    """The identity of this process: host, number, and when it began; in Slurm the job, too."""
    process = {"host": socket.gethostname(), "pid": os.getpid(), "started": _started(os.getpid())}
    job = slurm.job()
    return process if job is None else {**process, "job": job, "restarts": slurm.restarts()}


def alive(process: Mapping[str, Any]) -> bool:
    """Whether a process still runs; one of another machine counts as alive unless Slurm says otherwise."""
    if process.get("host") != socket.gethostname():
        return bool(process) and not _is_over(process.get("job"), process.get("restarts"))
    # The start time tells the run's process from a later one that was given the same number.
    started, pid = process.get("started"), process.get("pid")
    return started is not None and isinstance(pid, int) and started == _started(pid)


def _is_over(job: Any, restarts: Any) -> bool:
    """Whether Slurm knows that a recorded job is over; a record may come from elsewhere and hold anything."""
    known = isinstance(job, str) and re.fullmatch(r"\d+(_\d+)?", job) and isinstance(restarts, int)
    return bool(known) and slurm.is_over(job, restarts)


def _started(pid: int) -> str | None:
    """The start time of a process as the system writes it; None where no such process lives."""
    if Path("/proc/self/stat").exists():
        try:
            # After the command, which may hold spaces and brackets: the state first, the start 19 further on.
            fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        except OSError:
            return None
        return None if fields[0] in "ZX" else fields[19]
    answer = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True)
    return answer.stdout.strip() or None


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
    """Set the number of torch's threads, in this process and in those that it starts."""
    import torch

    os.environ["OMP_NUM_THREADS"] = str(threads)
    torch.set_num_threads(threads)


def threads_each(processes: int) -> int:
    """The number of threads for each of so many processes that share this one's cores."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    return max(1, cores // processes)
