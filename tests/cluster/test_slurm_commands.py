"""What is made of Slurm's words, said here by scripts in the place of its commands."""

import os
import signal
import socket
import stat

import optuna
import pytest
from optuna.trial import TrialState
from studies import POINTS, shared_record

from aelab.cluster import slurm
from aelab.cluster.processes import alive, this_process
from aelab.cluster.slurm import Queue, requeued
from aelab.core.signals import Terminated
from aelab.sweeps import study
from aelab.sweeps.storage import open_storage


@pytest.fixture
def says(tmp_path, monkeypatch):
    """Have a command of Slurm's say something; `called` has the lines it was called with."""
    bin = tmp_path / "bin"
    bin.mkdir()
    monkeypatch.setenv("PATH", f"{bin}:/usr/bin:/bin")

    def script(name, out="", err="", code=0):
        path = bin / name
        (bin / f"{name}.out").write_text(out)
        (bin / f"{name}.err").write_text(err)
        path.write_text(
            f'#!/bin/sh\necho "$@" >> {path}.called\ncat {path}.out\ncat {path}.err >&2\nexit {code}\n'
        )
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    script.called = lambda name: (
        (bin / f"{name}.called").read_text().splitlines() if (bin / f"{name}.called").exists() else []
    )
    for name in ("sbatch", "squeue", "scontrol"):
        script(name)
    return script


QUEUE = """            7_0 PENDING
            7_1 RUNNING
            7_2 TIMEOUT
            7_3 COMPLETING
            7_4 REQUEUE_HOLD
            7_5 OUT_OF_MEMORY
"""


def test_a_job_is_over_that_ended_or_that_the_queue_forgot(says):
    says("squeue", QUEUE)
    ended = Queue().ended([f"7_{task}" for task in range(7)])
    assert ended == {"7_2": "TIMEOUT", "7_5": "OUT_OF_MEMORY", "7_6": "UNKNOWN"}
    assert len(says.called("squeue")) == 1


def test_a_job_that_exits_while_it_is_preempted_has_not_failed_by_itself(says):
    says("squeue", "7 FAILED")
    says("scontrol", JOB.format("FAILED", "None"))
    assert Queue().ended(["7"]) == {"7": "FAILED"}
    says("scontrol", JOB.format("FAILED", TIME))
    assert Queue().ended(["7"]) == {"7": "PREEMPTED"}


def test_no_job_is_over_while_the_controller_does_not_answer(says):
    says("squeue", err="slurm_load_jobs error: Unable to contact slurm controller", code=1)
    assert Queue().ended(["7_2"]) == {}
    says("squeue", err="slurm_load_jobs error: Invalid job id specified", code=1)
    assert Queue().ended(["7_2"]) == {"7_2": "UNKNOWN"}


def test_a_queue_is_asked_again_after_a_while_or_for_another_job(says):
    says("squeue", QUEUE)
    queue = Queue(every=3600)
    for jobs in (["7_0"], ["7_0", "7_1"], ["7_0"], ["7_0", "8"]):
        queue.ended(jobs)
    assert len(says.called("squeue")) == 2


def taken(folder, workers):
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    record = shared_record(open_storage(None, folder))
    record.enqueue(POINTS[: len(workers)])
    for worker in workers:
        record.set_facts(record.claim(range(len(workers))), worker=worker)
    return record


def taken_back(record, ours=()):
    """The reason of each trial that was taken back."""
    record.claim(ours)
    return {t.number: t.user_attrs["reason"] for t in record.study.trials if "reason" in t.user_attrs}


def test_trials_of_jobs_that_are_over_are_taken_back_by_one_look(says, tmp_path):
    says("squeue", QUEUE)
    record = taken(tmp_path, [{"slurm": f"7_{task}"} for task in range(7)])
    record.queue = Queue()
    before = len(says.called("squeue"))
    reasons = {2: study.KILLED, 5: study.KILLED, 6: study.LOST}
    assert taken_back(record, ours=range(7)) == {}
    assert taken_back(record) == reasons
    assert len(says.called("squeue")) == before + 1


def test_where_there_is_no_slurm_the_beat_counts(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    record = taken(tmp_path, [{"slurm": "7_0"}, {"slurm": "7_1"}])
    assert taken_back(record) == {}
    (first, _) = record.study.get_trials(states=(TrialState.RUNNING,))
    record.study._storage.set_trial_user_attr(first._trial_id, "beat", 0.0)
    assert taken_back(record) == {0: study.LOST}


def test_a_process_of_another_machine_is_gone_when_its_job_is(says, monkeypatch):
    says("squeue", QUEUE)
    there = {**this_process(), "host": f"not-{socket.gethostname()}"}
    assert alive(there)
    assert alive({**there, "job": "7_1", "restarts": 0})
    assert not alive({**there, "job": "7_2", "restarts": 0})
    assert alive({**there, "job": "7_2; rm", "restarts": 0})
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "7")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "1")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    assert not alive({**there, "job": "7_1", "restarts": 0})
    assert alive({**there, "job": "7_1", "restarts": 1})


def test_a_job_submitted_by_a_job_does_not_take_its_name(monkeypatch):
    for name, value in {"ARRAY_JOB_ID": "7", "ARRAY_TASK_ID": "1", "JOB_ID": "8", "CONF": "/c"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    with slurm.outside_job():
        assert slurm.job() is None
        assert {n for n in os.environ if n.startswith("SLURM")} == {"SLURM_CONF"}
    assert slurm.job() == "7_1"


JOB = "JobId=7 JobName=x\n   JobState={} Reason=None\n   PreemptTime={}\n"
TIME = "2026-01-31T12:00:00"


@pytest.mark.parametrize(
    ("signum", "state", "preempted", "again"),
    [
        (signal.SIGTERM, "RUNNING", TIME, True),
        (signal.SIGTERM, "RUNNING", "None", False),
        (signal.SIGTERM, "COMPLETING", "None", False),  # by scancel
        (signal.SIGTERM, "COMPLETING", TIME, False),  # Slurm has requeued it
        (signal.SIGUSR2, "RUNNING", "None", True),
        (signal.SIGINT, "RUNNING", "None", False),
    ],
)
def test_a_job_is_requeued_when_slurm_ended_it_and_no_user_did(
    says, monkeypatch, signum, state, preempted, again
):
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR2)}
    says("scontrol", JOB.format(state, preempted))
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    try:
        with pytest.raises(Terminated), requeued():
            raise Terminated(signum)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert ("requeue 7" in says.called("scontrol")) == again


def test_one_task_of_several_requeues_and_none_outside_of_slurm(says, monkeypatch):
    says("scontrol", JOB.format("RUNNING", TIME))
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    with pytest.raises(Terminated), requeued():
        raise Terminated(signal.SIGTERM)
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURM_PROCID", "1")
    with pytest.raises(Terminated), requeued():
        raise Terminated(signal.SIGTERM)
    assert says.called("scontrol") == []
    assert slurm.job() == "7"
