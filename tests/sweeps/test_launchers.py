"""Launchers whose trials are no forks of the sweep: a trial tells the storage itself, whoever started it."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import optuna
import pytest
from optuna.trial import TrialState
from small import SMALL

from aelab.cluster.processes import this_process
from aelab.core.errors import SweepError
from aelab.core.invocation import Invocation
from aelab.core.signals import Signals
from aelab.loggers.jsonl import rows
from aelab.runs.folder import RunFolder, Status
from aelab.sweeps.launchers.base import LaunchContext
from aelab.sweeps.launchers.local import Local
from aelab.sweeps.launchers.slurm import Slurm
from aelab.sweeps.plan import Plan
from aelab.sweeps.storage import open_storage
from aelab.sweeps.study import LOST, StudyRecord, open_study
from aelab.sweeps.sweep import Worker
from aelab.sweeps.trial_process import StudyContext, TrialRequest, run_in_own_process
from aelab.training.callbacks.study_reporter import ValidationReport

SCRIPT = Path(__file__).parents[2] / "scripts" / "train.py"
LONG = ["trainer.limit_train_batches=1.0", "trainer.max_epochs=40", "pictures.every_n_epochs=1000"]


@pytest.fixture
def trial(tmp_path):
    """A study of one trial that this process has taken; the record, the trial, and how to carry it out."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)

    def make(*overrides, pruner=None, repeat=False):
        outputs, folder = tmp_path / "outputs", tmp_path / "study"
        fixed = (*SMALL, *overrides, f"outputs={outputs}")
        options = {"storage": None, "pruner": pruner, "repeat": repeat, "sampler": None}
        plan = Plan(fixed, (), (), {"val/elbo": "maximize"}, "grid", options, {}, outputs)
        study = open_study("s", open_storage(None, folder), plan.objectives, plan.question)
        record = StudyRecord(study, None, 0)
        record.enqueue([list(fixed)])
        taken = record.claim()
        request = TrialRequest(taken.number, fixed, (), folder / "trial.log")
        return (
            record,
            taken,
            (StudyContext(plan, "s", folder, Invocation("train.py"), ()), request, 1, this_process()),
        )

    return make


@pytest.fixture
def runs(tmp_path):
    return lambda: [RunFolder(path.parent) for path in tmp_path.glob("outputs/*/*/record.json")]


def forked(arguments):
    process = multiprocessing.get_context("fork").Process(target=run_in_own_process, args=arguments)
    process.start()
    return process


def until(condition, seconds=240):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.1)
    return found


@pytest.mark.slow
def test_a_trial_in_an_interpreter_of_its_own_leaves_its_values_in_the_storage(trial, runs, tmp_path):
    submitit = pytest.importorskip("submitit")
    record, _, arguments = trial()
    submitit.LocalExecutor(tmp_path / "jobs").submit(run_in_own_process, *arguments).result()
    (done,) = record.study.trials
    (run,) = runs()
    assert (done.state, done.user_attrs["run"]) == (TrialState.COMPLETE, str(run.path))
    assert done.value == max(row["val/elbo"] for row in rows(run.metrics) if "val/elbo" in row)
    assert run.read()["command"][1:] == ["train.py", *arguments[0].plan.fixed]
    assert "  elbo " in arguments[1].log.read_text()


def test_the_storage_answers_whether_a_trial_is_pruned(trial, runs):
    record, _, arguments = trial(
        "trainer.max_epochs=3", pruner={"_target_": "optuna.pruners.ThresholdPruner", "lower": 1e9}
    )
    forked(arguments).join()
    (done,) = record.study.trials
    assert (done.state, len(done.intermediate_values)) == (TrialState.PRUNED, 1)
    assert runs()[0].status is Status.PRUNED


def test_what_fails_is_recorded_with_its_reason(trial):
    record, _, arguments = trial("optimizer.lr=1e30")
    forked(arguments).join()
    (done,) = record.study.trials
    assert done.state is TrialState.FAIL
    assert done.user_attrs["error"].startswith("NonFiniteError")


