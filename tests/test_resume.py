"""Killed at random times and resumed, a training ends with the bits of one that was left alone."""

import re
import subprocess
from pathlib import Path

import forks
import pytest

SCRIPT = Path(__file__).parents[1] / "scripts/check_resume.py"


def check(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return forks.start(SCRIPT, *arguments, env=environment).wait(900)


# Each trial is killed, and resumed, up to three times.
@pytest.mark.parametrize("trials", [2, pytest.param(8, marks=pytest.mark.slow)])
def test_killed_trainings_end_bit_equal(script_environment, trials):
    done = check(script_environment, "--trials", f"{trials}", "--seed", f"{trials}")
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    equal = rf"{trials} of {trials} trainings are bit for bit equal after (\d+) resumes"
    assert int(re.search(equal, done.stdout)[1]) >= trials


@pytest.mark.slow
@pytest.mark.parametrize("ingredient", ["noise", "position", "window", "journal"])
def test_the_comparison_fails_when_an_ingredient_is_left_out(script_environment, ingredient):
    done = check(script_environment, "--trials", "2", "--without", ingredient)
    print(done.stdout)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "different" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    "overrides",
    [
        ["variant=ae", "callback=[]", "training.accumulate_grad_batches=1"],
        ["variant=cvae", "optimizer=sgd", "callback=early_stopping"],
        ["--bare", "variant=text_vae", "data.source.count=400", "data.source.test=100", "latent=4",
         "network.width=16", "model.likelihood.width=16"],
        ["--bare", "variant=vrnn", "data.source.count=200", "data.source.test=40", "data.validation=20",
         "data.kind.view.seconds=0.25", "data.kind.view.bands=16", "network.width=16",
         "model.prior.width=8", "model.posterior.width=8", "model.likelihood.width=16"],
        ["callback=[]", "trainer.max_epochs=-1", "trainer.max_steps=45", "trainer.val_check_interval=1.0"],
    ],
)  # fmt: skip
def test_other_trainings_resume_too(script_environment, overrides):
    trials = "1" if "--bare" in overrides else "2"
    done = check(script_environment, "--trials", trials, *overrides)
    assert done.returncode == 0, done.stdout + done.stderr
