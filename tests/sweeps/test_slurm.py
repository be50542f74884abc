"""Sweeps and trainings on a real Slurm: preempted, cancelled, left alone by who submitted them."""

import fcntl
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import optuna
import pytest
import torch
from optuna.trial import TrialState
from small import SMALL

from aelab.cluster.slurm import Queue
from aelab.loggers.jsonl import rows
from aelab.runs.folder import RunFolder, Status
from aelab.sweeps.storage import open_storage
from aelab.training.checkpoints import load

SCRIPT = Path(__file__).parents[2] / "scripts" / "train.py"
LONG = [*SMALL, "trainer.limit_train_batches=1.0", "trainer.max_epochs=150", "pictures.every_n_epochs=1000"]


def is_up():
    """Whether there is a Slurm with the partitions of scripts/slurm_on_loopback.sh."""
    if shutil.which("sinfo") is None:
        return False
    shown = subprocess.run(["sinfo", "--noheader", "--format=%R"], capture_output=True, text=True).stdout
    return {"low", "high"} <= set(shown.split())


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not is_up(), reason="no Slurm is up: scripts/slurm_on_loopback.sh start"),
]


@pytest.fixture(autouse=True)
def cluster(tmp_path_factory):
    """The cluster to oneself: a job of one test would preempt those of another; none is left behind."""
    with (tmp_path_factory.getbasetemp().parent / "slurm.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        before = set(jobs())
        yield
        for job in set(jobs()) - before:
            subprocess.run(["scancel", job], check=True)


@pytest.fixture
def outputs(tmp_path):
    return tmp_path / "outputs"


@pytest.fixture
def sweep(tmp_path, outputs, script_environment):
    """Start scripts/train.py -m with trials on Slurm."""

    def begin(*overrides):
        command = [sys.executable, str(SCRIPT), "-m", *overrides, "launcher=slurm", f"outputs={outputs}"]
        return subprocess.Popen(
            command, env=script_environment, cwd=tmp_path, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    return begin


@pytest.fixture
def submit(tmp_path, script_environment):
    """Submit a command to a partition; the job's number."""

    def sbatch(command, *options, partition="low"):
        log = tmp_path / "%j.log"
        words = ["sbatch", "--parsable", f"--partition={partition}", f"--output={log}", "--open-mode=append"]
        done = subprocess.run(
            [*words, *options, "--wrap", command],
            env=script_environment, cwd=tmp_path, capture_output=True, text=True, check=True,
        )  # fmt: skip
        return done.stdout.strip()

    return sbatch


def jobs():
    """The jobs that are under way or wait."""
    return subprocess.run(["squeue", "-h", "-r", "-o", "%i"], capture_output=True, text=True).stdout.split()


def running():
    shown = ["squeue", "-h", "-r", "-t", "RUNNING", "-o", "%i"]
    return subprocess.run(shown, capture_output=True, text=True).stdout.split()


def until(condition, seconds=240):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.2)
    return found


def runs(outputs):
    return [RunFolder(path.parent) for path in outputs.glob("*/*/record.json")]


def trained(outputs, epochs=2):
    """The runs that have got so far."""
    return [run for run in runs(outputs) if run.metrics.exists() and len(list(rows(run.metrics))) > epochs]


def study(outputs):
    (folder,) = outputs.glob("sweeps/grid-*")
    return optuna.load_study(study_name=folder.name, storage=open_storage(None, folder))


def assert_bit_equal(one, other):
    assert one.metrics.read_bytes() == other.metrics.read_bytes()
    for name in ("best.ckpt", sorted(p.name for p in one.checkpoints.glob("resume-*"))[-1]):
        ours, theirs = load(one.checkpoints / name), load(other.checkpoints / name)
        assert ours["state_dict"].keys() == theirs["state_dict"].keys()
        assert all(torch.equal(ours["state_dict"][k], theirs["state_dict"][k]) for k in ours["state_dict"])
    assert one.read()["metrics"] == other.read()["metrics"]


def test_six_trials_are_one_array_and_the_one_that_fails_ends_alone(sweep, outputs):
    begun = sweep(*SMALL, "optimizer.lr=1e-3,2e-3,3e-3,1e30,4e-3,5e-3", "sweep.workers=2")
    said, _ = begun.communicate(timeout=300)
    assert begun.returncode == 1, said
    assert Counter(run.status for run in runs(outputs)) == {Status.FINISHED: 5, Status.FAILED: 1}
    assert "failed    trial 3: NonFiniteError" in said
    assert "1 of 6 trials failed" in said
    best = study(outputs).best_trial
    assert f"val/elbo={best.value:.6g}" in said.split("\nbest")[1]
    (script,) = outputs.glob("sweeps/*/slurm/*_submission.sh")
    assert "--array=0-5%2" in script.read_text()
    assert "  elbo " in next(outputs.glob("sweeps/*/trial-0005.log")).read_text()


def test_a_trial_outlives_its_submitter_and_a_preemption_bit_for_bit(sweep, outputs, submit, train):
    begun = sweep(*LONG, "seed=0", "launcher.partition=low")
    (run,) = until(lambda: trained(outputs))
    begun.kill()
    begun.wait()
    submit("sleep 1", "--exclusive", partition="high")
    until(lambda: run.status is Status.KILLED)
    again = sweep(*LONG, "seed=0", "launcher.partition=low")
    said, _ = again.communicate(timeout=300)
    assert again.returncode == 0, said
    assert [r.path for r in runs(outputs)] == [run.path]
    assert (run.status, run.read()["resumes"], run.read()["process"]["restarts"]) == (Status.FINISHED, 1, 1)
    (trial,) = study(outputs).trials
    assert trial.state is TrialState.COMPLETE
    assert_bit_equal(run, train(base=LONG))


def test_a_trial_that_is_preempted_before_it_takes_signals_is_submitted_again(sweep, outputs, submit):
    begun = sweep(*SMALL, "seed=0", "launcher.partition=low")
    job = until(lambda: next(iter(running()), None))
    time.sleep(2)  # it imports now
    submit("sleep 1", "--exclusive", partition="high")
    said, _ = begun.communicate(timeout=300)
    assert begun.returncode == 0, said
    assert f"trial 0 failed its Slurm job {job} ended as PREEMPTED" in said
    assert [trial.state for trial in study(outputs).trials] == [TrialState.FAIL, TrialState.COMPLETE]


def test_a_trial_of_two_processes_is_one_run(sweep, outputs):
    ddp = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "launcher.cpus_per_task=2"]
    begun = sweep(*SMALL, *ddp, "seed=0")
    said, _ = begun.communicate(timeout=300)
    assert begun.returncode == 0, said
    (run,) = runs(outputs)
    assert (run.status, run.read()["processes"]) == (Status.FINISHED, 2)


