"""Slurm: the job of this process, the states of others in the queue, and the requeue of a job.

Slurm's own commands are called. None of it needs accounting, which many clusters lack.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from aelab.core.signals import Terminated

ENDED = {
    *("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "DEADLINE", "OUT_OF_MEMORY"),
    *("NODE_FAIL", "BOOT_FAIL", "PREEMPTED", "REVOKED"),
}
"""The states from which a job does not come back by itself; in every other it is under way or waits."""
BLAMELESS = {"PREEMPTED", "NODE_FAIL", "BOOT_FAIL", "REVOKED", "UNKNOWN"}
"""The states for which the job's own program is not to blame; UNKNOWN: the queue has forgotten the job."""
SECONDS = 60
"""How long a command of Slurm's may take; a busy controller answers late."""


def job() -> str | None:
    """The Slurm job that this process belongs to, as the queue names it: 12, or 12_3 in an array."""
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID")


def restarts() -> int:
    """The number of times that this job has been requeued."""
    return int(os.environ.get("SLURM_RESTART_COUNT", "0"))


def is_installed() -> bool:
    """Whether Slurm's commands are installed here."""
    return all(shutil.which(name) for name in ("sbatch", "squeue", "scontrol"))


@contextlib.contextmanager
def outside_job() -> Iterator[None]:
    """Hide the job that this process may be in, which a job submitted here would take for its own."""
    own = [n for n in os.environ if n.startswith(("SLURM_", "SUBMITIT_")) and n != "SLURM_CONF"]
    kept = {name: os.environ.pop(name) for name in own}
    try:
        yield
    finally:
        os.environ.update(kept)


@dataclass
class Queue:
    """The states of jobs by `squeue`, called for all of them at once and at most every few seconds."""

    every: float = 5.0
    _asked: frozenset[str] = frozenset()
    _looked: float = -float("inf")
    _states: dict[str, str] | None = field(default_factory=dict)

    def states(self, jobs: Collection[str]) -> Mapping[str, str] | None:
        """The states of the jobs that the queue still knows; None where it does not answer now."""
        asked = frozenset(name.partition("_")[0] for name in jobs)
        if not asked <= self._asked or time.monotonic() - self._looked > self.every:
            self._states, self._asked, self._looked = _states(asked), asked, time.monotonic()
        return self._states

    def ended(self, jobs: Collection[str]) -> dict[str, str]:
        """The jobs that have ended, with their states; one that the queue forgot is UNKNOWN."""
        states = self.states(jobs)
        if states is None:
            return {}
        found = {name: states.get(name, "UNKNOWN") for name in jobs}
        return {name: _end_state(name, state) for name, state in found.items() if state in ENDED | BLAMELESS}


def end_sentence(name: str, state: str) -> str:
    """The sentence that a job ended in a state with its work undone."""
    return f"its Slurm job {name} ended as {state} before it was done"


def is_over(name: str, restart: int) -> bool:
    """Whether an attempt at a job, by its number of requeues before, is known to be over."""
    if name == job():
        return restart < restarts()
    return is_installed() and bool(Queue().ended([name]))


@contextlib.contextmanager
def requeued() -> Iterator[None]:
    """Put this process's job back into the queue where Slurm ended what is inside, but no user did.

    SIGUSR2 announces the time limit (`sbatch --signal=USR2@90`). SIGTERM is preemption, or `scancel`: Slurm
    says which. A job that exits within the grace of a preemption would count as done without this.
    """
    try:
        yield
    except Terminated as end:
        name = job()
        # One task of several speaks for all.
        if name is not None and os.environ.get("SLURM_PROCID", "0") == "0":
            _requeue(name, end.signum)
        raise


def _requeue(name: str, signum: int) -> None:
    facts = _facts(name)
    preempted = signum == signal.SIGTERM and facts.get("PreemptTime", "None") != "None"
    if facts.get("JobState") != "RUNNING" or not (preempted or signum == signal.SIGUSR2):
        return
    for again in (signal.SIGTERM, signal.SIGUSR2):  # the requeue sends another
        signal.signal(again, signal.SIG_IGN)
    answer = _call("scontrol", "requeue", name)
    reason = answer.stderr.strip() if answer else "it does not answer"
    if answer is None or answer.returncode:
        print(f"warning: Slurm does not requeue job {name} ({reason}): submit it again", file=sys.stderr)
    else:
        print(f"Slurm's job {name} is in the queue again and continues from here", file=sys.stderr)


def _end_state(name: str, state: str) -> str:
    """The state; PREEMPTED for a job that exits in the grace of a preemption, which is FAILED for Slurm."""
    was_preempted = state == "FAILED" and _facts(name).get("PreemptTime", "None") != "None"
    return "PREEMPTED" if was_preempted else state


def _facts(name: str) -> dict[str, str]:
    answer = _call("scontrol", "show", "job", name)
    return dict(re.findall(r"(\w+)=(\S*)", answer.stdout)) if answer else {}


def _states(arrays: Collection[str]) -> dict[str, str] | None:
    if not arrays:
        return {}
    answer = _call(
        "squeue", "--noheader", "--array", "--states=all", "--format=%i %T", f"--jobs={','.join(arrays)}"
    )
    if answer is None or (answer.returncode and "Invalid job id" not in answer.stderr):
        return None
    return dict(re.findall(r"^\s*(\S+)\s+(\S+)", answer.stdout, re.MULTILINE))


def _call(*command: str) -> subprocess.CompletedProcess[str] | None:
    """The output of a command of Slurm's; None where it cannot be run or does not end in time."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return None
