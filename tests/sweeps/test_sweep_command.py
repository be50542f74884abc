"""A sweep as its user sees it: the command line in, trials and their table out."""

import re
from collections import Counter, defaultdict
from types import SimpleNamespace

import pytest

from aelab.config.recorded import recorded_settings
from aelab.core.signals import Signals
from aelab.loggers.jsonl import rows
from aelab.runs.folder import Status
from aelab.sweeps.messages import TrialCompleted
from aelab.sweeps.trial import Assignment, run_trial

TWO = "{val/distortion: minimize, val/kl: minimize}"


def best(run, metric="val/elbo"):
    return max(row[metric] for row in rows(run.metrics) if metric in row)


def test_a_grid_runs_once_and_names_the_best_over_seeds_as_a_command(sweep, runs):
    said, code = sweep("variant=vae,beta_vae", "seed=0,1", "sweep.workers=2")
    assert code == 0
    assert Counter(run.status for run in runs()) == {Status.FINISHED: 4}
    assert all(f" finished val/elbo={best(run):.6g} variant=" in said for run in runs())
    mean = defaultdict(float)
    for run in runs():
        words = tuple(word for word in run.read()["command"][2:] if not word.startswith("seed="))
        mean[words] += best(run) / 2
    winner = max(mean, key=mean.get)
    (line,) = [line for line in said.splitlines() if line.startswith("best")]
    assert f"val/elbo={mean[winner]:.6g} ± " in line
    assert " over 2 seeds: " in line
    assert winner == tuple(line.split("train.py ")[1].replace("'", "").split())

    said, code = sweep("variant=vae,beta_vae", "seed=0,1")
    assert (code, len(runs())) == (0, 4)
    said, code = sweep("variant=vae", "seed=0,1,2")
    assert (code, len(runs())) == (0, 5)
    assert len(re.findall(r"^ +\d+ +known ", said, re.MULTILINE)) == 2
    said, code = sweep("variant=vae", "seed=0,2", "sweep.repeat=true", "sweep.study=twice")
    assert (code, len(runs())) == (0, 7)


@pytest.mark.slow
def test_a_failure_ends_alone_and_is_tried_again_when_asked(sweep, runs):
    said, code = sweep("optimizer.lr=1e-3,1e30,1e-2")
    assert code == 1
    assert Counter(run.status for run in runs()) == {Status.FINISHED: 2, Status.FAILED: 1}
    assert "failed    trial 1: NonFiniteError" in said
    assert "1 of 3 trials failed" in said
    assert "sweep.retries=1" in said
    said, code = sweep("optimizer.lr=1e-3,1e30,1e-2", "sweep.retries=1")
    assert code == 1
    assert said.count("\ntrial 3 failed") + said.startswith("trial 3 failed") == 1


def test_what_a_kill_left_is_continued_in_its_folder(sweep, runs, tmp_path):
    long = ("trainer.max_epochs=3", "seed=0,1", "resume_points.every_batches=1")
    assert sweep(*long)[1] == 0
    first = min(runs(), key=lambda run: run.read()["seed"])
    whole, identity = first.metrics.read_bytes(), first.read()["run_id"]
    points = sorted(first.checkpoints.glob("resume-*"))
    points[-1].unlink()
    first.update(status=Status.KILLED)
    for journal in tmp_path.glob("sweeps/*/journal.log"):
        journal.unlink()
    assert sweep(*long)[1] == 0
    assert len(runs()) == 2
    assert (first.read()["resumes"], first.read()["run_id"]) == (1, identity)
    assert first.metrics.read_bytes() == whole


@pytest.mark.slow
def test_trials_of_different_monitors_finish_and_none_is_called_the_best(sweep, runs):
    said, code = sweep("variant=ae,vae")
    assert code == 0
    assert Counter(run.status for run in runs()) == {Status.FINISHED: 2}
    assert "val/mse=" in said
    assert "val/elbo=" in said
    assert [line.split()[1] for line in said.splitlines() if line.startswith("best")] == ["none:"]
    said, code = sweep("variant=ae,vae", "sweep.objectives={val/distortion: minimize}")
    assert code == 0
    assert len(re.findall(r"^ +\d+ +known ", said, re.MULTILINE)) == 2
    assert "best      val/distortion=" in said


@pytest.mark.slow
def test_trials_that_keep_their_last_weights_are_trained_over_seeds(sweep, runs):
    said, code = sweep("variant=aae", "seed=0,1")
    assert code == 0, said
    assert Counter(run.status for run in runs()) == {Status.FINISHED: 2}
    assert said.count(" finished val/") == 2
    assert [line.split()[1] for line in said.splitlines() if line.startswith("best")] == ["none:"]


@pytest.mark.slow
def test_two_objectives_give_a_front_and_the_sampler_needs_no_flag(sweep, runs):
    said, code = sweep(
        "sweep=random",
        "sweep.trials=4",
        "objective.terms.kl.weight=tag(log,interval(0.1,10))",
        "sweep.objectives={val/distortion: minimize, val/kl: minimize}",
        flag=(),
    )
    assert code == 0
    assert len(runs()) == 4
    found = [
        next((r["val/distortion"], r["val/kl"]) for r in rows(run.metrics) if "val/kl" in r) for run in runs()
    ]
    front = [p for p in found if not any(q != p and q[0] <= p[0] and q[1] <= p[1] for q in found)]
    assert said.count("\nbest ") == len(front)


