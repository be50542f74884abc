"""What a dry run says of a study's time."""

import re

import pytest
from omegaconf import OmegaConf
from small import SMALL

from aelab.config.compose import compose
from aelab.config.recorded import recorded_settings
from aelab.sweeps.cost import TimedRun, duration
from aelab.sweeps.preflight import Preflight, evenly_spread, preflights

WHOLE = ["trainer.limit_train_batches=1.0"]


def said_of(said):
    (line,) = [line for line in said.splitlines() if line.startswith("cost")]
    return line.removeprefix("cost").strip()


@pytest.fixture
def timed(sweep, runs):
    """A finished run whose record says that an image takes a tenth of a second."""

    def make(*overrides):
        assert sweep("seed=0", *overrides)[1] == 0
        (run,) = runs()
        run.update(seconds=run.read()["samples_seen"] / 10)
        return run

    return make


@pytest.mark.slow
def test_the_time_is_that_of_the_images_to_come_at_the_last_speed(sweep, timed):
    run = timed(*WHOLE)
    dry = (*WHOLE, "sweep.dry_run=true")
    told = said_of(sweep("seed=1,2,3", *dry, "trainer.max_epochs=2", "sweep.workers=2")[0])
    assert told.startswith(f"about {duration(2 * 2 * 1200 / 10)} with 2 workers (by the speed of {run.path}")
    several = ("latent=16", "sweep.over={seed: [1, 2, 3, 4]}", "sweep/pruner=median")
    assert said_of(sweep(*several, *dry)[0]).startswith(f"at most about {duration(4 * 1200 / 10)} (")


@pytest.mark.slow
def test_what_was_not_measured_here_is_not_guessed(sweep, timed):
    run = timed()
    dry = ("seed=1,2", "sweep.dry_run=true")
    assert said_of(sweep(*dry)[0]).startswith("about")
    assert said_of(sweep(*dry, "trainer.precision=bf16-mixed")[0]).startswith("unknown: no finished run of")
    run.update(hardware={**run.read()["hardware"], "cpu": "another"})
    assert said_of(sweep(*dry)[0]).startswith("unknown")


def test_a_dry_run_without_its_data_says_so_and_fetches_nothing(sweep, tmp_path):
    said, code = sweep("data=mnist", f"data.root={tmp_path}", "seed=1,2", "sweep.dry_run=true")
    assert code == 0
    assert "cannot be tried here" in said_of(said)
    assert not list(tmp_path.iterdir())


def test_more_operations_take_longer_in_proportion():
    run = TimedRun(None, 100.0, 1000.0, 2000.0, 1)
    assert run.seconds_of(Preflight((), 500, 2000)) == pytest.approx(50)
    assert run.seconds_of(Preflight((), 500, 6000)) == pytest.approx(150)
    assert run.seconds_of(Preflight((), 500, None)) == pytest.approx(50)


@pytest.mark.parametrize(
    ("overrides", "images"),
    [
        ([], 3 * 64),
        (["trainer.limit_train_batches=1.0", "trainer.max_epochs=2"], 2 * 1200),
        (["trainer.limit_train_batches=0.5"], 9 * 64),
        (["trainer.max_steps=2", "training.accumulate_grad_batches=2", "trainer.max_epochs=9"], 2 * 2 * 64),
        (["trainer.max_epochs=-1"], None),
    ],
)
def test_the_images_to_come_are_those_that_a_training_is_shown(overrides, images):
    assert preflights([compose([*SMALL, *overrides])], fetch=False)[0].images == images


def test_the_images_to_come_are_those_that_were_seen(train):
    run = train(*WHOLE, "data.folds=4", "data.fold=1", "trainer.max_epochs=2")
    (found,) = preflights([recorded_settings(run.config)], fetch=False)
    assert found.images == run.read()["samples_seen"]
    assert found.flops_per_image == run.read()["flops_per_image"]
    assert "val/elbo" in found.measured


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "1 s"), (80, "80 s"), (95, "2 min"), (7800, "2 h 10 min"), (3 * 86400 + 4 * 3600, "3 d 4 h")],
)
def test_a_duration_is_said_as_a_person_says_it(seconds, words):
    assert duration(seconds) == words


def test_what_is_looked_at_is_spread_over_all():
    assert evenly_spread(5, 8) == [0, 1, 2, 3, 4]
    assert evenly_spread(35, 8) == [0, 5, 10, 15, 20, 25, 30]


def test_a_run_is_known_by_its_record_and_its_configuration(sweep, runs):
    assert sweep("seed=3")[1] == 0
    said, code = sweep("seed=3", "sweep.study=again")
    assert (code, len(runs())) == (0, 1)
    assert re.search(r"^ +\d+ +known ", said, re.MULTILINE)
    (run,) = runs()
    config = OmegaConf.load(run.config)
    config.optimizer.lr = 0.5
    OmegaConf.save(config, run.config)
    assert sweep("seed=3", "sweep.study=other")[1] == 0
    assert len(runs()) == 2
