"""Which direction of a number is better is what the runs say, and what the user says before that."""

import pytest
from folders import ELBO, make_run

from aelab.comparison.compare import compare
from aelab.core.errors import ConfigurationError

NEW = {"unit": "bananas", "higher_is_better": False, "of_likelihood": False}


def runs(root, *facts):
    for seed, said in enumerate(facts):
        numbers = {"metrics": {"test/new": 2.0 + seed}, "quantities": {"test/new": said}}
        make_run(root / str(seed), seed, settings={"name": f"run{seed}"}, **numbers)
    return [str(root)]


def direction(folders, **given):
    (metric,) = compare(folders, metric=["test/new"], higher_is_better=given).metrics
    return metric.higher_is_better


def test_a_number_that_nobody_has_heard_of_is_compared_as_its_runs_say(tmp_path):
    found = compare(runs(tmp_path, NEW, NEW), metric=["test/new"])
    assert (found.metrics[0].unit, found.metrics[0].higher_is_better) == ("bananas", False)
    assert [group.runs[0].values["test/new"] for group in found.groups] == [2.0, 3.0]


def test_the_user_decides_before_the_runs(tmp_path):
    folders = runs(tmp_path, NEW, NEW)
    assert direction(folders, new=True) is True
    assert direction(folders, **{"test/new": None, "new": True}) is None


def test_runs_that_disagree_are_refused_until_the_user_decides(tmp_path):
    folders = runs(tmp_path, NEW, {**NEW, "higher_is_better": True})
    with pytest.raises(ConfigurationError, match=r"higher_is_better=\{new: true\}"):
        compare(folders, metric=["test/new"])
    assert direction(folders, new=True) is True


@pytest.mark.parametrize("said", [{}, {"higher_is_better": "yes"}, {"higher_is_better": 1}])
def test_what_is_no_direction_is_none(tmp_path, said):
    assert direction(runs(tmp_path, said, said)) is None


@pytest.mark.parametrize("depends", [True, False])
def test_other_likelihoods_are_flagged_for_what_depends_on_them(tmp_path, depends):
    for name in ("Bernoulli", "Gaussian"):
        settings = {"name": name, "model": {"likelihood": {"_target_": f"aelab.models.likelihoods.{name}"}}}
        said = {"test/new": {**ELBO, "of_likelihood": depends}}
        make_run(tmp_path / name, settings=settings, metrics={"test/new": 1.0}, quantities=said)
    flags = compare([str(tmp_path)], metric=["test/new"]).flags
    assert any("test/new are of different likelihoods" in flag for flag in flags) is depends