def test_a_signal_leaves_a_trial_under_way_and_it_goes_on_in_its_folder(trial, runs):
    record, _, arguments = trial(*LONG, repeat=True)  # so that no run is taken but its own
    first = forked(arguments)
    (run,) = until(lambda: [r for r in runs() if r.metrics.exists() and len(list(rows(r.metrics))) > 2])
    first.terminate()
    first.join()
    assert first.exitcode == 128 + signal.SIGTERM
    assert record.study.trials[0].state is TrialState.RUNNING
    forked(arguments).join()
    assert record.study.trials[0].state is TrialState.COMPLETE
    assert [(r.path, r.read()["resumes"]) for r in runs()] == [(run.path, 1)]


def test_a_trial_that_was_taken_back_while_it_waited_is_not_run(trial, runs):
    record, taken, arguments = trial()
    record.end(taken, TrialState.FAIL, reason=LOST)
    forked(arguments).join()
    assert not runs()
    assert "has ended already" in arguments[1].log.read_text()


@pytest.mark.slow
def test_joblib_goes_on_when_one_trial_fails_and_one_is_killed(runs, tmp_path, script_environment):
    outputs = tmp_path / "outputs"
    vary = ["optimizer.lr=1e-3,2e-3,1e30,3e-3,4e-3,5e-3", "sweep.workers=2", "sweep.study=s"]
    begun = subprocess.Popen(
        [sys.executable, str(SCRIPT), "-m", *SMALL, *LONG, *vary, "launcher=joblib", f"outputs={outputs}"],
        env=script_environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    journal = outputs / "sweeps" / "s"
    until(lambda: any(run.metrics.exists() for run in runs()))
    study = optuna.load_study(study_name="s", storage=open_storage(None, journal))
    first = until(lambda: next((t for t in study.trials if "run" in t.user_attrs), None))
    assert first.user_attrs["worker"]["pid"] != begun.pid
    os.kill(first.user_attrs["worker"]["pid"], signal.SIGKILL)
    said, _ = begun.communicate(timeout=240)
    assert begun.returncode == 1
    states = Counter(trial.state for trial in study.trials)
    assert states == {TrialState.COMPLETE: 4, TrialState.FAIL: 2}, said
    assert f"failed    trial {first.number}: killed" in said
    assert "SIGKILL" in said
    assert "failed    trial 2: NonFiniteError" in said


@pytest.mark.slow
def test_an_error_of_the_sweep_s_own_ends_its_trials(tmp_path):
    def work(request, channel):
        channel.send(ValidationReport(1, 0.0))
        channel.recv()  # for ever, if nobody answers or hangs up

    plan = SimpleNamespace(ranks=1, compositions=(), gpu_pool=lambda: None, options={}, objectives={})
    launcher = Local(LaunchContext(work, SimpleNamespace(plan=plan), 1, True, tmp_path))
    record = SimpleNamespace(is_open=lambda: True, claim=lambda ours: None)
    worker = Worker(launcher, plan, record, tmp_path, Signals(), {0: None})
    launcher.start([TrialRequest(0, (), (), tmp_path / "log")])
    with pytest.raises(AttributeError):  # of the trial that is none
        worker.work()
    assert not multiprocessing.active_children()


@pytest.mark.slow
def test_joblib_saves_its_trials_at_ctrl_c_and_the_same_command_continues(runs, tmp_path, script_environment):
    command = [sys.executable, str(SCRIPT), "-m", *SMALL, *LONG, "seed=0,1", "launcher=joblib"]
    command += ["sweep.workers=2", f"outputs={tmp_path / 'outputs'}"]
    begun = subprocess.Popen(command, env=script_environment, stderr=subprocess.PIPE, text=True)
    until(lambda: len([r for r in runs() if r.metrics.exists()]) == 2)
    begun.send_signal(signal.SIGINT)
    _, said = begun.communicate(timeout=120)
    assert begun.returncode == 128 + signal.SIGINT
    assert "the same command continues the study" in said
    assert {run.status for run in runs()} == {Status.KILLED}
    again = subprocess.run(command, env=script_environment, capture_output=True, text=True, timeout=240)
    assert again.returncode == 0, again.stdout + again.stderr
    assert [(run.status, run.read()["resumes"]) for run in runs()] == [(Status.FINISHED, 1)] * 2


def test_slurm_is_refused_where_there_is_none(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SweepError, match="this machine has no Slurm"):
        Slurm(LaunchContext(print, None, 1, True, tmp_path / "study"))
    assert not list(tmp_path.iterdir())
