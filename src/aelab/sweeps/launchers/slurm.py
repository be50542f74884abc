"""Trials as jobs of a Slurm cluster, which go on without the process that submitted them."""

import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aelab.cluster import slurm
from aelab.cluster.slurm import Queue
from aelab.core.errors import SweepError
from aelab.sweeps.launchers.base import LaunchContext, MessageHandler
from aelab.sweeps.messages import ProcessEnded, TrialFacts
from aelab.sweeps.study import KILLED, LOST
from aelab.sweeps.trial_process import StudyContext, TrialRequest, run_in_own_process

ARRAY = 1000
"""How many jobs may be in the queue at a time: clusters take arrays of up to 1001 unless set otherwise."""


@dataclass
class Slurm:
    """Submits all trials that can begin as one array, of which `workers` run at a time.

    timeout_min: after so long a job is requeued and continues from its resume point.
    signal_delay_s: how long before that, or before its end, it is signalled to save.
    setup: shell commands before each training.
    additional_parameters: any other option of sbatch, as {nice: 100}.

    Raises SweepError where there is no Slurm, or where it refuses these options.
    """

    context: LaunchContext
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    timeout_min: int = 60
    signal_delay_s: int = 90
    cpus_per_task: int = 1
    mem_gb: float | None = None
    gpus_per_node: int | None = None
    setup: Sequence[str] = ()
    additional_parameters: Mapping[str, Any] = field(default_factory=dict)
    _queue: Queue = field(default_factory=Queue, init=False)
    _jobs: dict[int, str] = field(default_factory=dict, init=False)
    _unreported: list[int] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        if not slurm.is_installed():
            raise SweepError(
                "launcher=slurm: this machine has no Slurm (no sbatch, squeue and scontrol on the PATH): "
                "start the sweep where jobs are submitted, or take launcher=local"
            )
        if self.timeout_min * 60 < 2 * self.signal_delay_s:
            raise SweepError(
                f"launcher.timeout_min={self.timeout_min} leaves no time to train when it is told to save "
                f"launcher.signal_delay_s={self.signal_delay_s} before that: give a longer or a shorter one"
            )
        _check(self._executor())

    @property
    def free_slots(self) -> int:
        """The number of trials that can be started now."""
        return (ARRAY if self.context.at_once else self.context.workers) - len(self._jobs)

    def start(self, requests: Sequence[TrialRequest]) -> None:
        """Submit trials; SweepError where Slurm refuses them."""
        from submitit.core.utils import FailedJobError

        executor = self._executor()
        threads = max(1, self.cpus_per_task // self.context.study.plan.ranks)
        try:
            with slurm.outside_job(), executor.batch():
                jobs = [executor.submit(_run, self.context.study, r, threads) for r in requests]
        except FailedJobError as error:
            raise SweepError(f"launcher=slurm: {_refusal(str(error))}") from error
        for request, job in zip(requests, jobs, strict=True):
            self._jobs[request.number] = job.job_id
            self._unreported.append(request.number)

    def poll(self, seconds: float, handle: MessageHandler) -> None:
        """Hand on the job of each new trial, and which ones have ended."""
        while self._unreported:
            number = self._unreported.pop()
            handle(number, TrialFacts({"worker": {"slurm": self._jobs[number]}}))
        time.sleep(seconds)
        ended = self._queue.ended(self._jobs.values()) if self._jobs else {}
        for number, job in list(self._jobs.items()):
            if job in ended:
                del self._jobs[number]
                reason = LOST if ended[job] in slurm.BLAMELESS else KILLED
                handle(number, ProcessEnded(slurm.end_sentence(job, ended[job]), reason))

    def stop(self) -> str:
        """Leave the jobs where they are."""
        jobs = sorted({job.partition("_")[0] for job in self._jobs.values()}, key=int)
        return (
            f"the jobs stay in the queue, and the same command waits for them; scancel {' '.join(jobs)} "
            "ends them"
            if jobs
            else "the same command continues the study"
        )

    def _executor(self) -> Any:
        try:
            from submitit import SlurmExecutor
        except ImportError as error:
            raise SweepError("launcher=slurm needs submitit: pip install 'aelab[slurm]'") from error
        # max_num_timeout and submitit's handlers never act: the trial's own take the signals.
        executor = SlurmExecutor(self.context.folder.resolve() / "slurm")
        executor.update_parameters(**{key: value for key, value in self._options().items() if value})
        return executor

    def _options(self) -> dict[str, Any]:
        names = ("partition", "account", "qos", "constraint", "cpus_per_task", "gpus_per_node")
        return {
            **{name: getattr(self, name) for name in names},
            "job_name": self.context.study.name,
            "time": self.timeout_min,
            "mem": f"{round(self.mem_gb * 1024)}MB" if self.mem_gb else None,
            "signal_delay_s": self.signal_delay_s,
            "setup": list(self.setup),
            "array_parallelism": self.context.workers,
            "additional_parameters": {"requeue": True, **self.additional_parameters},
        }


def _run(study: StudyContext, request: TrialRequest, threads: int) -> None:
    with slurm.requeued():
        run_in_own_process(study, request, threads, {"slurm": slurm.job()})


def _check(executor: Any) -> None:
    """SweepError where Slurm would refuse a job of these options."""
    text = executor._make_submission_file_text("true", "check")
    with slurm.outside_job():
        answer = subprocess.run(["sbatch", "--test-only"], input=text, capture_output=True, text=True)
    if answer.returncode:
        raise SweepError(f"launcher=slurm: {_refusal(answer.stderr)}")


def _refusal(output: str) -> str:
    """The errors that sbatch prints, in one line."""
    lines = [line.partition("error: ")[2] or line for line in output.splitlines() if line.strip()]
    return "Slurm refuses the job: " + "; ".join(dict.fromkeys(lines))
