"""Trials that are several trainings: each is a run of its own, and the trial has the means."""

import math
import re
import shlex
import statistics
from multiprocessing import Pipe

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from aelab.core.errors import ConfigurationError
from aelab.loggers.jsonl import rows
from aelab.runs.folder import Status
from aelab.sweeps.messages import TrialCompleted
from aelab.sweeps.repeats import repeat_overrides, standard_error, train_repeats
from aelab.sweeps.storage import open_storage
from aelab.sweeps.trial import Assignment, current_assignment
from aelab.training.callbacks.study_reporter import Pruned, ValidationReport

FOLDS = ["data.folds=3", "sweep.over={data.fold: [0, 1, 2]}"]


@pytest.fixture
def trials(tmp_path):
    def read():
        (folder,) = (tmp_path / "sweeps").glob("[!l]*-*")
        storage = open_storage(None, folder)
        (name,) = optuna.get_all_study_names(storage)
        return optuna.load_study(study_name=name, storage=storage).trials

    return read


def elbo(run):
    return max(row["val/elbo"] for row in rows(run.metrics) if "val/elbo" in row)


@pytest.mark.slow
def test_a_trial_is_the_mean_of_its_folds_and_the_best_is_trained_on_all_images(sweep, runs, trials):
    said, code = sweep("latent=2,4", *FOLDS)
    assert code == 0
    assert {run.status for run in runs()} == {Status.FINISHED}
    found = {}
    for run in runs():
        command = run.read()["command"]
        found.setdefault(next(w for w in command if w.startswith("latent=")), []).append(elbo(run))
    assert [len(values) for values in found.values()] == [3, 3]
    for trial in trials():
        values = found[trial.user_attrs["overrides"][-1]]
        assert trial.value == pytest.approx(statistics.mean(values), rel=1e-12)
        error = trial.user_attrs["errors"]["val/elbo"]
        assert error == pytest.approx(statistics.stdev(values) / math.sqrt(3))
        assert sorted(trial.user_attrs["measured"]["val/elbo"]) == sorted(values)
        assert f"{trial.value:.6g} ± {error:.2g}" in said
    (best,) = [line for line in said.splitlines() if line.startswith("best")]
    winner = max(trials(), key=lambda trial: trial.value)
    words = shlex.split(best.split("train.py ")[1])
    assert words[-2:] == [winner.user_attrs["overrides"][-1], "data.folds=null"]
    assert not [word for word in words if word.startswith(("data.fold=", "data.folds=3"))]


@pytest.mark.slow
def test_what_is_done_of_a_trial_is_not_done_again(sweep, runs, tmp_path):
    assert sweep("latent=2", "data.folds=3", "data.fold=0,1")[1] == 0
    said, code = sweep("latent=2", *FOLDS, "sweep.workers=2")
    assert (code, len(runs())) == (0, 3)
    assert not re.search(r"^ +\d+ +known ", said, re.MULTILINE)
    for journal in tmp_path.glob("sweeps/*/journal.log"):
        journal.unlink()
    said, code = sweep("latent=2", *FOLDS)
    assert (code, len(runs())) == (0, 3)
    assert len(re.findall(r"^ +\d+ +known ", said, re.MULTILINE)) == 1


def test_a_trial_that_was_killed_in_a_later_training_goes_on_there(sweep, runs, tmp_path):
    long = ("latent=2", "data.folds=2", "sweep.over={data.fold: [0, 1]}", "resume_points.every_batches=1")
    assert sweep(*long)[1] == 0
    first, second = sorted(runs(), key=lambda run: OmegaConf.load(run.config).data.fold)
    whole, before = second.metrics.read_bytes(), first.read()
    sorted(second.checkpoints.glob("resume-*"))[-1].unlink()
    second.update(status=Status.KILLED)
    for journal in tmp_path.glob("sweeps/*/journal.log"):
        journal.unlink()
    assert sweep(*long)[1] == 0
    assert len(runs()) == 2
    assert (second.read()["resumes"], second.metrics.read_bytes()) == (1, whole)
    assert first.read() == before