def test_a_training_at_its_time_limit_continues_its_own_run(submit, outputs, train):
    command = " ".join(["srun", sys.executable, str(SCRIPT), *LONG, f"outputs={outputs}"])
    job = submit(command)
    (run,) = until(lambda: trained(outputs))
    # As `sbatch --signal=USR2@90` has it sent.
    subprocess.run(["scancel", "--signal=USR2", job], check=True)
    until(lambda: run.status is Status.FINISHED)
    assert (len(runs(outputs)), run.read()["resumes"]) == (1, 1)
    assert_bit_equal(run, train(base=LONG))


def test_two_tasks_are_one_training_that_a_preemption_does_not_change(
    submit, outputs, tmp_path, script_environment
):
    ddp = [*LONG, "trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "trainer.max_epochs=30"]
    ddp += ["trainer.log_every_n_steps=5"]
    submit(
        " ".join(["srun", "-n", "2", sys.executable, str(SCRIPT), *ddp, f"outputs={outputs}"]), "--ntasks=2"
    )
    (run,) = until(lambda: trained(outputs))
    submit("sleep 1", "--exclusive", partition="high")
    until(lambda: run.status is Status.FINISHED)
    assert (len(runs(outputs)), run.read()["resumes"], run.read()["process"]["restarts"]) == (1, 1, 1)
    alone = [sys.executable, str(SCRIPT), *ddp, f"outputs={tmp_path / 'alone'}"]
    subprocess.run(alone, env=script_environment, check=True, capture_output=True)
    assert_bit_equal(run, runs(tmp_path / "alone")[0])


def test_a_job_that_its_user_cancels_stays_cancelled(submit, outputs):
    job = submit(" ".join(["srun", sys.executable, str(SCRIPT), *LONG, f"outputs={outputs}"]))
    (run,) = until(lambda: trained(outputs))
    subprocess.run(["scancel", job], check=True)
    until(lambda: run.status is Status.KILLED and job not in jobs())
    assert Queue().ended([job]) == {job: "CANCELLED"}


def test_a_cancelled_trial_is_recorded_and_the_others_go_on(sweep, outputs):
    begun = sweep(*LONG, "seed=0,1", "sweep.workers=2")
    until(lambda: len(trained(outputs)) == 2)
    first = study(outputs).trials[0].user_attrs["worker"]["slurm"]
    subprocess.run(["scancel", first], check=True)
    said, _ = begun.communicate(timeout=300)
    assert begun.returncode == 1
    assert f"failed    trial 0: its Slurm job {first} ended as CANCELLED" in said
    assert [trial.state for trial in study(outputs).trials] == [TrialState.FAIL, TrialState.COMPLETE]


def test_ctrl_c_leaves_the_jobs_in_the_queue(sweep, outputs):
    begun = sweep(*LONG, "seed=0,1", "sweep.workers=1")
    until(lambda: trained(outputs))
    begun.send_signal(signal.SIGINT)
    said, _ = begun.communicate(timeout=120)
    array = re.search(r"the jobs stay in the queue.*; scancel (\d+) ends them", said)[1]
    assert begun.returncode == 128 + signal.SIGINT
    assert {f"{array}_0", f"{array}_1"} <= set(jobs())


def test_what_slurm_refuses_is_one_sentence_before_anything_starts(sweep, outputs):
    begun = sweep(*SMALL, "seed=0,1", "launcher.partition=nowhere")
    said, _ = begun.communicate(timeout=120)
    assert begun.returncode == 1
    assert said.startswith("error: launcher=slurm: Slurm refuses the job: invalid partition specified")
    assert len(said.splitlines()) == 1
    assert not outputs.exists()
