"""The tables of many runs: what is averaged was measured alike, and odd folders are passed over."""

import importlib.util
import shutil
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from aelab.runs.folder import RunFolder

SCRIPT = Path(__file__).parents[2] / "scripts" / "results.py"
specification = importlib.util.spec_from_file_location("results", SCRIPT)
results = importlib.util.module_from_spec(specification)
specification.loader.exec_module(results)


@pytest.fixture(scope="module")
def run(train_once):
    return train_once()


@pytest.fixture
def evaluated(run, tmp_path):
    """A copy of a run with another seed or configuration, and with an evaluation."""

    def make(name, value, *, record=None, **changes):
        path = shutil.copytree(run.path, tmp_path / name, ignore=shutil.ignore_patterns("checkpoints"))
        folder = RunFolder.open(path)
        config = OmegaConf.load(folder.config)
        for key, new in changes.items():
            OmegaConf.update(config, key.replace("__", "."), new)
        OmegaConf.save(config, folder.config)
        found = {"parts": {}, "estimates": {"likelihood/elbo": {"value": value}}, **(record or {})}
        folder.update_evaluations(quick=found)
        return folder

    return make


def rows(tmp_path):
    found = results.evaluated(tmp_path, "quick")
    return {name: [seed["likelihood/elbo"] for seed in seeds] for (_, name), seeds in found.items()}


def test_runs_that_differ_in_more_than_their_seed_stand_apart(evaluated, tmp_path, capsys):
    evaluated("a", -1.0)
    evaluated("b", -2.0, seed=1, training__seed=1, data__seed=1, outputs="elsewhere", data__root="there")
    evaluated("c", -3.0, seed=2, optimizer__lr=0.5)
    assert sorted(map(sorted, rows(tmp_path).values())) == [[-3.0], [-2.0, -1.0]]
    assert "vae_digits has 2 rows" in capsys.readouterr().err


@pytest.mark.parametrize(
    "record",
    [
        {"parts": {"likelihood": {"samples": 5}}},
        {"feature_space": {"name": "other"}},
        {"data": {"checksums": {"x": "1"}}},
    ],
    ids=str,
)
def test_numbers_that_were_measured_otherwise_stand_apart(evaluated, tmp_path, record):
    evaluated("a", -1.0)
    evaluated("b", -2.0, seed=1, record=record)
    assert sorted(rows(tmp_path).values()) == [[-2.0], [-1.0]]


def test_a_feature_space_is_the_same_however_it_is_recorded(evaluated, tmp_path):
    evaluated("a", -1.0, record={"feature_space": {"name": "s"}})
    evaluated("b", -2.0, seed=1, record={"feature_space": {"generation": {"name": "s"}}})
    assert list(rows(tmp_path).values()) == [[-1.0, -2.0]]


def test_of_one_seed_the_newest_evaluation_counts_and_is_named(evaluated, tmp_path, capsys):
    newest = evaluated("a", -1.0, record={"time": "2026-02-01T00:00:00+00:00"})
    evaluated("b", -2.0, record={"time": "2026-01-01T00:00:00+00:00"})
    evaluated("c", -3.0)
    assert list(rows(tmp_path).values()) == [[-1.0]]
    assert capsys.readouterr().err.splitlines()[-1].endswith(f"{newest.path} counts")


@pytest.mark.parametrize("odd", [3, {"estimates": 3}, {"estimates": {"a": {"value": "x"}}}])
def test_odd_evaluations_are_passed_over_aloud(evaluated, tmp_path, odd, capsys):
    evaluated("a", -1.0)
    evaluated("b", -2.0, seed=1).update_evaluations(quick=odd)
    assert list(rows(tmp_path).values()) == [[-1.0]]
    assert "is left out" in capsys.readouterr().err


def test_a_number_that_is_null_is_a_dash(evaluated, tmp_path, capsys):
    evaluated("a", None)
    assert list(results.evaluated(tmp_path, "quick").values()) == [[{}]]