@pytest.mark.slow
def test_a_training_of_a_trial_has_the_bits_that_it_has_alone(sweep, runs):
    assert sweep("seed=7,8", "sweep.study=alone")[1] == 0
    alone = {run.read()["seed"]: run.metrics.read_bytes() for run in runs()}
    assert sweep("sweep.over={seed: [7, 8]}", "sweep.study=over", "sweep.repeat=true")[1] == 0
    assert len(runs()) == 4
    assert all(run.metrics.read_bytes() == alone[run.read()["seed"]] for run in runs())


@pytest.mark.slow
def test_a_training_that_fails_is_named_and_the_next_attempt_keeps_the_others(sweep, runs):
    said, code = sweep(
        "latent=2", "sweep.over={optimizer.lr: [1e-3, 1e30]}", "sweep.repeat=true", "sweep.retries=1"
    )
    assert code == 1
    assert "optimizer.lr=1e+30: NonFiniteError" in said
    assert len([run for run in runs() if run.status is Status.FINISHED]) == 1


def test_a_dry_run_names_every_training(sweep, tmp_path):
    said, code = sweep("latent=2,4", *FOLDS, "sweep.dry_run=true")
    assert (code, said.count("python train.py")) == (0, 6)
    assert "2 trials of 3 trainings each" in said
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_another_mean_is_another_study(sweep, runs):
    named = ("latent=2", "sweep.study=s")
    assert sweep(*named, "sweep.over={seed: [0, 1]}")[1] == 0
    said, code = sweep(*named, "sweep.over={seed: [0, 1, 2]}")
    assert (code, "its over differ" in said) == (1, True)


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["latent=2,4", "sweep.over={seed: 3}"], "seed=3: give a list"),
        (["latent=2,4", "sweep.over={seed: []}"], "give a list"),
        (["latent=2,4", "sweep.over={seed: [0, 0]}"], "a value twice"),
        (["latent=2,4", "sweep.over={latent: [2, 4]}"], "latent has its values"),
        (["latent=2,4", "seed=1", "sweep.over={seed: [0, 1]}"], "seed has its values"),
        (["latent=2,4", "sweep.over={sede: [0, 1]}"], "did you mean seed"),
        (["latent=2,4", "sweep.over={data.fold: [0, 1]}"], "data.fold=1 is one of data.folds: give both"),
        (["latent=2,4", "data.folds=2", "sweep.over={data.fold: [0, 2]}"], "from 0 to 1"),
    ],
)
def test_what_cannot_be_averaged_is_refused(sweep, tmp_path, overrides, sentence):
    said, code = sweep(*overrides)
    assert code == 1
    assert sentence in said
    assert not list(tmp_path.iterdir())


def test_repeat_overrides_are_all_and_different():
    assert repeat_overrides({}, []) == repeat_overrides({"a": None}, ["a"]) == ()
    assert repeat_overrides({"a": [0, 1], "b": ["x"]}, []) == (("a=0", "b=x"), ("a=1", "b=x"))
    with pytest.raises(ConfigurationError, match="a has its values"):
        repeat_overrides({"a": [1]}, ["a"])


@given(st.floats(-1e3, 1e3), st.floats(0.1, 10), st.integers(2, 40))
def test_the_standard_error_of_two_values_is_half_their_distance(middle, half, copies):
    assert standard_error([middle]) is None
    assert standard_error([middle - half, middle + half]) == pytest.approx(half)
    alternating = [middle - half, middle + half] * copies
    assert standard_error(alternating) == pytest.approx(half / math.sqrt(2 * copies - 1))


def test_the_study_is_asked_between_two_trainings():
    ours, theirs = Pipe()
    for enough in (False, True):
        ours.send(enough)
    values, seen = iter([1.0, 3.0, 8.0]), []
    assignment = Assignment(theirs, {"val/elbo": "maximize"}, (), repeat=False, prunes=True)

    def train(overrides):
        seen.append(overrides)
        assert not current_assignment().prunes
        current_assignment().channel.send(TrialCompleted({"val/elbo": next(values)}))

    with pytest.raises(Pruned, match="on average of 2 trainings"):
        train_repeats([("a",), ("b",), ("c",)], assignment, train)
    assert seen == [("a",), ("b",)]
    assert [ours.recv(), ours.recv()] == [ValidationReport(1, 1.0), ValidationReport(2, 2.0)]
