"""The value that a study chooses, why, and the picture of it."""

import shlex

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import TrialState, create_trial
from PIL import Image

from aelab.figures.panels import Choice, Panel, against
from aelab.sweeps.elbow import Point, best_of_each, choose, selection_sentence

GRID = ["latent=2,4", "data.folds=2", "sweep.over={data.fold: [0, 1]}", "sweep.plot=latent"]


def trial(value, mean, error=None, state=TrialState.COMPLETE):
    attrs = {"overrides": ["seed=0", f"latent={value}"], **({"errors": {"val/elbo": error}} if error else {})}
    return create_trial(state=state, value=mean if state is TrialState.COMPLETE else None, user_attrs=attrs)


def points(*each):
    return [Point(value, mean, error, trial(value, mean)) for value, mean, error in each]


def test_breiman_s_rule_takes_the_smallest_within_one_standard_error_of_the_best():
    found = points((1, -150, 1), (4, -103, 9), (8, -101.5, 0.1), (16, -101, 0.6), (32, -101.2, 0.1))
    chosen = choose(found, maximize=True, smallest=True)
    assert (chosen.point.value, chosen.best.value, chosen.bound) == (8, 16, -101.6)
    assert selection_sentence(chosen, "latent", "val/elbo") == (
        "latent=8: the smallest whose val/elbo (-101.5) is within one standard error (0.6) of the best "
        "(-101 at 16)"
    )
    downwards = [Point(p.value, -p.mean, p.error, p.trial) for p in found]
    assert choose(downwards, maximize=False, smallest=True).point.value == 8
    assert choose(found, maximize=True, smallest=False).point.value == 16


def test_without_an_error_or_below_it_the_best_is_taken_and_that_is_said():
    single = choose(points((1, -150, None), (4, -103, None)), maximize=True, smallest=True)
    assert "the best, of one training each" in selection_sentence(single, "latent", "val/elbo")
    clear = choose(points((1, -150, 1), (4, -103, 1)), maximize=True, smallest=True)
    assert "none below is within" in selection_sentence(clear, "latent", "val/elbo")
    assert single.point.value == clear.point.value == 4


@given(st.dictionaries(st.integers(1, 99), st.tuples(st.floats(-1e3, 0), st.floats(0, 50)), min_size=1))
def test_the_choice_is_within_the_error_and_nothing_smaller_is(each):
    found = points(*((value, *each[value]) for value in sorted(each)))
    chosen = choose(found, maximize=True, smallest=True)
    assert chosen.best.mean == max(p.mean for p in found)
    assert chosen.point.mean >= chosen.best.mean - chosen.best.error
    assert all(p.mean < chosen.best.mean - chosen.best.error for p in found if p.value < chosen.point.value)


def test_of_each_value_the_best_finished_trial_counts():
    trials = [trial(8, -3.0), trial(2, -5.0), trial(8, -1.0, 0.5), trial(4, 0, state=TrialState.FAIL)]
    found = best_of_each(trials, "latent", "val/elbo", maximize=True)
    assert [(p.value, p.mean, p.error) for p in found] == [(2, -5.0, None), (8, -1.0, 0.5)]
    assert [p.mean for p in best_of_each(trials, "latent", "val/elbo", maximize=False)] == [-5.0, -3.0]


def test_a_study_ends_with_its_choice_as_a_sentence_a_command_and_a_picture(sweep, tmp_path):
    said, code = sweep(*GRID)
    assert code == 0
    (line,) = [line for line in said.splitlines() if line.startswith("chosen")]
    assert "one standard error" in line
    value = line.split("latent=")[1].split(":")[0]
    words = shlex.split(line.split("train.py ")[1])
    assert {f"latent={value}", "data.folds=null"} <= set(words)
    (picture,) = tmp_path.glob("sweeps/*/elbow.png")
    assert str(picture) in said
    assert Image.open(picture).width > 1000


@pytest.mark.slow
def test_a_picture_is_made_of_several_objectives_and_of_a_sampler_s_draws(sweep, tmp_path):
    said, code = sweep(
        *("sweep=random", "sweep.trials=2", "optimizer.lr=tag(log,interval(1e-4,1e-2))"),
        *("sweep.plot=optimizer.lr", "sweep.objectives={val/distortion: minimize, val/kl: minimize}"),
        flag=(),
    )
    assert code == 0
    assert "\nchosen" not in said
    assert len(list(tmp_path.glob("sweeps/*/elbow.png"))) == 1


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["variant=vae,iwae", "latent=2,4", "sweep.plot=variant"], "choose one of latent"),
        (["latent=2,4", "sweep.plot=latnt"], "choose one of latent"),
        (["variant=vae,iwae", "sweep.plot=latent"], "leave it out"),
        (
            ["latent=2,4", "sweep.objectives={val/foo: maximize}"],
            "val/foo is not measured for this model",
        ),
    ],
)
def test_what_cannot_be_drawn_or_measured_is_refused_first(sweep, tmp_path, overrides, sentence):
    said, code = sweep(*overrides)
    assert code == 1
    assert sentence in said
    assert not list(tmp_path.iterdir())


X = np.array([1.0, 2.0, 4.0, 8.0])
STEEP = Panel("objective", np.array([-90.0, -50.0, -10.1, -10.0]), np.full(4, 0.2))


def drawn(*others, choice=None, first=STEEP, log=False):
    return against(X, [first, *others], title="t", xlabel="x", log=log, choice=choice).picture()


def differ(one, other):
    return one.size != other.size or (np.asarray(one) != np.asarray(other)).any()


def test_panels_show_their_errors_and_the_choice_and_a_thin_band_closer():
    plain, marked = drawn(), drawn(choice=Choice(4.0, -10.2, -9.8, "x=4"))
    assert marked.width > plain.width + 300  # the closer look stands beside it
    assert drawn(choice=Choice(4.0, -30.0, 10.0, "x=4")).width < plain.width + 300
    assert differ(plain, drawn(first=Panel("objective", STEEP.mean)))
    assert differ(plain, drawn(log=True))
    assert differ(marked, drawn(choice=Choice(8.0, -10.2, -9.8, "x=8")))
    assert drawn(Panel("rate", X)).size == drawn(Panel("rate", X), Panel("distortion", X)).size


def test_panels_without_finite_numbers_are_refused():
    for mean in (np.array([1.0, np.nan, 2.0, 3.0]), np.array([1.0, np.inf, 2.0, 3.0])):
        with pytest.raises(ValueError, match="finite"):
            drawn(first=Panel("objective", mean))


@pytest.mark.slow
def test_the_study_of_the_latent_size_is_a_grid_and_a_search_by_the_same_file(sweep):
    said, code = sweep("experiment=latent_size", "data=digits", "sweep.dry_run=true", flag=())
    assert code == 0
    assert "7 trials of 5 trainings each" in said
    lines = [line for line in said.splitlines() if line.startswith("python")]
    assert {word for line in lines for word in line.split() if word.startswith("latent=")} == {
        f"latent={2**k}" for k in range(7)
    }
    search = ("sweep=tpe", "sweep.trials=2", "sweep.dry_run=true")
    said, code = sweep("experiment=latent_size", "data=digits", *search, flag=())
    assert (code, said.count("python ")) == (0, 10)
    assert "unknown: no finished run of vae_digits" in said
