"""monitor.metric=null: no validation number chooses weights, and the last are kept."""

import os
import signal

import pytest
from small import SMALL

import aelab
from aelab.config.compose import compose
from aelab.core.errors import ConfigurationError, SweepError
from aelab.core.signals import Signals, Terminated
from aelab.loggers.jsonl import rows
from aelab.runs.find import runs_below
from aelab.runs.folder import Run, Status
from aelab.runs.train import resume
from aelab.runs.train import train as start_training
from aelab.runs.vectorised import train_members
from aelab.sweeps.trial import validation_metrics
from aelab.training.checkpoints import load, resume_points
from aelab.training.loop import EpochLoop
from aelab.training.measured import epoch_of

LAST = ["monitor.metric=null", "trainer.max_epochs=3"]
GROWS = "optimizer.lr=3"  # so that the last weights are not the best


def state(path):
    return load(path)["state_dict"]


def test_the_last_weights_are_kept_and_tested(train):
    run = train(*LAST, GROWS)
    validations = [row for row in rows(run.metrics) if "val/elbo" in row]
    assert max(validations, key=lambda row: row["val/elbo"]) != validations[-1]
    kept, last = state(run.best), state(resume_points(run.checkpoints)[0])
    assert all(value.equal(last[name]) for name, value in kept.items())
    assert list(run.checkpoints.glob("best*")) == [run.best]
    measured = validation_metrics(run, compose([*SMALL, *LAST]))
    assert measured == {k: v for k, v in validations[-1].items() if k.startswith("val/")}
    assert validation_metrics(run, compose([*SMALL, GROWS]))["val/elbo"] > measured["val/elbo"]


@pytest.mark.parametrize(("monitor", "every"), [("null", 2), ("null", 5), ("val/elbo", 5)])
def test_weights_that_no_validation_has_seen_are_kept_too(train, capfd, monitor, every):
    run = train(
        f"monitor.metric={monitor}", "trainer.max_epochs=3", f"trainer.check_val_every_n_epoch={every}"
    )
    assert load(run.best)["global_step"] == 9
    aelab.load(run.path)
    assert "damaged" not in capfd.readouterr().err


def test_a_signal_at_the_end_loses_no_weights(train, tmp_path, monkeypatch):
    options = [*LAST, "trainer.check_val_every_n_epoch=2"]
    kept = state(train(*options).best)
    step = EpochLoop._train

    def ended(self, batch, batch_idx):
        if epoch_of(self.trainer) == 2 and batch_idx == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self, batch, batch_idx)

    monkeypatch.setattr(EpochLoop, "_train", ended)
    with pytest.raises(Terminated), Signals() as signals:
        start_training(compose([*SMALL, *options, f"outputs={tmp_path}/killed"]), signals)
    (killed,) = runs_below(tmp_path / "killed")
    run = Run.open(killed)
    resume(run, Signals())
    assert all(value.equal(kept[name]) for name, value in state(run.folder.best).items())


def test_a_resume_keeps_the_last_weights_too(train):
    run = train(*LAST, "resume_points.every_batches=2", "resume_points.keep=9")
    kept, metrics = state(run.best), run.read()["metrics"]
    run.update(status=Status.KILLED)
    for point in resume_points(run.checkpoints)[:3]:
        point.unlink()
    run.best.unlink()
    assert resume(Run.open(run.path), Signals()) == metrics
    assert all(value.equal(kept[name]) for name, value in state(run.best).items())


def test_members_keep_their_last_weights(tmp_path, capsys):
    members = ["trainer=vectorised", "trainer.members.seed=[0,1]", f"outputs={tmp_path}"]
    overrides = [*SMALL, *LAST, GROWS, *members]
    for folder in train_members(compose(overrides), overrides, Signals()):
        elbo = [row["val/elbo"] for row in rows(folder.metrics) if "val/elbo" in row]
        assert len(elbo) == 3
        assert load(folder.best)["global_step"] == 9
    assert "val/" in capsys.readouterr().out


def test_what_asks_which_weights_are_best_says_so(train):
    with pytest.raises(ConfigurationError, match=r"callbacks\.early_stopping\.monitor"):
        train(*LAST, "callback=early_stopping")
    run = train(*LAST)
    run.metrics.write_text("")
    with pytest.raises(SweepError, match="no validation"):
        validation_metrics(run, compose(LAST))


def test_early_stopping_may_watch_another_number(train):
    watching = [f"callbacks.early_stopping.{o}" for o in ("monitor=val/mse", "mode=min")]
    assert train(*LAST, "callback=early_stopping", *watching).status is Status.FINISHED