def test_a_bad_trial_is_pruned(sweep, runs):
    said, code = sweep(
        "trainer.max_epochs=4",
        "optimizer.lr=1e-2,1e-2,1e-9",
        "sweep/pruner=median",
        "sweep.pruner.n_startup_trials=1",
    )
    assert code == 0
    assert "trial 1 pruned" in said
    assert Counter(run.status for run in runs()) == {Status.FINISHED: 1, Status.PRUNED: 1}


@pytest.mark.parametrize(
    ("seed", "which"), [("null", "examples"), pytest.param("3", "the first", marks=pytest.mark.slow)]
)
def test_a_dry_run_of_a_sampler_says_whether_these_will_run(sweep, seed, which):
    line = ("latent=2,4,8", "sweep=random", "sweep.trials=2", f"sweep.sampler.seed={seed}")
    said, code = sweep(*line, "sweep.dry_run=true", flag=())
    assert (code, f"2 trials; {which}" in said) == (0, True)
    if seed == "3":
        planned = [word for word in said.split() if word.startswith("latent=")]
        done, _ = sweep(*line, flag=())
        assert planned == re.findall(r"trial \d finished \S+ (latent=\d)", done)


def test_a_dry_run_prints_commands_and_writes_nothing(sweep, tmp_path):
    said, code = sweep("variant=vae,iwae", "seed=0,1", "sweep.dry_run=true")
    assert code == 0
    assert said.count("python train.py") == 4
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["latnt=2,3"], "did you mean latent"),
        (["variant=vae,vea"], "unknown variant 'vea'"),
        (["latent=2,two"], "a number is expected"),
        (["sweep.objectives={test/elbo: maximize}"], "test split"),
        (["sweep.objectives={val/elbo: up}"], "minimize or maximize"),
        (["variant=ae,vae", "sweep/pruner=median"], "by val/mse, val/elbo, which do not compare"),
        (["sweep.over={variant: [ae, vae]}"], "by val/mse, val/elbo, which do not compare"),
        (["variant=vae,aae", "sweep/pruner=median"], "monitor.metric=null says nothing"),
        (["variant=vae,gan"], "unknown option 'model.encoder.widths'; did you mean model.decoder.widths"),
        (["variant=vae,ae", "sweep.objectives={val/elbo: maximize}"], "not measured for this model (ae_"),
        (["experiment=burda_vae,latent_size"], "experiment=latent_size is a study of its own"),
        (["trainer=vectorised", "trainer.members.seed=[0,1]", "latent=2,4"], "is no trial of a study"),
        (["sweep.objectives=val/elbo"], "must be a mapping, as {val/elbo: maximize}"),
        (["seed=0,1", "sweep.over=[0,1]"], "must be a mapping, as {seed: [0, 1]}"),
        (["seed=0,1", "sweep.study=../elsewhere"], "names a folder"),
        (["seed=0,1", "sweep/pruner=median", "sweep.pruner.n_startup_trials=-1"], "(in sweep.pruner)"),
        (["sweep=tpe"], "nothing to vary"),
        (["sweep=tpe", "latent=interval(9,2)"], "above high"),
        (["latent=interval(2,9)"], "cannot try every value"),
        (["sweep=cmaes", "latent=2,4"], "take sweep=tpe"),
        (["sweep=tpe", "latent=2,4", "sweep.trials=0"], "from 1"),
        (["seed=0,1", "sweep.workers=0"], "from 1"),
        (["seed=0,1", "sweep.workers=1,2"], "give one value"),
        (["seed=0,1", "trainer.num_nodes=2"], "trains on one machine"),
        (["seed=0,1", "trainer.devices=0"], "trainer.devices=0: give how many"),
        (["seed=0,1", "resume=x"], "continues its own"),
        (["seed=0,1", "sweep.storage=postgresql+psycopg://a@127.0.0.1:1/c"], "cannot be reached"),
        (["seed=0,1", "sweep.storage=postgresql+psycopg://a:b@127.0.0.1:1/c"], "with a password"),
        (
            ["seed=0,1", "sweep/pruner=median", "sweep.objectives={val/kl: minimize, val/mse: minimize}"],
            "pruned",
        ),
    ],
)
def test_what_cannot_work_is_refused_before_anything_starts(sweep, tmp_path, overrides, sentence):
    said, code = sweep(*overrides)
    assert code == 1
    assert sentence in said
    assert said.startswith("error: ")
    assert not list(tmp_path.iterdir())


def test_a_study_may_be_called_by_a_number(sweep):
    said, code = sweep("seed=0", "sweep.study=2024", "sweep.dry_run=true")
    assert (code, "study 2024" in said) == (0, True)


def test_a_trial_that_was_taken_back_from_another_machine_goes_on(sweep, runs):
    long = ("trainer.max_epochs=3", "seed=0", "resume_points.every_batches=1")
    assert sweep(*long)[1] == 0
    (run,) = runs()
    whole = run.metrics.read_bytes()
    sorted(run.checkpoints.glob("resume-*"))[-1].unlink()
    gone = {"host": "gone", "pid": 1, "started": "1"}
    run.update(status=Status.RUNNING, process=gone)
    sent = []
    channel = SimpleNamespace(send=sent.append)
    with Signals() as signals:
        assignment = Assignment(channel, {}, (str(run.path),), False, False)
        run_trial(assignment, recorded_settings(run.config), signals)
    assert isinstance(sent[-1], TrialCompleted)
    assert run.status is Status.FINISHED
    assert run.metrics.read_bytes() == whole


def test_options_of_a_sweep_without_one_are_refused(sweep):
    said, code = sweep("sweep.workers=2", flag=())
    assert (code, "add -m" in said) == (1, True)
